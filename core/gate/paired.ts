// Two versions on the same items: what the pairs show beyond the two means. Pure. It informs whoever reads a verdict and decides nothing:
// a set large enough to prove a loss below 0.1 % has some 95,000 items, so the gate's own rule is one of points (accuracy.ts).
// Compared as two separate samples the same scores would show far less: most items are as hard for one version as for the other.

import { limits } from '../../shared/limits.ts'
import type { Interval } from '../../shared/wire/gate.ts'
import { binomialAtMost } from './binomial.ts'

/** The scores of one item. */
export type Pair = { readonly measured: number; readonly reference: number }

export type Paired = {
  readonly pairs: number
  /** Pairs whose measured score is the worse one, and the better one. The others say nothing of a difference. */
  readonly lost: number
  readonly gained: number
  /** How likely so uneven a split of lost and gained is when neither version is better: McNemar's test, exact; of graded scores the sign test. */
  readonly pValue: number
  /** Mean of measured minus reference, in the metric's unit, and its confidence interval; null for fewer than two graded pairs. */
  readonly difference: number
  readonly interval: { readonly low: number; readonly high: number } | null
  readonly method: 'bonett-price' | 'paired-normal'
}

/** How scores are read: `top` is the largest there is, null where there is none. Where all are 0 or `top` they are right or wrong. */
export type Scale = { readonly better: 'higher' | 'lower'; readonly top: number | null }

/** What the pairs show. At least one pair; scores are finite. */
export function pairedOf(pairs: readonly Pair[], { better, top }: Scale): Paired {
  const sign = better === 'higher' ? 1 : -1
  const differences = pairs.map(({ measured, reference }) => measured - reference)
  const lost = differences.filter((each) => sign * each < 0).length
  const gained = differences.filter((each) => sign * each > 0).length
  const isBinary = top !== null && pairs.every((pair) => isEither(pair.measured, top) && isEither(pair.reference, top))
  return {
    pairs: pairs.length,
    lost,
    gained,
    pValue: mcNemar(lost, gained),
    difference: meanOf(differences),
    interval: isBinary ? signed(shareInterval(lost, gained, pairs.length), sign * top) : meanInterval(differences),
    method: isBinary ? 'bonett-price' : 'paired-normal',
  }
}

const isEither = (score: number, top: number): boolean => score === 0 || score === top
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** An interval for gained minus lost, as a share, in the metric's unit and direction. */
function signed({ low, high }: { readonly low: number; readonly high: number }, unit: number) {
  return unit > 0 ? { low: low * unit, high: high * unit } : { low: high * unit, high: low * unit }
}

/**
 * Two-sided exact p of McNemar's test: of lost + gained discordant pairs each goes either way with probability 1/2, and the smaller
 * side is counted twice (McNemar 1947; exact form: Liddell 1983). 1 without discordant pairs.
 */
export function mcNemar(lost: number, gained: number): number {
  return Math.min(1, 2 * binomialAtMost(Math.min(lost, gained), lost + gained, 1 / 2))
}

/**
 * Confidence interval of the difference of two paired shares, gained minus lost over all pairs: Wald's, with one more lost and one more
 * gained pair (Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37, 479-488; recommended by Fagerland, Lydersen
 * and Laake 2014, Statistics in Medicine 33, 2850-2875). Unlike Wald's own it has a width when no pair is discordant.
 */
export function shareInterval(lost: number, gained: number, pairs: number): { readonly low: number; readonly high: number } {
  const [l, g] = [(lost + 1) / (pairs + 2), (gained + 1) / (pairs + 2)]
  const half = limits.gateConfidenceZ * Math.sqrt((l + g - (g - l) ** 2) / (pairs + 2))
  return { low: Math.max(-1, g - l - half), high: Math.min(1, g - l + half) }
}

/** Confidence interval of a mean by the normal law: sets have hundreds of items, where Student's t is the same. */
function meanInterval(values: readonly number[]): Paired['interval'] {
  if (values.length < 2) return null
  const mean = meanOf(values)
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
  const half = limits.gateConfidenceZ * Math.sqrt(variance / values.length)
  return { low: mean - half, high: mean + half }
}

/** The interval around the reference's value: where the measured value may truly lie, the reference taken as it is. */
export function around(value: number, interval: Paired['interval'], top: number | null): Interval | null {
  if (!interval) return null
  return { low: Math.max(0, value + interval.low), high: Math.min(top ?? Infinity, value + interval.high) }
}

/**
 * Pairs that a set needs so that, between versions that are truly equal, the interval reaches no further than `margin` to either side:
 * z^2 d / margin^2, with `discordance` d the share of discordant pairs and `margin` a share too (Connor 1987, Biometrics 43, 207-211, at a
 * power of one half). A version that is truly a little worse needs more.
 */
export function pairsNeeded(discordance: number, margin: number): number {
  return Math.ceil((limits.gateConfidenceZ ** 2 * discordance) / margin ** 2)
}
