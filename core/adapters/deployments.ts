// Deployments in D1: which version is wanted at which target, and how far that is. What is wanted is written for all targets at once; a
// step is one row's, with the endpoint that comes or goes with it. Nothing here brings anything anywhere.

import { and, asc, eq, getTableColumns, lte, or, sql } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import type { TargetId, VersionId } from '../../shared/ids.ts'
import type { Deployment, Row } from '../facts.ts'
import type { DeploymentStore } from '../ports.ts'
import { step } from './deployment-step.ts'
import { readRollout } from './rollout-record.ts'
import { aliases, deployments, isUnfinished, rollouts, targets, versions } from './schema.ts'
import { tables } from './tables.ts'
import { want } from './wanted.ts'

export function deploymentStore(d1: D1Database): DeploymentStore {
  const db = drizzle(d1)
  return {
    list: (page) => list(db, page),
    get: (target, version) => get(db, target, version),
    due: (nowMs, limit) => due(db, nowMs, limit),
    want: (version, isWanted, at, stamp) => want(db, { version, isWanted, targets: at }, stamp),
    step: (before, change, rows, stamp) => step(db, { before, change, ...rows }, stamp),
    async targetsOf(model) {
      const rows = await db.select(tables.target.columns).from(targets).where(eq(targets.model, model)).orderBy(asc(targets.id))
      return rows as unknown as readonly Row<'target'>[]
    },
    uses: (version) => uses(db, version),
  }
}

async function list(db: DrizzleD1Database, page: Parameters<DeploymentStore['list']>[0]): Promise<readonly Deployment[]> {
  const { version, afterKey, limit } = page
  return db
    .select()
    .from(deployments)
    .where(
      and(
        version === null ? undefined : eq(deployments.version, version),
        afterKey === null ? undefined : sql`(${deployments.target}, ${deployments.version}) > (${afterKey[0]}, ${afterKey[1]})`,
      ),
    )
    .orderBy(asc(deployments.target), asc(deployments.version))
    .limit(limit)
}

async function get(db: DrizzleD1Database, target: TargetId, version: VersionId): Promise<Deployment | null> {
  const isIt = and(eq(deployments.target, target), eq(deployments.version, version))
  const [row] = await db.select().from(deployments).where(isIt)
  return row ?? null
}

/** By the index of what is unfinished: what is as it is wanted costs nothing, however much there is. */
function due(db: DrizzleD1Database, nowMs: number, limit: number): ReturnType<DeploymentStore['due']> {
  const { id, model, artifact, digest, flags } = versions
  return db
    .select({ deployment: getTableColumns(deployments), target: getTableColumns(targets), version: { id, model, artifact, digest, flags } })
    .from(deployments)
    .innerJoin(targets, eq(targets.id, deployments.target))
    .innerJoin(versions, eq(versions.id, deployments.version))
    .where(and(isUnfinished, lte(deployments.nextAtMs, nowMs)))
    .orderBy(asc(deployments.nextAtMs), asc(deployments.target), asc(deployments.version))
    .limit(limit) as unknown as ReturnType<DeploymentStore['due']>
}

async function uses(db: DrizzleD1Database, version: VersionId): ReturnType<DeploymentStore['uses']> {
  const [named, moved] = await db.batch([
    db
      .select({ stable: aliases.stable, canary: aliases.canary })
      .from(aliases)
      .where(or(eq(aliases.stable, version), eq(aliases.canary, version)))
      .orderBy(asc(aliases.environment), asc(aliases.model)),
    db
      .select({ record: rollouts.record })
      .from(rollouts)
      .where(and(eq(rollouts.isOpen, true), or(eq(rollouts.fromVersion, version), eq(rollouts.toVersion, version))))
      .orderBy(asc(rollouts.seq)),
  ])
  return { aliases: named, rollouts: moved.map(({ record }) => readRollout(record)) }
}
