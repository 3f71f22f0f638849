// What follows from rollouts' changes and waits to be carried out. Rows come with the change itself (rollout-commit.ts); here they are
// read and noted as done. What was done long ago goes, a bounded piece with each note.

import { and, asc, inArray, isNull, sql } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import { limits } from '../../shared/limits.ts'
import type { OutboxStore } from '../ports.ts'
import { outbox } from './schema.ts'

export function outboxStore(d1: D1Database): OutboxStore {
  const db = drizzle(d1)
  return {
    undone: (kinds, limit) =>
      db
        .select({
          seq: outbox.seq,
          id: outbox.id,
          rollout: outbox.rollout,
          kind: outbox.kind,
          payload: outbox.payload,
          atMs: outbox.atMs,
        })
        .from(outbox)
        // A constant, as in the index of what is undone.
        .where(and(sql`${outbox.doneAtMs} IS NULL`, inArray(outbox.kind, [...kinds])))
        .orderBy(asc(outbox.seq))
        .limit(limit),
    async done(ids, atMs) {
      if (ids.length > 0) await db.batch([doneUpdate(db, ids, atMs), outboxPurge(db, atMs)])
    },
  }
}

/** Ids go as one JSON text: D1 binds at most a hundred values to a statement. */
export const doneUpdate = (db: DrizzleD1Database, ids: readonly string[], atMs: number) =>
  db
    .update(outbox)
    .set({ doneAtMs: atMs })
    .where(and(isNull(outbox.doneAtMs), sql`${outbox.id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`))

/** Only the oldest rows are looked at, so that it costs the same however many there are. */
const outboxPurge = (db: DrizzleD1Database, nowMs: number) =>
  db.delete(outbox).where(
    sql`${outbox.seq} IN (SELECT seq FROM (SELECT seq, done_at_ms FROM outbox ORDER BY seq LIMIT ${limits.rolloutRowsPurgedMax})
      WHERE done_at_ms < ${nowMs - limits.rolloutRowsKeptMs})`,
  )
