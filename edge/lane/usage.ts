// Usage as servers of the chat completions family count it. Pure.

import { countOf, isRecord } from './json.ts'
import type { Usage } from './lane.ts'

/** Tokens as a chat completions engine counted them; null when it did not. */
export function chatUsage(usage: unknown): Usage | null {
  if (!isRecord(usage)) return null
  const details = usage['prompt_tokens_details']
  return {
    inputTokens: countOf(usage['prompt_tokens']),
    outputTokens: countOf(usage['completion_tokens']),
    cachedTokens: isRecord(details) ? countOf(details['cached_tokens']) : null,
  }
}
