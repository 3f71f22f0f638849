// What an engine's answer means: whose fault it is, whether another endpoint may do better, and what the caller is told. Pure.

import { limits } from '../../shared/limits.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { CallFailure } from '../facts.ts'

/** Seconds or an HTTP date (RFC 9110, section 10.2.3) as milliseconds from now, within our bounds; null when absent or unreadable. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null
  const text = header.trim()
  const waitMs = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs
  if (!Number.isFinite(waitMs)) return null
  return Math.min(Math.max(0, waitMs), limits.retryAfterMsMax)
}

/**
 * The failure that a status other than 2xx stands for (reference, 10.2, failure accounting):
 * 429 and 503 with Retry-After are soft; other 5xx, redirects and rejected credentials are hard and ours; other 4xx are the caller's own.
 */
export function failureOf(status: number, body: string, retryAfter: number | null): CallFailure {
  const detail = engineError(body)
  if (status === 429 || (status === 503 && retryAfter !== null)) {
    const refusal: InferenceRefusal = { reason: 'upstream_busy', status, retryAfterMs: retryAfter ?? limits.retryAfterMsDefault }
    return { refusal, outcome: 'soft_failure', retryable: true }
  }
  // A 401 of the engine says that *we* may not ask it; passed on, the caller would doubt his own key.
  if (status >= 500 || status < 400 || status === 401 || status === 403) {
    return { refusal: { reason: 'upstream_failed', status, detail: detail.message }, outcome: 'hard_failure', retryable: true }
  }
  return { refusal: { reason: 'upstream_refused', status, ...detail }, outcome: 'good', retryable: false }
}

export type EngineError = { readonly message: string; readonly code: string | null; readonly param: string | null }

/** The longest message of an engine that is passed on. */
const messageCharsMax = 2_000

/** An engine's error in any of the shapes they use: OpenAI's, vLLM's `{object:"error"}`, FastAPI's `{detail}`, `{error:"text"}`, or bare text. */
export function engineError(body: string): EngineError {
  const json = parsed(body)
  const error = isRecord(json) && isRecord(json['error']) ? json['error'] : json
  if (!isRecord(error)) return { message: shorten(body) || 'The engine gave no reason.', code: null, param: null }
  const message = textOf(error['message']) ?? textOf(error['error']) ?? detailOf(error['detail']) ?? shorten(body)
  return { message: shorten(message), code: codeOf(error), param: textOf(error['param']) }
}

/** llama.cpp and vLLM name a prompt that does not fit differently; clients look for OpenAI's code. */
function codeOf(error: Record<string, unknown>): string | null {
  const kind = `${textOf(error['type']) ?? ''} ${textOf(error['code']) ?? ''}`
  if (/exceed_context_size|context_length/.test(kind)) return 'context_length_exceeded'
  return textOf(error['code'])
}

/** FastAPI: a text, or a list of `{loc, msg}`. */
function detailOf(detail: unknown): string | null {
  if (typeof detail === 'string') return detail
  if (!Array.isArray(detail)) return null
  const parts = detail
    .filter(isRecord)
    .map((each) => `${Array.isArray(each['loc']) ? each['loc'].join('.') : ''}: ${textOf(each['msg']) ?? ''}`)
  return parts.length > 0 ? parts.join('; ') : null
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return null
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const shorten = (text: string): string => (text.length > messageCharsMax ? `${text.slice(0, messageCharsMax)}…` : text.trim())
