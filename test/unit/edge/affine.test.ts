import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { affine, type AffineCandidate } from '../../../edge/ledger/affine.ts'
import { newPrefixIndex, remember } from '../../../edge/ledger/prefix-index.ts'
import { limits } from '../../../shared/limits.ts'
import type { EndpointId } from '../../../shared/ids.ts'
import type { Affinity } from '../../../shared/wire/ledger.ts'

const id = (name: string) => name as EndpointId
const candidate = (name: string, more: Partial<AffineCandidate> = {}): AffineCandidate => ({
  id: id(name),
  inFlight: 0,
  cap: 64,
  rate: 1,
  predictedMs: 100,
  ...more,
})
const session = (key: string): Affinity => ({ kind: 'session', key, blocks: [] })
const none = newPrefixIndex()

const idOf = (affinity: Affinity, candidates: readonly AffineCandidate[], index = none): EndpointId | null => {
  const kept = affine(affinity, candidates, index)
  return 'id' in kept ? kept.id : null
}

const many = fc.array(
  fc.record({
    inFlight: fc.nat(40),
    cap: fc.integer({ min: 0, max: 40 }),
    rate: fc.double({ min: 0.1, max: 50, noNaN: true }),
    predictedMs: fc.nat(1_000),
  }),
  { minLength: 1, maxLength: 12 },
)
const named = (loads: readonly Omit<AffineCandidate, 'id'>[]): AffineCandidate[] => loads.map((load, i) => ({ id: id(`e${i}`), ...load }))

describe('sessions', () => {
  it('go to one endpoint each time, in whatever order the endpoints come', () => {
    const candidates = ['a', 'b', 'c', 'd'].map((name) => candidate(name))
    const first = idOf(session('s'), candidates)
    expect(first).not.toBeNull()
    expect(idOf(session('s'), candidates.toReversed())).toBe(first)
  })

  it('are spread over the endpoints by their rates', () => {
    const candidates = [candidate('a', { rate: 3 }), candidate('b')]
    const keys = Array.from({ length: 4_000 }, (_, i) => `session-${i}`)
    const share = keys.filter((key) => idOf(session(key), candidates) === 'a').length / keys.length
    expect(share).toBeCloseTo(0.75, 1)
  })

  it('of an endpoint that is gone move, and no others (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 30 }), fc.integer({ min: 2, max: 10 }), fc.nat(9), (keys, n, gone) => {
        const candidates = Array.from({ length: n }, (_, i) => candidate(`e${i}`, { rate: 1 + i }))
        const left = candidates.filter((_, i) => i !== gone % n)
        const kept = keys.filter((key) => idOf(session(key), candidates) !== `e${gone % n}`)
        expect(kept.map((key) => idOf(session(key), left))).toEqual(kept.map((key) => idOf(session(key), candidates)))
      }),
    )
  })
})

describe('bounds', () => {
  it('whoever is taken has room, is under the load bound and not too slow (property)', () => {
    fc.assert(
      fc.property(many, fc.string(), (loads, key) => {
        const candidates = named(loads)
        const taken = candidates.find((each) => each.id === idOf(session(key), candidates))
        fc.pre(taken !== undefined)
        const inFlight = candidates.reduce((sum, each) => sum + each.inFlight, 0)
        const rates = candidates.reduce((sum, each) => sum + each.rate, 0)
        expect(taken.inFlight).toBeLessThan(taken.cap)
        expect(taken.inFlight).toBeLessThan(1.25 * (inFlight / rates) * taken.rate + 1 + 1e-6)
        expect(taken.predictedMs - Math.min(...candidates.map((each) => each.predictedMs))).toBeLessThanOrEqual(limits.affinityMarginMs)
      }),
    )
  })

  it('a hot key spills to at most three endpoints, never beyond the load bound of each (property)', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 2, max: 12 }), fc.integer({ min: 1, max: 200 }), (key, n, requests) => {
        const counts = new Map<string, number>()
        const used = new Set<string>()
        for (let i = 0; i < requests; i++) {
          const candidates = Array.from({ length: n }, (_, at) => candidate(`e${at}`, { inFlight: counts.get(`e${at}`) ?? 0, cap: 20 }))
          const kept = affine(session(key), candidates, none)
          // What affinity leaves goes to the least loaded, as it would by the usual pick.
          const to = 'id' in kept ? kept.id : candidates.toSorted((x, y) => x.inFlight - y.inFlight)[0]?.id
          if ('id' in kept) used.add(kept.id)
          if (to) counts.set(to, (counts.get(to) ?? 0) + 1)
          if ('id' in kept) expect(counts.get(kept.id)).toBeLessThanOrEqual(Math.floor((1.25 * i) / n) + 2)
        }
        expect(used.size).toBeLessThanOrEqual(limits.affinityDepthMax)
        expect(used.size).toBeGreaterThan(0)
      }),
    )
  })

  it('says why it was left, with value and limit of each that was tried', () => {
    const one = (more: Partial<AffineCandidate>) => affine(session('s'), [candidate('a', more)], none)
    expect(one({ inFlight: 64 })).toEqual({ left: 'a is full: 64 of 64' })
    // Alone it is under its bound always; beside an idle one it is not.
    const two = affine(session('s'), [candidate('a', { inFlight: 9 }), candidate('b', { cap: 0 })], none)
    expect('left' in two && two.left).toContain('a has 9 in flight (load bound 6.6)')
    const slow = affine(session('s'), [candidate('a', { predictedMs: 900 }), candidate('b', { cap: 0 })], none)
    expect('left' in slow && slow.left).toContain('a is 800 ms slower than the best (limit 300)')
    expect(affine(session('s'), [], none)).toEqual({ left: 'no endpoint' })
  })

  it('three are tried, not more', () => {
    const candidates = ['a', 'b', 'c', 'd', 'e'].map((name) => candidate(name, { inFlight: 64 }))
    const kept = affine(session('s'), candidates, none)
    expect('left' in kept && kept.left.split('; ')).toHaveLength(3)
  })
})

describe('prefixes', () => {
  const prefix = (key: string, blocks: readonly number[]): Affinity => ({ kind: 'prefix', key, blocks })
  const candidates = ['a', 'b', 'c', 'd'].map((name) => candidate(name))

  it('go where most of the prompt was seen, whatever the key says', () => {
    const index = newPrefixIndex()
    remember(index, id('a'), [1, 2])
    remember(index, id('c'), [1, 2, 3])
    for (const key of ['k', 'l', 'm', 'n']) {
      expect(affine(prefix(key, [1, 2, 3, 4]), candidates, index)).toEqual({ id: 'c', how: 'prefix' })
    }
  })

  it('that nobody has seen go by their key, as sessions do', () => {
    for (const key of ['k', 'l', 'm', 'n']) expect(idOf(prefix(key, [1, 2]), candidates)).toBe(idOf(session(key), candidates))
  })

  it('that many have seen go by their key among those', () => {
    const index = newPrefixIndex()
    for (const name of ['a', 'c']) remember(index, id(name), [1])
    const among = candidates.filter((each) => each.id === 'a' || each.id === 'c')
    for (const key of ['k', 'l', 'm', 'n']) expect(idOf(prefix(key, [1]), candidates, index)).toBe(idOf(session(key), among))
  })
})
