import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fillFractions, rowsOf, type Numbers } from '../../../core/publish/fractions.ts'
import { origins, roundTripMs } from '../../../shared/geo.ts'
import { limits } from '../../../shared/limits.ts'
import type { CellId, OriginName } from '../../../shared/ids.ts'
import type { Endpoint } from '../../../shared/wire/snapshot.ts'
import { cell, endpointRow, regionAt } from './loop-world.ts'
import { contentOf } from '../../../core/publish/snapshot.ts'

type Scene = {
  readonly demands: readonly { readonly name: string; readonly demand: number }[]
  readonly cells: readonly { readonly id: string; readonly capacity: number }[]
  readonly costs: readonly (readonly number[])[]
}

const costIn =
  ({ demands, cells, costs }: Scene) =>
  (origin: string, id: string): number =>
    costs[demands.findIndex(({ name }) => name === origin)]?.[cells.findIndex((each) => each.id === id)] ?? 0

/** Requests of each origin in each cell. */
function amountsOf(scene: Scene): ReadonlyMap<string, number> {
  const rows = fillFractions(scene.demands, scene.cells, costIn(scene))
  const demandOf = new Map(scene.demands.map(({ name, demand }) => [name, demand]))
  return new Map(
    [...rows].flatMap(([origin, row]) =>
      row.map((portion) => [`${origin} ${portion.cell}`, portion.fraction * (demandOf.get(origin) ?? 0)] as const),
    ),
  )
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)
const inCell = (amounts: ReadonlyMap<string, number>, id: string): number =>
  [...amounts].reduce((total, [pair, amount]) => (pair.endsWith(` ${id}`) ? total + amount : total), 0)

/** Demands and capacities are well above the trickle, so that amounts are fractions of what was asked. */
const scenes = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })).chain(([originCount, cellCount]) =>
  fc.record({
    demands: fc
      .array(fc.double({ min: 0.5, max: 100, noNaN: true }), { minLength: originCount, maxLength: originCount })
      .map((all) => all.map((demand, i) => ({ name: `o${i}`, demand }))),
    cells: fc
      .array(fc.double({ min: 1, max: 100, noNaN: true }), { minLength: cellCount, maxLength: cellCount })
      .map((all) => all.map((capacity, i) => ({ id: `c${i}`, capacity }))),
    costs: fc.array(fc.array(fc.integer({ min: 0, max: 300 }), { minLength: cellCount, maxLength: cellCount }), {
      minLength: originCount,
      maxLength: originCount,
    }),
  }),
)

const small = 1e-6

