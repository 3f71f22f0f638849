// One region's endpoints split into several cells, each with a real ledger of its own: the isolate draws a cell by capacity, and the
// ledger keeps, queues or spills once, as between regions.

import { drawWeighted } from '../../../shared/random.ts'
import { limits } from '../../../shared/limits.ts'
import type { PolicyMaker, Visit } from '../harness/world.ts'
import { Core } from './core.ts'
import { Ledger } from './ledger.ts'
import { originName, snapshotOf } from './names.ts'

export const splitCell =
  ({ spills }: { readonly spills: boolean }): PolicyMaker =>
  (world) => {
    const snapshot = snapshotOf(world)
    const cells = world.layout.regions.map((_, region) => region)
    const ledgers = cells.map((region) => new Ledger(world, region, snapshot))
    const core = new Core(world, ledgers, snapshot)
    world.every(limits.turnMs, limits.turnMs, () => core.turn())
    const capacityOf = (cell: number): number => world.layout.regions[cell]!.reduce((sum, slots) => sum + slots, 0)

    const ask = (visit: Visit, cell: number, from: number | null): void => {
      const ledger = ledgers[cell]!
      // A request that has been sent on once is not sent on again; here, or from the start.
      const spilledFrom = spills ? (from === null ? null : ledgers[from]!.book.cell) : ledger.book.cell
      const placed = {
        granted: (station: number) => world.enter(visit, station),
        spilled: (other: number) => ask(visit, other, cell),
        refused: () => world.refuse(visit),
      }
      ledger.place(visit, placed, { origin: originName(0), spilledFrom })
    }
    return {
      arrive: (visit) => ask(visit, drawWeighted(cells, capacityOf, world.random) ?? 0, null),
      ended: (visit, station, outcome) => {
        ledgers[world.regionOf[station]!]!.settle(visit, station, outcome)
        return false
      },
    }
  }
