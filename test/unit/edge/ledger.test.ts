import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expire, findLease, grant, inFlight, leaseCount, noLeases, settle } from '../../../edge/ledger/leases.ts'
import { capacityOf, isPanic, mayTakeOut } from '../../../edge/ledger/panic.ts'
import { pick, type Candidate, type Rule } from '../../../edge/ledger/pick.ts'
import { newPrefixIndex } from '../../../edge/ledger/prefix-index.ts'
import {
  aheadOf,
  enqueue,
  entryFor,
  inOrder,
  leave,
  newQueue,
  queuedByVersion,
  queueLength,
  type Queue,
} from '../../../edge/ledger/queue.ts'
import { newSmooth } from '../../../edge/ledger/smooth.ts'
import { spillTo } from '../../../edge/ledger/spill.ts'
import { cellIdOf, type CellId, type EndpointId, type LeaseId, type RegionName, type VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom, type Random } from '../../../shared/random.ts'
import type { Ask } from '../../../shared/wire/ledger.ts'
import type { CellLoad } from '../../../shared/wire/loads.ts'
import { endpoint, model, snapshotOf, version } from '../../support/snapshot.ts'

const id = (name: string) => name as EndpointId
const lease = (name: string) => name as LeaseId

describe('leases', () => {
  it('what is in flight is what has a live lease (model-based property)', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('grant' as const), lease: fc.nat(20), endpoint: fc.nat(3), deadlineMs: fc.nat(100) }),
      fc.record({ kind: fc.constant('settle' as const), lease: fc.nat(20) }),
      fc.record({ kind: fc.constant('expire' as const), nowMs: fc.nat(100) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const leases = noLeases()
        const reference = new Map<string, { endpoint: string; deadlineMs: number }>()
        for (const each of steps) {
          if (each.kind === 'grant') {
            // The object looks for a live lease first; so does this.
            if (findLease(leases, lease(`l${each.lease}`))) continue
            grant(leases, lease(`l${each.lease}`), {
              endpoint: id(`e${each.endpoint}`),
              deadlineMs: each.deadlineMs,
              version,
              operation: null,
              kind: 'granted',
              sinceMs: 0,
            })
            reference.set(`l${each.lease}`, { endpoint: `e${each.endpoint}`, deadlineMs: each.deadlineMs })
          } else if (each.kind === 'settle') {
            const settled = settle(leases, lease(`l${each.lease}`))
            expect(settled !== null).toBe(reference.delete(`l${each.lease}`))
          } else {
            const due = [...reference].filter(([, held]) => held.deadlineMs <= each.nowMs)
            expect(expire(leases, each.nowMs)).toBe(due.length)
            for (const [name] of due) reference.delete(name)
          }
          expect(leaseCount(leases)).toBe(reference.size)
          for (const name of ['e0', 'e1', 'e2', 'e3']) {
            expect(inFlight(leases, id(name))).toBe([...reference.values()].filter((held) => held.endpoint === name).length)
          }
        }
        expire(leases, 101)
        expect(leaseCount(leases)).toBe(0)
      }),
    )
  })
})

