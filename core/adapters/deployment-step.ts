// One step of one deployment in D1, with the endpoint that is made or deleted with it, in one batch. It takes place only while the row is
// the one that was read; where anything does not hold, nothing is written.

import { and, eq, sql } from 'drizzle-orm'
import type { BatchItem } from 'drizzle-orm/batch'
import type { DrizzleD1Database } from 'drizzle-orm/d1'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { Deployment, Draft, Stamp } from '../facts.ts'
import type { DeploymentStore } from '../ports.ts'
import { auditOf, auditOfFound, guardOfFound, isBroken, jsonOf, says } from './batch.ts'
import { firstMissing, firstUse } from './rows.ts'
import { deployments, endpoints } from './schema.ts'
import { shownOf, tables } from './tables.ts'

export type Step = {
  readonly before: Deployment
  readonly change: Parameters<DeploymentStore['step']>[1]
  readonly endpoint: Draft<'endpoint'> | null
  readonly endpointGone: EndpointId | null
}

/** As DeploymentStore.step says, and not_found. */
export async function step(db: DrizzleD1Database, taken: Step, stamp: Stamp): Promise<Result<Deployment, AdminRefusal>> {
  const { before, change, endpoint, endpointGone } = taken
  const after: Deployment = { ...before, ...change, generation: before.generation + 1, updatedAtMs: stamp.atMs }
  try {
    // The old endpoint goes after the deployment has let go of it, and the new one is there before it is named.
    await db.batch([
      ...guardOfFound(db, sql`FROM ${deployments} WHERE ${isStill(before)}`),
      ...(endpoint ? made(db, endpoint, stamp) : []),
      ...written(db, before, after, stamp),
      ...(endpointGone === null ? [] : deleted(db, endpointGone, stamp)),
    ])
    return ok(after)
  } catch (cause) {
    const refusal = await refusalOf(db, taken, cause)
    if (refusal) return err(refusal)
    throw new Error(`deployments: a step of ${idOf(before)} could not be stored`, { cause })
  }
}

const idOf = ({ target, version }: Deployment): string => `${target}/${version}`

const isOf = ({ target, version }: Deployment) => and(eq(deployments.target, target), eq(deployments.version, version))

const isStill = (row: Deployment) =>
  and(isOf(row), eq(deployments.generation, row.generation), eq(deployments.createdAtMs, row.createdAtMs))

/** Polls and back-offs are no news to the audit log: it hears of states and endpoints. */
function written(db: DrizzleD1Database, before: Deployment, after: Deployment, stamp: Stamp): readonly BatchItem<'sqlite'>[] {
  const audited = { action: 'update', resource: 'deployment', resourceId: idOf(before), before, after } as const
  const isNews = before.state !== after.state || before.endpoint !== after.endpoint
  return [db.update(deployments).set(after).where(isStill(before)), ...(isNews ? [auditOf(db, audited, stamp)] : [])]
}

function made(db: DrizzleD1Database, draft: Draft<'endpoint'>, stamp: Stamp): readonly BatchItem<'sqlite'>[] {
  const values = { ...draft, generation: 1, createdAtMs: stamp.atMs, updatedAtMs: stamp.atMs }
  const after = shownOf('endpoint', values)
  const audited = { action: 'create', resource: 'endpoint', resourceId: draft.id, before: null, after } as const
  return [db.insert(endpoints).values(values), auditOf(db, audited, stamp)]
}

/** Nothing where somebody deleted it before. */
function deleted(db: DrizzleD1Database, id: EndpointId, stamp: Stamp): readonly BatchItem<'sqlite'>[] {
  const isIt = eq(endpoints.id, id)
  const before = jsonOf(tables.endpoint.columns)
  const audited = { action: 'delete', resource: 'endpoint', id: sql`${endpoints.id}`, before, after: null } as const
  return [auditOfFound(db, audited, stamp, sql`FROM ${endpoints} WHERE ${isIt}`), db.delete(endpoints).where(isIt)]
}

async function refusalOf(db: DrizzleD1Database, taken: Step, cause: unknown): Promise<AdminRefusal | null> {
  const { before, endpoint } = taken
  if (isBroken(cause)) {
    const [now] = await db.select({ generation: deployments.generation }).from(deployments).where(isOf(before))
    return now ? { reason: 'generation_mismatch', current: now.generation } : { reason: 'not_found', what: 'deployment', id: idOf(before) }
  }
  if (endpoint && says(cause, 'UNIQUE constraint failed: endpoints.id')) {
    return { reason: 'already_exists', what: 'endpoint', id: endpoint.id }
  }
  return says(cause, 'FOREIGN KEY constraint failed') ? foreign(db, taken) : null
}

/** SQLite does not say which key failed: what is named is looked up. */
async function foreign(db: DrizzleD1Database, { change, endpoint, endpointGone }: Step): Promise<AdminRefusal> {
  const missing = endpoint && (await firstMissing(db, 'endpoint', endpoint))
  if (missing) return missing
  const used = endpointGone === null ? null : await firstUse(db, 'endpoint', { id: endpointGone })
  if (used) return used
  const detail = `the endpoint "${change.endpoint ?? ''}" does not exist`
  return { reason: 'missing_reference', what: 'endpoint', detail }
}
