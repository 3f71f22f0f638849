import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeLoad, type LoadRule, type LoadRun, type LoadSample } from '../../../core/gate/load.ts'
import { percentileOf } from '../../../core/gate/percentile.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { GateAnswer, GateResult } from '../../../shared/wire/gate.ts'

const rule: LoadRule = { mode: 'pause', ttftMsMax: 500, tpotMsMax: 30, parityBp: null }
const compared: LoadRule = { ...rule, parityBp: limits.parityBpDefault }

const sampled = (ttftMs: number, tpotMs: number | null = 10): LoadSample => ({ lateMs: 0, outcome: 'good', ttftMs, tpotMs })
const failed: LoadSample = { lateMs: 0, outcome: 'failed', ttftMs: 1, tpotMs: null }

/** A run that offered what it declared, ten requests a second. */
const runOf = (samples: readonly LoadSample[], more: Partial<LoadRun> = {}): LoadRun => ({
  versionDigest: 'sha256:v',
  environment: 'staging',
  traceDigest: 'sha256:t',
  requestsPerS: 10,
  durationMs: samples.length * 100,
  samples,
  ...more,
})
/** Times spread evenly from 0 to twice the mean: the p95 is 1.9 times the mean. */
const even = (meanMs: number, count = 600, tpotMs: number | null = 10) =>
  runOf(Array.from({ length: count }, (_, i) => sampled((2 * meanMs * (i + 1)) / count, tpotMs)))

function judged(run: LoadRun | null, other: LoadRun | null, by: LoadRule): GateResult {
  const result = judgeLoad(run, other, by)
  if (!result.ok) throw new Error(JSON.stringify(result.error))
  return result.value
}
const answersOf = ({ checks }: GateResult) => Object.fromEntries(checks.map(({ metric, answer }) => [metric, answer]))

describe('a percentile', () => {
  it.each([
    [1, 1],
    [19, 19],
    [20, 19],
    [21, 20],
    [100, 95],
    [101, 96],
  ])('p95 of 1 to %i is %i', (count, value) => {
    const values = Array.from({ length: count }, (_, i) => i + 1)
    expect(percentileOf(values.toReversed(), 0.95)).toMatchObject({ value, samples: count })
  })

  it('of nothing is nothing', () => {
    expect(percentileOf([], 0.95)).toBeNull()
  })

  it('has an upper end from 72 values on: 0.95^72 is below a fortieth, 0.95^71 is not', () => {
    const high = (count: number) =>
      percentileOf(
        Array.from({ length: count }, (_, i) => i),
        0.95,
      )?.high
    expect(high(71)).toBe(Infinity)
    expect(high(72)).toBe(71)
  })

  it('for all: the interval is the narrowest that holds the true percentile as often as it says', () => {
    const p = fc.constantFrom(0.5, 0.9, 0.95, 0.99)
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 3_000 }), p, (n, q) => {
        const told = percentileOf(
          Array.from({ length: n }, (_, i) => i + 1),
          q,
        )
        if (!told) throw new Error('no percentile')
        expect(told.low).toBeLessThanOrEqual(told.value)
        expect(told.high).toBeGreaterThanOrEqual(told.value)
        // Values are ranks: so many of n lie below the true percentile. Each end misses it as rarely as it must; one rank nearer would not.
        const counts = binomial(n, q)
        const sumOf = (from: number, to: number) => counts.slice(from, to).reduce((sum, each) => sum + each, 0)
        const missed = (1 - limits.gateConfidence) / 2
        expect(sumOf(0, told.low)).toBeLessThanOrEqual(missed + 1e-9)
        expect(sumOf(0, told.low + 1)).toBeGreaterThan(missed - 1e-9)
        const high = Math.min(told.high, n + 1)
        expect(sumOf(high, n + 1)).toBeLessThanOrEqual(missed + 1e-9)
        expect(sumOf(high - 1, n + 1)).toBeGreaterThan(missed - 1e-9)
      }),
      { numRuns: 50 },
    )
  })

  /** The distribution from its mode outward, without logarithms. */
  function binomial(n: number, q: number): readonly number[] {
    const weights = Array.from({ length: n + 1 }, () => 0)
    const mode = Math.floor((n + 1) * q)
    weights[mode] = 1
    for (let k = mode; k > 0; k--) weights[k - 1] = ((weights[k] ?? 0) * k * (1 - q)) / ((n - k + 1) * q)
    for (let k = mode; k < n; k++) weights[k + 1] = ((weights[k] ?? 0) * (n - k) * q) / ((k + 1) * (1 - q))
    const sum = weights.reduce((a, b) => a + b, 0)
    return weights.map((weight) => weight / sum)
  }
})

