import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ask, awaitGrant, exchange, keep, newBook, report, restore, sweep, take, takeLoads, type Book } from '../../../edge/ledger/book.ts'
import { inFlight, leaseCount } from '../../../edge/ledger/leases.ts'
import { loadOf, type Member } from '../../../edge/ledger/members.ts'
import { cellIdOf, type CellId, type EndpointId, type LeaseId, type OriginName, type RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import type { Ask, Report, Settled, WaitAnswer } from '../../../shared/wire/ledger.ts'
import type { Endpoint, Snapshot } from '../../../shared/wire/snapshot.ts'
import { endpoint, model, modelRow, snapshotOf, version } from '../../support/snapshot.ts'

const cell = cellIdOf(model, 'x' as RegionName)
const id = (name: string) => name as EndpointId
const lease = (name: string) => name as LeaseId

/** A book with time and chance in hand. */
class Desk {
  book: Book
  nowMs = 1_000_000
  readonly random = seededRandom(3)
  #asks = 0
  readonly snapshot: Snapshot

  constructor(endpoints: readonly Endpoint[], so: Partial<Snapshot> = {}) {
    this.snapshot = snapshotOf(endpoints, so)
    this.book = newBook(cell, 'life', this.nowMs)
    take(this.book, this.snapshot)
  }

  question(so: Partial<Ask> = {}): Ask {
    return {
      cell,
      leaseId: lease(`l${this.#asks++}`),
      version,
      operation: 'chat',
      deadlineMs: this.nowMs + 600_000,
      avoid: [],
      generation: 1,
      ...so,
    }
  }

  ask(so: Partial<Ask> = {}) {
    const question = this.question(so)
    return { id: question.leaseId, ...ask(this.book, question, this.nowMs, this.random) }
  }

  tell(told: Partial<Report>) {
    return report(this.book, { cell, generation: 1, loadsSeq: 0, report: { settled: [], charges: [], ...told } }, this.nowMs, this.random)
  }

  settle(leaseId: LeaseId, so: Partial<Settled> = {}) {
    this.tell({ settled: [{ leaseId, outcome: 'good', ttfbMs: 10, tookMs: 100, ...so }] })
  }

  /** One request from its ask to its end. */
  serve(so: Partial<Settled> = {}, asking: Partial<Ask> = {}) {
    const { id: leaseId, lease: granted } = this.ask(asking)
    this.settle(leaseId, so)
    return granted?.endpoint ?? null
  }

  wait(leaseId: LeaseId): { readonly answer: WaitAnswer | null } {
    const seen: { answer: WaitAnswer | null } = { answer: null }
    awaitGrant(this.book, leaseId, (answer) => (seen.answer = answer), this.nowMs)
    return seen
  }

  pass(forMs: number) {
    this.nowMs += forMs
    sweep(this.book, this.nowMs, this.random, true)
  }
}

describe('waiting', () => {
  const full = (slots = 2) => {
    const desk = new Desk([endpoint('a', 'x', { slots })])
    const held = Array.from({ length: slots }, () => desk.ask().id)
    return { desk, held }
  }

  it('serves the more important first, whoever came first', () => {
    const { desk, held } = full(1)
    const batch = desk.ask({ priority: 'batch' })
    const standard = desk.ask()
    const critical = desk.ask({ priority: 'critical' })
    const seen = [batch, standard, critical].map((each) => desk.wait(each.id))
    const granted = () => seen.map(({ answer }) => Boolean(answer?.lease))
    desk.settle(held[0] ?? lease(''))
    expect(granted()).toEqual([false, false, true])
    desk.settle(critical.id)
    expect(granted()).toEqual([false, true, true])
    desk.settle(standard.id)
    expect(granted()).toEqual([true, true, true])
  })

  it('a place that comes free with time alone goes to who waits, not to who comes', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 20 })])
    for (let i = 0; i < 20; i++) {
      desk.nowMs += 1_000
      desk.serve({ outcome: 'soft_failure' })
    }
    // Two places are left; a third comes back in two thirds of a second.
    for (let i = 0; i < 2; i++) desk.ask()
    const critical = desk.ask({ priority: 'critical' })
    const seen = desk.wait(critical.id)
    desk.nowMs += 700
    expect(desk.ask({ priority: 'batch' }).lease).toBeNull()
    expect(seen.answer?.lease).toMatchObject({ endpoint: 'a' })
  })

  it('predicts a departure for each one ahead, by the measured service time', () => {
    const { desk, held } = full(2)
    for (const each of held) desk.settle(each, { tookMs: 400 })
    for (let i = 0; i < 2; i++) desk.ask()
    expect(desk.ask().queued?.predictedMs).toBeCloseTo(200)
    expect(desk.ask().queued?.predictedMs).toBeCloseTo(400)
    expect(desk.ask({ priority: 'critical' }).queued?.predictedMs).toBeCloseTo(200)
  })

  it('ends a wait at its time, and denies at once what could not be served by then', () => {
    const { desk } = full(1)
    const queued = desk.ask({ deadlineMs: desk.nowMs + limits.leaseGraceMs + 1_500 })
    const seen = desk.wait(queued.id)
    desk.pass(1_499)
    expect(seen.answer).toBeNull()
    desk.pass(1)
    expect(seen.answer).toMatchObject({ lease: null, denied: 'no_room', waitedMs: 1_500 })
    expect(desk.ask({ deadlineMs: desk.nowMs + limits.leaseGraceMs + 500 })).toMatchObject({ denied: 'no_room' })
  })

  it('a place for somebody whose isolate never came to wait goes to the next', () => {
    const { desk, held } = full(1)
    desk.ask()
    const present = desk.ask()
    const seen = desk.wait(present.id)
    desk.pass(limits.queueClaimMs + 1)
    desk.settle(held[0] ?? lease(''))
    expect(seen.answer?.lease).toMatchObject({ endpoint: 'a' })
  })

  it('a grant that nobody fetches comes back', () => {
    const { desk, held } = full(1)
    desk.ask()
    desk.settle(held[0] ?? lease(''))
    expect(leaseCount(desk.book.leases)).toBe(1)
    desk.pass(limits.queueClaimMs + 1)
    expect(leaseCount(desk.book.leases)).toBe(0)
  })

  it('is bounded: when the queue is full the newest of a lower priority makes way, and nobody for his like', () => {
    const { desk } = full(1)
    desk.settle(desk.ask().id)
    // Fast enough that a thousand can be served in ten seconds.
    const quick = new Desk([endpoint('a', 'x', { slots: 1 })])
    for (let i = 0; i < 60; i++) quick.serve({ tookMs: 1 })
    quick.ask()
    const batch = quick.ask({ priority: 'batch' })
    const seen = quick.wait(batch.id)
    for (let i = 1; i < limits.queueMax; i++) expect(quick.ask().queued).not.toBeNull()
    expect(quick.ask({ priority: 'batch' })).toMatchObject({ denied: 'no_room' })
    expect(seen.answer).toBeNull()
    expect(quick.ask().queued).not.toBeNull()
    expect(seen.answer).toMatchObject({ denied: 'no_room' })
    expect(quick.ask()).toMatchObject({ denied: 'no_room' })
  })
})

