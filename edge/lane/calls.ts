// The tool calls of an answer, put together from their pieces, as far as is needed to read their arguments. Engines tell pieces apart by an
// index, by an id, or by sending each call whole. Pure but for what it keeps; its owner bounds that.

import { isRecord, parseJsonText } from './json.ts'

export type CallPiece = {
  /** The engine's number of the call; null where it gives none. */
  readonly index: number | null
  readonly id: string | null
  /** Comes with the first piece. */
  readonly name: string | null
  readonly arguments: string
}

type Call = { readonly id: string | null; text: string }

export type Calls = {
  readonly count: () => number
  readonly add: (piece: CallPiece) => void
  /** Whether the arguments of each are a JSON object, or nothing. */
  readonly areReadable: () => boolean
}

export function calls(): Calls {
  const all: Call[] = []
  const byIndex = new Map<number, Call>()

  const known = ({ index, id, name }: CallPiece): Call | undefined => {
    if (index !== null) return byIndex.get(index)
    const last = all.at(-1)
    return (id === null && name === null) || (id !== null && id === last?.id) ? last : undefined
  }

  const callOf = (piece: CallPiece): Call => {
    const found = known(piece)
    // Some engines give every call the same index.
    const isOther = found && piece.name !== null && piece.id !== null && found.id !== null && piece.id !== found.id
    if (found && !isOther) return found
    const call: Call = { id: piece.id, text: '' }
    all.push(call)
    if (piece.index !== null) byIndex.set(piece.index, call)
    return call
  }

  return {
    count: () => all.length,
    add: (piece) => {
      callOf(piece).text += piece.arguments
    },
    areReadable: () => all.every(({ text }) => text.trim() === '' || isRecord(parseJsonText(text))),
  }
}
