// How a rollout goes on: into steps and through them, by traffic, time, verdicts and people. Pure. It must never give weight to a canary
// that is not warm or has no room, and never let anything pass for want of data.

import { limits } from '../../shared/limits.ts'
import { err, ok, unreachable } from '../../shared/result.ts'
import { bakeMsOf, aliasOf, isRoomFor, late, notYet, pausedBy, stepOf, unsettled, type Answer, type On, type Scene } from './change.ts'
import { aborted } from './endings.ts'
import { promoteFullScope, type Back, type InputOf, type Pause, type PauseReason, type Rollout } from './record.ts'

export function approved({ at, input }: On<'approve'>): Answer {
  return isSameEyes(at, input.actor) ?? ok({ to: 'approved', because: 'approved' })
}

/** Capitals make nobody another person. */
const isSameName = (one: string, other: string): boolean => one.trim().toLowerCase() === other.trim().toLowerCase()

function isSameEyes({ fourEyes, createdBy }: Rollout, actor: string): Answer | null {
  if (!fourEyes || !isSameName(actor, createdBy)) return null
  return err({ reason: 'second_approver_missing', detail: `"${createdBy}" made this rollout, so somebody else must approve it` })
}

/** Into a step, or past the last: then all of traffic. A canary without room stops an event, and a person is told; a command is refused. */
export function enter(scene: Scene, index: number, because: string): Answer {
  const { at, now } = scene
  const step = at.steps[index]
  const begun = { stepIndex: index, extended: false, warm: true }
  if (step?.kind === 'pause' && step.untilMs !== null && step.untilMs <= now.atMs) return enter(scene, index + 1, because)

  const weightBp = step ? (step.kind === 'weight' ? step.weightBp : at.weightBp) : 10_000
  if (weightBp > at.weightBp && !isRoomFor(weightBp, now)) return roomless(scene, index, weightBp)
  const shadowBp = step?.kind === 'shadow' ? step.shareBp : 0
  const alias = { ...aliasOf(at), weightBp, shadowBp }
  if (!step) return ok({ to: 'promoting', because, set: begun, alias })

  // Shadows end with their step.
  const unshadowed = at.shadowBp > 0 ? { alias } : {}
  switch (step.kind) {
    case 'shadow':
    case 'weight':
      return ok({ to: 'shifting', because, set: begun, alias })
    case 'analysis':
      return ok({ to: 'judging', because, set: begun, ...unshadowed })
    case 'pause':
      return ok({ ...pausedBy(pauseAt(index + 1, 'resume', step.untilMs), 'this step is a pause', begun), ...unshadowed })
    case 'approval':
      return ok({ ...pausedBy(pauseAt(index + 1, 'approval', null), 'this step wants an approval', begun), ...unshadowed })
    default:
      return unreachable(step)
  }
}

/** An event that comes while the room is unknown is refused like a command, and told again next turn. */
function roomless({ input, now }: Scene, index: number, weightBp: number): Answer {
  const { weightBpMax } = now
  if (weightBpMax === null || 'actor' in input) return err({ reason: 'capacity_missing', weightBp, weightBpMax })
  const because = `the canary has room for ${weightBpMax} of 10,000, and ${weightBp} come next`
  return ok(pausedBy({ why: 'dependency', awaits: 'resume', untilMs: null, back: { to: 'step', index } }, because, { warm: true }))
}

const goOn = (scene: Scene, because: string): Answer => enter(scene, scene.at.stepIndex + 1, because)

/** Traffic is where the step wants it: only now the bake's time begins. */
export function settled({ at, input, now }: On<'settled'>): Answer {
  const early = unsettled(at, input)
  if (early) return early
  if (input.canaryRequests < limits.rolloutFirstRequests) {
    return notYet(`the canary has served ${input.canaryRequests} of its first ${limits.rolloutFirstRequests} requests`)
  }
  return ok({ to: 'baking', because: 'traffic has arrived', set: { bakeEndsAtMs: now.atMs + bakeMsOf(stepOf(at)) } })
}

export function bakeOver(scene: On<'bake_over'>): Answer {
  const { at, input, now } = scene
  if (now.atMs < (at.bakeEndsAtMs ?? 0)) return notYet('the bake is not over')
  const step = stepOf(at)
  const wanted = step?.kind === 'weight' ? step.minRequests : 0
  if (input.canaryRequests < wanted) return tooLittle(scene, `the canary has served ${input.canaryRequests} of ${wanted} requests`)
  return ok({ to: 'judging', because: 'the bake is over' })
}

/** Too little data extends the bake once, then a person is asked. It never passes. */
function tooLittle({ at, now }: Scene, because: string): Answer {
  const bakeMs = bakeMsOf(stepOf(at))
  if (!at.extended) return ok({ to: 'baking', because, set: { bakeEndsAtMs: now.atMs + bakeMs, extended: true } })
  return ok(pausedBy(resumable('low_data', { to: 'baking', leftMs: bakeMs }), because, { extended: false }))
}

// ---- Verdicts ----

const named = ({ gate, result, detail }: InputOf<'verdict'>): string => `${gate}: ${result}${detail ? `, ${detail}` : ''}`

