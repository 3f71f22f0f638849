// What every ledger must do, the object in workerd and the fake in Node alike.

import { describe, expect, it } from 'vitest'
import type { CellId, EndpointId, LeaseId, OriginName, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { Ask, Block, Exchange, ExchangeAnswer, Flush, LedgerCalls, Report, Settled } from '../../../shared/wire/ledger.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import { alias, endpoint, model, snapshotOf, version } from '../../support/snapshot.ts'
import { trialTally } from '../../support/trial.ts'

/** `sign` gives what a snapshot must bear for this ledger to believe it. */
export function ledgerContract(
  name: string,
  fresh: () => LedgerCalls,
  sign: (snapshot: Snapshot) => Promise<string | null> = () => Promise.resolve(null),
): void {
  const cell = 'atlas@x' as CellId
  const two = snapshotOf([endpoint('a', 'x', { slots: 2 }), endpoint('b', 'x', { slots: 1 }), endpoint('elsewhere', 'y')], {
    generation: 5,
  })
  const farMs = () => Date.now() + 60_000
  let asks = 0
  const ask = (so: Partial<Ask> = {}): Ask => ({
    cell,
    leaseId: `lease-${asks++}` as LeaseId,
    version,
    deadlineMs: farMs(),
    avoid: [],
    generation: 5,
    ...so,
  })
  const tell = async (ledger: LedgerCalls, snapshot: Snapshot): Promise<ExchangeAnswer> =>
    ledger.exchange({ snapshot, cell, signature: await sign(snapshot) })
  const told = async (snapshot = two) => {
    const ledger = fresh()
    await tell(ledger, snapshot)
    return ledger
  }

  const flush = (report: Partial<Report>): Flush => ({
    cell,
    generation: 5,
    loadsSeq: 0,
    report: { settled: [], charges: [], ...report },
  })
  const settle = (ledger: LedgerCalls, ...settled: Settled[]) => ledger.report(flush({ settled }))
  const exchange = (ledger: LedgerCalls, so: Partial<Exchange> = {}) => ledger.exchange({ snapshot: null, cell, ...so })
  const inFlight = async (ledger: LedgerCalls) => {
    const { endpoints } = await exchange(ledger)
    return Object.fromEntries(Object.entries(endpoints).map(([id, load]) => [id, load.inFlight]))
  }
  const good = (leaseId: LeaseId): Settled => ({ leaseId, outcome: 'good', ttfbMs: 1, tookMs: 2 })
  const full = async () => {
    const ledger = await told()
    const asked = [ask(), ask(), ask()]
    for (const each of asked) expect((await ledger.ask(each)).lease).not.toBeNull()
    return { ledger, asked }
  }

  describe(`${name}: the ledger contract`, () => {
    it('denies everything before it knows a snapshot', async () => {
      expect(await fresh().ask(ask())).toMatchObject({ lease: null, denied: 'no_snapshot', generation: 0, snapshot: null })
      expect(await fresh().snapshotSince(0)).toEqual({ generation: 0, snapshot: null })
    })

    it('grants as many leases as there are slots in the cell; then it queues, and whoever waits gets the first place that comes back', async () => {
      const { ledger, asked } = await full()
      expect(await inFlight(ledger)).toEqual({ a: 2, b: 1 })
      const late = ask()
      expect(await ledger.ask(late)).toMatchObject({ lease: null, denied: null, queued: { predictedMs: expect.any(Number) as number } })
      const waiting = ledger.wait(cell, late.leaseId)
      // Round trips of its own, so that the wait has begun by now.
      expect((await exchange(ledger)).queued).toBe(1)
      await settle(ledger, ...asked.slice(0, 1).map(({ leaseId }) => good(leaseId)))
      expect(await waiting).toMatchObject({ denied: null, lease: { endpoint: expect.any(String) as string } })
      expect(await inFlight(ledger)).toEqual({ a: 2, b: 1 })
      expect((await exchange(ledger)).queued).toBe(0)
    })

    it('a place that came back before anybody came to wait for it is kept for him', async () => {
      const { ledger, asked } = await full()
      const late = ask()
      await ledger.ask(late)
      await settle(ledger, ...asked.slice(0, 1).map(({ leaseId }) => good(leaseId)))
      expect((await ledger.wait(cell, late.leaseId)).lease).not.toBeNull()
    })

    it('denies at once whoever could not be served in the time he has, and says when to come back', async () => {
      const { ledger } = await full()
      const hurried = await ledger.ask(ask({ deadlineMs: Date.now() + 5_001 }))
      expect(hurried).toMatchObject({ lease: null, denied: 'no_room', retryAfterMs: expect.any(Number) as number })
    })

    it('who leaves the queue, or was never in it, waits for nothing', async () => {
      const { ledger } = await full()
      const gone = ask()
      await ledger.ask(gone)
      await settle(ledger, { leaseId: gone.leaseId, outcome: 'cancelled', ttfbMs: null })
      expect((await exchange(ledger)).queued).toBe(0)
      expect(await ledger.wait(cell, gone.leaseId)).toMatchObject({ lease: null, denied: 'no_room' })
    })

    it('an id takes one place, however often it asks, and comes back once', async () => {
      const ledger = await told()
      const once = ask()
      const first = await ledger.ask(once)
      expect((await ledger.ask(once)).lease?.endpoint).toEqual(first.lease?.endpoint)
      const total = async () => Object.values(await inFlight(ledger)).reduce((sum, each) => sum + each, 0)
      expect(await total()).toBe(1)
      await settle(ledger, good(once.leaseId))
      await settle(ledger, good(once.leaseId))
      expect(await total()).toBe(0)
      expect((await exchange(ledger)).blocks.reduce((sum, block) => sum + goodOf(block), 0)).toBe(1)
    })

    it('brings the snapshot to whoever is behind, and only to him', async () => {
      const ledger = await told()
      expect(await ledger.ask(ask({ generation: 4 }))).toMatchObject({ generation: 5, snapshot: { generation: 5 } })
      expect(await ledger.ask(ask({ generation: 5 }))).toMatchObject({ generation: 5, snapshot: null })
      expect(await ledger.ask(ask({ generation: 6 }))).toMatchObject({ generation: 5, snapshot: null })
      expect(await ledger.report({ ...flush({}), generation: 4 })).toMatchObject({ generation: 5, snapshot: { generation: 5 } })
      expect(await ledger.snapshotSince(4)).toMatchObject({ generation: 5, snapshot: { generation: 5 } })
      expect(await ledger.snapshotSince(5)).toEqual({ generation: 5, snapshot: null })
    })

    it('never goes back to an older snapshot', async () => {
      const ledger = await told()
      const older = snapshotOf([], { generation: 4 })
      expect((await tell(ledger, older)).generation).toBe(5)
      expect((await ledger.ask(ask())).lease).not.toBeNull()
    })

    it('obeys a newer one at once: what is withdrawn gets no lease any more', async () => {
      const ledger = await told()
      const withdrawn = snapshotOf([endpoint('a', 'x', { state: 'draining' }), endpoint('b', 'x', { version: 'next' as VersionId })], {
        generation: 6,
      })
      await tell(ledger, withdrawn)
      expect(await ledger.ask(ask())).toMatchObject({ lease: null, denied: 'no_healthy_endpoint' })
      expect(await ledger.ask(ask({ version: 'next' as VersionId }))).toMatchObject({ lease: { endpoint: 'b' } })
      expect(await ledger.ask(ask({ version: 'gone' as VersionId }))).toMatchObject({ lease: null, denied: 'no_endpoint' })
    })

    it('grants nothing that was tried already, and nothing of other cells', async () => {
      const ledger = await told()
      const avoid = ['a', 'b'] as EndpointId[]
      expect(await ledger.ask(ask({ avoid: avoid.slice(0, 1) }))).toMatchObject({ lease: { endpoint: 'b' } })
      expect(await ledger.ask(ask({ avoid }))).toMatchObject({ lease: null, denied: 'no_healthy_endpoint' })
    })

    it('a lease ends at its deadline, also when nobody returns it', async () => {
      const ledger = await told()
      for (let i = 0; i < 3; i++) expect((await ledger.ask(ask({ deadlineMs: Date.now() + 300 }))).lease).not.toBeNull()
      // The object sweeps at most once a second.
      await new Promise((resolve) => setTimeout(resolve, 1_400))
      expect((await ledger.ask(ask())).lease).not.toBeNull()
    })

    it('a request that did not ask counts from its charge to its end, also where there was no room', async () => {
      const { ledger } = await full()
      const charge = { leaseId: 'blind' as LeaseId, endpoint: 'b' as EndpointId, version, deadlineMs: farMs(), why: 'blind' as const }
      await ledger.report(flush({ charges: [charge] }))
      await ledger.report(flush({ charges: [charge] }))
      expect(await inFlight(ledger)).toEqual({ a: 2, b: 2 })
      await settle(ledger, good(charge.leaseId))
      expect(await inFlight(ledger)).toEqual({ a: 2, b: 1 })
      // A charge that arrives after its end takes no place.
      await ledger.report(flush({ charges: [charge] }))
      expect(await inFlight(ledger)).toEqual({ a: 2, b: 1 })
    })

    it('grants ahead what is free and not more, and takes back what is not used', async () => {
      const ledger = fresh()
      await tell(ledger, snapshotOf([endpoint('a', 'x', { slots: 40 })], { generation: 5 }))
      const { credits = [] } = await ledger.ask(ask({ credits: 8 }))
      expect(credits).toHaveLength(8)
      expect(await inFlight(ledger)).toEqual({ a: 9 })
      const [used] = credits
      if (!used) throw new Error('no credit')
      const { leaseId, endpoint: on } = used
      await ledger.report(flush({ charges: [{ leaseId, endpoint: on, version, deadlineMs: farMs(), why: 'credit' }] }))
      expect(await inFlight(ledger)).toEqual({ a: 9 })
      await new Promise((resolve) => setTimeout(resolve, 1_600))
      expect(await inFlight(ledger)).toEqual({ a: 2 })
    })

    it('tells every outcome until core has confirmed it, and not again after that', async () => {
      const ledger = await told()
      const asked = [ask({ avoid: ['b' as EndpointId] }), ask({ avoid: ['b' as EndpointId] })]
      for (const each of asked) await ledger.ask(each)
      await settle(
        ledger,
        ...asked.map(({ leaseId }, i): Settled => ({ leaseId, outcome: i === 0 ? 'good' : 'hard_failure', ttfbMs: null })),
      )
      await settle(ledger, good('never-granted' as LeaseId))
      const first = await exchange(ledger)
      const outcomes = first.blocks.map((block) => block.endpoints)
      expect(outcomes).toEqual([{ a: expect.objectContaining({ good: 1, soft_failure: 0, hard_failure: 1, cancelled: 0 }) as object }])
      expect((await exchange(ledger)).blocks).toEqual(first.blocks)
      const seq = first.blocks.at(-1)?.seq ?? 0
      // Another life's confirmation is not this one's.
      expect((await exchange(ledger, { confirmed: { life: 'another', seq } })).blocks).toEqual(first.blocks)
      expect((await exchange(ledger, { confirmed: { life: first.life, seq } })).blocks).toEqual([])
    })

    it('tells what versions did, summed, until core has confirmed it', async () => {
      const ledger = await told()
      const slotMs = Math.floor(Date.now() / limits.rolloutBlockMs) * limits.rolloutBlockMs
      const arrived = trialTally({ slotMs, arrived: 1 })
      const judged = trialTally({ slotMs, judged: 1, hardErrors: 1, ttft: { 9: 1 } })
      await ledger.ask({ ...ask(), report: { settled: [], charges: [], trials: [arrived] } })
      await ledger.report(flush({ trials: [judged, trialTally({ slotMs, hardErrors: 1 })] }))
      const first = await exchange(ledger)
      expect(first.blocks.flatMap(({ trials }) => trials ?? [])).toEqual([{ ...judged, arrived: 1 }])
      expect((await exchange(ledger)).blocks).toEqual(first.blocks)
      const seq = first.blocks.at(-1)?.seq ?? 0
      expect((await exchange(ledger, { confirmed: { life: first.life, seq } })).blocks).toEqual([])
    })

    it('gives no place on a version that its alias no longer serves, neither to who asks nor to who waits', async () => {
      const canary = 'atlas-3' as VersionId
      const rolling = alias({ canary, weightBp: 500 })
      const endpoints = [endpoint('a', 'x', { slots: 1 }), endpoint('b', 'x', { slots: 1, version: canary })]
      const ledger = await told(snapshotOf(endpoints, { generation: 5, aliases: [rolling] }))
      const assigned = (so: Partial<Ask> = {}) => ask({ version: canary, alias: 'development/atlas', ...so })
      expect((await ledger.ask(assigned())).lease).toMatchObject({ endpoint: 'b' })
      const queued = assigned()
      expect((await ledger.ask(queued)).queued).toBeTruthy()
      const waiting = ledger.wait(cell, queued.leaseId)
      await tell(ledger, snapshotOf(endpoints, { generation: 6, aliases: [{ ...rolling, weightBp: 0 }] }))
      expect(await waiting).toMatchObject({ lease: null, denied: 'withdrawn', generation: 6, snapshot: { generation: 6 } })
      expect(await ledger.ask(assigned())).toMatchObject({ lease: null, denied: 'withdrawn', snapshot: { generation: 6 } })
      expect((await ledger.ask(assigned({ version }))).lease).toMatchObject({ endpoint: 'a' })
    })

    it('gives a copy a place only where there is plenty, and never lets it wait', async () => {
      const { ledger } = await full()
      expect(await ledger.ask(ask({ shadow: true }))).toMatchObject({ lease: null, denied: 'no_room' })
      expect((await exchange(ledger)).queued).toBe(0)
      expect((await (await told()).ask(ask({ shadow: true }))).lease).not.toBeNull()
    })

    it('five hard failures in a row take an endpoint out at once, and the others go on', async () => {
      const ledger = await told()
      for (let i = 0; i < 5; i++) {
        const failing = ask({ avoid: ['b' as EndpointId] })
        await ledger.ask(failing)
        await settle(ledger, { leaseId: failing.leaseId, outcome: 'hard_failure', ttfbMs: null })
      }
      const { endpoints } = await exchange(ledger)
      expect(endpoints['a' as EndpointId]).toMatchObject({ breaker: 'open', cap: 0, reason: expect.stringContaining('5') as string })
      expect(await ledger.ask(ask())).toMatchObject({ lease: { endpoint: 'b' } })
    })

    it('sends a request on where it would wait, once, and never one that was sent on already', async () => {
      const { ledger } = await full()
      const load = { slots: 4, waitMs: 0, blindWaitMs: 0, ttftMs: null }
      const loads: ModelLoads = {
        model,
        seq: 1,
        atMs: Date.now(),
        cells: [
          { ...load, cell, free: 0 },
          { ...load, cell: 'atlas@y' as CellId, free: 4 },
        ],
        rows: {},
        weights: {},
      }
      await exchange(ledger, { loads })
      const origin = 'enam' as OriginName
      expect(await ledger.ask(ask({ origin }))).toMatchObject({ lease: null, spill: { cell: 'atlas@y' } })
      expect(await ledger.ask(ask({ origin, spilledFrom: 'atlas@y' as CellId }))).toMatchObject({ queued: {} })
      expect(await ledger.ask(ask({ origin, residency: 'eu' }))).toMatchObject({ queued: {} })
    })
  })
}

const goodOf = (block: Block): number => Object.values(block.endpoints).reduce((sum, each) => sum + each.good, 0)
