// The state machine of a rollout: one table says what each phase lets happen; the moves are in progress.ts and endings.ts. Pure: an effect
// is data, the time and the canary's room are arguments.

import { err, ok, type Result } from '../../shared/result.ts'
import { complete, late, warming, type Answer, type Kind, type Moved, type On, type Scene } from './change.ts'
import {
  abortedByHand,
  abortedLate,
  drained,
  drainedLate,
  overtaken,
  promotedLate,
  rejected,
  released,
  retried,
  rolledBack,
  succeeded,
  superseded,
} from './endings.ts'
import {
  approved,
  approvedStep,
  bakeOver,
  enter,
  judged,
  judgedEarly,
  judgedGrave,
  measured,
  pausedByHand,
  pauseOver,
  promoted,
  promotedFully,
  resumed,
  settled,
  shiftedLate,
  unjudged,
} from './progress.ts'
import type { Input, Now, Phase, Rollout, RolloutRefusal } from './record.ts'

type Moves = { readonly [K in Kind]?: (scene: On<K>) => Answer }

const early: Moves = {
  reject: rejected,
  supersede: superseded,
  timeout: (scene) => late(scene.at, scene.now) ?? rejected(scene),
}
const live: Moves = { abort: abortedByHand, supersede: overtaken, timeout: abortedLate, verdict: judgedGrave }
const running: Moves = {
  ...live,
  pause: pausedByHand,
  promote: promoted,
  promote_full: promotedFully,
  verdict: judgedEarly,
  measured,
}
const again: Moves = { retry: retried }

const table: { readonly [P in Phase]: Moves } = {
  draft: { ...early, submit: () => ok({ to: 'pending_approval', because: 'submitted' }) },
  pending_approval: { ...early, approve: approved },
  approved: { ...early, start: ({ at }) => ok(warming(at)) },
  warming: {
    ...live,
    pause: pausedByHand,
    verdict: judgedEarly,
    warmed: (scene) => enter({ ...scene, at: { ...scene.at, warm: true } }, 0, 'the canary is ready'),
  },
  shifting: { ...running, settled, timeout: shiftedLate },
  baking: { ...running, bake_over: bakeOver },
  judging: { ...running, verdict: judged, timeout: unjudged },
  paused: {
    ...live,
    resume: resumed,
    pause_over: pauseOver,
    approve: approvedStep,
    promote: promoted,
    promote_full: promotedFully,
  },
  promoting: { ...live, settled: succeeded, timeout: promotedLate },
  aborting: { drained, timeout: drainedLate },
  succeeded: { hold_over: released, rollback: rolledBack },
  rolled_back: again,
  superseded: again,
  rejected: again,
}

/**
 * The rollout after a command or event, and what follows from it. Refused, it stays as it is: illegal_transition where the phase does not
 * know the input, else what is missing for it. Each change raises the generation by one.
 */
export function next(at: Rollout, input: Input, now: Now): Result<Moved, RolloutRefusal> {
  const move = table[at.phase][input.kind] as ((scene: Scene) => Answer) | undefined
  if (!move) return err({ reason: 'illegal_transition', phase: at.phase, input: input.kind, allowed: allowedIn(at.phase) })
  if ('actor' in input && input.reason.trim() === '') return err({ reason: 'reason_missing' })
  const change = move({ at, input, now })
  return change.ok ? ok(complete(at, change.value, input, now.atMs)) : change
}

/** What may happen in a phase. */
export const allowedIn = (phase: Phase): readonly Kind[] => Object.keys(table[phase]) as Kind[]

/**
 * What the hour alone asks for, null when nothing: the loop says it, with what it has seen. What goes on comes before what gives up,
 * for after an hour in which core was away both are due.
 */
export function dueOf(at: Rollout, atMs: number): 'bake_over' | 'pause_over' | 'hold_over' | 'timeout' | null {
  const isPast = (ms: number | null | undefined): boolean => typeof ms === 'number' && atMs >= ms
  if (isPast(at.bakeEndsAtMs)) return 'bake_over'
  if (isPast(at.pause?.untilMs)) return 'pause_over'
  if (isPast(at.stableHeldUntilMs)) return 'hold_over'
  return isPast(at.deadlineMs) ? 'timeout' : null
}
