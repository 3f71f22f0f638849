// What isolates and core say to a ledger object, and what it answers. Plain data: it crosses between Workers and deployments.

import type { CellId, EndpointId, LeaseId, VersionId } from '../ids.ts'
import type { Operation } from '../operations.ts'
import type { Snapshot } from './snapshot.ts'

/** What became of an attempt (docs/design/overview.md). */
export type OutcomeKind = 'good' | 'soft_failure' | 'hard_failure' | 'cancelled'

export type Ask = {
  readonly cell: CellId
  readonly leaseId: LeaseId
  readonly version: VersionId
  /** What is asked; only endpoints that can do it, or its translation, are granted. Absent in calls of before there was more than one kind. */
  readonly operation?: Operation
  /** The lease ends by itself at this time. */
  readonly deadlineMs: number
  /** Endpoints already tried by this request. */
  readonly avoid: readonly EndpointId[]
  /** The generation the isolate knows; when it is behind, the answer brings the snapshot. */
  readonly generation: number
}

export type Denial = 'no_room' | 'no_healthy_endpoint' | 'no_endpoint' | 'no_snapshot'

export type AskAnswer = {
  readonly lease: { readonly endpoint: EndpointId } | null
  /** Set when `lease` is null. */
  readonly denied: Denial | null
  readonly generation: number
  readonly snapshot: Snapshot | null
}

export type Settled = { readonly leaseId: LeaseId; readonly outcome: OutcomeKind; readonly ttfbMs: number | null }

/** Core's call, once a turn: a newer snapshot down, the exact numbers up. */
export type Exchange = { readonly snapshot: Snapshot | null; readonly cell: string | null }

export type ExchangeAnswer = {
  readonly generation: number
  readonly inFlight: Readonly<Record<string, number>>
  /** Outcomes since the last exchange, per endpoint. */
  readonly outcomes: Readonly<Record<string, Readonly<Record<OutcomeKind, number>>>>
}

export type SnapshotAnswer = { readonly generation: number; readonly snapshot: Snapshot | null }

/** The ledger object's calls. */
export type LedgerCalls = {
  ask(ask: Ask): Promise<AskAnswer>
  settle(settled: readonly Settled[]): Promise<void>
  exchange(exchange: Exchange): Promise<ExchangeAnswer>
  /** The snapshot when it is newer than the generation given. */
  snapshotSince(generation: number): Promise<SnapshotAnswer>
}

/** Name of the ledger object that keeps the snapshot for isolates of an origin that know no cell yet. It has no endpoints of its own. */
export const homeNameOf = (origin: string): string => `home:${origin}`
