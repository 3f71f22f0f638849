// One change of a rollout: the next record, and the effects that follow from it. Pure. Here every change gets its generation, its deadline
// and its record of who and why, so that no move can forget them.

import { limits } from '../../shared/limits.ts'
import { err, type Result } from '../../shared/result.ts'
import {
  assertSound,
  controller,
  isOver,
  type Effect,
  type Input,
  type InputOf,
  type Making,
  type Now,
  type Pause,
  type Phase,
  type Rollout,
  type RolloutRefusal,
  type Transition,
} from './record.ts'
import type { Step } from './steps.ts'

export type Moved = { readonly rollout: Rollout; readonly effects: readonly Effect[] }

export type Kind = Input['kind']
/** What a move is given, of any input or of one kind. */
export type Scene = { readonly at: Rollout; readonly input: Input; readonly now: Now }
export type On<K extends Kind> = { readonly at: Rollout; readonly input: InputOf<K>; readonly now: Now }

type Settable = 'stepIndex' | 'warm' | 'bakeEndsAtMs' | 'extended' | 'unmeasured' | 'pause' | 'endsAs' | 'stableHeldUntilMs' | 'successor'

/** What a move changes. Pause, end of the bake and end of the abort are of one phase, and gone with it unless set anew. */
export type Change = {
  readonly to: Phase
  /** What came about, in few words: the reason, where nobody gave one. */
  readonly because: string
  readonly set?: Partial<Pick<Rollout, Settable>>
  /** The alias as it shall be; absent: as it is. */
  readonly alias?: {
    readonly stable: Rollout['from']
    readonly canary: Rollout['to'] | null
    readonly weightBp: number
    readonly shadowBp: number
  }
  readonly deploy?: Rollout['to']
  readonly undeploy?: Rollout['to']
  readonly create?: Moved
  /** Something was noted, nothing moved: its deadline stays, and nobody is told. */
  readonly quiet?: boolean
}
export type Answer = Result<Change, RolloutRefusal>

/** A rollout that nobody has submitted yet. */
export function draftOf(making: Making, atMs: number): Rollout {
  return {
    retryOf: null,
    rollbackOf: null,
    ...making,
    successor: null,
    phase: 'draft',
    stepIndex: -1,
    generation: 1,
    aliasGeneration: 0,
    weightBp: 0,
    shadowBp: 0,
    warm: false,
    enteredAtMs: atMs,
    deadlineMs: atMs + limits.rolloutDraftMsMax,
    bakeEndsAtMs: null,
    extended: false,
    unmeasured: 0,
    pause: null,
    endsAs: null,
    stableHeldUntilMs: null,
    last: null,
  }
}

const toldPhases: readonly Phase[] = ['pending_approval', 'paused', 'aborting']

export function complete(at: Rollout, change: Change, input: Input, atMs: number): Moved {
  const generation = at.generation + 1
  const said = 'actor' in input ? input : { actor: controller, reason: change.because }
  const transition: Transition = {
    generation,
    atMs,
    actor: said.actor,
    input: input.kind,
    from: at.phase,
    to: change.to,
    reason: said.reason,
    detail: change.because,
  }
  const ofOnePhase = { pause: null, bakeEndsAtMs: null, endsAs: null, ...(change.quiet ? {} : { unmeasured: 0 }) }
  const { alias } = change
  const written = alias ? { aliasGeneration: generation, weightBp: alias.weightBp, shadowBp: alias.shadowBp } : {}
  const moved: Rollout = { ...at, ...ofOnePhase, ...change.set, ...written, phase: change.to, generation, last: transition }
  const timed = change.quiet || isOver(at) ? {} : { enteredAtMs: atMs, deadlineMs: deadlineOf(moved, atMs) }
  const rollout = { ...moved, ...timed }
  assertSound(rollout)
  return { rollout, effects: effectsOf(rollout, change, transition) }
}

