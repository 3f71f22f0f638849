// Ours in one cell: every request asks the cell's real ledger, and comes back to it at its end.

import { limits } from '../../../shared/limits.ts'
import type { OutcomeKind } from '../../../shared/wire/ledger.ts'
import type { PolicyMaker, Visit, World } from '../harness/world.ts'
import { Ledger } from './ledger.ts'
import { endpointName, snapshotOf } from './names.ts'

export type CellOptions = {
  /** A failed attempt is made once more elsewhere, when the ledger's budget allows it. */
  readonly retries?: boolean
  /** What a 429 names as the time to come back. */
  readonly retryAfterMs?: number
  /** Called each second beside the ledger's own sweep: core, as far as the scenario has one. */
  readonly turn?: (ledger: Ledger, world: World) => void
}

export const isochroneCellOf =
  ({ retries = false, retryAfterMs, turn }: CellOptions): PolicyMaker =>
  (world) => {
    const ledger = new Ledger(world, 0, snapshotOf(world))
    world.every(limits.turnMs, limits.turnMs, () => {
      ledger.sweep()
      turn?.(ledger, world)
    })
    const place = (visit: Visit, refused: () => void, so: Parameters<Ledger['ask']>[1] = {}) =>
      ledger.place(visit, { granted: (station) => world.enter(visit, station), refused }, so)
    const mayTryAgain = (visit: Visit, outcome: OutcomeKind): boolean =>
      retries && outcome !== 'good' && visit.attempts < limits.attemptsMax
    return {
      arrive: (visit) => place(visit, () => world.refuse(visit)),
      ended: (visit, station, outcome) => {
        ledger.settle(visit, station, outcome, outcome === 'soft_failure' ? (retryAfterMs ?? null) : null)
        if (!mayTryAgain(visit, outcome)) return false
        place(visit, () => world.giveUp(visit), { purpose: 'retry', avoid: [endpointName(station)] })
        return true
      },
    }
  }

export const isochroneCell: PolicyMaker = isochroneCellOf({})
