// A stream of chat completion chunks as the events of a message. Blocks come strictly one after another there: each is begun, filled and
// stopped before the next. Texts and arguments are passed on as they come; only what arrives while an unfinished tool call is open waits,
// and there is a bound to that. Pure but for the state of one stream.

import { limits } from '../../../shared/limits.ts'
import { lookAtChoices } from '../choices.ts'
import { hiddenFault } from '../engine-error.ts'
import { isRecord, parseJsonText, recordsOf, textOf, type Json } from '../json.ts'
import type { EngineFault, EventLane, Taken, Usage } from '../lane.ts'
import {
  argumentsOf,
  brokenOff,
  contentText,
  emptyMessage,
  matchedStop,
  messageId,
  messageUsage,
  reasoningOf,
  stopOf,
  toolId,
} from './answer.ts'
import type { Look } from '../sense.ts'
import { chatUsage } from '../usage.ts'
import { blockQueue, type BlockQueue } from './blocks.ts'

const encoder = new TextEncoder()

/** Calls in one answer; past it the engine is counting wrong. */
const callsMax = 1_024

/** The events of one message for the caller's `model`; `look` sees what is said. */
export function messageStream(model: string, look: Look): EventLane {
  const stream = new MessageStream(model, look)
  return {
    take: (event) => stream.take(event),
    end: () => ({ out: null, whole: stream.stopped }),
    usage: () => stream.usage,
    sense: look.sense,
  }
}

const nothing: Taken = { out: null, means: 'nothing', fault: null }
const failing = (fault: EngineFault): Taken => ({ out: null, means: 'nothing', fault })
const broken = (message: string): Taken => failing({ status: 502, message, code: null, param: null })

const frame = (type: string, fields: Json): string => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`

type Call = { readonly block: number; readonly id: string | null }

class MessageStream {
  readonly #model: string
  readonly #look: Look
  readonly #blocks: BlockQueue = blockQueue(frame)
  /** The engine's index of a call to its block. */
  readonly #calls = new Map<number, Call>()
  #callsSeen = 0
  #lastIndex = 0
  #id: string | null = null
  #finish: string | null = null
  #matched: string | null = null
  #refused = false
  #wireUsage: Json = {}
  #out: string[] = []
  usage: Usage | null = null
  stopped = false

  constructor(model: string, look: Look) {
    this.#model = model
    this.#look = look
  }

  take(event: Parameters<EventLane['take']>[0]): Taken {
    if (event.data === '' || this.stopped) return nothing
    // Without a reason to finish the answer is not known to be whole, whatever the engine says afterwards.
    if (event.data === '[DONE]') return this.#finish === null ? nothing : this.#stop()
    const json = parseJsonText(event.data)
    const fault = hiddenFault(json)
    if (fault) return failing(fault)
    if (!isRecord(json)) return broken('The engine sent an event that is not JSON.')
    if (!Array.isArray(json['choices'])) return nothing
    return this.#chunk(json)
  }

  #chunk(json: Json): Taken {
    this.#out = []
    if (this.#id === null) this.#start(json)
    this.usage = chatUsage(json['usage']) ?? this.usage
    this.#wireUsage = { ...this.#wireUsage, ...messageUsage(json['usage']) }
    const choice = recordsOf(json['choices']).find(({ index }) => index === undefined || index === 0)
    if (!choice || this.#finish !== null) return this.#taken('nothing')
    const gaveUp = brokenOff(choice)
    if (gaveUp) return failing(gaveUp)
    lookAtChoices(this.#look, [choice])
    if (isRecord(choice['delta'])) this.#delta(choice['delta'])
    this.#finish = textOf(choice['finish_reason'])
    if (this.#finish !== null) {
      this.#matched = matchedStop(choice)
      this.#blocks.finish()
    }
    const flushed = this.#blocks.flush()
    if (flushed.waitingChars > limits.eventBytesMax || this.#callsSeen > callsMax)
      return broken('The engine sent too many tool calls at once.')
    this.#out.push(flushed.frames)
    // An empty answer is an answer too: its end is as good as a token.
    return this.#taken(flushed.said || this.#finish !== null ? 'token' : 'nothing')
  }

  #start(json: Json): void {
    this.#id = messageId(json['id'])
    this.#out.push(frame('message_start', { message: emptyMessage(this.#id, this.#model) }))
  }

  #delta(delta: Json): void {
    this.#blocks.say('thinking', reasoningOf(delta))
    this.#blocks.say('text', contentText(delta['content']))
    const refusal = textOf(delta['refusal'])
    if (refusal !== null) this.#refused = true
    this.#blocks.say('text', refusal ?? '')
    for (const call of recordsOf(delta['tool_calls'])) this.#call(call)
  }

  /** A piece of a call. It belongs to the call of its index, unless it names another: some engines give every call the same one. */
  #call(piece: Json): void {
    const asked = isRecord(piece['function']) ? piece['function'] : {}
    const id = textOf(piece['id'])
    const name = textOf(asked['name'])
    const index = this.#indexOf(piece, id, name)
    this.#lastIndex = index
    const known = this.#calls.get(index)
    const isOther = known !== undefined && id !== null && known.id !== null && id !== known.id && name !== null
    let call = isOther ? undefined : known
    if (!call) {
      // The count alone goes on past the bound; the stream is given up for it.
      this.#callsSeen++
      if (this.#callsSeen > callsMax) return
      call = { block: this.#blocks.addTool(toolId(piece['id'], this.#id ?? '', this.#callsSeen - 1)), id }
      this.#calls.set(index, call)
    }
    this.#blocks.fillTool(call.block, name, argumentsOf(asked))
  }

  #indexOf(piece: Json, id: string | null, name: string | null): number {
    const given = piece['index']
    if (typeof given === 'number') return given
    if (id !== null && this.#calls.get(this.#lastIndex)?.id === id) return this.#lastIndex
    // Engines without indices send each call whole, or say by a new id or name that another begins.
    return id !== null || name !== null ? this.#callsSeen : this.#lastIndex
  }

  #stop(): Taken {
    this.stopped = true
    const delta = stopOf({ finish: this.#finish, matched: this.#matched, calledTools: this.#callsSeen > 0, refused: this.#refused })
    this.#out = [frame('message_delta', { delta, usage: { output_tokens: 0, ...this.#wireUsage } }), frame('message_stop', {})]
    return this.#taken('done')
  }

  #taken(means: Taken['means']): Taken {
    const text = this.#out.join('')
    return { out: text === '' ? null : encoder.encode(text), means, fault: null }
  }
}
