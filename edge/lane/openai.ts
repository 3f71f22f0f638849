// OpenAI's chat completions, completions and embeddings on a server that speaks them. The caller's bytes are forwarded as they are but for
// the model's name and the wish for usage; answers are repaired only where they break the protocol's schema. Pure.

import { err, ok, type Result } from '../../shared/result.ts'
import type { SseEvent } from './sse.ts'
import { lookAtChoices } from './choices.ts'
import { base64Of, floatsOf } from './embedding.ts'
import { engineFault, hiddenFault } from './engine-error.ts'
import { isRecord, parseJsonBytes, parseJsonText, recordsOf, textOf, type Json } from './json.ts'
import type { Asking, EngineFault, EventLane, Lane, Outgoing, Taken, Usage, Whole } from './lane.ts'
import { look } from './sense.ts'
import { setTopLevel, spliceTopLevel } from './splice.ts'
import { chatUsage } from './usage.ts'
import { chatWanted } from './wanted.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const chatLane: Lane = {
  outgoing: (asking) => outgoing('/v1/chat/completions', asking),
  whole: (body, contentType, asking) => wholeChoices(body, contentType, asking, repairChatChoice),
  mayPassUnread: () => true,
  events: choiceEvents,
  fault: engineFault,
}

export const completionsLane: Lane = {
  outgoing: (asking) => outgoing('/v1/completions', asking),
  whole: (body, contentType, asking) => wholeChoices(body, contentType, asking, repairTextChoice),
  mayPassUnread: () => true,
  events: choiceEvents,
  fault: engineFault,
}

export const embeddingsLane: Lane = {
  outgoing: (asking) => outgoing('/v1/embeddings', asking),
  whole: wholeEmbeddings,
  // Half-converted numbers would be silent nonsense.
  mayPassUnread: (asking) => !wantsBase64(asking),
  events: null,
  fault: engineFault,
}

function outgoing(path: string, asking: Asking): Outgoing {
  return {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json', accept: asking.stream ? 'text/event-stream' : 'application/json' },
    body: bodyFor(asking),
    dropped: [],
  }
}

/** The caller's own bytes unless a field must change. Usage is always asked for in streams: what was used has to be known. */
function bodyFor(asking: Asking): Uint8Array {
  const renamed = asking.servedName !== asking.model
  const usageMissing = asking.stream && !asksUsage(asking)
  if (!renamed && !usageMissing) return asking.body
  let text = decoder.decode(asking.body)
  if (renamed) text = spliceTopLevel(text, 'model', asking.servedName)
  if (usageMissing) text = setTopLevel(text, 'stream_options', { ...streamOptions(asking), include_usage: true })
  return encoder.encode(text)
}

const streamOptions = ({ json }: Asking): Json => (isRecord(json) && isRecord(json['stream_options']) ? json['stream_options'] : {})
const asksUsage = (asking: Asking): boolean => streamOptions(asking)['include_usage'] === true

const unreadable = (what: string): Result<never, EngineFault> =>
  err({ status: 502, message: `The engine's answer is no ${what}.`, code: null, param: null })

/** An answer with choices. It goes out as it came unless a choice lacks what the schema demands (llama.cpp leaves out `logprobs` and `refusal`). */
function wholeChoices(body: Uint8Array, contentType: string, asking: Asking, repair: (choice: Json) => Json): Result<Whole, EngineFault> {
  const json = parseJsonBytes(body)
  const hidden = hiddenFault(json)
  if (hidden) return err(hidden)
  if (!isRecord(json) || !Array.isArray(json['choices'])) return unreadable('completion')
  const choices = recordsOf(json['choices'])
  const repaired = choices.map(repair)
  const changed = repaired.some((choice, index) => choice !== choices[index])
  const bytes = changed ? encoder.encode(JSON.stringify({ ...json, choices: repaired })) : body
  const looking = look(chatWanted(asking.json))
  lookAtChoices(looking, choices)
  return ok({
    body: bytes,
    contentType: changed ? 'application/json' : contentType,
    headers: {},
    usage: chatUsage(json['usage']),
    sense: looking.sense(),
  })
}

function repairChatChoice(choice: Json): Json {
  const message = isRecord(choice['message']) ? choice['message'] : {}
  if ('logprobs' in choice && 'refusal' in message) return choice
  return { ...choice, logprobs: choice['logprobs'] ?? null, message: { ...message, refusal: message['refusal'] ?? null } }
}

const repairTextChoice = (choice: Json): Json => ('logprobs' in choice ? choice : { ...choice, logprobs: null })

