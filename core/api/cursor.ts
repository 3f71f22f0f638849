// Pages of a list: the cursor names the last row shown, so rows that come or go between two pages shift nothing.
// It is opaque to clients: base64url of a JSON list, the kind of the list first, so that it cannot be used in another.

import { limits } from '../../shared/limits.ts'
import { ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { refuseParameter, type Query } from './query.ts'

export type Page = { readonly after: readonly string[] | null; readonly limit: number }

export function writeCursor(kind: string, key: readonly string[]): string {
  const utf8 = new TextEncoder().encode(JSON.stringify([kind, ...key]))
  return btoa(String.fromCharCode(...utf8))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** The key in a cursor of this kind of list with this many parts; null when it is none. */
export function readCursor(kind: string, parts: number, cursor: string): readonly string[] | null {
  try {
    const utf8 = Uint8Array.from(atob(cursor.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
    const list: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(utf8))
    if (!Array.isArray(list) || list.length !== parts + 1 || list[0] !== kind) return null
    const key: readonly unknown[] = list.slice(1)
    return key.every((part) => typeof part === 'string') ? key : null
  } catch {
    return null
  }
}

/** Parameters that every list takes. */
export const pageParameters = ['limit', 'cursor'] as const

/** The page that a query asks for. Refusal: invalid_field for a bad limit or cursor. */
export function readPage(kind: string, parts: number, query: Query): Result<Page, AdminRefusal> {
  const limit = query['limit'] === undefined ? limits.pageDefault : Number(query['limit'])
  if (!Number.isInteger(limit) || limit < 1 || limit > limits.pageMax)
    return refuseParameter('limit', `must be a whole number from 1 to ${limits.pageMax}`)

  if (query['cursor'] === undefined) return ok({ after: null, limit })
  const after = readCursor(kind, parts, query['cursor'])
  return after ? ok({ after, limit }) : refuseCursor()
}

/** As readPage, for a list in order of falling numbers: the number below which it begins. */
export function readPageBelow(
  kind: string,
  query: Query,
): Result<{ readonly beforeSeq: number | null; readonly limit: number }, AdminRefusal> {
  const page = readPage(kind, 1, query)
  if (!page.ok) return page
  const beforeSeq = page.value.after && Number(page.value.after[0])
  if (beforeSeq !== null && !Number.isSafeInteger(beforeSeq)) return refuseCursor()
  return ok({ beforeSeq, limit: page.value.limit })
}

const refuseCursor = () => refuseParameter('cursor', 'must be the nextCursor of an earlier page of this list')
