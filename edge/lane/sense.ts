// What an answer is worth, as far as its form tells, gathered while it passes: whether anything was said, whether it is the JSON that was asked
// for, and a digest of its text. A text is kept only where JSON was asked for, and only up to a bound; nothing here changes an answer.

import { limits } from '../../shared/limits.ts'
import { calls, type CallPiece } from './calls.ts'
import { isRecord, parseJsonText } from './json.ts'
import type { Sense } from './lane.ts'
import { textHash } from './text-hash.ts'
import type { Format, Wanted } from './wanted.ts'

export type Look = {
  /** A piece of the answer's text, not of what the model thinks before it. */
  readonly say: (text: string) => void
  /** A piece of a tool call. */
  readonly call: (piece: CallPiece) => void
  /** Something that is no text, and is an answer all the same: sound, a search. */
  readonly saySomething: () => void
  /** The model declined: what it says then has no form to keep. */
  readonly decline: () => void
  /** It ended at the limit of tokens: what is missing is not the model's fault. */
  readonly cutShort: () => void
  /** The answer is one of several: of those only whether any says something is known. */
  readonly several: () => void
  readonly sense: () => Sense
}

export function look(wanted: Wanted): Look {
  const { format } = wanted
  const called = calls()
  const hash = wanted.deterministic ? textHash() : null
  let [said, declined, isCut, isOneOfSeveral] = [false, false, false, false]
  let text = ''
  let leftChars: number = limits.senseTextCharsMax

  /** Whether a piece may be kept; past the bound nothing is. */
  const fits = (piece: string): boolean => {
    // Each costs something, however short: a million empty pieces are too many as well.
    leftChars -= piece.length + 1
    return leftChars >= 0
  }

  const schema = (): boolean | null => {
    if (declined || isCut || isOneOfSeveral || leftChars < 0) return null
    const ofText = format && said ? hasFormat(text, format) : null
    const ofCalls = called.count() > 0 ? called.areReadable() : null
    return ofText === null ? ofCalls : ofText && ofCalls !== false
  }

  return {
    say: (piece) => {
      if (piece === '') return
      said = true
      hash?.add(piece)
      if (format && fits(piece)) text += piece
    },
    call: (piece) => {
      hash?.add(`${piece.name === null ? '' : `\0${piece.name}\0`}${piece.arguments}`)
      // The first is taken whatever its size: that there is a call is known either way.
      if (fits(piece.arguments)) called.add(piece)
      else if (called.count() === 0) called.add({ ...piece, arguments: '' })
    },
    saySomething: () => {
      said = true
    },
    decline: () => {
      declined = true
    },
    cutShort: () => {
      isCut = true
    },
    several: () => {
      isOneOfSeveral = true
    },
    sense: () => ({
      empty: !said && !isCut && called.count() === 0,
      schema: schema(),
      textHash: isOneOfSeveral ? null : (hash?.digest() ?? null),
    }),
  }
}

function hasFormat(text: string, { type, required }: Format): boolean {
  const json = parseJsonText(text)
  if (type === 'array') return Array.isArray(json)
  if (type === 'object') return isRecord(json) && required.every((key) => Object.hasOwn(json, key))
  return json !== null || text.trim() === 'null'
}
