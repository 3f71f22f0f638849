// One change of a rollout in D1: the rollout, its transition, the alias, the rollout that it makes, outbox, verdicts and audit rows in one
// batch, which D1 runs as one transaction. What the batch rests on stands in it as guards: where one does not hold, nothing is written.

import { and, eq, inArray, sql } from 'drizzle-orm'
import type { BatchItem } from 'drizzle-orm/batch'
import type { DrizzleD1Database } from 'drizzle-orm/d1'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { Verdict } from '../../shared/wire/gate.ts'
import type { Stamp } from '../facts.ts'
import type { Moved } from '../rollout/change.ts'
import { isLive, type Rollout } from '../rollout/record.ts'
import { auditOf, auditOfFound, guardOfChange, isBroken, jsonOf, says } from './batch.ts'
import { auditedPart, isOpen, writeRollout, writesOf, type AliasWrite } from './rollout-record.ts'
import { aliases, models, outbox, rollouts, rolloutTransitions, versions } from './schema.ts'
import { tables } from './tables.ts'
import { keepingOf } from './verdicts.ts'

type Commit = { readonly before: Rollout; readonly moved: Moved; readonly verdicts: readonly Verdict[] }

/** As RolloutStore.commit says. Refusals: those, and missing_reference and already_exists of the rollout that it makes; not_found. */
export async function commit(db: DrizzleD1Database, change: Commit, stamp: Stamp): Promise<Result<null, AdminRefusal>> {
  const { before, moved } = change
  const said = { ...stamp, reason: moved.rollout.last?.reason ?? stamp.reason }
  try {
    await db.batch([updateOf(db, before, moved.rollout, stamp.atMs), ...statementsOf(db, change, said)])
    return ok(null)
  } catch (cause) {
    const refusal = isBroken(cause) ? await brokenBy(db, before) : await refusalOf(db, before, cause)
    if (refusal) return err(refusal)
    throw new Error(`rollouts: the change ${before.id}/${moved.rollout.generation} could not be stored`, { cause })
  }
}

/** What follows the update of the rollout, which the first guard is about. */
function statementsOf(db: DrizzleD1Database, { before, moved, verdicts }: Commit, stamp: Stamp): readonly BatchItem<'sqlite'>[] {
  const { atMs } = stamp
  const { created, transitions, aliases, outbox: follows } = writesOf(before, moved)
  return [
    ...guardOfChange(db),
    auditOf(
      db,
      { action: 'update', resource: 'rollout', resourceId: before.id, before: auditedPart(before), after: auditedPart(moved.rollout) },
      stamp,
    ),
    ...created.flatMap((each) => [
      insertOf(db, each, atMs),
      auditOf(db, { action: 'create', resource: 'rollout', resourceId: each.id, before: null, after: auditedPart(each) }, stamp),
    ]),
    ...transitions.map(({ rollout, transition }) => db.insert(rolloutTransitions).values({ rollout, ...transition })),
    ...aliases.flatMap((write) => aliasStatements(db, write, stamp)),
    ...follows.map((row) => db.insert(outbox).values({ ...row, atMs, doneAtMs: null })),
    ...verdicts.flatMap((verdict) => keepingOf(db, verdict)),
  ]
}

const columnsOf = (rollout: Rollout, atMs: number) => ({
  phase: rollout.phase,
  isLive: isLive(rollout),
  isOpen: isOpen(rollout),
  record: writeRollout(rollout),
  generation: rollout.generation,
  updatedAtMs: atMs,
})

/** A rollout that is made. */
export const insertOf = (db: DrizzleD1Database, rollout: Rollout, atMs: number) =>
  db.insert(rollouts).values({
    id: rollout.id,
    environment: rollout.environment,
    model: rollout.model,
    fromVersion: rollout.from,
    toVersion: rollout.to,
    ...columnsOf(rollout, atMs),
    createdAtMs: atMs,
  })

const updateOf = (db: DrizzleD1Database, before: Rollout, after: Rollout, atMs: number) =>
  db
    .update(rollouts)
    .set(columnsOf(after, atMs))
    .where(and(eq(rollouts.id, before.id), eq(rollouts.generation, before.generation)))

