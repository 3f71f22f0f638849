// The events that webhooks tell, as they are sent: types and constant lists only. A type of event always has the same data.

import type { RolloutId } from '../shared/ids.ts'
import type { Verdict } from '../shared/wire/gate.ts'
import type { Effect, Phase, Rollout, Transition } from './rollout/record.ts'

// Stages do not import each other: what notify needs of a rollout it has from here.
export type { Effect, Rollout, Transition }

/** Phases that have an event of their own: somebody may have to do something, or it is over (core/rollout/change.ts). */
export const toldPhases = [
  'pending_approval',
  'paused',
  'aborting',
  'succeeded',
  'rolled_back',
  'superseded',
  'rejected',
] as const satisfies readonly Phase[]
export type ToldPhase = (typeof toldPhases)[number]

export type WebhookEventType = 'rollout.transition' | 'rollout.start_refused' | `rollout.${ToldPhase}`
export const webhookEventTypes: readonly WebhookEventType[] = [
  'rollout.transition',
  'rollout.start_refused',
  ...toldPhases.map((phase) => `rollout.${phase}` as const),
]

/** The rollout as it was when the event was written down: a moment after the change, so that it may have gone on. */
export type ToldRollout = Pick<
  Rollout,
  'id' | 'environment' | 'model' | 'from' | 'to' | 'phase' | 'stepIndex' | 'weightBp' | 'shadowBp' | 'generation'
>

/** Each change of a rollout. */
export type TransitionEvent = {
  readonly type: 'rollout.transition'
  /** ISO 8601, UTC: when it happened. */
  readonly timestamp: string
  readonly data: { readonly rollout: ToldRollout; readonly transition: Transition }
}

/** The change into one of the phases above. */
export type PhaseEvent = {
  readonly type: `rollout.${ToldPhase}`
  readonly timestamp: string
  readonly data: {
    readonly rollout: ToldRollout
    /** null: the list of changes does not have it any more. */
    readonly transition: Transition | null
    /** One sentence for people. */
    readonly text: string
    /** The verdicts that stopped it, as they are stored; none where no gate did. */
    readonly verdicts: readonly Verdict[]
  }
}

/** A start that gates before traffic refused. */
export type StartRefused = {
  /** `id` is null where the rollout was to be made and started in one: there is none then. */
  readonly rollout: Pick<Rollout, 'environment' | 'model' | 'from' | 'to'> & { readonly id: RolloutId | null }
  /** Who wanted to start it, and why. */
  readonly actor: string
  readonly reason: string
  /** Those that failed, as they are stored. */
  readonly verdicts: readonly Verdict[]
}

/** As it waits in the outbox; the effects of changes are in core/rollout/record.ts. */
export type RefusedEffect = { readonly kind: 'start_refused'; readonly refused: StartRefused }

export type StartRefusedEvent = {
  readonly type: 'rollout.start_refused'
  readonly timestamp: string
  readonly data: StartRefused
}

export type WebhookEvent = TransitionEvent | PhaseEvent | StartRefusedEvent
