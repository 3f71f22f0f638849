import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expire, findLease, grant, inFlight, leaseCount, noLeases, settle } from '../../../edge/ledger/leases.ts'
import { pick } from '../../../edge/ledger/pick.ts'
import { count, takeTally, type Tally } from '../../../edge/ledger/tally.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { EndpointId, LeaseId, VersionId } from '../../../shared/ids.ts'
import { endpoint, version } from '../../support/snapshot.ts'

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
            grant(leases, lease(`l${each.lease}`), { endpoint: id(`e${each.endpoint}`), deadlineMs: each.deadlineMs })
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

describe('pick', () => {
  const ask = { version, avoid: [] }
  const none = () => 0
  const first = () => 0

  it('takes the endpoint with the fewest requests per slot', () => {
    const endpoints = [endpoint('a', 'x', { slots: 4 }), endpoint('b', 'x', { slots: 8 })]
    const load = (counts: Record<string, number>) => (each: EndpointId) => counts[each] ?? 0
    expect(pick(endpoints, ask, load({ a: 0, b: 0 }), first)).toMatchObject({ endpoint: { id: 'b' } })
    expect(pick(endpoints, ask, load({ a: 0, b: 2 }), first)).toMatchObject({ endpoint: { id: 'a' } })
    expect(pick(endpoints, ask, load({ a: 3, b: 6 }), first)).toMatchObject({ endpoint: { id: 'b' } })
  })

  it('never gives an endpoint more than its slots, and says so when all are full', () => {
    const endpoints = [endpoint('a', 'x', { slots: 1 }), endpoint('b', 'x', { slots: 2 })]
    const counts: Record<string, number> = {}
    const loadOf = (each: EndpointId) => counts[each] ?? 0
    const random = seededRandom(1)
    for (let i = 0; i < 3; i++) {
      const picked = pick(endpoints, ask, loadOf, random)
      if (!('endpoint' in picked)) throw new Error('there was room')
      counts[picked.endpoint.id] = loadOf(picked.endpoint.id) + 1
    }
    expect(counts).toEqual({ a: 1, b: 2 })
    expect(pick(endpoints, ask, loadOf, random)).toEqual({ denied: 'no_room' })
  })

  it.each([
    ['no endpoint of the version', [endpoint('a', 'x', { version: 'other' as VersionId })], 'no_endpoint'],
    ['only unhealthy ones', [endpoint('a', 'x', { state: 'unhealthy' })], 'no_healthy_endpoint'],
    [
      'only draining or disabled ones',
      [endpoint('a', 'x', { state: 'draining' }), endpoint('b', 'x', { state: 'disabled' })],
      'no_healthy_endpoint',
    ],
    ['only weightless ones', [endpoint('a', 'x', { weight: 0 })], 'no_healthy_endpoint'],
  ])('denies with %s', (_, endpoints, denied) => {
    expect(pick(endpoints, ask, none, first)).toEqual({ denied })
  })

  it('does not pick what was tried already', () => {
    const endpoints = [endpoint('a', 'x'), endpoint('b', 'x')]
    expect(pick(endpoints, { version, avoid: [id('a')] }, none, first)).toMatchObject({ endpoint: { id: 'b' } })
    expect(pick(endpoints, { version, avoid: [id('a'), id('b')] }, none, first)).toEqual({ denied: 'no_healthy_endpoint' })
  })

  it('prefers a healthy endpoint to one not probed yet, and uses the latter when the healthy ones are full', () => {
    const endpoints = [endpoint('new', 'x', { state: 'unknown' }), endpoint('old', 'x', { slots: 2 })]
    const load = (counts: Record<string, number>) => (each: EndpointId) => counts[each] ?? 0
    expect(pick(endpoints, ask, load({ old: 1 }), first)).toMatchObject({ endpoint: { id: 'old' } })
    expect(pick(endpoints, ask, load({ old: 2 }), first)).toMatchObject({ endpoint: { id: 'new' } })
  })

  it('breaks ties by chance', () => {
    const endpoints = ['a', 'b', 'c'].map((name) => endpoint(name, 'x'))
    const random = seededRandom(11)
    const picked = new Set(
      Array.from({ length: 60 }, () => {
        const one = pick(endpoints, ask, none, random)
        return 'endpoint' in one ? one.endpoint.id : null
      }),
    )
    expect(picked.size).toBe(3)
  })
})

describe('tally', () => {
  it('counts per endpoint and outcome, and starts anew when taken', () => {
    const tally: Tally = new Map()
    count(tally, id('a'), 'good')
    count(tally, id('a'), 'good')
    count(tally, id('b'), 'hard_failure')
    expect(takeTally(tally)).toEqual({
      a: { good: 2, soft_failure: 0, hard_failure: 0, cancelled: 0 },
      b: { good: 0, soft_failure: 0, hard_failure: 1, cancelled: 0 },
    })
    expect(takeTally(tally)).toEqual({})
  })
})
