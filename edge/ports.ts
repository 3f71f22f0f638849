// What the request's way needs from outside, as types. Adapters implement them; deps.ts joins the two; tests give fakes.

import type { Result } from '../shared/result.ts'
import type { CellId, EndpointId, KeyId, LeaseId, ModelName, OriginName, VersionId } from '../shared/ids.ts'
import type { Operation } from '../shared/operations.ts'
import type { Clock, Timer } from '../shared/time.ts'
import type { Random } from '../shared/random.ts'
import type { Endpoint, Snapshot } from '../shared/wire/snapshot.ts'
import type { Cadence, RouteWay } from './facts.ts'
import type { Credential } from '../shared/wire/credential.ts'
import type { CellLoad, ModelLoads } from '../shared/wire/loads.ts'
import type { Signer } from '../shared/signature.ts'
import type { Ask, AskAnswer, Charge, Credit, News, Settled, WaitAnswer } from '../shared/wire/ledger.ts'
import type { TrialTally } from '../shared/wire/trial.ts'

/** The snapshot as this isolate knows it. */
export type Snapshots = {
  /** Memory, checked with the origin's home when nobody has confirmed it lately; else the home's, else KV's last-known-good; null when none has one. */
  readonly current: (origin: OriginName) => Promise<Snapshot | null>
  /** A newer one than `known`, when memory or the home object has it; null when `known` was confirmed lately or nobody answers in time. */
  readonly newerThan: (known: Snapshot, origin: OriginName) => Promise<Snapshot | null>
  /** What memory holds, when it is newer than `known`; asks nobody. */
  readonly newest: (known: Snapshot) => Snapshot | null
  /** Takes over what a ledger's answer brought; a lower generation than the known one is ignored. */
  readonly adopt: (answer: Pick<News, 'generation' | 'snapshot'> & Partial<Pick<News, 'deltas'>>) => void
}

export type CredentialLookup = { readonly found: Credential } | 'unknown' | 'unreachable'

export type Credentials = {
  /** The record of a key, never older than what the snapshot says of it. */
  readonly find: (id: KeyId, snapshot: Snapshot) => Promise<CredentialLookup>
}

/** Requests that are alike for the ledger: what is granted ahead for one serves another. */
export type CreditKind = {
  readonly cell: CellId
  readonly version: VersionId
  readonly operation: Operation
  readonly residency: string | null
}

export type Question = {
  /** The adapter adds what it has to tell. */
  readonly ask: Omit<Ask, 'report' | 'credits' | 'loadsSeq' | 'origin'>
  readonly origin: OriginName
  /** Bounds the wait for the answer; null when nobody knows the way. */
  readonly roundTripMs: number | null
  /** Leases ahead may be asked for along with it, for requests of this kind; null: not for this one. */
  readonly creditsFor: CreditKind | null
}

/** The cells' ledgers. What is told, not asked, leaves with the next question or a moment later, and never fails. */
export type Ledgers = {
  /** 'unreachable' when there is no answer in time (a lease granted too late is given back). */
  readonly ask: (question: Question) => Promise<Result<AskAnswer, 'unreachable'>>
  /** Waits in the queue for at most `forMs`. When that is over, or the client has gone, the place is given up at once. */
  readonly wait: (ask: Question['ask'], forMs: number, gone: AbortSignal) => Promise<Result<WaitAnswer, 'unreachable' | 'over' | 'gone'>>
  /** A lease granted ahead, used up by this; null when none is held. Counts the request: how many there are decides how many credits are asked for. */
  readonly credit: (kind: CreditKind, isUsable: (endpoint: EndpointId) => boolean) => Credit | null
  /** A request is on its way without having asked. */
  readonly charge: (cell: CellId, charge: Charge) => void
  /** A lease comes back with what became of it. */
  readonly settle: (cell: CellId, settled: Settled) => void
  /** A lease comes back unused, or a place in the queue is given up: told at once. */
  readonly giveBack: (cell: CellId, lease: LeaseId) => void
  /** Counts a request where it was sent first, and how it found its endpoint. */
  readonly count: (cell: CellId, request: { readonly way: RouteWay; readonly origin: OriginName }) => void
  /** What a version did, to be summed and told with the next report. */
  readonly tally: (cell: CellId, tally: TrialTally) => void
  /** Leases of this isolate in the cell that are live now and began at this time or later. */
  readonly begunSince: (cell: CellId, sinceMs: number) => number
}