describe('queue', () => {
  const far = 1_000_000
  const ask = (name: string, so: Partial<Ask> = {}): Ask => ({
    cell: 'c' as CellId,
    leaseId: lease(name),
    version,
    deadlineMs: far,
    avoid: [],
    generation: 1,
    ...so,
  })

  it('serves by priority, and within one in order of arrival', () => {
    const queue = newQueue()
    for (const [name, priority] of [
      ['b1', 'batch'],
      ['s1', 'standard'],
      ['c1', 'critical'],
      ['s2', undefined],
      ['c2', 'critical'],
    ] as const)
      enqueue(queue, ask(name, priority ? { priority } : {}), 0)
    expect([...inOrder(queue)].map((each) => each.ask.leaseId)).toEqual(['c1', 'c2', 's1', 's2', 'b1'])
    expect(aheadOf(queue, ask('x', { priority: 'critical' }))).toBe(2)
    expect(aheadOf(queue, ask('x'))).toBe(4)
    expect(aheadOf(queue, ask('x', { priority: 'batch' }))).toBe(5)
    expect(queueLength(queue)).toBe(5)
  })

  const fill = (queue: Queue, name: string, many: number, so: Partial<Ask> = {}) => {
    for (let i = 0; i < many; i++) enqueue(queue, ask(`${name}${i}`, so), 0)
  }
  const batch = { priority: 'batch' as const }

  it('full, displaces the newest of the lowest priority below, and nobody of the same', () => {
    const queue = newQueue()
    fill(queue, 's', limits.queueMax - 3)
    fill(queue, 'b', 2, batch)
    expect(entryFor(queue, ask('x'))).toBe('free')
    fill(queue, 'last', 1)
    expect(entryFor(queue, ask('x'))).toEqual({ displaces: 'b1' })
    expect(entryFor(queue, ask('x', { priority: 'critical' }))).toEqual({ displaces: 'b1' })
    expect(entryFor(queue, ask('x', batch))).toBe('refused')
    expect(['b1', 'b0'].map((each) => leave(queue, lease(each))?.ask.leaseId)).toEqual(['b1', 'b0'])
    fill(queue, 't', 2)
    expect(entryFor(queue, ask('x', { priority: 'critical' }))).toEqual({ displaces: 't1' })
    expect(entryFor(queue, ask('x'))).toBe('refused')
  })

  it('gives one version no more than half while another waits', () => {
    const canary = { version: 'canary' as VersionId }
    const half = limits.queueMax / 2
    const queue = newQueue()
    fill(queue, 'c', half, canary)
    // Alone it may have it all.
    expect(entryFor(queue, ask('x', canary))).toBe('free')
    fill(queue, 's', 1)
    expect(entryFor(queue, ask('x', canary))).toBe('refused')
    expect(entryFor(queue, ask('x'))).toBe('free')
    fill(queue, 'b', 1, { ...canary, ...batch })
    expect(entryFor(queue, ask('x', canary))).toEqual({ displaces: 'b0' })
  })

  it('filled by one version, takes another’s in place of its newest, up to half', () => {
    const canary = { version: 'canary' as VersionId }
    const queue = newQueue()
    fill(queue, 'c', limits.queueMax, canary)
    const enter = (name: string): string => {
      const entry = entryFor(queue, ask(name, batch))
      if (entry === 'refused') return entry
      if (entry !== 'free') leave(queue, entry.displaces)
      enqueue(queue, ask(name, batch), 0)
      return 'in'
    }
    const half = limits.queueMax / 2
    const seen = Array.from({ length: half + 1 }, (_, i) => enter(`s${i}`))
    expect(seen.filter((each) => each === 'in')).toHaveLength(half)
    expect(seen.at(-1)).toBe('refused')
    expect(queuedByVersion(queue)).toEqual(
      new Map([
        [version, half],
        [canary.version, half],
      ]),
    )
    expect([...inOrder(queue)].at(half - 1)?.ask.leaseId).toBe(`c${half - 1}`)
  })

  it('waits no longer than the priority may, nor than the request has', () => {
    const queue = newQueue()
    expect(enqueue(queue, ask('a'), 500).untilMs).toBe(500 + limits.queueMsMax.standard)
    expect(enqueue(queue, ask('b', { priority: 'batch' }), 500).untilMs).toBe(500 + limits.queueMsMax.batch)
    expect(enqueue(queue, ask('c', { deadlineMs: 6_000 }), 500).untilMs).toBe(6_000 - limits.leaseGraceMs)
  })
})

