// Whether what is asked can be asked twice of the same kind of server without anything being done twice: a copy must change nothing for the
// caller. It reads what the protocols have for state and for tools that the server itself runs; tools that the caller runs are only named in an
// answer, and a copy's answer reaches nobody. Pure.

import type { Operation } from '../../shared/operations.ts'
import { isRecord, recordsOf, type Json } from '../lane/json.ts'

/** Tools that are run by the caller. Anthropic's have no type, or `custom`. */
const callersTools: readonly unknown[] = ['function', 'custom', undefined]

const runsTools = (body: Json): boolean => recordsOf(body['tools']).some(({ type }) => !callersTools.includes(type))
const names = (body: Json, ...keys: readonly string[]): boolean => keys.some((key) => (body[key] ?? null) !== null)

/** Whether a copy of this body may be sent to another server. What is not JSON, or of another operation, has nothing of the kind. */
export function isRepeatable(operation: Operation, json: unknown): boolean {
  if (!isRecord(json)) return true
  switch (operation) {
    case 'responses':
      // What came before is kept by the server that said it; work in the background goes on for itself.
      return !names(json, 'previous_response_id', 'conversation') && json['background'] !== true && !runsTools(json)
    case 'messages':
      return !names(json, 'container', 'mcp_servers') && !runsTools(json)
    case 'chat':
      return !names(json, 'web_search_options') && !runsTools(json)
    default:
      return true
  }
}
