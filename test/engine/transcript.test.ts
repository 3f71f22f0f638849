// Tokens into text: whole characters only, and each token with the text it gave.
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { emptyTranscript, finish, hear, type Heard, type Piece } from '../../cli/engine/transcript.ts'

/** A model whose every token is one byte, so that each character above U+007F is split. */
const bytesToText = (tokens: readonly number[]): string => Buffer.from(tokens).toString('utf8')

function say(text: string, stops: readonly string[]): { readonly pieces: readonly Piece[]; readonly isStopped: boolean } {
  const pieces: Piece[] = []
  let transcript = emptyTranscript
  for (const token of Buffer.from(text)) {
    const heard = hear(transcript, { token }, bytesToText, stops)
    transcript = heard.transcript
    pieces.push(heard.piece)
    if (transcript.isStopped) break
  }
  pieces.push(finish(transcript, bytesToText, stops))
  return { pieces, isStopped: transcript.isStopped }
}

const textOf = (pieces: readonly Piece[]): string => pieces.map((piece) => piece.text).join('')
const tokensOf = (pieces: readonly Piece[]): readonly Heard[] => pieces.flatMap((piece) => piece.tokens)

describe('hear', () => {
  it('never shows half a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 12 }), (text) => {
        fc.pre(!text.includes('\uFFFD'))
        const { pieces } = say(text, [])
        expect(textOf(pieces)).toBe(text)
        for (const piece of pieces) expect(piece.text).not.toContain('\uFFFD')
      }),
    )
  })

  it('hands out every token once and in order when nothing stops it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 12 }),
        fc.array(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 2 }),
        (text, stops) => {
          fc.pre(!stops.some((stop) => text.includes(stop)))
          const { pieces } = say(text, stops)
          expect(tokensOf(pieces).map((token) => token.token)).toEqual([...Buffer.from(text)])
          expect(textOf(pieces)).toBe(text)
        },
      ),
    )
  })

  it('gives no token of a stop string, and those before it with their offsets', () => {
    const { pieces, isStopped } = say('ab##cd', ['##'])
    expect(isStopped).toBe(true)
    expect(textOf(pieces)).toBe('ab')
    expect(tokensOf(pieces).map(({ token, start }) => [String.fromCharCode(token), start])).toEqual([
      ['a', 0],
      ['b', 1],
    ])
  })

  it('shows broken bytes in the end rather than hold them for ever', () => {
    const { transcript, piece } = hear(emptyTranscript, { token: 0xf0 }, bytesToText, [])
    expect(piece.text).toBe('')
    expect(finish(transcript, bytesToText, []).text).toBe('\uFFFD')
  })

  it('finds a stop string made of characters that were split', () => {
    const { pieces, isStopped } = say('naïve→end', ['→'])
    expect([textOf(pieces), isStopped]).toEqual(['naïve', true])
  })
})
