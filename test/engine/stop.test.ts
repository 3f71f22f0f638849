// Stop strings: nothing of them is shown, nothing else is lost, however the text arrives.
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { feed } from '../../cli/engine/stop.ts'

/** What must be shown in the end: character by character, until some stop string is complete; then the longest that ends there goes. */
function expected(text: string, stops: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const ended = stops.filter((stop) => text.slice(0, end).endsWith(stop))
    if (ended.length > 0) return text.slice(0, end - Math.max(...ended.map((stop) => stop.length)))
  }
  return text
}

function feedAll(pieces: readonly string[], stops: readonly string[]): { readonly shown: readonly string[]; readonly rest: string } {
  const shown: string[] = []
  let held = ''
  for (const piece of pieces) {
    const fed = feed(held, piece, stops)
    shown.push(fed.shown)
    held = fed.held
    if (fed.isStopped) return { shown, rest: '' }
  }
  return { shown, rest: held }
}

describe('feed', () => {
  it.each([
    ['no stop string', '', 'abc', [], { shown: 'abc', held: '', isStopped: false }],
    ['a stop string in the middle', '', 'abcdef', ['cd'], { shown: 'ab', held: '', isStopped: true }],
    ['a possible start is held', '', 'abc', ['cd'], { shown: 'ab', held: 'c', isStopped: false }],
    ['what was held was no stop string', 'c', 'x', ['cd'], { shown: 'cx', held: '', isStopped: false }],
    ['what was held was one', 'c', 'd', ['cd'], { shown: '', held: '', isStopped: true }],
    ['the longest possible start is held', '', 'aab', ['aabb', 'bc'], { shown: '', held: 'aab', isStopped: false }],
    ['the stop string that ends first wins', '', 'abc', ['abc', 'b'], { shown: 'a', held: '', isStopped: true }],
    ['of two that end together, the longer', '', 'xab', ['b', 'ab'], { shown: 'x', held: '', isStopped: true }],
  ])('%s', (_, held, piece, stops, fed) => {
    expect(feed(held, piece, stops)).toEqual(fed)
  })

  it('shows the same text for all ways to cut it', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 })
    const stopWord = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), fc.array(stopWord, { maxLength: 4 }), (pieces, stops) => {
        const { shown, rest } = feedAll(pieces, stops)
        expect(shown.join('') + rest).toBe(expected(pieces.join(''), stops))
      }),
      { numRuns: 2000 },
    )
  })

  it('never shows text that a later piece makes part of a stop string', () => {
    const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(pieces, fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 }), (given, stop) => {
        const { shown } = feedAll([...given, stop], [stop])
        expect(expected([...given, stop].join(''), [stop]).startsWith(shown.join(''))).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })
})
