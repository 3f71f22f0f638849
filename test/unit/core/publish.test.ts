import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CatalogueEndpoint, LedgerRecord, Published } from '../../../core/facts.ts'
import { fractionsOf } from '../../../core/publish/fractions.ts'
import { contentOf, nextPublished, type Draft } from '../../../core/publish/snapshot.ts'
import { newLedgerRecord } from '../../../core/publish/tell.ts'
import { cellTargets, homeTargets } from '../../../core/publish/targets.ts'
import { origins, roundTripMs } from '../../../shared/geo.ts'
import type { CellId, EndpointId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import {
  endpointHealths,
  mayServe,
  readSnapshot,
  snapshotFormat,
  type Endpoint,
  type EndpointHealth,
  type Region,
} from '../../../shared/wire/snapshot.ts'
import { cell, endpointRow, regionAt } from './loop-world.ts'

const fra = regionAt('fra', 50.1, 8.7)
const iad = regionAt('iad', 39, -77.5)
const syd = regionAt('syd', -33.9, 151.2)

const contentWith = (
  rows: readonly { readonly id: string; readonly region: string; readonly health: EndpointHealth; readonly model?: string }[],
  regions: readonly Region[],
) =>
  contentOf(
    {
      regions,
      endpoints: rows.map(({ id, region, model }) =>
        endpointRow(id, { region: region as never, ...(model ? { model: model as never } : {}) }),
      ),
      aliases: [],
      models: [],
    },
    new Map(rows.map(({ id, health }) => [id as EndpointId, { health }])),
  )

describe('fractions', () => {
  it('sends an origin to the nearest cell, the others listed after it', () => {
    const { fractions } = contentWith(
      [
        { id: 'a', region: 'fra', health: 'healthy' },
        { id: 'b', region: 'iad', health: 'unknown' },
        { id: 'c', region: 'syd', health: 'healthy' },
      ],
      [fra, iad, syd],
    )
    const row = (origin: string) => fractions['atlas']?.[origin]?.map((share) => [share.cell, share.fraction])
    expect(row('weur')).toEqual([
      ['atlas@fra', 1],
      ['atlas@iad', 0],
      ['atlas@syd', 0],
    ])
    expect(row('enam')).toEqual([
      ['atlas@iad', 1],
      ['atlas@fra', 0],
      ['atlas@syd', 0],
    ])
    expect(row('oc')?.[0]).toEqual(['atlas@syd', 1])
  })

  it('passes over a nearer cell that cannot serve, and lists all even when none can', () => {
    const rows = [
      { id: 'a', region: 'fra', health: 'ejected' as EndpointHealth },
      { id: 'a2', region: 'fra', health: 'draining' as EndpointHealth },
      { id: 'b', region: 'iad', health: 'healthy' as EndpointHealth },
    ]
    const shares = (states: typeof rows) => contentWith(states, [fra, iad]).fractions['atlas']?.['weur']?.map((share) => share.fraction)
    expect(shares(rows)).toEqual([0, 1])
    expect(shares(rows.slice(0, 2).concat({ id: 'b', region: 'iad', health: 'disabled' }))).toEqual([0, 0])
  })

  const world = fc
    .array(fc.record({ latitude: fc.integer({ min: -60, max: 70 }), longitude: fc.integer({ min: -179, max: 179 }) }), {
      minLength: 1,
      maxLength: 6,
    })
    .chain((places) => {
      const regions = places.map((place, i) => regionAt(`r${i}`, place.latitude, place.longitude))
      const row = fc.record({
        region: fc.constantFrom(...regions.map((region) => region.name as string)),
        health: fc.constantFrom(...endpointHealths),
        model: fc.constantFrom('atlas', 'hermes'),
      })
      return fc
        .array(row, { maxLength: 12 })
        .map((rows) => ({ regions, rows: rows.map((each, i) => ({ id: `e${String(i).padStart(2, '0')}`, ...each })) }))
    })

  it('for all catalogues: a row per model and origin, in order of cost, its sum one exactly when some cell serves, only to such', () => {
    fc.assert(
      fc.property(world, ({ regions, rows }) => {
        const { endpoints } = contentWith(rows, regions)
        const fractions = fractionsOf(endpoints, regions)
        expect(Object.keys(fractions).toSorted()).toEqual([...new Set(rows.map((row) => row.model))].toSorted())
        for (const [model, byOrigin] of Object.entries(fractions)) {
          const ofModel = endpoints.filter((endpoint) => endpoint.model === model)
          const serving = new Set(ofModel.filter(mayServe).map((endpoint) => endpoint.cell))
          for (const origin of origins) {
            const shares = byOrigin[origin.name] ?? []
            expect(new Set(shares.map((share) => share.cell))).toEqual(new Set(ofModel.map((endpoint) => endpoint.cell)))
            const costs = shares.map((share) => share.roundTripMs)
            expect(costs).toEqual([...costs].toSorted((a, b) => a - b))
            expect(shares.reduce((sum, share) => sum + share.fraction, 0)).toBe(serving.size > 0 ? 1 : 0)
            const taker = shares.find((share) => share.fraction > 0)
            expect(taker).toBe(shares.find((share) => serving.has(share.cell)))
          }
        }
      }),
    )
  })

  it('estimates the round trip from the origin to the region', () => {
    const weur = origins.find((origin) => origin.name === 'weur')
    const [share] = contentWith([{ id: 'a', region: 'iad', health: 'healthy' }], [iad]).fractions['atlas']?.['weur'] ?? []
    expect(share?.roundTripMs).toBeCloseTo(weur ? roundTripMs(weur, iad) : 0, 1)
  })
})

describe('what is published', () => {
  const nowMs = 1_700_000_000_000
  const draft = (more: Partial<Draft> = {}): Draft => ({
    content: contentWith([{ id: 'a', region: 'fra', health: 'healthy' }], [fra]),
    written: [],
    auditSeq: 1,
    generationFloor: 0,
    retired: [],
    ...more,
  })
  const first = nextPublished(null, draft(), nowMs)
  if (!first) throw new Error('the first must be published')

  it('is a snapshot that readers accept, beginning with generation 1', () => {
    expect(readSnapshot(JSON.parse(JSON.stringify(first.snapshot)))).toEqual(first.snapshot)
    expect(first.snapshot).toMatchObject({ format: snapshotFormat, generation: 1, publishedAtMs: nowMs, changed: [] })
  })

  it('even of an empty catalogue: to know that there is nothing is to know something', () => {
    const empty = nextPublished(null, draft({ content: contentWith([], []) }), nowMs)
    expect(empty?.snapshot).toMatchObject({ generation: 1, endpoints: [], fractions: {} })
  })

  it.each([
    { name: 'nothing changed', more: {}, generation: null },
    { name: 'only time has passed and other rows were written', more: { auditSeq: 9 }, generation: null },
    { name: 'a health changed', more: { content: contentWith([{ id: 'a', region: 'fra', health: 'ejected' }], [fra]) }, generation: 2 },
    {
      name: 'a region moved',
      more: { content: contentWith([{ id: 'a', region: 'fra', health: 'healthy' }], [{ ...fra, latitude: 50 }]) },
      generation: 2,
    },
    { name: 'a key was written', more: { written: ['k1'] }, generation: 2 },
    { name: 'a ledger is ahead', more: { generationFloor: 41 }, generation: 42 },
    { name: 'a ledger is level', more: { generationFloor: 1 }, generation: null },
  ])('$name: generation $generation', ({ more, generation }) => {
    expect(nextPublished(first, draft(more), nowMs + 1)?.snapshot.generation ?? null).toBe(generation)
  })

  it('has disabled and draining endpoints in it, and none of what only core needs', () => {
    const { endpoints } = contentWith([{ id: 'a', region: 'fra', health: 'disabled' }], [fra])
    expect(endpoints).toEqual([
      {
        id: 'a',
        cell: 'atlas@fra',
        region: 'fra',
        model: 'atlas',
        version: 'atlas-2',
        kind: 'openai',
        url: 'http://a',
        servedName: 'atlas',
        slots: 4,
        state: 'disabled',
        health: 'disabled',
        weight: 1,
        operations: ['chat', 'completions', 'embeddings'],
        options: {},
        credential: null,
      } satisfies Record<keyof Endpoint, unknown>,
    ])
  })

  it('says what an endpoint does, how it is spoken to and with which sealed credential, and how patient each model is', () => {
    const rows = [
      endpointRow('a', { kind: 'anthropic' }),
      endpointRow('b', { kind: 'sagemaker', operations: ['embeddings'], options: { region: 'eu-west-1' }, credential: 'v1.n.c' }),
    ]
    const models = [
      {
        name: 'atlas' as never,
        firstTokenMsMax: 60_000,
        holdMsMax: null,
        strategy: 'least-latency' as const,
        affinity: 'none' as const,
        hedging: false,
      },
    ]
    const content = contentOf({ regions: [fra], endpoints: rows, aliases: [], models }, new Map())
    expect(content.endpoints.map(({ operations, options, credential }) => ({ operations, options, credential }))).toEqual([
      { operations: ['messages', 'count_tokens'], options: {}, credential: null },
      { operations: ['embeddings'], options: { region: 'eu-west-1' }, credential: 'v1.n.c' },
    ])
    expect(content.models).toEqual(models)
  })

  it.each([
    { name: 'another credential', more: { credential: 'v1.n.d' } },
    { name: 'another option', more: { options: { targetVariant: 'green' } } },
    { name: 'another operation', more: { operations: ['chat' as const] } },
  ])('$name is news', ({ more }) => {
    const content = (row: Partial<CatalogueEndpoint>) =>
      contentOf({ regions: [fra], endpoints: [endpointRow('a', row)], aliases: [], models: [] }, new Map())
    const last = nextPublished(null, draft({ content: content({ credential: 'v1.n.c' }) }), nowMs)
    expect(nextPublished(last, draft({ content: content({ credential: 'v1.n.c', ...more }) }), nowMs)?.snapshot.generation).toBe(2)
  })

  it('keeps the newest changes when there are too many', () => {
    const written = Array.from({ length: limits.changedMax + 5 }, (_, i) => `k${i}`)
    const changed = nextPublished(first, draft({ written }), nowMs)?.snapshot.changed
    expect(changed).toHaveLength(limits.changedMax)
    expect(changed?.at(-1)?.id).toBe(written.at(-1))
  })

  it('for all histories: generations rise by each publication, and nothing is published twice in a row', () => {
    const step = fc.record({
      health: fc.constantFrom<EndpointHealth>('healthy', 'degraded', 'ejected'),
      written: fc.subarray(['k1', 'k2', 'acme']),
      floor: fc.integer({ min: 0, max: 20 }),
      laterMs: fc.integer({ min: 0, max: limits.changedKeptMs }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let last: Published | null = null
        let atMs = nowMs
        for (const { health, written, floor, laterMs } of steps) {
          atMs += laterMs
          const content = contentWith([{ id: 'a', region: 'fra', health }], [fra])
          const next: Published | null = nextPublished(last, draft({ content, written, generationFloor: floor }), atMs)
          if (!next) continue
          expect(next.snapshot.generation).toBeGreaterThan(Math.max(last?.snapshot.generation ?? 0, floor))
          for (const id of written) expect(next.snapshot.changed).toContainEqual({ id, generation: next.snapshot.generation })
          expect(new Set(next.snapshot.changed.map((change) => change.id)).size).toBe(next.snapshot.changed.length)
          expect(nextPublished(next, draft({ content, written: [], generationFloor: next.snapshot.generation }), atMs)).toBeNull()
          last = next
        }
      }),
    )
  })
})

const publishedWith = (endpoints: readonly CatalogueEndpoint[], regions: readonly Region[], retired: readonly CellId[] = []): Published => {
  const content = contentOf({ regions, endpoints, aliases: [], models: [] }, new Map())
  const next = nextPublished(null, { content, written: [], auditSeq: 0, generationFloor: 0, retired }, 0)
  if (!next) throw new Error('must be published')
  return next
}
const heard = (generation: number, askedAtMs = 0): LedgerRecord => ({
  ...newLedgerRecord(),
  generation,
  callsMade: 1,
  lastAnswered: 1,
  askedAtMs,
  answeredAtMs: askedAtMs,
})

const everyHome = (record: LedgerRecord) => new Map(origins.map((origin) => [`home:${origin.name}`, record]))

describe('whom to tell', () => {
  it('each cell once, near its region or where the operator says', () => {
    const regions = [fra, { ...iad, locationHint: 'sam' }]
    const published = publishedWith([endpointRow('a'), endpointRow('b'), endpointRow('c', { region: iad.name })], regions)
    expect(cellTargets(published, new Map())).toEqual([
      { name: 'atlas@fra', cell: 'atlas@fra', model: 'atlas', hint: 'weur' },
      { name: 'atlas@iad', cell: 'atlas@iad', model: 'atlas', hint: 'sam' },
    ])
  })

  it('a retired cell until it has heard', () => {
    const published = publishedWith([endpointRow('a')], [fra], [cell('atlas', 'iad')])
    const names = (generation: number) => cellTargets(published, new Map([['atlas@iad', heard(generation)]])).map((target) => target.name)
    expect(names(0)).toEqual(['atlas@fra', 'atlas@iad'])
    expect(names(1)).toEqual(['atlas@fra'])
  })

  it('the homes that are behind or were not asked for a while', () => {
    const published = publishedWith([], [])
    expect(homeTargets(published, new Map(), 0)).toHaveLength(origins.length)
    expect(homeTargets(published, everyHome(heard(0)), 1)).toHaveLength(origins.length)
    expect(homeTargets(published, everyHome(heard(1)), limits.homeCheckEveryMs - 1)).toEqual([])
    expect(homeTargets(published, everyHome(heard(1)), limits.homeCheckEveryMs)).toHaveLength(origins.length)
  })
})