describe('speed and health', () => {
  it('an endpoint that fails fast does not draw traffic', () => {
    const desk = new Desk([endpoint('bad', 'x', { slots: 8 }), endpoint('good', 'x', { slots: 8 })])
    let bad = 0
    for (let i = 0; i < 200; i++) {
      desk.nowMs += 5
      const { id: leaseId, lease: granted } = desk.ask()
      const failing = granted?.endpoint === 'bad'
      bad += failing ? 1 : 0
      desk.settle(leaseId, failing ? { outcome: 'hard_failure', ttfbMs: null, tookMs: 10 } : { tookMs: 800, ttfbMs: 50 })
    }
    // Recorded as slow at its first failure, it is hardly asked again, and five would be the end.
    expect(bad).toBeGreaterThanOrEqual(1)
    expect(bad).toBeLessThanOrEqual(5)
  })

  it('an endpoint four times slower gets a quarter of what its twin gets', () => {
    const desk = new Desk([endpoint('slow', 'x', { slots: 100 }), endpoint('fast', 'x', { slots: 100 })])
    for (const [name, tookMs] of [
      ['slow', 4_000],
      ['fast', 1_000],
    ] as const)
      for (let i = 0; i < 100; i++) desk.serve({ tookMs, ttfbMs: 20 }, { avoid: [id(name === 'slow' ? 'fast' : 'slow')] })
    for (let i = 0; i < 100; i++) desk.ask()
    expect(inFlight(desk.book.leases, id('slow'))).toBe(20)
    expect(inFlight(desk.book.leases, id('fast'))).toBe(80)
  })

  it('an endpoint that was slow or failed is tried again when nothing was seen of it for a while', () => {
    const desk = new Desk([endpoint('was', 'x', { slots: 8 }), endpoint('other', 'x', { slots: 8 })])
    desk.serve({ outcome: 'hard_failure' }, { avoid: [id('other')] })
    for (let i = 0; i < 20; i++) desk.serve({ tookMs: 500 }, { avoid: [id('was')] })
    expect(new Set(Array.from({ length: 10 }, () => desk.serve({ tookMs: 500 })))).toEqual(new Set(['other']))
    desk.pass(limits.speedStaleMs + 1)
    for (let i = 0; i < 20; i++) desk.serve({ tookMs: 500 }, { avoid: [id('was')] })
    expect(new Set(Array.from({ length: 10 }, () => desk.serve({ tookMs: 500 })))).toContain('was')
  })

  it('one that is back from failure gets one request, and all its places only after slow start', () => {
    const desk = new Desk([endpoint('back', 'x', { slots: 10 }), endpoint('other', 'x', { slots: 10 })])
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, { avoid: [id('other')] })
    const shares = () => desk.tell({}) && exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).endpoints[id('back')]
    expect(shares()).toMatchObject({ breaker: 'open', cap: 0 })
    desk.pass(limits.breakerBackoffMs)
    expect(shares()).toMatchObject({ breaker: 'half_open', cap: 1 })
    expect(desk.ask().lease?.endpoint).toBe('back')
    expect(desk.ask().lease?.endpoint).toBe('other')
    for (const leaseId of desk.book.leases.byId.keys()) desk.settle(leaseId)
    desk.serve()
    expect(shares()).toMatchObject({ breaker: 'slow_start', cap: 1 })
    desk.pass(limits.slowStartMs)
    expect(shares()).toMatchObject({ breaker: 'closed', cap: 10 })
  })

  it('one whose breaker closed is as fast as its good answers again', () => {
    const desk = new Desk([endpoint('back', 'x', { slots: 10 }), endpoint('other', 'x', { slots: 10 })])
    const only = { avoid: [id('other')] }
    const serviceMs = () => exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).endpoints[id('back')]?.serviceMs
    for (let i = 0; i < 20; i++) desk.serve({ tookMs: 20 }, only)
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, only)
    expect(serviceMs()).toBeGreaterThan(500)
    desk.pass(limits.breakerBackoffMs)
    for (let i = 0; i < limits.breakerGoodMin; i++) desk.serve({ tookMs: 20 }, only)
    expect(serviceMs()).toBeCloseTo(20)
  })

  it('what was sent before it opened does not lengthen the wait for its next trial', () => {
    const desk = new Desk([endpoint('back', 'x', { slots: 20 }), endpoint('other', 'x', { slots: 20 })])
    const only = { avoid: [id('other')] }
    const before = Array.from({ length: 6 }, () => desk.ask(only).id)
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, only)
    desk.pass(limits.breakerBackoffMs)
    const failed = { outcome: 'hard_failure', endpoint: id('back'), tookMs: 9_000 } as const
    for (const each of [...before, lease('unknown')]) desk.settle(each, failed)
    expect(desk.ask().lease?.endpoint).toBe('back')
  })

  it('429 takes places away and never the endpoint', () => {
    const desk = new Desk([endpoint('busy', 'x', { slots: 10 }), endpoint('other', 'x', { slots: 10 })])
    for (let i = 0; i < 20; i++) {
      desk.nowMs += 1_000
      desk.serve({ outcome: 'soft_failure' }, { avoid: [id('other')] })
    }
    const { endpoints } = exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random)
    expect(endpoints[id('busy')]).toMatchObject({ breaker: 'closed', cap: 1 })
  })

  it('core may call an endpoint bad; requests that succeed after that speak louder, so that it comes back while core is away', () => {
    const desk = new Desk([endpoint('a', 'x', { state: 'unhealthy', health: 'ejected' }), endpoint('b', 'x', { slots: 40 })])
    expect(desk.ask().lease?.endpoint).toBe('b')
    desk.tell({ settled: [{ leaseId: lease('elsewhere'), outcome: 'good', ttfbMs: 1, endpoint: id('a') }] })
    const seen = new Set(Array.from({ length: 12 }, () => desk.ask().lease?.endpoint))
    expect(seen).toContain('a')
  })

  describe('with core gone', () => {
    const bad = (so: Partial<Endpoint>) => new Desk([endpoint('bad', 'x', { slots: 10, ...so }), endpoint('well', 'x', { slots: 40 })])
    const ejected = { state: 'unhealthy', health: 'ejected' } as const
    const load = (desk: Desk) => loadOf(desk.book.members.get(id('bad')) as Member, { ...desk.book, snapshot: desk.snapshot }, desk.nowMs)
    const endpointOf = (desk: Desk) => desk.ask().lease?.endpoint

    it('one on trial is used in full after a good answer', () => {
      const desk = bad({ state: 'unhealthy', health: 'probing' })
      const trial = desk.ask()
      expect([trial.lease?.endpoint, endpointOf(desk)]).toEqual(['bad', 'well'])
      desk.settle(trial.id)
      expect(load(desk)).toMatchObject({ breaker: 'closed', cap: 10 })
    })

    it('one called ejected is tried, by one request at a time, and comes back', () => {
      const desk = bad(ejected)
      desk.pass(limits.loadsFreshMs - 1)
      expect(load(desk)).toMatchObject({ breaker: 'closed', lastGoodAtMs: null })
      expect(endpointOf(desk)).toBe('well')
      desk.pass(1)
      desk.pass(limits.slowStartMs)
      for (let good = 0; good < limits.breakerGoodMin; good++) {
        const trial = desk.ask()
        expect([trial.lease?.endpoint, endpointOf(desk), endpointOf(desk)]).toEqual(['bad', 'well', 'well'])
        desk.settle(trial.id)
      }
      expect(load(desk)).toMatchObject({ breaker: 'slow_start' })
      desk.pass(limits.slowStartMs)
      expect(load(desk)).toMatchObject({ breaker: 'closed', cap: 10 })
      desk.pass(limits.loadsFreshMs)
      expect(load(desk)).toMatchObject({ breaker: 'closed', cap: 10 })
    })

    it('one that still fails costs ever fewer requests', () => {
      const desk = bad(ejected)
      let tried = 0
      for (let i = 0; i < 600; i++) {
        desk.pass(1_000)
        const { id: leaseId, lease: granted } = desk.ask()
        const isBad = granted?.endpoint === 'bad'
        tried += isBad ? 1 : 0
        desk.settle(leaseId, isBad ? { outcome: 'hard_failure' } : {})
      }
      expect(tried).toBeGreaterThanOrEqual(5)
      expect(tried).toBeLessThanOrEqual(9)
    })

    it.each([{ state: 'disabled' }, { state: 'draining' }, { state: 'unhealthy', health: 'gone' }] as const)(
      'one that is %o is not tried',
      (so) => {
        const desk = bad(so)
        desk.pass(limits.loadsFreshMs + 2 * limits.slowStartMs)
        expect(new Set(Array.from({ length: 20 }, () => endpointOf(desk)))).toEqual(new Set(['well']))
      },
    )

    it('nothing is tried while core speaks', () => {
      const desk = bad(ejected)
      for (let i = 0; i < 100; i++) {
        desk.pass(1_000)
        exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random)
      }
      expect(load(desk)).toMatchObject({ breaker: 'closed' })
      expect(endpointOf(desk)).toBe('well')
    })
  })

  it('with more than half of a version out, those out get what the others have no room for, and never before', () => {
    const out = { state: 'unhealthy' as const, health: 'ejected' as const }
    const desk = new Desk([endpoint('a', 'x', out), endpoint('b', 'x', out), endpoint('c', 'x', { slots: 2 })])
    const given = Array.from({ length: 4 }, () => desk.ask().lease?.endpoint)
    expect(given.slice(0, 2)).toEqual(['c', 'c'])
    expect(given.slice(2).every((each) => each === 'a' || each === 'b')).toBe(true)
  })
})

