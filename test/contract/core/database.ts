// The contract of core's ports to the database: rows with their audit, the catalogue, credentials, events.
// Whoever stands behind the ports must pass it: test/worker/core/database.test.ts runs it against D1, and test/unit/core/rollout-stores.test.ts
// the part on rows and catalogue against the fake.

import { describe, expect, it } from 'vitest'
import type { Draft, EndpointEvent, Fields, Kind, Row, Stamp } from '../../../core/facts.ts'
import type { CatalogueReader, Credentials, EventReader, EventStore, RowStore } from '../../../core/ports.ts'
import type { EndpointId, KeyId, TenantId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'

export type Database = {
  readonly rows: RowStore
  readonly catalogue: CatalogueReader
  readonly credentials: Credentials
  readonly events: EventStore & EventReader
}

const stamp: Stamp = { atMs: 1_000, actor: 'operator', requestId: 'r1', reason: null }
const noObjectives = { ttftP95MsMax: null, tpotP95MsMax: null, accuracyTargetBp: 9_900, operatingPerS: null }
const plainModel = {
  description: '',
  firstTokenMsMax: null,
  holdMsMax: null,
  strategy: 'least-latency',
  affinity: 'none',
  hedging: false,
  ...noObjectives,
}
const drafts = {
  region: { name: 'fra', latitude: 50.1, longitude: 8.7, jurisdiction: 'eu', locationHint: 'weur' },
  model: {
    name: 'owner/Atlas',
    description: 'a model',
    firstTokenMsMax: 60_000,
    holdMsMax: null,
    strategy: 'least-connections',
    affinity: 'prefix',
    hedging: true,
    ttftP95MsMax: 800,
    tpotP95MsMax: 60,
    accuracyTargetBp: 9_990,
    operatingPerS: 2.5,
  },
  version: {
    id: 'atlas-1',
    model: 'owner/Atlas',
    digest: `sha256:${'0'.repeat(64)}`,
    engine: 'vllm',
    flags: { tp: 2, eager: true },
    quantisation: 'Q4_0',
    bits: 4.5,
    parent: null,
    calibration: 'wiki-512',
    licence: 'Apache-2.0',
    artifact: 'atlas-1.q4_0',
  },
  endpoint: {
    id: 'e1',
    region: 'fra',
    version: 'atlas-1',
    kind: 'openai',
    url: 'http://e1',
    servedName: 'atlas',
    slots: 4,
    weight: 1.5,
    state: 'enabled',
    operations: ['chat'],
    options: { targetVariant: 'blue' },
    maintenance: { fromMs: 5_000, untilMs: 6_000, reason: 'new disks' },
    credential: 'v1.eeee.eeee',
    hasCredential: true,
  },
  alias: {
    environment: 'production',
    model: 'owner/Atlas',
    stable: 'atlas-1',
    canary: null,
    weightBp: 0,
    salt: 's',
    shadowBp: 0,
    rollout: null,
    rolloutGeneration: null,
  },
  tenant: { id: 'acme', name: 'Acme', disabled: false, residency: 'eu' },
  key: {
    id: 'k'.repeat(16),
    tenant: 'acme',
    environment: 'production',
    name: 'CI',
    models: ['a'],
    expiresAtMs: 5,
    disabled: false,
    scopes: ['explain'],
    secretSha256: 'ee'.repeat(32),
  },
  approval: {
    environment: 'production',
    version: 'atlas-1',
    approvedBy: 'ada',
    evidence: { note: 'as good as its parent', reports: ['r'], verdicts: [] },
    expiresAtMs: 9_000,
  },
  target: {
    id: 't1',
    model: 'owner/Atlas',
    region: 'fra',
    deployer: 'model_repository',
    kind: 'openai',
    url: 'http://t1',
    slots: 2,
    operations: ['chat'],
    options: { targetVariant: 'green' },
    deploy: { repositoryUrl: 'http://r1' },
    credential: 'v1.eeee.eeee',
    hasCredential: true,
  },
  webhook: {
    id: 'w1',
    url: 'https://hooks.example/1',
    format: 'standard',
    events: ['rollout.transition'],
    disabled: false,
    secret: 'v1.eeee.eeee',
  },
} as unknown as { readonly [K in Kind]: Draft<K> }
const keys: { readonly [K in Kind]: readonly string[] } = {
  region: ['fra'],
  model: ['owner/Atlas'],
  version: ['atlas-1'],
  endpoint: ['e1'],
  alias: ['production', 'owner/Atlas'],
  tenant: ['acme'],
  key: ['k'.repeat(16)],
  approval: ['production', 'atlas-1'],
  target: ['t1'],
  webhook: ['w1'],
}
const kindsInOrder = Object.keys(drafts) as Kind[]

/** One row of each kind, in an order in which each finds what it refers to. */
export async function createAll(rows: RowStore): Promise<void> {
  for (const kind of kindsInOrder) {
    const created = await rows.create(kind, drafts[kind], stamp)
    if (!created.ok) throw new Error(`${kind}: ${JSON.stringify(created.error)}`)
  }
}

type Scene = {
  readonly store: () => RowStore
  readonly row: <K extends Kind>(kind: K) => Promise<Row<K>>
}

function sceneOf(open: () => Pick<Database, 'rows'>): Scene {
  const store = () => open().rows
  async function row<K extends Kind>(kind: K): Promise<Row<K>> {
    const found = await store().get(kind, keys[kind])
    if (!found) throw new Error(`no ${kind}`)
    return found
  }
  return { store, row }
}

/** The suite, over a database that is empty at the beginning of each test. */
export function databaseContract(open: () => Database): void {
  rowsContract(open)
  credentialsContract(open)
  eventsContract(open)
}

/** Of rows, and of the catalogue as it is read from them. */
export function rowsContract(open: () => Pick<Database, 'rows' | 'catalogue'>): void {
  const { store, row } = sceneOf(open)
  const auditCount = async () => (await store().audit({ beforeSeq: null, limit: 200 })).length

  describe('rows', () => {
    it.each(kindsInOrder)('%s: what is created is read back and audited, without any trace of a secret', async (kind) => {
      await createAll(store())
      const {
        secretSha256: _hash,
        credential: _sealed,
        secret: _its,
        ...fields
      } = drafts[kind] as Draft<'key'> & Draft<'endpoint'> & Draft<'webhook'>
      const expected = { ...fields, generation: 1, createdAtMs: 1_000, updatedAtMs: 1_000 }
      expect(await row(kind)).toEqual(expected)
      expect(await store().list(kind, { after: null, limit: 5 })).toEqual([expected])
      const audit = (await store().audit({ beforeSeq: null, limit: 20 })).find((entry) => entry.resource === kind)
      expect(audit).toEqual({
        seq: kindsInOrder.indexOf(kind) + 1,
        ...stamp,
        action: 'create',
        resource: kind,
        resourceId: keys[kind].join('/'),
        before: null,
        after: expected,
      })
      expect(JSON.stringify(audit)).not.toContain('eeee')
    })

    it.each(kindsInOrder)('%s: a second of the same key is refused, and leaves no audit row', async (kind) => {
      await createAll(store())
      const before = await auditCount()
      expect(await store().create(kind, drafts[kind], stamp)).toEqual({
        ok: false,
        error: { reason: 'already_exists', what: kind, id: keys[kind].join('/') },
      })
      expect(await auditCount()).toBe(before)
    })

    it('lists by key, after a key, also one of two parts', async () => {
      await createAll(store())
      for (const environment of ['development', 'staging'] as const) {
        await store().create('alias', { ...drafts.alias, environment }, stamp)
      }
      await store().create('model', { ...plainModel, name: 'zeta' } as Draft<'model'>, stamp)
      await store().create('version', { ...drafts.version, id: 'z-1', model: 'zeta' } as Draft<'version'>, stamp)
      await store().create('alias', { ...drafts.alias, environment: 'development', model: 'zeta', stable: 'z-1' } as Draft<'alias'>, stamp)
      const seen = async (after: readonly string[] | null, limit: number) =>
        (await store().list('alias', { after, limit })).map((alias) => `${alias.environment} ${alias.model}`)
      const all = ['development owner/Atlas', 'development zeta', 'production owner/Atlas', 'staging owner/Atlas']
      expect(await seen(null, 10)).toEqual(all)
      expect(await seen(null, 2)).toEqual(all.slice(0, 2))
      expect(await seen(['development', 'owner/Atlas'], 10)).toEqual(all.slice(1))
      expect(await seen(['development', 'zeta'], 1)).toEqual(all.slice(2, 3))
      expect(await seen(['staging', 'owner/Atlas'], 10)).toEqual([])
    })

    it('updates exactly the row that was read', async () => {
      await createAll(store())
      const before = await row('endpoint')
      const by = { ...stamp, atMs: 2_000, actor: 'operator:ann', reason: 'a second GPU' }
      const updated = await store().update('endpoint', before, { slots: 9 }, by)
      const after = { ...before, slots: 9, generation: 2, updatedAtMs: 2_000 }
      expect(updated).toEqual({ ok: true, value: after })
      expect(await row('endpoint')).toEqual(after)
      expect((await store().audit({ beforeSeq: null, limit: 1 }))[0]).toMatchObject({
        action: 'update',
        actor: 'operator:ann',
        reason: 'a second GPU',
        before,
        after,
      })
      // The same row as it was: overtaken.
      expect(await store().update('endpoint', before, { slots: 8 }, stamp)).toEqual({
        ok: false,
        error: { reason: 'generation_mismatch', current: 2 },
      })
      expect(await store().remove('endpoint', before, stamp)).toEqual({ ok: false, error: { reason: 'generation_mismatch', current: 2 } })
      expect(await auditCount()).toBe(kindsInOrder.length + 1)
    })

    it('a credential is written and taken away without being seen; whether there is one is the database’s own word', async () => {
      await createAll(store())
      const first = await row('endpoint')
      const without = await store().update('endpoint', first, { credential: null, hasCredential: false }, stamp)
      expect(without).toMatchObject({ ok: true, value: { hasCredential: false, generation: 2 } })
      expect(await row('endpoint')).toEqual(without.ok && without.value)
      const again = await store().update('endpoint', await row('endpoint'), { credential: 'v1.eeee.ffff', hasCredential: true }, stamp)
      expect(await row('endpoint')).toEqual(again.ok && again.value)
      expect(await row('endpoint')).toMatchObject({ hasCredential: true, generation: 3 })
      expect((await open().catalogue.load(0)).endpoints[0]?.credential).toBe('v1.eeee.ffff')
      const seen = [await store().list('endpoint', { after: null, limit: 5 }), await store().audit({ beforeSeq: null, limit: 50 })]
      expect(JSON.stringify([without, again, ...seen])).not.toContain('eeee')
    })

    it('a row deleted and made again is another, though its generation is the same', async () => {
      await createAll(store())
      const old = await row('endpoint')
      await store().remove('endpoint', old, stamp)
      expect(await store().update('endpoint', old, { slots: 8 }, stamp)).toMatchObject({ error: { reason: 'not_found' } })
      await store().create('endpoint', drafts.endpoint, { ...stamp, atMs: 3_000 })
      expect(await store().update('endpoint', old, { slots: 8 }, stamp)).toMatchObject({
        error: { reason: 'generation_mismatch', current: 1 },
      })
      expect((await row('endpoint')).slots).toBe(4)
    })

    it('of twenty updates at once exactly one wins, with one audit row', async () => {
      await createAll(store())
      const before = await row('alias')
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => store().update('alias', before, { salt: `s${i}` }, stamp)))
      expect(answers.filter((answer) => answer.ok)).toHaveLength(1)
      expect(answers.filter((answer) => !answer.ok).every((answer) => !answer.ok && answer.error.reason === 'generation_mismatch')).toBe(
        true,
      )
      expect(await auditCount()).toBe(kindsInOrder.length + 1)
      expect((await row('alias')).generation).toBe(2)
    })

    it.each<readonly [Kind, Partial<Record<string, unknown>>, string, string]>([
      ['version', { id: 'n', model: 'none' }, 'model', 'the model "none" does not exist'],
      ['endpoint', { id: 'n', region: 'none' }, 'region', 'the region "none" does not exist'],
      ['endpoint', { id: 'n', version: 'none' }, 'version', 'the version "none" does not exist'],
      ['alias', { environment: 'staging', model: 'none' }, 'model', 'the model "none" does not exist'],
      ['alias', { environment: 'staging', stable: 'none' }, 'stable', 'the version "none" does not exist'],
      [
        'alias',
        { environment: 'staging', canary: 'other-1' },
        'canary',
        '"other-1" is a version of the model "other", not of "owner/Atlas"',
      ],
      ['key', { id: 'n'.repeat(16), tenant: 'none' }, 'tenant', 'the tenant "none" does not exist'],
      ['version', { id: 'n', parent: 'none' }, 'parent', 'the version "none" does not exist'],
      ['approval', { environment: 'staging', version: 'none' }, 'version', 'the version "none" does not exist'],
      ['target', { id: 'n', model: 'none' }, 'model', 'the model "none" does not exist'],
      ['target', { id: 'n', region: 'none' }, 'region', 'the region "none" does not exist'],
    ])('%s %j: a missing reference is named', async (kind, change, what, detail) => {
      await createAll(store())
      await store().create('model', { ...plainModel, name: 'other' } as Draft<'model'>, stamp)
      await store().create('version', { ...drafts.version, id: 'other-1', model: 'other' } as Draft<'version'>, stamp)
      const before = await auditCount()
      const draft = { ...drafts[kind], ...change } as Draft<Kind>
      expect(await store().create(kind, draft, stamp)).toEqual({ ok: false, error: { reason: 'missing_reference', what, detail } })
      expect(await auditCount()).toBe(before)
    })

    it('an update to a missing reference is refused too', async () => {
      await createAll(store())
      const refused = await store().update('alias', await row('alias'), { canary: 'none' } as Partial<Fields['alias']>, stamp)
      expect(refused).toMatchObject({ error: { reason: 'missing_reference', what: 'canary' } })
      expect(await row('alias')).toMatchObject({ canary: null, generation: 1 })
      expect(await auditCount()).toBe(kindsInOrder.length)
    })

    it.each<readonly [Kind, string]>([
      ['region', 'the endpoint "e1" refers to it'],
      ['model', 'the version "atlas-1" refers to it'],
      ['version', 'the endpoint "e1" refers to it'],
      ['tenant', `the key "${'k'.repeat(16)}" refers to it`],
    ])('%s: what is referred to is not deleted, and who refers is named', async (kind, detail) => {
      await createAll(store())
      const answer = await store().remove(kind, await row(kind), stamp)
      expect(answer).toEqual({ ok: false, error: { reason: 'in_use', what: kind, id: keys[kind].join('/'), detail } })
      expect(await auditCount()).toBe(kindsInOrder.length)
    })

    it('a preview answers what the write would, and writes nothing', async () => {
      await createAll(store())
      const before = await row('endpoint')
      const change = { slots: 9, credential: 'v1.eeee.ffff' }
      const wouldBe = await store().previewUpdate('endpoint', before, change, 2_000)
      expect(wouldBe).toEqual({ ok: true, value: { ...before, slots: 9, generation: 2, updatedAtMs: 2_000 } })
      const alias = await row('alias')
      const missing = { canary: 'none' } as Partial<Fields['alias']>
      expect(await store().previewUpdate('alias', alias, missing, 2_000)).toEqual(await store().update('alias', alias, missing, stamp))
      for (const kind of ['region', 'model', 'version', 'tenant'] as const) {
        const referred = await row(kind)
        expect(await store().previewRemove(kind, referred)).toEqual(await store().remove(kind, referred, stamp))
      }
      expect(await store().previewRemove('endpoint', before)).toEqual({ ok: true, value: null })
      expect(await row('endpoint')).toEqual(before)
      expect(await auditCount()).toBe(kindsInOrder.length)
      expect(await store().update('endpoint', before, change, { ...stamp, atMs: 2_000 })).toEqual(wouldBe)
    })

    it('tells a version’s endpoints, and since when one is draining', async () => {
      await createAll(store())
      await store().create('version', { ...drafts.version, id: 'atlas-2' } as Draft<'version'>, stamp)
      for (const [id, version] of [
        ['e0', 'atlas-1'],
        ['e2', 'atlas-2'],
      ]) {
        await store().create('endpoint', { ...drafts.endpoint, id, version } as Draft<'endpoint'>, stamp)
      }
      const of = async (version: string) => (await store().endpointsOf(version as VersionId)).map(({ id }) => id)
      expect([await of('atlas-1'), await of('atlas-2'), await of('none')]).toEqual([['e0', 'e1'], ['e2'], []])
      expect((await store().endpointsOf('atlas-1' as VersionId))[1]).toEqual(await row('endpoint'))

      const since = () => store().drainingSince('e1' as EndpointId)
      const write = async (change: Partial<Fields['endpoint']>, atMs: number) =>
        store().update('endpoint', await row('endpoint'), change, { ...stamp, atMs })
      expect(await since()).toBeNull()
      await write({ state: 'draining' }, 3_000)
      await write({ weight: 2 }, 4_000)
      await write({ state: 'draining' }, 5_000)
      expect(await since()).toBe(3_000)
      await write({ state: 'enabled' }, 6_000)
      await write({ state: 'draining' }, 7_000)
      expect(await since()).toBe(7_000)
    })

    it('everything can be deleted from the last to the first', async () => {
      await createAll(store())
      for (const kind of kindsInOrder.toReversed()) {
        const before = await row(kind)
        expect(await store().remove(kind, before, stamp)).toEqual({ ok: true, value: null })
        expect(await store().get(kind, keys[kind])).toBeNull()
        expect((await store().audit({ beforeSeq: null, limit: 1 }))[0]).toMatchObject({ action: 'delete', before, after: null })
      }
      expect(await auditCount()).toBe(2 * kindsInOrder.length)
    })
  })

  describe('catalogue', () => {
    it('numbers writes, and shows one instant of everything', async () => {
      const reader = open().catalogue
      expect(await reader.seq()).toBe(0)
      expect(await reader.load(0)).toEqual({ seq: 0, regions: [], endpoints: [], aliases: [], models: [], written: [] })
      await createAll(store())
      expect(await reader.seq()).toBe(kindsInOrder.length)
      const catalogue = await reader.load(0)
      const { name, latitude, longitude, jurisdiction, locationHint } = drafts.region
      const { hasCredential: _derived, ...endpointFields } = drafts.endpoint
      const { rollout: _its, rolloutGeneration: _write, ...alias } = drafts.alias
      expect(catalogue).toEqual({
        seq: kindsInOrder.length,
        regions: [{ name, latitude, longitude, jurisdiction, locationHint }],
        endpoints: [{ ...endpointFields, model: 'owner/Atlas' }],
        aliases: [{ ...alias, write: null, createdAtMs: 1_000 }],
        models: [
          {
            name: 'owner/Atlas',
            firstTokenMsMax: 60_000,
            holdMsMax: null,
            strategy: 'least-connections',
            affinity: 'prefix',
            hedging: true,
          },
        ],
        written: ['acme', 'k'.repeat(16)],
      })
      const before = kindsInOrder.indexOf('key')
      expect((await reader.load(before)).written).toEqual(['k'.repeat(16)])
      expect((await reader.load(before + 1)).written).toEqual([])
    })
  })
}

