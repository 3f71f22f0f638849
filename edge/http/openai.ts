// The OpenAI dialect: chat completions, completions, embeddings. Only the fields that decide something here are checked;
// every other field, known or not, is the engine's business and travels on in the original bytes.

import * as v from 'valibot'
import { ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { ModelName } from '../../shared/ids.ts'
import type { Dialect, Wish } from '../facts.ts'
import { readFields, readJsonBody } from './body.ts'
import { modelField, streamField, textField } from './fields.ts'
import { openAiVoice } from './refuse.ts'

const common = { model: modelField, stream: streamField, user: textField }

/** A text, or a list whose items are the engine's business: checking a million tokens one by one would cost more than it finds. */
const textOrList = v.custom<string | unknown[]>(
  (value) => typeof value === 'string' || Array.isArray(value),
  'expected a text, a list of texts, or tokens',
)

const chatFields = v.looseObject({
  ...common,
  messages: v.pipe(
    v.array(v.looseObject({ role: v.string('expected a string') }, 'expected an object with a role'), 'expected a list of messages'),
    v.minLength(1, 'expected at least one message'),
  ),
})

const completionFields = v.looseObject({
  ...common,
  prompt: textOrList,
})

const embeddingFields = v.looseObject({
  model: modelField,
  user: common.user,
  input: textOrList,
  encoding_format: v.nullish(v.picklist(['float', 'base64'], 'expected "float" or "base64"')),
})

type Common = { readonly model: ModelName; readonly stream?: boolean | null | undefined; readonly user?: string | null | undefined }

const wishOf = (fields: Common, json: unknown): Wish => ({
  model: fields.model,
  version: null,
  stream: fields.stream ?? false,
  user: fields.user || null,
  json,
})

const dialect = (operation: Dialect['operation'], fields: v.GenericSchema<unknown, Common>): Dialect => ({
  operation,
  read: (body): Result<Wish, InferenceRefusal> => {
    const json = readJsonBody(body)
    if (!json.ok) return json
    const read = readFields(fields, json.value)
    return read.ok ? ok(wishOf(read.value, json.value)) : read
  },
  voice: openAiVoice,
})

export const chat = dialect('chat', chatFields)
export const completions = dialect('completions', completionFields)
export const embeddings = dialect('embeddings', embeddingFields)
