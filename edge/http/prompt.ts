// The beginning of a prompt as text, to compare it with others. Pure. It reads no further than it has to and never fails: what is not
// understood is left out, and a request without text has no beginning to speak of.

import type { Operation } from '../../shared/operations.ts'

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What has been read so far; nothing is added once there is enough. */
type Reading = { text: string; readonly charsMax: number }

const isFull = ({ text, charsMax }: Reading): boolean => text.length >= charsMax

const add = (reading: Reading, text: string): void => void (reading.text += text.slice(0, reading.charsMax - reading.text.length))

/** Lists of lists of tokens are the deepest that dialects have; what is nested deeper is no text, and may be nested to exhaust us. */
const depthMax = 4

/** A text, tokens, or a list of texts, parts and blocks with a `text`. */
function addContent(reading: Reading, content: unknown, depth = 0): void {
  if (typeof content === 'string') add(reading, content)
  else if (typeof content === 'number') add(reading, `${content} `)
  else if (Array.isArray(content) && depth < depthMax) {
    for (const part of content) {
      if (isFull(reading)) return
      addContent(reading, isFields(part) ? part['text'] : part, depth + 1)
    }
  }
}

/** Messages and items: who speaks, then what. */
function addTurns(reading: Reading, turns: unknown): void {
  if (!Array.isArray(turns)) return addContent(reading, turns)
  for (const turn of turns) {
    if (isFull(reading)) return
    if (!isFields(turn)) continue
    const who = turn['role'] ?? turn['type']
    add(reading, `\n${typeof who === 'string' ? who : ''}\n`)
    addContent(reading, turn['content'])
  }
}

const readers: Partial<Record<Operation, (reading: Reading, body: Fields) => void>> = {
  chat: (reading, body) => addTurns(reading, body['messages']),
  messages: (reading, body) => {
    addContent(reading, body['system'])
    addTurns(reading, body['messages'])
  },
  responses: (reading, body) => {
    addContent(reading, body['instructions'])
    addTurns(reading, body['input'])
  },
  completions: (reading, body) => addContent(reading, body['prompt']),
  embeddings: (reading, body) => addContent(reading, body['input']),
  generate: (reading, body) => addContent(reading, body['text_input']),
  generate_stream: (reading, body) => addContent(reading, body['text_input']),
}

/** At most `charsMax` characters of what the model is given, in the order in which it is given them; empty when there is no text. */
export function promptOf(operation: Operation, json: unknown, charsMax: number): string {
  const reading: Reading = { text: '', charsMax }
  if (isFields(json)) readers[operation]?.(reading, json)
  return reading.text
}
