// The fast half of what is published: per model how full its cells are, how demand is spread over them, and weights for blind draws.
// It changes with load where the snapshot changes with decisions, so nothing in it makes a generation. Pure.
// Numbers are rounded to what matters, so that a quiet model's loads stay the same and cost nothing to tell.

import { limits } from '../../shared/limits.ts'
import type { CellId, EndpointId, ModelName, OriginName } from '../../shared/ids.ts'
import type { CellLoad, ModelLoads } from '../../shared/wire/loads.ts'
import { mayServe, type Endpoint, type Share, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { LedgerRecord } from '../facts.ts'
import { isFresh, perSecond } from '../flow.ts'
import { speedOf } from '../speed.ts'
import { rowsOf, type Numbers } from './fractions.ts'

export type LoadsWorld = {
  readonly snapshot: Snapshot
  readonly ledgers: ReadonlyMap<string, LedgerRecord>
  /** Weights of blind draws, by the judge. */
  readonly weights: ReadonlyMap<EndpointId, number>
  readonly nowMs: number
}

/** The loads of each model. Unchanged ones are the same object until they are old enough to be told again, as true now. */
export function nextLoads(before: ReadonlyMap<ModelName, ModelLoads>, world: LoadsWorld): ReadonlyMap<ModelName, ModelLoads> {
  const ofModels = Map.groupBy(world.snapshot.endpoints, (endpoint) => endpoint.model)
  return new Map([...ofModels].map(([model, endpoints]) => [model, loadsOf(before.get(model) ?? null, model, endpoints, world)]))
}

function loadsOf(before: ModelLoads | null, model: ModelName, endpoints: readonly Endpoint[], world: LoadsWorld): ModelLoads {
  const { nowMs } = world
  const content = contentOf(endpoints, world)
  // Also when the clock has stepped back: isolates take loads from ahead for nobody's.
  if (before && Math.abs(nowMs - before.atMs) < limits.loadsRefreshMs && isSame(before, content)) return before
  return { model, seq: Math.max(nowMs, (before?.seq ?? 0) + 1), atMs: nowMs, ...content }
}

type Content = Pick<ModelLoads, 'cells' | 'rows' | 'weights'>

const isSame = ({ cells, rows, weights }: ModelLoads, content: Content): boolean =>
  JSON.stringify({ cells, rows, weights }) === JSON.stringify(content)

function contentOf(endpoints: readonly Endpoint[], { snapshot, ledgers, weights, nowMs }: LoadsWorld): Content {
  const spoken = [...new Set(endpoints.map(({ cell }) => cell))].flatMap((cell): readonly (readonly [CellId, LedgerRecord])[] => {
    const record = ledgers.get(cell)
    return record && isFresh(record, nowMs) ? [[cell, record]] : []
  })
  const numbers = numbersOf(endpoints, new Map(spoken), nowMs)
  return {
    // Of a silent ledger's cell nothing is said: whoever needs a number asks.
    cells: spoken.flatMap(([, { load }]) => (load ? [roundedLoad(load)] : [])),
    rows: roundedRows(rowsOf(endpoints, snapshot.regions, numbers)),
    weights: Object.fromEntries(
      endpoints.flatMap(({ id }) => {
        const weight = weights.get(id) ?? 0
        return weight > 0 ? [[id, Number(weight.toPrecision(3))]] : []
      }),
    ),
  }
}

/** What the ledgers that speak have measured, as the filling wants it. Erlangs are of the model's mean service, so that slow cells take less. */
function numbersOf(endpoints: readonly Endpoint[], records: ReadonlyMap<CellId, LedgerRecord>, nowMs: number): Numbers {
  const speed = speedOf(endpoints.map((endpoint) => ({ endpoint, load: records.get(endpoint.cell)?.endpoints[endpoint.id] ?? null })))
  const members = Map.groupBy(endpoints, ({ cell }) => cell)
  return {
    demand: demandOf([...records.values()], speed.serviceMs / 1_000, nowMs),
    roundTripMs: (origin, cell) => records.get(cell)?.flow.roundTripsMs.get(origin) ?? null,
    capacity: (cell) =>
      records.has(cell)
        ? (members.get(cell) ?? []).filter(mayServe).reduce((sum, { id }) => sum + speed.perS(id) * (speed.serviceMs / 1_000), 0)
        : null,
    ttftMs: (cell) => records.get(cell)?.load?.ttftMs ?? null,
  }
}

function demandOf(records: readonly LedgerRecord[], serviceS: number, nowMs: number): ReadonlyMap<OriginName, number> {
  const demand = new Map<OriginName, number>()
  for (const { flow } of records) {
    for (const [origin, rate] of flow.arrivals) demand.set(origin, (demand.get(origin) ?? 0) + perSecond(rate, nowMs) * serviceS)
  }
  return demand
}

/** To a millisecond below a tenth of a second, to a hundredth above. */
const roundedMs = (ms: number): number => (ms < 100 ? Math.round(ms) : Number(ms.toPrecision(3)))

const roundedLoad = ({ cell, slots, free, waitMs, blindWaitMs, ttftMs }: CellLoad): CellLoad => ({
  cell,
  slots: Math.round(slots),
  free: Math.round(free),
  waitMs: roundedMs(waitMs),
  blindWaitMs: roundedMs(blindWaitMs),
  ttftMs: ttftMs === null ? null : roundedMs(ttftMs),
})

const roundedRows = (rows: Readonly<Record<string, readonly Share[]>>): Record<string, Share[]> =>
  Object.fromEntries(Object.entries(rows).map(([origin, row]) => [origin, roundedRow(row)]))

/** Fractions in steps of one two-hundredth: a row that summed to one still does, for the largest remainders get what rounding left. */
function roundedRow(row: readonly Share[]): Share[] {
  const steps = row.map(({ fraction }) => Math.floor(fraction * fractionSteps + 1e-9))
  const remainders = row.map(({ fraction }, index) => fraction * fractionSteps - (steps[index] ?? 0))
  const left = Math.round(row.reduce((sum, { fraction }) => sum + fraction, 0) * fractionSteps) - steps.reduce((sum, step) => sum + step, 0)
  const order = row.map((_, index) => index).toSorted((a, b) => (remainders[b] ?? 0) - (remainders[a] ?? 0) || a - b)
  for (const index of order.slice(0, Math.max(0, left))) steps[index] = (steps[index] ?? 0) + 1
  return row.map(({ cell, roundTripMs }, index) => ({
    cell,
    fraction: (steps[index] ?? 0) / fractionSteps,
    roundTripMs: roundedMs(roundTripMs),
  }))
}

const fractionSteps = 200
