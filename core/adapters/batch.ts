// What batches of statements are made of: audit rows, and what breaks a batch. D1 runs a batch as one transaction; `changes()` speaks of
// the statement before it. Nothing here runs a statement.

import { sql, type SQL } from 'drizzle-orm'
import type { DrizzleD1Database } from 'drizzle-orm/d1'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { AuditAction, AuditedThing, Stamp } from '../facts.ts'
import { auditLog, guards } from './schema.ts'

export type Audited = {
  readonly action: AuditAction
  readonly resource: AuditedThing
  readonly resourceId: string
  readonly before: object | null
  readonly after: object | null
}

/** An audit row where the statement before it in the batch changed something, and none where it did not. */
export const auditOfChange = (db: DrizzleD1Database, audited: Audited, stamp: Stamp) =>
  db.insert(auditLog).select(sql`${auditColumns(audited, stamp)} WHERE changes() > 0`)

/** An audit row, whatever came before it. */
export const auditOf = (db: DrizzleD1Database, audited: Audited, stamp: Stamp) => db.insert(auditLog).select(auditColumns(audited, stamp))

/** An audit row for each row that `found` finds. Id, before and after are expressions over its columns. */
export const auditOfFound = (
  db: DrizzleD1Database,
  audited: Pick<Audited, 'action' | 'resource'> & { readonly id: SQL; readonly before: SQL | null; readonly after: SQL | null },
  stamp: Stamp,
  found: SQL,
) => db.insert(auditLog).select(sql`${valuesOf(audited, stamp)} ${found}`)

/** Breaks the whole batch unless the statement before it changed exactly one row; `isBroken` knows the error. Two statements. */
export const guardOfChange = (db: DrizzleD1Database) => [db.insert(guards).select(sql`SELECT changes()`), db.delete(guards)] as const

/** As guardOfChange, of what `found` finds at that point: exactly one row. */
export const guardOfFound = (db: DrizzleD1Database, found: SQL) =>
  [db.insert(guards).select(sql`SELECT count(*) ${found}`), db.delete(guards)] as const

export const isBroken = (cause: unknown): boolean => says(cause, 'guard_ok')

/** A row as the audit log shows it, made of its columns by the database itself: it is as it was in that very moment. */
export function jsonOf(columns: Readonly<Record<string, SQLiteColumn>>): SQL {
  const pairs = Object.entries(columns).map(([name, column]) => sql`${sql.raw(`'${name}'`)}, ${jsonValueOf(column)}`)
  return sql`json_object(${sql.join(pairs, sql`, `)})`
}

/** Whether an error, or one that caused it, carries these words of SQLite. Drizzle wraps them, D1 puts its own around. */
export function says(cause: unknown, words: string): boolean {
  for (let error: unknown = cause; error instanceof Error; error = error.cause) if (error.message.includes(words)) return true
  return false
}

function jsonValueOf(column: SQLiteColumn): SQL {
  switch (column.dataType) {
    case 'boolean':
      return sql`json(iif(${column}, 'true', 'false'))`
    case 'json':
      return sql`json(${column})`
    default:
      return sql`${column}`
  }
}

function auditColumns({ action, resource, resourceId, before, after }: Audited, stamp: Stamp): SQL {
  const text = (row: object | null): SQL => sql`${row && JSON.stringify(row)}`
  return valuesOf({ action, resource, id: sql`${resourceId}`, before: text(before), after: text(after) }, stamp)
}

/** The first column is the row's own number: NULL lets SQLite give it. */
function valuesOf(
  { action, resource, id, before, after }: Pick<Audited, 'action' | 'resource'> & { id: SQL; before: SQL | null; after: SQL | null },
  { atMs, actor, requestId, reason }: Stamp,
): SQL {
  return sql`SELECT NULL, ${atMs}, ${actor}, ${action}, ${resource}, ${id}, ${before ?? null}, ${after ?? null}, ${requestId}, ${reason}`
}