describe('second attempts', () => {
  it('retries stay within a tenth of the requests and three', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1_000 }), endpoint('b', 'x', { slots: 1_000 })])
    let retries = 0
    for (let i = 0; i < 400; i++) {
      desk.nowMs += 20
      desk.ask()
      const retry = desk.ask({ purpose: 'retry', avoid: [id('a')] })
      if (retry.lease) retries++
      else expect(retry.denied).toBe('retry_budget')
    }
    expect(retries).toBeLessThanOrEqual(0.1 * 400 + limits.retryFloor)
    expect(retries).toBeGreaterThan(30)
  })

  it('requests that got no place earn no retries', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 4 })])
    const held = Array.from({ length: 4 }, () => desk.ask().id)
    for (let i = 0; i < 500; i++) desk.ask({ deadlineMs: desk.nowMs + limits.leaseGraceMs + 1 })
    for (const each of held) desk.settle(each)
    const retries = Array.from({ length: 20 }, () => {
      const { id: leaseId, lease: got } = desk.ask({ purpose: 'retry' })
      desk.settle(leaseId)
      return got
    })
    expect(retries.filter((got) => got !== null)).toHaveLength(limits.retryFloor + 1)
  })

  it('a second copy is offered after the 95th percentile of the class, only where the model wants it, and within two in a hundred', () => {
    const models = [modelRow({ hedging: true })]
    const desk = new Desk([endpoint('a', 'x', { slots: 100 }), endpoint('b', 'x', { slots: 100 })], { models })
    for (let i = 1; i <= 100; i++) desk.serve({ tookMs: i * 10 })
    const first = desk.ask()
    expect(first.lease?.hedgeAfterMs).toBeGreaterThanOrEqual(940)
    expect(first.lease?.hedgeAfterMs).toBeLessThanOrEqual(960)
    const hedges = Array.from({ length: 5 }, () => desk.ask({ purpose: 'hedge', avoid: first.lease ? [first.lease.endpoint] : [] }))
    const granted = hedges.filter(({ lease: got }) => got !== null)
    expect(granted.length).toBeGreaterThan(0)
    expect(granted.length).toBeLessThanOrEqual(3)
    expect(granted.every(({ lease: got }) => got?.endpoint !== first.lease?.endpoint && got?.hedgeAfterMs === null)).toBe(true)
    expect(hedges.at(-1)).toMatchObject({ denied: 'hedge_budget' })

    const plain = new Desk([endpoint('a', 'x', { slots: 100 })], { models: [modelRow()] })
    for (let i = 1; i <= 100; i++) plain.serve({ tookMs: i * 10 })
    expect(plain.ask().lease?.hedgeAfterMs).toBeNull()
  })

  it('a second copy never waits and is never sent when the cell is busy', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 10 }), endpoint('b', 'x', { slots: 10 })], { models: [modelRow({ hedging: true })] })
    for (let i = 1; i <= 200; i++) desk.serve({ tookMs: 10 })
    for (let i = 0; i < 15; i++) desk.ask()
    const busy = desk.ask({ purpose: 'hedge' })
    expect(busy).toMatchObject({ lease: null, denied: 'hedge_budget' })
    expect(busy.queued).toBeUndefined()
  })
})

