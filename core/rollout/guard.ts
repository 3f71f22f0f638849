// The fast guard: hard errors of a canary that are beyond doubt and beyond bearing. Decides from the last minutes alone, whatever was
// before, so that a version which breaks after hours is stopped as fast as one that never worked. Pure.

import { limits } from '../../shared/limits.ts'
import type { RegionName } from '../../shared/ids.ts'
import { addPairs, noPair, type Arm, type Pair } from './blocks.ts'

/** Hard errors of one region within a minute. */
export type Slice = Pair & { readonly fromMs: number }
/** By region, oldest first, limits.guardSlicesMax at most. */
export type GuardWindow = Readonly<Record<RegionName, readonly Slice[]>>

/** The window with one more block of hard errors. */
export function addToGuard(before: GuardWindow, region: RegionName, blockFromMs: number, pair: Pair): GuardWindow {
  const fromMs = Math.floor(blockFromMs / limits.guardSliceMs) * limits.guardSliceMs
  const slices = before[region] ?? []
  const same = slices.find((slice) => slice.fromMs === fromMs) ?? { ...noPair, fromMs }
  const others = slices.filter((slice) => slice.fromMs !== fromMs)
  const after = [...others, { ...addPairs(same, pair), fromMs }].toSorted((a, b) => a.fromMs - b.fromMs)
  return { ...before, [region]: after.slice(-limits.guardSlicesMax) }
}

/** The window without these regions: what happened there was their own trouble. */
export const guardWithout = (before: GuardWindow, regions: readonly RegionName[]): GuardWindow =>
  Object.fromEntries(Object.entries(before).filter(([region]) => !regions.includes(region as RegionName)))

export type Guarded = {
  readonly fails: boolean
  readonly sums: Pair
  /** Start of the oldest minute that was looked at. */
  readonly fromMs: number
  /** Wilson's lower bound of the canary's rate, and what it must be above to fail. */
  readonly lowest: number
  readonly threshold: number
}

/**
 * Whether hard errors are beyond bearing: the lower bound of the canary's rate (Wilson, limits.guardZ) is above limits.guardRateMin and
 * above limits.guardRatioMin times stable's rate. Looked at are the newest minutes that hold limits.guardRequestsMin canary requests, and
 * all ten; stable's rate is the worse of the two, for in a short time it is known badly. Null while there are fewer requests than that.
 */
export function fastGuard(window: GuardWindow, nowMs: number): Guarded | null {
  const oldestMs = nowMs - limits.guardSliceMs * limits.guardSlicesMax
  const slices = Object.values(window)
    .flat()
    .filter(({ fromMs }) => fromMs > oldestMs)
    .toSorted((a, b) => b.fromMs - a.fromMs)
  let sum = noPair
  /** From each slice on, the newest first: all since then. */
  const since: Slice[] = []
  for (const slice of slices) {
    sum = addPairs(sum, slice)
    since.push({ ...sum, fromMs: slice.fromMs })
  }
  const enough = since.find(({ canary }) => canary.requests >= limits.guardRequestsMin)
  // Of a minute all regions.
  const short = since.findLast(({ fromMs }) => fromMs === enough?.fromMs)
  const long = since.at(-1)
  if (!short || !long) return null
  const threshold = Math.max(limits.guardRateMin, limits.guardRatioMin * Math.max(rateOf(short.stable), rateOf(long.stable)))
  const looked = ({ fromMs, stable, canary }: Slice): Guarded => {
    const lowest = wilsonLower(canary, limits.guardZ)
    return { fails: lowest > threshold, sums: { stable, canary }, fromMs, lowest, threshold }
  }
  return looked(short).fails ? looked(short) : looked(long)
}

const rateOf = ({ requests, bad }: Arm): number => (requests > 0 ? bad / requests : 0)

/**
 * Lower end of Wilson's score interval for a rate, at `z` standard deviations; zero of no request.
 * (p + z^2/2n - z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), E. B. Wilson 1927.
 */
export function wilsonLower({ requests: n, bad }: Arm, z: number): number {
  if (n === 0) return 0
  const p = bad / n
  const centre = p + z ** 2 / (2 * n)
  const spread = z * Math.sqrt((p * (1 - p)) / n + (z / (2 * n)) ** 2)
  return Math.max(0, (centre - spread) / (1 + z ** 2 / n))
}
