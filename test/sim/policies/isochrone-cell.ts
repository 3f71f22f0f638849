// Ours in one cell: every request asks the cell's real ledger, and comes back to it at its end.

import { limits } from '../../../shared/limits.ts'
import type { OutcomeKind } from '../../../shared/wire/ledger.ts'
import type { PolicyMaker, Visit } from '../harness/world.ts'
import { Core, type Probed } from './core.ts'
import { Ledger } from './ledger.ts'
import { endpointName, snapshotOf } from './names.ts'

export type CellOptions = {
  /** A failed attempt is made once more elsewhere, when the ledger's budget allows it. */
  readonly retries?: boolean
  /** What a 429 names as the time to come back. */
  readonly retryAfterMs?: number
  /** How servers answer probes; without it core judges nothing. */
  readonly probed?: Probed
  /** Called after each of core's turns. */
  readonly onTurn?: (core: Core, ledger: Ledger) => void
}

export const isochroneCellOf =
  ({ retries = false, retryAfterMs, probed, onTurn }: CellOptions): PolicyMaker =>
  (world) => {
    const snapshot = snapshotOf(world)
    const ledger = new Ledger(world, 0, snapshot)
    const core = new Core(world, [ledger], snapshot, probed ?? null)
    world.every(limits.turnMs, limits.turnMs, () => {
      core.turn()
      onTurn?.(core, ledger)
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
