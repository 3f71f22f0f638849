// Whom to tell: the ledgers of all cells, and the homes. Pure.

import { limits } from '../../shared/limits.ts'
import { locationHints, originOf, origins, type LocationHint } from '../../shared/geo.ts'
import type { CellId } from '../../shared/ids.ts'
import { homeNameOf } from '../../shared/wire/ledger.ts'
import type { Region } from '../../shared/wire/snapshot.ts'
import type { LedgerRecord, Published, Target } from '../facts.ts'

/** Cells that left the snapshot and whose ledgers have not yet confirmed a generation without them. */
export function retiredCells(published: Published, ledgers: ReadonlyMap<string, LedgerRecord>): readonly CellId[] {
  return published.retired.filter((cell) => (ledgers.get(cell)?.generation ?? 0) < published.snapshot.generation)
}

/** A ledger for each cell of the snapshot, near its region, and for each cell that left it and may not know. */
export function cellTargets(published: Published, ledgers: ReadonlyMap<string, LedgerRecord>): readonly Target[] {
  const { endpoints, regions } = published.snapshot
  const first = new Map(endpoints.map((endpoint) => [endpoint.cell, endpoint]))
  const present = [...first].map(([cell, { model, region: name }]) => {
    const region = regions.find((candidate) => candidate.name === name)
    return { name: cell, cell, model, hint: region ? hintOf(region) : null }
  })
  return [...present, ...retiredCells(published, ledgers).map((cell) => ({ name: cell, cell, model: null, hint: null }))]
}

/** The objects that only keep the snapshot, one per origin. */
export const homes: readonly Target[] = origins.map((origin) => ({
  name: homeNameOf(origin.name),
  cell: null,
  model: null,
  hint: origin.name as string as LocationHint,
}))

/** The homes that are behind, and those not asked for a while: an object that lost the snapshot is given it again. */
export function homeTargets(published: Published, ledgers: ReadonlyMap<string, LedgerRecord>, nowMs: number): readonly Target[] {
  return homes.filter((home) => {
    const record = ledgers.get(home.name)
    if (!record || record.generation < published.snapshot.generation) return true
    return nowMs - record.askedAtMs >= limits.homeCheckEveryMs
  })
}

/** The operator's hint, else the origin whose centre is nearest. The hint counts only when the object is first made. */
function hintOf(region: Region): LocationHint {
  return locationHints.find((hint) => hint === region.locationHint) ?? (originOf(region) as string as LocationHint)
}
