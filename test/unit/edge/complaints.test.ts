// Complaints about other routers, none of which hold here: one test each, named by its number. What they have in common is that health and
// counts were kept in one place, or that what a request had met was forgotten. Complaints about rollouts: test/unit/core/rollout-complaints.test.ts.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ask, awaitGrant, exchange, newBook, report, take, type Book } from '../../../edge/ledger/book.ts'
import { newBreaker } from '../../../edge/ledger/breaker.ts'
import { noLeases } from '../../../edge/ledger/leases.ts'
import { candidatesOf, type Member } from '../../../edge/ledger/members.ts'
import { pick, type Candidate, type Rule } from '../../../edge/ledger/pick.ts'
import { newPrefixIndex } from '../../../edge/ledger/prefix-index.ts'
import { newSmooth } from '../../../edge/ledger/smooth.ts'
import { learn, newSpeed } from '../../../edge/ledger/speed.ts'
import { cellIdOf, type EndpointId, type LeaseId, type RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { Ask, OutcomeKind, WaitAnswer } from '../../../shared/wire/ledger.ts'
import { strategies, type Endpoint, type Snapshot } from '../../../shared/wire/snapshot.ts'
import { endpoint, model, modelRow, snapshotOf, version } from '../../support/snapshot.ts'

const cell = cellIdOf(model, 'x' as RegionName)
const id = (name: string) => name as EndpointId
const nowMs = 1_000_000

/** A ledger with a hand on its time. */
class Desk {
  readonly book: Book = newBook(cell, 'life', nowMs)
  readonly random = seededRandom(3)
  #asks = 0

  constructor(snapshot: Snapshot) {
    take(this.book, snapshot)
  }

  ask(so: Partial<Ask> = {}) {
    const leaseId = `l${this.#asks++}` as LeaseId
    const asked: Ask = { cell, leaseId, version, operation: 'chat', deadlineMs: nowMs + 600_000, avoid: [], generation: 1, ...so }
    return { leaseId, ...ask(this.book, asked, nowMs, this.random) }
  }

  settle(leaseId: LeaseId, outcome: OutcomeKind = 'good'): void {
    const settled = [{ leaseId, outcome, ttfbMs: 10, tookMs: 100 }]
    report(this.book, { cell, generation: 1, loadsSeq: 0, report: { settled, charges: [] } }, nowMs, this.random)
  }

  fail(endpointId: string): void {
    const others = [...this.book.members.keys()].filter((each) => each !== endpointId)
    this.settle(this.ask({ avoid: others }).leaseId, 'hard_failure')
  }

  of(endpointId: string) {
    return exchange(this.book, { snapshot: null, cell }, nowMs, this.random).endpoints[id(endpointId)]
  }
}

describe('vllm-project/router#197: the health checker resets counters, so that a full worker looks idle', () => {
  const pair = (so: Partial<Endpoint> = {}, generation = 1): Snapshot => ({
    ...snapshotOf([endpoint('a', 'x', { slots: 8, ...so }), endpoint('b', 'x', { slots: 8 })]),
    generation,
  })
  const healths = [
    { state: 'unhealthy', health: 'ejected' },
    { state: 'unhealthy', health: 'probing' },
    { state: 'healthy', health: 'degraded' },
    { state: 'healthy', health: 'healthy' },
  ] as const

  it('what is in flight stays in flight, whatever the checks say of it', () => {
    const desk = new Desk(pair())
    const leases = Array.from({ length: 3 }, () => desk.ask({ avoid: [id('b')] }).leaseId)
    for (const [index, health] of healths.entries()) {
      take(desk.book, pair(health, index + 2))
      expect(desk.of('a')?.inFlight).toBe(3)
    }
    for (const leaseId of leases) desk.settle(leaseId)
    expect(desk.of('a')?.inFlight).toBe(0)
  })

  it('failures in a row stay in a row: a passing check between them keeps no breaker closed', () => {
    const desk = new Desk(pair())
    for (let failure = 1; failure <= limits.breakerConsecutive; failure++) {
      expect(desk.of('a')?.breaker).toBe('closed')
      take(desk.book, pair({ state: 'healthy', health: 'healthy' }, failure + 1))
      desk.fail('a')
    }
    expect(desk.of('a')?.breaker).toBe('open')
    take(desk.book, pair({ state: 'healthy', health: 'healthy' }, 100))
    expect(desk.of('a')?.breaker).toBe('open')
  })

  it('where another address is another server, and begins anew', () => {
    const desk = new Desk(pair())
    for (let failure = 1; failure < limits.breakerConsecutive; failure++) desk.fail('a')
    take(desk.book, pair({ url: 'http://elsewhere.test' }, 2))
    desk.fail('a')
    expect(desk.of('a')).toMatchObject({ breaker: 'closed', inFlight: 0 })
  })
})

describe('vllm-project/router#254: an unhealthy worker’s zero load changes the balance decision', () => {
  const candidates: fc.Arbitrary<readonly Candidate[]> = fc
    .array(
      fc.record({
        slots: fc.integer({ min: 1, max: 64 }),
        inFlight: fc.nat(64),
        rate: fc.integer({ min: 1, max: 90 }),
        prefillMs: fc.nat(900),
      }),
      {
        minLength: 1,
        maxLength: 6,
      },
    )
    .map((all) => all.map((each, number) => ({ ...each, ...well, id: id(`e${number}`), cap: each.slots })))
  const well = { version, weight: 1, onTrial: false, unproven: false, out: false }
  const idle: Candidate = { ...well, id: id('out'), slots: 64, cap: 64, inFlight: 0, rate: 1_000, prefillMs: 0, out: true }

  const picked = (among: readonly Candidate[], strategy: Rule['strategy']): EndpointId | null => {
    const turns = { smooth: newSmooth(), prefixes: newPrefixIndex() }
    return pick(among, { strategy, affinity: null, panic: false }, turns, seededRandom(1))?.id ?? null
  }

  it.each(strategies)('%s picks the same endpoint whether or not an idle one that is out stands beside it', (strategy) => {
    let decided = 0
    fc.assert(
      fc.property(candidates, fc.nat(6), (among, place) => {
        const without = picked(among, strategy)
        expect(picked(among.toSpliced(place, 0, idle), strategy)).toBe(without)
        if (without !== null && picked(among.toSpliced(place, 0, { ...idle, out: false }), strategy) !== without) decided++
      }),
    )
    // Were it well, it would have made the difference.
    expect(decided).toBeGreaterThan(10)
  })
})

describe('vllm-project/router#254: nor do its times', () => {
  const member = (name: string, so: Partial<Endpoint>, times: { readonly ttfbMs: number; readonly tookMs: number } | null): Member => {
    const speed = newSpeed()
    if (times) learn(speed, { outcome: 'good', ...times }, nowMs - 1)
    return { endpoint: endpoint(name, 'x', so), breaker: newBreaker(), speed }
  }
  const view = { snapshot: snapshotOf([], { publishedAtMs: nowMs }), leases: noLeases(), promptTokensOf: () => null }
  const others = [member('new', {}, null), member('known', {}, { ttfbMs: 200, tookMs: 2_000 })]
  /** What is supposed of the one that nobody has measured. */
  const supposed = (beside: readonly Member[]) => {
    const found = candidatesOf([...others, ...beside], view, nowMs).find((each) => each.id === id('new'))
    return { prefillMs: found?.prefillMs, rate: found?.rate }
  }

  it('an endpoint that nobody has measured is supposed to be like those that serve, not like one that is out', () => {
    const times = { ttfbMs: 1, tookMs: 5 }
    expect(supposed([member('out', { state: 'unhealthy', health: 'ejected' }, times)])).toEqual(supposed([]))
    expect(supposed([member('well', {}, times)])).not.toEqual(supposed([]))
  })
})

describe('kubernetes/ingress-nginx#6632: a retry may re-pick the failed peer', () => {
  const names = ['a', 'b', 'c']
  const world = fc.record({
    strategy: fc.constantFrom(...strategies),
    slots: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 3, maxLength: 3 }),
    states: fc.array(fc.constantFrom('healthy', 'healthy', 'unknown', 'unhealthy'), { minLength: 3, maxLength: 3 }),
    taken: fc.nat(6),
    tried: fc.subarray(names, { minLength: 1 }),
    sticky: fc.boolean(),
  })

  it('the ledger gives a second attempt to nobody it has tried: not by affinity, not in a panic, not from the queue', () => {
    const seen = { lease: 0, queued: 0, denied: 0 }
    fc.assert(
      fc.property(world, ({ strategy, slots, states, taken, tried, sticky }) => {
        const endpoints = names.map((name, index) => endpoint(name, 'x', { slots: slots[index] ?? 1, state: states[index] ?? 'healthy' }))
        const desk = new Desk(snapshotOf(endpoints, { models: [modelRow({ strategy, affinity: 'session' })] }))
        // Its session lives on one of those that it has tried.
        const affinity = sticky ? ({ kind: 'session', key: 'session', blocks: [] } as const) : null
        const held = Array.from({ length: taken }, () => desk.ask({ affinity }).leaseId)
        const second = desk.ask({ affinity, purpose: 'retry', avoid: tried.map(id) })
        const waited: { answer: WaitAnswer | null } = { answer: null }
        if (second.queued) awaitGrant(desk.book, second.leaseId, (answer) => (waited.answer = answer), nowMs)
        for (const leaseId of held) desk.settle(leaseId)
        seen[second.lease ? 'lease' : second.queued ? 'queued' : 'denied']++
        for (const lease of [second.lease, waited.answer?.lease]) if (lease) expect(tried).not.toContain(lease.endpoint)
      }),
      { numRuns: 1_000 },
    )
    expect(Math.min(seen.lease, seen.queued, seen.denied)).toBeGreaterThan(10)
  })

  it('where a second attempt that names nobody gets the one it had', () => {
    const desk = new Desk(snapshotOf([endpoint('a', 'x'), endpoint('b', 'x')], { models: [modelRow({ affinity: 'session' })] }))
    const affinity = { kind: 'session', key: 'session', blocks: [] } as const
    const first = desk.ask({ affinity })
    desk.settle(first.leaseId, 'soft_failure')
    expect(desk.ask({ affinity, purpose: 'retry' }).lease?.endpoint).toBe(first.lease?.endpoint)
  })
})
