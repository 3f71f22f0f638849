// Generations as entity tags (RFC 9110, 8.8.3): the ETag of a row is its generation in quotes.

import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'

export const etagOf = (generation: number): string => `"${generation}"`

/**
 * Whether If-Match lets a write to a row of this generation through. `*` matches any row there is (RFC 9110, 13.1.1); weak tags
 * never match, for the comparison is strong. Without the header the answer depends on whether it is required.
 * Refusals: if_match_required, generation_mismatch.
 */
export function matches(header: string | undefined, generation: number, required: boolean): Result<null, AdminRefusal> {
  if (header === undefined) return required ? err({ reason: 'if_match_required' }) : ok(null)
  const tags = new Set(header.split(',').map((tag) => tag.trim()))
  return tags.has('*') || tags.has(etagOf(generation)) ? ok(null) : err({ reason: 'generation_mismatch', current: generation })
}
