// The judge of a canary: how often it condemns a sound version, how fast it finds a bad one, and that it promotes on proof alone.

import { describe, expect, it } from 'vitest'
import { seededRandom, type Random } from '../../shared/random.ts'
import { limits } from '../../shared/limits.ts'
import type { RegionName } from '../../shared/ids.ts'
import { none, type Pair } from '../../core/rollout/blocks.ts'
import { addContrast, differenceOf, noContrast, samplesNeeded } from '../../core/rollout/confidence.ts'
import { beginBake, beginJudgement, noTrouble, observe } from '../../core/rollout/judgement.ts'
import { rulingOf, verdictsOf, type Ruling } from '../../core/rollout/verdict.ts'
import {
  armOf,
  blockOf,
  cumulativeZ,
  driftingRamp,
  hour,
  looksPerMin,
  minutesToAbort,
  ownJudge,
  quantile,
  shareWithin,
  type Judge,
  type Traffic,
} from './scenarios/canary.ts'

const region = 'europe' as RegionName

/** Minutes to abort in `runs` rollouts. */
function rollouts(runs: number, traffic: Traffic, judgeOf: () => Judge, seed: number): readonly number[] {
  const random = seededRandom(seed)
  return Array.from({ length: runs }, () => minutesToAbort(judgeOf(), traffic, region, random))
}
const aborted = (times: readonly number[]): number => shareWithin(times, hour.minutes)

const own = (traffic: Traffic) => () => ownJudge(traffic.judged, [region])
const onlyErrors = (traffic: Traffic): Traffic => ({ ...traffic, judged: ['hard_error'] })

describe('sound canaries, looked at every ten seconds for an hour', () => {
  it('at most one in twenty is aborted, over all metrics', () => {
    expect(aborted(rollouts(4_000, hour, own(hour), 1))).toBeLessThanOrEqual(0.05)
  })

  it('also with hard errors alone, which have all of alpha then', () => {
    expect(aborted(rollouts(4_000, onlyErrors(hour), own(onlyErrors(hour)), 2))).toBeLessThanOrEqual(0.05)
  })

  it('where a z-test at 5 % aborts more than a quarter', () => {
    expect(aborted(rollouts(500, onlyErrors(hour), () => cumulativeZ(1.645), 2))).toBeGreaterThan(0.25)
  })

  it('also when both versions get worse together while the weight grows', () => {
    expect(aborted(rollouts(4_000, onlyErrors(driftingRamp), own(onlyErrors(driftingRamp)), 3))).toBeLessThanOrEqual(0.05)
  })

  it('where a cumulative z-test at 5 %, and one that pays for each of its looks, abort nearly all', () => {
    expect(aborted(rollouts(200, onlyErrors(driftingRamp), () => cumulativeZ(1.645), 3))).toBeGreaterThan(0.95)
    expect(aborted(rollouts(200, onlyErrors(driftingRamp), () => cumulativeZ(4.1), 3))).toBeGreaterThan(0.95)
  })
})

describe('canaries with more hard errors, at 150 requests a minute, six metrics judged', () => {
  it('twice as many are found within 20 min in 95 of 100', () => {
    const times = rollouts(1_000, { ...hour, factor: 2 }, own(hour), 4)
    expect(shareWithin(times, 20)).toBeGreaterThanOrEqual(0.95)
    expect(quantile(times, 0.5)).toBeLessThan(8)
  })

  it('where a z-test that pays for its looks finds fewer', () => {
    // 5 %, shared by six metrics and the 120 looks of 20 min.
    const times = rollouts(500, onlyErrors({ ...hour, minutes: 20, factor: 2 }), () => cumulativeZ(3.81), 4)
    expect(shareWithin(times, 20)).toBeLessThan(0.95)
  })

  it('ten times as many within 2 min', () => {
    const times = rollouts(1_000, { ...hour, factor: 10 }, own(hour), 5)
    expect(quantile(times, 0.5)).toBeLessThanOrEqual(1)
    expect(quantile(times, 0.95)).toBeLessThanOrEqual(2)
  })
})

