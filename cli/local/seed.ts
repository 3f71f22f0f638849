// Tells core what runs here: regions, the model and its version, the endpoints' addresses, a tenant and its key.
// Can be repeated: what exists is brought up to date, what a person added is left alone.

import type { CoreApi } from './core-api.ts'
import type { RunningEngine } from './engines.ts'
import type { Settings } from './settings.ts'

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
  const version = await ensureVersion(core, model, so.digest, so.engines[0]?.servedName ?? model)
  const alias = `development/${model}`
  await ensure(core, 'aliases', alias, { environment: 'development', model, stable: version }, { stable: version })

  for (const { region, engineUrl, servedName } of so.engines) {
    const { roundTripMs: _, ...place } = region
    await ensure(core, 'regions', region.name, place)
    const live = { version, url: engineUrl, servedName, slots: settings.slots }
    await ensure(
      core,
      'endpoints',
      `local-${region.name}`,
      { id: `local-${region.name}`, region: region.name, kind: 'openai', ...live },
      live,
    )
  }

  await ensure(core, 'tenants', 'demo', { id: 'demo', name: 'Demo' })
  return { apiKey: await ensureKey(core, so.keptKey) }
}

/** A version is immutable: other bytes under the same name become a version of their own, named after the digest. */
async function ensureVersion(core: CoreApi, model: string, digest: string, name: string): Promise<string> {
  const plain = name.toLowerCase()
  const known = await core.get(`versions/${plain}`)
  const id = known && known.row['digest'] !== digest ? `${plain}-${digest.slice(7, 15)}` : plain
  await ensure(core, 'versions', id, { id, model, digest, engine: 'llama.cpp' })
  return id
}

async function ensure(core: CoreApi, kind: string, id: string, row: object, live: object = {}): Promise<void> {
  const known = await core.get(`${kind}/${id}`)
  if (!known) {
    await core.create(kind, row)
    return
  }
  const differs = Object.entries(live).some(([field, value]) => known.row[field] !== value)
  if (differs) await core.update(`${kind}/${id}`, known.etag, live)
}

async function ensureKey(core: CoreApi, keptKey: string | null): Promise<string> {
  const id = keptKey?.split('_')[2]
  if (keptKey && id && (await core.get(`keys/${id}`))) return keptKey
  const created = await core.create('keys', { tenant: 'demo', environment: 'development', name: 'local demo' })
  return String(created['key'])
}
