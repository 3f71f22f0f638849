import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Pair } from '../../../core/rollout/blocks.ts'
import { addToGuard, fastGuard, guardWithout, wilsonLower, type GuardWindow } from '../../../core/rollout/guard.ts'
import type { RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'

const asia = 'asia' as RegionName
const europe = 'europe' as RegionName
const pair = (stable: [number, number], canary: [number, number]): Pair => ({
  stable: { bad: stable[0], requests: stable[1] },
  canary: { bad: canary[0], requests: canary[1] },
})
/** The pairs, one a minute from zero on, seen at the end of the last. */
const seen = (...pairs: readonly Pair[]) =>
  fastGuard(
    pairs.reduce<GuardWindow>((window, each, minute) => addToGuard(window, asia, minute * 60_000, each), {}),
    pairs.length * 60_000,
  )

describe("Wilson's lower bound", () => {
  it.each([
    // Bounds by hand from the formula; the last is of Wilson's own kind, z = 1.96.
    { bad: 0, requests: 30, z: 3.0902, lower: 0 },
    { bad: 30, requests: 30, z: 3.0902, lower: 0.7585 },
    { bad: 5, requests: 10, z: 1.96, lower: 0.2366 },
  ])('of $bad in $requests is $lower', ({ bad, requests, z, lower }) => {
    expect(wilsonLower({ bad, requests }, z)).toBeCloseTo(lower, 4)
  })

  it('for all: it lies between zero and the rate, and grows with the failures', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (requests, part) => {
        const bad = Math.floor(part * (requests - 1))
        const lower = wilsonLower({ bad, requests }, limits.guardZ)
        expect(lower).toBeGreaterThanOrEqual(0)
        expect(lower).toBeLessThanOrEqual(bad / requests + 1e-12)
        expect(wilsonLower({ bad: bad + 1, requests }, limits.guardZ)).toBeGreaterThan(lower)
      }),
    )
  })

  it('of no request is zero', () => {
    expect(wilsonLower({ bad: 0, requests: 0 }, limits.guardZ)).toBe(0)
  })
})

describe('the fast guard', () => {
  it.each([
    { name: 'says nothing of 29 requests that all failed', pairs: [pair([0, 500], [29, 29])], fails: undefined },
    { name: 'fails 30 that all failed', pairs: [pair([0, 500], [30, 30])], fails: true },
    { name: 'bears 5 of 30, which may be 5 %', pairs: [pair([0, 500], [5, 30])], fails: false },
    { name: 'fails 6 of 30, which is not', pairs: [pair([0, 500], [6, 30])], fails: true },
    { name: 'bears a twentieth however many they are', pairs: [pair([0, 100_000], [500, 10_000])], fails: false },
    { name: 'bears what stable has as well', pairs: [pair([150, 500], [15, 30])], fails: false },
    { name: 'bears three times what stable has', pairs: [pair([1_000, 10_000], [300, 1_000])], fails: false },
    { name: 'fails four times of that', pairs: [pair([1_000, 10_000], [400, 1_000])], fails: true },
    { name: 'judges alone where stable has no traffic', pairs: [pair([0, 0], [15, 30])], fails: true },
    { name: 'sees a break after good minutes', pairs: [pair([5, 500], [0, 500]), pair([5, 500], [15, 60])], fails: true },
    { name: 'looks back until there are thirty', pairs: [pair([0, 500], [9, 15]), pair([0, 500], [9, 15])], fails: true },
    {
      name: 'sees in ten minutes what a minute does not show',
      pairs: Array.from({ length: 10 }, () => pair([5, 500], [4, 40])),
      fails: true,
    },
    { name: 'takes stable for as bad as it was lately', pairs: [pair([200, 500], [0, 0]), pair([0, 20], [15, 30])], fails: false },
  ])('$name', ({ pairs, fails }) => {
    expect(seen(...pairs)?.fails).toBe(fails)
  })

  it('forgets after ten minutes', () => {
    const window = addToGuard({}, asia, 0, pair([0, 500], [30, 30]))
    expect(fastGuard(window, 9 * 60_000)?.fails).toBe(true)
    expect(fastGuard(window, 10 * 60_000)).toBeNull()
  })

  it('sums regions, and can be told to leave one out', () => {
    const window = addToGuard(addToGuard({}, asia, 0, pair([0, 500], [15, 15])), europe, 10_000, pair([0, 500], [15, 15]))
    expect(fastGuard(window, 60_000)).toMatchObject({ fails: true, fromMs: 0, sums: pair([0, 1_000], [30, 30]) })
    expect(fastGuard(guardWithout(window, [asia]), 60_000)).toBeNull()
  })

  it('for all: order does not matter, and it keeps ten minutes of each region', () => {
    const told = fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { maxLength: 60 })
    fc.assert(
      fc.property(told, (numbers) => {
        const windowOf = (order: readonly number[]): GuardWindow =>
          order.reduce<GuardWindow>((window, number) => addToGuard(window, asia, number * 10_000, pair([number, 100], [1, 2])), {})
        const window = windowOf(numbers)
        expect(windowOf(numbers.toSorted((a, b) => a - b))).toEqual(window)
        expect(window[asia]?.length ?? 0).toBeLessThanOrEqual(limits.guardSlicesMax)
      }),
    )
  })
})
