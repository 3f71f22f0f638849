// Anthropic messages and count_tokens on a server that speaks them. The caller's bytes are forwarded as they are but for the model's name;
// answers and events go out as they came. Pure.

import { err, ok, type Result } from '../../shared/result.ts'
import { engineFault, hiddenFault } from './engine-error.ts'
import { countOf, isRecord, parseJsonBytes, parseJsonText, recordsOf, textOf, type Json } from './json.ts'
import type { Asking, EngineFault, EventLane, Lane, Outgoing, Sense, Taken, Usage, Whole } from './lane.ts'
import { look } from './sense.ts'
import { spliceTopLevel } from './splice.ts'
import { messagesWanted } from './wanted.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The version of the protocol that its clients have sent since it was published; servers refuse a request without one. */
const versionDefault = '2023-06-01'

export const messagesLane: Lane = {
  outgoing: (asking) => outgoing('/v1/messages', asking),
  whole: wholeMessage,
  mayPassUnread: () => true,
  events: messageEvents,
  fault: engineFault,
}

export const countTokensLane: Lane = {
  outgoing: (asking) => outgoing('/v1/messages/count_tokens', asking),
  whole: wholeCount,
  events: null,
  fault: engineFault,
}

function outgoing(path: string, asking: Asking): Outgoing {
  const beta = asking.header('anthropic-beta')
  const renamed = asking.servedName !== asking.model
  return {
    method: 'POST',
    path,
    headers: {
      'content-type': 'application/json',
      accept: asking.stream ? 'text/event-stream' : 'application/json',
      'anthropic-version': asking.header('anthropic-version') ?? versionDefault,
      ...(beta === null ? {} : { 'anthropic-beta': beta }),
    },
    body: renamed ? encoder.encode(spliceTopLevel(decoder.decode(asking.body), 'model', asking.servedName)) : asking.body,
    dropped: [],
  }
}

const unreadable = (message: string): EngineFault => ({ status: 502, message, code: null, param: null })

function wholeMessage(body: Uint8Array, contentType: string, asking: Asking): Result<Whole, EngineFault> {
  const json = parseJsonBytes(body)
  const hidden = anthropicFault(json)
  if (hidden) return err(hidden)
  if (!isRecord(json) || json['type'] !== 'message' || !Array.isArray(json['content'])) {
    return err(unreadable("The engine's answer is no message."))
  }
  return ok({ body, contentType, headers: {}, usage: usageOf(json['usage'], null), sense: senseOf(json, asking) })
}

function senseOf(message: Json, asking: Asking): Sense {
  const looking = look(messagesWanted(asking.json))
  for (const block of recordsOf(message['content'])) {
    const type = textOf(block['type']) ?? ''
    if (type === 'text') looking.say(textOf(block['text']) ?? '')
    else if (type === 'tool_use') {
      const call = { index: null, id: textOf(block['id']), name: textOf(block['name']) }
      looking.call({ ...call, arguments: JSON.stringify(block['input'] ?? {}) })
    } else if (!isThought(type)) looking.saySomething()
  }
  if (isCut(message['stop_reason'])) looking.cutShort()
  if (message['stop_reason'] === 'refusal') looking.decline()
  return looking.sense()
}

const isThought = (type: string): boolean => type === 'thinking' || type === 'redacted_thinking'
const isCut = (stopReason: unknown): boolean => stopReason === 'max_tokens' || stopReason === 'model_context_window_exceeded'

/** Counting uses no tokens, so it has no usage. */
function wholeCount(body: Uint8Array, contentType: string): Result<Whole, EngineFault> {
  const json = parseJsonBytes(body)
  const hidden = anthropicFault(json)
  if (hidden) return err(hidden)
  if (!isRecord(json) || countOf(json['input_tokens']) === null) return err(unreadable("The engine's answer is no count of tokens."))
  return ok({ body, contentType, headers: {}, usage: null, sense: null })
}

/** Anthropic's errors say by their type what a status would say. */
const statuses: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  overloaded_error: 503,
  timeout_error: 504,
}

