// Whether asking a cell's ledger is worth its round trip. Pure. It buys the difference between the wait of a draw by weight and that of an
// exact pick; core publishes the former for each cell (docs/design/figures.md: ask when it pays).

import type { Affinity, Purpose } from '../../shared/wire/ledger.ts'
import type { CellLoad } from '../../shared/wire/loads.ts'
import type { Strategy } from '../../shared/wire/snapshot.ts'

/**
 * second_attempt: only the ledger knows whether its budget allows one. strategy, prefix, hedging: what only the ledger can do.
 * trial: an endpoint of the cell waits for the one request that shows whether it is well, and only its ledger may send it there.
 * unknown_load: nothing fresh is known of the cell, or that nobody in it can serve, which its ledger alone can take back. own_burst: this isolate alone has since taken more than half of what was free then.
 * blind_wait: a draw would wait longer than the question takes.
 */
export type AskReason = 'second_attempt' | 'strategy' | 'prefix' | 'hedging' | 'trial' | 'unknown_load' | 'own_burst' | 'blind_wait'

export type Prospect = {
  readonly purpose: Purpose
  readonly strategy: Strategy
  readonly affinity: Affinity | null
  readonly mayHedge: boolean
  /** An endpoint of the cell that could serve this request is published as probing. */
  readonly onTrial: boolean
  /** The cell as last told; null when that is too long ago. */
  readonly load: CellLoad | null
  /** null when the row does not name the cell. */
  readonly roundTripMs: number | null
  /** Requests that this isolate has sent there since `load` was true and that still run. */
  readonly ownBurst: number
}

/** Why the ledger is asked; null: a draw by weight is as good, and sooner. */
export function whyAsk(at: Prospect): AskReason | null {
  if (at.purpose !== 'first') return 'second_attempt'
  if (at.strategy !== 'least-latency') return 'strategy'
  if (at.affinity?.kind === 'prefix') return 'prefix'
  if (at.mayHedge) return 'hedging'
  if (at.onTrial) return 'trial'
  // Without core nobody publishes that an endpoint is out; its ledger's own numbers say it.
  if (at.load === null || at.load.slots <= 0 || at.roundTripMs === null) return 'unknown_load'
  // The published numbers are a second old; a burst that came through here since must not be hidden by them.
  if (at.ownBurst > at.load.free / 2) return 'own_burst'
  return at.load.blindWaitMs > at.roundTripMs ? 'blind_wait' : null
}