describe('objectives', () => {
  it.each<[string, number, GateAnswer]>([
    // The p95 is 1.9 times the mean; of 600 its interval reaches from the 93rd to the 97th percentile.
    ['well below', 200, 'pass'],
    ['below, and not surely', 262, 'inconclusive'],
    ['above, and not surely', 265, 'inconclusive'],
    ['well above', 300, 'fail'],
  ])('a first token %s', (_, meanMs, answer) => {
    expect(answersOf(judged(even(meanMs), null, rule))).toEqual({ ttft_p95_ms: answer, tpot_p95_ms: 'pass' })
  })

  it('more requests make an open case clear', () => {
    const meanMs = 259
    expect(judged(even(meanMs, 600), null, rule).answer).toBe('inconclusive')
    expect(judged(even(meanMs, 6_000), null, rule).answer).toBe('pass')
  })

  it('both measures must hold', () => {
    expect(judged(even(100, 600, 40), null, rule)).toMatchObject({
      answer: 'fail',
      checks: [{ answer: 'pass' }, { answer: 'fail', measured: 40 }],
    })
  })

  it('a check has value, threshold, samples and interval', () => {
    const [check] = judged(even(200), null, rule).checks
    expect(check).toMatchObject({ metric: 'ttft_p95_ms', measured: 380, reference: null, threshold: 500, bound: 'most', samples: 600 })
    expect(check?.interval?.low).toBeCloseTo(400 * 0.93, -1)
    expect(check?.interval?.high).toBeCloseTo(400 * 0.97, -1)
  })

  it('embeddings have no pace, and need none', () => {
    const result = judged(even(200, 600, null), even(200, 600, null), { ...compared, tpotMsMax: null })
    expect(answersOf(result)).toEqual({ ttft_p95_ms: 'pass', ttft_p95_ms_parity: 'pass' })
    expect(judged(even(200, 600, null), null, rule).answer).toBe('no_data')
  })

  it('failed requests, and answers without a token, are slower than any answer', () => {
    const with1in = (part: number) => runOf(even(100).samples.map((each, i) => (i % part === 0 ? failed : each)))
    expect(judged(with1in(100), null, rule).answer).toBe('pass')
    expect(judged(with1in(20), null, rule).answer).toBe('inconclusive')
    const without = { ...sampled(0), ttftMs: null }
    expect(judged(runOf(even(100).samples.map((each, i) => (i % 10 === 0 ? without : each))), null, rule).answer).toBe('fail')
    expect(judged(with1in(10), null, rule)).toMatchObject({
      answer: 'fail',
      checks: [{ measured: null, interval: { low: null, high: null } }, {}],
    })
  })
})