/** How full the cells are, as this isolate was last told. */
export type Loads = {
  /** The model's numbers; null when unknown or too old to rely on. */
  readonly fresh: (model: ModelName) => ModelLoads | null
  /** The last known, however old: where demand comes from and how far it is changes slowly, so rows outlast the numbers of the moment. */
  readonly latest: (model: ModelName) => ModelLoads | null
  /** One cell's and when it was true, from its own last answer when that is newer; null when unknown or too old. */
  readonly cell: (model: ModelName, cell: CellId) => { readonly load: CellLoad; readonly atMs: number } | null
}

/** What this isolate does on its own account. */
export type Reflexes = {
  /** An endpoint has failed a request here: it is left aside for a moment. */
  readonly failed: (endpoint: EndpointId) => void
  readonly isAside: (endpoint: EndpointId) => boolean
  /** Each request puts a part of a retry aside, for when no ledger can be asked. */
  readonly depositRetry: () => void
  /** Whether one may be made without a ledger; it is used up by this. */
  readonly takeRetry: () => boolean
}

export type UpstreamRequest = {
  /** Whom to call: address, kind and sealed credential. */
  readonly endpoint: Endpoint
  readonly method: 'GET' | 'POST'
  /** Begins with a slash; appended to the endpoint's url by protocols that have paths. */
  readonly path: string
  /** All that is sent beside the credential; a credential among them is not sent. */
  readonly headers: Readonly<Record<string, string>>
  /** Not sent with GET. */
  readonly body: Uint8Array
  /** The only bound on time: it ends the wait for the answer, and the answer's body. */
  readonly signal: AbortSignal
  /** Whether events are expected; some protocols have another call for that. */
  readonly stream: boolean
}

export type UpstreamAnswer = {
  readonly status: number
  readonly contentType: string
  readonly retryAfter: string | null
  /** What the server told beside the body, under our own names: `isochrone-session` when it opened a session. */
  readonly headers?: Readonly<Record<string, string>>
  /** Fails when the connection breaks, when the signal aborts, or with BrokenStream where the server says that its stream failed. */
  readonly body: ReadableStream<Uint8Array> | null
}

/** No answer: not reached, a redirect, a private address, a credential that cannot be opened. The detail never contains credentials. */
export type UpstreamFailure = { readonly detail: string }

/** The outside world of model servers. Never rejects. */
export type Upstream = {
  readonly send: (request: UpstreamRequest) => Promise<Result<UpstreamAnswer, UpstreamFailure>>
}

/** Why a body failed, where its adapter knows: the model, the service in front of it, or a connection that was cut. */
export class BrokenStream extends Error {
  override readonly name = 'BrokenStream'
  readonly code: 'model_stream_error' | 'service_stream_failure' | 'cut'
  constructor(code: BrokenStream['code'], message: string, options?: { readonly cause: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** One structured line per request. */
export type RequestLine = Readonly<Record<string, string | number | boolean | null | readonly unknown[]>>

/** The pace of each model as this isolate has seen it. */
export type Cadences = {
  readonly of: (version: VersionId) => Cadence | null
  readonly learn: (version: VersionId, gapMs: number) => void
}

/** Places of this isolate for copies that go to a canary: who has none is not copied. */
export type Shadows = {
  /** Whether there was one. It is kept from the answer's beginning to the copy's end. */
  readonly take: () => boolean
  readonly leave: () => void
  /** A copy that was due is not made. */
  readonly drop: () => void
  /** How many were not made since this was last asked. */
  readonly dropped: () => number
}

export type EdgePorts = {
  readonly clock: Clock
  readonly timer: Timer
  readonly random: Random
  readonly snapshots: Snapshots
  readonly credentials: Credentials
  readonly ledgers: Ledgers
  readonly loads: Loads
  readonly reflexes: Reflexes
  readonly upstream: Upstream
  readonly cadences: Cadences
  /** Verifies signed overrides; null while the deployment has no secret. */
  readonly overrides: () => Promise<Signer | null>
  readonly shadows: Shadows
  readonly log: (line: RequestLine) => void
  /** Work that goes on after the response was sent. */
  readonly afterResponse: (work: Promise<unknown>) => void
}
