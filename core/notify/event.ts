// From what waits in the outbox to the event that webhooks are told. Pure. It invents nothing: the change, the rollout and the verdicts are
// shown as they are stored.

import type { Verdict } from '../../shared/wire/gate.ts'
import type { DeliveryRow, OutboxRow } from '../facts.ts'
import {
  toldPhases,
  type Effect,
  type PhaseEvent,
  type RefusedEffect,
  type Rollout,
  type ToldPhase,
  type ToldRollout,
  type Transition,
  type WebhookEvent,
} from '../webhook-events.ts'

/** A rollout with all its changes, in order, and its newest verdicts, newest first. */
export type Told = { readonly rollout: Rollout; readonly transitions: readonly Transition[]; readonly verdicts: readonly Verdict[] }

type EffectOf<K extends Effect['kind']> = Extract<Effect, { readonly kind: K }>

/**
 * null where the row is nothing to tell: it cannot be read, is of a phase that has no event, or is a change of a rollout that is not there. A refused
 * start has all that is told in its row, and no rollout need be there.
 */
export function eventOf(row: Pick<OutboxRow, 'payload' | 'atMs'>, told: Told | null): WebhookEvent | null {
  const effect = effectOf(row.payload)
  const timestamp = new Date(row.atMs).toISOString()
  if (effect?.kind === 'start_refused') return { type: 'rollout.start_refused', timestamp, data: effect.refused }
  if (!told) return null
  const rollout = shown(told.rollout)
  if (effect?.kind === 'outbox') return { type: 'rollout.transition', timestamp, data: { rollout, transition: effect.transition } }
  if (effect?.kind !== 'notify' || !isTold(effect.about)) return null
  const transition = told.transitions.find(({ generation }) => effect.key.startsWith(`${effect.rollout}/${generation}/`)) ?? null
  const verdicts = transition ? groundsOf(transition, told) : []
  const data: PhaseEvent['data'] = { rollout, transition, text: effect.text, verdicts }
  return { type: `rollout.${effect.about}`, timestamp, data }
}

/** What the store wrote; null for anything else, so that one broken row does not hold up all others for ever. */
function effectOf(payload: string): EffectOf<'outbox'> | EffectOf<'notify'> | RefusedEffect | null {
  try {
    const value: unknown = JSON.parse(payload)
    if (typeof value !== 'object' || value === null || !('kind' in value)) return null
    if (value.kind === 'outbox' && 'transition' in value) return value as EffectOf<'outbox'>
    if (value.kind === 'start_refused' && 'refused' in value) return value as RefusedEffect
    return value.kind === 'notify' && 'about' in value && 'key' in value ? (value as EffectOf<'notify'>) : null
  } catch {
    return null
  }
}

const isTold = (phase: Rollout['phase']): phase is ToldPhase => toldPhases.some((each) => each === phase)

function shown(rollout: Rollout): ToldRollout {
  const { id, environment, model, from, to, phase, stepIndex, weightBp, shadowBp, generation } = rollout
  return { id, environment, model, from, to, phase, stepIndex, weightBp, shadowBp, generation }
}

/**
 * The verdicts on which a change rests: of the newest look before it each gate's last word, where that was no pass and was more than a note.
 * The end of an abort rests on what the abort did. A person's command, or a deadline, rests on none.
 */
function groundsOf(transition: Transition, { transitions, verdicts }: Told): readonly Verdict[] {
  const isEnd = transition.to === 'rolled_back' || transition.to === 'superseded'
  const stop = isEnd ? transitions.findLast(({ to, generation }) => to === 'aborting' && generation < transition.generation) : transition
  if (stop?.input !== 'verdict') return []
  const before = verdicts.filter(({ atMs, mode }) => atMs <= stop.atMs && mode !== 'observe')
  const step = before[0]?.step
  const lastWords = before.filter(
    (verdict, index) => verdict.step === step && before.findIndex(({ gate }) => gate === verdict.gate) === index,
  )
  // Only a failure aborts; beside it others may have been undecided.
  return lastWords.filter(({ answer }) => (stop.to === 'aborting' ? answer === 'fail' : answer !== 'pass'))
}

/** The event of a delivery, as receivers know it: the same for all webhooks, and each time it is told. */
export const eventIdOf = ({ id, webhook }: Pick<DeliveryRow, 'id' | 'webhook'>): string =>
  id.endsWith(`/${webhook}`) ? id.slice(0, -webhook.length - 1) : id
