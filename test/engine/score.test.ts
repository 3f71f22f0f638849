// The scorer behind every accuracy figure.
import { describe, expect, it } from 'vitest'
import { isRight, normalise } from '../../cli/engine/score.ts'

describe('isRight', () => {
  it.each([
    ['the expected word', 'Nairobi', 'The capital of Kenya is Nairobi.', true],
    ['case and accents aside', 'Yaounde', 'It is YAOUNDÉ!', true],
    ['not a part of a word', 'Niger', 'It is Nigeria.', false],
    ['a dot that begins a code counts', '.ke', 'The internet code is .ke.', true],
    ['and is missed', '.ke', 'The internet code is ke.', false],
    ['a decimal point counts', '2.5 million', 'About 2.5 million people.', true],
    ['all of a list', ['Uganda', 'Somalia'], 'Somalia, Ethiopia and Uganda.', true],
    ['not some of a list', ['Uganda', 'Chad'], 'Somalia, Ethiopia and Uganda.', false],
  ])('contains: %s', (_, expected, answer, isIt) => {
    expect(isRight({ expected, match: 'contains' }, answer)).toBe(isIt)
  })

  it('exact: the whole text, once normalised', () => {
    expect(isRight({ expected: "You're welcome!", match: 'exact' }, 'you re welcome')).toBe(true)
    expect(isRight({ expected: 'Hello', match: 'exact' }, 'Hello there')).toBe(false)
  })

  it('normalises to words with one space around each', () => {
    expect(normalise('  São Tomé, 2.5 (.st).')).toBe(' sao tome 2.5 .st ')
  })
})