/** Embeddings in the encoding that was asked for, whatever the engine returns: openai 6 turns the wrong one into empty vectors without a word. */
function wholeEmbeddings(body: Uint8Array, contentType: string, asking: Asking): Result<Whole, EngineFault> {
  const json = parseJsonBytes(body)
  const hidden = hiddenFault(json)
  if (hidden) return err(hidden)
  if (!isRecord(json) || !Array.isArray(json['data'])) return unreadable('list of embeddings')
  const inBase64 = wantsBase64(asking)
  const rows = recordsOf(json['data'])
  const converted = rows.map((row) => (inBase64 ? withBase64(row) : withFloats(row)))
  if (converted.some((row) => row === null)) return unreadable('list of numbers')
  const changed = converted.some((row, index) => row !== rows[index])
  const bytes = changed ? encoder.encode(JSON.stringify({ ...json, data: converted })) : body
  const usage = chatUsage(json['usage'])
  return ok({ body: bytes, contentType: changed ? 'application/json' : contentType, headers: {}, usage, sense: null })
}

const wantsBase64 = ({ json }: Asking): boolean => isRecord(json) && json['encoding_format'] === 'base64'

function withBase64(row: Json): Json | null {
  if (typeof row['embedding'] === 'string') return row
  const encoded = base64Of(row['embedding'])
  return encoded === null ? null : { ...row, embedding: encoded }
}

function withFloats(row: Json): Json | null {
  if (Array.isArray(row['embedding'])) return row
  const floats = floatsOf(row['embedding'])
  return floats === null ? null : { ...row, embedding: floats }
}

/** Both kinds of completion stream alike. Events pass untouched, except for usage the caller did not ask for. */
function choiceEvents(asking: Asking): EventLane {
  const showUsage = asksUsage(asking)
  const looking = look(chatWanted(asking.json))
  let usage: Usage | null = null
  let tokens = 0
  let done = false

  const take = (event: SseEvent): Taken => {
    if (event.data === '') return { out: event.raw, means: 'nothing', fault: null }
    if (event.data === '[DONE]') {
      done = true
      return { out: event.raw, means: 'done', fault: null }
    }
    if (event.event === 'error') return { out: null, means: 'nothing', fault: faultOf(event.data) }
    const json = parseJsonText(event.data)
    const fault = isRecord(json)
      ? (hiddenFault(json) ?? null)
      : { status: 502, message: 'The engine sent an event that is not JSON.', code: null, param: null }
    if (fault || !isRecord(json)) return { out: null, means: 'nothing', fault }
    usage = chatUsage(json['usage']) ?? usage
    const choices = recordsOf(json['choices'])
    lookAtChoices(looking, choices)
    const isToken = choices.some(hasContent)
    if (isToken) tokens++
    return { out: showUsage ? event.raw : withoutUsage(event, json), means: isToken ? 'token' : 'nothing', fault: null }
  }

  return {
    take,
    end: () => ({ out: null, whole: done }),
    // A stream that broke off has no word of the engine; the events with content are then the best count there is.
    usage: () => usage ?? (tokens > 0 ? { inputTokens: null, outputTokens: tokens, cachedTokens: null } : null),
    sense: looking.sense,
  }
}

/** What stands in an event of its own for errors, with the engine's own status where it gives one. */
function faultOf(data: string): EngineFault {
  const json = parseJsonText(data)
  return hiddenFault(isRecord(json) && !('error' in json) ? { error: json } : json) ?? engineFault(502, data)
}

/** A choice that says something, or that it has ended: an empty answer is an answer too. */
function hasContent(choice: Json): boolean {
  if (textOf(choice['text']) !== null || textOf(choice['finish_reason']) !== null) return true
  const delta = isRecord(choice['delta']) ? choice['delta'] : {}
  const said = [delta['content'], delta['reasoning_content'], delta['reasoning'], delta['refusal']]
  return (
    said.some((text) => textOf(text) !== null) ||
    recordsOf(delta['tool_calls']).length > 0 ||
    isRecord(delta['function_call']) ||
    isRecord(delta['audio'])
  )
}

/** The event without its usage; null when it held nothing else. */
function withoutUsage(event: SseEvent, json: Json): Uint8Array | null {
  if (!('usage' in json)) return event.raw
  if (recordsOf(json['choices']).length === 0) return null
  const { usage: _, ...rest } = json
  return encoder.encode(`data: ${JSON.stringify(rest)}\n\n`)
}