describe('pick', () => {
  const first = () => 0
  const rule: Rule = { strategy: 'least-latency', affinity: null, panic: false }
  const turns = () => ({ smooth: newSmooth(), prefixes: newPrefixIndex() })
  const candidate = (name: string, so: Partial<Candidate> = {}): Candidate => {
    const slots = so.slots ?? 4
    return {
      id: id(name),
      version,
      slots,
      weight: 1,
      inFlight: 0,
      cap: slots,
      rate: slots,
      prefillMs: 0,
      onTrial: false,
      unproven: false,
      out: false,
      ...so,
    }
  }
  const picked = (candidates: readonly Candidate[], so: Partial<Rule> = {}, random: Random = first) =>
    pick(candidates, { ...rule, ...so }, turns(), random)?.id ?? null

  it.each([
    ['the shorter prefill, where the difference is more than noise', { prefillMs: 100, inFlight: 3 }, { prefillMs: 120 }, 'a'],
    ['the less loaded of two whose times are equal within noise', { prefillMs: 100, inFlight: 3 }, { prefillMs: 105 }, 'b'],
    ['the faster of two equally loaded', { rate: 2 }, { rate: 8 }, 'b'],
    ['the slower one when the faster has that much more to do', { rate: 2 }, { rate: 8, inFlight: 4, slots: 8, cap: 8 }, 'a'],
  ] satisfies [string, Partial<Candidate>, Partial<Candidate>, string][])('least-latency takes %s', (_, a, b, expected) => {
    const among = [candidate('a', a), candidate('b', b)]
    expect(picked(among)).toBe(expected)
    expect(picked(among.toReversed())).toBe(expected)
  })

  it('least-connections takes the fewest requests per slot and weight, whatever their speed', () => {
    const strategy = 'least-connections' as const
    expect(picked([candidate('a', { slots: 4, rate: 100 }), candidate('b', { slots: 8, rate: 1 })], { strategy })).toBe('b')
    expect(picked([candidate('a', { slots: 8, weight: 0.25 }), candidate('b', { slots: 4 })], { strategy })).toBe('b')
  })

  it.each(['least-latency', 'least-connections', 'weighted-round-robin'] as const)(
    '%s counts the places that may be used now, not those of better days: one that turns all away would always look empty',
    (strategy) => {
      const memory = turns()
      const among = [candidate('well', { slots: 64, inFlight: 30 }), candidate('throttled', { slots: 64, cap: 1 })]
      const random = seededRandom(1)
      const taken = Array.from({ length: 50 }, () => pick(among, { ...rule, strategy }, memory, random)?.id)
      expect(taken.filter((each) => each === 'throttled').length).toBeLessThanOrEqual(1)
    },
  )

  it('weighted-round-robin gives turns by measured rate', () => {
    const among = [candidate('a', { rate: 3 }), candidate('b', { rate: 1 })]
    const memory = turns()
    const order = Array.from({ length: 8 }, () => pick(among, { ...rule, strategy: 'weighted-round-robin' }, memory, first)?.id)
    expect(order.filter((each) => each === 'a')).toHaveLength(6)
    expect(order.slice(0, 4).filter((each) => each === 'b')).toHaveLength(1)
  })

  it('never takes a full one, and nobody when all are full', () => {
    expect(picked([candidate('a', { slots: 1, inFlight: 1 }), candidate('b', { inFlight: 3 })])).toBe('b')
    expect(picked([candidate('a', { inFlight: 4 }), candidate('b', { inFlight: 4 })])).toBeNull()
    expect(picked([candidate('a', { cap: 1, inFlight: 1 })])).toBeNull()
  })

  it('takes the unproven only when the proven are full, and gives one on trial his one request first', () => {
    expect(picked([candidate('new', { unproven: true }), candidate('old', { inFlight: 3 })])).toBe('old')
    expect(picked([candidate('new', { unproven: true }), candidate('old', { inFlight: 4 })])).toBe('new')
    expect(picked([candidate('back', { onTrial: true, cap: 1, rate: 0.1 }), candidate('old')])).toBe('back')
    expect(picked([candidate('back', { onTrial: true, cap: 1, inFlight: 1 }), candidate('old')])).toBe('old')
    const second = [candidate('back', { onTrial: true, cap: 1 }), candidate('old', { inFlight: 3 }), candidate('new', { unproven: true })]
    expect(picked(second, { second: true })).toBe('old')
    expect(picked(second.slice(0, 1), { second: true })).toBe('back')
  })

  it('takes those that are out only in a panic, and then only for what the others have no room for', () => {
    const among = (inFlight: number) => [candidate('dead', { out: true, cap: 0 }), candidate('well', { inFlight })]
    expect(picked(among(0), { panic: true })).toBe('well')
    expect(picked(among(4))).toBeNull()
    expect(picked(among(4), { panic: true })).toBe('dead')
  })

  it('breaks ties by chance', () => {
    const among = ['a', 'b', 'c'].map((name) => candidate(name))
    const random = seededRandom(11)
    expect(new Set(Array.from({ length: 60 }, () => picked(among, {}, random))).size).toBe(3)
  })

  it('keeps a session where it was while there is room within the bound, and says when it leaves', () => {
    const affinity = { kind: 'session' as const, key: 'alice', blocks: [] }
    const among = ['a', 'b', 'c'].map((name) => candidate(name))
    const home = picked(among, { affinity })
    expect(picked(among, { affinity })).toBe(home)
    const crowded = among.map((each) => (each.id === home ? { ...each, inFlight: 3 } : each))
    expect(pick(crowded, { ...rule, affinity }, turns(), first)).toMatchObject({ affinity: 'session' })
    expect(picked(crowded, { affinity })).not.toBe(home)
    const slow = among.map((each) => ({ ...each, inFlight: 1, prefillMs: each.id === home ? 400 : 0 }))
    expect(picked(slow, { affinity })).not.toBe(home)
  })
})

