import { runInDurableObject } from 'cloudflare:test'
import { expect, it } from 'vitest'
import type { CellId, LeaseId } from '../../../shared/ids.ts'
import { ledgerContract } from '../../contract/edge/ledger.contract.ts'
import { endpoint, snapshotOf, version } from '../../support/snapshot.ts'
import { ledger, testEnv } from './world.ts'

let fresh = 0
ledgerContract('object', () => ledger(`contract-${fresh++}`))

it('a ledger that was moved or restarted still knows its snapshot', async () => {
  const cell = 'atlas@moved' as CellId
  const snapshot = snapshotOf([endpoint('a', 'moved')], { generation: 7 })
  await ledger(cell).exchange({ snapshot, cell })
  const id = testEnv.LEDGER.idFromName(cell)
  const aborted = runInDurableObject(testEnv.LEDGER.get(id), (_, state) => {
    state.abort('moved')
  })
  await aborted.catch(() => undefined)
  expect(await ledger(cell).snapshotSince(0)).toMatchObject({ generation: 7 })
  const asked = { cell, leaseId: 'l' as LeaseId, version, deadlineMs: Date.now() + 1_000, avoid: [], generation: 7 }
  expect(await ledger(cell).ask(asked)).toMatchObject({ lease: { endpoint: 'a' } })
})

it('a ledger that cannot read what was kept starts without it', async () => {
  const cell = 'atlas@torn' as CellId
  await ledger(cell).exchange({ snapshot: snapshotOf([endpoint('a', 'torn')]), cell })
  const aborted = runInDurableObject(testEnv.LEDGER.get(testEnv.LEDGER.idFromName(cell)), async (_, state) => {
    await state.storage.put('kept', { cell, chunks: 'many', breakers: 7 })
    await state.storage.sync()
    state.abort('torn')
  })
  await aborted.catch(() => undefined)
  const asked = { cell, leaseId: 'l' as LeaseId, version, deadlineMs: Date.now() + 9_000, avoid: [], generation: 1 }
  expect(await ledger(cell).ask(asked)).toMatchObject({ lease: { endpoint: 'a' } })
})

it('many at once never get more than the slots there are', async () => {
  const cell = 'atlas@busy' as CellId
  await ledger(cell).exchange({ snapshot: snapshotOf([endpoint('a', 'busy', { slots: 3 }), endpoint('b', 'busy', { slots: 4 })]), cell })
  const asks = Array.from({ length: 40 }, (_, i) =>
    ledger(cell).ask({ cell, leaseId: `l${i}` as LeaseId, version, deadlineMs: Date.now() + 60_000, avoid: [], generation: 1 }),
  )
  const granted = (await Promise.all(asks)).map((answer) => answer.lease?.endpoint ?? 'denied')
  const times = (name: string) => granted.filter((each) => each === name).length
  expect({ a: times('a'), b: times('b'), denied: times('denied') }).toEqual({ a: 3, b: 4, denied: 33 })
})
