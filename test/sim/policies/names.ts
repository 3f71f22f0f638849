// The simulated world in the project's own words: its stations as a snapshot's endpoints, its regions as cells.

import { modelRow } from '../../support/snapshot.ts'
import type { Catalogue } from '../../../core/facts.ts'
import { contentOf } from '../../../core/publish/snapshot.ts'
import { origins } from '../../../shared/geo.ts'
import {
  cellIdOf,
  type CellId,
  type EndpointId,
  type ModelName,
  type OriginName,
  type RegionName,
  type VersionId,
} from '../../../shared/ids.ts'
import { snapshotFormat, type Snapshot } from '../../../shared/wire/snapshot.ts'
import type { World } from '../harness/world.ts'

export const model = 'sim' as ModelName
export const version = 'sim-1' as VersionId

export const regionName = (region: number): RegionName => `r${region}` as RegionName
export const cellName = (region: number): CellId => cellIdOf(model, regionName(region))
/** Where the callers of each region are, and the region beside them: four of the project's own origins first. */
const first = ['enam', 'weur', 'wnam', 'apac']
const places = [
  ...first.map((name) => origins.find((origin) => origin.name === name)!),
  ...origins.filter(({ name }) => !first.includes(name)),
]

export const originName = (origin: number): OriginName => places[origin]!.name
export const endpointName = (station: number): EndpointId => `e${station}` as EndpointId

/** The numbers behind the names. */
export const stationOf = (endpoint: EndpointId): number => Number(endpoint.slice(1))
export const regionOfCell = (cell: CellId): number => Number(cell.slice(cell.indexOf('@') + 2))

type Content = Pick<Catalogue, 'regions' | 'endpoints' | 'aliases' | 'models'>

/** What an operator has written: every station an endpoint, every region a region. */
export function catalogueOf(world: World): Content {
  const regions = world.layout.regions.map((_, region) => ({
    name: regionName(region),
    latitude: places[region % places.length]!.latitude,
    longitude: places[region % places.length]!.longitude,
    jurisdiction: null,
    locationHint: null,
  }))
  const endpoints = world.stations.map(({ slots }, station) => ({
    ...endpoint,
    id: endpointName(station),
    url: `http://e${station}.sim`,
    slots,
  }))
  return {
    regions,
    endpoints: endpoints.map((each, station) => ({ ...each, region: regionName(world.regionOf[station]!) })),
    aliases: [],
    models: [modelRow({ name: model })],
  }
}

const endpoint = {
  model,
  version,
  kind: 'openai',
  servedName: 'sim',
  weight: 1,
  state: 'enabled',
  operations: null,
  options: {},
  maintenance: null,
  credential: null,
} as const

/** The first snapshot: everything healthy, and what is published before anything was measured. */
export function snapshotOf(world: World): Snapshot {
  const catalogue = catalogueOf(world)
  const healthy = new Map(catalogue.endpoints.map(({ id }) => [id, { health: 'healthy' } as const]))
  return {
    ...contentOf(catalogue, healthy),
    format: snapshotFormat,
    generation: 1,
    publishedAtMs: 0,
    fractions: { [model]: nearestFirst(world) },
    changed: [],
  }
}

/** By the scenario's own round trips: everybody's nearest. */
function nearestFirst(world: World): Snapshot['fractions'][string] {
  return Object.fromEntries(
    world.layout.roundTripMs.map((row, origin) => {
      const nearestMs = Math.min(...row)
      const shares = row.map((roundTripMs, region) => ({
        cell: cellName(region),
        fraction: roundTripMs === nearestMs ? 1 : 0,
        roundTripMs,
      }))
      return [originName(origin), shares.toSorted((a, b) => a.roundTripMs - b.roundTripMs)]
    }),
  )
}
