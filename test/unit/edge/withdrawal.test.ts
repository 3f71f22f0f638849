// Versions that an alias no longer serves get no place, and copies get one only where there is plenty.

import { describe, expect, it } from 'vitest'
import { ask, awaitGrant, exchange, newBook, report, sweep, take, type Book } from '../../../edge/ledger/book.ts'
import { mayRetry } from '../../../edge/ledger/budget.ts'
import { unconfirmed } from '../../../edge/ledger/blocks.ts'
import { stateOf } from '../../../edge/ledger/breaker.ts'
import { leaseCount } from '../../../edge/ledger/leases.ts'
import { aliasesOf, isWithdrawn } from '../../../edge/ledger/withdrawal.ts'
import { cellIdOf, type EndpointId, type LeaseId, type OriginName, type RegionName, type VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom } from '../../../shared/random.ts'
import { diff } from '../../../shared/wire/delta.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import type { Ask, Settled, WaitAnswer } from '../../../shared/wire/ledger.ts'
import type { Alias, Endpoint, Snapshot } from '../../../shared/wire/snapshot.ts'
import { alias, cellLoad, endpoint, loadsOf, model, snapshotOf, version } from '../../support/snapshot.ts'

const cell = cellIdOf(model, 'x' as RegionName)
const stable = version
const canary = 'atlas-3' as VersionId
const own = 'development/atlas'
const rolling = (so: Partial<Alias> = {}): Alias => alias({ stable, canary, weightBp: 500, shadowBp: 0, ...so })
const both = (slots = 4): readonly Endpoint[] => [endpoint('canary', 'x', { slots, version: canary }), endpoint('stable', 'x', { slots })]

/** A book under a snapshot, with time in hand. */
class Desk {
  readonly book: Book = newBook(cell, 'life', 1_000_000)
  readonly random = seededRandom(5)
  nowMs = 1_000_000
  generation = 1
  #snapshot: Snapshot
  #asks = 0

