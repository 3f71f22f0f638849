import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { binomialAtMost } from '../../../core/gate/binomial.ts'
import { mcNemar, pairedOf, pairsNeeded, shareInterval, type Pair } from '../../../core/gate/paired.ts'
import { limits } from '../../../shared/limits.ts'

/** 2 P(X <= k) of Bin(n, 1/2) in whole numbers of any size. */
function exactly(k: number, n: number): number {
  let [choose, sum] = [1n, 1n]
  for (let i = 1; i <= k; i++) {
    choose = (choose * BigInt(n - i + 1)) / BigInt(i)
    sum += choose
  }
  const digits = 10n ** 320n
  return Math.min(1, Number(`${(2n * sum * digits) / 2n ** BigInt(n)}e-320`))
}

const rightOrWrong = (both: number, lost: number, gained: number, neither: number, top = 1): readonly Pair[] => [
  ...Array.from({ length: both }, () => ({ measured: top, reference: top })),
  ...Array.from({ length: lost }, () => ({ measured: 0, reference: top })),
  ...Array.from({ length: gained }, () => ({ measured: top, reference: 0 })),
  ...Array.from({ length: neither }, () => ({ measured: 0, reference: 0 })),
]

describe('the binomial distribution', () => {
  // MLPerf's early stopping for p99 at a confidence of 99 %: so many late of so many requests are few enough, of one request fewer they are not.
  it.each([
    [0, 459],
    [1, 662],
    [5, 1_307],
    [10, 2_010],
  ])('%i late of %i requests is the first that proves p99', (late, requests) => {
    expect(binomialAtMost(late, requests, 0.01)).toBeLessThanOrEqual(0.01)
    expect(binomialAtMost(late, requests - 1, 0.01)).toBeGreaterThan(0.01)
  })

  it('for all: between 0 and 1, never falling in k, and the two tails sum to one', () => {
    const trials = fc.integer({ min: 1, max: 30_000 })
    fc.assert(
      fc.property(trials, fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0.001, max: 0.999, noNaN: true }), (n, part, p) => {
        const k = Math.floor(part * n)
        const atMost = binomialAtMost(k, n, p)
        expect(atMost).toBeGreaterThanOrEqual(binomialAtMost(k - 1, n, p) - 1e-12)
        expect(atMost).toBeLessThanOrEqual(1)
        expect(atMost + binomialAtMost(n - k - 1, n, 1 - p)).toBeCloseTo(1, 9)
      }),
    )
  })
})

describe("McNemar's exact p", () => {
  it.each([
    ['no discordant pair', 0, 0, 1],
    ['one', 1, 0, 1],
    ['as many lost as gained', 7, 7, 1],
    ['7 against 1: 2 x 9 / 2^8', 7, 1, 0.0703125],
    ['12 against 4: 2 x 2517 / 2^16', 12, 4, 0.076812744140625],
    ['10 against 0: 2 / 2^10', 10, 0, 0.001953125],
  ])('%s', (_, lost, gained, p) => {
    expect(mcNemar(lost, gained)).toBeCloseTo(p, 12)
    expect(mcNemar(gained, lost)).toBeCloseTo(p, 12)
  })

  it.each([
    [480, 1_000],
    [900, 2_000],
    [600, 2_000],
    [4_900, 10_000],
    [11_800, 24_576],
  ])('holds for %i of %i discordant pairs', (few, all) => {
    const p = exactly(few, all)
    expect(p).toBeGreaterThan(0)
    expect(mcNemar(few, all - few) / p).toBeCloseTo(1, 9)
  })

  it('for all: more uneven is less likely', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1, max: 5_000 }), (a, b) => {
        const [few, many] = [Math.min(a, b), Math.max(a, b)]
        expect(mcNemar(few - 1, many + 1)).toBeLessThanOrEqual(mcNemar(few, many))
      }),
    )
  })
})

