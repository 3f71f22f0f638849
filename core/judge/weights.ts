// Weights of a blind draw by endpoint: a water-fill over measured speed and residual backlog (docs/design/figures.md). Pure.
// A backlog that will be gone before the weights are renewed counts as none, never as less than none: without that clamp weights
// that are a few times older than a service chase the last full endpoint.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'
import { mayServe, type Endpoint } from '../../shared/wire/snapshot.ts'
import type { LedgerRecord } from '../facts.ts'
import { isFresh, perSecond } from '../flow.ts'
import { speedOf } from '../speed.ts'

/** One endpoint. `factor` scales its rate: 1 as measured, less while it is throttled or degraded, 0 takes it out altogether. */
export type Filled = {
  /** Requests it completes per second when all its slots are busy: slots / serviceS. */
  readonly rate: number
  readonly slots: number
  /** Requests it has, those that wait among them. */
  readonly inFlight: number
  /** Mean service in seconds. */
  readonly serviceS: number
  readonly factor: number
}

/**
 * Weights in the order of the endpoints; they sum to one, or are all zero where no endpoint may be drawn.
 * With r the rate and T the interval: b = max(0, inFlight - min(inFlight, slots) T / service) / r is the backlog in seconds that is
 * left when the interval ends; L is the level to which `arrivals` more requests fill all of them, sum of max(0, L - b) r = arrivals;
 * the weight is max(0, L - b) r / arrivals, of which limits.weightFloor goes by rate alone. `arrivals` are those expected in the interval.
 */
export function waterFill(endpoints: readonly Filled[], arrivals: number, intervalS: number): readonly number[] {
  const vessels = endpoints.map(({ rate, slots, inFlight, serviceS, factor }) => {
    const scaled = Math.max(0, rate * factor)
    const done = (Math.min(inFlight, slots) / serviceS) * intervalS
    return { rate: scaled, backlogS: scaled > 0 ? Math.max(0, inFlight - done) / scaled : 0 }
  })
  const total = vessels.reduce((sum, { rate }) => sum + rate, 0)
  if (!(total > 0)) return endpoints.map(() => 0)
  // Whoever draws has at least one request to place.
  const poured = Math.max(1, arrivals)
  const level = levelOf(vessels, poured)
  const shares = vessels.map(({ rate, backlogS }) => {
    const headroom = (Math.max(0, level - backlogS) * rate) / poured
    return (1 - limits.weightFloor) * headroom + (limits.weightFloor * rate) / total
  })
  // One again after rounding, and after the arrivals of one endpoint more or less.
  const whole = shares.reduce((sum, share) => sum + share, 0)
  return shares.map((share) => share / whole)
}

type Vessel = { readonly rate: number; readonly backlogS: number }

/** The level that `poured` requests reach: vessels are taken up in order of backlog until the next one stands above the water. */
function levelOf(vessels: readonly Vessel[], poured: number): number {
  const wet = vessels.filter(({ rate }) => rate > 0).toSorted((a, b) => a.backlogS - b.backlogS)
  let rates = 0
  let held = 0
  let level = 0
  for (const { rate, backlogS } of wet) {
    if (rates > 0 && backlogS >= level) break
    rates += rate
    held += rate * backlogS
    level = (poured + held) / rates
  }
  return level
}

/**
 * Weights of all endpoints that may serve, a water-fill for each version in each cell: whoever draws blind has chosen these two.
 * An operator's weight scales an endpoint's rate. A scrape is no part of it: metrics that are missing change nothing.
 */
export function weightsOf(
  endpoints: readonly Endpoint[],
  ledgers: ReadonlyMap<string, LedgerRecord>,
  nowMs: number,
): ReadonlyMap<EndpointId, number> {
  const weights = new Map<EndpointId, number>()
  for (const ofModel of Map.groupBy(endpoints, ({ model }) => model).values()) {
    const known = ofModel.map((endpoint) => ({ endpoint, load: freshRecord(endpoint, ledgers, nowMs)?.endpoints[endpoint.id] ?? null }))
    const speed = speedOf(known)
    const serving = known.filter(({ endpoint }) => mayServe(endpoint))
    for (const group of Map.groupBy(serving, ({ endpoint }) => `${endpoint.cell} ${endpoint.version}`).values()) {
      const filled = group.map(({ endpoint: { id, slots, weight }, load }) => {
        const serviceS = speed.serviceMsOf(id) / 1_000
        return { rate: slots / serviceS, slots, inFlight: load?.inFlight ?? 0, serviceS, factor: speed.factorOf(id) * weight }
      })
      const perS = group.map(({ endpoint }) => perSecond(ledgers.get(endpoint.cell)?.flow.attempts.get(endpoint.id), nowMs))
      const intervalS = limits.weightsUsedMs / 1_000
      const shares = waterFill(filled, perS.reduce((sum, each) => sum + each, 0) * intervalS, intervalS)
      for (const [index, { endpoint }] of group.entries()) weights.set(endpoint.id, shares[index] ?? 0)
    }
  }
  return weights
}

/** A ledger's numbers as long as they may be used. */
function freshRecord({ cell }: Endpoint, ledgers: ReadonlyMap<string, LedgerRecord>, nowMs: number): LedgerRecord | null {
  const record = ledgers.get(cell)
  return record && isFresh(record, nowMs) ? record : null
}
