// Which cell, which endpoint, and whether the ledger is asked: the pure parts of routing.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cellsFor, rowOf, servingEndpoints, type Candidates, type Need } from '../../../edge/route/cell.ts'
import { drawBlind, type BlindDraw } from '../../../edge/route/fallback.ts'
import { whyAsk, type Prospect } from '../../../edge/route/worth-asking.ts'
import { seededRandom } from '../../../shared/random.ts'
import { mayServe, sharesOf, type Endpoint } from '../../../shared/wire/snapshot.ts'
import type { CellId, EndpointId, OriginName, VersionId } from '../../../shared/ids.ts'
import { cellLoad, endpoint, loadsOf, model, region, snapshotOf, version } from '../../support/snapshot.ts'

const enam = 'enam' as OriginName
const cell = (name: string) => `atlas@${name}` as CellId
const cells = (first: string, ...others: string[]) => ({ first: cell(first), others: others.map(cell) })
const three = snapshotOf([endpoint('a', 'near'), endpoint('b', 'middle'), endpoint('c', 'far')])
const shares = sharesOf(three, model, enam)
const need = (so: Partial<Need> = {}): Need => ({ version, operation: 'chat', avoid: [], residency: null, ...so })
const firstOf = (candidates: Candidates): CellId | null => ('none' in candidates ? null : candidates.first)
const withFractions = (...fractions: number[]) => shares.map((share, i) => ({ ...share, fraction: fractions[i] ?? 0 }))

describe('cellsFor', () => {
  it('draws the first by the fractions and lists the others by cost', () => {
    expect(cellsFor(three, shares, need(), null, () => 0)).toEqual(cells('near', 'middle', 'far'))
    const halves = shares.map((share) => ({ ...share, fraction: 0.5 }))
    expect(cellsFor(three, halves, need(), null, () => 0.99)).toEqual(cells('far', 'near', 'middle'))
  })

  it.each([
    ['by chance', (): string | null => null],
    ['by key', (i: number): string | null => `session:${i}`],
  ])('follows the fractions in the long run, %s', (_, keyOf) => {
    const random = seededRandom(3)
    const firsts = Array.from({ length: 5_000 }, (_each, i) =>
      firstOf(cellsFor(three, withFractions(0.7, 0.3, 0), need(), keyOf(i), random)),
    )
    expect(firsts.filter((first) => first === cell('near')).length / firsts.length).toBeCloseTo(0.7, 1)
    expect(firsts).not.toContain(cell('far'))
  })

  it('a key keeps its cell, whatever chance says, until its fractions fall', () => {
    fc.assert(
      fc.property(fc.string(), fc.double({ min: 0.1, max: 0.9, noNaN: true }), fc.nat(), (key, near, seed) => {
        const row = withFractions(near, 1 - near, 0)
        const before = firstOf(cellsFor(three, row, need(), key, seededRandom(seed)))
        expect(firstOf(cellsFor(three, row, need(), key, seededRandom(seed + 1)))).toBe(before)
        // More for the cell it has: it stays.
        const more = withFractions(before === cell('near') ? near * 1.5 : near, before === cell('near') ? 1 - near : (1 - near) * 1.5, 0)
        expect(firstOf(cellsFor(three, more, need(), key, seededRandom(seed)))).toBe(before)
      }),
    )
  })

  it('when a cell is lost only its own keys move', () => {
    const row = withFractions(0.4, 0.3, 0.3)
    const down = snapshotOf([endpoint('a', 'near', { state: 'unhealthy' }), endpoint('b', 'middle'), endpoint('c', 'far')])
    const keys = Array.from({ length: 200 }, (_, i) => `session:${i}`)
    const before = keys.map((key) => firstOf(cellsFor(three, row, need(), key, () => 0)))
    const after = keys.map((key) => firstOf(cellsFor(down, row, need(), key, () => 0)))
    expect(before.filter((first) => first === cell('near')).length).toBeGreaterThan(50)
    before.forEach((first, i) => first !== cell('near') && expect(after[i]).toBe(first))
    expect(after).not.toContain(cell('near'))
  })

  it('leaves out cells that do not serve the version, are down, or were tried', () => {
    const mixed = snapshotOf([
      endpoint('a', 'near', { state: 'unhealthy' }),
      endpoint('b', 'middle', { version: 'other' as VersionId }),
      endpoint('c', 'far'),
      endpoint('d', 'farther', { state: 'unknown' }),
    ])
    const row = sharesOf(mixed, model, enam)
    expect(cellsFor(mixed, row, need(), null, () => 0)).toEqual(cells('far', 'farther'))
    expect(cellsFor(mixed, row, need({ avoid: ['c' as EndpointId] }), null, () => 0)).toEqual(cells('farther'))
  })

  it('a tried endpoint does not take its cell out while another endpoint is there', () => {
    const pair = snapshotOf([endpoint('a', 'near'), endpoint('b', 'near')])
    const row = sharesOf(pair, model, enam)
    expect(cellsFor(pair, row, need({ avoid: ['a' as EndpointId] }), null, () => 0)).toEqual(cells('near'))
  })

  it('finds a cell that the row does not name yet', () => {
    const grown = snapshotOf([endpoint('a', 'near'), endpoint('b', 'new')], { fractions: { [model]: { enam: shares.slice(0, 1) } } })
    expect(cellsFor(grown, sharesOf(grown, model, enam), need(), null, () => 0)).toEqual(cells('near', 'new'))
  })

  it('offers only who can do what is asked, or can do it in translation', () => {
    const mixed = snapshotOf([endpoint('a', 'near', { operations: ['embeddings'] }), endpoint('b', 'far')])
    const row = sharesOf(mixed, model, enam)
    expect(cellsFor(mixed, row, need(), null, () => 0)).toEqual(cells('far'))
    expect(cellsFor(mixed, row, need({ operation: 'messages' }), null, () => 0)).toEqual(cells('far'))
    expect(cellsFor(mixed, row, need({ operation: 'infer' }), null, () => 0)).toEqual({ none: 'unsupported_operation' })
  })

  it('tells "nobody serves it" from "everybody is down"', () => {
    expect(cellsFor(three, shares, need({ version: 'nobody' as VersionId }), null, () => 0)).toEqual({ none: 'no_endpoint' })
    const down = snapshotOf([endpoint('a', 'near', { state: 'unhealthy' }), endpoint('b', 'far', { state: 'draining' })])
    expect(cellsFor(down, sharesOf(down, model, enam), need(), null, () => 0)).toEqual({ none: 'no_healthy_endpoint' })
  })
})

