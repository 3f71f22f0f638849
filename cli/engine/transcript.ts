// cli/engine/transcript.ts — turns sampled tokens into text that may be shown: whole characters only, and nothing of a stop string. Each token
// travels with the text it belongs to, so logprobs never speak of text that was cut away.
import { feed } from './stop.ts'

/** A token the model chose; `probability` and `top` are there when logprobs were asked for. */
export type Sampled = {
  readonly token: number
  readonly probability?: number
  readonly top?: readonly (readonly [token: number, probability: number])[]
}

/** A sampled token with its place in the text: the offset, in UTF-16 units, of the first character it gives. */
export type Heard = Sampled & { readonly start: number }

/** Text to show and the tokens that begin in it. */
export type Piece = { readonly text: string; readonly tokens: readonly Heard[] }

/** Gives the text of `tokens` that follow `before`; an unfinished character comes out as U+FFFD. */
export type Detokenise = (tokens: readonly number[], before: readonly number[]) => string

export type Transcript = {
  /** Tokens that end inside a character, so their text is not known yet. */
  readonly unfinished: readonly number[]
  /** The last token whose text is known: some tokenizers drop a space at the start of a text only. */
  readonly before: readonly number[]
  /** Text that may be the start of a stop string. */
  readonly held: string
  /** UTF-16 units of text known so far, shown and held. */
  readonly knownLength: number
  /** Tokens not yet handed out. */
  readonly waiting: readonly Heard[]
  readonly isStopped: boolean
}

export const emptyTranscript: Transcript = { unfinished: [], before: [], held: '', knownLength: 0, waiting: [], isStopped: false }

/** A character has at most four bytes in UTF-8, so four tokens either finish it or never will. */
const unfinishedTokensMax = 4

/** Adds one token. The piece has no text while a character or a possible stop string is incomplete. */
export function hear(
  before: Transcript,
  sampled: Sampled,
  detokenise: Detokenise,
  stops: readonly string[],
): { readonly transcript: Transcript; readonly piece: Piece } {
  const unfinished = [...before.unfinished, sampled.token]
  const waiting = [...before.waiting, { ...sampled, start: before.knownLength }]
  const text = detokenise(unfinished, before.before)
  if (text.endsWith('\uFFFD') && unfinished.length < unfinishedTokensMax) {
    return { transcript: { ...before, unfinished, waiting }, piece: { text: '', tokens: [] } }
  }
  return show({ ...before, unfinished: [], before: unfinished.slice(-1), waiting }, text, stops)
}

/** Ends the text: what waited for more is shown as it is. */
export function finish(before: Transcript, detokenise: Detokenise, stops: readonly string[]): Piece {
  if (before.isStopped) return { text: '', tokens: [] }
  const rest = before.unfinished.length === 0 ? '' : detokenise(before.unfinished, before.before)
  const { transcript, piece } = show(before, rest, stops)
  if (transcript.isStopped) return piece
  return { text: piece.text + transcript.held, tokens: [...piece.tokens, ...transcript.waiting] }
}

function show(before: Transcript, text: string, stops: readonly string[]): { readonly transcript: Transcript; readonly piece: Piece } {
  const shownLength = before.knownLength - before.held.length
  const { shown, held, isStopped } = feed(before.held, text, stops)
  const shownTo = shownLength + shown.length
  // With nothing held the tokens without text of their own (an empty piece, the bytes of one character) go out too.
  const goesOut = (token: Heard): boolean => token.start < shownTo || (held === '' && !isStopped)
  return {
    transcript: {
      ...before,
      held,
      knownLength: before.knownLength + text.length,
      waiting: before.waiting.filter((token) => !goesOut(token)),
      isStopped,
    },
    piece: { text: shown, tokens: before.waiting.filter(goesOut) },
  }
}
