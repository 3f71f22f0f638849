// The database's contract against the real D1, and what only the real one has: its triggers, and rows from before a migration.

import { applyD1Migrations, reset } from 'cloudflare:test'
import { beforeEach, expect, it } from 'vitest'
import { catalogueReader } from '../../../core/adapters/catalogue.ts'
import { credentials } from '../../../core/adapters/credentials.ts'
import { eventStore } from '../../../core/adapters/events.ts'
import { rowStore } from '../../../core/adapters/rows.ts'
import { limits } from '../../../shared/limits.ts'
import { createAll, databaseContract } from '../../contract/core/database.ts'
import { testEnv } from './world.ts'

beforeEach(async () => {
  await reset()
  await applyD1Migrations(testEnv.DB, testEnv.TEST_MIGRATIONS)
})

databaseContract(() => ({
  rows: rowStore(testEnv.DB),
  catalogue: catalogueReader(testEnv.DB),
  credentials: credentials(testEnv.DB),
  events: eventStore(testEnv.DB),
}))

const insertEvent = (atMs: number) =>
  testEnv.DB.prepare(
    `INSERT INTO endpoint_events (at_ms, endpoint, cell, "from", "to", reason) VALUES (?, 'e1', 'm@fra', 'unknown', 'healthy', 'r')`,
  )
    .bind(atMs)
    .run()

it.each([
  "UPDATE versions SET engine = 'x'",
  "UPDATE audit_log SET actor = 'x'",
  'DELETE FROM audit_log',
  "UPDATE endpoint_events SET reason = 'x'",
  'DELETE FROM endpoint_events',
])('D1 itself refuses %s', async (sql) => {
  await createAll(rowStore(testEnv.DB))
  await insertEvent(Date.now() - limits.eventsKeptMs + 60_000)
  await expect(testEnv.DB.prepare(sql).run()).rejects.toThrow(/immutable|append-only/)
})

it('D1 lets events go that are older than the time they are kept', async () => {
  await insertEvent(Date.now() - limits.eventsKeptMs - 60_000)
  expect((await testEnv.DB.prepare('DELETE FROM endpoint_events').run()).meta.changes).toBe(1)
})

it('rows from before a migration are read with the defaults of what it brought', async () => {
  await reset()
  const before = testEnv.TEST_MIGRATIONS.findIndex(({ name }) => name.startsWith('0003'))
  await applyD1Migrations(testEnv.DB, testEnv.TEST_MIGRATIONS.slice(0, before))
  const old = [
    `INSERT INTO models VALUES ('m', '', 1, 0, 0, NULL, NULL)`,
    `INSERT INTO versions VALUES ('v', 'm', 'sha256:00', 'vllm', '{}', NULL, 1, 0, 0)`,
    `INSERT INTO aliases VALUES ('production', 'm', 'v', NULL, 0, 's', 1, 0, 0)`,
    `INSERT INTO tenants VALUES ('t', 'T', 0, 1, 0, 0)`,
    `INSERT INTO api_keys VALUES ('k', 't', 'production', 'n', 'hash', NULL, NULL, 0, 1, 0, 0)`,
    `INSERT INTO audit_log (at_ms, actor, action, resource, resource_id, request_id) VALUES (0, 'operator', 'create', 'key', 'k', 'r')`,
  ]
  await testEnv.DB.batch(old.map((sql) => testEnv.DB.prepare(sql)))
  await applyD1Migrations(testEnv.DB, testEnv.TEST_MIGRATIONS)
  const rows = rowStore(testEnv.DB)
  expect(await rows.get('model', ['m'])).toMatchObject({ strategy: 'least-latency', affinity: 'none', hedging: false })
  expect(await rows.get('model', ['m'])).toMatchObject({ ttftP95MsMax: null, accuracyTargetBp: 9_900, operatingPerS: null })
  expect(await rows.get('version', ['v'])).toMatchObject({ bits: null, parent: null, calibration: null, licence: null, artifact: null })
  expect(await rows.get('alias', ['production', 'm'])).toMatchObject({ shadowBp: 0, rollout: null, rolloutGeneration: null })
  expect((await catalogueReader(testEnv.DB).load(0)).aliases).toMatchObject([{ shadowBp: 0, write: null }])
  expect(await rows.get('tenant', ['t'])).toMatchObject({ residency: null })
  expect(await rows.get('key', ['k'])).toMatchObject({ scopes: [] })
  expect(await credentials(testEnv.DB).ofKey('k' as never)).toMatchObject({ scopes: [], residency: null })
  expect(await rows.audit({ beforeSeq: null, limit: 1 })).toMatchObject([{ reason: null }])
})
