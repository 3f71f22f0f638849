import fc from 'fast-check'
import { expect, it } from 'vitest'
import { newSmooth, next } from '../../../edge/ledger/smooth.ts'

const turns = (items: readonly { id: string; weight: number }[], n: number, smooth = newSmooth()): (string | null)[] =>
  Array.from({ length: n }, () => next(smooth, items))

it('interleaves: 5, 1, 1 comes as nginx documents it', () => {
  const items = [
    { id: 'a', weight: 5 },
    { id: 'b', weight: 1 },
    { id: 'c', weight: 1 },
  ]
  expect(turns(items, 7).join('')).toBe('aabacaa')
})

it('gives each exactly its weight in a round, then begins anew, and never bunches (property)', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const items = weights.map((weight, i) => ({ id: `e${i}`, weight }))
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      const smooth = newSmooth()
      const round = turns(items, total, smooth)
      expect(turns(items, total, smooth)).toEqual(round)
      for (const { id, weight } of items) {
        expect(round.filter((each) => each === id)).toHaveLength(weight)
        // At each moment it is less than one turn per item away from its exact share.
        for (let n = 1; n <= total; n++) {
          const had = round.slice(0, n).filter((each) => each === id).length
          expect(Math.abs(had - (n * weight) / total)).toBeLessThan(items.length)
        }
        // Nobody with at most half of the weight comes twice in a row.
        if (2 * weight <= total && items.length === 2) expect(round.join(' ')).not.toContain(`${id} ${id}`)
      }
    }),
  )
})

it('forgets who is gone, takes in who comes, and passes over who weighs nothing', () => {
  const smooth = newSmooth()
  turns(
    [
      { id: 'a', weight: 1 },
      { id: 'b', weight: 2 },
    ],
    4,
    smooth,
  )
  turns(
    [
      { id: 'b', weight: 2 },
      { id: 'c', weight: 1 },
    ],
    1,
    smooth,
  )
  expect([...smooth.keys()].toSorted()).toEqual(['b', 'c'])
  expect(
    next(smooth, [
      { id: 'b', weight: 0 },
      { id: 'c', weight: Number.NaN },
      { id: 'd', weight: -1 },
    ]),
  ).toBeNull()
  expect(smooth.size).toBe(0)
  expect(next(smooth, [])).toBeNull()
})

it('a weight that falls does not leave its item in debt for ever', () => {
  const smooth = newSmooth()
  turns(
    [
      { id: 'a', weight: 1_000_000 },
      { id: 'b', weight: 1_000_000 },
    ],
    1,
    smooth,
  )
  expect(
    turns(
      [
        { id: 'a', weight: 1 },
        { id: 'b', weight: 1 },
      ],
      6,
      smooth,
    ).filter((id) => id === 'a').length,
  ).toBeGreaterThanOrEqual(2)
})
