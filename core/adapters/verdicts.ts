// Verdicts in D1, each kept once and as it was given: triggers refuse every change.

import { and, desc, eq, lt } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import type { Verdict } from '../../shared/wire/gate.ts'
import type { Stamp, VerdictFilter } from '../facts.ts'
import type { VerdictStore } from '../ports.ts'
import { auditOfChange } from './batch.ts'
import { refusedRow } from './rollout-record.ts'
import { outbox, verdicts } from './schema.ts'

export function verdictStore(d1: D1Database): VerdictStore {
  const db = drizzle(d1)
  return {
    async add(added) {
      const [first, ...rest] = added.flatMap((verdict) => keepingOf(db, verdict))
      if (first) await db.batch([first, ...rest])
    },
    async refuse(id, refused, atMs) {
      const row = { ...refusedRow(id, refused, atMs), doneAtMs: null }
      const told = db.insert(outbox).values(row).onConflictDoNothing({ target: outbox.id })
      await db.batch([told, ...refused.verdicts.flatMap((verdict) => keepingOf(db, verdict))])
    },
    list: (page) => list(db, page),
  }
}

/** Keeps a verdict, with its audit row, which shows it whole; nothing where it is kept already. Two statements. */
export function keepingOf(db: DrizzleD1Database, verdict: Verdict) {
  const { window, ...rest } = verdict
  const values = { ...rest, windowFromMs: window?.fromMs ?? null, windowUntilMs: window?.untilMs ?? null }
  const stamp: Stamp = { atMs: verdict.atMs, actor: 'controller', requestId: verdict.rollout ?? verdict.id, reason: null }
  const audited = { action: 'create', resource: 'verdict', resourceId: verdict.id, before: null, after: verdict } as const
  return [db.insert(verdicts).values(values).onConflictDoNothing({ target: verdicts.id }), auditOfChange(db, audited, stamp)] as const
}

async function list(db: DrizzleD1Database, page: VerdictFilter): Promise<readonly (Verdict & { readonly seq: number })[]> {
  const { rollout, version, beforeSeq, limit } = page
  const rows = await db
    .select()
    .from(verdicts)
    .where(
      and(
        rollout === null ? undefined : eq(verdicts.rollout, rollout),
        version === null ? undefined : eq(verdicts.version, version),
        beforeSeq === null ? undefined : lt(verdicts.seq, beforeSeq),
      ),
    )
    .orderBy(desc(verdicts.seq))
    .limit(limit)
  return rows.map(({ windowFromMs, windowUntilMs, ...verdict }) => ({
    ...verdict,
    window: windowFromMs === null || windowUntilMs === null ? null : { fromMs: windowFromMs, untilMs: windowUntilMs },
  }))
}
