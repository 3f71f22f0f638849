// A question to the ledger costs a round trip: it is asked only when it pays, and that is as good as the better of always and never.

import { describe, expect, it } from 'vitest'
import { memoryOf } from './harness/play.ts'
import { asking } from './scenarios/asking.ts'

const at = memoryOf(asking, { seeds: [1, 2], requests: 16_000 })

describe('asking when it pays', () => {
  it.each([0.3, 0.5, 0.7, 0.85])('at load %s is at most a tenth slower than the better of always and never', (load) => {
    const best = Math.min(at('always-ask', load).meanTtftS, at('never-ask', load).meanTtftS)
    expect(at('isochrone', load).meanTtftS).toBeLessThanOrEqual(1.1 * best)
  })

  it('asks seldom while a draw does as well, and nearly always when it does not', () => {
    expect(at('isochrone', 0.3).shares['asked']).toBeLessThan(0.15)
    expect(at('isochrone', 0.85).shares['asked']).toBeGreaterThan(0.9)
  })

  it('where always asking is slower than that at low load, and never asking at high load', () => {
    expect(at('always-ask', 0.3).meanTtftS).toBeGreaterThan(1.1 * at('never-ask', 0.3).meanTtftS)
    expect(at('never-ask', 0.85).meanTtftS).toBeGreaterThan(1.1 * at('always-ask', 0.85).meanTtftS)
  })
})
