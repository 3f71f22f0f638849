// A rollout as text in the database, and what of one change is written where. Pure; nothing here decides what happens to a rollout.

import * as v from 'valibot'
import type { RolloutId, VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { assert } from '../../shared/result.ts'
import type { EffectKind, OutboxRow } from '../facts.ts'
import type { Moved } from '../rollout/change.ts'
import { isOver, phases, type Effect, type Rollout, type Transition } from '../rollout/record.ts'
import type { RefusedEffect, StartRefused } from '../webhook-events.ts'

/** Of a weight step, what was not always there. Other fields, and other kinds of steps, are as they were written. */
const stepSchema = v.looseObject({ kind: v.string() })
const withProof = (step: v.InferOutput<typeof stepSchema>): object => (step.kind === 'weight' ? { proof: false, ...step } : step)

/** What every rollout has had, and for what came later what it means that it is missing. */
const recordSchema = v.looseObject({
  id: v.string(),
  environment: v.string(),
  model: v.string(),
  from: v.string(),
  to: v.string(),
  phase: v.picklist(phases),
  generation: v.number(),
  steps: v.pipe(
    v.array(stepSchema),
    v.transform((steps) => steps.map(withProof)),
  ),
  gates: v.optional(v.array(v.looseObject({ gate: v.string(), mode: v.string() })), []),
  plannedRequests: v.optional(v.number(), limits.rolloutProofRequests),
  fourEyes: v.optional(v.boolean(), true),
  retryOf: v.optional(v.nullable(v.string()), null),
  rollbackOf: v.optional(v.nullable(v.string()), null),
  successor: v.optional(v.nullable(v.string()), null),
  shadowBp: v.optional(v.number(), 0),
  extended: v.optional(v.boolean(), false),
  unmeasured: v.optional(v.number(), 0),
  stableHeldUntilMs: v.optional(v.nullable(v.number()), null),
})

/** Reads a stored rollout; fields that it was written without get their defaults. Throws where the text is no rollout. */
export function readRollout(text: string): Rollout {
  const parsed = v.safeParse(recordSchema, JSON.parse(text))
  if (parsed.success) return parsed.output as unknown as Rollout
  throw new Error(`rollouts: a stored record cannot be read: ${v.getDotPath(parsed.issues[0]) ?? 'record'}: ${parsed.issues[0].message}`)
}

export const writeRollout = (rollout: Rollout): string => JSON.stringify(rollout)

/** Whether the loop has something to do with it: it is not over, or holds the old version yet. */
export const isOpen = (rollout: Rollout): boolean => !isOver(rollout) || rollout.stableHeldUntilMs !== null

/** What the audit log says of a rollout. Its versions and steps are in the rollout, which is never deleted. */
export const auditedPart = ({ phase, stepIndex, weightBp, shadowBp, generation }: Rollout) => ({
  phase,
  stepIndex,
  weightBp,
  shadowBp,
  generation,
})

type EffectOf<K extends Effect['kind']> = Extract<Effect, { readonly kind: K }>

/** A write of an alias: whose it is, and the stable versions with which it may be found. */
export type AliasWrite = { readonly rollout: RolloutId; readonly effect: EffectOf<'alias'>; readonly foundAs: readonly VersionId[] }
export type TransitionWrite = { readonly rollout: RolloutId; readonly transition: Transition }

/** One change, by what it writes. */
export type Writes = {
  readonly created: readonly Rollout[]
  readonly transitions: readonly TransitionWrite[]
  readonly aliases: readonly AliasWrite[]
  readonly outbox: readonly Pick<OutboxRow, 'id' | 'rollout' | 'kind' | 'payload'>[]
}

/** Sorts the effects of a change, and of the rollout that it makes, by where they are written. */
export function writesOf(before: Rollout, { rollout, effects }: Moved): Writes {
  assert(before.id === rollout.id && rollout.generation === before.generation + 1, 'a change is of one rollout, and its next generation')
  const created = effects.flatMap((effect) => (effect.kind === 'create' ? [effect.rollout] : []))
  const written = [rollout, ...created]
  const owned = effects.map((effect) => ({ effect, owner: ownerOf(effect, written) }))
  return {
    created,
    transitions: written.flatMap(({ id, last }) => (last ? [{ rollout: id, transition: last }] : [])),
    aliases: owned.flatMap(({ effect, owner }) => (effect.kind === 'alias' ? [aliasWriteOf(effect, owner)] : [])),
    outbox: owned.flatMap(({ effect, owner }) => (effect.kind === 'alias' || effect.kind === 'create' ? [] : [outboxRowOf(effect, owner)])),
  }
}

/** An effect's key begins with the id of the rollout that it follows from. */
function ownerOf(effect: Effect, written: readonly Rollout[]): Rollout {
  const owner = written.find(({ id }) => effect.key.startsWith(`${id}/`))
  assert(owner, `the effect ${effect.key} is of no rollout of this change`)
  return owner
}

/** The alias is as the rollout left it, or is in the end what this write makes of it. */
const aliasWriteOf = (effect: EffectOf<'alias'>, { id, from }: Rollout): AliasWrite => ({
  rollout: id,
  effect,
  foundAs: [from, effect.stable],
})

const outboxRowOf = (effect: EffectOf<EffectKind>, { id }: Rollout): Writes['outbox'][number] => ({
  id: effect.key,
  rollout: id,
  kind: effect.kind,
  payload: JSON.stringify(effect),
})

/** A refused start changes no rollout, so its row is not among a change's effects; nor need there be a rollout with this id. */
export function refusedRow(id: RolloutId, refused: StartRefused, atMs: number): Omit<OutboxRow, 'seq'> {
  const effect: RefusedEffect = { kind: 'start_refused', refused }
  return { id: `${id}/${atMs}/refused`, rollout: id, kind: 'notify', payload: JSON.stringify(effect), atMs }
}