/** The joint verdict over a step's gates. */
export function judged(scene: On<'verdict'>): Answer {
  const { at, input } = scene
  const { result, mode } = input
  const step = stepOf(at)
  const again: Back = step?.kind === 'analysis' ? { to: 'judging' } : { to: 'baking', leftMs: bakeMsOf(step) }
  if (result === 'pass' || mode === 'observe') return goOn(scene, named(input))
  if (result === 'fail') return mode === 'abort' ? aborted(at, named(input)) : ok(pausedBy(resumable('manual', again), named(input)))
  if (result === 'inconclusive') return ok(pausedBy(resumable('inconclusive', again), named(input)))
  return step?.kind === 'analysis' ? notYet(named(input)) : tooLittle(scene, named(input))
}

/** A verdict before its time: a failure counts at once, nothing else does. */
export function judgedEarly(scene: On<'verdict'>): Answer {
  const { input } = scene
  const stops = input.result === 'fail' && input.mode === 'pause'
  return stops ? ok(pausedBy(resumable('manual', whereIt(scene)), named(input))) : judgedGrave(scene)
}

/** Where only an abort makes a difference. */
export function judgedGrave({ at, input }: On<'verdict'>): Answer {
  const isGrave = input.result === 'fail' && input.mode === 'abort'
  return isGrave ? aborted(at, named(input)) : notYet(`a verdict counts when its bake is over (${named(input)})`)
}

/** What cannot be measured holds, and after some times in a row a person is asked. */
export function measured(scene: On<'measured'>): Answer {
  const { at, input } = scene
  if (input.ok) return at.unmeasured > 0 ? noted(at, input.detail, 0) : notYet('it could be measured before')
  const unmeasured = at.unmeasured + 1
  if (unmeasured < limits.rolloutUnmeasuredMax) return noted(at, input.detail, unmeasured)
  return ok(pausedBy(resumable('dependency', whereIt(scene)), `not measured ${unmeasured} times in a row: ${input.detail}`))
}

const noted = (at: Rollout, because: string, unmeasured: number): Answer =>
  ok({ to: at.phase, because, set: { unmeasured, bakeEndsAtMs: at.bakeEndsAtMs }, quiet: true })

// ---- Pauses ----

const resumable = (why: PauseReason, back: Back): Pause => ({ why, awaits: 'resume', untilMs: null, back })

const pauseAt = (index: number, awaits: Pause['awaits'], untilMs: number | null): Pause => ({
  why: 'manual',
  awaits,
  untilMs,
  back: { to: 'step', index },
})

/** The way back to the phase it is in; a bake that was interrupted has only its rest to go. */
function whereIt({ at, now }: Scene): Back {
  switch (at.phase) {
    case 'warming':
    case 'shifting':
    case 'judging':
      return { to: at.phase }
    default:
      return { to: 'baking', leftMs: Math.max(0, (at.bakeEndsAtMs ?? now.atMs) - now.atMs) }
  }
}

export const pausedByHand = (scene: On<'pause'>): Answer => ok(pausedBy(resumable('manual', whereIt(scene)), 'paused'))

export function resumed(scene: Scene): Answer {
  const { at, now } = scene
  const pause = at.pause
  if (!pause || pause.awaits === 'approval') return err({ reason: 'approval_wanted' })
  const { back } = pause
  if (back.to === 'step') return enter(scene, back.index, 'resumed')
  return ok({ to: back.to, because: 'resumed', set: back.to === 'baking' ? { bakeEndsAtMs: now.atMs + back.leftMs } : {} })
}

export const pauseOver = (scene: On<'pause_over'>): Answer =>
  scene.now.atMs < (scene.at.pause?.untilMs ?? Infinity) ? notYet('the pause is not over') : resumed(scene)

export function approvedStep(scene: On<'approve'>): Answer {
  const { at, input } = scene
  if (at.pause?.awaits !== 'approval' || at.pause.back.to !== 'step') return notYet('this pause waits for no approval')
  return isSameEyes(at, input.actor) ?? enter(scene, at.pause.back.index, 'approved')
}

/** Past the rest of this step; from a pause between two steps, into the one that follows. Never past an approval. */
export function promoted(scene: On<'promote'>): Answer {
  const { at } = scene
  if (at.pause?.awaits === 'approval') return err({ reason: 'approval_wanted' })
  if (!at.warm) return err({ reason: 'not_warm' })
  return at.pause?.back.to === 'step' ? enter(scene, at.pause.back.index, 'promoted') : goOn(scene, 'promoted')
}

export function promotedFully(scene: On<'promote_full'>): Answer {
  const { at, input } = scene
  if (!input.scopes.includes(promoteFullScope)) return err({ reason: 'scope_missing', scope: promoteFullScope })
  if (!input.approver?.trim() || isSameName(input.approver, input.actor)) {
    return err({ reason: 'second_approver_missing', detail: 'name somebody else who approves that steps and gates are passed over' })
  }
  return at.warm ? enter(scene, at.steps.length, `promoted in full, approved by ${input.approver}`) : err({ reason: 'not_warm' })
}

/** Traffic came, but too little of it for the canary's first requests: no fault of the canary. */
export function shiftedLate({ at, input, now }: On<'timeout'>): Answer {
  const early = late(at, now)
  if (early || input.trafficBp < limits.rolloutTrafficBp) return early ?? aborted(at, 'traffic did not follow in time')
  return ok(pausedBy(resumable('low_data', { to: 'shifting' }), 'the first requests did not come in time'))
}

/** No verdict is no verdict against the canary. */
export const unjudged = ({ at, now }: On<'timeout'>): Answer =>
  late(at, now) ?? ok(pausedBy(resumable('dependency', { to: 'judging' }), 'there was no verdict in time'))
