// What a caller asks for beside the answer: to wait before others, and to see why it went where it went. Both need a scope of the key. Pure.

import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Credential, Scope } from '../../shared/wire/credential.ts'
import { priorities, type Priority } from '../../shared/wire/ledger.ts'

const needs = <T>(credential: Credential, scope: Scope, value: T): Result<T, InferenceRefusal> =>
  credential.scopes.includes(scope) ? ok(value) : err({ reason: 'scope_missing', scope })

/** `isochrone-priority`: standard unless it says otherwise. Refuses `invalid_header`, and `scope_missing` for critical. */
export function priorityOf(header: string | null, credential: Credential): Result<Priority, InferenceRefusal> {
  const priority = priorities.find((each) => each === (header ?? 'standard'))
  if (!priority) return err({ reason: 'invalid_header', header: 'isochrone-priority', detail: `expected one of ${priorities.join(', ')}.` })
  return priority === 'critical' ? needs(credential, 'critical', priority) : ok(priority)
}

/** `isochrone-explain: 1`. Refuses `invalid_header`, and `scope_missing`. */
export function explainOf(header: string | null, credential: Credential): Result<boolean, InferenceRefusal> {
  if (header === null) return ok(false)
  if (header !== '1') return err({ reason: 'invalid_header', header: 'isochrone-explain', detail: 'expected 1, or no such header.' })
  return needs(credential, 'explain', true)
}
