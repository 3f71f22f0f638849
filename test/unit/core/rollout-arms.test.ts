// What a rollout can be judged by, with which limits, and what a slot's tallies are to the judge and to the guard.

import { describe, expect, it } from 'vitest'
import type { RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { classMsMax, noPart, timeClassOf, type TrialTally } from '../../../shared/wire/trial.ts'
import { blockOf, guardNow, judgeableOf, type Bounds } from '../../../core/rollout/arms.ts'
import { metrics, type Metric } from '../../../core/rollout/blocks.ts'
import type { Step } from '../../../core/rollout/steps.ts'
import type { SlotArms, Usual } from '../../../core/rollout/trials.ts'
import { trialTally } from '../../support/trial.ts'

const fra = 'fra' as RegionName
const iad = 'iad' as RegionName
const weight = (minRequests: number): Step => ({ kind: 'weight', weightBp: 1_000, bakeMs: 60_000, minRequests, proof: false })
const shadow: Step = { kind: 'shadow', shareBp: 1_000, forMs: 60_000 }

/** A thousand requests of stable to which everything applies. */
const plenty: Usual = {
  judged: 1_000,
  hardErrors: 10,
  empty: { of: 1_000, bad: 0 },
  schema: { of: 1_000, bad: 0 },
  earlyAborts: { of: 1_000, bad: 0 },
  ttft: { [timeClassOf(100)]: 940, [timeClassOf(300)]: 60 },
  tpot: { [timeClassOf(20)]: 1_000 },
}

describe('what is judged', () => {
  const steps = [shadow, weight(100), weight(300)]
  const judged = (usual: Partial<Usual>, tpotP95MsMax: number | null = 50, by: readonly Step[] = steps) =>
    judgeableOf({ ...plenty, ...usual }, { tpotP95MsMax }, by)

  it('everything, where everything applies', () => {
    expect(judged({})).toMatchObject({ metrics: [...metrics], skipped: {} })
  })

  it.each<readonly [string, Partial<Usual>, number | null, readonly Step[], Metric, string]>([
    ['first tokens too few to know what is slow', { ttft: { [timeClassOf(100)]: 99 } }, 50, steps, 'slow_first_token', '99 first tokens'],
    ['the model without an objective for the pace', {}, null, steps, 'slow_tokens', 'no objective'],
    ['schemas that hardly anybody asks for', { schema: { of: 299, bad: 0 } }, 50, steps, 'schema_violation', '299 of stable’s 1000'],
    ['embeddings, which have no pace', { tpot: {} }, 50, steps, 'slow_tokens', '0 of stable’s 1000'],
    ['answers of which none can be empty', { empty: noPart }, 50, steps, 'empty_answer', '0 of stable’s 1000'],
    ['copies alone, after which no bake brings requests', {}, 50, [shadow], 'early_abort', 'too few'],
  ])('not, and said to be so: %s', (_, usual, pace, by, metric, words) => {
    const { metrics: named, skipped } = judged(usual, pace, by)
    expect(named).not.toContain(metric)
    expect(skipped[metric]?.replaceAll("'", '’')).toContain(words)
  })

  it('a metric that the smallest bake shows often enough is', () => {
    expect(judged({ schema: { of: 300, bad: 0 } }).metrics).toContain('schema_violation')
    expect(judged({ schema: { of: 299, bad: 0 } }, 50, [weight(101)]).metrics).toContain('schema_violation')
  })

  it('of a stable of which nothing is known, hard errors alone', () => {
    const nothing: Usual = { judged: 0, hardErrors: 0, empty: noPart, schema: noPart, earlyAborts: noPart, ttft: {}, tpot: {} }
    const { metrics: named, skipped, bounds } = judgeableOf(nothing, { tpotP95MsMax: 50 }, steps)
    expect(named).toEqual(['hard_error'])
    expect(Object.keys(skipped).toSorted()).toEqual(metrics.filter((each) => each !== 'hard_error').toSorted())
    expect(bounds.ttftClass).toBeNull()
  })

  it('each metric is judged, or it is said why not', () => {
    for (const usual of [plenty, { ...plenty, ttft: {} }, { ...plenty, judged: 0 }]) {
      const { metrics: named, skipped } = judgeableOf(usual, { tpotP95MsMax: null }, steps)
      expect([...named, ...Object.keys(skipped)].toSorted()).toEqual([...metrics].toSorted())
    }
  })
})

describe('limits', () => {
  it('a first token is slow above the class of stable’s 95th percentile', () => {
    expect(judgeableOf(plenty, { tpotP95MsMax: null }, [weight(100)]).bounds.ttftClass).toBe(timeClassOf(300))
    const faster = { ...plenty, ttft: { [timeClassOf(100)]: 951, [timeClassOf(300)]: 49 } }
    expect(judgeableOf(faster, { tpotP95MsMax: null }, [weight(100)]).bounds.ttftClass).toBe(timeClassOf(100))
  })

  it.each([1, 2, 20, 37.5, 1_000])('the pace’s limit lies within an objective of %d ms, and the next class does not', (ms) => {
    const { tpotClass } = judgeableOf(plenty, { tpotP95MsMax: ms }, [weight(100)]).bounds
    expect(classMsMax(tpotClass ?? -1)).toBeLessThanOrEqual(ms)
    expect(classMsMax((tpotClass ?? -1) + 1)).toBeGreaterThan(ms)
  })
})

const tally = (so: Partial<TrialTally>): TrialTally => trialTally({ slotMs: 60_000, ...so })
const arms = (so: Partial<SlotArms>): SlotArms => ({ region: fra, slotMs: 60_000, stable: null, canary: null, ...so })

describe('the block of a slot', () => {
  const bounds: Bounds = { ttftClass: timeClassOf(100), tpotClass: timeClassOf(20) }
  const canary = tally({
    arrived: 10,
    judged: 10,
    hardErrors: 1,
    empty: { of: 9, bad: 2 },
    schema: { of: 3, bad: 3 },
    earlyAborts: { of: 10, bad: 4 },
    ttft: { [timeClassOf(100)]: 7, [timeClassOf(200)]: 2 },
    tpot: { [timeClassOf(10)]: 5, [timeClassOf(40)]: 1 },
  })

  it('has requests and bad ones of each metric, of those to which it applies', () => {
    const { region, fromMs, metrics: pairs } = blockOf(arms({ canary, stable: tally({ judged: 5 }) }), metrics, bounds)
    expect({ region, fromMs }).toEqual({ region: fra, fromMs: 60_000 })
    expect(Object.fromEntries(Object.entries(pairs).map(([metric, pair]) => [metric, [pair.canary.requests, pair.canary.bad]]))).toEqual({
      hard_error: [10, 1],
      slow_first_token: [9, 2],
      slow_tokens: [6, 1],
      empty_answer: [9, 2],
      schema_violation: [3, 3],
      early_abort: [10, 4],
    })
    expect(pairs.hard_error?.stable).toEqual({ requests: 5, bad: 0 })
  })

  it('has only what is judged, and nothing of an arm that was not there', () => {
    expect(blockOf(arms({ canary }), ['hard_error'], bounds).metrics).toEqual({
      hard_error: { stable: { requests: 0, bad: 0 }, canary: { requests: 10, bad: 1 } },
    })
  })
})

describe('the guard’s window', () => {
  it('counts what has left as good until it has failed, and an end whose departure was lost', () => {
    const slots = [arms({ canary: tally({ arrived: 20, judged: 5, hardErrors: 5 }), stable: tally({ arrived: 0, judged: 3 }) })]
    expect(guardNow(slots, {})[fra]).toEqual([{ fromMs: 60_000, canary: { requests: 20, bad: 5 }, stable: { requests: 3, bad: 0 } }])
  })

  it('sums slots of a minute, by region', () => {
    const canary = tally({ arrived: 2 })
    const window = guardNow(
      [arms({ canary }), arms({ slotMs: 70_000, canary }), arms({ slotMs: 120_000, canary }), arms({ region: iad, canary })],
      {},
    )
    expect(window[fra]?.map(({ fromMs, canary: { requests } }) => [fromMs, requests])).toEqual([
      [60_000, 4],
      [120_000, 2],
    ])
    expect(window[iad]).toHaveLength(1)
  })

  it('leaves out what a region did before its trouble was over', () => {
    const canary = tally({ arrived: 2 })
    const window = guardNow([arms({ canary }), arms({ slotMs: 120_000, canary }), arms({ region: iad, canary })], { [fra]: 120_000 })
    expect(window[fra]?.map(({ fromMs }) => fromMs)).toEqual([120_000])
    expect(window[iad]).toHaveLength(1)
  })

  it('never grows beyond its minutes', () => {
    const slots = Array.from({ length: 600 }, (_, number) =>
      arms({ slotMs: number * limits.rolloutBlockMs, canary: tally({ arrived: 1 }) }),
    )
    expect(guardNow(slots, {})[fra]).toHaveLength(limits.guardSlicesMax)
  })
})
