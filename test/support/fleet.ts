// A large catalogue, made up from a seed: for tests and benches that ask what becomes of size.

import type { Catalogue, CatalogueEndpoint } from '../../core/facts.ts'
import { locationHints } from '../../shared/geo.ts'
import type { EndpointId, ModelName, RegionName, VersionId } from '../../shared/ids.ts'
import { seededRandom, type Random } from '../../shared/random.ts'
import type { Alias, Model, Region } from '../../shared/wire/snapshot.ts'

export type FleetSize = {
  readonly endpoints: number
  readonly models: number
  readonly regions: number
  /** Regions in which each model stands. */
  readonly spread: number
}

/** Endpoints in turn over models, and those of a model over its regions; each with a credential of its own, for that compresses worst. */
export function fleet({ endpoints, models, regions, spread }: FleetSize, seed = 1): Catalogue {
  const random = seededRandom(seed)
  const places = Array.from({ length: regions }, (_, n) => region(n, random))
  const names = Array.from({ length: models }, (_, n) => `organisation-${n % 7}/model-${n}-${8 * (1 + (n % 9))}b-instruct` as ModelName)
  return {
    seq: 1,
    regions: places,
    endpoints: Array.from({ length: endpoints }, (_, n) => {
      const place = (n % models) * spread + (Math.floor(n / models) % spread)
      return endpoint(n, pick(names, n), pick(places, place).name, random)
      // As the catalogue lists them.
    }).toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    aliases: names.map((model, n) => alias(model, n)),
    models: names.map((name) => modelRow(name)),
    written: [],
  }
}

export const versionOf = (model: ModelName): VersionId => `${model.split('/')[1] ?? model}-v1` as VersionId

const pick = <T>(list: readonly T[], n: number): T => {
  const value = list[n % list.length]
  if (value === undefined) throw new Error('fleet: an empty list')
  return value
}

const region = (n: number, random: Random): Region => ({
  name: `region-${n}` as RegionName,
  latitude: Math.round((random() * 140 - 60) * 100) / 100,
  longitude: Math.round((random() * 360 - 180) * 100) / 100,
  jurisdiction: n % 3 === 0 ? 'eu' : null,
  locationHint: pick(locationHints, n),
})

const endpoint = (n: number, model: ModelName, at: RegionName, random: Random): CatalogueEndpoint => ({
  id: `${at}-gpu-${n}` as EndpointId,
  region: at,
  model,
  version: versionOf(model),
  kind: 'openai',
  url: `https://gpu-${n}.${at}.engines.example:8443`,
  servedName: model,
  slots: 8 * (1 + Math.floor(random() * 16)),
  weight: 1,
  state: 'enabled',
  operations: null,
  options: {},
  maintenance: null,
  // A key of 40 characters as shared/sealed.ts seals it: 12 bytes of nonce, 71 of ciphertext.
  credential: `v1.${letters(16, random)}.${letters(95, random)}`,
})

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const letters = (count: number, random: Random): string =>
  Array.from({ length: count }, () => alphabet[Math.floor(random() * alphabet.length)]).join('')

const alias = (model: ModelName, n: number): Alias => ({
  environment: 'production',
  model,
  stable: versionOf(model),
  canary: null,
  weightBp: 0,
  salt: `salt-${n}`,
  createdAtMs: 1_700_000_000_000,
  shadowBp: 0,
  write: null,
})

const modelRow = (name: ModelName): Model => ({
  name,
  firstTokenMsMax: null,
  holdMsMax: null,
  strategy: 'least-latency',
  affinity: 'none',
  hedging: false,
})