  constructor(aliases: readonly Alias[] = [rolling()], endpoints: readonly Endpoint[] = both()) {
    this.#snapshot = snapshotOf(endpoints, { aliases: [...aliases] })
    take(this.book, this.#snapshot)
  }

  publish(aliases: readonly Alias[]): void {
    const next: Snapshot = { ...this.#snapshot, generation: ++this.generation, aliases: [...aliases] }
    const delta = diff(this.#snapshot, next)
    this.#snapshot = next
    exchange(this.book, { snapshot: next, delta, cell }, this.nowMs, this.random)
  }

  loads(loads: ModelLoads): void {
    exchange(this.book, { snapshot: null, cell, loads }, this.nowMs, this.random)
  }

  ask(so: Partial<Ask> = {}) {
    const leaseId = `l${this.#asks++}` as LeaseId
    const deadlineMs = this.nowMs + 600_000
    const asked: Ask = { cell, leaseId, version: canary, operation: 'chat', deadlineMs, avoid: [], generation: 1, alias: own, ...so }
    return { id: leaseId, ...ask(this.book, asked, this.nowMs, this.random) }
  }

  wait(leaseId: LeaseId): { readonly answer: WaitAnswer | null } {
    const seen: { answer: WaitAnswer | null } = { answer: null }
    awaitGrant(this.book, leaseId, (answer) => (seen.answer = answer), this.nowMs)
    return seen
  }

  settle(leaseId: LeaseId, so: Partial<Settled> = {}): void {
    const settled = [{ leaseId, outcome: 'good' as const, ttfbMs: 10, tookMs: 100, ...so }]
    report(this.book, { cell, generation: 1, loadsSeq: 0, report: { settled, charges: [] } }, this.nowMs, this.random)
  }
}

describe('whether a version is withdrawn', () => {
  it.each<{ name: string; of: Partial<Alias>; asked: Partial<Ask>; withdrawn: boolean }>([
    { name: 'stable', of: {}, asked: { version: stable }, withdrawn: false },
    { name: 'a canary with a weight', of: {}, asked: {}, withdrawn: false },
    { name: 'a canary without one', of: { weightBp: 0 }, asked: {}, withdrawn: true },
    { name: 'what was the canary', of: { canary: null, weightBp: 0 }, asked: {}, withdrawn: true },
    { name: 'what was stable', of: { stable: canary, canary: null, weightBp: 0 }, asked: { version: stable }, withdrawn: true },
    { name: 'a canary that is only copied to, for a request', of: { weightBp: 0, shadowBp: 100 }, asked: {}, withdrawn: true },
    { name: 'a canary that is only copied to, for a copy', of: { weightBp: 0, shadowBp: 100 }, asked: { shadow: true }, withdrawn: false },
    { name: 'a canary that is no longer copied to', of: { weightBp: 0 }, asked: { shadow: true }, withdrawn: true },
    { name: 'a version that was forced', of: { weightBp: 0 }, asked: { forced: true }, withdrawn: false },
    { name: 'an alias that is not known', of: { weightBp: 0 }, asked: { alias: 'production/atlas' }, withdrawn: false },
  ])('$name: $withdrawn', ({ of, asked, withdrawn }) => {
    const aliases = aliasesOf(snapshotOf(both(), { aliases: [rolling(of)] }))
    expect(isWithdrawn(aliases, { version: canary, alias: own, ...asked })).toBe(withdrawn)
    // Who names no alias cannot be told.
    const { alias: _, ...nameless } = { version: canary, alias: own, ...asked }
    expect(isWithdrawn(aliases, nameless)).toBe(false)
  })
})

describe('a version that was withdrawn', () => {
  it('gets no lease from the moment at which the ledger knows, and the answer says what holds now', () => {
    const desk = new Desk()
    expect(desk.ask().lease).toMatchObject({ endpoint: 'canary' })
    desk.publish([rolling({ weightBp: 0 })])
    const answer = desk.ask()
    expect(answer).toMatchObject({ lease: null, denied: 'withdrawn', generation: 2 })
    expect(answer.deltas?.at(-1)?.aliases).toBeDefined()
    expect(desk.ask({ version: stable }).lease).toMatchObject({ endpoint: 'stable' })
    expect(desk.ask({ forced: true }).lease).toMatchObject({ endpoint: 'canary' })
    // Another environment's alias may still serve it; one that is not known here says nothing.
    expect(desk.ask({ alias: 'production/atlas' }).lease).toMatchObject({ endpoint: 'canary' })
  })

  it('is withdrawn also when its endpoints are gone already', () => {
    const desk = new Desk([rolling({ canary: null, weightBp: 0 })], [endpoint('stable', 'x')])
    expect(desk.ask().denied).toBe('withdrawn')
  })

  it('keeps the leases that it has, and asking again with one gives the same answer', () => {
    const desk = new Desk()
    const { id } = desk.ask()
    desk.publish([rolling({ weightBp: 0 })])
    expect(desk.ask({ leaseId: id }).lease).toMatchObject({ endpoint: 'canary' })
    expect(leaseCount(desk.book.leases)).toBe(1)
  })

  it('has nobody in the queue any more: they are denied and told why, and stable’s go on waiting', () => {
    const desk = new Desk([rolling()], both(1))
    const held = [desk.ask(), desk.ask({ version: stable })]
    const present = desk.ask()
    const late = desk.ask()
    const other = desk.ask({ version: stable })
    const forced = desk.ask({ forced: true })
    for (const each of [present, late, other, forced]) expect(each.queued).toBeTruthy()
    const [seen, seenOther, seenForced] = [present, other, forced].map(({ id }) => desk.wait(id))
    desk.nowMs += 40
    desk.publish([rolling({ weightBp: 0 })])
    expect(seen?.answer).toMatchObject({ lease: null, denied: 'withdrawn', waitedMs: 40, generation: 2 })
    expect(seen?.answer?.deltas).toHaveLength(1)
    // Who had not come to wait yet is told when he does.
    expect(desk.wait(late.id).answer).toMatchObject({ lease: null, denied: 'withdrawn' })
    expect([seenOther?.answer, seenForced?.answer]).toEqual([null, null])
    for (const { id } of held) desk.settle(id)
    expect(seenOther?.answer?.lease).toMatchObject({ endpoint: 'stable' })
    expect(seenForced?.answer?.lease).toMatchObject({ endpoint: 'canary' })
  })

  it('gives no place that comes free with the news to somebody of it', () => {
    const desk = new Desk([rolling()], both(1))
    const held = desk.ask({ deadlineMs: desk.nowMs + 50 })
    const seen = desk.wait(desk.ask().id)
    desk.nowMs += 2 * limits.turnMs
    desk.publish([rolling({ weightBp: 0 })])
    expect(seen.answer).toMatchObject({ lease: null, denied: 'withdrawn' })
    sweep(desk.book, desk.nowMs, desk.random, true)
    expect(leaseCount(desk.book.leases)).toBe(0)
    expect(held.lease).not.toBeNull()
  })

  it('gets no credits, not even for somebody who forced it', () => {
    const ahead = (desk: Desk, so: Partial<Ask> = {}) => desk.ask({ credits: 4, ...so }).credits?.length ?? 0
    const desk = new Desk([rolling()], both(40))
    expect(ahead(desk)).toBe(4)
    expect(ahead(desk, { forced: true })).toBe(4)
    desk.publish([rolling({ weightBp: 0 })])
    expect(ahead(desk)).toBe(0)
    expect(ahead(desk, { forced: true })).toBe(0)
    expect(ahead(desk, { version: stable })).toBe(4)
  })

  it('is served again when its alias serves it again', () => {
    const desk = new Desk([rolling({ weightBp: 0 })])
    expect(desk.ask().denied).toBe('withdrawn')
    desk.publish([rolling({ weightBp: 1 })])
    expect(desk.ask().lease).toMatchObject({ endpoint: 'canary' })
  })
})

describe('a copy', () => {
  const copied = [rolling({ weightBp: 0, shadowBp: 10_000 })]
  const copy = (desk: Desk, so: Partial<Ask> = {}) => desk.ask({ shadow: true, priority: 'batch', origin: 'enam' as OriginName, ...so })

  it('gets a place while so much of its version’s places is free, whatever stable’s are', () => {
    const desk = new Desk(copied, both(10))
    for (let i = 0; i < 10; i++) desk.ask({ version: stable })
    const granted = Array.from({ length: 9 }, () => copy(desk).lease?.endpoint ?? null)
    // With seven of ten taken, three tenths are free; with eight, two.
    expect(granted.filter((each) => each === 'canary')).toHaveLength(8)
    expect(copy(desk)).toMatchObject({ lease: null, denied: 'no_room' })
    expect(copy(desk).queued).toBeUndefined()
  })

  it('gets none while somebody waits', () => {
    const desk = new Desk(copied, both(1))
    const held = desk.ask({ version: stable })
    const waiting = desk.ask({ version: stable })
    expect(waiting.queued).toBeTruthy()
    expect(copy(desk).denied).toBe('no_room')
    desk.settle(held.id)
    desk.wait(waiting.id)
    expect(copy(desk).lease).toMatchObject({ endpoint: 'canary' })
  })

  it('gets none where nobody of its version may be used, and never waits or goes elsewhere', () => {
    const out = new Desk(copied, [endpoint('stable', 'x'), endpoint('canary', 'x', { version: canary, state: 'unhealthy' })])
    expect(copy(out)).toMatchObject({ lease: null, denied: 'no_room' })
    const none = new Desk(copied, [endpoint('stable', 'x')])
    expect(copy(none)).toMatchObject({ lease: null, denied: 'no_endpoint' })
    const elsewhere = new Desk(copied, [...both(1), endpoint('far', 'y', { version: canary })])
    elsewhere.loads(loadsOf([cellLoad('x', { free: 0, waitMs: 9_000 }), cellLoad('y')], { atMs: elsewhere.nowMs }))
    expect(copy(elsewhere).lease).toMatchObject({ endpoint: 'canary' })
    const full = copy(elsewhere)
    expect([full.denied, full.spill, full.queued]).toEqual(['no_room', undefined, undefined])
  })

  it('gets no leases ahead and no second copy', () => {
    const desk = new Desk(copied, both(40))
    const granted = copy(desk, { credits: 8 })
    expect(granted.credits).toBeUndefined()
    expect(granted.lease?.hedgeAfterMs).toBeNull()
    expect(leaseCount(desk.book.leases)).toBe(1)
  })

  it('is no demand, and earns no retries', () => {
    const desk = new Desk(copied, both(400))
    for (let i = 0; i < 200; i++) copy(desk)
    // For two hundred requests there would be more of them than the floor.
    for (let i = 0; i < limits.retryFloor; i++) {
      expect(mayRetry(desk.book.budget, desk.nowMs)).toBe(true)
      desk.ask({ purpose: 'retry', forced: true })
    }
    expect(mayRetry(desk.book.budget, desk.nowMs)).toBe(false)
    exchange(desk.book, { snapshot: null, cell }, desk.nowMs, desk.random)
    expect(unconfirmed(desk.book.blocks).flatMap(({ arrivals }) => Object.keys(arrivals))).toEqual([])
  })

  it('that fails tells of its endpoint what a request would tell', () => {
    const desk = new Desk(copied, [...both(), endpoint('twin', 'x', { version: canary })])
    const avoid = ['twin' as EndpointId]
    for (let i = 0; i < limits.breakerConsecutive; i++) desk.settle(copy(desk, { avoid }).id, { outcome: 'hard_failure', ttfbMs: null })
    const member = desk.book.members.get('canary' as EndpointId)
    expect(member && stateOf(member.breaker, desk.nowMs)).toBe('open')
  })
})
