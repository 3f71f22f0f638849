// KV's copy of the snapshot, as an isolate takes it that has nothing else.

import { describe, expect, it } from 'vitest'
import { snapshots, type SnapshotMemory } from '../../../edge/adapters/snapshots.ts'
import type { OriginName } from '../../../shared/ids.ts'
import { sealSecretCharsMin } from '../../../shared/sealed.ts'
import { signerOf, writeSigned } from '../../../shared/signature.ts'
import { systemTimer } from '../../../shared/system.ts'
import { snapshotFormat, type Snapshot } from '../../../shared/wire/snapshot.ts'

const secret = 'a'.repeat(sealSecretCharsMin)
const snapshot: Snapshot = {
  format: snapshotFormat,
  generation: 5,
  publishedAtMs: 0,
  regions: [],
  endpoints: [],
  aliases: [],
  models: [],
  fractions: {},
  changed: [],
}
const signed = async (by: string | undefined) => writeSigned(JSON.stringify(snapshot), await signerOf(by))

async function read(kv: unknown, under: string | undefined, memory: SnapshotMemory = { snapshot: null, confirmedAtMs: 0 }) {
  const log: unknown[] = []
  const port = snapshots(memory, {
    home: () => ({ snapshotSince: () => Promise.reject(new Error('away')) }),
    kv: { get: () => Promise.resolve(kv) },
    signer: () => signerOf(under),
    clock: { nowMs: () => 0 },
    timer: systemTimer,
    log: (line) => void log.push(line),
  })
  return { snapshot: await port.current('enam' as OriginName), log }
}

describe('KV’s copy', () => {
  it('is used when it is signed under the deployment’s secret', async () => {
    expect(await read(await signed(secret), secret)).toEqual({ snapshot, log: [] })
  })

  it('is as if absent when it is not, which the log hears once', async () => {
    const memory: SnapshotMemory = { snapshot: null, confirmedAtMs: 0 }
    for (const bad of [await signed('b'.repeat(40)), await signed(undefined), snapshot]) {
      expect(await read(bad, secret)).toMatchObject({ snapshot: null, log: [{ message: expect.stringContaining('not signed') as string }] })
    }
    expect((await read(snapshot, secret, memory)).log).toHaveLength(1)
    expect(await read(snapshot, secret, memory)).toEqual({ snapshot: null, log: [] })
    expect(memory.snapshot).toBeNull()
  })

  it('that is not there is nothing to log', async () => {
    expect(await read(null, secret)).toEqual({ snapshot: null, log: [] })
  })

  it('is used unsigned, in the old form too, where there is no secret', async () => {
    expect((await read(await signed(undefined), undefined)).snapshot).toEqual(snapshot)
    expect((await read(snapshot, undefined)).snapshot).toEqual(snapshot)
  })
})