describe('residency', () => {
  const mixed = snapshotOf([endpoint('a', 'ohio'), endpoint('b', 'paris'), endpoint('c', 'bern')], {
    regions: [region('ohio', 'us'), region('paris', 'eu'), region('bern', null)],
  })
  const row = sharesOf(mixed, model, enam)

  it('comes before the fractions, which give all to a cell outside', () => {
    expect(row.map(({ fraction }) => fraction)).toEqual([1, 0, 0])
    expect(cellsFor(mixed, row, need({ residency: 'eu' }), null, () => 0)).toEqual(cells('paris'))
  })

  it('a region without a jurisdiction is in none', () => {
    expect(servingEndpoints(mixed, need({ residency: 'eu' })).map(({ id }) => id)).toEqual(['b'])
  })

  it('that nobody meets is told apart from endpoints that are down', () => {
    expect(cellsFor(mixed, row, need({ residency: 'br' }), null, () => 0)).toEqual({ none: 'residency_unmet' })
    expect(cellsFor(mixed, row, need({ residency: 'eu', avoid: ['b' as EndpointId] }), null, () => 0)).toEqual({
      none: 'no_healthy_endpoint',
    })
  })

  it('no draw ever leaves the jurisdiction', () => {
    const jurisdictions = [null, 'eu', 'us']
    fc.assert(
      fc.property(fc.array(fc.nat(2), { minLength: 1, maxLength: 6 }), fc.option(fc.string()), fc.nat(), (kinds, key, seed) => {
        const regions = kinds.map((kind, i) => region(`r${i}`, jurisdictions[kind] ?? null))
        const snapshot = snapshotOf(
          kinds.map((_, i) => endpoint(`e${i}`, `r${i}`)),
          { regions },
        )
        const found = cellsFor(snapshot, sharesOf(snapshot, model, enam), need({ residency: 'eu' }), key, seededRandom(seed))
        const inside = new Set(regions.filter(({ jurisdiction }) => jurisdiction === 'eu').map(({ name }) => cell(name)))
        expect('none' in found ? [] : [found.first, ...found.others].toSorted()).toEqual([...inside].toSorted())
      }),
    )
  })
})

describe('rows', () => {
  it('let another origin stand in for one without a row, and know nothing of an unknown model', () => {
    expect(sharesOf(three, model, 'oc' as OriginName)).toEqual(shares)
    expect(sharesOf(three, 'other' as typeof model, enam)).toEqual([])
  })

  it('come from the loads while they are fresh, else from the snapshot', () => {
    const fresher = withFractions(0.2, 0.8)
    expect(rowOf(three, loadsOf([], { rows: { [enam]: fresher } }), model, enam)).toBe(fresher)
    expect(rowOf(three, loadsOf([], { rows: { ['oc' as OriginName]: fresher } }), model, enam)).toBe(fresher)
    expect(rowOf(three, loadsOf([]), model, enam)).toEqual(shares)
    expect(rowOf(three, null, model, enam)).toEqual(shares)
  })
})

