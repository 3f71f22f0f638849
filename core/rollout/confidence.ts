// Proof that a canary is not worse by more than a margin: a confidence sequence for the difference of the rates of bad answers, true at
// every look at once. Decides when a version may be promoted; that nothing speaks against it is no proof. Pure.
//
// Differences are taken within blocks and averaged with the weights n_a n_b / (n_a + n_b) (Mantel and Haenszel): rates that drift while
// the canary's weight grows would make a difference out of nothing if arms were summed first.

import { limits } from '../../shared/limits.ts'
import type { Pair } from './blocks.ts'

/** Sums over blocks in which both arms had requests. */
export type Contrast = {
  /** Of the weights: the effective number of pairs, close to the canary's requests while it has the smaller part. */
  readonly weight: number
  /** Of weight times rate. */
  readonly stable: number
  readonly canary: number
  /** Of weight squared times the variance of the block's difference, as the bad ones seen tell it. */
  readonly variance: number
  /** Of weight squared over requests: what each arm's rate adds to the variance. */
  readonly stableSpread: number
  readonly canarySpread: number
}

export const noContrast: Contrast = { weight: 0, stable: 0, canary: 0, variance: 0, stableSpread: 0, canarySpread: 0 }

/**
 * The contrast with one more block, in any order. The variance of a rate is taken as bad / n^2, as of a Poisson count: of blocks with
 * a single request p(1-p) can be told in no other way, and it is too large rather than too small.
 */
export function addContrast(before: Contrast, { stable, canary }: Pair): Contrast {
  if (stable.requests === 0 || canary.requests === 0) return before
  const weight = (stable.requests * canary.requests) / (stable.requests + canary.requests)
  const variance = stable.bad / stable.requests ** 2 + canary.bad / canary.requests ** 2
  return {
    weight: before.weight + weight,
    stable: before.stable + (weight * stable.bad) / stable.requests,
    canary: before.canary + (weight * canary.bad) / canary.requests,
    variance: before.variance + weight ** 2 * variance,
    stableSpread: before.stableSpread + weight ** 2 / stable.requests,
    canarySpread: before.canarySpread + weight ** 2 / canary.requests,
  }
}

export type Difference = {
  readonly stableRate: number
  readonly canaryRate: number
  /** Ends of the interval for canary minus stable. */
  readonly low: number
  readonly high: number
  /** What `high` must be below: the larger of limits.promotionMargin and limits.promotionMarginShare of stable's rate. */
  readonly margin: number
}

/**
 * The difference and its interval at this look; null while no block had both arms. With n the weight and sigma^2 the variance / n, the
 * half-width is sigma sqrt(2 (n rho^2 + 1) / (n rho)^2 * ln(sqrt(n rho^2 + 1) / alpha)): the boundary of a mixture of normals (Robbins
 * 1970; asymptotic, Waudby-Smith et al. 2021). sigma is not that of the rates seen but that at the end in question, as in Wilson's
 * interval: at the upper end the canary's rate is higher, at the lower one stable's. Else few bad ones, or none, would look like certainty.
 * `plannedRequests` are the canary's when it should be decided, fixed before the start: there the interval is narrowest.
 */
export function differenceOf(contrast: Contrast, plannedRequests: number): Difference | null {
  const { weight, variance } = contrast
  if (weight === 0) return null
  const stableRate = contrast.stable / weight
  const canaryRate = contrast.canary / weight
  const factor = widthFactor(weight, plannedRequests) ** 2 / weight
  // The root d of d^2 = factor (variance + spread d): the rate at the end adds to the variance.
  const half = (spread: number): number => (factor * spread) / 2 + Math.sqrt(((factor * spread) / 2) ** 2 + factor * variance)
  const low = Math.max(-1, canaryRate - stableRate - half(contrast.stableSpread))
  const high = Math.min(1, canaryRate - stableRate + half(contrast.canarySpread))
  return { stableRate, canaryRate, low, high, margin: marginOf(stableRate) }
}

export const marginOf = (stableRate: number): number => Math.max(limits.promotionMargin, limits.promotionMarginShare * stableRate)

/** Half-width of the interval for n pairs whose difference has a standard deviation of one. */
export function widthFactor(n: number, plannedRequests: number): number {
  const grown = n * rhoSquared(plannedRequests) + 1
  return Math.sqrt(((2 * grown) / (n * (grown - 1))) * Math.log(Math.sqrt(grown) / limits.promotionAlpha))
}

/** Where the width is least at n: rho^2 = (-2 ln alpha + ln(-2 ln alpha + 1)) / n (Waudby-Smith et al. 2021, B.2). */
function rhoSquared(n: number): number {
  const x = -2 * Math.log(limits.promotionAlpha)
  return (x + Math.log(x + 1)) / Math.max(1, n)
}

/**
 * Canary requests with which nine of ten versions as good as stable are promoted, at stable's rate of bad answers, while the canary has
 * the smaller part: n such that the half-width, its variance that at the margin, and limits.promotionPowerZ deviations of chance fit into
 * the margin.
 */
export function samplesNeeded(stableRate: number): number {
  const margin = marginOf(stableRate)
  const deviations = widthFactor(1, 1) * Math.sqrt(stableRate + margin) + limits.promotionPowerZ * Math.sqrt(stableRate)
  return Math.ceil((deviations / margin) ** 2)
}
