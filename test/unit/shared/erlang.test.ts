import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blindWaitMs, erlangC, waitMs } from '../../../shared/erlang.ts'

describe('Erlang C', () => {
  it.each([
    [1, 0.5, 0.5],
    [2, 1, 1 / 3],
    [5, 4, 0.5541],
    [10, 8, 0.4092],
    [20, 15, 0.1604],
    [100, 90, 0.2169],
    [3, 3, 1],
    [3, 5, 1],
    [3, Number.POSITIVE_INFINITY, 1],
    [3, 0, 0],
    [3, -1, 0],
    [3, Number.NaN, 0],
    [0, 1, 1],
    [2.9, 1, 1 / 3],
  ])('%d servers, %d Erlang: %d', (servers, offered, waits) => {
    expect(erlangC(servers, offered)).toBeCloseTo(waits, 4)
  })

  it('agrees with the sum of its definition where factorials still fit (property)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (servers, use) => {
        const offered = servers * use
        const term = (n: number): number => (n === 0 ? 1 : (term(n - 1) * offered) / n)
        const waiting = (term(servers) * servers) / (servers - offered)
        const free = Array.from({ length: servers }, (_, n) => term(n)).reduce((sum, each) => sum + each, 0)
        expect(erlangC(servers, offered)).toBeCloseTo(waiting / (free + waiting), 9)
      }),
    )
  })

  it('is a probability that grows with the load, also for thousands of servers (property)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.double({ min: 0, max: 2, noNaN: true }), (servers, use) => {
        const waits = erlangC(servers, servers * use)
        expect(waits).toBeGreaterThanOrEqual(0)
        expect(waits).toBeLessThanOrEqual(1)
        expect(erlangC(servers, servers * use * 1.1)).toBeGreaterThanOrEqual(waits)
      }),
    )
  })
})

describe('mean wait', () => {
  it('of one server is that of M/M/1: use / (1 - use) services', () => {
    expect(waitMs(1, 0.8, 1_000)).toBeCloseTo(4_000)
    expect(waitMs(10, 8, 1_000)).toBeCloseTo(204.6, 1)
    expect(waitMs(10, 0, 1_000)).toBe(0)
  })

  it('is bounded and never falls with more load, also beyond what can be served (property)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.double({ min: 0, max: 3, noNaN: true }), (servers, use) => {
        const wait = waitMs(servers, servers * use, 1_000)
        expect(wait).toBeLessThanOrEqual(1_000 / (0.005 * servers) + 1e-6)
        expect(waitMs(servers, servers * use + 0.01, 1_000)).toBeGreaterThanOrEqual(wait - 1e-9)
      }),
    )
  })
})

describe('blind wait', () => {
  const station = (slots: number, share: number, serviceMs = 1_000) => ({ slots, share, serviceMs })

  it('of equal endpoints is the wait at one of them', () => {
    const four = Array.from({ length: 4 }, () => station(8, 0.25))
    expect(blindWaitMs(four, 24)).toBeCloseTo(waitMs(8, 6, 1_000))
  })

  it('is longer than that of one queue before all places (property)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 12 }),
        fc.integer({ min: 1, max: 32 }),
        fc.double({ min: 0.05, max: 0.99, noNaN: true }),
        (n, slots, use) => {
          const endpoints = Array.from({ length: n }, () => station(slots, 1))
          expect(blindWaitMs(endpoints, n * slots * use)).toBeGreaterThanOrEqual(waitMs(n * slots, n * slots * use, 1_000))
        },
      ),
    )
  })

  it('takes shares relative to their sum, leaves out those without, and is nothing where there is nobody', () => {
    expect(blindWaitMs([station(8, 3), station(4, 1)], 9)).toBeCloseTo(blindWaitMs([station(8, 0.75), station(4, 0.25)], 9))
    expect(blindWaitMs([station(8, 1), station(4, 0), station(4, Number.NaN), station(4, -1)], 6)).toBeCloseTo(waitMs(8, 6, 1_000))
    expect(blindWaitMs([], 6)).toBe(0)
  })
})
