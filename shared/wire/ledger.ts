// What isolates and core say to a ledger object, and what it answers. Plain data: it crosses between Workers and deployments, so
// whatever was added later may be missing.

import type { CellId, EndpointId, LeaseId, OriginName, VersionId } from '../ids.ts'
import type { Operation } from '../operations.ts'
import type { Delta } from './delta.ts'
import type { CellLoad, ModelLoads } from './loads.ts'
import type { ProbeOrder, ProbeResult } from './probe.ts'
import type { Snapshot } from './snapshot.ts'
import type { AliasName, TrialTally } from './trial.ts'

/** What became of an attempt (docs/design/overview.md). */
export type OutcomeKind = 'good' | 'soft_failure' | 'hard_failure' | 'cancelled'

/** Who waits first when there is no room. */
export const priorities = ['critical', 'standard', 'batch'] as const
export type Priority = (typeof priorities)[number]

/** What keeps a request near its like. `key` names the session or the beginning of the prompt; equal keys go to one endpoint. */
export type Affinity = {
  readonly kind: 'session' | 'prefix'
  readonly key: string
  /** Hashes of the prompt's blocks of 64 tokens, each over all before it; empty for sessions. */
  readonly blocks: readonly number[]
}

/** What a lease is for: a request's first attempt, its second after a failure, or a second copy beside a slow one. */
export type Purpose = 'first' | 'retry' | 'hedge'

export type Ask = {
  readonly cell: CellId
  readonly leaseId: LeaseId
  readonly version: VersionId
  /** What is asked; only endpoints that can do it, or its translation, are granted. */
  readonly operation?: Operation
  /** The lease ends by itself at this time. */
  readonly deadlineMs: number
  /** Endpoints already tried by this request. */
  readonly avoid: readonly EndpointId[]
  /** The generation the isolate knows; when it is behind, the answer brings the snapshot. */
  readonly generation: number
  /** The loads it knows of the cell's model (ModelLoads.seq); when behind, the answer brings them. */
  readonly loadsSeq?: number
  readonly origin?: OriginName
  readonly priority?: Priority
  readonly purpose?: Purpose
  readonly affinity?: Affinity | null
  /** The cell whose ledger sent the request on: it is not sent on again. */
  readonly spilledFrom?: CellId | null
  /** The jurisdiction that the request must not leave; null: none. */
  readonly residency?: string | null
  /** Leases wanted ahead for requests like this one. */
  readonly credits?: number
  /** Whether the answer shall say what was considered. */
  readonly explain?: boolean
  /** The alias that assigned the version. The ledger grants nothing of a version that the alias no longer serves; absent: it cannot tell. */
  readonly alias?: AliasName
  /** The caller was let in to this very version (shared/wire/override.ts), whatever the alias says. */
  readonly forced?: boolean
  /** A copy that reaches nobody: it gets a place only where there is plenty, and never waits. */
  readonly shadow?: boolean
  /** What else the isolate has to tell. */
  readonly report?: Report
}

/**
 * no_room: all places are taken and the queue is full, or the wait would be longer than the request has.
 * withdrawn: the alias no longer serves this version. The news that comes with the answer says which it serves.
 * retry_budget, hedge_budget: this cell has had its share of second attempts.
 */
export type Denial = 'no_room' | 'withdrawn' | 'no_healthy_endpoint' | 'no_endpoint' | 'no_snapshot' | 'retry_budget' | 'hedge_budget'

/** A lease granted ahead; it ends at `expiresAtMs` unless a charge of the same id takes it up. */
export type Credit = { readonly leaseId: LeaseId; readonly endpoint: EndpointId; readonly expiresAtMs: number }

/** One endpoint as the ledger saw it when it decided. Times in milliseconds. */
export type Considered = {
  readonly endpoint: EndpointId
  readonly inFlight: number
  readonly cap: number
  readonly waitMs: number
  readonly prefillMs: number
  readonly predictedMs: number
  /** Why it was not chosen; null for the one that was. */
  readonly lost: string | null
}

export type Granted = {
  readonly endpoint: EndpointId
  /** A second copy may be sent when nothing came by then; absent or null: never. */
  readonly hedgeAfterMs?: number | null
  readonly affinity?: 'session' | 'prefix' | 'left' | null
}

/** What every answer of a ledger brings along. */
export type News = {
  readonly generation: number
  /** The whole, for whoever is so far behind that `deltas` cannot bring him here. */
  readonly snapshot: Snapshot | null
  /** What changed since the generation that the asker knows, each to be applied to the one before. */
  readonly deltas?: readonly Delta[]
  /** Names this life of the object: after another, leases of the one before are reported again as charges. */
  readonly life?: string
  readonly loads?: ModelLoads | null
  /** The cell as the ledger knows it now, fresher than `loads`. */
  readonly load?: CellLoad | null
  /** Places are scarce: give leases back at once instead of with the next report. */
  readonly tight?: boolean
}

export type AskAnswer = News & {
  readonly lease: Granted | null
  /** Set when there is neither a lease nor another way. */
  readonly denied: Denial | null
  /** Placed in the queue: `wait` with the same lease id brings the lease. */
  readonly queued?: { readonly predictedMs: number } | null
  /** Sent on: ask this cell's ledger, once. */
  readonly spill?: { readonly cell: CellId } | null
  /** With `no_room`: when a place is expected. */
  readonly retryAfterMs?: number
  readonly credits?: readonly Credit[]
  readonly considered?: readonly Considered[]
}

/** The end of a wait in the queue. */
export type WaitAnswer = News & { readonly lease: Granted | null; readonly denied: Denial | null; readonly waitedMs: number }

