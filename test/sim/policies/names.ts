// The simulated world in the project's own words: its stations as a snapshot's endpoints, its regions as cells.

import { origins } from '../../../shared/geo.ts'
import { cellIdOf, type CellId, type EndpointId, type ModelName, type OriginName, type RegionName, type VersionId } from '../../../shared/ids.ts'
import { snapshotFormat, type Endpoint, type Model, type Snapshot } from '../../../shared/wire/snapshot.ts'
import type { World } from '../harness/world.ts'

export const model = 'sim' as ModelName
export const version = 'sim-1' as VersionId

export const regionName = (region: number): RegionName => `r${region}` as RegionName
export const cellName = (region: number): CellId => cellIdOf(model, regionName(region))
/** Where the callers of each region are, and the region beside them: four of the project's own origins first. */
const first = ['enam', 'weur', 'wnam', 'apac']
const places = [...first.map((name) => origins.find((origin) => origin.name === name)!), ...origins.filter(({ name }) => !first.includes(name))]

export const originName = (origin: number): OriginName => places[origin]!.name
export const endpointName = (station: number): EndpointId => `e${station}` as EndpointId

/** The numbers behind the names. */
export const stationOf = (endpoint: EndpointId): number => Number(endpoint.slice(1))
export const regionOfCell = (cell: CellId): number => Number(cell.slice(cell.indexOf('@') + 2))

export function snapshotOf(world: World, so: { readonly generation?: number; readonly atMs?: number; readonly model?: Partial<Model> } = {}): Snapshot {
  return {
    format: snapshotFormat,
    generation: so.generation ?? 1,
    publishedAtMs: so.atMs ?? 0,
    regions: world.layout.regions.map((_, region) => ({
      name: regionName(region),
      latitude: places[region % places.length]!.latitude,
      longitude: places[region % places.length]!.longitude,
      jurisdiction: null,
      locationHint: null,
    })),
    endpoints: world.stations.map((_, station) => endpointOf(world, station)),
    aliases: [],
    models: [{ name: model, firstTokenMsMax: null, holdMsMax: null, strategy: 'least-latency', affinity: 'none', hedging: false, ...so.model }],
    fractions: { [model]: nearestFirst(world) },
    changed: [],
  }
}

/** What core publishes before anything was measured: everybody's nearest. */
function nearestFirst(world: World): Snapshot['fractions'][string] {
  return Object.fromEntries(
    world.layout.roundTripMs.map((row, origin) => {
      const nearestMs = Math.min(...row)
      const shares = row.map((roundTripMs, region) => ({ cell: cellName(region), fraction: roundTripMs === nearestMs ? 1 : 0, roundTripMs }))
      return [originName(origin), shares.toSorted((a, b) => a.roundTripMs - b.roundTripMs)]
    }),
  )
}

function endpointOf(world: World, station: number): Endpoint {
  const region = world.regionOf[station]!
  return {
    id: endpointName(station),
    cell: cellName(region),
    region: regionName(region),
    model,
    version,
    kind: 'openai',
    url: `http://e${station}.sim`,
    servedName: 'sim',
    slots: world.stations[station]!.slots,
    state: 'healthy',
    weight: 1,
    operations: ['chat'],
    options: {},
    credential: null,
  }
}
