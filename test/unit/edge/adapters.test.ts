// What an isolate remembers, and how it gets on without the things it asks.

import { describe, expect, it } from 'vitest'
import { credentials, type CredentialMemory } from '../../../edge/adapters/credentials.ts'
import { requestBody } from '../../../edge/adapters/request-body.ts'
import { snapshots, type SnapshotMemory } from '../../../edge/adapters/snapshots.ts'
import { limits } from '../../../shared/limits.ts'
import { systemTimer } from '../../../shared/system.ts'
import type { OriginName } from '../../../shared/ids.ts'
import type { Credential } from '../../../shared/wire/credential.ts'
import { credential, key } from '../../support/credential.ts'
import { fakeLedger } from '../../support/fake-ledger.ts'
import { snapshotOf } from '../../support/snapshot.ts'
import { streamOf } from '../../support/stream.ts'

const never = () => new Promise<never>(() => undefined)
/** Time as a test wants it; waiting costs none. */
const quick = {
  sleep: async (_: number, signal?: AbortSignal) =>
    void (await new Promise((resolve) => (signal?.aborted ? resolve(null) : setTimeout(resolve, 1)))),
}

describe('key records', async () => {
  const record = await credential()
  const known = snapshotOf([], { generation: 5 })

  function keys(core: (asked: number) => Promise<Credential | null>, kv: Credential | null = null) {
    const memory: CredentialMemory = new Map()
    const at = { nowMs: 1_000_000, asked: 0 }
    const behind: Promise<unknown>[] = []
    const port = credentials(memory, {
      core: { credential: () => core(++at.asked) },
      kv: { get: () => Promise.resolve(kv) },
      clock: { nowMs: () => at.nowMs },
      timer: quick,
      afterResponse: (work) => void behind.push(work),
    })
    return { at, find: (snapshot = known) => port.find(key.id, snapshot), settle: () => Promise.all(behind) }
  }

  it('are asked once, and again behind a request when they have grown old', async () => {
    const { at, find, settle } = keys(() => Promise.resolve(record))
    expect(await find()).toEqual({ found: record })
    await find()
    expect(at.asked).toBe(1)
    at.nowMs += limits.credentialFreshMs + 1
    await find()
    await find()
    await settle()
    expect(at.asked).toBe(2)
  })

  it('of a core that is older have the defaults of what it does not tell; of one that is newer they are no answer', async () => {
    const { scopes: _scopes, residency: _residency, ...older } = record
    expect(await keys(() => Promise.resolve(older as Credential)).find()).toEqual({ found: { ...older, scopes: [], residency: null } })
    const newer = { ...record, format: 99 } as unknown as Credential
    expect(await keys(() => Promise.resolve(newer)).find()).toBe('unreachable')
    expect(await keys(() => Promise.resolve(newer), record).find()).toEqual({ found: record })
  })

  it('hold while core hangs: nobody waits for it', async () => {
    const { at, find } = keys((asked) => (asked === 1 ? Promise.resolve(record) : never()))
    await find()
    at.nowMs += 3_600_000
    expect(await find()).toEqual({ found: record })
  })

  it('are read again at once when the snapshot names the key or its tenant', async () => {
    const revoked = { ...record, disabled: true }
    for (const id of [record.id, record.tenant]) {
      const { find } = keys((asked) => Promise.resolve(asked === 1 ? record : revoked))
      await find()
      expect(await find({ ...known, changed: [{ id, generation: 6 }] })).toEqual({ found: revoked })
    }
  })

  it('that changed are not guessed while core is away: an old copy must not let a revoked key in', async () => {
    const { find } = keys((asked) => (asked === 1 ? Promise.resolve(record) : Promise.reject(new Error('away'))), record)
    await find()
    expect(await find({ ...known, changed: [{ id: record.id, generation: 6 }] })).toBe('unreachable')
  })

  it('that changed while core is away stay so when the snapshot no longer names them', async () => {
    const revoked = { ...record, disabled: true }
    const { find } = keys((asked) => (asked === 1 ? Promise.resolve(record) : Promise.reject(new Error('away'))), revoked)
    await find()
    expect(await find({ ...known, changed: [{ id: record.id, generation: 6 }] })).toBe('unreachable')
    expect(await find({ ...known, generation: 200 })).toEqual({ found: revoked })
  })

  it('come from the slow copy when core is away and nothing speaks against it', async () => {
    const { find } = keys(() => Promise.reject(new Error('away')), record)
    expect(await find()).toEqual({ found: record })
    expect(await keys(() => Promise.reject(new Error('away'))).find()).toBe('unreachable')
  })

  it('of the slow copy are waited for once: while core is away it is asked behind the requests, and its word counts when it is back', async () => {
    const revoked = { ...record, disabled: true }
    const { at, find, settle } = keys((asked) => (asked < 3 ? never() : Promise.resolve(revoked)), record)
    await find()
    for (let i = 0; i < 3; i++) expect(await find()).toEqual({ found: record })
    expect(at.asked).toBe(2)
    at.nowMs += limits.credentialFreshMs + 1
    await find()
    await settle()
    expect(await find()).toEqual({ found: revoked })
  })

  it('of the slow copy give way to any change that the snapshot tells of', async () => {
    const { find } = keys(() => Promise.reject(new Error('away')), record)
    await find()
    expect(await find({ ...known, changed: [{ id: record.id, generation: 1 }] })).toBe('unreachable')
  })

  it('that do not exist are remembered for a moment only', async () => {
    const { at, find } = keys(() => Promise.resolve(null))
    expect(await find()).toBe('unknown')
    await find()
    expect(at.asked).toBe(1)
    at.nowMs += limits.credentialUnknownMs + 1
    await find()
    expect(at.asked).toBe(2)
  })
})

