import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { count, mayHedge, mayRetry, newBudget } from '../../../edge/ledger/budget.ts'
import type { Purpose } from '../../../shared/wire/ledger.ts'

const startMs = 1_700_000_000_000

function after(counts: Partial<Record<Purpose, number>>) {
  const budget = newBudget()
  for (const [purpose, n] of Object.entries(counts)) for (let i = 0; i < n; i++) count(budget, purpose as Purpose, startMs)
  return budget
}

describe('retries', () => {
  it.each([
    [0, 2, true],
    [0, 3, false],
    [10, 3, true],
    [10, 4, false],
    [1_000, 102, true],
    [1_000, 103, false],
  ])('after %i first attempts and %i retries one more: %s', (first, retry, may) => {
    expect(mayRetry(after({ first, retry }), startMs)).toBe(may)
  })

  it('everything failing amplifies by at most 1.13 (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1_000, maxLength: 2_000 }), (gapsMs) => {
        const budget = newBudget()
        let nowMs = startMs
        let retries = 0
        for (const gapMs of gapsMs) {
          nowMs += gapMs
          count(budget, 'first', nowMs)
          if (!mayRetry(budget, nowMs)) continue
          count(budget, 'retry', nowMs)
          retries++
        }
        // Ten seconds hold some 330 of these requests; the floor adds three to each such window.
        expect(1 + retries / gapsMs.length).toBeLessThanOrEqual(1.13)
      }),
      { numRuns: 20 },
    )
  })

  it('are forgotten with the window', () => {
    const budget = after({ retry: 3 })
    expect(mayRetry(budget, startMs + 8_000)).toBe(false)
    expect(mayRetry(budget, startMs + 10_000)).toBe(true)
  })
})

describe('second copies', () => {
  it.each([
    ['no requests, so no copies', { first: 0 }, 0.1, false],
    ['too few requests for even one', { first: 49 }, 0.1, false],
    ['one in fifty', { first: 50 }, 0.1, true],
    ['not a second in fifty', { first: 50, hedge: 1 }, 0.1, false],
    ['a second only when it still is within its part', { first: 99, hedge: 1 }, 0.1, false],
    ['two in a hundred', { first: 100, hedge: 1 }, 0.1, true],
    ['retries do not count', { first: 50, retry: 8 }, 0.1, true],
    ['below the use limit', { first: 50 }, 0.69, true],
    ['not from the use limit on', { first: 50 }, 0.7, false],
    ['not when the use is unknown', { first: 50 }, Number.NaN, false],
  ] as const)('%s', (_, counts, use, may) => {
    expect(mayHedge(after(counts), startMs, use)).toBe(may)
  })
})
