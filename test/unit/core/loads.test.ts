import { describe, expect, it } from 'vitest'
import { addBlock, addTo, noFlow, perSecond } from '../../../core/flow.ts'
import { rowsOf } from '../../../core/publish/fractions.ts'
import { nextLoads } from '../../../core/publish/loads.ts'
import { contentOf } from '../../../core/publish/snapshot.ts'
import { newLedgerRecord } from '../../../core/publish/tell.ts'
import { speedOf } from '../../../core/speed.ts'
import type { LedgerRecord, Rate } from '../../../core/facts.ts'
import type { CellId, EndpointId, ModelName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { Block } from '../../../shared/wire/ledger.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import { snapshotFormat, type Snapshot } from '../../../shared/wire/snapshot.ts'
import { endpointRow, idle, outcomes, regionAt } from './loop-world.ts'

const nowMs = 1_700_000_000_000
const block = (more: Partial<Block> = {}): Block => ({
  seq: 1,
  fromMs: nowMs - 1_000,
  untilMs: nowMs,
  endpoints: {},
  arrivals: {},
  roundTrips: {},
  ways: {},
  ...more,
})

describe('rates', () => {
  it('are right from the first second, and follow a change within three memories', () => {
    let rate: Rate | undefined
    const seen: number[] = []
    const seconds = (3 * limits.demandMs) / 1_000
    for (let second = 1; second <= 2 * seconds; second++) {
      rate = addTo(rate, second <= seconds ? 20 : 5, 1_000, nowMs + second * 1_000)
      seen.push(perSecond(rate, nowMs + second * 1_000))
    }
    expect(seen[0]).toBeCloseTo(20, 6)
    expect(seen[seconds - 1]).toBeCloseTo(20, 6)
    expect(seen.at(-1)).toBeGreaterThan(5)
    expect(seen.at(-1)).toBeLessThan(5 + 15 * Math.exp(-3) + 1e-6)
  })

  it('of one block over a minute are that minute’s, and of silence fade', () => {
    const rate = addTo(undefined, 600, 60_000, nowMs)
    expect(perSecond(rate, nowMs)).toBeCloseTo(10, 1)
    expect(perSecond(rate, nowMs + 5 * limits.demandMs)).toBeLessThan(0.1)
    expect(perSecond(undefined, nowMs)).toBe(0)
  })
})

describe('the flow of a ledger', () => {
  it('sums arrivals by known origin, attempts by endpoint, and smooths round trips', () => {
    const first = addBlock(
      noFlow,
      block({
        arrivals: { weur: 10, atlantis: 10 } as never,
        endpoints: { e1: outcomes({ good: 3, cancelled: 1, hard_failure: 1 }) } as never,
        roundTrips: { weur: { count: 2, msSum: 40 }, oc: { count: 0, msSum: 0 } } as never,
      }),
      nowMs,
    )
    expect([...first.arrivals].map(([origin, rate]) => [origin, Math.round(perSecond(rate, nowMs))])).toEqual([['weur', 10]])
    expect(perSecond(first.attempts.get('e1' as EndpointId), nowMs)).toBeCloseTo(5, 6)
    expect([...first.roundTripsMs]).toEqual([['weur', 20]])
    const second = addBlock(first, block({ seq: 2, roundTrips: { weur: { count: 1, msSum: 30 } } as never }), nowMs)
    expect([...second.roundTripsMs]).toEqual([['weur', 20 + limits.roundTripSmoothing * 10]])
  })
})

const fra = regionAt('fra', 50.1, 8.7)
const iad = regionAt('iad', 39, -77.5)
const snapshot: Snapshot = {
  format: snapshotFormat,
  generation: 1,
  publishedAtMs: nowMs,
  changed: [],
  ...contentOf(
    { regions: [fra, iad], endpoints: [endpointRow('a'), endpointRow('b', { region: iad.name })], aliases: [], models: [] },
    new Map(),
  ),
}
const record = (cell: string, more: Partial<LedgerRecord> = {}): LedgerRecord => ({
  ...newLedgerRecord(),
  answeredAtMs: nowMs,
  endpoints: { a: idle(4, { serviceMs: 1_000 }), b: idle(4, { serviceMs: 1_000 }) },
  load: { cell: cell as CellId, slots: 4, free: 3, waitMs: 0, blindWaitMs: 12.4, ttftMs: 123.4 },
  ...more,
})
const both = (more: Partial<LedgerRecord> = {}) =>
  new Map([
    ['atlas@fra', record('atlas@fra', more)],
    ['atlas@iad', record('atlas@iad')],
  ])
const atlas = 'atlas' as ModelName
const weights = new Map([['a' as EndpointId, 0.123456]])
const loadsAfter = (before: ModelLoads | null, ledgers: ReadonlyMap<string, LedgerRecord>, atMs = nowMs): ModelLoads => {
  const next = nextLoads(new Map(before ? [[atlas, before]] : []), { snapshot, ledgers, weights, nowMs: atMs }).get(atlas)
  if (!next) throw new Error('there must be loads')
  return next
}

describe('the loads of a model', () => {
  it('say how full each cell is, what an origin sends where, and the weights, rounded', () => {
    const loads = loadsAfter(null, both())
    expect(loads).toMatchObject({ model: 'atlas', seq: nowMs, atMs: nowMs, weights: { a: 0.123 } })
    expect(loads.cells).toEqual([
      { cell: 'atlas@fra', slots: 4, free: 3, waitMs: 0, blindWaitMs: 12, ttftMs: 123 },
      { cell: 'atlas@iad', slots: 4, free: 3, waitMs: 0, blindWaitMs: 12, ttftMs: 123 },
    ])
    const [nearest] = loads.rows['weur' as never] ?? []
    expect(nearest).toMatchObject({ cell: 'atlas@fra', fraction: 1 })
  })

  it('overflow to the next cell as measured demand exceeds measured capacity', () => {
    // 6 requests a second of a second each, of which 0.92 x 4 fit.
    const flow = addBlock(noFlow, block({ arrivals: { weur: 6 } as never }), nowMs)
    const row = loadsAfter(null, both({ flow })).rows['weur' as never]
    expect(row?.map(({ fraction }) => fraction)).toEqual([0.6, 0.4])
  })

  it('a measured round trip replaces the estimate', () => {
    const flow = addBlock(noFlow, block({ roundTrips: { weur: { count: 1, msSum: 250 } } as never }), nowMs)
    const row = loadsAfter(null, both({ flow })).rows['weur' as never]
    expect(row?.map(({ cell, roundTripMs }) => [cell, roundTripMs])).toEqual([
      ['atlas@iad', expect.any(Number)],
      ['atlas@fra', 250],
    ])
  })

  it('of a silent ledger’s cell say nothing, and fill it as the snapshot describes it', () => {
    const silent = { answeredAtMs: nowMs - limits.cellLoadKeptMs, endpoints: { a: idle(4, { cap: 0 }) } }
    const loads = loadsAfter(null, both(silent))
    expect(loads.cells.map(({ cell }) => cell)).toEqual(['atlas@iad'])
    expect(loads.rows['weur' as never]?.[0]).toMatchObject({ cell: 'atlas@fra', fraction: 1 })
  })

  it('stay the same object while nothing that matters changed, and are told again after a while', () => {
    const first = loadsAfter(null, both())
    const noise = both({ load: { cell: 'atlas@fra' as CellId, slots: 4, free: 3, waitMs: 0.3, blindWaitMs: 12.1, ttftMs: 123 } })
    expect(loadsAfter(first, noise, nowMs + 1_000)).toBe(first)
    const again = loadsAfter(first, both(), nowMs + limits.loadsRefreshMs)
    expect(again.atMs).toBe(nowMs + limits.loadsRefreshMs)
    expect(again.seq).toBeGreaterThan(first.seq)
  })

  it('grow in number with each change, also when the clock steps back', () => {
    const first = loadsAfter(null, both())
    const fuller = both({ load: { cell: 'atlas@fra' as CellId, slots: 4, free: 0, waitMs: 0, blindWaitMs: 400, ttftMs: null } })
    expect(loadsAfter(first, fuller, nowMs - 5_000).seq).toBe(first.seq + 1)
  })

  it('an endpoint that is out does not make those look slow of which nothing is known', () => {
    const failing = { a: idle(4, { serviceMs: 60_000, breaker: 'open', cap: 0 }), b: idle(4, { serviceMs: 500 }), c: idle(4) } as const
    const endpoints = ['a', 'b', 'c'].map((id) => endpointRow(id))
    const healths = new Map([['a' as EndpointId, { health: 'ejected' as const }]])
    const content = contentOf({ regions: [fra], endpoints, aliases: [], models: [] }, healths)
    const known = content.endpoints.map((endpoint) => ({ endpoint, load: failing[endpoint.id as keyof typeof failing] }))
    expect(speedOf(known).serviceMsOf('c' as EndpointId)).toBe(500)
    expect(speedOf(known.slice(0, 1)).serviceMs).toBe(60_000)
  })

  it('a cell whose endpoints are all out does not make an unmeasured one look far', () => {
    const iad2 = regionAt('iad', 50.1, 8.8)
    const syd = regionAt('syd', -33.9, 151.2)
    const endpoints = [endpointRow('a'), endpointRow('b', { region: iad2.name }), endpointRow('c', { region: syd.name })]
    const healths = new Map([['c' as EndpointId, { health: 'ejected' as const }]])
    const content = contentOf({ regions: [fra, iad2, syd], endpoints, aliases: [], models: [] }, healths)
    const told = { 'atlas@fra': null, 'atlas@iad': 100, 'atlas@syd': 60_000 } as Record<string, number | null>
    const measured = { demand: new Map(), roundTripMs: () => null, capacity: () => null, ttftMs: (cell: CellId) => told[cell] ?? null }
    const [nearest] = rowsOf(content.endpoints, content.regions, measured)['weur'] ?? []
    expect(nearest).toMatchObject({ cell: 'atlas@fra', fraction: 1 })
  })

  it('rounded rows still sum to one', () => {
    for (let perS = 1; perS < 40; perS++) {
      const flow = addBlock(noFlow, block({ arrivals: { weur: perS, enam: 3, oc: 2 } as never }), nowMs)
      for (const row of Object.values(loadsAfter(null, both({ flow })).rows)) {
        expect(row.reduce((sum, { fraction }) => sum + fraction, 0)).toBeCloseTo(1, 9)
        for (const { fraction } of row) expect(fraction * 200).toBeCloseTo(Math.round(fraction * 200), 9)
      }
    }
  })
})
