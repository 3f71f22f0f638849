// From bytes to JSON to a wish, with a refusal that names the field. Shared by the dialects; pure.

import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { ReadBody } from '../facts.ts'

/** Types a JSON body comes under: its own, and what plain tools send when they are not told (curl's default among them). */
const jsonTypes = ['', 'application/json', 'text/json', 'text/plain', 'application/x-www-form-urlencoded', 'application/octet-stream']

/** The JSON of a request's body. Refuses `unsupported_content_type`, `unsupported_encoding`, `invalid_json`. */
export function readJsonBody(body: ReadBody): Result<unknown, InferenceRefusal> {
  const plain = readPlain(body)
  if (!plain.ok) return plain
  if (!jsonTypes.includes(body.contentType) && !body.contentType.endsWith('+json')) {
    return err({ reason: 'unsupported_content_type', contentType: body.contentType.slice(0, 100) })
  }
  return parseJson(body.bytes)
}

/** Refuses a body that is compressed: what it unpacks to cannot be bounded before it is unpacked. */
export function readPlain(body: ReadBody): Result<true, InferenceRefusal> {
  const encoding = body.header('content-encoding')?.trim().toLowerCase() ?? ''
  return encoding === '' || encoding === 'identity' ? ok(true) : err({ reason: 'unsupported_encoding', encoding: encoding.slice(0, 100) })
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

/** Parses a body; refuses `invalid_json` with where it broke. */
export function parseJson(bytes: Uint8Array): Result<unknown, InferenceRefusal> {
  if (bytes.length === 0) return err({ reason: 'invalid_json', detail: 'the body is empty.' })
  if (countNested(bytes) > limits.jsonNestedMax) return err({ reason: 'body_too_complex', nestedMax: limits.jsonNestedMax })
  let text: string
  try {
    text = strictUtf8.decode(bytes)
  } catch {
    return err({ reason: 'invalid_json', detail: 'the body is not UTF-8.' })
  }
  try {
    return ok(JSON.parse(text))
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause)
    return err({ reason: 'invalid_json', detail: `${detail.slice(0, 200)}.` })
  }
}

/**
 * Objects and lists that a JSON text can hold at most: its opening brackets, those inside texts included. Each costs about a hundred bytes
 * once parsed, so ten megabytes of `[[1],[1],...` would cost half a gigabyte: more than an isolate has.
 */
function countNested(bytes: Uint8Array): number {
  let count = 0
  for (const byte of bytes) if (byte === 0x5b || byte === 0x7b) count++
  return count
}

/** Checks a body against a dialect's schema; refuses `invalid_field` naming the first offending path, written as `messages[0].role`. */
export function readFields<Schema extends v.GenericSchema>(schema: Schema, body: unknown): Result<v.InferOutput<Schema>, InferenceRefusal> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return err({ reason: 'invalid_field', param: 'body', detail: 'expected a JSON object.' })
  }
  const parsed = v.safeParse(schema, body, { abortEarly: true })
  if (parsed.success) return ok(parsed.output)
  const issue = parsed.issues[0]
  const param = pathOf(issue.path ?? [])
  return err({ reason: 'invalid_field', param: param || 'body', detail: `${issue.message.slice(0, 300)}.` })
}

const pathOf = (path: readonly { readonly key?: unknown }[]): string =>
  path.reduce((text, { key }) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${String(key)}` : String(key)), '')
