// One rollout driven by hand in virtual time: what tests of the state machine say and see. Nothing here decides.

import type { ModelName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { draftOf, type Moved } from '../../../core/rollout/change.ts'
import { next } from '../../../core/rollout/machine.ts'
import { promoteFullScope, type Command, type Effect, type Input, type Making, type Rollout } from '../../../core/rollout/record.ts'
import type { Step } from '../../../core/rollout/steps.ts'

export const minute = 60_000
export const v1 = 'v1' as VersionId
export const v2 = 'v2' as VersionId
export const r1 = 'r1' as RolloutId
export const r2 = 'r2' as RolloutId

export const weight = (weightBp: number, bakeMs = 10 * minute): Step => ({
  kind: 'weight',
  weightBp,
  bakeMs,
  minRequests: 100,
  proof: false,
})
export const shadow = (shareBp: number): Step => ({ kind: 'shadow', shareBp, forMs: 10 * minute })
export const approval: Step = { kind: 'approval' }
export const analysis: Step = { kind: 'analysis', gates: ['accuracy'], withinMs: 30 * minute }
export const pauseUntil = (untilMs: number | null): Step => ({ kind: 'pause', untilMs })

export const gates: Rollout['gates'] = [
  { gate: 'accuracy', mode: 'pause' },
  { gate: 'no_harm', mode: 'abort' },
]

const making = (steps: readonly Step[]): Making => ({
  id: r1,
  environment: 'production',
  model: 'atlas' as ModelName,
  from: v1,
  to: v2,
  steps,
  gates,
  plannedRequests: 2_000,
  salt: 'salt',
  createdBy: 'ada',
  fourEyes: true,
})

const by = (actor: string) => ({ actor, reason: `${actor} wants it` })
export const say = (
  kind: 'submit' | 'approve' | 'reject' | 'start' | 'pause' | 'resume' | 'promote' | 'abort',
  actor = 'grace',
): Command => ({
  kind,
  ...by(actor),
})
export const promoteFull = (approver: string | null = 'ada', scopes: readonly string[] = [promoteFullScope]): Command => ({
  kind: 'promote_full',
  ...by('grace'),
  approver,
  scopes,
})
export const retry = (stable = v1): Command => ({ kind: 'retry', ...by('grace'), id: r2, salt: 'other', stable })
export const rollback = (
  more: { readonly to?: VersionId; readonly stable?: VersionId; readonly recent?: readonly VersionId[] } = {},
): Command => ({
  kind: 'rollback',
  ...by('grace'),
  id: r2,
  salt: 'other',
  stable: more.stable ?? v2,
  to: more.to ?? v1,
  recent: more.recent ?? [v1],
})
export const supersede: Command = { kind: 'supersede', ...by('grace'), by: 'r9' as RolloutId }

export class Ride {
  rollout: Rollout
  atMs = 1_000_000
  weightBpMax: number | null = 10_000
  /** Effects of the last change. */
  effects: readonly Effect[] = []

  constructor(steps: readonly Step[], rollout: Rollout = draftOf(making(steps), 1_000_000)) {
    this.rollout = rollout
  }

  try(input: Input) {
    return next(this.rollout, input, { atMs: this.atMs, weightBpMax: this.weightBpMax })
  }

  /** Must be taken. */
  take(...inputs: readonly Input[]): this {
    for (const input of inputs) {
      const moved = this.try(input)
      if (!moved.ok) throw new Error(`${input.kind} in ${this.rollout.phase}: ${JSON.stringify(moved.error)}`)
      this.hold(moved.value)
    }
    return this
  }

  hold(moved: Moved): void {
    this.rollout = moved.rollout
    this.effects = moved.effects
  }

  /** Must be refused, for this reason, and leave the rollout as it is. */
  refuse(input: Input, reason: string): this {
    const moved = this.try(input)
    const became = moved.ok ? `taken, to ${moved.value.rollout.phase}` : moved.error.reason
    if (became !== reason) throw new Error(`${input.kind} in ${this.rollout.phase}: ${became} instead of ${reason}`)
    return this
  }

  pass(ms: number): this {
    this.atMs += ms
    return this
  }

  effect<K extends Effect['kind']>(kind: K) {
    return this.effects.find((each): each is Extract<Effect, { readonly kind: K }> => each.kind === kind)
  }

  // ---- What the loop sees when all goes well ----

  settled(more: { readonly trafficBp?: number; readonly canaryRequests?: number; readonly generation?: number } = {}): Input {
    const { aliasGeneration } = this.rollout
    return { kind: 'settled', generation: aliasGeneration, trafficBp: 9_900, canaryRequests: limits.rolloutFirstRequests, ...more }
  }

  drained(more: { readonly trafficBp?: number; readonly canaryInFlight?: number; readonly stableWhole?: boolean } = {}): Input {
    const { aliasGeneration: generation } = this.rollout
    return { kind: 'drained', generation, trafficBp: 10_000, canaryInFlight: 0, stableWhole: true, ...more }
  }

  /** To the canary being warm, and so in its first step. */
  begin(approver = 'grace'): this {
    return this.take(say('submit', 'ada'), say('approve', approver), say('start'), { kind: 'warmed' })
  }

  /** From shifting to judging: with as many requests as the largest of the default steps wants, unless said otherwise. */
  bake(canaryRequests: number = limits.rolloutProofRequests): this {
    this.take(this.settled())
    this.atMs = this.rollout.bakeEndsAtMs ?? this.atMs
    return this.take({ kind: 'bake_over', canaryRequests })
  }

  /** Through the step under way. */
  step(): this {
    return this.bake().take(passed)
  }

  expire(trafficBp = 0): this {
    this.atMs = this.rollout.deadlineMs ?? this.atMs
    return this.take({ kind: 'timeout', trafficBp })
  }

  /** To the end, from promoting. */
  finish(): this {
    return this.take(this.settled())
  }
}

export const verdict = (result: 'pass' | 'fail' | 'inconclusive' | 'no_data', mode: 'observe' | 'pause' | 'abort' = 'abort'): Input => ({
  kind: 'verdict',
  result,
  mode,
  gate: 'errors',
  detail: '',
})
export const passed = verdict('pass')
export const failed = verdict('fail')
export const unmeasured: Input = { kind: 'measured', ok: false, detail: 'no blocks' }