describe('the snapshot', () => {
  const enam = 'enam' as OriginName
  const port = (memory: SnapshotMemory, home: ReturnType<typeof fakeLedger>, kv: unknown = null) =>
    snapshots(memory, {
      home: () => home,
      kv: { get: () => Promise.resolve(kv) },
      signer: () => Promise.resolve(null),
      clock: { nowMs: () => Date.now() },
      timer: systemTimer,
      log: () => undefined,
    })

  it('comes from memory, else from home, else from KV, else from nowhere', async () => {
    const home = fakeLedger()
    expect(await port({ snapshot: null, confirmedAtMs: 0 }, home).current(enam)).toBeNull()
    expect((await port({ snapshot: null, confirmedAtMs: 0 }, home, snapshotOf([], { generation: 2 })).current(enam))?.generation).toBe(2)
    await home.exchange({ snapshot: snapshotOf([], { generation: 3 }), cell: null })
    expect((await port({ snapshot: null, confirmedAtMs: 0 }, home, snapshotOf([], { generation: 2 })).current(enam))?.generation).toBe(3)
    const confirmed = { snapshot: snapshotOf([], { generation: 1 }), confirmedAtMs: Date.now() }
    expect((await port(confirmed, home).current(enam))?.generation).toBe(1)
  })

  it('that nobody has confirmed for a second is checked with the home, once, and served all the same when the home is silent', async () => {
    const home = fakeLedger()
    await home.exchange({ snapshot: snapshotOf([], { generation: 3 }), cell: null })
    const quiet = { snapshot: snapshotOf([], { generation: 1 }), confirmedAtMs: Date.now() - limits.snapshotTrustMs }
    expect((await port(quiet, home).current(enam))?.generation).toBe(3)

    let asked = 0
    const silent = { ...home, snapshotSince: () => new Promise<never>(() => asked++) }
    const memory = { snapshot: snapshotOf([], { generation: 1 }), confirmedAtMs: 0 }
    for (let i = 0; i < 3; i++) expect((await port(memory, silent).current(enam))?.generation).toBe(1)
    expect(asked).toBe(1)
  })

  it('from KV does not replace a newer one that another request has found meanwhile', async () => {
    const memory: SnapshotMemory = { snapshot: null, confirmedAtMs: 0 }
    const at = snapshots(memory, {
      home: () => fakeLedger(),
      kv: {
        get: () => {
          memory.snapshot = snapshotOf([], { generation: 3 })
          return Promise.resolve(snapshotOf([], { generation: 2 }))
        },
      },
      signer: () => Promise.resolve(null),
      clock: { nowMs: () => Date.now() },
      timer: systemTimer,
      log: () => undefined,
    })
    expect((await at.current(enam))?.generation).toBe(3)
    expect(memory.snapshot?.generation).toBe(3)
  })

  it('never goes back', () => {
    const memory: SnapshotMemory = { snapshot: snapshotOf([], { generation: 5 }), confirmedAtMs: 0 }
    const at = port(memory, fakeLedger())
    at.adopt({ generation: 4, snapshot: snapshotOf([], { generation: 4 }) })
    expect([memory.snapshot?.generation, memory.confirmedAtMs]).toEqual([5, 0])
    at.adopt({ generation: 6, snapshot: snapshotOf([], { generation: 6 }) })
    expect(memory.snapshot?.generation).toBe(6)
    expect(memory.confirmedAtMs).toBeGreaterThan(0)
  })
})

describe('request bodies', () => {
  const at = (body: ReadableStream<Uint8Array> | null, memory = { heldBytes: 0 }) => {
    const request = { body, headers: new Headers() } as unknown as Request
    return requestBody(request, memory, { nowMs: () => Date.now() }, systemTimer)
  }
  const far = () => Date.now() + 10_000

  it('are read once and kept until they are forgotten', async () => {
    const body = at(streamOf(['ab', 'c']))
    const first = await body.read(far())
    expect(first.ok && new TextDecoder().decode(first.value)).toBe('abc')
    expect(await body.read(far())).toBe(first)
  })

  it('over the limit are refused without being held, and what is left can be skipped', async () => {
    const memory = { heldBytes: 0 }
    const body = at(streamOf(Array.from({ length: 12 }, () => new Uint8Array(1024 * 1024))), memory)
    expect(await body.read(far())).toEqual({ ok: false, error: { reason: 'body_too_large', bytesMax: limits.bodyBytesMax } })
    await body.discard()
    expect(memory.heldBytes).toBe(0)
  })

  it('that do not arrive in time are refused, and give back what they held', async () => {
    const memory = { heldBytes: 0 }
    const body = at(streamOf(['{'], 'hang'), memory)
    expect(await body.read(Date.now() + 20)).toMatchObject({ ok: false, error: { reason: 'deadline_exceeded' } })
    expect(memory.heldBytes).toBe(0)
  })

  it('are refused while others fill the isolate', async () => {
    const memory = { heldBytes: limits.uploadsHeldBytesMax }
    expect(await at(streamOf(['abc']), memory).read(far())).toEqual({ ok: false, error: { reason: 'uploads_full' } })
    expect(memory.heldBytes).toBe(limits.uploadsHeldBytesMax)
  })

  it('that break off are told apart from whole ones', async () => {
    expect(await at(streamOf(['{'], new Error('reset'))).read(far())).toEqual({ ok: false, error: { reason: 'body_incomplete' } })
  })
})
