// Deliveries to webhooks in D1: what is to be delivered, how often it was tried, and how it ended. What ended long ago goes, a bounded
// piece with each new one. Nothing here sends anything.

import { and, asc, desc, eq, getTableColumns, lt, lte, sql } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import { limits } from '../../shared/limits.ts'
import type { DeliveryRow } from '../facts.ts'
import type { DeliveryStore } from '../ports.ts'
import { doneUpdate } from './outbox.ts'
import { webhookDeliveries, webhooks } from './schema.ts'

type Begun = Parameters<DeliveryStore['begin']>[0][number]

export function deliveryStore(d1: D1Database): DeliveryStore {
  const db = drizzle(d1)
  return {
    webhooks: () => db.select(getTableColumns(webhooks)).from(webhooks).where(eq(webhooks.disabled, false)).orderBy(asc(webhooks.id)),

    async begin(deliveries, done, atMs) {
      const inserts = piecesOf(deliveries).map((piece) => insertOf(db, piece, atMs))
      if (deliveries.length > 0 || done.length > 0) await db.batch([doneUpdate(db, done, atMs), ...inserts, purge(db, atMs)])
    },

    due: (nowMs, limit) =>
      db
        .select()
        .from(webhookDeliveries)
        // A constant, as in the index of what is under way.
        .where(and(sql`${webhookDeliveries.endedAtMs} IS NULL`, lte(webhookDeliveries.nextAtMs, nowMs)))
        .orderBy(asc(webhookDeliveries.nextAtMs), asc(webhookDeliveries.seq))
        .limit(limit),

    async attempted(id, after) {
      // What has ended stays as it ended, should an attempt before be told late.
      await db
        .update(webhookDeliveries)
        .set(after)
        .where(and(eq(webhookDeliveries.id, id), sql`${webhookDeliveries.endedAtMs} IS NULL`))
    },

    list: ({ webhook, beforeSeq, limit }): Promise<readonly DeliveryRow[]> =>
      db
        .select()
        .from(webhookDeliveries)
        .where(and(eq(webhookDeliveries.webhook, webhook), beforeSeq === null ? undefined : lt(webhookDeliveries.seq, beforeSeq)))
        .orderBy(desc(webhookDeliveries.seq))
        .limit(limit),
  }
}

/** One statement for a piece of the list, as one JSON text: D1 binds at most a hundred values. The columns are in the table's order. */
const insertOf = (db: DrizzleD1Database, piece: readonly Begun[], atMs: number) =>
  db
    .insert(webhookDeliveries)
    .select(
      sql`SELECT NULL, value ->> 'id', value ->> 'webhook', value ->> 'type', value ->> 'payload', value ->> 'createdAtMs',
          0, ${atMs}, NULL, NULL, NULL, NULL FROM json_each(${JSON.stringify(piece)}) WHERE true ORDER BY key`,
    )
    .onConflictDoNothing({ target: webhookDeliveries.id })

/** Pieces of a bounded size, for a bound text has at most 2 MB; a delivery that is larger alone is a piece alone. */
function piecesOf(deliveries: readonly Begun[]): readonly (readonly Begun[])[] {
  const pieces: Begun[][] = []
  let chars = Infinity
  for (const delivery of deliveries) {
    const size = JSON.stringify(delivery).length
    if (chars + size > limits.deliveriesPieceCharsMax) {
      pieces.push([])
      chars = 0
    }
    pieces.at(-1)?.push(delivery)
    chars += size
  }
  return pieces
}

/** Only the oldest rows are looked at, so that it costs the same however many there are. */
const purge = (db: DrizzleD1Database, nowMs: number) =>
  db.delete(webhookDeliveries).where(
    sql`${webhookDeliveries.seq} IN (SELECT seq FROM (SELECT seq, ended_at_ms FROM webhook_deliveries ORDER BY seq LIMIT ${limits.rolloutRowsPurgedMax})
      WHERE ended_at_ms < ${nowMs - limits.rolloutRowsKeptMs})`,
  )
