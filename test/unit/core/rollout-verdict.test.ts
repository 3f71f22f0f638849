import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { metrics, none, type ArmBlock, type Metric, type Pair } from '../../../core/rollout/blocks.ts'
import { beginBake, beginJudgement, noTrouble, observe, type Judgement, type Look, type Trouble } from '../../../core/rollout/judgement.ts'
import { rulingOf, verdictsOf, type Bake, type Standing, type Verdict } from '../../../core/rollout/verdict.ts'
import type { RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'

const asia = 'asia' as RegionName
const europe = 'europe' as RegionName
const regions = [asia, europe]
const blockMs = limits.rolloutBlockMs
const bake: Bake = { minRequests: 100, endsAtMs: 600_000, proof: false }

const pair = (stable: [number, number], canary: [number, number]): Pair => ({
  stable: { bad: stable[0], requests: stable[1] },
  canary: { bad: canary[0], requests: canary[1] },
})
const sound = pair([5, 500], [0, 25])
const broken = pair([5, 500], [25, 25])
const silent: Pair = { stable: none, canary: none }

const begun = (judged: readonly Metric[] = ['hard_error']): Judgement =>
  beginBake(beginJudgement({ metrics: judged, regions, plannedRequests: 10_000 }, 0))
const block = (number: number, hardError: Pair, region = asia): ArmBlock => ({
  region,
  fromMs: number * blockMs,
  metrics: { hard_error: hardError },
})
/** One look after each block, from the first on. */
const looked = (pairs: readonly Pair[], region = asia, trouble: Trouble = noTrouble, before = begun(), from = 0): Judgement =>
  pairs.reduce(
    (judgement, each, index) =>
      observe(judgement, { blocks: [block(from + index, each, region)], trouble, nowMs: (from + index + 1) * blockMs }),
    before,
  )
const times = (count: number, each: Pair): readonly Pair[] => Array.from({ length: count }, () => each)
const verdictOf = (judgement: Judgement, nowMs: number, asked = bake): Verdict | undefined => verdictsOf(judgement, asked, nowMs)[0]
const standing = (nowMs: number, more: Partial<Standing> = {}): Standing => ({
  bake,
  extended: false,
  unmeasured: 0,
  trouble: noTrouble,
  nowMs,
  ...more,
})
const ruled = (judgement: Judgement, nowMs: number, more: Partial<Standing> = {}) =>
  rulingOf(verdictsOf(judgement, more.bake ?? bake, nowMs), standing(nowMs, { unmeasured: judgement.unmeasured, ...more }))

describe('a verdict', () => {
  it.each([
    { name: 'nothing seen', pairs: [], nowMs: 600_000, proof: false, answer: 'no_data', gate: 'no_harm' },
    {
      name: 'only stable served',
      pairs: times(60, pair([5, 500], [0, 0])),
      nowMs: 600_000,
      proof: false,
      answer: 'no_data',
      gate: 'no_harm',
    },
    {
      name: 'only the canary served',
      pairs: times(60, pair([0, 0], [0, 25])),
      nowMs: 600_000,
      proof: false,
      answer: 'no_data',
      gate: 'no_harm',
    },
    { name: 'one request too few', pairs: [pair([5, 500], [0, 99])], nowMs: 600_000, proof: false, answer: 'no_data', gate: 'no_harm' },
    { name: 'enough, but too early', pairs: times(10, sound), nowMs: 599_999, proof: false, answer: 'inconclusive', gate: 'no_harm' },
    { name: 'enough of both', pairs: times(10, sound), nowMs: 600_000, proof: false, answer: 'pass', gate: 'no_harm' },
    { name: 'a proof is asked for', pairs: times(10, sound), nowMs: 600_000, proof: true, answer: 'inconclusive', gate: 'not_worse' },
    {
      name: 'a proof is given',
      pairs: times(60, pair([50, 5_000], [2, 250])),
      nowMs: 600_000,
      proof: true,
      answer: 'pass',
      gate: 'not_worse',
    },
    {
      name: 'all failed, before the bake is over',
      pairs: times(2, broken),
      nowMs: 20_000,
      proof: false,
      answer: 'fail',
      gate: 'fast_guard',
    },
    {
      name: 'twice as many failed for long',
      pairs: times(300, pair([5, 500], [1, 50])),
      nowMs: 3_000_000,
      proof: true,
      answer: 'fail',
      gate: 'no_harm',
    },
  ] as const)('$name: $answer', ({ pairs, nowMs, proof, answer, gate }) => {
    expect(verdictOf(looked(pairs), nowMs, { ...bake, proof })).toMatchObject({ answer, gate, metric: 'hard_error', atMs: nowMs })
  })

  it('carries both values, threshold, window, samples, interval and a sentence', () => {
    const verdict = verdictOf(looked(times(300, pair([5, 500], [1, 50]))), 3_000_000)
    expect(verdict).toMatchObject({ samples: { stable: 150_000, canary: 15_000 }, window: { fromMs: 0, untilMs: 3_000_000 } })
    expect(verdict?.stable).toBeCloseTo(0.01, 12)
    expect(verdict?.canary).toBeCloseTo(0.02, 12)
    expect(verdict?.measured).toBeGreaterThan(verdict?.threshold ?? Infinity)
    expect(verdict?.interval?.low).toBeGreaterThan(0)
    expect(verdict?.reason).toMatch(
      /^the canary does harm: 2\.00 % bad of 15000 canary requests, 1\.00 % of 150000 stable ones; log E .* most of it from asia$/,
    )
  })

  it('of the guard is over its own minutes', () => {
    const judgement = looked([...times(60, sound), ...times(2, broken)])
    expect(verdictOf(judgement, 620_000)).toMatchObject({
      gate: 'fast_guard',
      window: { fromMs: 600_000, untilMs: 620_000 },
      samples: { stable: 1_000, canary: 50 },
      canary: 1,
      threshold: 0.05,
    })
  })

  it('is given for each metric, and all must pass', () => {
    const judgement = looked(times(60, sound), asia, noTrouble, begun(['hard_error', 'empty_answer']))
    expect(verdictsOf(judgement, bake, 600_000).map(({ metric, answer }) => [metric, answer])).toEqual([
      ['hard_error', 'pass'],
      ['empty_answer', 'no_data'],
    ])
    expect(ruled(judgement, 600_000)).toMatchObject({ act: 'extend' })
  })

  it('counts requests from the start of each bake, and evidence from the start of all', () => {
    const next = beginBake(looked(times(60, sound)))
    expect(verdictOf(next, 600_000)).toMatchObject({ answer: 'no_data', samples: { canary: 1_500 } })
    expect(next.evidence).toEqual(looked(times(60, sound)).evidence)
  })
})

describe('the end of a bake', () => {
  const passed = looked(times(60, sound))
  /** As bad as stable, for too short to prove it. */
  const open = looked(times(60, pair([20, 500], [1, 25])))
  const short = looked([pair([5, 500], [0, 20])])
  const proof: Bake = { ...bake, proof: true }

  it.each([
    { name: 'all pass', judgement: passed, nowMs: 600_000, more: {}, ruling: { act: 'advance' } },
    { name: 'it is not there yet', judgement: passed, nowMs: 590_000, more: {}, ruling: { act: 'hold' } },
    { name: 'too little data', judgement: short, nowMs: 600_000, more: {}, ruling: { act: 'extend' } },
    { name: 'and still too little', judgement: short, nowMs: 600_000, more: { extended: true }, ruling: { act: 'pause', why: 'low_data' } },
    { name: 'no data at all', judgement: begun(), nowMs: 600_000, more: { extended: true }, ruling: { act: 'pause', why: 'low_data' } },
    { name: 'no proof', judgement: open, nowMs: 600_000, more: { bake: proof }, ruling: { act: 'pause', why: 'inconclusive' } },
    { name: 'the last look failed', judgement: passed, nowMs: 600_000, more: { unmeasured: 1 }, ruling: { act: 'hold' } },
    {
      name: 'a region in trouble',
      judgement: passed,
      nowMs: 600_000,
      more: { trouble: { fleet: false, regions: [europe] } },
      ruling: { act: 'hold' },
    },
    {
      name: 'the fleet in trouble, too little data',
      judgement: short,
      nowMs: 600_000,
      more: { extended: true, trouble: { fleet: true, regions: [] } },
      ruling: { act: 'hold' },
    },
  ])('$name: $ruling.act', ({ judgement, nowMs, more, ruling }) => {
    expect(ruled(judgement, nowMs, more)).toMatchObject(ruling)
  })

  it('no verdict at all lets nothing through', () => {
    expect(rulingOf([], standing(600_000)).act).toBe('hold')
  })

  it('for all: it advances only when every metric has passed with its requests', () => {
    const traffic = fc.array(fc.record({ stable: fc.integer({ min: 0, max: 50 }), canary: fc.integer({ min: 0, max: 6 }) }), {
      maxLength: 60,
    })
    fc.assert(
      fc.property(traffic, fc.integer({ min: 0, max: 700_000 }), fc.boolean(), (counts, nowMs, asked) => {
        const judgement = looked(counts.map(({ stable, canary }) => pair([0, stable], [0, canary])))
        const ruling = ruled(judgement, nowMs, { bake: { ...bake, proof: asked } })
        const served = counts.reduce((sum, { canary }) => sum + canary, 0)
        expect(ruling.act !== 'advance' || (served >= 100 && nowMs >= 600_000)).toBe(true)
      }),
    )
  })
})

describe('what cannot be measured', () => {
  const unread = (before: Judgement, count: number): Judgement =>
    Array.from({ length: count }).reduce<Judgement>((each) => observe(each, { blocks: null, trouble: noTrouble, nowMs: 10_000 }), before)

  it('holds four times, and pauses at the fifth', () => {
    expect(ruled(unread(begun(), 4), 600_000)).toMatchObject({ act: 'hold' })
    expect(ruled(unread(begun(), 5), 600_000)).toMatchObject({ act: 'pause', why: 'dependency' })
    expect(ruled(unread(begun(), 5), 10_000)).toMatchObject({ act: 'pause', why: 'dependency' })
  })

  it('is counted in a row: one measurement, be it of no traffic, begins anew', () => {
    const measured = observe(unread(begun(), 4), { blocks: [], trouble: noTrouble, nowMs: 10_000 })
    expect(measured.unmeasured).toBe(0)
    expect(ruled(unread(measured, 4), 10_000)).toMatchObject({ act: 'hold' })
  })

  it('does not take back a failure that was measured', () => {
    expect(ruled(unread(looked(times(2, broken)), 5), 30_000)).toMatchObject({ act: 'abort' })
  })
})

describe("trouble that is not the canary's", () => {
  const inAsia: Trouble = { fleet: false, regions: [asia] }
  const everywhere: Trouble = { fleet: true, regions: [] }

  it.each([{ trouble: inAsia }, { trouble: everywhere }])('does not condemn the version, nor when it is over: $trouble', ({ trouble }) => {
    const noticedLate = looked(times(1, broken))
    const during = looked(times(30, broken), asia, trouble, noticedLate, 1)
    expect(ruled(during, 310_000, { trouble })).toMatchObject({ act: 'hold' })
    const lateBlock = observe(during, { blocks: [block(30, broken)], trouble: noTrouble, nowMs: 320_000 })
    expect(ruled(looked(times(5, sound), asia, noTrouble, lateBlock, 32), 370_000)).toMatchObject({ act: 'hold' })
  })

  it('in one region leaves an abort for harm in another', () => {
    const judgement = looked(times(3, broken), europe, inAsia)
    expect(ruled(judgement, 30_000, { trouble: inAsia })).toMatchObject({ act: 'abort' })
  })

  it('leaves a canary that fails when it is over to be judged', () => {
    const after = looked(times(30, sound), asia, inAsia)
    expect(ruled(looked(times(3, broken), asia, noTrouble, after, 30), 330_000)).toMatchObject({ act: 'abort' })
  })
})

describe('a look', () => {
  const pairs = fc.record({
    stable: fc.integer({ min: 0, max: 500 }),
    canary: fc.integer({ min: 0, max: 50 }),
    part: fc.double({ min: 0, max: 0.2, noNaN: true }),
  })
  const told: fc.Arbitrary<readonly ArmBlock[]> = fc
    .uniqueArray(fc.record({ number: fc.integer({ min: 0, max: 50 }), region: fc.constantFrom(...regions), pair: pairs }), {
      selector: ({ number, region }) => `${number} ${region}`,
      maxLength: 40,
    })
    .map((all) =>
      all.map(({ number, region, pair: { stable, canary, part } }) =>
        block(number, pair([Math.floor(stable * part), stable], [Math.floor(canary * part), canary]), region),
      ),
    )
  const look = (blocks: readonly ArmBlock[]): Look => ({ blocks, trouble: noTrouble, nowMs: 510_000 })

  it('for all: blocks told again, and in any order within a look, change nothing', () => {
    fc.assert(
      fc.property(told, fc.infiniteStream(fc.nat()), (blocks, order) => {
        const once = observe(begun(), look(blocks))
        const keys = new Map(blocks.map((each) => [each, order.next().value as number]))
        const shuffled = blocks.toSorted((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0))
        expect(observe(begun(), look([...shuffled, ...blocks]))).toEqual(once)
        expect(observe(once, look(blocks))).toEqual(once)
      }),
    )
  })

  it('for all: the judgement survives JSON', () => {
    fc.assert(
      fc.property(told, (blocks) => {
        const judgement = observe(begun(metrics), look(blocks))
        expect(JSON.parse(JSON.stringify(judgement))).toEqual(judgement)
        expect(JSON.parse(JSON.stringify(verdictsOf(judgement, bake, 600_000)))).toEqual(verdictsOf(judgement, bake, 600_000))
      }),
    )
  })

  it('of no traffic is no evidence', () => {
    expect(looked(times(10, silent))).toEqual(begun())
  })

  it('leaves a judgement of bounded size', () => {
    const all = (number: number): ArmBlock => ({
      region: number % 2 === 0 ? asia : europe,
      fromMs: number * blockMs,
      metrics: Object.fromEntries(metrics.map((metric) => [metric, sound])),
    })
    let judgement = begun(metrics)
    for (let number = 0; number < 3_000; number++) {
      judgement = observe(judgement, { blocks: [all(number)], trouble: noTrouble, nowMs: (number + 1) * blockMs })
    }
    expect(JSON.stringify(judgement).length).toBeLessThan(16_000)
  })
})