function credentialsContract(open: () => Database): void {
  const { store, row } = sceneOf(open)

  describe('credentials', () => {
    const expected = {
      format: 1,
      id: 'k'.repeat(16),
      tenant: 'acme',
      environment: 'production',
      secretSha256: 'ee'.repeat(32),
      models: ['a'],
      expiresAtMs: 5,
      disabled: false,
      scopes: ['explain'],
      residency: 'eu',
    }

    it('joins key and tenant: either switches it off', async () => {
      await createAll(store())
      expect(await open().credentials.ofKey('k'.repeat(16) as KeyId)).toEqual(expected)
      expect(await open().credentials.ofKey('none' as KeyId)).toBeNull()
      await store().update('key', await row('key'), { disabled: true }, stamp)
      expect(await open().credentials.ofKey('k'.repeat(16) as KeyId)).toMatchObject({ disabled: true })
      await store().update('key', await row('key'), { disabled: false }, stamp)
      await store().update('tenant', await row('tenant'), { disabled: true }, stamp)
      expect(await open().credentials.ofKey('k'.repeat(16) as KeyId)).toMatchObject({ disabled: true })
    })

    it('a tenant’s residency is in each of its keys’ records, and a change of it is told as a write of the tenant', async () => {
      await createAll(store())
      const written = await open().catalogue.seq()
      await store().update('tenant', await row('tenant'), { residency: 'us' }, stamp)
      expect(await open().credentials.ofTenant('acme' as TenantId, null, 5)).toMatchObject([{ residency: 'us' }])
      expect(await open().credentials.writesAfter(written, 5)).toEqual([{ seq: written + 1, resource: 'tenant', id: 'acme' }])
      expect((await open().catalogue.load(written)).written).toEqual(['acme'])
    })

    it('pages a tenant, and tells the writes of keys and tenants alone', async () => {
      await createAll(store())
      for (const id of ['a', 'b', 'c'].map((letter) => letter.repeat(16))) {
        await store().create('key', { ...drafts.key, id } as Draft<'key'>, stamp)
      }
      const page = async (after: string | null) =>
        (await open().credentials.ofTenant('acme' as TenantId, after, 2)).map((record) => record.id[0])
      expect(await page(null)).toEqual(['a', 'b'])
      expect(await page('b'.repeat(16))).toEqual(['c', 'k'])
      expect(await page('k'.repeat(16))).toEqual([])
      expect((await open().credentials.writesAfter(0, 3)).map((write) => [write.seq, write.resource])).toEqual([
        [6, 'tenant'],
        [7, 'key'],
        [kindsInOrder.length + 1, 'key'],
      ])
      expect(await open().credentials.writesAfter(kindsInOrder.length + 3, 3)).toEqual([])
    })
  })
}