describe('filling demand into cells', () => {
  const cells = [
    { id: 'near', capacity: 10 },
    { id: 'far', capacity: 10 },
  ]
  const cost = (_: string, id: string) => (id === 'near' ? 10 : 90)
  it.each([
    { name: 'room everywhere: all to the nearest', demand: 5, near: 1, far: 0 },
    { name: 'up to the target and no further', demand: 10 * limits.fillTarget, near: 1, far: 0 },
    { name: 'beyond it exactly what does not fit', demand: 20 * limits.fillTarget, near: 0.5, far: 0.5 },
    { name: 'no demand: the nearest', demand: 0, near: 1, far: 0 },
    { name: 'more than all can take: by capacity', demand: 40, near: 0.5, far: 0.5 },
  ])('$name', ({ demand, near, far }) => {
    const row = fillFractions([{ name: 'o', demand }], cells, cost).get('o')
    expect(row?.map(({ cell: id }) => id)).toEqual(['near', 'far'])
    expect(row?.[0]?.fraction).toBeCloseTo(near, 9)
    expect(row?.[1]?.fraction).toBeCloseTo(far, 9)
  })

  it('a cell that cannot serve is listed and gets nothing; where none can, nobody gets anything', () => {
    const down = [{ id: 'near', capacity: 0 }, ...cells.slice(1)]
    expect(fillFractions([{ name: 'o', demand: 3 }], down, cost).get('o')).toEqual([
      { cell: 'near', fraction: 0 },
      { cell: 'far', fraction: 1 },
    ])
    const none = cells.map(({ id }) => ({ id, capacity: 0 }))
    expect(
      fillFractions([{ name: 'o', demand: 3 }], none, cost)
        .get('o')
        ?.map(({ fraction }) => fraction),
    ).toEqual([0, 0])
  })

  it('equal costs are settled by name, whatever the order of the arguments', () => {
    const equal = () => 10
    const demands = [
      { name: 'a', demand: 8 },
      { name: 'b', demand: 8 },
    ]
    const told = fillFractions(demands, cells, equal)
    const backwards = fillFractions(demands.toReversed(), cells.toReversed(), equal)
    for (const { name } of demands) expect(backwards.get(name)).toEqual(told.get(name))
  })

  it('for all: each row sums to one', () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        for (const row of fillFractions(scene.demands, scene.cells, costIn(scene)).values()) {
          expect(row).toHaveLength(scene.cells.length)
          for (const { fraction } of row) expect(fraction).toBeGreaterThanOrEqual(0)
          expect(row.reduce((total, { fraction }) => total + fraction, 0)).toBeCloseTo(1, 9)
        }
      }),
    )
  })

  it('for all: no cell is above the target while there is room in another', () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        const amounts = amountsOf(scene)
        const use = scene.cells.map(({ id, capacity }) => inCell(amounts, id) / capacity)
        if (use.some((each) => each > limits.fillTarget + small)) {
          for (const each of use) expect(each).toBeGreaterThan(limits.fillTarget - small)
        }
      }),
    )
  })

  it('for all: nobody goes past a nearer cell that has room', () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        const amounts = amountsOf(scene)
        for (const row of fillFractions(scene.demands, scene.cells, costIn(scene)).values()) {
          const last = row.findLastIndex(({ fraction }) => fraction > small)
          for (const { cell: id } of row.slice(0, last)) {
            const capacity = scene.cells.find((each) => each.id === id)?.capacity ?? 0
            expect(inCell(amounts, id)).toBeGreaterThan(limits.fillTarget * capacity - small)
          }
        }
      }),
    )
  })

  it('for all: more demand of an origin, or less capacity of a cell, moves each pair little, and empties no other cell', () => {
    fc.assert(
      fc.property(scenes, fc.nat(), fc.double({ min: 0.001, max: 0.5, noNaN: true }), fc.boolean(), (scene, which, change, ofDemand) => {
        const changed: Scene = ofDemand
          ? {
              ...scene,
              demands: scene.demands.map((each, i) =>
                i === which % scene.demands.length ? { ...each, demand: each.demand + change } : each,
              ),
            }
          : {
              ...scene,
              cells: scene.cells.map((each, i) =>
                i === which % scene.cells.length ? { ...each, capacity: each.capacity - change } : each,
              ),
            }
        const before = amountsOf(scene)
        const after = amountsOf(changed)
        // What does not fit moves once more when it is spread by capacity, and the more the larger the overload is.
        const load = sum(changed.demands.map(({ demand }) => demand)) / sum(changed.cells.map(({ capacity }) => capacity))
        const bound = (2 + load) * change + small
        for (const [pair, amount] of before) expect(Math.abs((after.get(pair) ?? 0) - amount)).toBeLessThanOrEqual(bound)
        for (const { id, capacity } of scene.cells) {
          if (changed.cells.some((each) => each.id === id && each.capacity === capacity)) {
            expect(inCell(after, id)).toBeGreaterThanOrEqual(inCell(before, id) - small)
          }
        }
      }),
    )
  })

  it('for all: a change of costs that leaves their order changes nothing', () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        const stretched = { ...scene, costs: scene.costs.map((row) => row.map((each) => 3 * each + 7)) }
        expect(amountsOf(stretched)).toEqual(amountsOf(scene))
      }),
    )
  })

  it('for all, where there is room: a lost cell moves the share that it had, and nothing else', () => {
    fc.assert(
      fc.property(scenes, fc.nat(), (scene, which) => {
        fc.pre(scene.cells.length > 1)
        const roomy = { ...scene, cells: scene.cells.map(({ id }) => ({ id, capacity: 1_000 })) }
        const lost = `c${which % scene.cells.length}`
        const without = { ...roomy, cells: roomy.cells.map((each) => (each.id === lost ? { ...each, capacity: 0 } : each)) }
        const before = fillFractions(roomy.demands, roomy.cells, costIn(roomy))
        const after = fillFractions(without.demands, without.cells, costIn(without))
        for (const [origin, row] of before) {
          const had = row.find((portion) => portion.cell === lost)?.fraction ?? 0
          if (had === 0) expect(after.get(origin)).toEqual(row)
          else expect(after.get(origin)?.find((portion) => portion.cell === lost)?.fraction).toBe(0)
        }
      }),
    )
  })

  it('for all: a lost cell empties no other', () => {
    fc.assert(
      fc.property(scenes, fc.nat(), (scene, which) => {
        fc.pre(scene.cells.length > 1)
        const lost = `c${which % scene.cells.length}`
        const without = { ...scene, cells: scene.cells.map((each) => (each.id === lost ? { ...each, capacity: 0 } : each)) }
        const before = amountsOf(scene)
        const after = amountsOf(without)
        const emptied = scene.cells.filter(({ id }) => id !== lost && inCell(after, id) < inCell(before, id) - small)
        expect(emptied).toEqual([])
      }),
    )
  })
})

