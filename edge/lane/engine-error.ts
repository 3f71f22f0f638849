// An engine's error in any of the shapes they use, in common terms. Pure.

import { isRecord, parseJsonText, textOf, type Json } from './json.ts'
import type { EngineFault } from './lane.ts'

/** The longest message of an engine that is passed on. */
const messageCharsMax = 2_000

/** OpenAI's, Anthropic's, vLLM's `{object:"error"}`, FastAPI's `{detail}`, Triton's `{error:"text"}`, or bare text. */
export function engineFault(status: number, body: string): EngineFault {
  const json = parseJsonText(body)
  const fault = isRecord(json) ? faultIn(json) : null
  return fault ? { ...fault, status } : { status, message: shorten(body) || 'The engine gave no reason.', code: null, param: null }
}

/**
 * The error that a body with a good status, or an event, carries instead of an answer; null when it carries none.
 * Its status is the engine's own word where it gives one (a number in `code` or `status`), else 502: who sends an error as an answer is broken.
 */
export function hiddenFault(json: unknown): EngineFault | null {
  if (!isRecord(json)) return null
  const isError = isRecord(json['error']) || textOf(json['error']) !== null || json['object'] === 'error' || json['type'] === 'error'
  const fault = isError ? faultIn(json) : null
  return fault ? { ...fault, status: statusIn(json) ?? 502 } : null
}

function faultIn(json: Json): Omit<EngineFault, 'status'> | null {
  const error = isRecord(json['error']) ? json['error'] : json
  const message = textOf(error['message']) ?? textOf(error['error']) ?? detailOf(error['detail'])
  return message === null ? null : { message: shorten(message), code: codeOf(error), param: textOf(error['param']) }
}

function statusIn(json: Json): number | null {
  const error = isRecord(json['error']) ? json['error'] : json
  const given = [error['code'], error['status'], error['status_code']].find(
    (value) => typeof value === 'number' && value >= 400 && value <= 599,
  )
  return typeof given === 'number' ? given : null
}

/** How vLLM, SGLang, llama.cpp and TGI (`inputs` tokens + `max_new_tokens` must be <= N) put it where they give no name. */
const overflowWords = /maximum context length|context (window|size|length)|tokens`? \+ `max_new_tokens` must be/i

/** llama.cpp and vLLM name a prompt that does not fit differently; clients look for OpenAI's code. */
function codeOf(error: Json): string | null {
  const kind = `${textOf(error['type']) ?? ''} ${textOf(error['code']) ?? ''}`
  if (/exceed_context_size|context_length/.test(kind)) return 'context_length_exceeded'
  if (overflowWords.test(textOf(error['message']) ?? textOf(error['error']) ?? '')) return 'context_length_exceeded'
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

const shorten = (text: string): string => (text.length > messageCharsMax ? `${text.slice(0, messageCharsMax)}…` : text.trim())

/** An engine's code as callers may rely on it: a plain word in lower case, or nothing. */
export const stableCode = (code: string | null): string | null => (code !== null && /^[a-z][a-z0-9_]{0,63}$/.test(code) ? code : null)

/**
 * Statuses below 500 that say nothing of the caller: we may not ask (401, 403, 407), the row describes the server wrongly (404, 405, 421),
 * or the server gave up waiting for us (408, 425).
 */
const notTheCallers: readonly number[] = [401, 403, 404, 405, 407, 408, 421, 425]

/** Whether an engine's status says that the caller asked for something wrong, and nobody else would answer otherwise. */
export const blamesCaller = (status: number): boolean => status >= 400 && status < 500 && status !== 429 && !notTheCallers.includes(status)
