// Rollouts in D1, as they are read and made. How one changes is in rollout-commit.ts. A rollout is never deleted, and its transitions are
// only ever appended to: triggers see to that.

import { and, asc, desc, eq, lt, sql } from 'drizzle-orm'
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { Environment, ModelName, RolloutId, VersionId } from '../../shared/ids.ts'
import type { OpenRollout, RolloutFilter, Stamp } from '../facts.ts'
import type { RolloutRow, RolloutStore } from '../ports.ts'
import type { Rollout, Transition } from '../rollout/record.ts'
import { auditOf } from './batch.ts'
import { commit, insertOf, refusalOf } from './rollout-commit.ts'
import { auditedPart, readRollout } from './rollout-record.ts'
import { aliases, models, rollouts, rolloutTransitions } from './schema.ts'

export function rolloutStore(d1: D1Database): RolloutStore {
  const db = drizzle(d1)
  return {
    open: () => open(db),
    get: (id) => get(db, id),
    list: (page) => list(db, page),
    transitions: (id) => transitions(db, id),
    create: (draft, stamp) => create(db, draft, stamp),
    commit: (before, moved, beside, stamp) => commit(db, { before, moved, ...beside }, stamp),
    recentStables: (environment, model, limit) => recentStables(db, environment, model, limit),
  }
}

/** Of too many, drafts that nobody submits are left out before what is live. */
async function open(db: DrizzleD1Database): Promise<readonly OpenRollout[]> {
  const rows = await db
    .select({
      seq: rollouts.seq,
      record: rollouts.record,
      ttftP95MsMax: models.ttftP95MsMax,
      tpotP95MsMax: models.tpotP95MsMax,
      accuracyTargetBp: models.accuracyTargetBp,
      operatingPerS: models.operatingPerS,
    })
    .from(rollouts)
    .innerJoin(models, eq(models.name, rollouts.model))
    .where(eq(rollouts.isOpen, true))
    .orderBy(desc(rollouts.isLive), asc(rollouts.seq))
    .limit(limits.rolloutsOpenMax)
  return rows
    .toSorted((a, b) => a.seq - b.seq)
    .map(({ seq: _order, record, ...objectives }) => ({ rollout: readRollout(record), objectives }))
}

async function get(db: DrizzleD1Database, id: RolloutId): Promise<Rollout | null> {
  const [row] = await db.select({ record: rollouts.record }).from(rollouts).where(eq(rollouts.id, id))
  return row ? readRollout(row.record) : null
}

async function list(db: DrizzleD1Database, page: RolloutFilter): Promise<readonly RolloutRow[]> {
  const { environment, model, live, beforeSeq, limit } = page
  const rows = await db
    .select({ seq: rollouts.seq, record: rollouts.record })
    .from(rollouts)
    .where(
      and(
        environment === null ? undefined : eq(rollouts.environment, environment),
        model === null ? undefined : eq(rollouts.model, model),
        live ? eq(rollouts.isLive, true) : undefined,
        beforeSeq === null ? undefined : lt(rollouts.seq, beforeSeq),
      ),
    )
    .orderBy(desc(rollouts.seq))
    .limit(limit)
  return rows.map(({ seq, record }) => ({ seq, rollout: readRollout(record) }))
}

async function transitions(db: DrizzleD1Database, id: RolloutId): Promise<readonly Transition[]> {
  const rows = await db
    .select()
    .from(rolloutTransitions)
    .where(eq(rolloutTransitions.rollout, id))
    .orderBy(asc(rolloutTransitions.generation))
  return rows.map(({ rollout: _its, ...transition }) => transition as Transition)
}

async function create(db: DrizzleD1Database, draft: Rollout, stamp: Stamp): Promise<Result<null, AdminRefusal>> {
  const after = auditedPart(draft)
  const audited = { action: 'create', resource: 'rollout', resourceId: draft.id, before: null, after } as const
  try {
    await db.batch([insertOf(db, draft, stamp.atMs), auditOf(db, audited, stamp)])
    return ok(null)
  } catch (cause) {
    const refusal = await refusalOf(db, draft, cause)
    if (refusal) return err(refusal)
    throw new Error('rollouts: one could not be made', { cause })
  }
}

/** Newest by the time of success: a draft may be older than one that was over before it. */
async function recentStables(
  db: DrizzleD1Database,
  environment: Environment,
  model: ModelName,
  limit: number,
): Promise<readonly VersionId[]> {
  const present = db
    .select({ stable: aliases.stable })
    .from(aliases)
    .where(and(eq(aliases.environment, environment), eq(aliases.model, model)))
  const rows = await db
    .select({ version: rollouts.fromVersion })
    .from(rollouts)
    .where(
      and(
        eq(rollouts.environment, environment),
        eq(rollouts.model, model),
        eq(rollouts.phase, 'succeeded'),
        sql`${rollouts.fromVersion} IS NOT (${present})`,
      ),
    )
    .groupBy(rollouts.fromVersion)
    .orderBy(sql`max(${rollouts.record} ->> 'enteredAtMs') DESC`, sql`max(${rollouts.seq}) DESC`)
    .limit(limit)
  return rows.map(({ version }) => version)
}
