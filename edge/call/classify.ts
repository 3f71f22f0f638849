// What an engine's answer means: whose fault it is, whether another endpoint may do better, and what the caller is told. Pure.

import { limits } from '../../shared/limits.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { CallFailure } from '../facts.ts'
import { blamesCaller, stableCode } from '../lane/engine-error.ts'
import type { EngineFault } from '../lane/lane.ts'

/** Seconds or an HTTP date (RFC 9110, section 10.2.3) as milliseconds from now, within our bounds; null when absent or unreadable. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null
  const text = header.trim()
  const waitMs = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs
  if (!Number.isFinite(waitMs)) return null
  return Math.min(Math.max(0, waitMs), limits.retryAfterMsMax)
}

/**
 * The failure that a status other than 2xx stands for (docs/design/figures.md):
 * 429 and 503 with Retry-After are soft; other 5xx, redirects and rejected credentials are hard and ours; other 4xx are the caller's own.
 */
export function failureOf(fault: EngineFault, retryAfter: number | null): CallFailure {
  const { status, message, code, param } = fault
  if (status === 429 || (status === 503 && retryAfter !== null)) {
    const refusal: InferenceRefusal = { reason: 'upstream_busy', status, retryAfterMs: retryAfter ?? limits.retryAfterMsDefault }
    return { refusal, outcome: 'soft_failure', retryable: true }
  }
  // A 401 of the engine says that *we* may not ask it; passed on, the caller would doubt his own key.
  if (!blamesCaller(status)) {
    return { refusal: { reason: 'upstream_failed', status, detail: `status ${status}` }, outcome: 'hard_failure', retryable: true }
  }
  return { refusal: { reason: 'upstream_refused', status, message, code: stableCode(code), param }, outcome: 'good', retryable: false }
}
