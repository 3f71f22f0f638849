// The Open Inference Protocol on a server that speaks it: Triton, KServe, MLServer, and the project's own engine. Bodies travel untouched in
// both directions but for the model's name in answers. A path names no version: an endpoint serves exactly one. Pure.

import { err, ok, type Result } from '../../shared/result.ts'
import type { SseEvent } from './sse.ts'
import { hiddenFault } from './engine-error.ts'
import { countOf, isRecord, parseJsonText, textOf, type Json } from './json.ts'
import type { Asking, EngineFault, EventLane, Lane, Sense, Taken, Usage, Whole } from './lane.ts'
import { oipFault } from './open-inference-fault.ts'
import { splitTensors } from './open-inference-body.ts'
import { look, type Look } from './sense.ts'
import { spliceTopLevel } from './splice.ts'
import { generateWanted } from './wanted.ts'

const jsonLengthHeader = 'inference-header-content-length'
const encoder = new TextEncoder()
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const inferLane: Lane = {
  outgoing: (asking) => {
    const length = asking.header(jsonLengthHeader)
    return {
      method: 'POST',
      path: `${modelPath(asking)}/infer`,
      headers: {
        // A body that was read as JSON is called so, whatever a careless client called it; some servers insist.
        'content-type': length === null ? jsonType(asking) : asking.contentType || 'application/octet-stream',
        accept: asking.header('accept') ?? '*/*',
        ...(length === null ? {} : { [jsonLengthHeader]: length }),
      },
      body: asking.body,
      dropped: [],
    }
  },
  whole: wholeTensors,
  // A binary answer's header with the length of its JSON is computed from the whole of it.
  mayPassUnread: (_asking, contentType) => /^application\/json\b/i.test(contentType),
  events: null,
  fault: oipFault,
}

export const generateLane: Lane = {
  outgoing: (asking) => generateOutgoing('generate', 'application/json', asking),
  whole: (body, _contentType, asking) =>
    wholeObject(body, asking, { nameKey: 'model_name', isAnswer: isGenerated, what: 'generated text', senseOf }),
  events: null,
  fault: oipFault,
}

export const generateStreamLane: Lane = {
  outgoing: (asking) => generateOutgoing('generate_stream', 'text/event-stream', asking),
  // A server may answer a stream's request in one piece.
  whole: generateLane.whole,
  events: generateEvents,
  fault: oipFault,
}

export const metadataLane: Lane = {
  outgoing: (asking) => ({
    method: 'GET',
    path: modelPath(asking),
    headers: { accept: 'application/json' },
    body: new Uint8Array(0),
    dropped: [],
  }),
  whole: (body, _contentType, asking) =>
    wholeObject(body, asking, { nameKey: 'name', isAnswer: isDescription, what: "model's metadata", senseOf: () => null }),
  events: null,
  fault: oipFault,
}

// What goes upstream.

const modelPath = ({ servedName }: Asking): string => `/v2/models/${encodeURIComponent(servedName)}`

const jsonType = ({ contentType }: Asking): string => (contentType.includes('json') ? contentType : 'application/json')

const generateOutgoing = (operation: 'generate' | 'generate_stream', accepts: string, asking: Asking): ReturnType<Lane['outgoing']> => ({
  method: 'POST',
  path: `${modelPath(asking)}/${operation}`,
  headers: { 'content-type': jsonType(asking), accept: asking.header('accept') ?? accepts },
  body: asking.body,
  dropped: [],
})

// Answers in one piece.

/** An infer answer: outputs in JSON, and behind it those in binary, whose sizes must add up to what is there. */
function wholeTensors(body: Uint8Array, contentType: string, asking: Asking): Result<Whole, EngineFault> {
  const parts = splitTensors(body)
  if (parts === null) return unreadable('JSON, alone or before binary tensors')
  const hidden = errorIn(parts.json)
  if (hidden) return err(hidden)
  if (parts.binaryBytes === null) return unreadable('list of outputs with their data')
  const head = body.subarray(0, body.length - parts.binaryBytes)
  const named = withName(head, parts.json, 'model_name', asking.model)
  const usage = usageOf(parts.json)
  if (parts.binaryBytes === 0) return ok({ body: named, contentType: contentType || 'application/json', headers: {}, usage, sense: null })
  return ok({
    body: named === head ? body : joined(named, body.subarray(head.length)),
    contentType: contentType || 'application/octet-stream',
    headers: { [jsonLengthHeader]: String(named.length) },
    usage,
    sense: null,
  })
}

type Expected = {
  readonly nameKey: 'model_name' | 'name'
  readonly isAnswer: (json: Json) => boolean
  readonly what: string
  readonly senseOf: (json: Json, asking: Asking) => Sense | null
}

function wholeObject(body: Uint8Array, asking: Asking, { nameKey, isAnswer, what, senseOf }: Expected): Result<Whole, EngineFault> {
  const json = parseJsonText(new TextDecoder().decode(body))
  const hidden = errorIn(json)
  if (hidden) return err(hidden)
  if (!isRecord(json) || !isAnswer(json)) return unreadable(what)
  return ok({
    body: withName(body, json, nameKey, asking.model),
    contentType: 'application/json',
    headers: {},
    usage: usageOf(json),
    sense: senseOf(json, asking),
  })
}

/** Text, or at least the name of the model: what else a model gives out is its own choice of names. */
const isGenerated = (json: Json): boolean => isText(json['text_output']) || textOf(json['model_name']) !== null
const isText = (value: unknown): boolean => typeof value === 'string' || Array.isArray(value)
const isDescription = (json: Json): boolean => textOf(json['name']) !== null || Array.isArray(json['inputs'])

