// Weights of a blind draw by endpoint: a water-fill over measured speed and residual backlog (docs/design/figures.md). Pure.
// A backlog that will be gone before the weights are renewed counts as none, never as less than none: without that clamp weights
// that are a few times older than a service chase the last full endpoint.

import { limits } from '../../shared/limits.ts'

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
