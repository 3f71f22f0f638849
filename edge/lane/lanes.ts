// The table of lanes: what is asked, and what the server is asked to do for it. A pair that is not here cannot be served. Pure.

import { servedAs, type Operation } from '../../shared/operations.ts'
import type { Lane } from './lane.ts'
import { countTokensLane, messagesLane } from './messages.ts'
import { messagesToChatLane } from './messages-to-chat.ts'
import { generateLane, generateStreamLane, inferLane, metadataLane } from './open-inference.ts'
import { chatLane, completionsLane, embeddingsLane } from './openai.ts'
import { responsesLane } from './responses.ts'

const lanes: Partial<Record<`${Operation}>${Operation}`, Lane>> = {
  'chat>chat': chatLane,
  'completions>completions': completionsLane,
  'embeddings>embeddings': embeddingsLane,
  'responses>responses': responsesLane,
  'messages>messages': messagesLane,
  'messages>chat': messagesToChatLane,
  'count_tokens>count_tokens': countTokensLane,
  'infer>infer': inferLane,
  'generate>generate': generateLane,
  'generate_stream>generate_stream': generateStreamLane,
  'metadata>metadata': metadataLane,
}

/** The lane for an operation on a server that can do `able`; null when it can serve it in no way. */
export function laneFor(asked: Operation, able: readonly Operation[]): Lane | null {
  const served = servedAs(able, asked)
  return served ? (lanes[`${asked}>${served}`] ?? null) : null
}
