// What a rollout is, what may happen to it, and what follows from that: the words of core/rollout/machine.ts, as types; and what always
// holds of a rollout. Pure. Nothing here decides.

import type { Environment, ModelName, RolloutId, VersionId } from '../../shared/ids.ts'
import { assert } from '../../shared/result.ts'
import type { GateAnswer, GateMode, GateName } from '../../shared/wire/gate.ts'
import { livePhases } from '../in-use.ts'
import type { Step } from './steps.ts'

/** Shifting, baking and judging are the parts of a step, and together the state `running`. */
export const phases = [
  'draft',
  'pending_approval',
  'approved',
  'warming',
  'shifting',
  'baking',
  'judging',
  'paused',
  'promoting',
  'aborting',
  'succeeded',
  'rolled_back',
  'superseded',
  'rejected',
] as const
export type Phase = (typeof phases)[number]

/** A rollout in one of these is over for good: going back, or trying again, is another rollout. */
const ends: readonly Phase[] = ['succeeded', 'rolled_back', 'superseded', 'rejected']
const runningPhases: readonly Phase[] = ['shifting', 'baking', 'judging']
/** In these alone the canary may have a weight. */
const weightedPhases: readonly Phase[] = [...runningPhases, 'paused', 'promoting']

export const isOver = ({ phase }: Pick<Rollout, 'phase'>): boolean => ends.includes(phase)
export const isLive = ({ phase }: Pick<Rollout, 'phase'>): boolean => livePhases.some((each) => each === phase)
export const isRunning = ({ phase }: Pick<Rollout, 'phase'>): boolean => runningPhases.includes(phase)

/**
 * Why it waits. manual: a person said so, a step says so, or a gate that leaves it to a person failed. inconclusive: the evidence does not
 * decide. low_data: there is too little of it. dependency: nothing could be measured, or the canary has no room for its next weight.
 */
export type PauseReason = 'manual' | 'inconclusive' | 'low_data' | 'dependency'

/** Where a pause leads when it is over. `step`: into this one, which may be after the last: then all of traffic follows. */
export type Back =
  | { readonly to: 'warming' | 'shifting' | 'judging' }
  | { readonly to: 'baking'; readonly leftMs: number }
  | { readonly to: 'step'; readonly index: number }

export type Pause = {
  readonly why: PauseReason
  readonly awaits: 'resume' | 'approval'
  /** It ends by itself at this time; null: never. */
  readonly untilMs: number | null
  readonly back: Back
}

/** One change of a rollout, as it is kept for ever. */
export type Transition = {
  readonly generation: number
  readonly atMs: number
  readonly actor: string
  readonly input: Input['kind']
  readonly from: Phase
  readonly to: Phase
  /** Of a command: the words of whoever gave it. */
  readonly reason: string
  /** What came about, in the machine's words. */
  readonly detail: string
}

/** A rollout as it is stored. Times are epoch milliseconds, weights 1/10,000. */
export type Rollout = {
  readonly id: RolloutId
  readonly environment: Environment
  readonly model: ModelName
  /** The stable version, to which an abort goes back, and the one that shall replace it. */
  readonly from: VersionId
  readonly to: VersionId
  readonly steps: readonly Step[]
  /** What it is judged by, and what a failure of each means. One that is not named is not asked. */
  readonly gates: readonly { readonly gate: GateName; readonly mode: GateMode }[]
  /** Canary requests with which a proof should be decided: fixed before the start, for there its interval is narrowest. */
  readonly plannedRequests: number
  /** Of the hash that assigns requests: its own for each rollout, the same through all its steps. */
  readonly salt: string
  readonly createdBy: string
  /** Whoever approves must be another than who made it. */
  readonly fourEyes: boolean
  readonly retryOf: RolloutId | null
  readonly rollbackOf: RolloutId | null
  /** The retry or rollback that followed it. */
  readonly successor: RolloutId | null

  readonly phase: Phase
  /** The step under way; -1 before the first. */
  readonly stepIndex: number
  /** Counts the changes of this rollout. */
  readonly generation: number
  /** The generation that last wrote the alias, and what it wrote of the canary. */
  readonly aliasGeneration: number
  readonly weightBp: number
  readonly shadowBp: number
  /** The canary has shown itself ready. */
  readonly warm: boolean
  readonly enteredAtMs: number
  /** The phase must be left by then; null once it is over. */
  readonly deadlineMs: number | null
  readonly bakeEndsAtMs: number | null
  /** This step's bake was extended for want of requests. */
  readonly extended: boolean
  /** Failures to measure, one after another. */
  readonly unmeasured: number
  readonly pause: Pause | null
  /** What an abort will be called in the end. */
  readonly endsAs: 'rolled_back' | 'superseded' | null
  /** Until then the old version keeps its capacity after success; null before, and once it was released. */
  readonly stableHeldUntilMs: number | null
  readonly last: Transition | null
}