/** A lease comes back. `endpoint` lets an outcome count where the lease itself is no longer known. */
export type Settled = {
  readonly leaseId: LeaseId
  readonly outcome: OutcomeKind
  /** From sending to the first token; null where none was seen apart from the rest: an answer in one piece has none. */
  readonly ttfbMs: number | null
  readonly endpoint?: EndpointId
  /** From sending to the last byte. */
  readonly tookMs?: number
  /** Of a soft failure: when the engine wants to be asked again. */
  readonly retryAfterMs?: number | null
  /** Prompt tokens that were not in the engine's cache, as far as known. */
  readonly promptTokens?: number | null
  /** An earlier life of the object has heard it: it frees the lease, should that have been kept, and is counted no more. */
  readonly again?: boolean
}

/**
 * A request that is on its way without having asked: drawn blind, on a credit, or granted by an earlier life of the object.
 * A fact, not a question: it counts even where there was no room.
 */
export type Charge = {
  readonly leaseId: LeaseId
  readonly endpoint: EndpointId
  readonly version: VersionId
  readonly operation?: Operation
  readonly deadlineMs: number
  readonly why: 'blind' | 'credit' | 'again'
  readonly affinity?: Affinity | null
}

/** What an isolate has to tell beside its question. */
export type Report = {
  readonly settled: readonly Settled[]
  readonly charges: readonly Charge[]
  /** Requests by origin that reached this cell without asking. */
  readonly arrivals?: Readonly<Record<OriginName, number>>
  /** Round trips of ledger calls as this isolate measured them. */
  readonly roundTrips?: readonly { readonly origin: OriginName; readonly ms: number }[]
  /** How requests found their endpoint: leased, blind, credit, headroom, capacity (the last two without a ledger). */
  readonly ways?: Readonly<Record<string, number>>
  /** What versions did, one for each identity. */
  readonly trials?: readonly TrialTally[]
}

/** A report on its own. */
export type Flush = { readonly cell: CellId; readonly generation: number; readonly loadsSeq: number; readonly report: Report }

/** Sums of one endpoint over a block. */
export type EndpointBlock = Readonly<Record<OutcomeKind, number>> & {
  /** Over good answers whose time is known: how many, and their sum in milliseconds. */
  readonly timed: number
  readonly tookMsSum: number
  /** Likewise of times to the first token, which only streams have; absent in blocks of earlier releases: as many as `timed`. */
  readonly ttfbTimed?: number
  readonly ttfbMsSum: number
}

/** Exact numbers of one period; blocks are numbered within a life and told until core has confirmed them. */
export type Block = {
  readonly seq: number
  readonly fromMs: number
  readonly untilMs: number
  readonly endpoints: Readonly<Record<EndpointId, EndpointBlock>>
  readonly arrivals: Readonly<Record<OriginName, number>>
  readonly roundTrips: Readonly<Record<OriginName, { readonly count: number; readonly msSum: number }>>
  readonly ways: Readonly<Record<string, number>>
  /** What versions did, one for each identity; absent in blocks of earlier releases. */
  readonly trials?: readonly TrialTally[]
}

export type BreakerState = 'closed' | 'open' | 'half_open' | 'slow_start'

/** One endpoint as its ledger knows it now. */
export type EndpointLoad = {
  readonly inFlight: number
  /** What it is given at most; below its slots while it is throttled or starts slowly. */
  readonly cap: number
  readonly breaker: BreakerState
  /** Mean over completions; null while none was seen. */
  readonly serviceMs: number | null
  readonly ttftMs: number | null
  readonly lastGoodAtMs: number | null
  /** Why the breaker last opened, with both values; null when it never did. */
  readonly reason: string | null
}

/** Core's call, once a turn: news and orders down, the exact numbers up. */
export type Exchange = {
  readonly snapshot: Snapshot | null
  /** Instead of the snapshot, for a ledger that has the one before. One that it cannot apply leaves it behind, and the whole follows. */
  readonly delta?: Delta | null
  /** Over the (resulting) snapshot as JSON (shared/signature.ts); null while the deployment has no secret. */
  readonly signature?: string | null
  readonly cell: string | null
  readonly loads?: ModelLoads | null
  readonly probes?: readonly ProbeOrder[]
  /** The last block that core has, and the life it is of. */
  readonly confirmed?: { readonly life: string; readonly seq: number } | null
}

export type ExchangeAnswer = {
  readonly generation: number
  readonly life: string
  readonly endpoints: Readonly<Record<EndpointId, EndpointLoad>>
  readonly blocks: readonly Block[]
  readonly queued: number
  readonly load: CellLoad | null
  readonly probes: readonly ProbeResult[]
}

export type SnapshotAnswer = { readonly generation: number; readonly snapshot: Snapshot | null }

/** The ledger object's calls. */
export type LedgerCalls = {
  /** Answers at once. */
  ask(ask: Ask): Promise<AskAnswer>
  /** Answers when the queued request has its lease, or can no longer get one. */
  wait(cell: CellId, leaseId: LeaseId): Promise<WaitAnswer>
  report(flush: Flush): Promise<News>
  exchange(exchange: Exchange): Promise<ExchangeAnswer>
  /** The snapshot when it is newer than the generation given. */
  snapshotSince(generation: number): Promise<SnapshotAnswer>
}

/** Name of the ledger object that keeps the snapshot for isolates of an origin that know no cell yet. It has no endpoints of its own. */
export const homeNameOf = (origin: string): string => `home:${origin}`
