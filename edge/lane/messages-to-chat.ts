// Anthropic messages on a server that only speaks OpenAI's chat completions: the request, the answer and the stream are translated.
// What chat completions cannot carry is left out and named. Pure; nothing here holds more of an answer than one event, but for tool calls
// that an engine sends across each other.

import { err, ok, type Result } from '../../shared/result.ts'
import { lookAtChoices } from './choices.ts'
import { engineFault, hiddenFault } from './engine-error.ts'
import { isRecord, parseJsonBytes, recordsOf } from './json.ts'
import type { Asking, EngineFault, Lane, Outgoing, Whole } from './lane.ts'
import { messageOf } from './messages-to-chat/answer.ts'
import { chatUsage } from './usage.ts'
import { chatRequest } from './messages-to-chat/request.ts'
import { messageStream } from './messages-to-chat/stream.ts'
import { look } from './sense.ts'
import { messagesWanted } from './wanted.ts'

const encoder = new TextEncoder()

export const messagesToChatLane: Lane = {
  outgoing,
  whole,
  events: (asking) => messageStream(asking.model, look(messagesWanted(asking.json))),
  fault: engineFault,
}

function outgoing(asking: Asking): Outgoing {
  const { chat, dropped } = chatRequest(asking.json, asking.servedName, asking.stream)
  return {
    method: 'POST',
    path: '/v1/chat/completions',
    headers: { 'content-type': 'application/json', accept: asking.stream ? 'text/event-stream' : 'application/json' },
    body: encoder.encode(JSON.stringify(chat)),
    dropped,
  }
}

function whole(body: Uint8Array, _contentType: string, asking: Asking): Result<Whole, EngineFault> {
  const json = parseJsonBytes(body)
  const hidden = hiddenFault(json)
  if (hidden) return err(hidden)
  const choice = isRecord(json) ? recordsOf(json['choices'])[0] : undefined
  if (!isRecord(json) || !isRecord(choice?.['message'])) {
    return err({ status: 502, message: "The engine's answer is no chat completion.", code: null, param: null })
  }
  const message = messageOf(json, choice, asking.model)
  if (!message.ok) return message
  const bytes = encoder.encode(JSON.stringify(message.value))
  const looking = look(messagesWanted(asking.json))
  lookAtChoices(looking, [choice])
  return ok({ body: bytes, contentType: 'application/json', headers: {}, usage: chatUsage(json['usage']), sense: looking.sense() })
}