function effectsOf(rollout: Rollout, change: Change, transition: Transition): readonly Effect[] {
  const { id, environment, model, salt, generation, phase } = rollout
  const key = (kind: Effect['kind']) => ({ key: `${id}/${generation}/${kind}` })
  const { alias, deploy, undeploy, create, quiet } = change
  const { from, reason, detail } = transition
  const isTold = !quiet && (toldPhases.includes(phase) || (isOver(rollout) && from !== phase))
  const effects: Effect[] = []
  if (alias) effects.push({ ...key('alias'), kind: 'alias', environment, model, ...alias, salt, generation })
  if (deploy) effects.push({ ...key('deploy'), kind: 'deploy', version: deploy, generation })
  if (undeploy) effects.push({ ...key('undeploy'), kind: 'undeploy', version: undeploy, generation })
  if (create) effects.push({ ...key('create'), kind: 'create', rollout: create.rollout }, ...create.effects)
  if (isTold)
    effects.push({
      ...key('notify'),
      kind: 'notify',
      rollout: id,
      about: phase,
      text: reason === detail ? detail : `${detail} (${reason})`,
    })
  if (!quiet || undeploy) effects.push({ ...key('outbox'), kind: 'outbox', rollout: id, transition })
  return effects
}

/** When the phase that it has just entered must be left; null once it is over. */
function deadlineOf(at: Rollout, atMs: number): number | null {
  const step = stepOf(at)
  switch (at.phase) {
    case 'draft':
      return atMs + limits.rolloutDraftMsMax
    case 'pending_approval':
      return atMs + limits.rolloutApprovalMsMax
    case 'approved':
      return atMs + limits.rolloutApprovedMsMax
    case 'warming':
      return atMs + limits.rolloutWarmingMsMax
    case 'shifting':
      return atMs + Math.max(limits.rolloutShiftingMsMin, bakeMsOf(step))
    case 'baking':
      return (at.bakeEndsAtMs ?? atMs) + limits.rolloutBakingGraceMs
    case 'judging':
      return atMs + (step?.kind === 'analysis' ? step.withinMs : limits.rolloutJudgingMsMax)
    case 'paused':
      return Math.max(atMs, at.pause?.untilMs ?? 0) + limits.rolloutPausedMsMax
    case 'promoting':
      return atMs + limits.rolloutPromotingMsMax
    case 'aborting':
      return atMs + limits.rolloutAbortingMsMax
    default:
      return null
  }
}

// ---- What moves are made of ----

/** The canary is named in the alias at once, with weight 0: signed overrides reach it, and nobody else does. */
export const warming = (at: Rollout): Change => ({
  to: 'warming',
  because: 'started',
  alias: { ...aliasOf(at), weightBp: 0, shadowBp: 0 },
  deploy: at.to,
})

export const aliasOf = (at: Rollout) => ({ stable: at.from, canary: at.to, weightBp: at.weightBp, shadowBp: at.shadowBp })

export const pausedBy = (pause: Pause, because: string, set: Change['set'] = {}): Change => ({
  to: 'paused',
  because,
  set: { ...set, pause },
})

export const isRoomFor = (weightBp: number, { weightBpMax }: Now): boolean => weightBpMax !== null && weightBpMax >= weightBp

export const stepOf = (at: Rollout): Step | null => at.steps[at.stepIndex] ?? null

/** The whole bake of the step under way, in milliseconds. */
export function bakeMsOf(step: Step | null): number {
  if (step?.kind === 'weight') return step.bakeMs
  return step?.kind === 'shadow' ? step.forMs : 0
}

export const notYet = (detail: string): Answer => err({ reason: 'not_yet', detail })

export function unsettled(
  at: Rollout,
  { generation, trafficBp }: { readonly generation: number; readonly trafficBp: number },
): Answer | null {
  if (generation !== at.aliasGeneration) return notYet(`the alias was written by ${at.aliasGeneration}, not by ${generation}`)
  return trafficBp < limits.rolloutTrafficBp ? notYet(`${trafficBp} of 10,000 requests are by generation ${generation}`) : null
}

/** A timeout before the deadline is none. */
export const late = (at: Rollout, now: Now): Answer | null =>
  now.atMs < (at.deadlineMs ?? Infinity) ? notYet('its deadline is not over') : null