describe('elsewhere', () => {
  const loads = (free: number, so: Partial<ModelLoads> = {}): ModelLoads => ({
    model,
    seq: 1,
    atMs: 1_000_000,
    cells: [{ cell: 'atlas@y' as CellId, slots: 8, free, waitMs: 0, blindWaitMs: 0, ttftMs: 10 }],
    rows: {
      ['enam' as OriginName]: [
        { cell, fraction: 1, roundTripMs: 10 },
        { cell: 'atlas@y' as CellId, fraction: 0, roundTripMs: 60 },
      ],
    },
    weights: {},
    ...so,
  })
  const origin = 'enam' as OriginName
  const full = (so: Partial<Snapshot> = {}) => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 }), endpoint('far', 'y')], so)
    desk.ask()
    return desk
  }

  it('sends on until those it has sent would wait there as long as here, and begins anew when it hears again', () => {
    const desk = full()
    takeLoads(desk.book, loads(3))
    // Three find a place; each further one makes the queue there longer by an eighth of the service time of a second.
    const spilled = Array.from({ length: 12 }, () => desk.ask({ origin }).spill)
    expect(spilled.map(Boolean)).toEqual([...Array.from({ length: 11 }, () => true), false])
    takeLoads(desk.book, loads(1, { seq: 2 }))
    expect(desk.ask({ origin }).spill).toEqual({ cell: 'atlas@y' })
  })

  it('by old numbers it still sends on, but believes none of them: core may be gone for hours', () => {
    const busy = { cell: 'atlas@y' as CellId, slots: 8, free: 0, waitMs: 60_000, blindWaitMs: 0, ttftMs: 10 }
    for (const [ageMs, spills] of [
      [0, false],
      [limits.loadsFreshMs, true],
    ] as const) {
      const desk = full()
      takeLoads(desk.book, loads(0, { atMs: 1_000_000 - ageMs, cells: [busy] }))
      expect(desk.ask({ origin }).spill !== undefined).toBe(spills)
    }
  })

  it('does not send where the version or the jurisdiction is missing', () => {
    const region = { latitude: 0, longitude: 0, locationHint: null }
    const abroad = full({
      regions: [
        { name: 'x' as RegionName, ...region, jurisdiction: 'eu' },
        { name: 'y' as RegionName, ...region, jurisdiction: 'us' },
      ],
    })
    takeLoads(abroad.book, loads(3))
    expect(abroad.ask({ origin, residency: 'eu' }).spill).toBeUndefined()
    expect(abroad.ask({ origin }).spill).toBeDefined()
  })

  it('newer numbers count although the clock of core was put back', () => {
    const desk = full()
    takeLoads(desk.book, loads(0, { seq: 5, atMs: desk.nowMs + 3_600_000 }))
    takeLoads(desk.book, loads(3, { seq: 6 }))
    expect(desk.ask({ origin }).spill).toEqual({ cell: 'atlas@y' })
  })

  it('sends on when everything here is out and full, and nothing tells when a place comes free', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1, state: 'unhealthy', health: 'ejected' }), endpoint('far', 'y', { slots: 1 })], {})
    take(desk.book, {
      ...desk.snapshot,
      generation: 2,
      endpoints: desk.snapshot.endpoints.map((each) => ({ ...each, slots: each.id === 'a' ? 2 : 1 })),
    })
    for (let i = 0; i < 2; i++) expect(desk.ask().lease?.endpoint).toBe('a')
    takeLoads(desk.book, loads(3))
    expect(desk.ask({ origin }).spill).toEqual({ cell: 'atlas@y' })
  })

  it('a session stays while its own endpoint is at most 300 ms slower, and leaves beyond', () => {
    const affinity = { kind: 'session' as const, key: 's', blocks: [] }
    for (const [ttfbMs, leaves] of [
      [350, false],
      [420, true],
    ] as const) {
      const desk = new Desk([endpoint('a', 'x', { slots: 8 }), endpoint('far', 'y')])
      for (let i = 0; i < 30; i++) desk.serve({ ttfbMs, tookMs: 1_000 })
      takeLoads(desk.book, loads(3))
      expect(desk.ask({ origin, affinity }).spill !== undefined).toBe(leaves)
    }
  })
})