describe('drawBlind', () => {
  const draw = (endpoints: readonly Endpoint[], so: Partial<BlindDraw> = {}): BlindDraw => ({
    endpoints,
    loads: null,
    isAside: () => false,
    key: null,
    ...so,
  })
  const pair = [endpoint('big', 'x', { slots: 6 }), endpoint('small', 'x', { slots: 4, weight: 0.5 })]
  const shareOf = (id: string, so: Partial<BlindDraw>) => {
    const random = seededRandom(5)
    const drawn = Array.from(
      { length: 4_000 },
      (_, i) => drawBlind(draw(pair, { ...so, key: so.key === 'each' ? `key${i}` : null }), random)?.id,
    )
    return drawn.filter((each) => each === id).length / drawn.length
  }

  it('spreads by slots and weight, so that nobody herds', () => {
    expect(shareOf('big', {})).toBeCloseTo(0.75, 1)
    expect(drawBlind(draw([endpoint('off', 'x', { weight: 0 })]), () => 0)).toBeNull()
  })

  it.each([
    ['by chance', null],
    ['by key', 'each'],
  ])('follows fresh weights instead, %s', (_, key) => {
    const weights = { ['big' as EndpointId]: 0.1, ['small' as EndpointId]: 0.9 }
    expect(shareOf('small', { loads: loadsOf([], { weights }), key })).toBeCloseTo(0.9, 1)
  })

  it('an endpoint that fresh weights do not name gets nothing, unless they name none at all', () => {
    expect(shareOf('small', { loads: loadsOf([], { weights: { ['big' as EndpointId]: 0.1 } }) })).toBe(0)
    expect(shareOf('small', { loads: loadsOf([], { weights: { ['gone' as EndpointId]: 1 } }) })).toBeCloseTo(0.25, 1)
  })

  it('leaves out what failed here a moment ago, unless nothing else is there', () => {
    expect(shareOf('big', { isAside: (id) => id === 'big' })).toBe(0)
    expect(shareOf('big', { isAside: () => true })).toBeCloseTo(0.75, 1)
  })

  it('never picks what may not serve, whatever weights and reflexes say', () => {
    const states = ['healthy', 'unknown', 'unhealthy', 'draining', 'disabled'] as const
    const kinds = fc.array(
      fc.record({
        state: fc.constantFrom(...states),
        weight: fc.constantFrom(0, 1),
        other: fc.boolean(),
        tried: fc.boolean(),
        aside: fc.boolean(),
        measured: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { maxLength: 6 },
    )
    fc.assert(
      fc.property(kinds, fc.option(fc.string()), fc.nat(), (each, key, seed) => {
        const endpoints = each.map(({ state, weight, other }, i) =>
          endpoint(`e${i}`, 'x', { state, weight, ...(other ? { version: 'other' as VersionId } : {}) }),
        )
        const avoid = each.flatMap(({ tried }, i) => (tried ? [`e${i}` as EndpointId] : []))
        const weights = Object.fromEntries(each.map(({ measured }, i) => [`e${i}`, measured]))
        const serving = servingEndpoints(snapshotOf(endpoints), need({ avoid }))
        const isAside = (id: EndpointId) => each[Number(id.slice(1))]?.aside ?? false
        const drawn = drawBlind({ endpoints: serving, loads: loadsOf([], { weights }), isAside, key }, seededRandom(seed))
        if (drawn) expect(mayServe(drawn) && drawn.version === version && !avoid.includes(drawn.id)).toBe(true)
        else expect(serving).toEqual([])
      }),
    )
  })
})

describe('whyAsk', () => {
  const calm: Prospect = {
    purpose: 'first',
    strategy: 'least-latency',
    affinity: null,
    mayHedge: false,
    onTrial: false,
    load: cellLoad('x', { blindWaitMs: 10 }),
    roundTripMs: 15,
    ownBurst: 0,
  }

  it.each<readonly [string, Partial<Prospect>, ReturnType<typeof whyAsk>]>([
    ['the way is longer than the wait it would save', {}, null],
    ['the wait is longer', { roundTripMs: 9 }, 'blind_wait'],
    ['they are equal', { roundTripMs: 10 }, null],
    ['nothing fresh is known', { load: null }, 'unknown_load'],
    ['nobody knows the way', { roundTripMs: null }, 'unknown_load'],
    ['it is a retry', { purpose: 'retry' }, 'second_attempt'],
    ['it is a second copy', { purpose: 'hedge' }, 'second_attempt'],
    ['a prefix is looked for', { affinity: { kind: 'prefix', key: 'k', blocks: [1] } }, 'prefix'],
    ['a session is kept', { affinity: { kind: 'session', key: 'k', blocks: [] } }, null],
    ['the model has another strategy', { strategy: 'least-connections' }, 'strategy'],
    ['a second copy may be sent', { mayHedge: true }, 'hedging'],
    ['an endpoint waits for the request that proves it', { onTrial: true }, 'trial'],
    ['half of what was free has been taken from here since', { ownBurst: 2 }, null],
    ['more than half of it is', { ownBurst: 3 }, 'own_burst'],
    ['requests wait there', { load: cellLoad('x', { free: -3, blindWaitMs: 0 }) }, 'own_burst'],
  ])('when %s', (_, so, why) => {
    expect(whyAsk({ ...calm, ...so })).toBe(why)
  })
})
