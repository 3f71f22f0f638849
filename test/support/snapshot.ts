// Snapshots for tests: small, complete, and changed by naming only what matters.

import { cellIdOf, type CellId, type EndpointId, type ModelName, type RegionName, type VersionId } from '../../shared/ids.ts'
import type { CellLoad, ModelLoads } from '../../shared/wire/loads.ts'
import { snapshotFormat, type Alias, type Endpoint, type Model, type Region, type Snapshot } from '../../shared/wire/snapshot.ts'

export const model = 'atlas' as ModelName
export const version = 'atlas-2' as VersionId

export const endpoint = (id: string, region: string, so: Partial<Endpoint> = {}): Endpoint => ({
  id: id as EndpointId,
  cell: cellIdOf(model, region as RegionName),
  region: region as RegionName,
  model,
  version,
  kind: 'openai',
  url: `http://${id}.test`,
  servedName: 'atlas',
  slots: 4,
  state: 'healthy',
  weight: 1,
  operations: ['chat', 'completions', 'embeddings'],
  options: {},
  credential: null,
  ...so,
})

export const alias = (so: Partial<Alias> = {}): Alias => ({
  environment: 'development',
  model,
  stable: version,
  canary: null,
  weightBp: 0,
  salt: 'salt',
  createdAtMs: 0,
  shadowBp: 0,
  write: null,
  ...so,
})

export const modelRow = (so: Partial<Model> = {}): Model => ({
  name: model,
  firstTokenMsMax: null,
  holdMsMax: null,
  strategy: 'least-latency',
  affinity: 'none',
  hedging: false,
  ...so,
})

export const region = (name: string, jurisdiction: string | null): Region => ({
  name: name as RegionName,
  latitude: 0,
  longitude: 0,
  jurisdiction,
  locationHint: null,
})

/** The load of a cell with room; `region` names it. */
export const cellLoad = (name: string, so: Partial<CellLoad> = {}): CellLoad => ({
  cell: `${model}@${name}` as CellId,
  slots: 4,
  free: 4,
  waitMs: 0,
  blindWaitMs: 0,
  ttftMs: null,
  ...so,
})

/** Loads that are true now, of the cells given; without rows or weights unless they are named. */
export const loadsOf = (cells: readonly CellLoad[], so: Partial<ModelLoads> = {}): ModelLoads => ({
  model,
  seq: 1,
  atMs: Date.now(),
  cells,
  rows: {},
  weights: {},
  ...so,
})

/** A snapshot of the endpoints given; the origin `enam` reaches their regions in the order in which they appear. */
export function snapshotOf(endpoints: readonly Endpoint[], so: Partial<Snapshot> = {}): Snapshot {
  const cells = [...new Set(endpoints.map((each) => each.cell))]
  const row = cells.map((cell, index) => ({ cell, fraction: index === 0 ? 1 : 0, roundTripMs: 10 * (index + 1) }))
  return {
    format: snapshotFormat,
    generation: 1,
    publishedAtMs: 0,
    regions: [...new Set(endpoints.map((each) => each.region))].map((name) => ({
      name,
      latitude: 0,
      longitude: 0,
      jurisdiction: null,
      locationHint: null,
    })),
    endpoints: [...endpoints],
    aliases: [alias()],
    models: [],
    fractions: { [model]: { enam: row } },
    changed: [],
    ...so,
  }
}