describe('a restart', () => {
  it('finds the leases that were kept, until their deadlines, and remembers what was open', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 4 }), endpoint('b', 'x', { slots: 4 })])
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, { avoid: [id('a')] })
    const short = desk.ask({ deadlineMs: desk.nowMs + 2_000 })
    desk.ask({ credits: 1 })
    const kept = JSON.parse(JSON.stringify(keep(desk.book))) as ReturnType<typeof keep>

    desk.book = newBook(cell, 'another life', desk.nowMs)
    take(desk.book, desk.snapshot)
    restore(desk.book, kept, desk.nowMs + 1_000)
    expect(leaseCount(desk.book.leases)).toBe(2)
    expect(Array.from({ length: 3 }, () => desk.ask().lease?.endpoint ?? null)).toEqual(['a', 'a', null])
    desk.settle(short.id)
    expect(leaseCount(desk.book.leases)).toBe(4)
  })

  it('what ended between the last keeping and the crash does not take its place until its deadline', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 4 })])
    for (let i = 0; i < 20; i++) desk.serve({ tookMs: 1_000 })
    const held = Array.from({ length: 4 }, () => desk.ask().id)
    const kept = structuredClone(keep(desk.book))
    for (const each of held.slice(1)) desk.settle(each)

    desk.book = newBook(cell, 'another life', desk.nowMs)
    take(desk.book, desk.snapshot)
    restore(desk.book, kept, desk.nowMs)
    // Its isolate tells the one that lives, as it does when it hears of another life.
    const again = { leaseId: held[0] ?? lease(''), endpoint: id('a'), version, deadlineMs: desk.nowMs + 600_000, why: 'again' as const }
    desk.tell({ charges: [again] })
    desk.pass(1_000)
    expect(leaseCount(desk.book.leases)).toBe(4)
    desk.pass(5_000)
    expect([...desk.book.leases.byId.keys()]).toEqual([again.leaseId])
    desk.pass(590_000)
    expect(leaseCount(desk.book.leases)).toBe(1)
  })

  it('predicts by the service times of before', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    for (let i = 0; i < 20; i++) desk.serve({ tookMs: 4_000 })
    const kept = structuredClone(keep(desk.book))
    desk.book = newBook(cell, 'another life', desk.nowMs)
    take(desk.book, desk.snapshot)
    restore(desk.book, kept, desk.nowMs)
    desk.ask()
    expect(desk.ask().queued?.predictedMs).toBeCloseTo(4_000)
  })

  it('takes what an earlier release kept without service times', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    desk.ask()
    const { leases, breakers } = structuredClone(keep(desk.book))
    desk.book = newBook(cell, 'another life', desk.nowMs)
    take(desk.book, desk.snapshot)
    restore(desk.book, { leases, breakers }, desk.nowMs)
    expect(desk.ask().lease).toBeNull()
  })

  it('ends told again free what was kept, and are counted no more: core may have them from the life before', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 4 })])
    const [ended, running] = [desk.ask().id, desk.ask().id]
    const kept = structuredClone(keep(desk.book))
    desk.settle(ended, { endpoint: id('a') })
    expect(exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).blocks[0]?.endpoints[id('a')]?.good).toBe(1)

    desk.book = newBook(cell, 'another life', desk.nowMs)
    take(desk.book, desk.snapshot)
    restore(desk.book, kept, desk.nowMs)
    desk.settle(ended, { endpoint: id('a'), again: true })
    expect([...desk.book.leases.byId.keys()]).toEqual([running])
    // Nor is what follows of it, in whatever order calls arrive.
    desk.settle(ended, { endpoint: id('a') })
    desk.tell({ charges: [{ leaseId: ended, endpoint: id('a'), version, deadlineMs: desk.nowMs + 9_000, why: 'again' }] })
    expect([...desk.book.leases.byId.keys()]).toEqual([running])
    expect(exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).blocks).toEqual([])
  })

  it('a trial goes on as the one trial when its isolate tells it again', () => {
    const desk = new Desk([endpoint('back', 'x', { slots: 10 }), endpoint('other', 'x', { slots: 10 })])
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, { avoid: [id('other')] })
    desk.pass(limits.breakerBackoffMs)
    const trial = desk.ask()
    const kept = structuredClone(keep(desk.book))
    desk.book = newBook(cell, 'another life', desk.nowMs)
    take(desk.book, desk.snapshot)
    restore(desk.book, kept, desk.nowMs)
    const again = { leaseId: trial.id, endpoint: id('back'), version, deadlineMs: desk.nowMs + 9_000, why: 'again' as const }
    desk.tell({ charges: [again] })
    expect(desk.ask().lease?.endpoint).toBe('other')
  })

  it('leases told again after it count once', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 4 })])
    const again = { leaseId: lease('old'), endpoint: id('a'), version, deadlineMs: desk.nowMs + 9_000, why: 'again' as const }
    desk.tell({ charges: [again, again] })
    expect(leaseCount(desk.book.leases)).toBe(1)
    desk.settle(again.leaseId)
    desk.tell({ charges: [again] })
    expect(leaseCount(desk.book.leases)).toBe(0)
  })
})

