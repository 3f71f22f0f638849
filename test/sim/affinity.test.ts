// Sessions stay where they were: by a hash that moves only what it must, under a bound on load that lets nobody's popularity fill one endpoint.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { affine, type AffineCandidate } from '../../edge/ledger/affine.ts'
import { newPrefixIndex } from '../../edge/ledger/prefix-index.ts'
import { limits } from '../../shared/limits.ts'
import { hash53, rendezvousOrder } from '../../shared/rendezvous.ts'
import type { EndpointId } from '../../shared/ids.ts'

type Place = { readonly id: string; readonly weight: number }

const places = fc.uniqueArray(fc.record({ id: fc.string({ minLength: 1, maxLength: 8 }), weight: fc.integer({ min: 1, max: 64 }) }), {
  minLength: 2,
  maxLength: 12,
  selector: ({ id }) => id,
})
const keys = Array.from({ length: 200 }, (_, number) => `session-${number}`)

const homeOf = (key: string, all: readonly Place[]): string | undefined =>
  rendezvousOrder(
    key,
    all,
    ({ id }) => id,
    ({ weight }) => weight,
  )[0]?.id

/** Keys of others that find another home when one place goes. */
function movedOthers(all: readonly Place[], gone: string, home: typeof homeOf): readonly string[] {
  const left = all.filter(({ id }) => id !== gone)
  return keys.filter((key) => home(key, all) !== gone && home(key, all) !== home(key, left))
}

describe('taking an endpoint away', () => {
  it('moves only the sessions that it had', () => {
    fc.assert(
      fc.property(places, fc.nat(), (all, draw) => {
        expect(movedOthers(all, all[draw % all.length]!.id, homeOf)).toEqual([])
      }),
    )
  })

  it('where a hash modulo their number moves most of the others too', () => {
    const modulo = (key: string, all: readonly Place[]) => all[hash53(key) % all.length]?.id
    const all = Array.from({ length: 8 }, (_, number) => ({ id: `e${number}`, weight: 1 }))
    expect(movedOthers(all, 'e3', modulo).length).toBeGreaterThan(keys.length / 2)
  })
})

const candidate = (id: string, slots: number, inFlight: number): AffineCandidate => ({
  id: id as EndpointId,
  inFlight,
  cap: slots,
  rate: slots,
  predictedMs: 0,
})

/** So many requests of one session, or of sessions drawn from a list, that all stay: where each goes, null for the usual pick. */
function served(
  sizes: readonly number[],
  sessions: readonly string[],
): { readonly stays: readonly AffineCandidate[]; readonly used: Set<string>; readonly overBound: number } {
  let stays = sizes.map((slots, number) => candidate(`e${number}`, slots, 0))
  const used = new Set<string>()
  let overBound = 0
  for (const key of sessions) {
    const found = affine({ kind: 'session', key, blocks: [] }, stays, newPrefixIndex())
    const sum = stays.reduce((total, each) => total + each.inFlight, 0)
    const rates = stays.reduce((total, each) => total + each.rate, 0)
    // The usual pick takes what affinity gives up: here, the least used.
    const least = stays.reduce((best, each) => (each.inFlight / each.cap < best.inFlight / best.cap ? each : best))
    const id = 'id' in found ? found.id : least.id
    if ('id' in found) {
      used.add(found.id)
      const chosen = stays.find((each) => each.id === id)!
      if (chosen.inFlight + 1 > limits.affinityLoadBound * sum * (chosen.rate / rates) + 2) overBound++
    }
    stays = stays.map((each) => (each.id === id ? { ...each, inFlight: each.inFlight + 1 } : each))
  }
  return { stays, used, overBound }
}

const sizes = fc.array(fc.integer({ min: 4, max: 64 }), { minLength: 4, maxLength: 10 })

describe('one session that everybody wants', () => {
  it('uses at most three endpoints by affinity, and leaves the rest to the usual pick', () => {
    fc.assert(
      fc.property(sizes, fc.string(), (each, key) => {
        const room = each.reduce((sum, slots) => sum + slots, 0)
        const { used } = served(
          each,
          Array.from({ length: room }, () => key),
        )
        expect(used.size).toBeLessThanOrEqual(limits.affinityDepthMax)
      }),
    )
  })

  it('where going on to the next endpoint for ever uses them all', () => {
    const order = rendezvousOrder('hot', [0, 1, 2, 3, 4, 5], String, () => 1)
    const inFlight = new Map<number, number>()
    for (let request = 0; request < 60; request++) {
      const fair = (limits.affinityLoadBound * request) / order.length + 1
      const next = order.find((each) => (inFlight.get(each) ?? 0) < fair) ?? 0
      inFlight.set(next, (inFlight.get(next) ?? 0) + 1)
    }
    expect(inFlight.size).toBeGreaterThan(limits.affinityDepthMax)
  })
})

describe('many sessions, some of them popular', () => {
  const sessions = fc.array(
    fc.nat({ max: 20 }).map((number) => `s${number}`),
    { minLength: 1, maxLength: 150 },
  )

  it('never bring an endpoint more than a quarter above its fair share, and one', () => {
    fc.assert(
      fc.property(sizes, sessions, (each, all) => {
        expect(served(each, all).overBound).toBe(0)
      }),
    )
  })

  it('never bring an endpoint more than it has places', () => {
    fc.assert(
      fc.property(sizes, sessions, (each, all) => {
        const room = each.reduce((sum, slots) => sum + slots, 0)
        for (const { inFlight, cap } of served(each, all.slice(0, room)).stays) expect(inFlight).toBeLessThanOrEqual(cap)
      }),
    )
  })
})
