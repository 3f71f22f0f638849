import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { afterAttempt, unwanted } from '../../../core/notify/back-off.ts'
import { limits } from '../../../shared/limits.ts'

const nowMs = 1_000_000
const told = (status: number | null, more: { error?: string | null; retryAfterMs?: number | null } = {}) => ({
  status,
  error: null,
  retryAfterMs: null,
  ...more,
})

describe('after an attempt', () => {
  it.each([200, 201, 202, 204, 299])('%d ends it well', (status) => {
    expect(afterAttempt({ attempts: 2 }, told(status), nowMs, 0.5)).toEqual({
      attempts: 3,
      nextAtMs: null,
      endedAtMs: nowMs,
      ok: true,
      lastStatus: status,
      lastError: null,
    })
  })

  it.each([null, 100, 301, 302, 400, 401, 404, 408, 409, 425, 429, 500, 502, 503, 504])('%j is tried again', (status) => {
    expect(afterAttempt({ attempts: 0 }, told(status, { error: 'why' }), nowMs, 0)).toEqual({
      attempts: 1,
      nextAtMs: nowMs + 5_000,
      endedAtMs: null,
      ok: null,
      lastStatus: status,
      lastError: 'why',
    })
  })

  it('410 ends it: nobody wants it any more', () => {
    const after = afterAttempt({ attempts: 0 }, told(410, { error: 'answered 410', retryAfterMs: 5 }), nowMs, 0)
    expect(after).toMatchObject({ nextAtMs: null, endedAtMs: nowMs, ok: false, lastStatus: 410 })
    expect(after.lastError).toContain('gone')
  })

  it('follows the schedule of Standard Webhooks to its end', () => {
    const delays: number[] = []
    let attempts = 0
    for (;;) {
      const after = afterAttempt({ attempts }, told(500), nowMs, 0)
      attempts = after.attempts
      if (after.nextAtMs === null) {
        expect(after).toMatchObject({ ok: false, endedAtMs: nowMs, lastStatus: 500 })
        break
      }
      delays.push(after.nextAtMs - nowMs)
    }
    const [second, minute, hour] = [1_000, 60_000, 3_600_000]
    expect(delays).toEqual([5 * second, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour])
    expect(attempts).toBe(10)
  })

  it('gives the time that the receiver asks for where it is more than the schedule’s, within bounds', () => {
    const waitMs = (retryAfterMs: number) => (afterAttempt({ attempts: 0 }, told(429, { retryAfterMs }), nowMs, 0).nextAtMs ?? 0) - nowMs
    expect(waitMs(60_000)).toBe(60_000)
    expect(waitMs(1_000)).toBe(5_000)
    expect(waitMs(1e15)).toBe(limits.deliveryRetryAfterMsMax)
  })

  it('for all chances: waits no less than the schedule says, nor more than a tenth longer', () => {
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: limits.deliveryDelaysMs.length - 1 }), chance, (attempts, drawn) => {
        const delayMs = limits.deliveryDelaysMs[attempts] ?? 0
        const waitMs = (afterAttempt({ attempts }, told(null), nowMs, drawn).nextAtMs ?? 0) - nowMs
        expect(waitMs).toBeGreaterThanOrEqual(delayMs)
        expect(waitMs).toBeLessThanOrEqual(Math.ceil(delayMs * 1.1))
      }),
    )
    const apart = [0, 0.9].map((drawn) => afterAttempt({ attempts: 3 }, told(500), nowMs, drawn).nextAtMs)
    expect(new Set(apart).size).toBe(2)
  })

  it('keeps a bounded part of what was said', () => {
    expect(afterAttempt({ attempts: 0 }, told(500, { error: 'x'.repeat(10_000) }), nowMs, 0).lastError?.length).toBe(
      limits.deliveryErrorCharsMax,
    )
    expect(afterAttempt({ attempts: 0 }, told(null), nowMs, 0).lastError).toBe('no answer')
  })

  it('of nobody’s delivery: over, and not counted as an attempt', () => {
    expect(unwanted({ attempts: 4, lastStatus: 500 }, nowMs)).toMatchObject({ attempts: 4, endedAtMs: nowMs, ok: false, nextAtMs: null })
  })
})
