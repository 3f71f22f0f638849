// An evaluation set as a file has it: one item a line. Pure. A set with a line that cannot be read is refused as a whole, with the line:
// what was left out silently would make two measurements of the same set differ.

import * as v from 'valibot'
import type { EvalRow } from '../engine/score.ts'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'

const text = v.pipe(v.string(), v.minLength(1))
const rowSchema = v.object({
  id: v.pipe(v.string(), v.regex(/^[\x20-\x7e]+$/), v.maxLength(limits.reportItemIdCharsMax)),
  kind: v.optional(v.string(), ''),
  prompt: text,
  expected: v.union([text, v.pipe(v.array(text), v.minLength(1))]),
  match: v.picklist(['contains', 'exact']),
})

/** The items of a set, in its order; else what is wrong, with the line's number. */
export function readSet(file: string): Result<readonly EvalRow[], string> {
  const rows: EvalRow[] = []
  const ids = new Set<string>()
  for (const [index, line] of file.split('\n').entries()) {
    if (line.trim() === '') continue
    const row = readRow(line)
    if (!row.ok) return err(`line ${index + 1}: ${row.error}`)
    if (ids.has(row.value.id)) return err(`line ${index + 1}: the id "${row.value.id}" is there twice`)
    ids.add(row.value.id)
    rows.push(row.value)
    if (rows.length > limits.reportItemsMax) return err(`more than ${limits.reportItemsMax} items`)
  }
  return rows.length > 0 ? ok(rows) : err('there is no item in it')
}

function readRow(line: string): Result<EvalRow, string> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return err('it is not JSON')
  }
  const parsed = v.safeParse(rowSchema, value)
  if (parsed.success) return ok(parsed.output)
  const [issue] = parsed.issues
  return err(`${v.getDotPath(issue) ?? 'the line'}: ${issue.message}`)
}