/** The audit row comes first, for it shows the alias as it is before; where there is no such alias, it is what breaks the batch. */
function aliasStatements(db: DrizzleD1Database, { rollout, effect, foundAs }: AliasWrite, stamp: Stamp): readonly BatchItem<'sqlite'>[] {
  const { environment, model, stable, canary, weightBp, shadowBp, salt, generation } = effect
  const change = { stable, canary, weightBp, shadowBp, salt, rollout, rolloutGeneration: generation, updatedAtMs: stamp.atMs }
  const isFound = and(eq(aliases.environment, environment), eq(aliases.model, model), inArray(aliases.stable, [...foundAs]))
  const before = jsonOf(tables.alias.columns)
  const audited = {
    action: 'update',
    resource: 'alias',
    id: sql`${aliases.environment} || '/' || ${aliases.model}`,
    before,
    // As a patch it would lose the fields that become null.
    after: sql`json_set(${before}, '$.generation', ${aliases.generation} + 1, ${settings(change)})`,
  } as const
  return [
    auditOfFound(db, audited, stamp, sql`FROM ${aliases} WHERE ${isFound}`),
    ...guardOfChange(db),
    db
      .update(aliases)
      .set({ ...change, generation: sql`${aliases.generation} + 1` })
      .where(isFound),
  ]
}

const settings = (change: Readonly<Record<string, string | number | null>>) =>
  sql.join(
    Object.entries(change).map(([name, value]) => sql`${sql.raw(`'$.${name}'`)}, ${value}`),
    sql`, `,
  )

/** Which guard broke the batch. A generation only ever rises: while it is the same, it was not the rollout's. */
async function brokenBy(db: DrizzleD1Database, { id, generation, environment, model }: Rollout): Promise<AdminRefusal> {
  const [now] = await db.select({ generation: rollouts.generation }).from(rollouts).where(eq(rollouts.id, id))
  if (!now) return { reason: 'not_found', what: 'rollout', id }
  if (now.generation !== generation) return { reason: 'generation_mismatch', current: now.generation }
  return { reason: 'alias_moved', environment, model }
}

/** What the database's own rules say no to, as a refusal; null where it is none of those. */
export async function refusalOf(db: DrizzleD1Database, rollout: Rollout, cause: unknown): Promise<AdminRefusal | null> {
  const { environment, model } = rollout
  if (says(cause, 'UNIQUE constraint failed: rollouts.environment')) {
    const isOther = and(eq(rollouts.environment, environment), eq(rollouts.model, model), eq(rollouts.isLive, true))
    const [other] = await db.select({ id: rollouts.id }).from(rollouts).where(isOther)
    return { reason: 'rollout_active', environment, model, rollout: other?.id ?? null }
  }
  if (says(cause, 'UNIQUE constraint failed: rollouts.id')) return { reason: 'already_exists', what: 'rollout', id: rollout.id }
  return says(cause, 'FOREIGN KEY constraint failed') ? missing(db, rollout) : null
}

/** SQLite does not say which key failed: what is named is looked up. */
async function missing(db: DrizzleD1Database, { model, from, to }: Rollout): Promise<AdminRefusal> {
  const [named] = await db.select({ name: models.name }).from(models).where(eq(models.name, model))
  const there = await db
    .select({ id: versions.id })
    .from(versions)
    .where(inArray(versions.id, [from, to]))
  const isThere = (version: string): boolean => there.some(({ id }) => id === version)
  const absent = (what: string, kind: string, id: string): AdminRefusal => ({
    reason: 'missing_reference',
    what,
    detail: `the ${kind} "${id}" does not exist`,
  })
  if (!named) return absent('model', 'model', model)
  if (!isThere(from)) return absent('from', 'version', from)
  if (!isThere(to)) return absent('to', 'version', to)
  return { reason: 'missing_reference', what: 'rollout', detail: `one of the versions is not of the model "${model}"` }
}
