// Step 1 of two-step least latency (docs/design/overview.md): for every model and origin, which part of the demand goes to which cell.
// Demand is filled into cells nearest first, each up to a part of its capacity, so that load overflows exactly as much as it must.
// Pure: equal costs are settled by name, so that the same numbers always give the same row.

import { origins, roundTripMs } from '../../shared/geo.ts'
import { limits } from '../../shared/limits.ts'
import { mayServe, type Endpoint, type Region, type Share } from '../../shared/wire/snapshot.ts'
import type { CellId, OriginName } from '../../shared/ids.ts'

/** Requests that an origin has under way at once: requests per second times the mean service in seconds (Erlangs). */
export type Demand<Origin extends string = string> = { readonly name: Origin; readonly demand: number }
/** Requests that a cell runs at once, in the same unit; 0 when it cannot serve. */
export type Capacity<Cell extends string = string> = { readonly id: Cell; readonly capacity: number }
/** Part of an origin's demand that goes to a cell. */
export type Portion<Cell extends string = string> = { readonly cell: Cell; readonly fraction: number }

/** An origin of which no demand was seen counts as this much, so that its row is where its first request would best go. */
const trickle = 0.01

/**
 * Rows by origin: cells in order of cost (any unit), with fractions that sum to one, or to zero where no cell has capacity.
 * The pairs of origin and cell are taken in order of cost, and each gives the origin's remaining demand as much of the cell as is left
 * below `limits.fillTarget`; what then remains is spread by capacity. While all of it fits, a change of a demand or capacity changes no
 * pair by more than itself, as long as the order of costs stays.
 */
export function fillFractions<Origin extends string, Cell extends string>(
  demands: readonly Demand<Origin>[],
  cells: readonly Capacity<Cell>[],
  costOf: (origin: Origin, cell: Cell) => number,
): ReadonlyMap<Origin, readonly Portion<Cell>[]> {
  const pairs = demands
    .flatMap(({ name }) => cells.map(({ id }) => ({ origin: name, cell: id, cost: costOf(name, id) })))
    .toSorted((a, b) => a.cost - b.cost || byName(a.cell, b.cell) || byName(a.origin, b.origin))
  const room = new Map(cells.map(({ id, capacity }) => [id, Math.max(0, capacity) * limits.fillTarget]))
  const left = new Map(demands.map(({ name, demand }) => [name, Math.max(trickle, demand)]))
  const filled = pairs.map(({ origin, cell }) => {
    const amount = Math.min(left.get(origin) ?? 0, room.get(cell) ?? 0)
    left.set(origin, (left.get(origin) ?? 0) - amount)
    room.set(cell, (room.get(cell) ?? 0) - amount)
    return { origin, cell, amount }
  })

  const capacityOf = new Map(cells.map(({ id, capacity }) => [id, Math.max(0, capacity)]))
  const capacity = sum(capacityOf.values())
  return new Map(
    demands.map(({ name, demand }) => {
      const whole = Math.max(trickle, demand)
      const over = left.get(name) ?? 0
      const row = filled
        .filter(({ origin }) => origin === name)
        .map(({ cell, amount }) => {
          const spread = capacity > 0 ? (over * (capacityOf.get(cell) ?? 0)) / capacity : 0
          return { cell, fraction: (amount + spread) / whole }
        })
      return [name, row]
    }),
  )
}

const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function sum(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}

/** What was measured of one model. What is missing in it falls back to the snapshot: geography, configured slots, no demand. */
export type Numbers = {
  /** Erlangs by origin. */
  readonly demand: ReadonlyMap<OriginName, number>
  /** Round trip from an origin to a cell's region in milliseconds; null while nobody measured it. */
  readonly roundTripMs: (origin: OriginName, cell: CellId) => number | null
  /** Requests the cell runs at once, weighted by its speed; null while its ledger is silent. */
  readonly capacity: (cell: CellId) => number | null
  /** Time to the first token once a slot is there, in milliseconds; null while unknown. */
  readonly ttftMs: (cell: CellId) => number | null
}

const unmeasured: Numbers = { demand: new Map(), roundTripMs: () => null, capacity: () => null, ttftMs: () => null }

/**
 * Rows by model and origin, cells in order of cost, those that cannot serve among them with nothing, so that an isolate knows whom to
 * ask once one comes back. Without a measurement all of an origin's demand goes to the nearest cell that serves.
 */
export function fractionsOf(
  endpoints: readonly Endpoint[],
  regions: readonly Region[],
): Readonly<Record<string, Readonly<Record<string, Share[]>>>> {
  const ofModels = Map.groupBy(endpoints, (endpoint) => endpoint.model)
  return Object.fromEntries(
    [...ofModels.keys()].toSorted().map((model) => [model, rowsOf(ofModels.get(model) ?? [], regions, unmeasured)] as const),
  )
}

/** The rows of one model's endpoints by origin. */
export function rowsOf(endpoints: readonly Endpoint[], regions: readonly Region[], measured: Numbers): Record<string, Share[]> {
  const cells = cellsOf(endpoints, regions, measured)
  const distanceMs = new Map(origins.map(({ name }) => [name, distancesFrom(name, cells, measured)]))
  const waysMs = (origin: OriginName, cell: CellId): number => distanceMs.get(origin)?.get(cell) ?? 0
  const firstTokenMs = firstTokensOf(cells, measured)
  const filled = fillFractions(
    origins.map(({ name }) => ({ name, demand: measured.demand.get(name) ?? 0 })),
    cells,
    (origin, cell) => waysMs(origin, cell) + (firstTokenMs.get(cell) ?? 0),
  )
  return Object.fromEntries(
    [...filled].map(([origin, row]) => [origin, row.map(({ cell, fraction }) => ({ cell, fraction, roundTripMs: waysMs(origin, cell) }))]),
  )
}

type Cell = Capacity<CellId> & { readonly region: Region }

function cellsOf(endpoints: readonly Endpoint[], regions: readonly Region[], measured: Numbers): readonly Cell[] {
  return [...Map.groupBy(endpoints, (endpoint) => endpoint.cell)].flatMap(([id, members]) => {
    const region = regions.find((candidate) => candidate.name === members[0]?.region)
    const slots = sum(members.filter(mayServe).map((endpoint) => endpoint.slots))
    // The snapshot says whether a cell may be asked at all; the measurement how much it takes.
    return region ? [{ id, region, capacity: slots === 0 ? 0 : (measured.capacity(id) ?? slots) }] : []
  })
}

/** Tenths of a millisecond are exact enough. */
function distancesFrom(origin: OriginName, cells: readonly Cell[], measured: Numbers): ReadonlyMap<CellId, number> {
  const place = origins.find(({ name }) => name === origin)
  return new Map(
    cells.map(({ id, region }) => {
      const ms = measured.roundTripMs(origin, id) ?? (place ? roundTripMs(place, region) : 0)
      return [id, Math.round(ms * 10) / 10]
    }),
  )
}

/** A cell that has shown no first token yet counts as the mean of the others that serve: not knowing must neither attract nor deter. */
function firstTokensOf(cells: readonly Cell[], measured: Numbers): ReadonlyMap<CellId, number> {
  const known = cells.filter(({ capacity }) => capacity > 0).flatMap(({ id }) => measured.ttftMs(id) ?? [])
  const mean = known.length > 0 ? sum(known) / known.length : 0
  return new Map(cells.map(({ id }) => [id, measured.ttftMs(id) ?? mean]))
}
