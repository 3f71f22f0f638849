import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  forgive,
  lastGoodAtMs,
  learn,
  learnClass,
  newClassTimes,
  newSpeed,
  p95Ms,
  prefillMs,
  serviceMs,
  ttftMs,
  type Completion,
  type Speed,
} from '../../../edge/ledger/speed.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom } from '../../../shared/random.ts'

const startMs = 1_000

const good = (tookMs: number, ttfbMs: number | null = null, promptTokens: number | null = null): Completion => ({
  outcome: 'good',
  tookMs,
  ttfbMs,
  promptTokens,
})

function after(...completions: readonly Completion[]): Speed {
  const speed = newSpeed()
  for (const [index, each] of completions.entries()) learn(speed, each, 1_000 + index)
  return speed
}

describe('service time', () => {
  it('is unknown before anything was seen', () => {
    const speed = after()
    expect([serviceMs(speed), ttftMs(speed), prefillMs(speed, 100), lastGoodAtMs(speed)]).toEqual([null, null, null, null])
  })

  it('is the mean of what came together, and older ones fade by their age, however many there were', () => {
    const speed = newSpeed()
    for (let i = 0; i < 1_000; i++) learn(speed, good(100), startMs)
    for (let i = 0; i < 1_000; i++) learn(speed, good(300), startMs)
    expect(serviceMs(speed)).toBeCloseTo(200)
    for (let i = 0; i < 1_000; i++) learn(speed, good(300), startMs + limits.speedFadeMs)
    const faded = 2 * Math.exp(-1)
    expect(serviceMs(speed)).toBeCloseTo((200 * faded + 300) / (faded + 1))
  })

  it.each([1, 50])('follows an endpoint that has become four times slower within a minute, at %d requests a second', (perS) => {
    const speed = newSpeed()
    for (let n = 0; n < 300 * perS; n++) learn(speed, good(1_000), startMs + (n * 1_000) / perS)
    for (let n = 300 * perS; n < 360 * perS; n++) learn(speed, good(4_000), startMs + (n * 1_000) / perS)
    expect(serviceMs(speed)).toBeGreaterThan(3_500)
  })

  it.each<readonly [string, Partial<Completion>, number]>([
    ['fails at once', { tookMs: 10 }, 5_000],
    ['fails at an unknown time', {}, 5_000],
    ['fails after a minute', { tookMs: 60_000 }, 60_000],
    ['fails after an hour', { tookMs: 3_600_000 }, 300_000],
    ['asks for a pause', { tookMs: 10, retryAfterMs: 20_000 }, 20_000],
    ['asks for a pause without end', { retryAfterMs: Number.POSITIVE_INFINITY }, 5_000],
    ['asks for a pause before now', { retryAfterMs: -1 }, 5_000],
  ])('of one that %s is recorded within bounds, and its first token is not', (_, settled, recordedMs) => {
    for (const outcome of ['hard_failure', 'soft_failure'] as const) {
      const speed = after({ outcome, ttfbMs: 5, promptTokens: 100, ...settled })
      expect(serviceMs(speed)).toBe(recordedMs)
      expect([ttftMs(speed), prefillMs(speed, 100), lastGoodAtMs(speed)]).toEqual([null, null, null])
    }
  })

  it('forgets failures with time, as if they had never been', () => {
    const well = after(...Array.from({ length: 50 }, () => good(15)))
    const failing = after(...Array.from({ length: 50 }, () => good(15)), { outcome: 'hard_failure', ttfbMs: null })
    expect(serviceMs(failing)).toBeCloseTo(15 + 0.05 * (5_000 - 15))
    const minuteLaterMs = failing.seenAtMs + 60_000
    expect(serviceMs(failing, minuteLaterMs)).toBeLessThan(16)
    // What is learnt later rests on the good answers alone.
    for (const speed of [well, failing]) learn(speed, good(20), minuteLaterMs)
    expect(Math.abs((serviceMs(failing) ?? Number.NaN) - (serviceMs(well) ?? Number.NaN))).toBeLessThan(1)
  })

  it('keeps failures where nothing else was ever seen, whatever the time', () => {
    const speed = after({ outcome: 'hard_failure', ttfbMs: null })
    expect(serviceMs(speed, speed.seenAtMs + 3_600_000)).toBe(5_000)
  })

  it('is that of its good answers again when it is forgiven', () => {
    const speed = after(good(15), ...Array.from({ length: 9 }, (): Completion => ({ outcome: 'hard_failure', ttfbMs: null })))
    expect(serviceMs(speed)).toBeGreaterThan(1_000)
    forgive(speed)
    expect(serviceMs(speed)).toBe(15)
  })

  it('learns nothing from a client that left', () => {
    expect(after({ outcome: 'cancelled', ttfbMs: 5, tookMs: 5, promptTokens: 5 })).toEqual(newSpeed())
  })

  it.each([Number.NaN, -1, Number.POSITIVE_INFINITY, 1e12])('ignores times of %s ms', (ms) => {
    const speed = after(good(ms, ms, ms))
    expect([serviceMs(speed), ttftMs(speed)]).toEqual([null, null])
    expect(lastGoodAtMs(speed)).toBe(1_000)
  })
})

