// Snapshots for tests: small, complete, and changed by naming only what matters.

import { cellIdOf, type EndpointId, type ModelName, type RegionName, type VersionId } from '../../shared/ids.ts'
import { snapshotFormat, type Alias, type Endpoint, type Snapshot } from '../../shared/wire/snapshot.ts'

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
