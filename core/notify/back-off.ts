// What becomes of a delivery after an attempt. Pure; chance is an argument. By Standard Webhooks 1.0.0: 2xx is a success, 410 says that nobody
// wants it any more, everything else is tried again until the schedule is over.

import { limits } from '../../shared/limits.ts'
import type { DeliveryRow } from '../facts.ts'
import type { Poster } from '../ports.ts'

export type PostAnswer = Awaited<ReturnType<Poster['post']>>
export type AfterAttempt = Pick<DeliveryRow, 'attempts' | 'nextAtMs' | 'endedAtMs' | 'ok' | 'lastStatus' | 'lastError'>

const gone = 410

/** `chance` in [0, 1). Times in epoch milliseconds. */
export function afterAttempt(
  { attempts: before }: Pick<DeliveryRow, 'attempts'>,
  answer: PostAnswer,
  nowMs: number,
  chance: number,
): AfterAttempt {
  const { status } = answer
  const attempts = before + 1
  if (status !== null && status >= 200 && status <= 299) {
    return { attempts, nextAtMs: null, endedAtMs: nowMs, ok: true, lastStatus: status, lastError: null }
  }
  const failed = { attempts, lastStatus: status, lastError: wordsOf(answer) }
  const delayMs = limits.deliveryDelaysMs[before]
  if (status === gone || delayMs === undefined) return { ...failed, nextAtMs: null, endedAtMs: nowMs, ok: false }
  const scheduledMs = Math.round(delayMs * (1 + chance * limits.deliveryJitterShare))
  const askedMs = Math.min(answer.retryAfterMs ?? 0, limits.deliveryRetryAfterMsMax)
  return { ...failed, nextAtMs: nowMs + Math.max(scheduledMs, askedMs), endedAtMs: null, ok: null }
}

/** A delivery to nobody: its webhook was disabled or deleted. Not tried, and over. */
export const unwanted = ({ attempts, lastStatus }: Pick<DeliveryRow, 'attempts' | 'lastStatus'>, nowMs: number): AfterAttempt => ({
  attempts,
  nextAtMs: null,
  endedAtMs: nowMs,
  ok: false,
  lastStatus,
  lastError: 'the webhook is disabled or deleted',
})

function wordsOf({ status, error }: PostAnswer): string {
  const said = error ?? (status === null ? 'no answer' : 'no success')
  const words = status === gone ? `gone, and not tried again: ${said}` : said
  return words.slice(0, limits.deliveryErrorCharsMax)
}
