// The Anthropic Messages dialect: messages and count_tokens, and how it says no. Only the fields that decide something here are checked;
// every other field, known or not, is the engine's business.

import * as v from 'valibot'
import { ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Dialect, ReadBody, Told, Voice, Wish } from '../facts.ts'
import { readFields, readJsonBody } from './body.ts'
import { modelField, streamField, textField } from './fields.ts'

const message = v.looseObject(
  {
    // `system` inside the conversation is in the current API too.
    role: v.picklist(['user', 'assistant', 'system'], 'expected "user", "assistant" or "system"'),
    content: v.union(
      [v.string(), v.array(v.looseObject({ type: v.string('expected a string') }))],
      'expected a text or a list of blocks, each with a type',
    ),
  },
  'expected an object with role and content',
)

const conversation = {
  model: modelField,
  messages: v.pipe(v.array(message, 'expected a list of messages'), v.minLength(1, 'expected at least one message')),
  metadata: v.nullish(v.looseObject({ user_id: textField }, 'expected an object')),
}

const positive = 'expected a whole number above zero'
const messageFields = v.looseObject({
  ...conversation,
  max_tokens: v.pipe(v.number(positive), v.safeInteger(positive), v.minValue(1, positive)),
  stream: streamField,
})
const countFields = v.looseObject(conversation)

/** What a messages body asks for; refuses `invalid_field` naming the first offending path. */
export function readMessages(body: unknown): Result<Wish, InferenceRefusal> {
  const read = readFields(messageFields, body)
  if (!read.ok) return read
  const { model, stream, metadata } = read.value
  return ok({ model, version: null, stream: stream ?? false, user: metadata?.user_id || null, json: body })
}

/** What a count_tokens body asks for: the same conversation, but nothing is generated, so neither `max_tokens` nor `stream` is looked at. */
export function readCountTokens(body: unknown): Result<Wish, InferenceRefusal> {
  const read = readFields(countFields, body)
  if (!read.ok) return read
  return ok({ model: read.value.model, version: null, stream: false, user: read.value.metadata?.user_id || null, json: body })
}

/** Anthropic's error types by status (its documentation, "Errors"); 529 is its own word for what others call 503. */
const types: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

const typeOf = (status: number): string => types[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')

/**
 * The stable code stands twice: as `code`, where the other dialects have it too, and as `details.error_code`, which @anthropic-ai/sdk
 * gives as `error.errorCode`. Its decoders let unknown fields pass.
 */
const errorBody = ({ status, code, message, param }: Omit<Told, 'retryAfterMs'>): string =>
  JSON.stringify({
    type: 'error',
    error: { type: typeOf(status), message, code, ...(param === null ? {} : { param }), details: { error_code: code } },
  })

/**
 * How this dialect says no. Life is shown by the protocol's own `ping` event: every client of it has to know pings, may count them as activity,
 * and @anthropic-ai/sdk drops them in its decoder, even before message_start. Comments would do for that client too, but it keeps the text
 * of each one until the next event.
 */
export const anthropicVoice: Voice = {
  errorBody,
  errorFrame: (told) => `event: error\ndata: ${errorBody(told)}\n\n`,
  keepAlive: 'event: ping\ndata: {"type":"ping"}\n\n',
}

const reading =
  (read: (body: unknown) => Result<Wish, InferenceRefusal>) =>
  (body: ReadBody): Result<Wish, InferenceRefusal> => {
    const json = readJsonBody(body)
    return json.ok ? read(json.value) : json
  }

/** `POST /v1/messages` and `POST /v1/messages/count_tokens`. */
export const messages: Dialect = { operation: 'messages', read: reading(readMessages), voice: anthropicVoice }
export const countTokens: Dialect = { operation: 'count_tokens', read: reading(readCountTokens), voice: anthropicVoice }