describe('no data', () => {
  const good = even(100)
  it.each<[string, LoadRun | null]>([
    ['no run', null],
    ['too few requests', even(100, limits.loadRequestsMin - 1)],
    ['a run that sent less than it declared', runOf(good.samples, { requestsPerS: 12 })],
    ['a run that sent more', runOf(good.samples, { requestsPerS: 8 })],
    ['a generator that fell behind', runOf(good.samples.map((each, i) => (i % 50 === 0 ? { ...each, lateMs: 60 } : each)))],
  ])('%s', (_, run) => {
    expect(judged(run, null, rule)).toMatchObject({ answer: 'no_data', checks: [{ measured: null, samples: 0 }, {}] })
  })

  it.each<[string, LoadRun | null]>([
    ['no run', null],
    ['a run that broke off', { ...good, samples: good.samples.slice(0, 300) }],
  ])('of the other environment: %s', (_, other) => {
    expect(judged(good, other, compared)).toMatchObject({ answer: 'no_data', checks: [{ answer: 'pass' }, { answer: 'no_data' }, {}, {}] })
  })

  it('is not what Poisson arrivals, and few late ones, bring', () => {
    expect(judged(even(100, limits.loadRequestsMin), null, rule).answer).toBe('pass')
    expect(judged(runOf(good.samples, { requestsPerS: 11 }), null, rule).answer).toBe('pass')
    const late = good.samples.map((each, i) => (i % 100 === 0 ? { ...each, lateMs: 60 } : each))
    expect(judged(runOf(late), null, rule).answer).toBe('pass')
  })

  it('a rule that asks for nothing', () => {
    expect(judged(good, good, { mode: 'abort', ttftMsMax: null, tpotMsMax: null, parityBp: null }).answer).toBe('no_data')
  })
})

describe('two environments', () => {
  const parity = (a: LoadRun, b: LoadRun) => answersOf(judged(a, b, compared))['ttft_p95_ms_parity']

  it.each<[string, number, number, GateAnswer]>([
    ['the same', 100, 100, 'pass'],
    ['a tenth slower', 110, 100, 'pass'],
    ['a tenth faster', 100, 110, 'pass'],
    ['a little more than that', 111, 100, 'inconclusive'],
    ['the other way', 100, 111, 'inconclusive'],
    ['a third slower', 133, 100, 'fail'],
    ['a third faster', 100, 133, 'fail'],
  ])('%s', (_, meanMs, otherMs, answer) => {
    expect(parity(even(meanMs), even(otherMs))).toBe(answer)
  })

  it('shows the end that is nearer', () => {
    const checkOf = (a: number, b: number) => judged(even(a), even(b), compared).checks[1]
    expect(checkOf(120, 100)).toMatchObject({ metric: 'ttft_p95_ms_parity', reference: 190, bound: 'most' })
    expect(checkOf(120, 100)?.threshold).toBeCloseTo(209, 9)
    expect(checkOf(100, 120)?.threshold).toBeCloseTo(228 / 1.1, 9)
    expect(checkOf(100, 120)?.bound).toBe('least')
  })

  it('one that answers nothing is not like one that answers, nor like another such', () => {
    const dead = runOf(Array.from({ length: 600 }, () => failed))
    expect(parity(dead, even(100))).toBe('fail')
    expect(parity(dead, dead)).toBe('inconclusive')
  })

  it.each<[string, Partial<LoadRun>]>([
    ['versionDigest', { versionDigest: 'sha256:w' }],
    ['traceDigest', { traceDigest: 'sha256:u' }],
    ['requestsPerS', { requestsPerS: 9 }],
    ['durationMs', { durationMs: 1 }],
  ])('are refused when %s differs', (field, change) => {
    const run = even(100)
    expect(judgeLoad(run, { ...run, ...change }, compared)).toMatchObject({ ok: false, error: { reason: 'runs_differ', field } })
    expect(judgeLoad(run, { ...run, environment: 'production' }, compared).ok).toBe(true)
  })

  it('truly alike they are hardly ever held and never fail; half as slow again they never pass', () => {
    const random = seededRandom(7)
    // Log-normal first tokens, as engines under load show them.
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    const drawn = (medianMs: number) => runOf(Array.from({ length: 600 }, () => sampled(medianMs * Math.exp(0.5 * normal()))))
    const tally = (factor: number) => {
      const answers = Array.from({ length: 200 }, () => parity(drawn(100 * factor), drawn(100)))
      return { pass: answers.filter((each) => each === 'pass').length, fail: answers.filter((each) => each === 'fail').length }
    }
    const alike = tally(1)
    expect(alike.fail).toBe(0)
    expect(alike.pass).toBeGreaterThan(160)
    const slower = tally(1.5)
    expect(slower.pass).toBe(0)
    expect(slower.fail).toBeGreaterThan(160)
  })
})
