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
        if (breaker === 'five-in-a-row' && failedInARow[station] >= 5) {
          outUntilMs[station] = world.nowMs + 30_000
          failedInARow[station] = 0
        }
        return false
      },
    }
  }

/** A budget of 20 % kept by each isolate, with a floor of ten a second, as Finagle has it: few requests per isolate, and all of them are retried. */
export const retryFloor: PolicyMaker = (world) => {
  const floorPerS = 10
  const seconds = Array.from({ length: world.layout.isolates }, () => ({ second: -1, retries: 0, firsts: 0 }))
  const all = world.stations.map((_, station) => station)
  const draw = () => drawWeighted(all, (station) => world.stations[station]!.slots, world.random) ?? 0
  return {
    arrive: (visit) => {
      seconds[visit.request.isolate]!.firsts++
      world.enter(visit, draw())
    },
    ended: (visit, _, outcome) => {
      const mine = seconds[visit.request.isolate]!
      const second = Math.floor(world.nowMs / 1_000)
      if (second !== mine.second) Object.assign(mine, { second, retries: 0, firsts: 0 })
      const allowed = visit.attempts < 2 && outcome !== 'good' && mine.retries < floorPerS + 0.2 * mine.firsts
      if (!allowed) return false
      mine.retries++
      world.enter(visit, draw())
      return true
    },
  }
}
