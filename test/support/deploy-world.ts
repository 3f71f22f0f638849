// A small catalogue in memory in which versions are deployed.

import type { Draft, Kind, Stamp } from '../../core/facts.ts'
import type { ModelName, RegionName, TargetId, VersionId } from '../../shared/ids.ts'
import type { RowStore } from '../../core/ports.ts'
import { fakeStores } from './rollout-stores.ts'

export const stamp: Stamp = { atMs: 1_700_000_000_000, actor: 'operator', requestId: 'r', reason: null }

const model = 'atlas' as ModelName

export const versionDraft = (id: string, so: Partial<Draft<'version'>> = {}): Draft<'version'> => ({
  id: id as VersionId,
  model,
  digest: `sha256:${'ab'.repeat(32)}`,
  engine: 'llama.cpp',
  flags: {},
  quantisation: null,
  bits: null,
  parent: null,
  calibration: null,
  licence: null,
  artifact: null,
  ...so,
})

export const targetDraft = (id: string, so: Partial<Draft<'target'>> = {}): Draft<'target'> => ({
  id: id as TargetId,
  model,
  region: id as RegionName,
  deployer: 'model_repository',
  kind: 'openai',
  url: `http://${id}`,
  slots: 4,
  operations: null,
  options: {},
  deploy: {},
  hasCredential: true,
  credential: `sealed for ${id}`,
  ...so,
})

export type World = {
  readonly regions: readonly string[]
  /** The first is stable. */
  readonly versions: readonly Draft<'version'>[]
  readonly target?: Partial<Draft<'target'>>
}

/** Fills a catalogue: a region of each name, a target of that name in it, versions of one model, and its alias. */
export async function furnish(rows: RowStore, { regions, versions, target }: World) {
  const make = async <K extends Kind>(kind: K, draft: Draft<K>): Promise<void> => {
    const made = await rows.create(kind, draft, stamp)
    if (!made.ok) throw new Error(JSON.stringify(made.error))
  }
  for (const name of regions) {
    await make('region', { name: name as RegionName, latitude: 0, longitude: 0, jurisdiction: null, locationHint: null })
  }
  await make('model', {
    name: model,
    description: '',
    firstTokenMsMax: null,
    holdMsMax: null,
    strategy: 'least-latency',
    affinity: 'prefix',
    hedging: false,
    ttftP95MsMax: null,
    tpotP95MsMax: null,
    accuracyTargetBp: 9_900,
    operatingPerS: null,
  })
  for (const version of versions) await make('version', version)
  for (const name of regions) await make('target', targetDraft(name, target))
  const [stable] = versions
  if (!stable) throw new Error('no version is stable')
  await make('alias', {
    environment: 'production',
    model,
    stable: stable.id,
    canary: null,
    weightBp: 0,
    salt: 's',
    shadowBp: 0,
    rollout: null,
    rolloutGeneration: null,
  })
  return make
}

/** The same in memory. */
export async function furnished(world: World) {
  const stores = fakeStores()
  return { ...stores, make: await furnish(stores.rows, world) }
}