describe('what would leave something behind', () => {
  it('a place given back while it waited ends the wait, and nothing of it stays', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    desk.ask()
    const queued = desk.ask()
    const seen = desk.wait(queued.id)
    desk.settle(queued.id, { outcome: 'cancelled', ttfbMs: null })
    expect(seen.answer).toMatchObject({ lease: null, denied: 'no_room' })
    expect(desk.book.waiters.size).toBe(0)
  })

  it('who comes twice to wait is answered twice', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    const held = desk.ask()
    const queued = desk.ask()
    const first = desk.wait(queued.id)
    const second = desk.wait(queued.id)
    expect(first.answer).toMatchObject({ denied: 'no_room' })
    desk.settle(held.id)
    expect(second.answer?.lease).toMatchObject({ endpoint: 'a' })
  })

  it('what came along with a question is not kept while it waits', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    desk.ask()
    desk.ask({ report: { settled: [], charges: [] } })
    expect([...desk.book.queue.standard.values()].map(({ ask: waiting }) => 'report' in waiting)).toEqual([false])
  })

  it('leases ahead that nobody used end at their time, not at the next sweep', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 8 })])
    desk.pass(0)
    desk.nowMs += 450
    expect(desk.ask({ credits: 1 }).credits).toHaveLength(1)
    for (let i = 0; i < 6; i++) desk.ask()
    const queued = desk.wait(desk.ask().id)
    desk.nowMs += limits.creditMs - 1
    expect(desk.tell({}).load?.free).toBe(-1)
    expect(queued.answer).toBeNull()
    desk.nowMs += 1
    desk.tell({})
    expect(queued.answer?.lease).toMatchObject({ endpoint: 'a' })
    expect(leaseCount(desk.book.leases)).toBe(8)
  })

  it('asking again while queued keeps the one place', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    desk.ask()
    const queued = desk.ask()
    expect(desk.ask({ leaseId: queued.id, priority: 'critical' })).toMatchObject({ lease: null, queued: {} })
    expect(exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).queued).toBe(1)
  })

  it('those whose isolates never came to wait do not stand in the queue behind one who did', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    desk.ask()
    const present = desk.ask({ priority: 'batch' })
    desk.wait(present.id)
    for (let i = 0; i < 5; i++) desk.ask({ priority: 'batch' })
    desk.pass(limits.queueClaimMs + 1)
    expect(exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).queued).toBe(1)
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1e15])('a deadline of %s ends like the longest that is allowed', (deadlineMs) => {
    const desk = new Desk([endpoint('a', 'x', { slots: 2 })])
    desk.ask({ deadlineMs })
    desk.tell({ charges: [{ leaseId: lease('c'), endpoint: id('a'), version, deadlineMs, why: 'blind' }] })
    expect(leaseCount(desk.book.leases)).toBe(2)
    const queued = desk.wait(desk.ask({ deadlineMs }).id)
    desk.pass(limits.queueMsMax.standard)
    expect(queued.answer).toMatchObject({ denied: 'no_room' })
    desk.pass(limits.deadlineMsMax + limits.leaseGraceMs)
    expect(leaseCount(desk.book.leases)).toBe(0)
  })

  it('an outcome or a priority of another release neither stops the rest of a report nor is counted', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 2 })])
    const [odd, plain] = [desk.ask(), desk.ask()]
    const waiting = desk.ask({ priority: 'urgent' as 'critical' })
    expect(waiting.queued).toBeDefined()
    const settled = { ttfbMs: null, outcome: 'good' as const }
    desk.tell({
      settled: [
        { ...settled, leaseId: odd.id, outcome: 'lost' as 'good' },
        { ...settled, leaseId: plain.id },
      ],
    })
    expect([...desk.book.leases.byId.keys()]).toEqual([waiting.id])
    const [block] = exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).blocks
    expect(block?.endpoints[id('a')]).toMatchObject({ good: 1, hard_failure: 0 })
    expect(Object.keys(block?.endpoints[id('a')] ?? {})).not.toContain('lost')
  })

  it('a clock that steps back does not stop the ends of leases', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 1 })])
    desk.nowMs -= 3_600_000
    desk.ask({ deadlineMs: desk.nowMs + 2_000 })
    desk.nowMs += 2_001
    desk.tell({})
    expect(leaseCount(desk.book.leases)).toBe(0)
  })

  it('a clock that steps back freezes neither the mean load nor the times that were measured', () => {
    const desk = new Desk([endpoint('slow', 'x', { slots: 4 }), endpoint('other', 'x', { slots: 4 })])
    for (let i = 0; i < 9; i++) desk.serve({ tookMs: 9_000, ttfbMs: 5_000 }, { avoid: [id('other')] })
    const held = Array.from({ length: 8 }, () => desk.ask().id)
    desk.pass(20_000)
    for (const each of held) desk.settle(each, { tookMs: 9_000, ttfbMs: 5_000 })
    desk.nowMs -= 3_600_000
    for (let i = 0; i < 30; i++) {
      desk.nowMs += 2_000
      desk.serve({}, { avoid: [id('slow')] })
    }
    expect(desk.tell({}).load?.blindWaitMs).toBeLessThan(1)
    expect(new Set(Array.from({ length: 4 }, () => desk.ask().lease?.endpoint))).toContain('slow')
  })

  const moved = (desk: Desk): Snapshot => ({
    ...desk.snapshot,
    generation: 2,
    endpoints: desk.snapshot.endpoints.map((each) => (each.id === 'a' ? { ...each, url: 'http://other.test' } : each)),
  })

  it('leases on an address that an endpoint has left take no place on its new one, nor do their ends say anything of it', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 2 })])
    const held = Array.from({ length: 2 }, () => desk.ask().id)
    take(desk.book, moved(desk))
    expect([inFlight(desk.book.leases, id('a')), leaseCount(desk.book.leases)]).toEqual([0, 2])
    expect(Array.from({ length: 3 }, () => desk.ask().lease?.endpoint ?? null)).toEqual(['a', 'a', null])
    desk.tell({ charges: held.map((leaseId) => ({ leaseId, endpoint: id('a'), version, deadlineMs: desk.nowMs + 9_000, why: 'again' })) })
    for (const each of held) desk.settle(each, { outcome: 'hard_failure', endpoint: id('a') })
    expect(leaseCount(desk.book.leases)).toBe(2)
    const { blocks, endpoints } = exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random)
    expect(blocks).toEqual([])
    expect(endpoints[id('a')]).toMatchObject({ inFlight: 2, serviceMs: null })
  })

  it('leases ahead on an address that an endpoint has left end with it', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 40 })])
    const { id: held, credits = [] } = desk.ask({ credits: 4 })
    expect(credits).toHaveLength(4)
    take(desk.book, moved(desk))
    expect([...desk.book.leases.byId.keys()]).toEqual([held])
  })

  it('a restart that finds another address takes over neither breaker nor times nor places of the one before', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 2 }), endpoint('b', 'x', { slots: 2 })])
    desk.ask({ avoid: [id('b')] })
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, { avoid: [id('b')] })
    const kept = structuredClone(keep(desk.book))
    const loads = (snapshot: Snapshot) => {
      desk.book = newBook(cell, 'another life', desk.nowMs)
      take(desk.book, snapshot)
      restore(desk.book, kept, desk.nowMs)
      return exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random).endpoints[id('a')]
    }
    expect(loads(desk.snapshot)).toMatchObject({ breaker: 'open', inFlight: 1 })
    expect(loads(moved(desk))).toMatchObject({ breaker: 'closed', serviceMs: null, inFlight: 0 })
    expect(leaseCount(desk.book.leases)).toBe(1)
  })

  it('prompts seen by an endpoint that is gone or has moved are forgotten', () => {
    const desk = new Desk([endpoint('gone', 'x'), endpoint('moved', 'x'), endpoint('stays', 'x')])
    const affinity = { kind: 'prefix' as const, key: 'k', blocks: [1, 2] }
    for (const name of ['gone', 'moved', 'stays'])
      desk.tell({ charges: [{ leaseId: lease(name), endpoint: id(name), version, deadlineMs: desk.nowMs + 1, why: 'blind', affinity }] })
    const endpoints = [endpoint('moved', 'x', { url: 'http://other.test' }), endpoint('stays', 'x')]
    take(desk.book, { ...desk.snapshot, generation: 2, endpoints })
    expect([...desk.book.turns.prefixes.keys()]).toEqual(['stays'])
  })
})

