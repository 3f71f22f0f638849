// What passes between the stages of a request. Data only; who makes it is said beside each type.

import type { Result } from '../shared/result.ts'
import type { InferenceRefusal } from '../shared/refusal.ts'
import type { CellId, EndpointId, LeaseId, ModelName, OriginName, RegionName, RequestId, VersionId } from '../shared/ids.ts'
import type { Operation } from '../shared/operations.ts'
import type { Credential } from '../shared/wire/credential.ts'
import type { Endpoint } from '../shared/wire/snapshot.ts'
import type { Affinity, Considered, OutcomeKind, Priority, Purpose } from '../shared/wire/ledger.ts'
import type { AliasName, WriteName } from '../shared/wire/trial.ts'
import type { Asking, Lane, Sense, Usage } from './lane/lane.ts'

/** What a dialect is given of a request to read. */
export type ReadBody = {
  readonly bytes: Uint8Array
  /** Lower case, without parameters; empty when the caller sent none. */
  readonly contentType: string
  readonly header: (name: string) => string | null
  /** Of protocols that name them in the path. */
  readonly path: { readonly model: string | null; readonly version: string | null }
}

/** What a body asks for, as far as the platform has to know; the body itself goes on untouched. */
export type Wish = {
  readonly model: ModelName
  /** A version asked for by name; null leaves it to the alias. */
  readonly version: string | null
  readonly stream: boolean
  /** The dialect's own user field: a unit for version assignment. */
  readonly user: string | null
  /** The body as JSON.parse gives it; null when it is not JSON. To decide with, never to send. */
  readonly json: unknown
}

/** A refusal or failure as a caller is told of it, whatever the dialect. */
export type Told = {
  readonly status: number
  readonly type: string
  readonly code: string
  readonly message: string
  readonly param: string | null
  /** When to come back; absent means that trying again does not help. */
  readonly retryAfterMs: number | null
}

/** How a dialect says no, and how it shows life. */
export type Voice = {
  readonly errorBody: (told: Told) => string
  /** A whole event that ends a stream which was promised more. */
  readonly errorFrame: (told: Told) => string
  /** A whole event that clients ignore. */
  readonly keepAlive: string
}

/** One public protocol operation: how its body is read and how it answers when it cannot. Pure. */
export type Dialect = {
  readonly operation: Operation
  readonly read: (body: ReadBody) => Result<Wish, InferenceRefusal>
  readonly voice: Voice
}

/** The request's body; it can be read more than once, but leaves the wire only once. */
export type Body = {
  /** Refuses `body_too_large` above the limit, `body_incomplete` when the sender broke off, `deadline_exceeded` when it took too long. */
  readonly read: (untilMs: number) => Promise<Result<Uint8Array, InferenceRefusal>>
  /** Reads what is left and forgets it, within bounds: a client that is still sending when the connection closes never sees the refusal. */
  readonly discard: () => Promise<void>
  /** Lets go of the bytes: a stream may go on for an hour, and nobody will ask for them again. */
  readonly forget: () => void
  /** How long reading waited for the sender so far. */
  readonly waitedMs: () => number
}

/** A public request as the dialect's route hands it over (http). */
export type Asked = {
  readonly requestId: RequestId
  readonly receivedAtMs: number
  readonly dialect: Dialect
  readonly origin: OriginName
  readonly authorization: string | null
  /** `isochrone-deadline`: absolute, ISO 8601 or milliseconds since the epoch. */
  readonly deadline: string | null
  /** `isochrone-timeout-ms`: relative to the arrival. */
  readonly timeoutMs: string | null
  readonly contentType: string
  readonly header: (name: string) => string | null
  readonly path: ReadBody['path']
  /** `isochrone-session`: the unit that keeps its version and, where the model's rule says so, its endpoint. */
  readonly session: string | null
  readonly body: Body
  /** Aborts when the client goes away, as far as the runtime tells. */
  readonly gone: AbortSignal
}

/** A request that may be served, and by which version (admit). */
export type Admitted = {
  readonly credential: Credential
  readonly wish: Wish
  readonly bytes: Uint8Array
  readonly version: VersionId
  readonly deadlineMs: number
  /** Who waits first when there is no room. */
  readonly priority: Priority
  /** The caller wants to see what was considered, and may. */
  readonly explain: boolean
  readonly assignment: Assignment
}

/** How a request got its version (admit), and so what its outcome counts for. */
export type Assignment = {
  readonly alias: AliasName
  /** The write of the alias that assigned it. */
  readonly write: WriteName
  /** By a signed override (shared/wire/override.ts): the alias has no say. */
  readonly forced: boolean
  /** Whether its outcome tells of the version: not where the caller named or forced one, nor where his client tries again. */
  readonly counts: boolean
  /** The canary to which a copy goes after the answer; null: to none. */
  readonly shadow: VersionId | null
}

/**
 * How a request found its endpoint. leased: it asked the ledger. credit: on a lease held ahead. blind: drawn by weight, because asking would
 * not have paid. headroom, capacity: drawn because the ledger did not answer, by fresh loads or by capacity alone.
 */
export type RouteWay = 'leased' | 'credit' | 'blind' | 'headroom' | 'capacity'

/** Where an attempt goes (route). A lease that was not granted is charged: the ledger learns of it, and it comes back like any other. */
export type Routed = {
  readonly endpoint: Endpoint
  readonly lease: LeaseId
  readonly way: RouteWay
  /** From the caller's origin to the endpoint's region and back, as published; null when nobody knows. */
  readonly roundTripMs: number | null
  /** A second copy may be sent when nothing came by then; null: never. */
  readonly hedgeAfterMs: number | null
}