describe('a canary that breaks after two hours', () => {
  /** Minutes from the break to the abort, of those that get so far. */
  function found(factor: number): readonly number[] {
    const random = seededRandom(6)
    const sound = onlyErrors({ ...hour, minutes: 120 })
    return Array.from({ length: 200 }, () => {
      const judge = ownJudge(sound.judged, [region])
      if (minutesToAbort(judge, sound, region, random) < Infinity) return []
      return [minutesToAbort(later(judge, 120), { ...sound, factor }, region, random)]
    }).flat()
  }

  it('with ten times the errors is found within 4 min, with twice as many within the hour', () => {
    expect(quantile(found(10), 0.95)).toBeLessThanOrEqual(4)
    expect(quantile(found(2), 0.95)).toBeLessThanOrEqual(60)
  })
})

/** The judge, shown the same blocks as of so many minutes later. */
const later =
  (judge: Judge, minutes: number): Judge =>
  (block) =>
    judge({ ...block, fromMs: block.fromMs + minutes * 60_000 })

describe('a canary that is bad in one of five regions', () => {
  const names = ['africa', 'america', 'asia', 'australia', 'europe'] as readonly string[] as readonly RegionName[]
  const each = onlyErrors({ ...hour, perMin: hour.perMin / names.length })

  function found(judgeOf: () => Judge): readonly number[] {
    const random = seededRandom(7)
    return Array.from({ length: 200 }, () => {
      const judge = judgeOf()
      for (let look = 0; look < each.minutes * looksPerMin; look++) {
        const isBad = names.some((name) => judge(blockOf({ ...each, factor: name === region ? 5 : 1 }, look, name, random)))
        if (isBad) return (look + 1) / looksPerMin
      }
      return Infinity
    })
  }

  it('with five times the errors is found there within 20 min', () => {
    expect(
      quantile(
        found(() => ownJudge(each.judged, names)),
        0.95,
      ),
    ).toBeLessThanOrEqual(20)
  })

  it('and later where regions are told as one', () => {
    const asOne =
      (judge: Judge): Judge =>
      (block) =>
        judge({ ...block, region })
    expect(
      quantile(
        found(() => asOne(ownJudge(each.judged, [region]))),
        0.95,
      ),
    ).toBeGreaterThan(20)
  })
})

describe('a sound canary whose weight grows tenfold, with 1 % of quick failures and answers of two minutes', () => {
  /** Requests per look, ten minutes before and after the step from 1 % to 10 %. */
  const perLook = 1_000
  const answerLooks = 12
  const canaryAt = (look: number): number => perLook * (look < 60 ? 0.01 : 0.1)
  /** Good ones count in the block of `delay` looks after their arrival, bad ones at once. */
  function abortedWith(delay: number): number {
    const random = seededRandom(8)
    const times = Array.from({ length: 200 }, () => {
      const arms = Array.from({ length: 120 }, (_, look) => {
        const canary = armOf(canaryAt(look), 0.01, random)
        return { canary, stable: armOf(perLook - canaryAt(look), 0.01, random) }
      })
      const judge = ownJudge(['hard_error'], [region])
      return arms.some((pair, look) => {
        const ended = arms[look - delay] ?? { stable: none, canary: none }
        const told = (arm: 'stable' | 'canary') => ({
          requests: pair[arm].bad + ended[arm].requests - ended[arm].bad,
          bad: pair[arm].bad,
        })
        const hardError: Pair = { stable: told('stable'), canary: told('canary') }
        return judge({ region, fromMs: look * limits.rolloutBlockMs, metrics: { hard_error: hardError } })
      })
    })
    return times.filter(Boolean).length / times.length
  }

  it('is not aborted by blocks of arrivals', () => {
    expect(abortedWith(0)).toBeLessThanOrEqual(0.05)
  })

  it('and is by blocks of ends', () => {
    expect(abortedWith(answerLooks)).toBeGreaterThan(0.5)
  })
})