describe('prefill', () => {
  const engine = (fixedMs: number, msPerToken: number, tokens: readonly number[]) =>
    after(...tokens.map((n) => good(1_000, fixedMs + msPerToken * n, n)))

  it('is read off for a prompt of any length', () => {
    const speed = engine(30, 0.2, [10, 500, 2_000, 50, 8_000, 4_000])
    expect(prefillMs(speed, 1_000)).toBeCloseTo(230)
    expect(prefillMs(speed, 0)).toBeCloseTo(30)
    expect(prefillMs(speed, 16_000)).toBeCloseTo(3_230)
  })

  it('is the mean where tokens are unknown, or make no difference', () => {
    expect(prefillMs(engine(30, 0.2, [100, 300]), null)).toBeCloseTo(70)
    expect(prefillMs(after(good(100, 40), good(100, 60)), 5_000)).toBeCloseTo(50)
    expect(prefillMs(engine(50, 0, [10, 500, 2_000]), 8_000)).toBeCloseTo(50)
    expect(prefillMs(engine(50, 1, [100, 100, 100]), 8_000)).toBeCloseTo(150)
  })

  it('never goes down with more tokens, and is never negative (property)', () => {
    const sample = fc.record({ ttfbMs: fc.double({ min: 0, max: 60_000, noNaN: true }), promptTokens: fc.nat(100_000) })
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 60 }), fc.nat(200_000), fc.nat(200_000), (samples, few, more) => {
        const speed = after(...samples.map(({ ttfbMs, promptTokens }) => good(1, ttfbMs, promptTokens)))
        const fewMs = prefillMs(speed, few) ?? Number.NaN
        expect(fewMs).toBeGreaterThanOrEqual(-1e-6)
        expect(prefillMs(speed, few + more)).toBeGreaterThanOrEqual(fewMs - 1e-6)
      }),
    )
  })
})

describe('95th percentile of a class', () => {
  it('means nothing before fifty completions', () => {
    const times = newClassTimes()
    for (let i = 1; i < limits.hedgeSamplesMin; i++) learnClass(times, i)
    expect(p95Ms(times)).toBeNull()
    learnClass(times, 50)
    expect(p95Ms(times)).toBe(48)
  })

  it('is that of the last 512, whatever came before, and absurd times are none', () => {
    const times = newClassTimes()
    for (let i = 0; i < 5_000; i++) learnClass(times, 9_000)
    const random = seededRandom(5)
    const last = Array.from({ length: 512 }, () => random() * 1_000)
    for (const ms of last) learnClass(times, ms)
    for (const ms of [Number.NaN, -1, Number.POSITIVE_INFINITY]) learnClass(times, ms)
    expect(times.timesMs).toHaveLength(512)
    expect(last.filter((ms) => ms <= (p95Ms(times) ?? 0))).toHaveLength(487)
  })
})
