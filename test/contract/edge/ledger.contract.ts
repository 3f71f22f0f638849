// What every ledger must do, the object in workerd and the fake in Node alike.

import { describe, expect, it } from 'vitest'
import type { CellId, EndpointId, LeaseId, VersionId } from '../../../shared/ids.ts'
import type { Ask, LedgerCalls } from '../../../shared/wire/ledger.ts'
import { endpoint, snapshotOf, version } from '../../support/snapshot.ts'

export function ledgerContract(name: string, fresh: () => LedgerCalls): void {
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
  const told = async (snapshot = two) => {
    const ledger = fresh()
    await ledger.exchange({ snapshot, cell })
    return ledger
  }

  describe(`${name}: the ledger contract`, () => {
    it('denies everything before it knows a snapshot', async () => {
      expect(await fresh().ask(ask())).toEqual({ lease: null, denied: 'no_snapshot', generation: 0, snapshot: null })
      expect(await fresh().snapshotSince(0)).toEqual({ generation: 0, snapshot: null })
    })

    it('grants as many leases as there are slots in the cell, then says there is no room, until one comes back', async () => {
      const ledger = await told()
      const asked = [ask(), ask(), ask()]
      const granted = []
      for (const each of asked) granted.push((await ledger.ask(each)).lease?.endpoint)
      expect(granted.map(String).toSorted((a, b) => a.localeCompare(b))).toEqual(['a', 'a', 'b'])
      expect(await ledger.ask(ask())).toMatchObject({ lease: null, denied: 'no_room' })
      expect((await ledger.exchange({ snapshot: null, cell })).inFlight).toEqual({ a: 2, b: 1 })

      await ledger.settle([{ leaseId: asked[0]?.leaseId ?? ('' as LeaseId), outcome: 'good', ttfbMs: 1 }])
      expect((await ledger.ask(ask())).lease).not.toBeNull()
    })

    it('an id takes one place, however often it asks, and comes back once', async () => {
      const ledger = await told()
      const once = ask()
      const first = await ledger.ask(once)
      expect((await ledger.ask(once)).lease).toEqual(first.lease)
      const inFlight = async () => Object.values((await ledger.exchange({ snapshot: null, cell })).inFlight)
      expect(await inFlight()).toEqual([1])
      await ledger.settle([{ leaseId: once.leaseId, outcome: 'good', ttfbMs: null }])
      await ledger.settle([{ leaseId: once.leaseId, outcome: 'good', ttfbMs: null }])
      expect(await inFlight()).toEqual([])
    })

    it('brings the snapshot to whoever is behind, and only to him', async () => {
      const ledger = await told()
      expect(await ledger.ask(ask({ generation: 4 }))).toMatchObject({ generation: 5, snapshot: { generation: 5 } })
      expect(await ledger.ask(ask({ generation: 5 }))).toMatchObject({ generation: 5, snapshot: null })
      expect(await ledger.ask(ask({ generation: 6 }))).toMatchObject({ generation: 5, snapshot: null })
      expect(await ledger.snapshotSince(4)).toMatchObject({ generation: 5, snapshot: { generation: 5 } })
      expect(await ledger.snapshotSince(5)).toEqual({ generation: 5, snapshot: null })
    })

    it('never goes back to an older snapshot', async () => {
      const ledger = await told()
      const older = snapshotOf([], { generation: 4 })
      expect((await ledger.exchange({ snapshot: older, cell })).generation).toBe(5)
      expect((await ledger.ask(ask())).lease).not.toBeNull()
    })

    it('obeys a newer one at once: what is withdrawn gets no lease any more', async () => {
      const ledger = await told()
      const withdrawn = snapshotOf([endpoint('a', 'x', { state: 'draining' }), endpoint('b', 'x', { version: 'next' as VersionId })], {
        generation: 6,
      })
      await ledger.exchange({ snapshot: withdrawn, cell })
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
      expect(await ledger.ask(ask())).toMatchObject({ denied: 'no_room' })
      // The object sweeps at most once a second.
      await new Promise((resolve) => setTimeout(resolve, 1_400))
      expect((await ledger.ask(ask())).lease).not.toBeNull()
    })

    it('tells outcomes once', async () => {
      const ledger = await told()
      const asked = [ask({ avoid: ['b' as EndpointId] }), ask({ avoid: ['b' as EndpointId] })]
      for (const each of asked) await ledger.ask(each)
      await ledger.settle(asked.map(({ leaseId }, i) => ({ leaseId, outcome: i === 0 ? 'good' : 'hard_failure', ttfbMs: null })))
      await ledger.settle([{ leaseId: 'never-granted' as LeaseId, outcome: 'good', ttfbMs: null }])
      const { outcomes } = await ledger.exchange({ snapshot: null, cell })
      expect(outcomes).toEqual({ a: { good: 1, soft_failure: 0, hard_failure: 1, cancelled: 0 } })
      expect((await ledger.exchange({ snapshot: null, cell })).outcomes).toEqual({})
    })
  })
}
