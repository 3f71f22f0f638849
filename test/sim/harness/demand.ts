// What callers ask, drawn before anything is decided: every policy of a scenario and seed meets the same arrivals with the same service
// times (common random numbers), so that their difference is the policy's alone.

import { drawWeighted, seededRandom, type Random } from '../../../shared/random.ts'

export type Request = {
  readonly index: number
  readonly atMs: number
  /** What an engine of normal speed needs for it, once it has a slot. */
  readonly serviceMs: number
  /** Index of the region whose callers asked. */
  readonly origin: number
  /** The isolate that took it in. */
  readonly isolate: number
}

export type DemandOptions = {
  readonly seed: number
  readonly ratePerS: number
  /** Mean service time; log-normal with a coefficient of variation of one. */
  readonly serviceTimeS: number
  readonly requests: number
  readonly isolates?: number
  /** Parts of the demand by origin; one origin when absent. */
  readonly origins?: readonly number[]
}

/** Poisson arrivals from time zero on. An isolate takes in requests of one origin; each origin has isolates in proportion to its demand. */
export function demandOf(options: DemandOptions): readonly Request[] {
  const { seed, ratePerS, serviceTimeS, requests, isolates = 1, origins = [1] } = options
  // One stream of chance per quantity: another number of isolates must not change the arrivals.
  const stream = (number: number): Random => seededRandom(seed * 1_000 + number)
  const [gaps, services, places, takers] = [stream(1), stream(2), stream(3), stream(4)]
  const originIndexes = origins.map((_, index) => index)
  const isolatesOf = origins.map((share) => Math.max(1, Math.round(share * isolates)))
  const firstOf = isolatesOf.map((_, origin) => isolatesOf.slice(0, origin).reduce((sum, count) => sum + count, 0))
  let atMs = 0
  return Array.from({ length: requests }, (_, index) => {
    atMs += exponential(1_000 / ratePerS, gaps)
    const origin = drawWeighted(originIndexes, (each) => origins[each] ?? 0, places) ?? 0
    const isolate = (firstOf[origin] ?? 0) + Math.floor(takers() * (isolatesOf[origin] ?? 1))
    return { index, atMs, serviceMs: logNormal(1_000 * serviceTimeS, services), origin, isolate }
  })
}

const exponential = (mean: number, random: Random): number => -mean * Math.log(1 - random())

/** CV 1 means sigma^2 = ln 2; the mean of a log-normal is exp(mu + sigma^2 / 2). */
function logNormal(mean: number, random: Random): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return mean * Math.exp(Math.sqrt(Math.LN2) * normal - Math.LN2 / 2)
}
