// The rows of the catalogue in D1. A write and its audit row go in one batch, which D1 runs as one transaction:
// the audit row is inserted only where the statement before it changed something, so a lost race leaves no trace.

import { and, asc, desc, eq, lt, sql, type SQL } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { EndpointId, VersionId } from '../../shared/ids.ts'
import { err, ok, type Err, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { Amendment, AuditRow, Draft, Fields, Kind, Row, RowKey, Stamp } from '../facts.ts'
import type { RowPage, RowStore } from '../ports.ts'
import { auditLog, endpoints } from './schema.ts'
import { keyOf, referencesOf, tables } from './tables.ts'

export function rowStore(d1: D1Database): RowStore {
  const db = drizzle(d1)
  return {
    list: (kind, page) => list(db, kind, page),
    get: (kind, key) => get(db, kind, key),
    create: (kind, draft, stamp) => create(db, kind, draft, stamp),
    update: (kind, before, change, stamp) => update(db, kind, before, change, stamp),
    remove: (kind, before, stamp) => remove(db, kind, before, stamp),
    previewUpdate: (kind, before, change, atMs) => previewUpdate(db, kind, before, change, atMs),
    previewRemove: (kind, before) => previewRemove(db, kind, before),
    audit: (page) => audit(db, page),
    endpointsOf: (version) => endpointsOf(db, version),
    drainingSince: (endpoint) => drainingSince(db, endpoint),
  }
}

async function list<K extends Kind>(db: DrizzleD1Database, kind: K, page: RowPage): Promise<readonly Row<K>[]> {
  const { table, columns, key } = tables[kind]
  const order = key.map((name) => columns[name]).filter((column) => column !== undefined)
  const after =
    page.after &&
    sql`(${sql.join(order, sql`, `)}) > (${sql.join(
      page.after.map((part) => sql`${part}`),
      sql`, `,
    )})`
  const rows = await db
    .select(columns)
    .from(table)
    .where(after ?? undefined)
    .orderBy(...order.map((column) => asc(column)))
    .limit(page.limit)
  return rows as unknown as readonly Row<K>[]
}

async function get<K extends Kind>(db: DrizzleD1Database, kind: K, key: RowKey): Promise<Row<K> | null> {
  const { table, columns } = tables[kind]
  const rows = await db.select(columns).from(table).where(hasKey(kind, key)).limit(1)
  return (rows[0] as unknown as Row<K> | undefined) ?? null
}

async function create<K extends Kind>(
  db: DrizzleD1Database,
  kind: K,
  draft: Draft<K>,
  stamp: Stamp,
): Promise<Result<Row<K>, AdminRefusal>> {
  const { table } = tables[kind]
  const values = { ...draft, generation: 1, createdAtMs: stamp.atMs, updatedAtMs: stamp.atMs }
  const shown = shownOf(kind, values) as Row<K>
  try {
    await db.batch([db.insert(table).values(values), auditOf(db, kind, { action: 'create', before: null, after: shown }, stamp)])
    return ok(shown)
  } catch (cause) {
    if (says(cause, 'UNIQUE constraint failed')) return err({ reason: 'already_exists', what: kind, id: idOf(kind, shown) })
    if (says(cause, 'FOREIGN KEY constraint failed')) return missingReference(db, kind, shown)
    throw new Error(`rows: a ${kind} could not be created`, { cause })
  }
}

async function update<K extends Kind>(
  db: DrizzleD1Database,
  kind: K,
  before: Row<K>,
  change: Amendment<K>,
  stamp: Stamp,
): Promise<Result<Row<K>, AdminRefusal>> {
  const { table, columns } = tables[kind]
  const values = { ...change, generation: before.generation + 1, updatedAtMs: stamp.atMs }
  const after: Row<K> = { ...before, ...shownOf(kind, values) }
  try {
    const [updated] = await db.batch([
      db.update(table).set(writtenOf(kind, values)).where(isStill(kind, before)).returning({ generation: columns.generation }),
      auditOf(db, kind, { action: 'update', before, after }, stamp),
    ])
    return updated.length === 1 ? ok(after) : overtaken(db, kind, before)
  } catch (cause) {
    if (says(cause, 'FOREIGN KEY constraint failed')) return missingReference(db, kind, after)
    throw new Error(`rows: a ${kind} could not be updated`, { cause })
  }
}

async function remove<K extends Kind>(db: DrizzleD1Database, kind: K, before: Row<K>, stamp: Stamp): Promise<Result<null, AdminRefusal>> {
  const { table, columns } = tables[kind]
  try {
    const [removed] = await db.batch([
      db.delete(table).where(isStill(kind, before)).returning({ generation: columns.generation }),
      auditOf(db, kind, { action: 'delete', before, after: null }, stamp),
    ])
    return removed.length === 1 ? ok(null) : overtaken(db, kind, before)
  } catch (cause) {
    if (says(cause, 'FOREIGN KEY constraint failed')) return inUse(db, kind, before)
    throw new Error(`rows: a ${kind} could not be deleted`, { cause })
  }
}

async function previewUpdate<K extends Kind>(
  db: DrizzleD1Database,
  kind: K,
  before: Row<K>,
  change: Amendment<K>,
  atMs: number,
): Promise<Result<Row<K>, AdminRefusal>> {
  const after: Row<K> = { ...before, ...shownOf(kind, { ...change, generation: before.generation + 1, updatedAtMs: atMs }) }
  const missing = await firstMissing(db, kind, after)
  return missing ? err(missing) : ok(after)
}

async function previewRemove<K extends Kind>(db: DrizzleD1Database, kind: K, before: Row<K>): Promise<Result<null, AdminRefusal>> {
  const used = await firstUse(db, kind, before)
  return used ? err(used) : ok(null)
}

async function audit(
  db: DrizzleD1Database,
  page: { readonly beforeSeq: number | null; readonly limit: number },
): Promise<readonly AuditRow[]> {
  return db
    .select()
    .from(auditLog)
    .where(page.beforeSeq === null ? undefined : lt(auditLog.seq, page.beforeSeq))
    .orderBy(desc(auditLog.seq))
    .limit(page.limit)
}

async function endpointsOf(db: DrizzleD1Database, version: VersionId): Promise<readonly Row<'endpoint'>[]> {
  const rows = await db.select(tables.endpoint.columns).from(endpoints).where(eq(endpoints.version, version)).orderBy(asc(endpoints.id))
  return rows as unknown as readonly Row<'endpoint'>[]
}

async function drainingSince(db: DrizzleD1Database, endpoint: EndpointId): Promise<number | null> {
  const stateIn = (column: SQLiteColumn) => sql`json_extract(${column}, '$.state')`
  const rows = await db
    .select({ atMs: auditLog.atMs })
    .from(auditLog)
    .where(
      and(
        eq(auditLog.resource, 'endpoint'),
        eq(auditLog.resourceId, endpoint),
        sql`${stateIn(auditLog.after)} = 'draining' AND ${stateIn(auditLog.before)} IS NOT 'draining'`,
      ),
    )
    .orderBy(desc(auditLog.seq))
    .limit(1)
  return rows[0]?.atMs ?? null
}

type Write<K extends Kind> =
  | { readonly action: 'create'; readonly before: null; readonly after: Row<K> }
  | { readonly action: 'update'; readonly before: Row<K>; readonly after: Row<K> }
  | { readonly action: 'delete'; readonly before: Row<K>; readonly after: null }

/** `changes()` speaks of the statement before it in the batch. The first column is the row's own number: NULL lets SQLite give it. */
function auditOf<K extends Kind>(db: DrizzleD1Database, kind: K, { action, before, after }: Write<K>, stamp: Stamp) {
  const id = idOf(kind, (after ?? before) as Row<K>)
  const text = (row: Row<K> | null): string | null => row && JSON.stringify(row)
  return db.insert(auditLog).select(
    sql`SELECT NULL, ${stamp.atMs}, ${stamp.actor}, ${action}, ${kind}, ${id}, ${text(before)}, ${text(after)}, ${stamp.requestId}, ${stamp.reason}
        WHERE changes() > 0`,
  )
}

/** Of what is written, what may be seen. */
function shownOf<K extends Kind>(kind: K, values: Amendment<K>): Partial<Row<K>> {
  const { columns } = tables[kind]
  return Object.fromEntries(Object.entries(values).filter(([name]) => name in columns)) as Partial<Row<K>>
}

/** Of what is shown, what is written: the database makes the rest itself. */
function writtenOf(kind: Kind, values: object): Readonly<Record<string, unknown>> {
  const { columns } = tables[kind]
  return Object.fromEntries(Object.entries(values).filter(([name]) => columns[name]?.generated === undefined))
}

const idOf = (kind: Kind, row: object): string => keyOf(kind, row).join('/')

function hasKey(kind: Kind, key: RowKey): SQL | undefined {
  const { key: names, columns } = tables[kind]
  return and(...names.map((name, index) => sql`${columns[name]} = ${key[index]}`))
}

/** The creation time beside the generation: a row deleted and made again counts from 1 again, and is another row. */
function isStill<K extends Kind>(kind: K, row: Row<K>): SQL | undefined {
  const { columns } = tables[kind]
  return and(hasKey(kind, keyOf(kind, row)), eq(columns.generation, row.generation), eq(columns.createdAtMs, row.createdAtMs))
}

async function overtaken<K extends Kind>(db: DrizzleD1Database, kind: K, before: Row<K>): Promise<Err<AdminRefusal>> {
  const now = await get(db, kind, keyOf(kind, before))
  if (!now) return err({ reason: 'not_found', what: kind, id: idOf(kind, before) })
  return err({ reason: 'generation_mismatch', current: now.generation })
}

/** SQLite does not say which key failed: the rows named are looked up to tell the operator. */
async function missingReference<K extends Kind>(db: DrizzleD1Database, kind: K, fields: Fields[K]): Promise<Err<AdminRefusal>> {
  const detail = 'something it refers to was being deleted or made at the same time'
  return err((await firstMissing(db, kind, fields)) ?? { reason: 'missing_reference', what: kind, detail })
}

async function firstMissing<K extends Kind>(db: DrizzleD1Database, kind: K, fields: Fields[K]): Promise<AdminRefusal | null> {
  for (const { field, kind: to, id, ofModel } of referencesOf(kind, fields)) {
    const found: object | null = await get(db, to, [id])
    if (!found) return { reason: 'missing_reference', what: field, detail: `the ${to} "${id}" does not exist` }
    const model = 'model' in found && typeof found.model === 'string' ? found.model : null
    if (ofModel !== null && model !== ofModel) {
      const detail = `"${id}" is a version of the model "${model ?? '?'}", not of "${ofModel}"`
      return { reason: 'missing_reference', what: field, detail }
    }
  }
  return null
}

async function inUse<K extends Kind>(db: DrizzleD1Database, kind: K, row: Row<K>): Promise<Err<AdminRefusal>> {
  const detail = 'something referred to it a moment ago'
  return err((await firstUse(db, kind, row)) ?? { reason: 'in_use', what: kind, id: idOf(kind, row), detail })
}

async function firstUse<K extends Kind>(db: DrizzleD1Database, kind: K, row: Row<K>): Promise<AdminRefusal | null> {
  const id = idOf(kind, row)
  for (const dependent of tables[kind].dependents) {
    const named = Object.fromEntries(dependent.named.map((column) => [column.name, column]))
    const [user] = await db.select(named).from(dependent.table).where(eq(dependent.refersBy, id)).limit(1)
    const detail = user && `the ${dependent.kind.replace('_', ' ')} "${Object.values(user).join('/')}" refers to it`
    if (detail) return { reason: 'in_use', what: kind, id, detail }
  }
  return null
}

/** Whether an error, or one that caused it, carries these words of SQLite. Drizzle wraps them, D1 puts its own around. */
function says(cause: unknown, words: string): boolean {
  for (let error: unknown = cause; error instanceof Error; error = error.cause) if (error.message.includes(words)) return true
  return false
}
