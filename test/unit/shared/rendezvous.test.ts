import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hash53, rendezvousOrder } from '../../../shared/rendezvous.ts'

type Item = { readonly id: string; readonly weight: number }
const order = (key: string, items: readonly Item[]): readonly string[] =>
  rendezvousOrder(
    key,
    items,
    ({ id }) => id,
    ({ weight }) => weight,
  ).map(({ id }) => id)
const best = (key: string, items: readonly Item[]): string | undefined => order(key, items)[0]

const items = fc
  .array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 2, maxLength: 10 })
  .map((weights) => weights.map((weight, i) => ({ id: `e${i}`, weight })))
const keys = fc.array(fc.string(), { minLength: 1, maxLength: 20 })

describe('rendezvous order', () => {
  it('does not depend on the order of the items, and holds each once (property)', () => {
    fc.assert(
      fc.property(fc.string(), items, (key, items) => {
        expect(order(key, items.toReversed())).toEqual(order(key, items))
        expect(order(key, items).toSorted()).toEqual(items.map(({ id }) => id).toSorted())
      }),
    )
  })

  it('without one item is the same order without it (property)', () => {
    fc.assert(
      fc.property(keys, items, fc.nat(), (keys, items, n) => {
        const gone = items[n % items.length]?.id
        const left = items.filter(({ id }) => id !== gone)
        for (const key of keys) expect(order(key, left)).toEqual(order(key, items).filter((id) => id !== gone))
      }),
    )
  })

  it('moves keys only to an item whose weight grows (property)', () => {
    fc.assert(
      fc.property(keys, items, fc.nat(), fc.double({ min: 1, max: 10, noNaN: true }), (keys, items, n, factor) => {
        const grown = items[n % items.length]?.id
        const after = items.map((item) => (item.id === grown ? { ...item, weight: item.weight * factor } : item))
        for (const key of keys) expect([best(key, items), grown]).toContain(best(key, after))
      }),
    )
  })

  it('gives shares in proportion to the weights', () => {
    const weighted = [1, 2, 3, 4].map((weight) => ({ id: `e${weight}`, weight }))
    const chosen = Array.from({ length: 20_000 }, (_, i) => best(`key-${i}`, weighted))
    const squares = weighted.map(({ id, weight }) => {
      const expected = weight * 2_000
      return (chosen.filter((each) => each === id).length - expected) ** 2 / expected
    })
    // Chi-square with 3 degrees of freedom stays below 21.1 but once in 10,000; the keys are fixed, so this never flickers.
    expect(squares.reduce((sum, square) => sum + square, 0)).toBeLessThan(21.1)
  })

  it('puts what has no positive weight last', () => {
    const broken = [0, -1, Number.NaN, Number.POSITIVE_INFINITY].map((weight, i) => ({ id: `z${i}`, weight }))
    for (const key of ['a', 'b', 'c']) expect(best(key, [...broken, { id: 'a', weight: 0.001 }])).toBe('a')
  })
})

describe('hash53', () => {
  it('is the same for the same text on every machine', () => {
    expect([hash53(''), hash53('a'), hash53('isochrone')]).toEqual([1_603_940_747_867_492, 2_009_829_275_948_868, 1_594_062_965_935_444])
  })

  it('is a whole number below 2^53 (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff)), (units) => {
        const hash = hash53(String.fromCharCode(...units))
        expect(Number.isSafeInteger(hash)).toBe(true)
        expect(hash).toBeGreaterThanOrEqual(0)
      }),
    )
  })

  it('turns half of its bits over when one character changes, each bit about equally often', () => {
    const flips = Array.from({ length: 53 }, () => 0)
    const texts = Array.from({ length: 4_000 }, (_, i) => `session-${i}`)
    for (const text of texts) {
      let changed = BigInt(hash53(text)) ^ BigInt(hash53(`${text.slice(0, 3)}x${text.slice(4)}`))
      for (let bit = 0; changed > 0n; bit++, changed >>= 1n) flips[bit] = (flips[bit] ?? 0) + Number(changed & 1n)
    }
    for (const flipped of flips) expect(flipped / texts.length).toBeCloseTo(0.5, 1)
  })

  it('keeps 200,000 texts that are alike apart', () => {
    const hashes = new Set(Array.from({ length: 200_000 }, (_, i) => hash53(`user-${i}`)))
    expect(hashes.size).toBe(200_000)
  })
})