describe('spill', () => {
  const other = (cell: string, so: Partial<CellLoad> = {}, extraMs = 0, sentSince = 0) => ({
    load: { cell: cell as CellId, slots: 8, free: 4, waitMs: 0, blindWaitMs: 0, ttftMs: null, ...so },
    extraMs,
    sentSince,
    perRequestMs: 10,
  })

  it.each([
    ['nobody else is there', [], null],
    ['the other is not sooner by the margin', [other('x', {}, 81)], null],
    ['the other is sooner', [other('x', {}, 79)], 'x'],
    ['the other waits as well', [other('x', { free: 0, waitMs: 90 })], null],
    ['the other is full, but its queue is shorter', [other('x', { free: 0, waitMs: 70 })], 'x'],
    ['the places were taken by those sent since, and they wait', [other('x', { free: 3 }, 0, 11)], null],
    ['the places were taken, but the queue is still shorter', [other('x', { free: 3 }, 0, 10)], 'x'],
  ] as const)('with 100 ms to wait here: %s', (_, others, expected) => {
    expect(spillTo(100, others, 20, () => 0)).toBe(expected)
  })

  it('draws by free places times gain, and never the best alone', () => {
    const random = seededRandom(5)
    const others = [other('near', { free: 1 }, 0), other('far', { free: 6 }, 60)]
    const drawn = Array.from({ length: 4_000 }, () => spillTo(100, others, 20, random))
    // 1 x 80 against 6 x 20.
    expect(drawn.filter((cell) => cell === 'far').length / 4_000).toBeCloseTo(0.6, 1)
  })

  it('draws a full cell only seldom beside one with free places', () => {
    const random = seededRandom(5)
    const others = [other('full', { free: 0, waitMs: 10 }), other('free', { free: 4 })]
    const drawn = Array.from({ length: 4_000 }, () => spillTo(100, others, 20, random))
    expect(drawn.filter((cell) => cell === 'full').length / 4_000).toBeLessThan(0.06)
  })
})

describe('panic', () => {
  const endpoints = ['a', 'b', 'c', 'd'].map((name) => endpoint(name, 'x'))
  const of = { version, cell: cellIdOf(model, 'x' as RegionName) }
  const snapshot = snapshotOf([...endpoints, endpoint('far', 'y', { state: 'unhealthy' }), endpoint('off', 'y', { state: 'disabled' })])

  it('counts what is out over all cells of the version, this one by what is known here', () => {
    expect(capacityOf(snapshot, of, (each) => each === 'a')).toEqual({ total: 20, out: 8 })
    expect(isPanic({ total: 20, out: 10 })).toBe(false)
    expect(isPanic({ total: 20, out: 11 })).toBe(true)
  })

  it('stops taking out at half, but keeps what serves nothing out while anybody else serves', () => {
    expect(mayTakeOut({ total: 20, out: 4 }, 4, false)).toBe(true)
    expect(mayTakeOut({ total: 20, out: 8 }, 4, false)).toBe(false)
    expect(mayTakeOut({ total: 20, out: 8 }, 4, true)).toBe(true)
    expect(mayTakeOut({ total: 20, out: 16 }, 4, true)).toBe(false)
  })
})
