// A chat completion as a message, and the words that answer and stream have in common: stop reasons, usage, ids. Pure.

import { err, ok, type Result } from '../../../shared/result.ts'
import { countOf, isRecord, recordsOf, textOf, type Json } from '../json.ts'
import type { EngineFault } from '../lane.ts'
import { chatUsage } from '../usage.ts'
import { toolInput } from './tool-input.ts'

/** The message that a completion's first choice is. Fails when the engine says itself that the answer is none. */
export function messageOf(chat: Json, choice: Json, model: string): Result<Json, EngineFault> {
  const broken = brokenOff(choice)
  if (broken) return err(broken)
  const said = isRecord(choice['message']) ? choice['message'] : {}
  const id = messageId(chat['id'])
  const text = contentText(said['content']) + (textOf(said['refusal']) ?? '')
  const thinking = reasoningOf(said)
  const calls = recordsOf(said['tool_calls']).map((call, index) => toolUse(call, toolId(call['id'], id, index)))
  const content = [
    ...(thinking === '' ? [] : [{ type: 'thinking', thinking, signature: '' }]),
    ...(text === '' ? [] : [{ type: 'text', text }]),
    ...calls,
  ]
  const ended: Ending = {
    finish: textOf(choice['finish_reason']),
    matched: matchedStop(choice),
    calledTools: calls.length > 0,
    refused: textOf(said['refusal']) !== null,
  }
  return ok({
    ...emptyMessage(id, model),
    content,
    ...stopOf(ended),
    usage: { input_tokens: 0, output_tokens: 0, ...messageUsage(chat['usage']) },
  })
}

/** A message that has not begun yet. */
export const emptyMessage = (id: string, model: string): Json => ({
  id,
  type: 'message',
  role: 'assistant',
  model,
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: { input_tokens: 0, output_tokens: 0 },
})

function toolUse(call: Json, id: string): Json {
  const asked = isRecord(call['function']) ? call['function'] : {}
  const input = toolInput()
  const text = input.push(argumentsOf(asked)) + input.end()
  return { type: 'tool_use', id, name: textOf(asked['name']) ?? '', input: text === '' ? {} : (JSON.parse(text) as unknown) }
}

/** Arguments are JSON in a text; some engines send the object itself. */
export function argumentsOf(asked: Json): string {
  const given = asked['arguments']
  if (typeof given === 'string') return given
  return isRecord(given) ? JSON.stringify(given) : ''
}

/** Ids are opaque to clients, but they look at how they begin; what an engine calls the answer stays recognizable. */
export const messageId = (given: unknown): string =>
  `msg_${plain((textOf(given) ?? '').replace(/^(chatcmpl|cmpl|msg)[-_]/, '')) || 'unnamed'}`

/** An id that the caller will send back with the result; the engine's own where it gives one. */
export const toolId = (given: unknown, message: string, index: number): string =>
  plain(textOf(given) ?? '') || `toolu_${message.slice('msg_'.length)}_${index}`

/** Anthropic takes ids of these characters only. */
const plain = (id: string): string => id.replace(/[^\w-]/g, '').slice(0, 64)

/** What vLLM calls `reasoning`, and it and others call `reasoning_content`. */
export const reasoningOf = (said: Json): string => textOf(said['reasoning_content']) ?? textOf(said['reasoning']) ?? ''

/** A text, or a list of parts of which the texts count. */
export function contentText(content: unknown): string {
  if (typeof content === 'string') return content
  return recordsOf(content)
    .map((part) => textOf(part['text']) ?? '')
    .join('')
}

/** An engine that gives up names it as the reason to finish (vLLM, SGLang); that is no end of a message. */
export function brokenOff(choice: Json): EngineFault | null {
  const finish = choice['finish_reason']
  if (finish !== 'abort' && finish !== 'error') return null
  return { status: 502, message: `The engine gave the answer up (${finish}).`, code: null, param: null }
}

/** The stop sequence that ended the answer, where the engine tells: vLLM's `stop_reason`, SGLang's `matched_stop`. Numbers there are tokens. */
export const matchedStop = (choice: Json): string | null => textOf(choice['stop_reason']) ?? textOf(choice['matched_stop'])

export type Ending = {
  readonly finish: string | null
  readonly matched: string | null
  readonly calledTools: boolean
  readonly refused: boolean
}

/** Why a message stopped. Clients run tools only on `tool_use`, and engines say `stop` when the caller named the tool himself. */
export function stopOf({ finish, matched, calledTools, refused }: Ending): {
  readonly stop_reason: string
  readonly stop_sequence: string | null
} {
  const because = (stop_reason: string) => ({ stop_reason, stop_sequence: null })
  if (finish === 'length') return because('max_tokens')
  if (finish === 'content_filter' || refused) return because('refusal')
  if (calledTools) return because('tool_use')
  return matched === null ? because('end_turn') : { stop_reason: 'stop_sequence', stop_sequence: matched }
}

/** The same as a message's usage, without what is unknown. Anthropic counts cached input apart, OpenAI as part of the input. */
export function messageUsage(usage: unknown): Json {
  const counted = chatUsage(usage)
  if (!counted || !isRecord(usage)) return {}
  const { inputTokens, outputTokens, cachedTokens } = counted
  const details = usage['completion_tokens_details']
  const thinking = isRecord(details) ? countOf(details['reasoning_tokens']) : null
  return {
    ...(inputTokens === null ? {} : { input_tokens: Math.max(0, inputTokens - (cachedTokens ?? 0)) }),
    ...(outputTokens === null ? {} : { output_tokens: outputTokens }),
    ...(cachedTokens === null ? {} : { cache_read_input_tokens: cachedTokens }),
    ...(thinking === null ? {} : { output_tokens_details: { thinking_tokens: thinking } }),
  }
}
