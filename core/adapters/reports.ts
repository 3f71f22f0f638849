// Reports of evaluations in D1: the whole text, and beside it what reports are found and listed by. The id is the text's digest, so that
// the same report told twice is one. Triggers refuse every change.

import { and, desc, eq, getTableColumns, lt } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { ReportRow, Stamp } from '../facts.ts'
import type { ReportStore } from '../ports.ts'
import { auditOfChange, says } from './batch.ts'
import { reports } from './schema.ts'

const { text: _whole, ...listed } = getTableColumns(reports)

export function reportStore(d1: D1Database): ReportStore {
  const db = drizzle(d1)
  return {
    add: (report, stamp) => add(db, report, stamp),
    async get(id) {
      const [row] = await db.select().from(reports).where(eq(reports.id, id))
      return row ?? null
    },
    list: ({ version, beforeSeq, limit }) =>
      db
        .select(listed)
        .from(reports)
        .where(
          and(version === null ? undefined : eq(reports.version, version), beforeSeq === null ? undefined : lt(reports.seq, beforeSeq)),
        )
        .orderBy(desc(reports.seq))
        .limit(limit),
    async latest(version, setDigest) {
      const isOne = and(eq(reports.version, version), setDigest === null ? undefined : eq(reports.setDigest, setDigest))
      const [row] = await db.select().from(reports).where(isOne).orderBy(desc(reports.seq)).limit(1)
      return row ?? null
    },
  }
}

async function add(
  db: DrizzleD1Database,
  report: Omit<ReportRow, 'seq'> & { readonly text: string },
  stamp: Stamp,
): Promise<Result<ReportRow, AdminRefusal>> {
  const { text: _text, ...after } = report
  const audited = { action: 'create', resource: 'report', resourceId: report.id, before: null, after } as const
  try {
    const [, , [row]] = await db.batch([
      db.insert(reports).values(report).onConflictDoNothing({ target: reports.id }),
      auditOfChange(db, audited, stamp),
      db.select(listed).from(reports).where(eq(reports.id, report.id)),
    ])
    if (row) return ok(row)
  } catch (cause) {
    if (says(cause, 'FOREIGN KEY constraint failed')) {
      return err({ reason: 'missing_reference', what: 'version', detail: `the version "${report.version}" does not exist` })
    }
    throw new Error('reports: one could not be stored', { cause })
  }
  throw new Error(`reports: ${report.id} was stored and is not there`)
}
