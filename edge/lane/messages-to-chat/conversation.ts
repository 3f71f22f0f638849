// The conversation of a messages request as chat messages: one message may become several, for a tool's result is a message of its own there.
// Pure.

import { isRecord, textOf, type Json } from '../json.ts'
import type { Dropped } from './dropped.ts'
import { partsOf, textsOf, type Part } from './parts.ts'

export type ChatMessage = Json

/** The system prompt as messages: none or one. */
export function systemOf(system: unknown, path: string, dropped: Dropped): readonly ChatMessage[] {
  const text = typeof system === 'string' ? system : textsOf(system, path, dropped).join('\n\n')
  return text === '' ? [] : [{ role: 'system', content: text }]
}

/** The chat messages that one message becomes. */
export function messagesOf(message: unknown, path: string, dropped: Dropped): readonly ChatMessage[] {
  if (!isRecord(message)) {
    dropped.name(path)
    return []
  }
  dropped.others(message, ['role', 'content'], path)
  const { role, content } = message
  if (role === 'system') return systemOf(content, `${path}.content`, dropped)
  if (typeof content === 'string') return [{ role, content }]
  const blocks: readonly unknown[] = Array.isArray(content) ? content : []
  return role === 'assistant' ? [assistantOf(blocks, path, dropped)] : userOf(blocks, path, dropped)
}

/** Texts join without a gap: an answer that was cut into several by what came between is one text there. */
function assistantOf(blocks: readonly unknown[], path: string, dropped: Dropped): ChatMessage {
  const texts: string[] = []
  const calls: Json[] = []
  for (const [index, block] of blocks.entries()) {
    const at = `${path}.content[${index}]`
    const type = isRecord(block) ? block['type'] : null
    if (isRecord(block) && type === 'tool_use') calls.push(callOf(block, at, dropped))
    // Thinking is not sent back in chat completions: most templates would show it to the model as something it said.
    else texts.push(...textsOf([block], `${path}.content`, dropped, index))
  }
  const text = texts.join('')
  return calls.length === 0 ? { role: 'assistant', content: text } : { role: 'assistant', content: text || null, tool_calls: calls }
}

function callOf(block: Json, path: string, dropped: Dropped): Json {
  dropped.others(block, ['type', 'id', 'name', 'input'], path)
  return { id: block['id'], type: 'function', function: { name: block['name'], arguments: JSON.stringify(block['input'] ?? {}) } }
}

/** Results first, for they must follow the calls at once; the rest, and the results' images, in a message of the user behind them. */
function userOf(blocks: readonly unknown[], path: string, dropped: Dropped): readonly ChatMessage[] {
  const results: ChatMessage[] = []
  const parts: Part[] = []
  for (const [index, block] of blocks.entries()) {
    const at = `${path}.content[${index}]`
    if (!isRecord(block) || block['type'] !== 'tool_result') {
      parts.push(...partsOf(block, at, dropped))
      continue
    }
    const result = resultOf(block, at, dropped)
    results.push(result.message)
    parts.push(...result.images)
  }
  if (results.length > 0 && parts.length === 0) return results
  const [first] = parts
  const plain = parts.length === 1 && first?.type === 'text' ? first.text : null
  return [...results, { role: 'user', content: parts.length === 0 ? '' : (plain ?? parts) }]
}

/** Chat completions knows no failed result, and no images in one: the failure is said in words, the images go on to the user's message. */
function resultOf(block: Json, path: string, dropped: Dropped): { readonly message: ChatMessage; readonly images: readonly Part[] } {
  dropped.others(block, ['type', 'tool_use_id', 'content', 'is_error'], path)
  const { content } = block
  const blocks: readonly unknown[] = Array.isArray(content) ? content : []
  const parts = blocks.flatMap((each, index) => partsOf(each, `${path}.content[${index}]`, dropped))
  const text = textOf(content) ?? parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n')
  return {
    message: { role: 'tool', tool_call_id: block['tool_use_id'], content: block['is_error'] === true ? `Error: ${text}` : text },
    images: parts.filter((part) => part.type !== 'text'),
  }
}
