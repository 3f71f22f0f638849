// cli/engine/speaker.ts — puts pieces of text on the wire in a voice's words: at once as a stream, or together as one JSON at the end.
import type { End } from './generate.ts'
import type { Model } from './model.ts'
import type { Heard, Piece } from './transcript.ts'
import type { Choice, Said, Usage, Voice, Words } from './voice.ts'
import type { Wire } from './wire.ts'

/** What a speaker needs to know of a request. */
export type Speech = {
  readonly voice: Voice
  readonly model: Pick<Model, 'detokenise'>
  readonly promptTokens: number
  readonly hasLogprobs: boolean
  readonly isStream: boolean
  readonly includeUsage: boolean
}

export type Speaker = {
  readonly say: (index: number, piece: Piece) => void
  readonly close: (index: number, end: End) => void
  readonly end: (ends: readonly End[]) => void
}

export function openSpeaker(speech: Speech, wire: Wire): Speaker {
  const { voice } = speech
  const usageOf = (ends: readonly End[]): Usage => ({
    promptTokens: speech.promptTokens,
    completionTokens: ends.reduce((sum, end) => sum + end.tokens, 0),
  })
  const wordsOf = (piece: Piece): Words => ({
    text: piece.text,
    said: speech.hasLogprobs ? piece.tokens.map((token) => saidOf(token, speech.model)) : null,
  })
  return speech.isStream ? streamSpeaker(speech, wire, wordsOf, usageOf) : wholeSpeaker(voice, wire, wordsOf, usageOf)
}

function streamSpeaker(
  { voice, includeUsage }: Speech,
  wire: Wire,
  wordsOf: (piece: Piece) => Words,
  usageOf: (ends: readonly End[]) => Usage,
): Speaker {
  const opened = new Set<number>()
  const open = (index: number): void => {
    if (opened.has(index)) return
    opened.add(index)
    const opening = voice.opening(index)
    if (opening !== null) wire.event(opening)
  }
  return {
    say: (index, piece) => {
      open(index)
      wire.event(voice.words(index, wordsOf(piece)))
    },
    close: (index, end) => {
      open(index)
      wire.event(voice.closing(index, end.finishReason, usageOf([end])))
    },
    end: (ends) => {
      if (includeUsage) wire.event(voice.usage(usageOf(ends)))
      wire.endEvents(voice.endMark)
    },
  }
}

function wholeSpeaker(voice: Voice, wire: Wire, wordsOf: (piece: Piece) => Words, usageOf: (ends: readonly End[]) => Usage): Speaker {
  const spoken = new Map<number, Piece>()
  const soFar = (index: number): Piece => spoken.get(index) ?? { text: '', tokens: [] }
  return {
    say: (index, piece) => {
      const { text, tokens } = soFar(index)
      spoken.set(index, { text: text + piece.text, tokens: [...tokens, ...piece.tokens] })
    },
    close: () => {},
    end: (ends) => {
      const choices = ends.map((end, index): Choice => ({ ...wordsOf(soFar(index)), finishReason: end.finishReason }))
      wire.json(200, voice.whole(choices, usageOf(ends)))
    },
  }
}

/** OpenAI's stand-in for a probability of zero; JSON has no infinity. */
const logprobMin = -9999

function saidOf(heard: Heard, model: Pick<Model, 'detokenise'>): Said {
  const alternative = (token: number, probability: number) => {
    const text = model.detokenise([token], [])
    return {
      text,
      // A token that is part of a character has bytes that the text does not show.
      bytes: text.includes('\uFFFD') ? null : [...Buffer.from(text)],
      logprob: probability > 0 ? Math.log(probability) : logprobMin,
    }
  }
  return {
    ...alternative(heard.token, heard.probability ?? 0),
    start: heard.start,
    top: (heard.top ?? []).map(([token, probability]) => alternative(token, probability)),
  }
}
