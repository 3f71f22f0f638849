// That a version is wanted at targets, or no longer: one batch for all of them, whatever their number, with an audit row for each that
// changes. What nobody brought is not taken away: for a version that is not wanted no row is made.

import { and, eq, getTableColumns, not, or, sql, type SQL } from 'drizzle-orm'
import type { DrizzleD1Database } from 'drizzle-orm/d1'
import type { TargetId, VersionId } from '../../shared/ids.ts'
import type { Deployment, Stamp } from '../facts.ts'
import { auditOfFound, jsonOf } from './batch.ts'
import { deployments, targets, versions } from './schema.ts'

export type Want = { readonly version: VersionId; readonly isWanted: boolean; readonly targets: readonly TargetId[] | null }

const columns = getTableColumns(deployments)

/** As DeploymentStore.want says; those that changed, in order of target. */
export async function want(db: DrizzleD1Database, wanted: Want, stamp: Stamp): Promise<readonly Deployment[]> {
  const anew = { isWanted: wanted.isWanted, state: 'waiting', detail: '', attempts: 0, nextAtMs: stamp.atMs, sinceMs: stamp.atMs } as const
  const made = wanted.isWanted ? await makeAndChange(db, wanted, anew, stamp) : await change(db, wanted, anew, stamp)
  return made.toSorted((a, b) => (a.target < b.target ? -1 : 1))
}

type Anew = Pick<Deployment, 'isWanted' | 'state' | 'detail' | 'attempts' | 'nextAtMs' | 'sinceMs'>

async function makeAndChange(db: DrizzleD1Database, wanted: Want, anew: Anew, stamp: Stamp): Promise<readonly Deployment[]> {
  // What is there is changed first: what is made then is as it shall be already.
  const [, changed, , made] = await db.batch([...changing(db, wanted, anew, stamp), ...making(db, wanted, anew, stamp)])
  return [...changed, ...made]
}

async function change(db: DrizzleD1Database, wanted: Want, anew: Anew, stamp: Stamp): Promise<readonly Deployment[]> {
  const [, changed] = await db.batch(changing(db, wanted, anew, stamp))
  return changed
}

/** Audit rows come first, for they show rows as they are before. */
function changing(db: DrizzleD1Database, wanted: Want, anew: Anew, stamp: Stamp) {
  const isOther = and(
    eq(deployments.version, wanted.version),
    or(not(eq(deployments.isWanted, wanted.isWanted)), eq(deployments.state, 'failed')),
    isNamed(sql`${deployments.target}`, wanted.targets),
  )
  const before = jsonOf(columns)
  const after = sql`json_set(${before}, ${settings(anew, stamp.atMs)}, '$.generation', ${deployments.generation} + 1)`
  const audited = { action: 'update', resource: 'deployment', id: sql`${deployments.target} || '/' || ${deployments.version}` } as const
  return [
    auditOfFound(db, { ...audited, before, after }, stamp, sql`FROM ${deployments} WHERE ${isOther}`),
    db
      .update(deployments)
      .set({ ...anew, generation: sql`${deployments.generation} + 1`, updatedAtMs: stamp.atMs })
      .where(isOther)
      .returning(),
  ] as const
}

function making(db: DrizzleD1Database, wanted: Want, anew: Anew, stamp: Stamp) {
  const { atMs } = stamp
  const missing = sql`FROM ${targets} INNER JOIN ${versions} ON ${versions.model} = ${targets.model}
    WHERE ${and(eq(versions.id, wanted.version), isNamed(sql`${targets.id}`, wanted.targets))}
      AND NOT EXISTS (SELECT 1 FROM ${deployments} WHERE ${deployments.target} = ${targets.id} AND ${deployments.version} = ${versions.id})`
  const row = { version: wanted.version, endpoint: null, generation: 1, createdAtMs: atMs }
  const after = sql`json_set(${JSON.stringify(row)}, '$.target', ${targets.id}, ${settings(anew, atMs)})`
  const audited = {
    action: 'create',
    resource: 'deployment',
    id: sql`${targets.id} || '/' || ${versions.id}`,
    before: null,
    after,
  } as const
  // In the order of the table's columns.
  const values = sql`SELECT ${targets.id}, ${versions.id}, ${anew.isWanted ? 1 : 0}, ${anew.state}, ${anew.detail}, NULL, ${anew.attempts},
    ${anew.nextAtMs}, ${anew.sinceMs}, 1, ${atMs}, ${atMs} ${missing}`
  return [auditOfFound(db, audited, stamp, missing), db.insert(deployments).select(values).returning()] as const
}

/** Names go as one JSON text: D1 binds at most a hundred values to a statement. */
const isNamed = (target: SQL, named: readonly TargetId[] | null): SQL | undefined =>
  named === null ? undefined : sql`${target} IN (SELECT value FROM json_each(${JSON.stringify(named)}))`

/** As arguments of json_set: `json` makes true and false of texts, which SQLite itself has not. */
function settings(anew: Anew, updatedAtMs: number): SQL {
  const pairs = Object.entries({ ...anew, updatedAtMs }).map(
    ([name, value]) => sql`${sql.raw(`'$.${name}'`)}, ${typeof value === 'boolean' ? sql`json(${String(value)})` : sql`${value}`}`,
  )
  return sql.join(pairs, sql`, `)
}
