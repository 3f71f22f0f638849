// Ours without a ledger: a draw by the weights that core last published, or by capacity once those are too old to be of use.

import { waterFill, type Filled } from '../../../core/judge/weights.ts'
import { learn, newSpeed, serviceMs } from '../../../edge/ledger/speed.ts'
import { drawBlind } from '../../../edge/route/fallback.ts'
import { limits } from '../../../shared/limits.ts'
import { freshLoads, type ModelLoads } from '../../../shared/wire/loads.ts'
import type { PolicyMaker } from '../harness/world.ts'
import { endpointName, model, snapshotOf, stationOf } from './names.ts'

export type WeightsOf = (endpoints: readonly Filled[], arrivals: number, intervalS: number) => readonly number[]

export type FallbackOptions = {
  /** How often core looks, and publishes. */
  readonly everyMs: number
  readonly weightsOf?: WeightsOf
  /** The service time that weights rest on: as measured over completions, or what somebody configured. */
  readonly configuredServiceMs?: number
  /** Sees each set of weights, by station. */
  readonly onPublish?: (weights: readonly number[], nowMs: number) => void
}

export const fallback =
  ({ everyMs, weightsOf = waterFill, configuredServiceMs, onPublish }: FallbackOptions): PolicyMaker =>
  (world) => {
    const { endpoints } = snapshotOf(world)
    const speeds = world.stations.map(() => newSpeed())
    const startedAtMs = new Map<number, number>()
    let loads: ModelLoads | null = null
    let arrived = 0

    const publish = () => {
      const filled = world.stations.map(({ slots, inFlight }, station): Filled => {
        const serviceS = (configuredServiceMs ?? serviceMs(speeds[station]!) ?? 1_000) / 1_000
        return { rate: slots / serviceS, slots, inFlight, serviceS, factor: 1 }
      })
      // Arrivals expected until the next look: the mean rate so far.
      const perMs = world.nowMs > 0 ? arrived / world.nowMs : 0
      const weights = weightsOf(filled, perMs * everyMs, everyMs / 1_000)
      onPublish?.(weights, world.nowMs)
      loads = {
        model,
        seq: world.nowMs + 1,
        atMs: world.nowMs,
        cells: [],
        rows: {},
        weights: Object.fromEntries(weights.map((weight, station) => [endpointName(station), weight])),
      }
    }
    world.every(everyMs, everyMs, publish)

    return {
      arrive: (visit) => {
        arrived++
        const fresh = freshLoads(loads, world.nowMs, limits.loadsFreshMs)
        const endpoint = drawBlind({ endpoints, loads: fresh, isAside: () => false, key: null }, world.random)
        if (!endpoint) return world.refuse(visit)
        world.enter(visit, stationOf(endpoint.id))
      },
      started: (visit) => void startedAtMs.set(visit.request.index, world.nowMs),
      ended: (visit, station, outcome) => {
        const { index } = visit.request
        const tookMs = world.nowMs - (startedAtMs.get(index) ?? world.nowMs)
        startedAtMs.delete(index)
        learn(speeds[station]!, { outcome, ttfbMs: 0, tookMs }, world.nowMs)
        return false
      },
    }
  }

/** The same water-fill as core's without its clamp: a backlog that will be gone in time counts as less than none. */
export const unclamped: WeightsOf = (endpoints, arrivals, intervalS) => {
  const vessels = endpoints.map(({ rate, slots, inFlight, serviceS }) => ({
    rate,
    backlogS: (inFlight - (Math.min(inFlight, slots) / serviceS) * intervalS) / rate,
  }))
  const poured = Math.max(1, arrivals)
  const levels = vessels
    .map(({ backlogS }) => backlogS)
    .toSorted((a, b) => a - b)
    .map((_, count, sorted) => {
      const wet = vessels.filter(({ backlogS }) => backlogS <= sorted[count]!)
      const rates = wet.reduce((sum, { rate }) => sum + rate, 0)
      return (poured + wet.reduce((sum, { rate, backlogS }) => sum + rate * backlogS, 0)) / rates
    })
  const level = Math.min(...levels)
  return vessels.map(({ rate, backlogS }) => (Math.max(0, level - backlogS) * rate) / poured)
}
