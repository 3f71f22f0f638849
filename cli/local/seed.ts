// Tells core what runs here: regions, the model and its version, the endpoints' addresses, a tenant and its key.
// Can be repeated: what exists is brought up to date, what a person added is left alone.

import { dirname } from 'node:path'
import type { Operation } from '../../shared/operations.ts'
import type { Scope } from '../../shared/wire/credential.ts'
import type { CoreApi } from './core-api.ts'
import { digestOf, type RunningEngine } from './engines.ts'
import type { Settings } from './settings.ts'

/** What the local engine does beside chat, completions and embeddings: the Open Inference Protocol. */
const localOperations: readonly Operation[] = ['chat', 'completions', 'embeddings', 'infer', 'generate', 'generate_stream', 'metadata']

/** One's own machine is where one looks: the demo's key may ask why a request went where it went. */
const demoScopes: readonly Scope[] = ['explain']

export type Seeded = { readonly apiKey: string }

/** `keptKey` is the key printed before; it is used again while core still knows it. */
export async function seed(
  core: CoreApi,
  settings: Settings,
  so: { readonly engines: readonly RunningEngine[]; readonly digest: string; readonly keptKey: string | null },
): Promise<Seeded> {
  const { model } = settings
  await ensure(core, 'models', model, {
    name: model,
    description: settings.model === 'atlas' ? 'country facts, 3.9 million parameters' : settings.modelPath,
  })
  if (settings.model === 'atlas') await ensureVariants(core, settings)
  const version = await ensureVersion(core, model, so.digest, so.engines[0]?.servedName ?? model)
  // An alias that is there is an operator's; only a model file that was never seen before moves it.
  const alias = { environment: 'development', model, stable: version.id }
  await ensure(core, 'aliases', `development/${model}`, alias, version.isNew ? { stable: version.id, canary: null, weightBp: 0 } : {})

  for (const { region, engineUrl, servedName } of so.engines) {
    const { roundTripMs: _, ...place } = region
    await ensure(core, 'regions', region.name, place)
    const live = { version: version.id, url: engineUrl, servedName, slots: settings.slots, operations: [...localOperations] }
    await ensure(
      core,
      'endpoints',
      `local-${region.name}`,
      { id: `local-${region.name}`, region: region.name, kind: 'openai', ...live },
      live,
    )
    await ensureTarget(core, model, { region: region.name, url: engineUrl, slots: settings.slots })
  }
  await bringBack(core, so.engines)

  await ensure(core, 'tenants', 'demo', { id: 'demo', name: 'Demo' })
  return { apiKey: await ensureKey(core, so.keptKey, model) }
}

/** Where rollouts make other versions exist: the same servers, which load and unload models by name. */
async function ensureTarget(
  core: CoreApi,
  model: string,
  so: { readonly region: string; readonly url: string; readonly slots: number },
): Promise<void> {
  const id = targetIdOf(so.region)
  const live = { url: so.url, slots: so.slots, operations: [...localOperations] }
  await ensure(core, 'targets', id, { id, model, region: so.region, deployer: 'model_repository', kind: 'openai', ...live }, live)
}

const targetIdOf = (region: string): string => `local-${region}`

/** The other files that come with the engine, so that there is something to roll out. Variants name what they were made of first. */
const variants = [
  { file: 'atlas-2.f16', quantisation: null, bits: null, parent: null },
  { file: 'atlas-2.q8_0', quantisation: 'Q8_0', bits: 8.5, parent: 'atlas-2.f16' },
  { file: 'atlas-2.q4_0', quantisation: 'Q4_0', bits: 4.5, parent: 'atlas-2.f16' },
  { file: 'atlas-2.q2_k', quantisation: 'Q2_K', bits: 2.6, parent: 'atlas-2.f16' },
  { file: 'atlas-1.q8_0', quantisation: 'Q8_0', bits: 8.5, parent: null },
] as const

async function ensureVariants(core: CoreApi, { model, modelPath }: Settings): Promise<void> {
  for (const { file, ...made } of variants) {
    if (await core.get(`versions/${file}`)) continue
    const digest = await digestOf(`${dirname(modelPath)}/${file}.gguf`)
    const row = { id: file, model, digest, engine: 'llama.cpp', licence: 'MIT', artifact: file, ...made }
    await core.create('versions', row)
  }
}

/** Versions that were deployed before the engines were started anew: each is loaded again, at its new address. */
async function bringBack(core: CoreApi, engines: readonly RunningEngine[]): Promise<void> {
  const deployments = ((await core.get('deployments?limit=200'))?.row['items'] ?? []) as readonly {
    readonly target: string
    readonly endpoint: string | null
    readonly isWanted: boolean
  }[]
  for (const { target, endpoint, isWanted } of deployments) {
    const engine = engines.find(({ region }) => targetIdOf(region.name) === target)
    const known = endpoint !== null && isWanted && engine ? await core.get(`endpoints/${endpoint}`) : null
    if (!engine || !known) continue
    const loaded = await fetch(`${engine.engineUrl}/v2/repository/models/${encodeURIComponent(String(known.row['servedName']))}/load`, {
      method: 'POST',
      body: '{}',
      signal: AbortSignal.timeout(loadMsMax),
    })
    // An engine that cannot load it any more: its endpoint will be found out, and the person at the terminal has the other versions.
    await loaded.body?.cancel()
    if (known.row['url'] !== engine.engineUrl) await core.update(`endpoints/${endpoint}`, known.etag, { url: engine.engineUrl })
  }
}

const loadMsMax = 60_000

/** A version is immutable: other bytes under the same name become a version of their own, named after the digest. */
async function ensureVersion(
  core: CoreApi,
  model: string,
  digest: string,
  name: string,
): Promise<{ readonly id: string; readonly isNew: boolean }> {
  const plain = name.toLowerCase()
  const known = await core.get(`versions/${plain}`)
  const id = known && known.row['digest'] !== digest ? `${plain}-${digest.slice(7, 15)}` : plain
  const isNew = (await core.get(`versions/${id}`)) === null
  if (isNew) await core.create('versions', { id, model, digest, engine: 'llama.cpp' })
  return { id, isNew }
}

async function ensure(core: CoreApi, kind: string, id: string, row: object, live: object = {}): Promise<void> {
  const known = await core.get(`${kind}/${id}`)
  if (!known) {
    await core.create(kind, row)
    return
  }
  const differs = Object.entries(live).some(([field, value]) => JSON.stringify(known.row[field]) !== JSON.stringify(value))
  if (differs) await core.update(`${kind}/${id}`, known.etag, live)
}

async function ensureKey(core: CoreApi, keptKey: string | null, model: string): Promise<string> {
  const id = keptKey?.split('_')[2]
  const known = id ? await core.get(`keys/${id}`) : null
  if (keptKey && known && isUsable(known.row, model)) {
    // A key from before there were scopes; one that an operator gave others is his business.
    if (JSON.stringify(known.row['scopes']) === '[]') await core.update(`keys/${id}`, known.etag, { scopes: demoScopes })
    return keptKey
  }
  const created = await core.create('keys', { tenant: 'demo', environment: 'development', name: 'local demo', scopes: demoScopes })
  return String(created['key'])
}

/** A key that an operator disabled, let expire, or kept from this model is his business; the demo needs another one. */
function isUsable(row: Readonly<Record<string, unknown>>, model: string): boolean {
  const { disabled, expiresAtMs, models } = row
  const isAlive = disabled === false && (typeof expiresAtMs !== 'number' || expiresAtMs > Date.now())
  return isAlive && (!Array.isArray(models) || models.includes(model))
}
