import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { metrics, unseen, type Arm, type ArmBlock, type Metric, type Pair } from '../../../core/rollout/blocks.ts'
import { addEvidence, beginEvidence, harmBar, logE, withoutRegions, type Evidence } from '../../../core/rollout/evidence.ts'
import type { RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'

const asia = 'asia' as RegionName
const europe = 'europe' as RegionName
const africa = 'africa' as RegionName
const regions = [asia, europe, africa]
const blockMs = limits.rolloutBlockMs

const pair = (stable: [number, number], canary: [number, number]): Pair => ({
  stable: { bad: stable[0], requests: stable[1] },
  canary: { bad: canary[0], requests: canary[1] },
})
const block = (number: number, hardError: Pair, region = asia): ArmBlock => ({
  region,
  fromMs: number * blockMs,
  metrics: { hard_error: hardError },
})
const bad = pair([5, 500], [10, 25])
const sound = pair([5, 500], [0, 25])

const logEOf = (evidence: Evidence, metric: Metric = 'hard_error'): number => {
  const of = evidence.metrics[metric]
  return of ? logE(of) : Number.NaN
}
const afterAll = (blocks: readonly ArmBlock[], of: readonly RegionName[] = [asia], gamma?: number): Evidence =>
  addEvidence(beginEvidence(['hard_error'], of, gamma), blocks)

const arm = (most: number): fc.Arbitrary<Arm> =>
  fc
    .integer({ min: 0, max: most })
    .chain((requests) => fc.record({ requests: fc.constant(requests), bad: fc.integer({ min: 0, max: requests }) }))
const pairs = (most: number): fc.Arbitrary<Pair> => fc.record({ stable: arm(most), canary: arm(most) })
const blocks = (most: number): fc.Arbitrary<readonly ArmBlock[]> =>
  fc
    .uniqueArray(fc.record({ number: fc.integer({ min: 0, max: 59 }), region: fc.constantFrom(...regions), pair: pairs(most) }), {
      selector: ({ number, region }) => `${number} ${region}`,
      maxLength: 30,
    })
    .map((all) => all.map((each) => block(each.number, each.pair, each.region)))

describe('blocks', () => {
  const nowMs = 100 * blockMs
  const fresh = (told: readonly ArmBlock[]): readonly ArmBlock[] => unseen({}, told, regions, nowMs).fresh

  it('count once, the oldest first', () => {
    const { seen, fresh } = unseen({}, [block(93, bad), block(91, bad), block(93, bad), block(93, bad, europe)], regions, nowMs)
    expect(fresh).toEqual([block(91, bad), block(93, bad), block(93, bad, europe)])
    expect(unseen(seen, fresh, regions, nowMs)).toEqual({ seen, fresh: [] })
    expect(unseen(seen, [block(92, bad)], regions, nowMs).fresh).toHaveLength(1)
  })

  it.each([
    { name: 'of a time to come', told: block(101, bad) },
    { name: 'told too late', told: block(39, bad) },
    { name: 'of an unknown region', told: block(99, bad, 'atlantis' as RegionName) },
    { name: 'without requests', told: block(99, pair([0, 0], [0, 0])) },
    { name: 'with more bad ones than requests', told: block(99, pair([0, 10], [2, 1])) },
    { name: 'with a part of a request', told: block(99, pair([0, 10.5], [0, 1])) },
    { name: 'with what is no number', told: block(99, pair([0, Number.NaN], [0, 1])) },
    { name: 'with less than nothing', told: block(99, pair([-1, 10], [0, 1])) },
  ])('do not count: $name', ({ told }) => {
    expect(fresh([told])).toEqual([])
  })

  it('that were empty leave room for what is told later', () => {
    const { seen } = unseen({}, [block(99, pair([0, 0], [0, 0]))], regions, nowMs)
    expect(unseen(seen, [block(99, bad)], regions, nowMs).fresh).toHaveLength(1)
  })

  it('are remembered for as long as they may be told late', () => {
    let seen = {}
    for (let number = 0; number < 1_000; number++) seen = unseen(seen, [block(number, bad)], regions, number * blockMs).seen
    expect(Object.values(seen).flat()).toHaveLength(limits.rolloutBlockLateMsMax / blockMs + 1)
  })
})

describe('evidence', () => {
  it('for all histories and rates: the next block is expected to multiply E by at most one when the canary is no worse', () => {
    const small = fc.record({ stable: fc.integer({ min: 0, max: 7 }), canary: fc.integer({ min: 0, max: 7 }) })
    const rate = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(blocks(40), small, rate, rate, fc.constantFrom(1, 0.5), (history, n, stableRate, part, gamma) => {
        const before = afterAll(history, regions, gamma)
        const canaryRate = stableRate * part
        let expected = 0
        for (let a = 0; a <= n.stable; a++) {
          for (let b = 0; b <= n.canary; b++) {
            const after = addEvidence(before, [block(60, pair([a, n.stable], [b, n.canary]))])
            const likely = binomial(a, n.stable, stableRate) * binomial(b, n.canary, canaryRate)
            expected += likely * Math.exp(logEOf(after) - logEOf(before))
          }
        }
        expect(expected).toBeLessThanOrEqual(1 + 1e-9)
      }),
      { numRuns: 300 },
    )
  })

  it('is what the formula says for the first block', () => {
    // Predicted from nothing: 1 and 2 in a hundred.
    const m = (500 * 0.01 + 25 * 0.02) / 525
    const arms = 5 * Math.log(0.01 / m) + 495 * Math.log(0.99 / (1 - m)) + 10 * Math.log(0.02 / m) + 15 * Math.log(0.98 / (1 - m))
    expect(logEOf(afterAll([block(0, bad)]))).toBeCloseTo(arms, 10)
  })

  it('grows with a bad canary until it reaches its bar, and shrinks with a good one', () => {
    const all = Array.from({ length: 60 }, (_, number) => number)
    const grown = afterAll(all.map((number) => block(number, pair([5, 500], [1, 25]))))
    expect(logEOf(grown)).toBeGreaterThan(harmBar(grown, 'hard_error'))
    expect(logEOf(afterAll(all.map((number) => block(number, sound))))).toBeLessThan(0)
  })

  it("is none where an arm had no requests, though stable's rate is learnt from it", () => {
    const stableOnly = afterAll([block(0, pair([50, 500], [0, 0]))])
    expect(logEOf(stableOnly)).toBe(0)
    expect(logEOf(afterAll([block(0, pair([0, 0], [25, 25]))]))).toBe(0)
    // Eight in a hundred are no surprise any more.
    const surprise = block(1, pair([50, 500], [2, 25]))
    expect(logEOf(addEvidence(stableOnly, [surprise]))).toBeLessThan(logEOf(afterAll([surprise])))
  })

  it('knows only metrics and regions named at the start', () => {
    const before = beginEvidence(['hard_error'], [asia])
    expect(addEvidence(before, [block(0, bad, europe)])).toEqual(before)
    expect(addEvidence(before, [{ region: asia, fromMs: 0, metrics: { empty_answer: bad } }])).toEqual(before)
  })

  it('is braked by gamma', () => {
    const told = [block(0, bad), block(1, sound), block(2, bad)]
    expect(logEOf(afterAll(told, [asia], 0.5))).toBeCloseTo(0.5 * logEOf(afterAll(told)), 10)
  })

  it('of a canary bad in one region comes from that region, and is not drowned by the others', () => {
    const told = Array.from({ length: 30 }, (_, number) => [
      block(number, pair([1, 100], [1, 10]), asia),
      block(number, pair([10, 1_000], [1, 100]), europe),
      block(number, pair([10, 1_000], [1, 100]), africa),
    ]).flat()
    const { hard_error: of } = afterAll(told, regions).metrics
    const own = of?.regions[asia]?.ownLogE ?? 0
    expect(own).toBeGreaterThan(8)
    expect(of && logE(of)).toBeGreaterThanOrEqual(own + Math.log((1 - limits.rolloutEverywhereShare) / 3))
  })

  it('for all: survives JSON, stays a number, and goes on from there as if nothing had been', () => {
    fc.assert(
      fc.property(blocks(10_000_000), blocks(10_000_000), (first, second) => {
        const before = afterAll(first, regions)
        const revived = JSON.parse(JSON.stringify(before)) as Evidence
        expect(revived).toEqual(before)
        expect(addEvidence(revived, second)).toEqual(addEvidence(before, second))
        expect(Number.isFinite(logEOf(addEvidence(revived, second)))).toBe(true)
      }),
    )
  })

  it('stays a number when everything fails for hours', () => {
    const all = Array.from({ length: 2_000 }, (_, number) => block(number, pair([10_000, 10_000], [10_000, 10_000])))
    expect(Number.isFinite(logEOf(afterAll(all)))).toBe(true)
    const worst = Array.from({ length: 200 }, (_, number) => block(number, pair([0, 10_000], [10_000, 10_000])))
    expect(logEOf(afterAll(worst))).toBeGreaterThan(1_000)
  })

  it('for all: without a region it is never more than with it', () => {
    fc.assert(
      fc.property(blocks(200), fc.subarray(regions), (told, troubled) => {
        const before = afterAll(told, regions)
        expect(logEOf(withoutRegions(before, troubled))).toBeLessThanOrEqual(logEOf(before) + 1e-12)
        expect(logEOf(withoutRegions(before, regions))).toBeLessThanOrEqual(1e-12)
      }),
    )
  })

  it('fades in what is predicted from it', () => {
    const learnt = afterAll([block(0, pair([50, 500], [0, 0]))])
    const halfLives = (count: number) => (count * limits.rolloutTallyHalfLifeMs) / blockMs
    const later = addEvidence(learnt, [block(halfLives(2), pair([0, 100], [0, 0]))]).metrics.hard_error?.tally
    expect(later?.stable).toEqual({ requests: 500 / 4 + 100, bad: 50 / 4 })
  })
})

describe('the bars', () => {
  it('share alpha, whatever is judged', () => {
    for (let count = 1; count <= metrics.length; count++) {
      const judged = metrics.slice(0, count)
      const evidence = beginEvidence(judged, [asia])
      const spent = judged.reduce((sum, metric) => sum + Math.exp(-harmBar(evidence, metric)), 0)
      expect(spent).toBeCloseTo(limits.rolloutAlpha, 12)
    }
  })
})

function binomial(bad: number, requests: number, rate: number): number {
  let ways = 1
  for (let each = 0; each < bad; each++) ways = (ways * (requests - each)) / (each + 1)
  return ways * rate ** bad * (1 - rate) ** (requests - bad)
}
