import { runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import type { CellId, EndpointId, LeaseId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { diff } from '../../../shared/wire/delta.ts'
import type { Ask, Flush } from '../../../shared/wire/ledger.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import { ledgerContract } from '../../contract/edge/ledger.contract.ts'
import { endpoint, snapshotOf, version } from '../../support/snapshot.ts'
import { ledger, sign, testEnv } from './world.ts'

let fresh = 0
ledgerContract('object', () => ledger(`contract-${fresh++}`), sign)

const tell = async (cell: CellId, snapshot: Snapshot) => ledger(cell).exchange({ snapshot, signature: await sign(snapshot), cell })

const asking = (cell: CellId, name: string, so: Partial<Ask> = {}): Ask => ({
  cell,
  leaseId: name as LeaseId,
  version,
  deadlineMs: Date.now() + 60_000,
  avoid: [],
  generation: 99,
  ...so,
})

const flush = (cell: CellId, report: Partial<Flush['report']>): Flush => ({
  cell,
  generation: 99,
  loadsSeq: 0,
  report: { settled: [], charges: [], ...report },
})

/** Ends the object's life, as a move to another machine does. */
async function move(cell: CellId): Promise<void> {
  const stub = testEnv.LEDGER.get(testEnv.LEDGER.idFromName(cell))
  await runInDurableObject(stub, (_, state) => state.abort('moved')).catch(() => undefined)
}

describe('a ledger that was moved or restarted', () => {
  it('still knows its snapshot, and the leases that were kept', async () => {
    const cell = 'atlas@moved' as CellId
    await tell(cell, snapshotOf([endpoint('a', 'moved', { slots: 2 })], { generation: 7 }))
    await ledger(cell).ask(asking(cell, 'l1'))
    // What is kept is kept at most once a second; core's next call keeps the rest.
    await new Promise((resolve) => setTimeout(resolve, limits.turnMs + 100))
    const before = await ledger(cell).exchange({ snapshot: null, cell })
    expect(before.endpoints['a' as EndpointId]?.inFlight).toBe(1)
    await move(cell)
    expect(await ledger(cell).snapshotSince(0)).toMatchObject({ generation: 7 })
    const after = await ledger(cell).exchange({ snapshot: null, cell })
    expect(after.life).not.toBe(before.life)
    expect(after.endpoints['a' as EndpointId]?.inFlight).toBe(1)
    await ledger(cell).report(flush(cell, { settled: [{ leaseId: 'l1' as LeaseId, outcome: 'good', ttfbMs: 1 }] }))
    expect((await ledger(cell).exchange({ snapshot: null, cell })).endpoints['a' as EndpointId]?.inFlight).toBe(0)
  })

  it('starts without what was kept when it cannot read it', async () => {
    const cell = 'atlas@torn' as CellId
    await tell(cell, snapshotOf([endpoint('a', 'torn')]))
    const stub = testEnv.LEDGER.get(testEnv.LEDGER.idFromName(cell))
    await runInDurableObject(stub, async (_, state) => {
      await state.storage.put('kept', { cell, chunks: 'many', breakers: 7 })
      await state.storage.sync()
    })
    await move(cell)
    expect(await ledger(cell).ask(asking(cell, 'l'))).toMatchObject({ lease: { endpoint: 'a' } })
  })

  it('knows a snapshot again that is larger than one stored value may be', async () => {
    const cell = 'atlas@large' as CellId
    const endpoints = Array.from({ length: 1_200 }, (_, n) => endpoint(`e${1_000 + n}`, 'large', { credential: 'x'.repeat(2_000) }))
    const snapshot = snapshotOf(endpoints, { generation: 3 })
    expect(JSON.stringify(snapshot).length).toBeGreaterThan(2 * 1024 * 1024)
    await tell(cell, snapshot)
    await move(cell)
    expect((await ledger(cell).snapshotSince(2)).snapshot?.endpoints).toHaveLength(1_200)
  })

  it('a queue that was lost with it is a failed call for those who waited, and asking again brings a place', async () => {
    const cell = 'atlas@lost' as CellId
    await tell(cell, snapshotOf([endpoint('a', 'lost', { slots: 1 })]))
    await ledger(cell).ask(asking(cell, 'first', { deadlineMs: Date.now() + 60_000 }))
    expect((await ledger(cell).ask(asking(cell, 'second'))).queued).not.toBeNull()
    const waiting = ledger(cell)
      .wait(cell, 'second' as LeaseId)
      .then(
        () => 'answered',
        () => 'failed',
      )
    await ledger(cell).exchange({ snapshot: null, cell })
    await move(cell)
    expect(await waiting).toBe('failed')
  })
})

it('many at once never get more than the slots there are', async () => {
  const cell = 'atlas@busy' as CellId
  await tell(cell, snapshotOf([endpoint('a', 'busy', { slots: 3 }), endpoint('b', 'busy', { slots: 4 })]))
  const asks = Array.from({ length: 40 }, (_, i) => ledger(cell).ask(asking(cell, `l${i}`)))
  const granted = (await Promise.all(asks)).map((answer) => answer.lease?.endpoint ?? 'queued')
  const times = (name: string) => granted.filter((each) => each === name).length
  expect({ a: times('a'), b: times('b'), queued: times('queued') }).toEqual({ a: 3, b: 4, queued: 33 })
})

describe('whom a ledger believes', () => {
  const cell = 'atlas@signed' as CellId
  const one = snapshotOf([endpoint('a', 'signed')], { generation: 1 })
  const two = snapshotOf([endpoint('a', 'signed', { state: 'draining' })], { generation: 2 })

  it('takes no snapshot that is not signed, or signed for another text', async () => {
    expect((await ledger(cell).exchange({ snapshot: one, cell })).generation).toBe(0)
    expect((await ledger(cell).exchange({ snapshot: one, signature: await sign(two), cell })).generation).toBe(0)
    expect((await tell(cell, one)).generation).toBe(1)
  })

  it('takes a difference whose result is signed, and passes it on instead of the whole', async () => {
    const delta = diff(one, two)
    const forged = await ledger(cell).exchange({ snapshot: null, delta, signature: await sign(one), cell })
    expect(forged.generation).toBe(1)
    expect((await ledger(cell).exchange({ snapshot: null, delta, signature: await sign(two), cell })).generation).toBe(2)
    expect(await ledger(cell).ask(asking(cell, 'x', { generation: 1 }))).toMatchObject({ generation: 2, snapshot: null, deltas: [delta] })
    expect(await ledger(cell).ask(asking(cell, 'x', { generation: 0 }))).toMatchObject({ generation: 2, snapshot: two })
    expect(await ledger(cell).snapshotSince(0)).toMatchObject({ snapshot: two })
  })
})
