// The table of resources: for each kind its path, what a create and a change may say, and rules that span several fields.
// The routes are the same for all and are made from this table.

import * as v from 'valibot'
import { locationHints } from '../../shared/geo.ts'
import { sha256Hex } from '../../shared/hash.ts'
import {
  environments,
  writeApiKey,
  type EndpointId,
  type KeyId,
  type ModelName,
  type RegionName,
  type TenantId,
  type VersionId,
} from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { endpointKinds } from '../../shared/operations.ts'
import { adminStates, type Draft, type Fields, type Kind } from '../facts.ts'
import { baseUrl, between, digest, flag, flags, line, modelName, oneOf, slug, timeMs, wholeBetween } from './fields.ts'

type FreshId = (bytes?: number) => string
type Entries = v.StrictObjectSchema<v.ObjectEntries, undefined>

/** What a create makes of its body: the row, and what is shown in its answer and never again. */
export type Made<K extends Kind> = { readonly draft: Draft<K>; readonly shownOnce: Readonly<Record<string, string>> }

export type Resource<K extends Kind = Kind> = {
  readonly kind: K
  readonly path: string
  /** Names of the path's parameters, in the order of the key's parts. */
  readonly params: readonly string[]
  readonly create: Entries
  /** null: rows of this kind are never changed. */
  readonly change: Entries | null
  /** Takes a body that passed `create`. */
  make(body: object, freshId: FreshId): Promise<Made<K>>
  /** Rules that span fields, on the row as it would be. */
  check(fields: Fields[K]): AdminRefusal | null
}

const branded = <Name extends string>(schema: v.GenericSchema<string, string>) =>
  v.pipe(
    schema,
    v.transform((text) => text as Name),
  )
const regionName = branded<RegionName>(slug)
const versionId = branded<VersionId>(slug)
const endpointId = branded<EndpointId>(slug)
const tenantId = branded<TenantId>(slug)
const model = branded<ModelName>(modelName)

const noCheck = () => null

/** The usual make: the body is the row. */
function asItIs<K extends Exclude<Kind, 'key'>>(body: object): Promise<Made<K>> {
  return Promise.resolve({ draft: body as Draft<K>, shownOnce: {} })
}

const place = {
  latitude: between(-90, 90),
  longitude: between(-180, 180),
}
const regionOptions = { jurisdiction: v.nullable(slug), locationHint: v.nullable(oneOf(locationHints)) }

const region: Resource<'region'> = {
  kind: 'region',
  path: 'regions',
  params: ['name'],
  create: v.strictObject({
    name: regionName,
    ...place,
    jurisdiction: v.optional(regionOptions.jurisdiction, null),
    locationHint: v.optional(regionOptions.locationHint, null),
  }),
  change: v.partial(v.strictObject({ ...place, ...regionOptions })),
  make: asItIs,
  check: noCheck,
}

const modelResource: Resource<'model'> = {
  kind: 'model',
  path: 'models',
  params: ['name'],
  create: v.strictObject({ name: model, description: v.optional(line(0, 2_000), '') }),
  change: v.partial(v.strictObject({ description: line(0, 2_000) })),
  make: asItIs,
  check: noCheck,
}

const version: Resource<'version'> = {
  kind: 'version',
  path: 'versions',
  params: ['id'],
  create: v.strictObject({
    id: versionId,
    model,
    digest,
    engine: line(1, 64),
    flags: v.optional(flags, {}),
    quantisation: v.optional(v.nullable(line(1, 64)), null),
  }),
  change: null,
  make: asItIs,
  check: noCheck,
}

const endpointFields = {
  version: versionId,
  url: baseUrl,
  servedName: line(1, 256),
  slots: wholeBetween(1, 10_000),
}
const endpointOptions = { weight: between(0, 1_000), state: oneOf(adminStates) }

const endpoint: Resource<'endpoint'> = {
  kind: 'endpoint',
  path: 'endpoints',
  params: ['id'],
  create: v.strictObject({
    id: endpointId,
    region: regionName,
    kind: v.optional(oneOf(endpointKinds), 'openai'),
    ...endpointFields,
    weight: v.optional(endpointOptions.weight, 1),
    state: v.optional(endpointOptions.state, 'enabled'),
  }),
  // A server does not move: another region or another protocol is another endpoint.
  change: v.partial(v.strictObject({ ...endpointFields, ...endpointOptions })),
  make: asItIs,
  check: noCheck,
}

const aliasOptions = { canary: v.nullable(versionId), weightBp: wholeBetween(0, 10_000), salt: line(1, 64) }

const alias: Resource<'alias'> = {
  kind: 'alias',
  path: 'aliases',
  params: ['environment', 'model'],
  create: v.strictObject({
    environment: oneOf(environments),
    model,
    stable: versionId,
    canary: v.optional(aliasOptions.canary, null),
    weightBp: v.optional(aliasOptions.weightBp, 0),
    salt: v.optional(aliasOptions.salt),
  }),
  change: v.partial(v.strictObject({ stable: versionId, ...aliasOptions })),
  async make(body, freshId) {
    const fields = body as Omit<Fields['alias'], 'salt'> & { readonly salt?: string }
    return { draft: { ...fields, salt: fields.salt ?? freshId() }, shownOnce: {} }
  },
  check({ stable, canary, weightBp }) {
    if (canary === null && weightBp > 0) {
      return { reason: 'invalid_field', param: 'weightBp', detail: 'must be 0 while there is no canary: name one in `canary`' }
    }
    if (canary === stable) return { reason: 'invalid_field', param: 'canary', detail: 'must be another version than `stable`' }
    return null
  },
}

const tenant: Resource<'tenant'> = {
  kind: 'tenant',
  path: 'tenants',
  params: ['id'],
  create: v.strictObject({ id: tenantId, name: line(1, 200), disabled: v.optional(flag, false) }),
  change: v.partial(v.strictObject({ name: line(1, 200), disabled: flag })),
  make: asItIs,
  check: noCheck,
}

const keyName = line(1, 200)
const keyOptions = {
  models: v.nullable(
    v.pipe(
      v.array(modelName, 'must be a list of model names, or null for all'),
      v.minLength(1, 'must name a model, or be null for all'),
      v.maxLength(256, 'must name at most 256 models'),
    ),
  ),
  expiresAtMs: v.nullable(timeMs),
  disabled: flag,
}

const key: Resource<'key'> = {
  kind: 'key',
  path: 'keys',
  params: ['id'],
  create: v.strictObject({
    tenant: tenantId,
    environment: oneOf(environments),
    name: keyName,
    models: v.optional(keyOptions.models, null),
    expiresAtMs: v.optional(keyOptions.expiresAtMs, null),
    disabled: v.optional(keyOptions.disabled, false),
  }),
  change: v.partial(v.strictObject({ name: keyName, ...keyOptions })),
  // Id and secret are made here: 80 bits to find the key, 160 to prove it. Only the secret's hash is kept.
  async make(body, freshId) {
    const fields = body as Omit<Fields['key'], 'id'>
    const id = freshId() as KeyId
    const secret = freshId(20)
    return {
      draft: { id, ...fields, secretSha256: await sha256Hex(secret) },
      shownOnce: { key: writeApiKey({ environment: fields.environment, id, secret }) },
    }
  },
  check: noCheck,
}

export const resources = { region, model: modelResource, version, endpoint, alias, tenant, key } as const satisfies {
  readonly [K in Kind]: Resource<K>
}