/** A cell as the request's way saw it. Times in milliseconds; null is unknown. */
export type CellExplained = {
  readonly cell: CellId
  readonly fraction: number
  readonly roundTripMs: number | null
  readonly waitMs: number | null
  readonly blindWaitMs: number | null
  readonly ttftMs: number | null
  /** The way, the wait and the time to the first token together. */
  readonly predictedMs: number | null
  /** Why it was not the first choice; null for the one that was. */
  readonly lost: string | null
}

/** A question to a ledger and what came of it. */
export type AskExplained = {
  readonly cell: CellId
  readonly lease: LeaseId
  readonly answer: string
  readonly tookMs: number
  readonly considered: readonly Considered[]
}

/** One routing of a request. */
export type RoundExplained = {
  readonly purpose: Purpose
  readonly cells: readonly CellExplained[]
  /** Why the ledger was asked; null: it would not have paid, or a credit was at hand. */
  readonly asked: string | null
  readonly asks: readonly AskExplained[]
  readonly spill: { readonly from: CellId; readonly to: CellId } | null
  readonly affinity: { readonly kind: Affinity['kind']; readonly kept: boolean; readonly why: string } | null
  readonly way: RouteWay | null
  readonly endpoint: EndpointId | null
  readonly lease: LeaseId | null
}

/** What was considered on a request's way. */
export type Explanation = {
  readonly rounds: readonly RoundExplained[]
  readonly attempts: readonly Pick<Attempt, 'endpoint' | 'outcome' | 'tookMs' | 'detail'>[]
}

/** Collects the explanation along the way; only there when the caller asked for it. */
export type Explainer = {
  readonly round: (round: Pick<RoundExplained, 'purpose' | 'cells' | 'asked'>) => void
  readonly ask: (ask: AskExplained) => void
  readonly spill: (from: CellId, to: CellId) => void
  readonly found: (routed: Routed, affinity: RoundExplained['affinity']) => void
}

/** An upstream that has answered with a good status (call). Nothing of its body was read; the response is not committed yet. */
export type Called = {
  readonly status: number
  readonly contentType: string
  /** What the upstream has to say to the caller beside its body: a session it began. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: ReadableStreamDefaultReader<Uint8Array>
  readonly lane: Lane
  readonly asking: Asking
  readonly dropped: readonly string[]
  readonly sentAtMs: number
  readonly watch: Watch
}

/** Why a call was ended from this side. */
export type CutReason = 'client_gone' | 'deadline' | 'first_token' | 'stalled'

/** Who may end a call from this side, and that it happens once (call). It lives as long as the answer flows. */
export type Watch = {
  /** Aborts the call. */
  readonly signal: AbortSignal
  readonly cut: (why: CutReason) => void
  /** Why it was cut; null while it was not. */
  readonly why: () => CutReason | null
  /** Stops watching: the call has ended by itself. */
  readonly end: () => void
}

/** An attempt that gave nothing to send (call). */
export type CallFailure = {
  readonly refusal: InferenceRefusal
  readonly outcome: OutcomeKind
  readonly retryable: boolean
}

/** A model's pace: the slowest gap between two events seen lately. It fades with every stream, so that one bad hour is forgotten. */
export type Cadence = { readonly slowestMs: number }

/** How a committed answer ended (stream). */
export type Ended = {
  /** `upstream_refused`: the engine blamed what was asked, after the answer had begun. */
  readonly how: 'complete' | 'client_gone' | 'deadline' | 'upstream_failed' | 'upstream_refused'
  readonly detail: string | null
  readonly bytes: number
  readonly usage: Usage | null
  /** The longest silence between two events of a stream. */
  readonly slowestGapMs: number | null
  /** From the first token of a stream to its last, without the waits for a client who did not read; absent or null: no stream, or no token. */
  readonly pacedMs?: number | null
  /** Of what was generated; null where nothing is, or it was not looked at. */
  readonly sense: Sense | null
}

/** What record learns about each attempt. */
export type Attempt = {
  readonly endpoint: EndpointId
  readonly region: RegionName
  readonly lease: LeaseId
  readonly outcome: OutcomeKind
  readonly tookMs: number
  readonly detail: string | null
}

/** A committed answer (infer). */
export type Answer = {
  readonly status: number
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: ReadableStream<Uint8Array> | Uint8Array
  /** From sending to the first real token, or to the commit when none had come by then. */
  readonly ttfbMs: number
  /** Of a stream, at any time: from sending to its first real token; null while none has come. Absent: an answer in one piece. */
  readonly firstTokenMs?: () => number | null
  readonly ended: Promise<Ended>
}

/** What the response's headers say about the way the request took. */
export type Trail = {
  readonly requestId: RequestId
  readonly version: VersionId | null
  readonly region: RegionName | null
  readonly endpoint: EndpointId | null
  readonly overheadMs: number
}

/** Everything infer learned on a request's way: the answer or the refusal, and what record needs either way. */
export type Walked = {
  readonly answer: Result<Answer, InferenceRefusal>
  readonly trail: Trail
  readonly admitted: Admitted | null
  /** Attempts that ended before the response was committed, already settled: those that failed, and a second copy that was too late. */
  readonly failed: readonly Attempt[]
  /** The attempt that answers, still under way. */
  readonly serving: { readonly routed: Routed; readonly ttfbMs: number; readonly sentAtMs: number } | null
  /** null unless the caller asked for it. */
  readonly explained: Explanation | null
}
