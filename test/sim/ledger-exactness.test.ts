// The ledger's counts against a list kept beside it: whatever is asked, charged, told, told twice, lost or forgotten, and whenever the
// object is evicted, in flight is what has a live lease.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ask, awaitGrant, exchange, keep, newBook, report, restore, sweep, take, type Book } from '../../edge/ledger/book.ts'
import { findLease, inFlight, leaseCount } from '../../edge/ledger/leases.ts'
import type { LeaseId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { seededRandom } from '../../shared/random.ts'
import { outcomeKindsOf } from './policies/outcomes.ts'
import { cellName, endpointName, snapshotOf, version } from './policies/names.ts'
import { World } from './harness/world.ts'

const slots = [3, 2, 1]
const snapshot = snapshotOf(new World({ regions: [slots], roundTripMs: [[0]], isolates: 1 }, 1))
const idOf = (number: number): LeaseId => `l${number}` as LeaseId
const longestMs = 20_000

/** One thing that may happen. Ids are few, so that everything happens twice and in every order. */
const id = fc.nat({ max: 30 }).map(idOf)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      id,
      forMs: fc.integer({ min: 1, max: longestMs }),
      credits: fc.nat({ max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('charge' as const),
      id,
      station: fc.nat({ max: 3 }),
      forMs: fc.integer({ min: -5, max: longestMs }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('settle' as const), id, outcome: fc.constantFrom(...outcomeKindsOf) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('claim' as const), id }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: -500, max: 4_000 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'evict' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'exchange' as const }) },
)
type Step = typeof step extends fc.Arbitrary<infer Each> ? Each : never

class Run {
  nowMs = 1_000_000
  book: Book = this.#fresh('life-0')
  /** Grants that came of a wait. */
  granted = 0
  readonly #random = seededRandom(1)
  #lives = 0

  do(each: Step): void {
    switch (each.kind) {
      case 'ask': {
        const deadlineMs = this.nowMs + each.forMs + limits.leaseGraceMs
        const asked = { cell: this.book.cell, leaseId: each.id, version, avoid: [], generation: 1, deadlineMs, credits: each.credits }
        ask(this.book, asked, this.nowMs, this.#random)
        return
      }
      case 'charge': {
        const charge = {
          leaseId: each.id,
          endpoint: endpointName(each.station),
          version,
          deadlineMs: this.nowMs + each.forMs,
          why: 'blind' as const,
        }
        this.#report({ charges: [charge] })
        return
      }
      case 'settle':
        this.#report({ settled: [{ leaseId: each.id, outcome: each.outcome, ttfbMs: 1, tookMs: 10, endpoint: endpointName(0) }] })
        return
      case 'claim':
        awaitGrant(this.book, each.id, ({ lease }) => void (this.granted += lease ? 1 : 0), this.nowMs)
        return
      case 'pass':
        this.nowMs += each.ms
        sweep(this.book, this.nowMs, this.#random)
        return
      case 'evict': {
        const kept = keep(this.book)
        this.book = this.#fresh(`life-${++this.#lives}`)
        restore(this.book, structuredClone(kept), this.nowMs)
        return
      }
      case 'exchange':
        exchange(this.book, { snapshot: null, cell: this.book.cell }, this.nowMs, this.#random)
        return
    }
  }

  #report(told: {
    charges?: Parameters<typeof report>[1]['report']['charges']
    settled?: Parameters<typeof report>[1]['report']['settled']
  }): void {
    const flush = { cell: this.book.cell, generation: 1, loadsSeq: 0, report: { charges: [], settled: [], ...told } }
    report(this.book, flush, this.nowMs, this.#random)
  }

  #fresh(life: string): Book {
    const book = newBook(cellName(0), life, this.nowMs)
    take(book, snapshot)
    return book
  }

  /** In flight by endpoint, counted lease by lease. */
  counted(): readonly number[] {
    return slots.map(
      (_, station) => [...this.book.leases.byId.values()].filter(({ endpoint }) => endpoint === endpointName(station)).length,
    )
  }

  grantedAt(station: number): number {
    const endpoint = endpointName(station)
    return [...this.book.leases.byId.values()].filter(
      (lease) => lease.endpoint === endpoint && (lease.kind === 'granted' || lease.kind === 'credit'),
    ).length
  }
}

const steps = fc.array(step, { maxLength: 120 })

describe('for every sequence of what may happen to a ledger', () => {
  it('what is in flight at an endpoint is the number of its live leases', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const run = new Run()
        for (const each of all) {
          run.do(each)
          const shown = slots.map((_, station) => inFlight(run.book.leases, endpointName(station)))
          expect(shown).toEqual(run.counted())
          expect(leaseCount(run.book.leases)).toBe(shown.reduce((sum, count) => sum + count, 0))
        }
      }),
    )
  })

  it('no endpoint is granted more than its slots, whatever was charged beside that', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const run = new Run()
        for (const each of all) {
          run.do(each)
          for (const [station, most] of slots.entries()) expect(run.grantedAt(station)).toBeLessThanOrEqual(most)
        }
      }),
    )
  })

  it('a lease that was settled or has passed its deadline is gone after the next sweep', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const run = new Run()
        for (const each of all) {
          run.do(each)
          if (each.kind === 'settle') expect(findLease(run.book.leases, each.id)).toBeNull()
        }
        sweep(run.book, run.nowMs, Math.random, true)
        for (const { deadlineMs } of run.book.leases.byId.values()) expect(deadlineMs).toBeGreaterThan(run.nowMs)
      }),
    )
  })

  it('nothing is left once all deadlines and all waits are over', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const run = new Run()
        for (const each of all) run.do(each)
        // Who waits may be given a place when another's ends, and that place ends with a deadline of its own.
        for (let second = 0; second < 60; second++) run.do({ kind: 'pass', ms: 1_000 })
        expect(leaseCount(run.book.leases)).toBe(0)
        expect(run.counted()).toEqual([0, 0, 0])
      }),
    )
  })

  it('where a counter that goes up and down with the messages does not agree with the leases', () => {
    const disagrees = (all: readonly Step[]): boolean => {
      const run = new Run()
      let counter = 0
      for (const each of all) {
        if (each.kind === 'charge') counter++
        if (each.kind === 'settle') counter--
        if (each.kind === 'ask') continue
        run.do(each)
      }
      return counter !== leaseCount(run.book.leases)
    }
    expect(fc.sample(steps, { numRuns: 100, seed: 1 }).some(disagrees)).toBe(true)
  })
})