describe('places that would stay empty', () => {
  it('one half-open gets its trial though long answers of before are still running', () => {
    const desk = new Desk([endpoint('back', 'x', { slots: 10 }), endpoint('other', 'x', { slots: 10 })])
    const only = { avoid: [id('other')] }
    for (let i = 0; i < 3; i++) desk.ask(only)
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, only)
    desk.pass(limits.breakerBackoffMs)
    const trial = desk.ask()
    expect([trial, desk.ask()].map((each) => each.lease?.endpoint)).toEqual(['back', 'other'])
    desk.settle(trial.id)
    expect(desk.ask().lease?.endpoint).toBe('back')
  })

  it('a trial that says nothing for long does not keep the next away', () => {
    const desk = new Desk([endpoint('back', 'x', { slots: 10 }), endpoint('other', 'x', { slots: 10 })])
    for (let i = 0; i < 5; i++) desk.serve({ outcome: 'hard_failure' }, { avoid: [id('other')] })
    desk.pass(limits.breakerBackoffMs)
    expect(desk.ask().lease?.endpoint).toBe('back')
    desk.pass(limits.firstTokenMsDefault - 1)
    expect(desk.ask().lease?.endpoint).toBe('other')
    desk.pass(1)
    expect(desk.ask().lease?.endpoint).toBe('back')
  })

  it('requests of one version do not wait for those of another', () => {
    const canary = 'atlas-3' as typeof version
    const desk = new Desk([endpoint('a', 'x', { slots: 2 }), endpoint('b', 'x', { slots: 1, version: canary })])
    for (let i = 0; i < 2; i++) desk.ask()
    for (let i = 0; i < 9; i++) desk.ask({ version: canary })
    // Unmeasured, two places of one second each: one is free after half a second.
    expect(desk.ask().queued?.predictedMs).toBeCloseTo(500)
  })

  it('what waits for one version is no load of another', () => {
    const canary = 'atlas-3' as typeof version
    const desk = new Desk([endpoint('a', 'x', { slots: 4 }), endpoint('b', 'x', { slots: 1, version: canary })])
    for (let i = 0; i < 9; i++) desk.ask({ version: canary })
    expect(desk.tell({}).load).toMatchObject({ slots: 5, free: 4, waitMs: 0 })
    for (let i = 0; i < 4; i++) desk.ask()
    // Unmeasured, four places of one second each: the next is free after a quarter.
    expect(desk.tell({}).load).toMatchObject({ free: 0, waitMs: 250 })
    desk.ask()
    expect(desk.tell({}).load).toMatchObject({ free: -1, waitMs: 500 })
  })

  it('hedges when the places that are in use are few of those that can be used', () => {
    const models = [modelRow({ hedging: true })]
    const draining = endpoint('b', 'x', { slots: 100, state: 'draining' })
    const desk = new Desk([endpoint('a', 'x', { slots: 10 }), endpoint('c', 'x', { slots: 10 }), draining], { models })
    for (let i = 1; i <= 200; i++) desk.serve({ tookMs: 10 })
    for (let i = 0; i < 15; i++) desk.ask()
    expect(desk.ask({ purpose: 'hedge' })).toMatchObject({ denied: 'hedge_budget' })
  })

  it('learns the times of a new class of requests when it knows many', () => {
    const desk = new Desk([endpoint('a', 'x', { slots: 10 })], { models: [modelRow({ hedging: true })] })
    for (let n = 0; n < 200; n++) {
      const leaseId = lease(`c${n}`)
      const charge = { leaseId, endpoint: id('a'), version: `v${n}` as typeof version, deadlineMs: desk.nowMs + 9, why: 'blind' as const }
      desk.tell({ charges: [charge], settled: [{ leaseId, outcome: 'good', ttfbMs: 1, tookMs: 10 }] })
    }
    for (let n = 0; n < limits.hedgeSamplesMin; n++) desk.serve({ tookMs: 10 })
    expect(desk.ask().lease?.hedgeAfterMs).toBe(10)
    expect(desk.book.classes.size).toBeLessThan(100)
  })
})

