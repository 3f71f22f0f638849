// When a request must be answered. Pure.

import { err, ok, type Result } from '../../shared/result.ts'
import { limits } from '../../shared/limits.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'

/**
 * The request's deadline in epoch milliseconds: the earlier of `isochrone-deadline` (ISO 8601 with a zone, or epoch milliseconds) and
 * arrival + `isochrone-timeout-ms`; ten minutes when neither is given, never more than an hour.
 * Refuses `invalid_header` for what cannot be read, `deadline_passed` for the past: clamping it to "now" would make late work look urgent.
 */
export function deadlineOf(deadline: string | null, timeoutMs: string | null, receivedAtMs: number): Result<number, InferenceRefusal> {
  let untilMs = receivedAtMs + (deadline === null && timeoutMs === null ? limits.deadlineMsDefault : limits.deadlineMsMax)
  if (timeoutMs !== null) {
    if (!/^\d{1,9}$/.test(timeoutMs) || Number(timeoutMs) === 0) {
      return err({
        reason: 'invalid_header',
        header: 'isochrone-timeout-ms',
        detail: 'expected a whole number of milliseconds above zero.',
      })
    }
    untilMs = Math.min(untilMs, receivedAtMs + Number(timeoutMs))
  }
  if (deadline !== null) {
    const atMs = readInstant(deadline)
    if (atMs === null) {
      return err({
        reason: 'invalid_header',
        header: 'isochrone-deadline',
        detail: 'expected a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970.',
      })
    }
    if (atMs <= receivedAtMs) return err({ reason: 'deadline_passed', lateByMs: receivedAtMs - atMs })
    untilMs = Math.min(untilMs, atMs)
  }
  return ok(untilMs)
}

/** An instant written with its zone; a time without one would mean something else on every machine. */
function readInstant(text: string): number | null {
  if (/^\d{12,14}$/.test(text)) return Number(text)
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})$/.test(text)) return null
  const atMs = Date.parse(text)
  return Number.isFinite(atMs) ? atMs : null
}