describe('the interval of the difference', () => {
  // Worked by hand: 2/23 and 8/23 with a standard error of 0.12627, 7/163 and 17/163 with one of 0.02967.
  it.each([
    [
      { n12: 1, n21: 7, pairs: 21 },
      { low: -0.508, high: -0.013 },
    ],
    [
      { n12: 6, n21: 16, pairs: 161 },
      { low: -0.1195, high: -0.0032 },
    ],
  ])('%o', ({ n12, n21, pairs }, { low, high }) => {
    const interval = shareInterval(n21, n12, pairs)
    expect(interval.low).toBeCloseTo(low, 3)
    expect(interval.high).toBeCloseTo(high, 3)
  })

  it('covers the true difference as often as it says, where the plain one does not', () => {
    const plain: typeof shareInterval = (lost, gained, pairs) => {
      const d = (gained - lost) / pairs
      const half = limits.gateConfidenceZ * Math.sqrt(((lost + gained) / pairs - d ** 2) / pairs)
      return { low: d - half, high: d + half }
    }
    const rates = [0.01, 0.02, 0.05, 0.1, 0.2].flatMap((lost) => [0.01, 0.02, 0.05, 0.1, 0.2].map((gained) => ({ lost, gained })))
    const least = (interval: typeof shareInterval) => Math.min(...rates.map((rate) => coverage(interval, rate, 100)))
    expect(least(shareInterval)).toBeGreaterThan(0.94)
    expect(least(plain)).toBeLessThan(0.9)
  })

  /** Probability, over all outcomes of so many pairs, that the interval holds the true difference. */
  function coverage(interval: typeof shareInterval, rate: { readonly lost: number; readonly gained: number }, pairs: number): number {
    const logs = Array.from({ length: pairs + 1 }, (_, n) => n).map((n) =>
      Array.from({ length: n }, (_, i) => Math.log(i + 1)).reduce((a, b) => a + b, 0),
    )
    let covered = 0
    for (let lost = 0; lost <= pairs; lost++) {
      for (let gained = 0; lost + gained <= pairs; gained++) {
        const { low, high } = interval(lost, gained, pairs)
        const truth = rate.gained - rate.lost
        if (truth < low || truth > high) continue
        const same = pairs - lost - gained
        const ways = (logs[pairs] ?? 0) - (logs[lost] ?? 0) - (logs[gained] ?? 0) - (logs[same] ?? 0)
        covered += Math.exp(
          ways + lost * Math.log(rate.lost) + gained * Math.log(rate.gained) + same * Math.log(1 - rate.lost - rate.gained),
        )
      }
    }
    return covered
  }

  it('has a width even where no pair is discordant', () => {
    const { low, high } = shareInterval(0, 0, 1_000)
    expect(low).toBeCloseTo(-high, 12)
    expect(high).toBeCloseTo(0.00277, 5)
  })
})

describe('pairs', () => {
  it('of right and wrong: lost, gained, difference and interval in the unit of the metric', () => {
    const paired = pairedOf(rightOrWrong(903, 12, 4, 81), { better: 'higher', top: 1 })
    expect(paired).toMatchObject({ pairs: 1_000, lost: 12, gained: 4, method: 'bonett-price' })
    expect(paired.difference).toBeCloseTo(-0.008, 12)
    const percent = pairedOf(rightOrWrong(903, 12, 4, 81, 100), { better: 'higher', top: 100 })
    expect(percent.difference).toBeCloseTo(-0.8, 12)
    expect(percent.interval?.low).toBeCloseTo((paired.interval?.low ?? 0) * 100, 9)
  })

  it('of an error rate: where there was none and now is one, it is lost', () => {
    // Errors of the measured one go up by 8 in 1,000.
    const paired = pairedOf(rightOrWrong(81, 4, 12, 903), { better: 'lower', top: 1 })
    expect(paired).toMatchObject({ lost: 12, gained: 4 })
    expect(paired.difference).toBeCloseTo(0.008, 12)
    expect(paired.interval?.low).toBeLessThan(0.008)
    expect(paired.interval?.high).toBeGreaterThan(0.008)
  })

  it('of graded scores: a sign test, and the normal interval of the mean', () => {
    const pairs = Array.from({ length: 100 }, (_, i) => ({ measured: 0.5 + (i % 2 === 0 ? 0.02 : -0.01), reference: 0.5 }))
    const paired = pairedOf(pairs, { better: 'higher', top: 1 })
    expect(paired).toMatchObject({ lost: 50, gained: 50, pValue: 1, method: 'paired-normal' })
    // Standard deviation 0.015 x sqrt(100 / 99), of the mean a tenth of it.
    expect(paired.interval?.low).toBeCloseTo(0.005 - (1.959964 * 0.015 * Math.sqrt(100 / 99)) / 10, 9)
    expect(pairedOf(pairs.slice(0, 1), { better: 'higher', top: 1 }).interval).toBeNull()
  })

  it('for all: exchanging the two versions turns the difference and its interval round, and leaves p', () => {
    const score = fc.constantFrom(0, 1)
    const pairs = fc.array(fc.record({ measured: score, reference: score }), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(pairs, fc.constantFrom('higher', 'lower'), (all, better) => {
        const one = pairedOf(all, { better, top: 1 })
        const other = pairedOf(
          all.map(({ measured, reference }) => ({ measured: reference, reference: measured })),
          { better, top: 1 },
        )
        expect(other).toMatchObject({ lost: one.gained, gained: one.lost, pValue: one.pValue })
        expect(other.difference).toBeCloseTo(-one.difference, 12)
        expect(other.interval?.low).toBeCloseTo(-(one.interval?.high ?? 0), 12)
      }),
    )
  })
})

it('the size of a set that proves a target: 99 % and 99.9 % of a score of 0.9 at 2 % discordance', () => {
  expect(pairsNeeded(0.02, 0.01 * 0.9)).toBe(949)
  expect(pairsNeeded(0.02, 0.001 * 0.9)).toBe(94_851)
  // The interval of a set of that size reaches just as far.
  const half = shareInterval(949, 949, 94_851).high
  expect(half).toBeCloseTo(0.0009, 5)
})
