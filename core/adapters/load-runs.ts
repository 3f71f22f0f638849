// Runs of the load gate in D1, kept as reports are: the whole text, and beside it what runs are found and listed by.

import { and, desc, eq, getTableColumns, lt } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { LoadRunRow, Stamp } from '../facts.ts'
import type { LoadRunStore } from '../ports.ts'
import { auditOfChange, says } from './batch.ts'
import { loadRuns } from './schema.ts'

const { text: _whole, ...listed } = getTableColumns(loadRuns)

export function loadRunStore(d1: D1Database): LoadRunStore {
  const db = drizzle(d1)
  return {
    add: (run, stamp) => add(db, run, stamp),
    list: ({ version, beforeSeq, limit }) =>
      db
        .select(listed)
        .from(loadRuns)
        .where(
          and(version === null ? undefined : eq(loadRuns.version, version), beforeSeq === null ? undefined : lt(loadRuns.seq, beforeSeq)),
        )
        .orderBy(desc(loadRuns.seq))
        .limit(limit),
    async latest(version, environment) {
      const isOne = and(eq(loadRuns.version, version), eq(loadRuns.environment, environment))
      const [row] = await db.select().from(loadRuns).where(isOne).orderBy(desc(loadRuns.seq)).limit(1)
      return row ?? null
    },
  }
}

async function add(
  db: DrizzleD1Database,
  run: Omit<LoadRunRow, 'seq'> & { readonly text: string },
  stamp: Stamp,
): Promise<Result<LoadRunRow, AdminRefusal>> {
  const { text: _text, ...after } = run
  const audited = { action: 'create', resource: 'load_run', resourceId: run.id, before: null, after } as const
  try {
    const [, , [row]] = await db.batch([
      db.insert(loadRuns).values(run).onConflictDoNothing({ target: loadRuns.id }),
      auditOfChange(db, audited, stamp),
      db.select(listed).from(loadRuns).where(eq(loadRuns.id, run.id)),
    ])
    if (row) return ok(row)
  } catch (cause) {
    if (says(cause, 'FOREIGN KEY constraint failed')) {
      return err({ reason: 'missing_reference', what: 'version', detail: `the version "${run.version}" does not exist` })
    }
    throw new Error('load-runs: one could not be stored', { cause })
  }
  throw new Error(`load-runs: ${run.id} was stored and is not there`)
}
