// Reads an admin body: bounded, JSON, and no field that is not known, for a misspelt one would be silently lost.

import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'

/** The body as text. Refusal: body_too_large. Reads no further than the limit. */
export async function readText(request: Request, bytesMax: number): Promise<Result<string, AdminRefusal>> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) return err({ reason: 'body_too_large', bytesMax })
    chunks.push(chunk)
  }
  return ok(await new Blob(chunks).text())
}

/** The body's JSON value. Refusals: body_too_large, invalid_json. */
export async function readJson(request: Request): Promise<Result<unknown, AdminRefusal>> {
  const text = await readText(request, limits.adminBodyBytesMax)
  return text.ok ? parseJson(text.value) : text
}

/** The text's JSON value. Refusal: invalid_json. */
export function parseJson(text: string): Result<unknown, AdminRefusal> {
  try {
    return ok(JSON.parse(text))
  } catch (cause) {
    return err({ reason: 'invalid_json', detail: placeOf(cause) })
  }
}

/** Where JSON.parse stumbled. Its own words quote the body around that place, and the body may hold a credential. */
function placeOf(cause: unknown): string {
  const position = /at position (\d+)/.exec(cause instanceof Error ? cause.message : '')?.[1]
  return position === undefined ? 'it ends too early, or holds a character that has no place in it' : `the fault is at position ${position}`
}

/** The value as the schema reads it. Refusal: invalid_field, naming the first field at fault. */
export function readFields(schema: v.StrictObjectSchema<v.ObjectEntries, undefined>, value: unknown): Result<object, AdminRefusal> {
  const parsed = v.safeParse(schema, value, { abortEarly: true })
  if (parsed.success) return ok(parsed.output)
  const issue = parsed.issues[0]
  const detail = wordsOf(issue, Object.keys(schema.entries))
  return err({ reason: 'invalid_field', param: v.getDotPath(issue) ?? 'body', detail, pointer: pointerOf(issue) })
}

/** As readFields, for an object in a field of the body whose schema depends on another field: `of` says on which. */
export function readWithin(
  field: string,
  schema: v.StrictObjectSchema<v.ObjectEntries, undefined>,
  value: unknown,
  of: string,
): Result<object, AdminRefusal> {
  const read = readFields(schema, value)
  if (read.ok || read.error.reason !== 'invalid_field') return read
  const { param, detail, pointer = '#' } = read.error
  return err({ ...read.error, param: `${field}.${param}`, detail: `${detail} (${of})`, pointer: `#/${field}${pointer.slice(1)}` })
}

/** A JSON Pointer (RFC 6901) as a fragment: where in the body the fault is. */
function pointerOf(issue: v.BaseIssue<unknown>): string {
  const escaped = (key: unknown) => encodeURIComponent(String(key).replaceAll('~', '~0').replaceAll('/', '~1'))
  return `#${(issue.path ?? []).map(({ key }) => `/${escaped(key)}`).join('')}`
}

/** As readFields, for a change: at least one field must be named. */
export function readChange(schema: v.StrictObjectSchema<v.ObjectEntries, undefined>, value: unknown): Result<object, AdminRefusal> {
  const read = readFields(schema, value)
  if (!read.ok || Object.keys(read.value).length > 0) return read
  return err({ reason: 'invalid_field', param: 'body', detail: `must name at least one of ${Object.keys(schema.entries).join(', ')}` })
}

function wordsOf(issue: v.BaseIssue<unknown>, known: readonly string[]): string {
  if (issue.type !== 'strict_object') return issue.message
  if (issue.expected === 'Object') return 'must be a JSON object'
  if (issue.expected === 'never') {
    // Of an object within the body the fields are not `known`.
    const those = issue.path?.length === 1 && known.length > 0 ? `; those are ${known.join(', ')}` : ''
    return `is not a field that can be given here${those}`
  }
  return 'is required'
}
