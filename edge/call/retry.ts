// Whether a failed attempt may be followed by another. Pure. Only asked before the first byte went out; after it nothing is retried.

import { limits } from '../../shared/limits.ts'
import type { CallFailure } from '../facts.ts'

/** One other endpoint, and only while there is time left to wait for it. `attempts` have been made. */
export const mayRetry = (failure: CallFailure, attempts: number, deadlineMs: number, nowMs: number): boolean =>
  failure.retryable && attempts < limits.attemptsMax && nowMs < deadlineMs
