// The rows of the catalogue in D1. A write and its audit row go in one batch, which D1 runs as one transaction:
// the audit row is inserted only where the statement before it changed something, so a lost race leaves no trace.

import { and, asc, desc, eq, exists, lt, not, sql, type SQL } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core'
import type { EndpointId, VersionId } from '../../shared/ids.ts'
import { err, ok, type Err, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { Amendment, AuditRow, Draft, Fields, Kind, Row, RowKey, Stamp } from '../facts.ts'
import type { RowPage, RowStore } from '../ports.ts'
import { auditOfChange, says } from './batch.ts'
import { auditLog, endpoints, rollouts } from './schema.ts'
import { hasKey, idOf, isStill, keyOf, referencesOf, shownOf, tables, writtenOf } from './tables.ts'

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
      db
        .update(table)
        .set(writtenOf(kind, values))
        .where(mayWrite(db, kind, before))
        .returning({ generation: columns.generation }),
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
      db
        .delete(table)
        .where(mayWrite(db, kind, before))
        .returning({ generation: columns.generation }),
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
  const refusal = (await movedBy(db, kind, before)) ?? (await firstMissing(db, kind, after))
  return refusal ? err(refusal) : ok(after)
}

async function previewRemove<K extends Kind>(db: DrizzleD1Database, kind: K, before: Row<K>): Promise<Result<null, AdminRefusal>> {
  const refusal = (await movedBy(db, kind, before)) ?? (await firstUse(db, kind, before))
  return refusal ? err(refusal) : ok(null)
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

const auditOf = <K extends Kind>(db: DrizzleD1Database, kind: K, write: Write<K>, stamp: Stamp) =>
  auditOfChange(db, { ...write, resource: kind, resourceId: idOf(kind, (write.after ?? write.before) as Row<K>) }, stamp)

async function overtaken<K extends Kind>(db: DrizzleD1Database, kind: K, before: Row<K>): Promise<Err<AdminRefusal>> {
  const now = await get(db, kind, keyOf(kind, before))
  if (!now) return err({ reason: 'not_found', what: kind, id: idOf(kind, before) })
  const isSame = now.generation === before.generation && now.createdAtMs === before.createdAtMs
  return err((isSame ? await movedBy(db, kind, before) : null) ?? { reason: 'generation_mismatch', current: now.generation })
}

/** It is the row that was read, and no live rollout moves it: what a rollout moves, nobody else writes. */
function mayWrite<K extends Kind>(db: DrizzleD1Database, kind: K, row: Row<K>): SQL | undefined {
  const live = liveOf(db, kind, row)
  return and(isStill(kind, row), live && not(exists(live)))
}

/** The live rollout that moves an alias; undefined for all other kinds of rows. */
function liveOf(db: DrizzleD1Database, kind: Kind, row: object) {
  if (kind !== 'alias') return undefined
  const { environment, model } = row as Row<'alias'>
  const isIts = and(eq(rollouts.environment, environment), eq(rollouts.model, model), sql`${rollouts.isLive} = 1`)
  return db.select({ id: rollouts.id }).from(rollouts).where(isIts)
}

async function movedBy(db: DrizzleD1Database, kind: Kind, row: object): Promise<AdminRefusal | null> {
  const [live] = (await liveOf(db, kind, row)) ?? []
  if (!live) return null
  const { environment, model } = row as Row<'alias'>
  return { reason: 'rollout_active', environment, model, rollout: live.id }
}

/** SQLite does not say which key failed: the rows named are looked up to tell the operator. */
async function missingReference<K extends Kind>(db: DrizzleD1Database, kind: K, fields: Fields[K]): Promise<Err<AdminRefusal>> {
  const detail = 'something it refers to was being deleted or made at the same time'
  return err((await firstMissing(db, kind, fields)) ?? { reason: 'missing_reference', what: kind, detail })
}

/** Of what a row refers to, the first that is not there. */
export async function firstMissing<K extends Kind>(db: DrizzleD1Database, kind: K, fields: Fields[K]): Promise<AdminRefusal | null> {
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

/** Of what refers to a row, the first that is found. */
export async function firstUse(db: DrizzleD1Database, kind: Kind, row: object): Promise<AdminRefusal | null> {
  const id = idOf(kind, row)
  for (const dependent of tables[kind].dependents) {
    const named = Object.fromEntries(dependent.named.map((column) => [column.name, column]))
    const [user] = await db.select(named).from(dependent.table).where(eq(dependent.refersBy, id)).limit(1)
    const detail = user && `the ${dependent.kind.replace('_', ' ')} "${Object.values(user).join('/')}" refers to it`
    if (detail) return { reason: 'in_use', what: kind, id, detail }
  }
  return null
}