const fra = regionAt('fra', 50.1, 8.7)
const iad = regionAt('iad', 39, -77.5)
const weur = 'weur' as OriginName
const endpoints = (): readonly Endpoint[] => {
  const rows = [endpointRow('a'), endpointRow('b', { region: iad.name })]
  return contentOf({ regions: [fra, iad], endpoints: rows, aliases: [], models: [] }, new Map()).endpoints
}
const nothing: Numbers = { demand: new Map(), roundTripMs: () => null, capacity: () => null, ttftMs: () => null }
const rowWith = (more: Partial<Numbers>) =>
  rowsOf(endpoints(), [fra, iad], { ...nothing, ...more })[weur]?.map(({ cell: id, fraction }) => [id, Math.round(fraction * 100) / 100])

describe('the rows of a model', () => {
  it.each([
    { name: 'nothing measured: the nearest', more: {}, first: 'atlas@fra', fraction: 1 },
    {
      name: 'more demand than the nearest takes',
      more: { demand: new Map([[weur, 2 * 4 * limits.fillTarget]]) },
      first: 'atlas@fra',
      fraction: 0.5,
    },
    {
      name: 'measured capacity beats configured slots',
      more: { demand: new Map([[weur, 4 * limits.fillTarget]]), capacity: (id: CellId) => (id === 'atlas@fra' ? 1 : null) },
      first: 'atlas@fra',
      fraction: 0.25,
    },
    {
      name: 'a measured round trip beats geography',
      more: { roundTripMs: (_: OriginName, id: CellId) => (id === 'atlas@fra' ? 200 : 90) },
      first: 'atlas@iad',
      fraction: 1,
    },
    {
      name: 'a slow first token makes a cell dearer',
      more: { ttftMs: (id: CellId) => (id === 'atlas@fra' ? 300 : 50) },
      first: 'atlas@iad',
      fraction: 1,
    },
    {
      name: 'an unknown first token neither attracts nor deters',
      more: { ttftMs: (id: CellId) => (id === 'atlas@fra' ? 300 : null) },
      first: 'atlas@fra',
      fraction: 1,
    },
  ])('$name', ({ more, first, fraction }) => {
    expect(rowWith(more)?.[0]).toEqual([first, fraction])
  })

  it('a cell that the snapshot takes out has no share, whatever was measured', () => {
    const down = endpoints().map((endpoint) => ({ ...endpoint, ...(endpoint.id === 'a' ? { state: 'unhealthy' as const } : {}) }))
    const row = rowsOf(down, [fra, iad], { ...nothing, capacity: () => 100 })[weur]
    expect(row?.map(({ cell: id, fraction }) => [id, fraction])).toEqual([
      [cell('atlas', 'fra'), 0],
      [cell('atlas', 'iad'), 1],
    ])
  })

  it('says the round trip, measured or estimated', () => {
    const row = rowsOf(endpoints(), [fra, iad], { ...nothing, roundTripMs: (_, id) => (id === 'atlas@fra' ? 12.34 : null) })[weur]
    const place = origins.find(({ name }) => name === weur)
    expect(row?.map((share) => share.roundTripMs)).toEqual([12.3, Math.round((place ? roundTripMs(place, iad) : 0) * 10) / 10])
  })
})