describe('promotion', () => {
  const planned = samplesNeeded(0.01)
  const minutes = Math.ceil(planned / 150)

  /** The part of rollouts that `isProven` lets through at any look until the plan's end. */
  function promoted(traffic: Traffic, runs: number, isProven: (contrast: typeof noContrast) => boolean, seed: number): number {
    const random = seededRandom(seed)
    const proven: Judge[] = Array.from({ length: runs }, () => {
      let contrast = noContrast
      return ({ metrics: { hard_error: pair } }) => {
        if (pair) contrast = addContrast(contrast, pair)
        return isProven(contrast)
      }
    })
    const times = proven.map((judge) => minutesToAbort(judge, traffic, region, random))
    return shareWithin(times, traffic.minutes)
  }

  const ownProof = (contrast: typeof noContrast): boolean => {
    const difference = differenceOf(contrast, planned)
    return difference !== null && difference.high < difference.margin
  }
  /** A 95 % interval of the normal law, read again at each look from the guard's thirty requests on. */
  const usualInterval = ({ weight, stable, canary, variance }: typeof noContrast): boolean =>
    weight > limits.guardRequestsMin && (canary - stable + 1.645 * Math.sqrt(variance)) / weight < limits.promotionMargin

  const asGood = onlyErrors({ ...hour, minutes })
  /** Worse by exactly the margin. */
  const atMargin = onlyErrors({ ...hour, minutes: 120, factor: 1.5 })

  it('nine of ten versions as good as stable are let through with the planned requests', () => {
    expect(promoted(asGood, 1_000, ownProof, 9)).toBeGreaterThanOrEqual(0.9)
  })

  it('of versions worse by the margin at most one in twenty, within two hours of looks', () => {
    expect(promoted(atMargin, 1_000, ownProof, 10)).toBeLessThanOrEqual(0.05)
  })

  it('where the usual interval lets more than a quarter through', () => {
    expect(promoted(atMargin, 300, usualInterval, 10)).toBeGreaterThan(0.25)
  })

  it('and also of rare errors, of which the first minutes show none', () => {
    // Stable 0.1 %, the canary beyond the margin: 0.6 %.
    const rare = { ...atMargin, rate: () => 0.001, factor: 6 }
    expect(promoted(rare, 1_000, ownProof, 11)).toBeLessThanOrEqual(0.05)
  })

  it('the interval holds the difference at every look in 95 of 100, through a ramp with a drift', () => {
    const left = (contrast: typeof noContrast): boolean => {
      const difference = differenceOf(contrast, planned)
      return difference !== null && (difference.low > 0 || difference.high < 0)
    }
    expect(promoted(onlyErrors(driftingRamp), 1_000, left, 12)).toBeLessThanOrEqual(0.05)
  })
})

describe('little traffic: a canary request or two a minute', () => {
  const bakeMs = 10 * 60_000
  const slow: Traffic = { ...hour, perMin: 30, judged: ['hard_error', 'empty_answer'] }

  /** The acts of a whole bake and its extension, without those that only hold. */
  function play(random: Random, proof: boolean): readonly Ruling[] {
    let judgement = beginBake(beginJudgement({ metrics: slow.judged, regions: [region], plannedRequests: 1_000 }, 0))
    let endsAtMs = bakeMs
    const acts: Ruling[] = []
    for (let look = 0; look < 60 * looksPerMin; look++) {
      const nowMs = (look + 1) * limits.rolloutBlockMs
      judgement = observe(judgement, { blocks: [blockOf(slow, look, region, random)], trouble: noTrouble, nowMs })
      const bake = { minRequests: 100, endsAtMs, proof }
      const standing = { bake, extended: acts.length > 0, unmeasured: judgement.unmeasured, trouble: noTrouble, nowMs }
      const ruling = rulingOf(verdictsOf(judgement, bake, nowMs), standing)
      if (ruling.act === 'hold') continue
      acts.push(ruling)
      if (ruling.act !== 'extend') break
      endsAtMs = nowMs + bakeMs
    }
    return acts
  }

  it.each([true, false])('extends once, then pauses for want of data, and never advances (proof asked for: %s)', (proof) => {
    const random = seededRandom(13)
    const plays = Array.from({ length: 200 }, () => play(random, proof))
    const kept = plays.filter((acts) => acts.at(-1)?.act !== 'abort')
    expect(kept.length).toBeGreaterThanOrEqual(190)
    for (const acts of kept) expect(acts).toMatchObject([{ act: 'extend' }, { act: 'pause', why: 'low_data' }])
  })
})
