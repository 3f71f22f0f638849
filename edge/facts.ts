// What passes between the stages of a request. Data only; who makes it is said beside each type.

import type { Result } from '../shared/result.ts'
import type { InferenceRefusal } from '../shared/refusal.ts'
import type { EndpointId, LeaseId, ModelName, OriginName, RegionName, RequestId, VersionId } from '../shared/ids.ts'
import type { Credential } from '../shared/wire/credential.ts'
import type { Endpoint } from '../shared/wire/snapshot.ts'
import type { OutcomeKind } from '../shared/wire/ledger.ts'

export type Operation = 'chat' | 'completions' | 'embeddings'

/** What a body asks for, as far as the platform has to know; the body itself goes on untouched. */
export type Wish = {
  readonly model: ModelName
  readonly stream: boolean
  /** The dialect's own user field: a unit for version assignment. */
  readonly user: string | null
}

/** One public protocol operation: where it goes upstream and how its body is read. Pure. */
export type Dialect = {
  readonly operation: Operation
  readonly upstreamPath: string
  readonly read: (body: unknown) => Result<Wish, InferenceRefusal>
}

/** The request's body; it can be read more than once, but leaves the wire only once. */
export type Body = {
  /** Refuses `body_too_large` above the limit, `body_incomplete` when the sender broke off, `deadline_exceeded` when it took too long. */
  readonly read: (untilMs: number) => Promise<Result<Uint8Array, InferenceRefusal>>
  /** Reads what is left and forgets it, within bounds: a client that is still sending when the connection closes never sees the refusal. */
  readonly discard: () => Promise<void>
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
  /** `isochrone-session`: the unit that keeps its version, and later its endpoint. */
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
}

/** Where an attempt goes (route). Without a ledger there is no lease to give back. */
export type Routed = {
  readonly endpoint: Endpoint
  readonly lease: LeaseId | null
}

/** An upstream that has begun to answer (call). The first chunk is in hand; the response is not committed yet. */
export type Called = {
  readonly status: number
  readonly contentType: string
  readonly first: Uint8Array
  readonly rest: ReadableStreamDefaultReader<Uint8Array>
  readonly ttfbMs: number
  readonly watch: Watch
}

/** Why a call was ended from this side. */
export type CutReason = 'client_gone' | 'deadline'

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

/** How a committed answer ended (stream). */
export type Ended = {
  readonly how: 'complete' | 'client_gone' | 'deadline' | 'upstream_failed'
  readonly detail: string | null
  readonly bytes: number
}

/** What record learns about each attempt. */
export type Attempt = {
  readonly endpoint: EndpointId
  readonly region: RegionName
  readonly lease: LeaseId | null
  readonly outcome: OutcomeKind
  readonly ttfbMs: number | null
  readonly detail: string | null
}

/** A committed answer (infer). */
export type Answer = {
  readonly status: number
  readonly contentType: string
  readonly body: ReadableStream<Uint8Array> | Uint8Array
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
  /** Attempts that ended before the response was committed, already settled. */
  readonly failed: readonly Attempt[]
  /** The attempt that answers, still under way. */
  readonly serving: { readonly routed: Routed; readonly ttfbMs: number } | null
}
