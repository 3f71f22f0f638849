// Waiting for a rollout: what each look means for the wait. Pure; cli/commands/rollout-watch.ts looks and sleeps.

import { exitCodes, type ExitCode } from '../api/exit.ts'
import type { RolloutRow, Transition } from '../api/shapes.ts'
import { isOver } from './rollout-text.ts'

/** A phase to wait for, and whether a pause ends the wait. */
export type Wait = { readonly until: string; readonly failOnPause: boolean }

/** The wait's end, or null while it goes on. Reached: the rollout is in that phase, or has been. */
export function endOf(rollout: RolloutRow, { until, failOnPause }: Wait): ExitCode | null {
  if (rollout.phase === until || rollout.transitions.some(({ to }) => to === until)) return exitCodes.ok
  if (isOver(rollout)) return exitCodes.ended
  return failOnPause && rollout.phase === 'paused' ? exitCodes.ended : null
}

/** Transitions after the last one that was told, in order. Where core gives no list, the rollout's own last one. */
export function newsOf(rollout: RolloutRow, toldGeneration: number): readonly Transition[] {
  const known = rollout.transitions.length > 0 ? rollout.transitions : rollout.last ? [rollout.last] : []
  return known.filter(({ generation }) => generation > toldGeneration)
}

/** How long to wait before the next look, after so many looks in a row that found nobody: 1 s, then doubling to 10 s. */
export const pauseMsAfter = (failures: number): number => (failures === 0 ? 1_000 : Math.min(10_000, 1_000 * 2 ** (failures - 1)))