/** What the model's row asks of its versions (core/facts.ts, Fields). */
export type Objectives = {
  readonly ttftP95MsMax: number | null
  readonly tpotP95MsMax: number | null
  readonly accuracyTargetBp: number
  readonly operatingPerS: number | null
}

type By = { readonly actor: string; readonly reason: string }
type Plain<K extends string> = K extends string ? By & { readonly kind: K } : never

/** What people (or their programs) say. `stable` is the alias's stable version at that moment. */
export type Command =
  | Plain<'submit' | 'approve' | 'reject' | 'start' | 'pause' | 'resume' | 'promote' | 'abort'>
  /** All of traffic at once, past steps, pauses and gates: for a bearer of `promoteFullScope`, with a second person's word. */
  | (By & { readonly kind: 'promote_full'; readonly approver: string | null; readonly scopes: readonly string[] })
  | (By & { readonly kind: 'retry'; readonly id: RolloutId; readonly salt: string; readonly stable: VersionId })
  /** `recent`: the versions that were stable before, the last of them first. */
  | (By & {
      readonly kind: 'rollback'
      readonly id: RolloutId
      readonly salt: string
      readonly stable: VersionId
      readonly to: VersionId
      readonly recent: readonly VersionId[]
    })
  /** Another rollout of the same alias takes its place. */
  | (By & { readonly kind: 'supersede'; readonly by: RolloutId })

/**
 * What the control loop sees. It says so each turn for as long as it is so: what does not fit the phase is refused and does no harm.
 * `trafficBp` is the part of traffic, in 1/10,000, that is by `generation` (of the alias's write); without any traffic, that of ledgers.
 */
export type Event =
  | { readonly kind: 'warmed' }
  /** `canaryRequests`: served by the canary, or copied to it, since that write. */
  | { readonly kind: 'settled'; readonly generation: number; readonly trafficBp: number; readonly canaryRequests: number }
  /** `canaryRequests`: since the bake began. */
  | { readonly kind: 'bake_over'; readonly canaryRequests: number }
  | { readonly kind: 'verdict'; readonly result: GateAnswer; readonly mode: GateMode; readonly gate: string; readonly detail: string }
  | { readonly kind: 'measured'; readonly ok: boolean; readonly detail: string }
  | { readonly kind: 'pause_over' }
  /** `canaryInFlight`: leases on the canary that are not back. `stableWhole`: stable has all the capacity that it had. */
  | {
      readonly kind: 'drained'
      readonly generation: number
      readonly trafficBp: number
      readonly canaryInFlight: number
      readonly stableWhole: boolean
    }
  | { readonly kind: 'hold_over' }
  /** `trafficBp` as above, by the last write of the alias. */
  | { readonly kind: 'timeout'; readonly trafficBp: number }

export type Input = Command | Event
export type InputOf<K extends Input['kind']> = Extract<Input, { readonly kind: K }>

export const promoteFullScope = 'rollouts:promote-full'
/** The actor of what the loop does by itself. */
export const controller = 'controller'

/** The time, and the highest weight that the canary has room for (core/rollout/plan.ts); null while that is not known. */
export type Now = { readonly atMs: number; readonly weightBpMax: number | null }

