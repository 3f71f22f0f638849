// Routers that must fall for an endpoint that fails, although they count exactly: two draws by capacity, the less used of them.

import { drawWeighted } from '../../../shared/random.ts'
import type { PolicyMaker } from '../harness/world.ts'

/** `none`: nothing is ever taken out. `five-in-a-row`: an endpoint is out for half a minute after five hard failures without a good answer between. */
export const p2cExact =
  (breaker: 'none' | 'five-in-a-row'): PolicyMaker =>
  (world) => {
    const inFlight = world.stations.map(() => 0)
    const failedInARow = world.stations.map(() => 0)
    const outUntilMs = world.stations.map(() => 0)
    const slots = (station: number) => world.stations[station]!.slots
    const use = (station: number) => (inFlight[station]! + 1) / slots(station)
    return {
      arrive: (visit) => {
        const all = world.stations.flatMap((_, station) => (outUntilMs[station]! <= world.nowMs ? [station] : []))
        const one = drawWeighted(all, slots, world.random) ?? 0
        const other = drawWeighted(all, (station) => (station === one ? 0 : slots(station)), world.random) ?? one
        const station = use(other) < use(one) ? other : one
        inFlight[station]!++
        world.enter(visit, station)
      },
      ended: (_, station, outcome) => {
        inFlight[station]!--
        failedInARow[station] = outcome === 'hard_failure' ? failedInARow[station]! + 1 : 0
        if (breaker === 'five-in-a-row' && failedInARow[station]! >= 5) {
          outUntilMs[station] = world.nowMs + 30_000
          failedInARow[station] = 0
        }
        return false
      },
    }
  }
