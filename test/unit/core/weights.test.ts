import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { waterFill, type Filled } from '../../../core/judge/weights.ts'
import { limits } from '../../../shared/limits.ts'

const vessel = (slots: number, inFlight: number, more: Partial<Filled> = {}): Filled => {
  const serviceS = more.serviceS ?? 1
  return { rate: slots / serviceS, slots, inFlight, serviceS, factor: 1, ...more }
}
const rounded = (weights: readonly number[]) => weights.map((weight) => Math.round(weight * 1_000) / 1_000)
const floor = limits.weightFloor

const vessels = fc.array(
  fc
    .record({
      slots: fc.integer({ min: 1, max: 64 }),
      inFlight: fc.integer({ min: 0, max: 200 }),
      serviceS: fc.double({ min: 0.01, max: 30, noNaN: true }),
      factor: fc.constantFrom(0, 0.1, 0.5, 1),
    })
    .map(({ slots, inFlight, serviceS, factor }) => vessel(slots, inFlight, { serviceS, factor })),
  { minLength: 1, maxLength: 12 },
)
const arrivals = fc.double({ min: 0, max: 1_000, noNaN: true })

describe('headroom weights', () => {
  it.each([
    { name: 'nothing in flight: by rate', all: [vessel(30, 0), vessel(10, 0)], poured: 20, weights: [0.75, 0.25] },
    { name: 'twice as slow is half the rate', all: [vessel(10, 0), vessel(10, 0, { serviceS: 2 })], poured: 20, weights: [0.667, 0.333] },
    {
      name: 'a backlog that outlasts the interval is left aside, but for the floor',
      all: [vessel(10, 200), vessel(10, 0)],
      poured: 5,
      weights: [floor / 2, 1 - floor / 2],
    },
    { name: 'a half of one rate counts as that', all: [vessel(10, 0, { factor: 0.5 }), vessel(10, 0)], poured: 9, weights: [0.333, 0.667] },
    { name: 'what is out is out, of the floor too', all: [vessel(10, 0, { factor: 0 }), vessel(10, 50)], poured: 9, weights: [0, 1] },
    { name: 'nobody may be drawn', all: [vessel(10, 0, { factor: 0 })], poured: 9, weights: [0] },
    { name: 'no endpoints', all: [], poured: 9, weights: [] },
  ])('$name', ({ all, poured, weights }) => {
    expect(rounded(waterFill(all, poured, 1))).toEqual(rounded(weights))
  })

  it('for all: never negative, and they sum to one wherever one may be drawn', () => {
    fc.assert(
      fc.property(vessels, arrivals, fc.double({ min: 0.1, max: 60, noNaN: true }), (all, poured, intervalS) => {
        const weights = waterFill(all, poured, intervalS)
        for (const [i, weight] of weights.entries()) {
          expect(weight).toBeGreaterThanOrEqual(0)
          if (all[i]?.factor === 0) expect(weight).toBe(0)
          else expect(weight).toBeGreaterThan(0)
        }
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(all.some(({ factor }) => factor > 0) ? 1 : 0, 9)
      }),
    )
  })

  it('for all: the longer the interval, the nearer to weights by rate', () => {
    fc.assert(
      fc.property(vessels, (all) => {
        const rates = all.map(({ rate, factor }) => rate * factor)
        const total = rates.reduce((sum, rate) => sum + rate, 0)
        fc.pre(total > 0)
        // Longer than any backlog lasts: 200 requests of 30 s in one slot.
        const weights = waterFill(all, 10, 10_000)
        for (const [i, weight] of weights.entries()) expect(weight).toBeCloseTo((rates[i] ?? 0) / total, 6)
      }),
    )
  })

  it('for all: more arrivals never lower the part of a fuller endpoint', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), arrivals, arrivals, (inFlight, a, b) => {
        const weightAt = (poured: number) => waterFill([vessel(10, inFlight), vessel(10, 0)], poured, 1)[0] ?? 0
        expect(weightAt(Math.max(a, b))).toBeGreaterThanOrEqual(weightAt(Math.min(a, b)) - 1e-9)
      }),
    )
  })

  it('a backlog that is gone long before the interval ends counts as none, not as less: the clamp', () => {
    // Both are empty in 0.1 s. Without the clamp the busy one would count as 14.5 s below empty, the idle one as empty.
    const [busy, idle] = waterFill([vessel(10, 10, { serviceS: 0.1 }), vessel(10, 0, { serviceS: 0.1 })], 100, 15)
    expect(busy).toBeCloseTo(0.5, 9)
    expect(idle).toBeCloseTo(0.5, 9)
  })
})