/** The error that stands where an answer or event should; null when there is none. */
function anthropicFault(json: unknown): EngineFault | null {
  const fault = hiddenFault(json)
  if (!fault || !isRecord(json)) return fault
  const type = isRecord(json['error']) ? textOf(json['error']['type']) : null
  return { ...fault, status: (type === null ? undefined : statuses[type]) ?? fault.status }
}

/** What an engine counted, on top of what it said before. Anthropic counts cached input apart; here it is part of the input. */
function usageOf(usage: unknown, before: Usage | null): Usage | null {
  if (!isRecord(usage)) return before
  const fresh = countOf(usage['input_tokens'])
  const cached = countOf(usage['cache_read_input_tokens'])
  const written = countOf(usage['cache_creation_input_tokens'])
  return {
    inputTokens: fresh === null ? (before?.inputTokens ?? null) : fresh + (cached ?? before?.cachedTokens ?? 0) + (written ?? 0),
    outputTokens: countOf(usage['output_tokens']) ?? before?.outputTokens ?? null,
    cachedTokens: cached ?? before?.cachedTokens ?? null,
  }
}

const lifecycle = new Set(['message_start', 'message_delta', 'content_block_start', 'content_block_stop'])

/** The events of one message. They are parsed only where they decide something: most of a stream is deltas, and after the first they do not. */
function messageEvents(): EventLane {
  let usage: Usage | null = null
  let saidSomething = false
  let stopped = false
  /** Of the block under way, and whether any answered. Deltas are told apart by their block: what stands in them is not read, nor kept. */
  let isAnswer = true
  let answered = false
  let cut = false

  const take: EventLane['take'] = (event) => {
    const pass = (means: Taken['means']): Taken => ({ out: event.raw, means, fault: null })
    // Comments and pings show life to whoever is nearer; this side shows its own.
    if (event.data === '' || event.event === 'ping') return { out: null, means: 'nothing', fault: null }
    if (event.event === 'content_block_delta' && saidSomething) {
      answered ||= isAnswer
      return pass('token')
    }
    // Some servers end every stream in OpenAI's way; here it says nothing.
    if (event.data === '[DONE]') return { out: null, means: 'nothing', fault: null }
    const json = parseJsonText(event.data)
    if (!isRecord(json)) return { out: null, means: 'nothing', fault: unreadable('The engine sent an event that is not JSON.') }
    const type = event.event ?? textOf(json['type'])
    const fault = type !== null && lifecycle.has(type) ? null : anthropicFault(json)
    if (fault || type === 'error') {
      return { out: null, means: 'nothing', fault: fault ?? unreadable('The engine sent an error without a reason.') }
    }
    if (type === 'message_start' && isRecord(json['message'])) usage = usageOf(json['message']['usage'], usage)
    if (type === 'message_delta') {
      usage = usageOf(json['usage'], usage)
      cut ||= isRecord(json['delta']) && isCut(json['delta']['stop_reason'])
    }
    if (type === 'content_block_start') {
      const begun = isRecord(json['content_block']) ? (textOf(json['content_block']['type']) ?? '') : ''
      isAnswer = !isThought(begun)
      // A call without arguments is one all the same; a text that has only begun is none.
      answered ||= isAnswer && begun !== 'text'
    }
    if (type === 'message_stop') {
      stopped = true
      return pass('done')
    }
    if (type !== 'content_block_delta' || !isSaying(json)) return pass('nothing')
    saidSomething = true
    answered ||= isAnswer
    return pass('token')
  }

  return {
    take,
    end: () => ({ out: null, whole: stopped }),
    usage: () => usage,
    sense: () => ({ empty: !answered && !cut, schema: null, textHash: null }),
  }
}

/** A delta with content in it; signatures and citations come after what they belong to. */
function isSaying(json: Json): boolean {
  const delta = isRecord(json['delta']) ? json['delta'] : {}
  return [delta['text'], delta['partial_json'], delta['thinking']].some((text) => textOf(text) !== null)
}
