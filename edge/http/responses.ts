// The OpenAI responses dialect. Only the fields that decide something here are checked; every other field is the engine's business.

import * as v from 'valibot'
import { ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Dialect, Told, Voice, Wish } from '../facts.ts'
import { readFields, readJsonBody } from './body.ts'
import { modelField, streamField, textField } from './fields.ts'

const responseFields = v.looseObject({
  model: modelField,
  input: v.union([v.string(), v.array(v.looseObject({}))], 'expected a text or a list of items'),
  stream: streamField,
  user: textField,
  safety_identifier: textField,
})

/** What a responses body asks for; refuses `invalid_field` naming the first offending path. */
export function readResponses(body: unknown): Result<Wish, InferenceRefusal> {
  const read = readFields(responseFields, body)
  if (!read.ok) return read
  const { model, stream, user, safety_identifier } = read.value
  // OpenAI is replacing `user` by `safety_identifier`; either names the person behind the request.
  return ok({ model, version: null, stream: stream ?? false, user: user || safety_identifier || null, json: body })
}

const errorOf = ({ message, type, param, code }: Told) => ({ message, type, param, code })

/**
 * OpenAI's errors. In a stream an error is this operation's own `error` event: flat, as the schema of its events has it, and nested as
 * well, which is where the openai client looks first. `sequence_number` must be there; the count is the engine's and not known here.
 */
export const responsesVoice: Voice = {
  errorBody: (told) => JSON.stringify({ error: errorOf(told) }),
  errorFrame: (told) => {
    const error = errorOf(told)
    return `event: error\ndata: ${JSON.stringify({ ...error, type: 'error', sequence_number: 0, error })}\n\n`
  },
  keepAlive: ': keep-alive\n\n',
}

/** `POST /v1/responses`. */
export const responses: Dialect = {
  operation: 'responses',
  read: (body) => {
    const json = readJsonBody(body)
    return json.ok ? readResponses(json.value) : json
  },
  voice: responsesVoice,
}