/** `bytes` with clients' name for the model in `key`, where it stands; bytes that are not UTF-8 are left alone, to lose none of them. */
function withName(bytes: Uint8Array, json: Json, key: string, model: string): Uint8Array {
  if (json[key] === undefined || json[key] === model) return bytes
  try {
    return encoder.encode(spliceTopLevel(strictUtf8.decode(bytes), key, model))
  } catch {
    return bytes
  }
}

const unreadable = (what: string): Result<never, EngineFault> =>
  err({ status: 502, message: `The engine's answer is no ${what}.`, code: null, param: null })

/** An error in place of an answer, classified by its words as one with a bad status would be. */
function errorIn(json: unknown): EngineFault | null {
  const hidden = hiddenFault(json)
  return hidden ? oipFault(hidden.status, JSON.stringify(json)) : null
}

// Answers in pieces. The protocol has no terminal event: the server closes when it has said everything.

function generateEvents(asking: Asking): EventLane {
  const looking = look(generateWanted(asking.json))
  let usage: Usage | null = null
  let events = 0
  let failed = false
  /** Whether the server says of each event if it is the last, and what it said of the latest. */
  let marksEnd = false
  let ended = false

  const take = (event: SseEvent): Taken => {
    if (event.data === '') return { out: event.raw, means: 'nothing', fault: null }
    // Not of the protocol, but known of servers that put it on top of OpenAI's.
    if (event.data === '[DONE]') return { out: event.raw, means: 'nothing', fault: null }
    const json = parseJsonText(event.data)
    const fault = isRecord(json) ? errorIn(json) : notJson
    if (fault || !isRecord(json)) {
      failed = true
      return { out: null, means: 'nothing', fault }
    }
    events += 1
    usage = added(usage, usageOf(json))
    lookAt(looking, json)
    if ('finish_reason' in json) {
      marksEnd = true
      ended = isFinish(json['finish_reason'])
    }
    return { out: renamed(event, json, asking.model), means: saysSomething(json) ? 'token' : 'nothing', fault: null }
  }

  return {
    take,
    // A polite close in the middle looks like an end, except where the server marks its ends and has not.
    end: () => ({ out: null, whole: events > 0 && !failed && (!marksEnd || ended) }),
    usage: () => usage,
    sense: looking.sense,
  }
}

const notJson: EngineFault = { status: 502, message: 'The engine sent an event that is not JSON.', code: null, param: null }

/** Triton's vLLM backend writes "None" while it goes on. */
const isFinish = (reason: unknown): boolean => textOf(reason) !== null && reason !== 'None'

/** Text, an output of another name, or word that the answer is over: an empty answer is an answer too. */
function saysSomething(json: Json): boolean {
  if (isFinish(json['finish_reason'])) return true
  const text = json['text_output']
  if (text !== undefined) return Array.isArray(text) ? text.some((one) => textOf(one) !== null) : textOf(text) !== null
  return Object.keys(json).some((key) => !silentKeys.has(key))
}

function senseOf(json: Json, asking: Asking): Sense {
  const looking = look(generateWanted(asking.json))
  lookAt(looking, json)
  return looking.sense()
}

/** Several texts are several answers; an output of another name is the model's own, and says something. */
function lookAt(looking: Look, json: Json): void {
  const given = json['text_output']
  const texts: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (texts.length > 1) looking.several()
  for (const text of texts) looking.say(textOf(text) ?? '')
  if (given === undefined && Object.keys(json).some((key) => !silentKeys.has(key))) looking.saySomething()
  if (json['finish_reason'] === 'length') looking.cutShort()
}

const silentKeys = new Set([
  'id',
  'model_name',
  'model_version',
  'parameters',
  'usage',
  'finish_reason',
  'num_input_tokens',
  'num_output_tokens',
])

/** The event as it came, or with clients' name for the model. */
function renamed(event: SseEvent, json: Json, model: string): Uint8Array {
  if (json['model_name'] === undefined || json['model_name'] === model) return event.raw
  const data = spliceTopLevel(event.data, 'model_name', model)
  const name = event.event === null ? '' : `event: ${event.event}\n`
  const lines = data.split('\n').map((line) => `data: ${line}\n`)
  return encoder.encode(`${name}${lines.join('')}\n`)
}

// Tokens, where a server counts them: Triton's vLLM backend as outputs of its own, others in OpenAI's block or as parameters.

function usageOf(json: Json): Usage | null {
  const block = [json['usage'], json, json['parameters']].filter(isRecord).find((one) => tokensOf(one) !== null)
  return block === undefined ? null : tokensOf(block)
}

function tokensOf(block: Json): Usage | null {
  const inputTokens = countOf(block['prompt_tokens']) ?? countOf(block['num_input_tokens'])
  const outputTokens = countOf(block['completion_tokens']) ?? countOf(block['num_output_tokens'])
  return inputTokens === null && outputTokens === null ? null : { inputTokens, outputTokens, cachedTokens: null }
}

/** Each event counts the output it carries, and repeats the input. */
function added(before: Usage | null, usage: Usage | null): Usage | null {
  if (before === null || usage === null) return usage ?? before
  const outputTokens = before.outputTokens === null ? usage.outputTokens : before.outputTokens + (usage.outputTokens ?? 0)
  return { inputTokens: usage.inputTokens ?? before.inputTokens, outputTokens, cachedTokens: null }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length)
  bytes.set(a)
  bytes.set(b, a.length)
  return bytes
}
