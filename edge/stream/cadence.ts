// How long a model may be silent before its stream counts as stalled, learned from its own pace: a flat limit kills slow but healthy
// models, or lets fast ones hang. Pure.

import { limits } from '../../shared/limits.ts'
import type { Cadence } from '../facts.ts'

/** Kept of the slowest gap from one stream to the next: half of it is gone after 34 streams. */
const fade = 0.98

/** The cadence after one more stream whose longest silence was `gapMs`. */
export const observe = (cadence: Cadence | null, gapMs: number): Cadence => ({
  slowestMs: Math.max(gapMs, (cadence?.slowestMs ?? 0) * fade),
})

/** Silence that counts as a stall: a multiple of the slowest gap of this model and of this stream, within floor and ceiling. A model never seen gets the ceiling. */
export function stallAfterMs(cadence: Cadence | null, gapMs: number): number {
  if (!cadence) return limits.stallMsMax
  const slowestMs = Math.max(cadence.slowestMs, gapMs)
  return Math.min(limits.stallMsMax, Math.max(limits.stallMsMin, limits.stallFactor * slowestMs))
}