function eventsContract(open: () => Pick<Database, 'events'>): void {
  describe('events', () => {
    const event = (atMs: number, more: Partial<EndpointEvent> = {}): EndpointEvent => ({
      atMs,
      endpoint: 'e1' as EndpointId,
      cell: 'owner/Atlas@fra' as EndpointEvent['cell'],
      from: 'healthy',
      to: 'ejected',
      metric: 'failures in a row',
      value: 5,
      threshold: 5,
      reason: 'five failures in a row, the last: HTTP 500',
      ...more,
    })
    const list = (more: { endpoint?: string; beforeSeq?: number; limit?: number } = {}) =>
      open().events.list({
        endpoint: (more.endpoint ?? null) as EndpointId | null,
        beforeSeq: more.beforeSeq ?? null,
        limit: more.limit ?? 50,
      })
    const nowMs = Date.now()

    it('are told newest first as they were appended, of one endpoint or of all', async () => {
      const { events } = open()
      await events.append([])
      expect(await list()).toEqual([])
      const first = event(nowMs)
      const second = event(nowMs, { endpoint: 'e2' as EndpointId, metric: null, value: null, threshold: null, reason: 'it\'s "back"' })
      const third = event(nowMs + 1, { from: 'ejected', to: 'probing', metric: 'share', value: 0.25, threshold: 0.2 })
      await events.append([first, second])
      await events.append([third])
      const all = await list()
      expect(all.map(({ seq: _seq, ...told }) => told)).toEqual([third, second, first])
      const seqs = all.map(({ seq }) => seq)
      expect(seqs).toEqual(seqs.toSorted((a, b) => b - a))
      expect(await list({ endpoint: 'e1' })).toEqual([all[0], all[2]])
      expect(await list({ endpoint: 'e3' })).toEqual([])
      expect(await list({ limit: 1 })).toEqual([all[0]])
      expect(await list({ beforeSeq: all[0]?.seq ?? 0, limit: 1 })).toEqual([all[1]])
    })

    it('what is appended twice is one event', async () => {
      const { events } = open()
      await events.append([event(nowMs), event(nowMs + 1)])
      await events.append([event(nowMs + 1), event(nowMs + 2)])
      expect((await list()).map(({ atMs }) => atMs - nowMs)).toEqual([2, 1, 0])
    })

    it('a whole fleet’s events go in one append', async () => {
      const many = limits.eventsPerStatementMax * 2 + 1
      await open().events.append(Array.from({ length: many }, (_, i) => event(nowMs, { endpoint: `e${i}` as EndpointId })))
      const [newest] = await list({ limit: 1 })
      expect(newest?.endpoint).toBe(`e${many - 1}`)
      expect(await list({ beforeSeq: (newest?.seq ?? 0) - many + 2, limit: 5 })).toMatchObject([{ endpoint: 'e0' }])
    })

    it('what is older than the time kept goes with a later append, the oldest first and not all at once', async () => {
      const oldMs = nowMs - limits.eventsKeptMs - 3_600_000
      const { events } = open()
      const more = 5
      const old = Array.from({ length: 2 * limits.eventsPurgedMax + more }, (_, i) => event(oldMs + i, { reason: 'old' }))
      const leftAfter = async (append: readonly EndpointEvent[]) => {
        await events.append(append)
        const rows = await list({ limit: old.length + 10 })
        return [rows.filter(({ reason }) => reason === 'old').length, rows.length]
      }
      expect(await leftAfter([...old, event(nowMs)])).toEqual([limits.eventsPurgedMax + more, limits.eventsPurgedMax + more + 1])
      expect((await list({ limit: old.length })).at(-1)?.atMs).toBe(oldMs + limits.eventsPurgedMax)
      expect(await leftAfter([event(nowMs + 1)])).toEqual([more, more + 2])
      expect(await leftAfter([event(nowMs + 2)])).toEqual([0, 3])
    })
  })
}
