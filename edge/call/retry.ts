// Whether a failed attempt may be followed by another. Pure. Only asked before the first byte went out; after it nothing is retried.
// The ledger's budget decides; without a ledger an isolate has only what its own requests have put aside.

import { limits } from '../../shared/limits.ts'
import type { CallFailure } from '../facts.ts'

/** One other endpoint, and only while there is time left to wait for it. `attempts` have been made. */
export const mayRetry = (failure: CallFailure, attempts: number, deadlineMs: number, nowMs: number): boolean =>
  failure.retryable && attempts < limits.attemptsMax && nowMs < deadlineMs

/**
 * Retries that an isolate may make on its own: a tenth for each request, at most one. There is no floor: thousands of isolates with one
 * retry a second each would be the load that keeps an engine down.
 */
export const deposit = (held: number): number => Math.min(1, held + limits.retryShare)

/** What is left after one retry; null when there is not enough. Ten tenths make one, whatever their binary sum. */
export const withdraw = (held: number): number | null => (held > 1 - limits.retryShare / 2 ? 0 : null)
