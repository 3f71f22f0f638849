// Lists in order of falling numbers, the newest first: what happened, and what was handed in. The cursor names the number of the last row
// shown, so that what comes in meanwhile shifts nothing.

import type { AdminRefusal } from '../../shared/refusal.ts'
import type { Result } from '../../shared/result.ts'
import { ok } from '../../shared/result.ts'
import { pageOf, type Answer, type Asked } from './asked.ts'
import { pageParameters, readPageBelow, writeCursor } from './cursor.ts'
import { readQuery, type Query } from './query.ts'

/** Below this number (null: from the newest), and so many rows. */
export type Newest = { readonly beforeSeq: number | null; readonly limit: number }

/** `kind` is the list's own name, for its cursors; `parameters` are what it takes beside those of a page. Refusals: invalid_field, those of `read`. */
export async function newestFirst<R extends { readonly seq: number }>(
  c: Asked,
  { kind, parameters }: { readonly kind: string; readonly parameters: readonly string[] },
  read: (query: Query, page: Newest) => Promise<Result<readonly R[], AdminRefusal>>,
): Promise<Answer> {
  const query = readQuery(c.req.url, [...parameters, ...pageParameters])
  if (!query.ok) return query
  const page = readPageBelow(kind, query.value)
  if (!page.ok) return page
  // One row more than shown tells whether there is a next page.
  const rows = await read(query.value, { ...page.value, limit: page.value.limit + 1 })
  return rows.ok ? ok(pageOf(rows.value, page.value.limit, (row) => writeCursor(kind, [String(row.seq)]))) : rows
}
