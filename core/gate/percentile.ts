// A percentile and how well so many values tell it. Pure. It assumes nothing of the values' distribution, which for latencies nobody knows.

import { limits } from '../../shared/limits.ts'
import { binomialAtMost } from './binomial.ts'

/** `low` and `high` are values of the sample; `high` is Infinity where it is too small to have an upper end. */
export type Percentile = { readonly value: number; readonly low: number; readonly high: number; readonly samples: number }

/**
 * The p-quantile by nearest rank, with its confidence interval between order statistics: the number of values below the true quantile is
 * Bin(n, p), so the interval from the l-th to the u-th value misses it below with P(X <= l - 1), and above with 1 - P(X <= u - 1)
 * (David and Nagaraja, Order Statistics, 7.1). null without values. Failed requests come in as Infinity: slower than any answer.
 */
export function percentileOf(values: readonly number[], p: number): Percentile | null {
  const sorted = values.toSorted((a, b) => a - b)
  const n = sorted.length
  const missed = (1 - limits.gateConfidence) / 2
  // Ranks count from 1. 0 or n + 1 means that no value is surely on that side.
  const low = firstRank(n, (rank) => binomialAtMost(rank, n, p) > missed)
  const high = firstRank(n, (rank) => binomialAtMost(rank - 1, n, p) >= 1 - missed)
  const value = sorted[Math.max(1, Math.ceil(p * n)) - 1]
  if (value === undefined) return null
  return { value, low: sorted[low - 1] ?? 0, high: sorted[high - 1] ?? Infinity, samples: n }
}

/** The least rank from 0 to n that is so, where all above it are so too; n + 1 when none is. Halves, for each question costs up to n steps. */
function firstRank(n: number, isSo: (rank: number) => boolean): number {
  let [least, most] = [0, n + 1]
  while (least < most) {
    const middle = Math.floor((least + most) / 2)
    if (middle > n || isSo(middle)) most = middle
    else least = middle + 1
  }
  return least
}
