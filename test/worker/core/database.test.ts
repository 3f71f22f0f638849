// The database's contract against the real D1, and what only the real one has: its triggers.

import { applyD1Migrations, reset } from 'cloudflare:test'
import { beforeEach, expect, it } from 'vitest'
import { catalogueReader } from '../../../core/adapters/catalogue.ts'
import { credentials } from '../../../core/adapters/credentials.ts'
import { rowStore } from '../../../core/adapters/rows.ts'
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
}))

it.each(["UPDATE versions SET engine = 'x'", "UPDATE audit_log SET actor = 'x'", 'DELETE FROM audit_log'])(
  'D1 itself refuses %s',
  async (sql) => {
    await createAll(rowStore(testEnv.DB))
    await expect(testEnv.DB.prepare(sql).run()).rejects.toThrow(/immutable|append-only/)
  },
)
