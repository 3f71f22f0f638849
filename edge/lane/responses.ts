// OpenAI responses on a server that speaks them. The caller's bytes are forwarded as they are but for the model's name; answers and events
// go out as they came. Pure.

import { err, ok, type Result } from '../../shared/result.ts'
import { engineFault, hiddenFault } from './engine-error.ts'
import { countOf, isRecord, parseJsonBytes, parseJsonText, recordsOf, textOf, type Json } from './json.ts'
import type { Asking, EngineFault, EventLane, Lane, Outgoing, Sense, Taken, Usage, Whole } from './lane.ts'
import { look, type Look } from './sense.ts'
import { spliceTopLevel } from './splice.ts'
import { responsesWanted, type Wanted } from './wanted.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const responsesLane: Lane = { outgoing, whole, mayPassUnread: () => true, events: responseEvents, fault: engineFault }

function outgoing(asking: Asking): Outgoing {
  const renamed = asking.servedName !== asking.model
  return {
    method: 'POST',
    path: '/v1/responses',
    headers: { 'content-type': 'application/json', accept: asking.stream ? 'text/event-stream' : 'application/json' },
    body: renamed ? encoder.encode(spliceTopLevel(decoder.decode(asking.body), 'model', asking.servedName)) : asking.body,
    dropped: [],
  }
}

const unreadable = (message: string): EngineFault => ({ status: 502, message, code: null, param: null })

function whole(body: Uint8Array, contentType: string, asking: Asking): Result<Whole, EngineFault> {
  const json = parseJsonBytes(body)
  const fault = failureIn(json) ?? hiddenFault(json)
  if (fault) return err(fault)
  if (!isRecord(json) || json['object'] !== 'response' || !Array.isArray(json['output'])) {
    return err(unreadable("The engine's answer is no response."))
  }
  return ok({ body, contentType, headers: {}, usage: usageOf(json['usage']), sense: senseOf(json, responsesWanted(asking.json)) })
}

/** A response that failed is well formed and so has a good status; its error's code says whose fault it was. */
function failureIn(response: unknown): EngineFault | null {
  if (!isRecord(response) || response['status'] !== 'failed') return null
  const fault = hiddenFault({ error: response['error'] }) ?? unreadable('The response failed without a reason.')
  return { ...fault, status: statusOf(fault) }
}

/** OpenAI's codes of failed responses: three speak of the server, all others of what was asked. */
function statusOf({ code, status }: EngineFault): number {
  if (code === 'rate_limit_exceeded') return 429
  if (code !== null && /^(invalid_|unsupported_|image_|empty_|failed_to_download|bio_policy|misalignment_policy)/.test(code)) return 400
  return status
}

function usageOf(usage: unknown): Usage | null {
  if (!isRecord(usage)) return null
  const details = usage['input_tokens_details']
  return {
    inputTokens: countOf(usage['input_tokens']),
    outputTokens: countOf(usage['output_tokens']),
    cachedTokens: isRecord(details) ? countOf(details['cached_tokens']) : null,
  }
}

/** What a finished response is worth. */
function senseOf(response: Json, wanted: Wanted): Sense {
  const looking = look(wanted)
  for (const item of recordsOf(response['output'])) lookAtItem(looking, item)
  if (response['status'] === 'incomplete') looking.cutShort()
  return looking.sense()
}

function lookAtItem(looking: Look, item: Json): void {
  const type = textOf(item['type']) ?? ''
  if (type === 'function_call') {
    const call = { index: null, id: textOf(item['call_id']) ?? textOf(item['id']), name: textOf(item['name']) }
    looking.call({ ...call, arguments: textOf(item['arguments']) ?? '' })
  } else if (type !== 'message') {
    // Searches, code, pictures; what was thought is no answer.
    if (type !== 'reasoning') looking.saySomething()
  } else {
    for (const part of recordsOf(item['content'])) {
      looking.say(textOf(part['text']) ?? textOf(part['refusal']) ?? '')
      if (part['type'] === 'refusal') looking.decline()
    }
  }
}

/** The events of one response. Only the last ones and errors are parsed; the rest are told apart by their names. */
function responseEvents(asking: Asking): EventLane {
  const wanted = responsesWanted(asking.json)
  let usage: Usage | null = null
  let ended = false
  /** Of the last event, which repeats all of the response. What came in pieces before it is not read. */
  let sense: Sense | null = null
  let sawContent = false
  let isCut = false

  const take: EventLane['take'] = (event) => {
    const pass = (means: Taken['means']): Taken => ({ out: event.raw, means, fault: null })
    const failing = (fault: EngineFault): Taken => ({ out: null, means: 'nothing', fault })
    if (event.data === '') return { out: null, means: 'nothing', fault: null }
    // Servers that end every stream so send it after the last event; the openai client knows it.
    if (event.data === '[DONE]') return pass('nothing')
    if (isContent(event.event)) sawContent = true
    if (isDelta(event.event)) return pass('token')
    const json = parseJsonText(event.data)
    if (!isRecord(json)) return failing(unreadable('The engine sent an event that is not JSON.'))
    const type = event.event ?? textOf(json['type'])
    if (isContent(type)) sawContent = true
    if (isDelta(type)) return pass('token')
    const response = json['response']
    if (isRecord(response)) usage = usageOf(response['usage']) ?? usage
    if (type === 'response.completed' || type === 'response.incomplete') {
      ended = true
      isCut = type === 'response.incomplete'
      if (isRecord(response) && recordsOf(response['output']).length > 0) sense = senseOf(response, wanted)
      return pass('done')
    }
    if (type === 'response.failed') {
      return failing(failureIn({ ...(isRecord(response) ? response : {}), status: 'failed' }) ?? unreadable('The response failed.'))
    }
    const fault = hiddenFault(json)
    if (fault) return failing({ ...fault, status: statusOf(fault) })
    return type === 'error' ? failing(unreadable('The engine sent an error without a reason.')) : pass('nothing')
  }

  return {
    take,
    end: () => ({ out: null, whole: ended }),
    usage: () => usage,
    // Some servers do not repeat it: then no more is known than that something came, or nothing did.
    sense: () => sense ?? { empty: !sawContent && !isCut, schema: null, textHash: null },
  }
}

/** Text, refusals, reasoning, arguments, audio: whatever comes in pieces is real content. */
const isDelta = (type: string | null): boolean => type !== null && type.startsWith('response.') && type.endsWith('.delta')

/** Pieces of what is an answer: not of what the model thought before it. */
const isContent = (type: string | null): boolean => isDelta(type) && !type?.startsWith('response.reasoning')
