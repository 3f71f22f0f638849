// How full the cells are, as one isolate was last told: the models' loads from core, and what each ledger said of itself in its last answer.
// Plain data, bounded by limits.loadsHeldMax models. Old numbers are kept for their `seq`, and given to nobody.

import { limits } from '../../shared/limits.ts'
import type { Clock } from '../../shared/time.ts'
import type { CellId, ModelName } from '../../shared/ids.ts'
import type { News } from '../../shared/wire/ledger.ts'
import { freshLoads, type CellLoad, type ModelLoads } from '../../shared/wire/loads.ts'
import type { Loads } from '../ports.ts'

type Told = { readonly load: CellLoad; readonly atMs: number }

/** One per isolate, shared by its requests. */
export type LoadsMemory = {
  readonly models: Map<ModelName, ModelLoads>
  /** Whose cell it is. */
  readonly modelOf: Map<CellId, ModelName>
  readonly cells: Map<CellId, Told>
}

export const emptyLoadsMemory = (): LoadsMemory => ({ models: new Map(), modelOf: new Map(), cells: new Map() })

/** Cells of a model, on average at most: its regions, and parts of those that are too busy for one ledger. */
const cellsHeldMax = 16 * limits.loadsHeldMax

function keep<Key, Value>(held: Map<Key, Value>, key: Key, value: Value, most: number): void {
  held.delete(key)
  held.set(key, value)
  const oldest = held.size > most ? held.keys().next().value : undefined
  if (oldest !== undefined) held.delete(oldest)
}

export type LoadsPort = Loads & {
  readonly learn: (news: Pick<News, 'load' | 'loads'>) => void
  /** The newest loads known of a cell's model; 0 when none are. */
  readonly seqOf: (cell: CellId) => number
}

export function loads(memory: LoadsMemory, clock: Clock): LoadsPort {
  const fresh = (model: ModelName): ModelLoads | null => freshLoads(memory.models.get(model), clock.nowMs(), limits.loadsFreshMs)
  return {
    fresh,
    latest: (model) => memory.models.get(model) ?? null,
    cell: (model, cell) => {
      const ofModel = fresh(model)
      const load = ofModel?.cells.find((each) => each.cell === cell)
      const published = ofModel && load ? { load, atMs: ofModel.atMs } : null
      const told = memory.cells.get(cell)
      if (!told || clock.nowMs() - told.atMs >= limits.loadsFreshMs) return published
      return published && published.atMs > told.atMs ? published : told
    },
    learn: ({ load, loads: told }) => {
      if (load) keep(memory.cells, load.cell, { load, atMs: clock.nowMs() }, cellsHeldMax)
      if (!told || told.seq <= (memory.models.get(told.model)?.seq ?? 0)) return
      keep(memory.models, told.model, told, limits.loadsHeldMax)
      for (const { cell } of told.cells) keep(memory.modelOf, cell, told.model, cellsHeldMax)
    },
    seqOf: (cell) => {
      const model = memory.modelOf.get(cell)
      return (model && memory.models.get(model)?.seq) ?? 0
    },
  }
}