/**
 * What follows, as data. All effects of a change are stored with it in one atomic batch, `alias`, `create` and `outbox` by taking place in
 * it; the others are carried out afterwards, at least once. `key` is the same each time: whoever carries out an effect again does nothing new.
 */
export type Effect = { readonly key: string } & (
  | {
      readonly kind: 'alias'
      readonly environment: Environment
      readonly model: ModelName
      readonly stable: VersionId
      readonly canary: VersionId | null
      readonly weightBp: number
      readonly shadowBp: number
      readonly salt: string
      readonly generation: number
    }
  /** Make the version have all its endpoints; nothing to do when it has. */
  | { readonly kind: 'deploy'; readonly version: VersionId; readonly generation: number }
  /** Take them away, unless the version is in use (isInUse): endpoints are shared between environments. */
  | { readonly kind: 'undeploy'; readonly version: VersionId; readonly generation: number }
  | { readonly kind: 'create'; readonly rollout: Rollout }
  | { readonly kind: 'notify'; readonly rollout: RolloutId; readonly about: Phase; readonly text: string }
  | { readonly kind: 'outbox'; readonly rollout: RolloutId; readonly transition: Transition }
)

/** Why a rollout stays as it is. */
export type RolloutRefusal =
  | {
      readonly reason: 'illegal_transition'
      readonly phase: Phase
      readonly input: Input['kind']
      readonly allowed: readonly Input['kind'][]
    }
  /** Of an event: it is not so far, or is of another write of the alias. */
  | { readonly reason: 'not_yet'; readonly detail: string }
  | { readonly reason: 'reason_missing' }
  | { readonly reason: 'approval_wanted' }
  | { readonly reason: 'second_approver_missing'; readonly detail: string }
  | { readonly reason: 'scope_missing'; readonly scope: string }
  | { readonly reason: 'not_warm' }
  | { readonly reason: 'capacity_missing'; readonly weightBp: number; readonly weightBpMax: number | null }
  | { readonly reason: 'followed_already'; readonly successor: RolloutId }
  | { readonly reason: 'same_version'; readonly version: VersionId }
  | { readonly reason: 'not_current'; readonly stable: VersionId }
  | { readonly reason: 'rollback_too_far'; readonly version: VersionId; readonly recent: readonly VersionId[] }

/** What a new rollout is made of. */
export type Making = Pick<
  Rollout,
  'id' | 'environment' | 'model' | 'from' | 'to' | 'steps' | 'gates' | 'plannedRequests' | 'salt' | 'createdBy' | 'fourEyes'
> &
  Partial<Pick<Rollout, 'retryOf' | 'rollbackOf'>>

/** Throws where a rollout is what none can be: only a bug brings that about. */
export function assertSound(rollout: Rollout): void {
  const { phase, weightBp, shadowBp } = rollout
  const isShare = (bp: number): boolean => Number.isInteger(bp) && bp >= 0 && bp <= 10_000
  assert(isShare(weightBp) && isShare(shadowBp), 'a weight is a whole number of 1/10,000')
  assert(rollout.from !== rollout.to, 'a rollout leads to another version')
  assert((weightBp === 0 && shadowBp === 0) || rollout.warm, 'only a warm canary is given anything')
  assert((weightBp === 0 && shadowBp === 0) || weightedPhases.includes(phase), `a canary has no weight in ${phase}`)
  assert((rollout.pause !== null) === (phase === 'paused'), 'what is paused says why')
  assert((rollout.endsAs !== null) === (phase === 'aborting'), 'an abort knows its end')
  assert((rollout.bakeEndsAtMs !== null) === (phase === 'baking'), 'a bake has an end')
  assert((rollout.deadlineMs === null) === isOver(rollout), 'each phase but the last has a deadline')
  assert(rollout.aliasGeneration <= rollout.generation, 'the alias was written by a change')
  assert(rollout.stableHeldUntilMs === null || phase === 'succeeded', 'the old version is held after success')
}
