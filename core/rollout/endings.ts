// How a rollout ends, and what may follow it. Pure. An end is for good: trying again and going back are other rollouts, with a link. The
// canary's endpoints are never taken away before its traffic is known to be 0 and stable to be whole.

import { limits } from '../../shared/limits.ts'
import { err, ok } from '../../shared/result.ts'
import {
  aliasOf,
  complete,
  draftOf,
  isRoomFor,
  late,
  notYet,
  unsettled,
  warming,
  type Answer,
  type Change,
  type On,
  type Scene,
} from './change.ts'
import type { Rollout } from './record.ts'

export const rejected = ({ input }: Scene): Answer =>
  ok({ to: 'rejected', because: input.kind === 'timeout' ? 'nobody acted on it in time' : 'rejected' })

export const superseded = ({ input }: On<'supersede'>): Answer => ok({ to: 'superseded', because: `superseded by ${input.by}` })

/** The new version becomes stable. The old one keeps its endpoints for a while: the way back is instant. */
const success = ({ at, now }: Scene, because: string): Answer =>
  ok({
    to: 'succeeded',
    because,
    set: { stableHeldUntilMs: now.atMs + limits.rolloutStableHoldMs },
    alias: { stable: at.to, canary: null, weightBp: 0, shadowBp: 0 },
  })

export const succeeded = (scene: On<'settled'>): Answer =>
  unsettled(scene.at, scene.input) ?? success(scene, 'all of traffic is on the new version')

/** A way back is not undone because a ledger is silent: that would return traffic to what it was taken from. */
export function promotedLate(scene: On<'timeout'>): Answer {
  if (scene.at.rollbackOf === null) return abortedLate(scene)
  return (
    late(scene.at, scene.now) ?? success(scene, 'not all of traffic was seen to follow in time; it is sent to the old version all the same')
  )
}

export const released = ({ at, now }: On<'hold_over'>): Answer =>
  at.stableHeldUntilMs === null || now.atMs < at.stableHeldUntilMs
    ? notYet('the old version is not held, or still is')
    : ok({ to: at.phase, because: 'the old version is let go', set: { stableHeldUntilMs: null }, undeploy: at.from, quiet: true })

/** Weight 0 at once; the canary keeps its endpoints until its last request is over. Stable gets back what it may have lost. */
export const aborted = (at: Rollout, because: string, endsAs: Rollout['endsAs'] = 'rolled_back'): Answer =>
  ok({ to: 'aborting', because, set: { endsAs }, alias: { ...aliasOf(at), weightBp: 0, shadowBp: 0 }, deploy: at.from })

export const abortedByHand = ({ at }: On<'abort'>): Answer => aborted(at, 'aborted')

export const overtaken = ({ at, input }: On<'supersede'>): Answer => aborted(at, `superseded by ${input.by}`, 'superseded')

export const abortedLate = ({ at, now }: On<'timeout'>): Answer => late(at, now) ?? aborted(at, `${at.phase} took longer than it may`)

const back = (at: Rollout, because: string): Change => ({
  to: at.endsAs ?? 'rolled_back',
  because,
  alias: { stable: at.from, canary: null, weightBp: 0, shadowBp: 0 },
})

export function drained({ at, input }: On<'drained'>): Answer {
  const early = unsettled(at, input)
  if (early) return early
  if (input.canaryInFlight > 0) return notYet(`the canary has ${input.canaryInFlight} requests left`)
  // With stable short of capacity the canary's endpoints may be needed yet: for a new start, or as the lesser evil.
  if (!input.stableWhole) return notYet('stable has not all of its capacity')
  return ok({ ...back(at, 'the canary has no traffic left'), undeploy: at.to })
}

/** Without proof that nothing runs there the canary's endpoints stay: taking them away is left to a person. */
export const drainedLate = ({ at, now }: On<'timeout'>): Answer =>
  late(at, now) ?? ok(back(at, 'nobody confirmed in time that the canary is without traffic and stable is whole: its endpoints stay'))

/** Another rollout with the same plan, from what is stable now. The old one stays what it is. */
export function retried({ at, input, now }: On<'retry'>): Answer {
  if (at.successor) return err({ reason: 'followed_already', successor: at.successor })
  if (input.stable === at.to) return err({ reason: 'same_version', version: at.to })
  const { environment, model, to, steps, gates, plannedRequests, fourEyes } = at
  const { id, salt, stable: from, actor: createdBy } = input
  const same = { environment, model, to, steps, gates, plannedRequests, fourEyes }
  const rollout = draftOf({ ...same, id, salt, from, createdBy, retryOf: at.id }, now.atMs)
  return ok({ to: at.phase, because: 'tried again', set: { successor: input.id }, create: { rollout, effects: [] } })
}

/** Another rollout, without steps: at once where the old version still has its endpoints, else as soon as it is warm again. */
export function rolledBack({ at, input, now }: On<'rollback'>): Answer {
  if (at.successor) return err({ reason: 'followed_already', successor: at.successor })
  if (input.stable !== at.to) return err({ reason: 'not_current', stable: input.stable })
  if (input.to === at.to) return err({ reason: 'same_version', version: at.to })
  const recent = input.recent.slice(0, limits.rolloutRollbackVersions)
  if (!recent.includes(input.to)) return err({ reason: 'rollback_too_far', version: input.to, recent })

  const { environment, model, plannedRequests, fourEyes } = at
  const { id, salt, to, actor: createdBy } = input
  const same = { environment, model, plannedRequests, fourEyes }
  // It was stable before: all that is asked of it is that it is there.
  const gates = [{ gate: 'readiness', mode: 'pause' }] as const
  const rollout = draftOf({ ...same, id, salt, to, createdBy, from: at.to, steps: [], gates, rollbackOf: at.id }, now.atMs)
  const isHeld = at.stableHeldUntilMs !== null && input.to === at.from && isRoomFor(10_000, now)
  const begins: Change = isHeld
    ? { to: 'promoting', because: 'back', set: { warm: true, stepIndex: 0 }, alias: { ...aliasOf(rollout), weightBp: 10_000, shadowBp: 0 } }
    : warming(rollout)
  const create = complete(rollout, begins, input, now.atMs)
  return ok({ to: at.phase, because: 'rolled back', set: { successor: input.id, stableHeldUntilMs: null }, create })
}
