// What a request asks of its answer's form, read off its body: whether equal answers are to be expected, and whether it shall be JSON. A JSON
// schema is read as far as its topmost level. Pure.

import { limits } from '../../shared/limits.ts'
import { isRecord, type Json } from './json.ts'

export type Format = {
  readonly type: 'object' | 'array' | 'any'
  /** Keys that an object must have. */
  readonly required: readonly string[]
}

export type Wanted = {
  /** Temperature 0, named by the caller: what an engine's own default is nobody tells. */
  readonly deterministic: boolean
  /** null: no JSON was asked for. */
  readonly format: Format | null
}

/** Of chat completions and completions: `response_format`. */
export const chatWanted = (json: unknown): Wanted => wanted(json, (body) => body['response_format'])

/** Of responses: `text.format`. */
export const responsesWanted = (json: unknown): Wanted => wanted(json, (body) => (isRecord(body['text']) ? body['text']['format'] : null))

/** Of Anthropic messages: `output_config.format`, or `output_format` as it was called before. */
export const messagesWanted = (json: unknown): Wanted =>
  wanted(json, (body) => (isRecord(body['output_config']) ? body['output_config']['format'] : body['output_format']))

/** Of generate and generate_stream, which have sampling among their parameters and know no formats. */
export const generateWanted = (json: unknown): Wanted => wanted(isRecord(json) ? json['parameters'] : null, () => null)

function wanted(json: unknown, formatIn: (body: Json) => unknown): Wanted {
  if (!isRecord(json)) return { deterministic: false, format: null }
  return { deterministic: json['temperature'] === 0, format: formatOf(formatIn(json)) }
}

/** `{type: "json_object"}`, or `{type: "json_schema"}` with its schema beside it, or under `json_schema`. */
function formatOf(format: unknown): Format | null {
  if (!isRecord(format)) return null
  if (format['type'] === 'json_object') return { type: 'object', required: [] }
  if (format['type'] !== 'json_schema') return null
  const holder = isRecord(format['json_schema']) ? format['json_schema'] : format
  const schema: Json = isRecord(holder['schema']) ? holder['schema'] : {}
  if (schema['type'] === 'array') return { type: 'array', required: [] }
  if (schema['type'] !== 'object') return { type: 'any', required: [] }
  const required: readonly unknown[] = Array.isArray(schema['required']) ? schema['required'] : []
  return { type: 'object', required: required.filter((key) => typeof key === 'string').slice(0, limits.senseKeysMax) }
}
