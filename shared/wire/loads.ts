// The fast half of what core publishes: per model, how full its cells are and how demand is spread over them. It changes each second
// where the snapshot changes when something is decided, so it goes beside the snapshot and has no generation: the newest `seq` wins.
// Core gives a ledger the loads of its own model; isolates get them with the ledger's answers.

import type { CellId, EndpointId, ModelName, OriginName } from '../ids.ts'
import type { Share } from './snapshot.ts'

/** How full a cell is. Waits are for a slot, in milliseconds; none of it counts the way there. */
export type CellLoad = {
  readonly cell: CellId
  /** Requests its endpoints run at once, as measured; 0 when none can serve. */
  readonly slots: number
  /** Slots not taken; negative when requests wait. */
  readonly free: number
  /** Expected wait of a request that asks the ledger. */
  readonly waitMs: number
  /** Expected wait of a request that is drawn by weight without asking (Erlang C per endpoint, shared/erlang.ts). */
  readonly blindWaitMs: number
  /** Mean time to the first token once a slot is there; null while nothing was measured. */
  readonly ttftMs: number | null
}

export type ModelLoads = {
  readonly model: ModelName
  /** Grows with each change; core's clock in milliseconds, so that it also grows over a restart. */
  readonly seq: number
  /** When the numbers were true, by core's clock: older than `loadsFreshMs` only the rows are still believed. */
  readonly atMs: number
  readonly cells: readonly CellLoad[]
  /** Rows of fractions by origin, as in the snapshot, with round trips as measured. */
  readonly rows: Readonly<Record<OriginName, readonly Share[]>>
  /** Weights of a blind draw by endpoint: the water-fill over measured speed and residual backlog. Endpoints it does not name get none. */
  readonly weights: Readonly<Record<EndpointId, number>>
}

/**
 * The loads of a model when they are of use at this time; null when unknown, or too old to rely on. Those from further ahead than that are
 * not: one of the two clocks is wrong then, so nobody can tell their age, and they would count as fresh until this clock has caught up.
 */
export function freshLoads(loads: ModelLoads | null | undefined, nowMs: number, freshMs: number): ModelLoads | null {
  return loads && Math.abs(nowMs - loads.atMs) < freshMs ? loads : null
}
