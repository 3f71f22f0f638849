// Step 1 of two-step least latency (docs/design/overview.md): for every model and origin, which part of the demand goes to which cell.
// Nearest first for now: all of it to the nearest cell that can serve. Filling by measured capacity replaces `fill` alone.

import { origins, roundTripMs } from '../../shared/geo.ts'
import { mayServe, type Endpoint, type Region, type Share } from '../../shared/wire/snapshot.ts'
import type { CellId } from '../../shared/ids.ts'

type Cell = { readonly id: CellId; readonly region: Region; readonly serves: boolean }

/**
 * Rows by model and origin: cells in order of cost (round trip from the origin to the region), with fractions that sum to one,
 * or to zero where no cell can serve: those are listed too, so that an isolate knows whom to ask once one comes back.
 */
export function fractionsOf(
  endpoints: readonly Endpoint[],
  regions: readonly Region[],
): Readonly<Record<string, Readonly<Record<string, Share[]>>>> {
  const rows: Record<string, Record<string, Share[]>> = {}
  for (const model of [...new Set(endpoints.map((endpoint) => endpoint.model))].toSorted()) {
    const cells = cellsOf(
      endpoints.filter((endpoint) => endpoint.model === model),
      regions,
    )
    rows[model] = Object.fromEntries(origins.map((origin) => [origin.name, fill(inOrderOfCost(cells, origin))]))
  }
  return rows
}

function cellsOf(endpoints: readonly Endpoint[], regions: readonly Region[]): readonly Cell[] {
  return [...new Set(endpoints.map((endpoint) => endpoint.cell))].flatMap((id) => {
    const members = endpoints.filter((endpoint) => endpoint.cell === id)
    const region = regions.find((candidate) => candidate.name === members[0]?.region)
    return region ? [{ id, region, serves: members.some(mayServe) }] : []
  })
}

type Costed = { readonly cell: CellId; readonly serves: boolean; readonly roundTripMs: number }

/** Equal costs are settled by name, so that the same catalogue always gives the same row. Tenths of a millisecond are exact enough. */
function inOrderOfCost(cells: readonly Cell[], origin: (typeof origins)[number]): readonly Costed[] {
  return cells
    .map((cell) => ({ cell: cell.id, serves: cell.serves, roundTripMs: Math.round(roundTripMs(origin, cell.region) * 10) / 10 }))
    .toSorted((a, b) => a.roundTripMs - b.roundTripMs || (a.cell < b.cell ? -1 : 1))
}

function fill(cells: readonly Costed[]): Share[] {
  const nearest = cells.find((cell) => cell.serves)
  return cells.map((cell) => ({ cell: cell.cell, fraction: cell === nearest ? 1 : 0, roundTripMs: cell.roundTripMs }))
}