it('whatever comes in whatever order: counts are the live leases, grants never exceed the places, and all ends at the deadlines', () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('ask' as const),
        lease: fc.nat(30),
        deadlineMs: fc.integer({ min: 1, max: 9_000 }),
        credits: fc.nat(4),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('settle' as const),
        lease: fc.nat(30),
        outcome: fc.constantFrom('good' as const, 'hard_failure' as const, 'soft_failure' as const, 'cancelled' as const),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('charge' as const),
        lease: fc.nat(40),
        endpoint: fc.nat(2),
        deadlineMs: fc.integer({ min: 1, max: 9_000 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), forMs: fc.nat(3_000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), endpoint: fc.nat(2) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const desk = new Desk(['e0', 'e1', 'e2'].map((name, index) => endpoint(name, 'x', { slots: index + 1 })))
      const slots = (name: string) => Number(name.at(-1)) + 1
      let charged = false
      let generation = 1
      for (const each of steps) {
        if (each.kind === 'ask') {
          const before = new Map([...desk.book.members.keys()].map((name) => [name, inFlight(desk.book.leases, name)]))
          const held = desk.book.leases.byId.has(lease(`l${each.lease}`))
          const answer = desk.ask({
            leaseId: lease(`l${each.lease}`),
            deadlineMs: desk.nowMs + limits.leaseGraceMs + each.deadlineMs,
            credits: each.credits,
          })
          for (const { endpoint: on } of [...(answer.lease && !held ? [answer.lease] : []), ...(answer.credits ?? [])])
            expect(inFlight(desk.book.leases, on)).toBeLessThanOrEqual(Math.max(slots(on), before.get(on) ?? 0))
        } else if (each.kind === 'settle') {
          desk.settle(lease(`l${each.lease}`), { outcome: each.outcome })
        } else if (each.kind === 'charge') {
          charged = true
          const leaseId = lease(`c${each.lease}`)
          desk.tell({
            charges: [{ leaseId, endpoint: id(`e${each.endpoint}`), version, deadlineMs: desk.nowMs + each.deadlineMs, why: 'blind' }],
          })
        } else if (each.kind === 'pass') {
          desk.pass(each.forMs)
        } else if (each.kind === 'withdraw') {
          const gone = `e${each.endpoint}`
          generation++
          take(desk.book, { ...desk.snapshot, generation, endpoints: desk.snapshot.endpoints.filter((one) => one.id !== gone) })
        } else {
          const kept = structuredClone(keep(desk.book))
          desk.book = newBook(cell, `life ${desk.nowMs}`, desk.nowMs)
          take(desk.book, { ...desk.snapshot, generation })
          restore(desk.book, kept, desk.nowMs)
        }
        const counted = [...desk.book.leases.byEndpoint.values()].reduce((sum, held) => sum + held.size, 0)
        expect(counted).toBe(leaseCount(desk.book.leases))
        for (const name of ['e0', 'e1', 'e2']) {
          const count = inFlight(desk.book.leases, id(name))
          expect(count).toBeGreaterThanOrEqual(0)
          if (!charged) expect(count).toBeLessThanOrEqual(slots(name))
        }
      }
      // Twice: whoever was queued may get a place when the first ones end, and then has his own deadline.
      for (let i = 0; i < 3; i++) desk.pass(limits.leaseGraceMs + limits.queueMsMax.standard + 9_001)
      expect(leaseCount(desk.book.leases)).toBe(0)
    }),
    { numRuns: 300 },
  )
})
