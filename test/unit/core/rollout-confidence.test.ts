import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Pair } from '../../../core/rollout/blocks.ts'
import { addContrast, differenceOf, marginOf, noContrast, samplesNeeded, widthFactor } from '../../../core/rollout/confidence.ts'
import { limits } from '../../../shared/limits.ts'

const pair = (stable: [number, number], canary: [number, number]): Pair => ({
  stable: { bad: stable[0], requests: stable[1] },
  canary: { bad: canary[0], requests: canary[1] },
})
const after = (pairs: readonly Pair[]) => pairs.reduce(addContrast, noContrast)
const times = (count: number, each: Pair): readonly Pair[] => Array.from({ length: count }, () => each)
const promoted = (pairs: readonly Pair[], planned: number): boolean => {
  const difference = differenceOf(after(pairs), planned)
  return difference !== null && difference.high < difference.margin
}

describe('the width', () => {
  it('is the formula', () => {
    // n = 1,000 of 1,000 planned: n rho^2 = -2 ln 0.05 + ln(-2 ln 0.05 + 1) = 7.937.
    const width = Math.sqrt(((2 * 8.937) / (1_000 * 7.937)) * Math.log(Math.sqrt(8.937) / 0.05))
    expect(widthFactor(1_000, 1_000)).toBeCloseTo(width, 4)
  })

  it('at the planned number is within a thousandth of the least that any plan gives there', () => {
    const planned = Array.from({ length: 400 }, (_, step) => 100 * 1.02 ** step)
    const least = Math.min(...planned.map((each) => widthFactor(5_000, each)))
    expect(widthFactor(5_000, 5_000) / least).toBeLessThan(1.001)
  })

  it('for all: it shrinks with every request', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 1, max: 1_000_000 }), (n, planned) => {
        expect(widthFactor(n + 1, planned)).toBeLessThan(widthFactor(n, planned))
      }),
    )
  })
})

describe('the difference', () => {
  it('is unknown while stable and canary have not served at the same time', () => {
    expect(differenceOf(after([pair([1, 100], [0, 0]), pair([0, 0], [1, 100])]), 1_000)).toBeNull()
  })

  it('is taken within blocks: a drift during a ramp makes none', () => {
    const difference = differenceOf(after([pair([9, 900], [1, 100]), pair([5, 100], [45, 900])]), 1_000)
    expect(difference?.canaryRate).toBeCloseTo(difference?.stableRate ?? -1, 12)
  })

  it('has an interval around it that shrinks to it', () => {
    const [few, many] = [10, 1_000].map((count) => differenceOf(after(times(count, pair([5, 500], [1, 50]))), 5_000))
    expect(few?.high).toBeGreaterThan(many?.high ?? 1)
    expect(few?.low).toBeLessThan(many?.low ?? -1)
    expect(many?.low).toBeLessThan(0.01)
    expect(many?.high).toBeGreaterThan(0.01)
    expect((many?.high ?? 1) - (many?.low ?? 0)).toBeLessThan(0.005)
  })

  it('is not certain when nothing bad was seen', () => {
    // With none of a hundred up to three are possible.
    expect(differenceOf(after([pair([0, 2_000], [0, 100])]), 1_000)?.high).toBeGreaterThan(0.03)
  })

  it('for all: the interval holds what was seen, lies within -1 and 1, and survives JSON', () => {
    const arm = fc
      .tuple(fc.integer({ min: 0, max: 5_000 }), fc.double({ min: 0, max: 1, noNaN: true }))
      .map(([n, part]) => ({ requests: n, bad: Math.floor(n * part) }))
    fc.assert(
      fc.property(fc.array(fc.record({ stable: arm, canary: arm }), { maxLength: 20 }), (pairs) => {
        const contrast = after(pairs)
        const difference = differenceOf(JSON.parse(JSON.stringify(contrast)) as typeof contrast, 1_000)
        expect(difference).toEqual(differenceOf(contrast, 1_000))
        if (!difference) return
        const { low, high, canaryRate, stableRate } = difference
        expect(low).toBeGreaterThanOrEqual(-1)
        expect(high).toBeLessThanOrEqual(1)
        expect(low).toBeLessThanOrEqual(canaryRate - stableRate + 1e-12)
        expect(high).toBeGreaterThanOrEqual(canaryRate - stableRate - 1e-12)
      }),
    )
  })
})

describe('promotion', () => {
  it.each([
    { stable: 0, margin: 0.005 },
    { stable: 0.02, margin: 0.005 },
    { stable: 0.04, margin: 0.01 },
  ])('bears $margin where stable has $stable', ({ stable, margin }) => {
    expect(marginOf(stable)).toBeCloseTo(margin, 12)
  })

  it.each([
    { name: 'as good, long enough', count: 400, canary: [1, 50], passes: true },
    { name: 'as good, but few requests', count: 100, canary: [1, 50], passes: false },
    { name: 'better, with fewer', count: 160, canary: [0, 50], passes: true },
    { name: 'twice as bad, however long', count: 10_000, canary: [2, 50], passes: false },
  ] as const)('$name: $passes', ({ count, canary, passes }) => {
    expect(promoted(times(count, pair([20, 1_000], [...canary])), samplesNeeded(0.02))).toBe(passes)
  })

  it('with the samples needed a canary as good as stable passes, with a quarter of them it does not', () => {
    for (const rate of [0.001, 0.01, 0.05, 0.2]) {
      const needed = samplesNeeded(rate)
      const blockOf = (requests: number) => pair([rate * 20 * requests, 20 * requests], [rate * requests, requests])
      expect(promoted([blockOf(needed)], needed)).toBe(true)
      expect(promoted([blockOf(Math.ceil(needed / 4))], needed)).toBe(false)
    }
  })

  it('needs some ten thousand requests where one in a hundred is bad', () => {
    expect(samplesNeeded(0.01)).toBeGreaterThan(8_000)
    expect(samplesNeeded(0.01)).toBeLessThan(12_000)
    expect(samplesNeeded(0)).toBeGreaterThan(limits.bakeMetricRequestsMin)
  })
})
