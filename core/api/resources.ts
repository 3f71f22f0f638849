// The table of resources, and most of them: for each kind its path, what a create and a change may say, and rules that span several fields.
// The routes are the same for all and are made from this table.

import * as v from 'valibot'
import { locationHints } from '../../shared/geo.ts'
import { sha256Hex } from '../../shared/hash.ts'
import { environments, writeApiKey, type KeyId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { endpointKinds } from '../../shared/operations.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { ok, type Result } from '../../shared/result.ts'
import { scopes } from '../../shared/wire/credential.ts'
import { affinities, strategies } from '../../shared/wire/snapshot.ts'
import { adminStates, type Amendment, type Fields, type Kind, type Row } from '../facts.ts'
import {
  anyOptions,
  checkAddresses,
  checkEndpoint,
  checkMaintenance,
  maintenanceWindow,
  operationList,
  readOptions,
  sealCredential,
} from './endpoint.ts'
import { baseUrl, between, digest, flag, flags, line, modelName, oneOf, slug, timeMs, wholeBetween } from './fields.ts'
import {
  asItIs,
  asNamed,
  endpointId,
  model,
  noCheck,
  regionName,
  tenantId,
  versionId,
  type Made,
  type Making,
  type Resource,
} from './resource.ts'
import { approval, target, webhook } from './rollout-resources.ts'

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
  amend: asNamed,
  check: noCheck,
}

/** Below nine tenths of its reference's score a version is another model, not a variant. In 1/10,000. */
export const accuracyTargetBp = [9_000, 10_000] as const

const patienceMs = v.nullable(wholeBetween(limits.modelWaitMsMin, limits.modelWaitMsMax))
const modelOptions = {
  description: line(0, 2_000),
  firstTokenMsMax: patienceMs,
  holdMsMax: patienceMs,
  strategy: oneOf(strategies),
  affinity: oneOf(affinities),
  hedging: flag,
  ttftP95MsMax: v.nullable(wholeBetween(1, limits.deadlineMsMax)),
  tpotP95MsMax: v.nullable(wholeBetween(1, limits.deadlineMsMax)),
  accuracyTargetBp: wholeBetween(...accuracyTargetBp),
  operatingPerS: v.nullable(between(0.01, 100_000)),
}

const modelResource: Resource<'model'> = {
  kind: 'model',
  path: 'models',
  params: ['name'],
  create: v.strictObject({
    name: model,
    description: v.optional(modelOptions.description, ''),
    firstTokenMsMax: v.optional(modelOptions.firstTokenMsMax, null),
    holdMsMax: v.optional(modelOptions.holdMsMax, null),
    strategy: v.optional(modelOptions.strategy, 'least-latency'),
    affinity: v.optional(modelOptions.affinity, 'none'),
    hedging: v.optional(modelOptions.hedging, false),
    ttftP95MsMax: v.optional(modelOptions.ttftP95MsMax, null),
    tpotP95MsMax: v.optional(modelOptions.tpotP95MsMax, null),
    accuracyTargetBp: v.optional(modelOptions.accuracyTargetBp, limits.accuracyTargetBpDefault),
    operatingPerS: v.optional(modelOptions.operatingPerS, null),
  }),
  change: v.partial(v.strictObject(modelOptions)),
  make: asItIs,
  amend: asNamed,
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
    bits: v.optional(v.nullable(between(0.1, 64)), null),
    parent: v.optional(v.nullable(versionId), null),
    calibration: v.optional(v.nullable(line(1, 200)), null),
    licence: v.optional(v.nullable(line(1, 200)), null),
    artifact: v.optional(v.nullable(line(1, 1_024)), null),
  }),
  change: null,
  make: asItIs,
  amend: asNamed,
  // That the parent is of the same model is for the store to see, which knows it.
  check({ id, parent, quantisation, bits }) {
    if (parent === id) return { reason: 'invalid_field', param: 'parent', detail: 'must be another version than itself' }
    if (bits === null || quantisation !== null) return null
    return {
      reason: 'invalid_field',
      param: 'bits',
      detail: 'must be left out where nothing was quantised: name the method in `quantisation`',
    }
  },
}

const endpointFields = {
  version: versionId,
  url: baseUrl,
  servedName: line(1, 256),
  slots: wholeBetween(1, 10_000),
}
/** Share of traffic relative to the others of its cell. */
export const endpointWeight = between(0, 1_000)
const endpointOptions = {
  weight: endpointWeight,
  state: oneOf(adminStates),
  operations: operationList,
  options: anyOptions,
  maintenance: maintenanceWindow,
}

/** Bodies of an endpoint that passed its schemas. What the credential may be depends on the kind, so it is read later. */
type NewEndpoint = Omit<Fields['endpoint'], 'hasCredential'> & { readonly credential: unknown }
type ChangedEndpoint = Partial<NewEndpoint>

async function makeEndpoint(body: object, making: Making): Promise<Result<Made<'endpoint'>, AdminRefusal>> {
  const fields = body as NewEndpoint
  const options = readOptions(fields.kind, fields.options)
  if (!options.ok) return options
  const allowed = checkAddresses({ url: fields.url, options: options.value }, making)
  if (!allowed.ok) return allowed
  const inTime = checkMaintenance(fields.maintenance, making.clock.nowMs(), 'maintenance.')
  if (!inTime.ok) return inTime
  const credential = await sealCredential(fields.credential, fields, making)
  if (!credential.ok) return credential
  const draft = { ...fields, options: options.value, credential: credential.value, hasCredential: credential.value !== null }
  return ok({ draft, shownOnce: {} })
}

/** An address that is not named is not checked again: a row older than the check can still be drained, and the edge does not call it. */
async function amendEndpoint(body: object, before: Row<'endpoint'>, making: Making): Promise<Result<Amendment<'endpoint'>, AdminRefusal>> {
  const { credential, ...fields } = body as ChangedEndpoint
  const options = fields.options === undefined ? ok(undefined) : readOptions(before.kind, fields.options)
  if (!options.ok) return options
  const { options: _unread, ...others } = fields
  const amendment = options.value ? { ...others, options: options.value } : others
  const allowed = checkAddresses(amendment, making)
  if (!allowed.ok) return allowed
  const inTime = checkMaintenance(fields.maintenance ?? null, making.clock.nowMs(), 'maintenance.')
  if (!inTime.ok) return inTime
  if (credential === undefined) return ok(amendment)
  const sealed = await sealCredential(credential, before, making)
  return sealed.ok ? ok({ ...amendment, credential: sealed.value, hasCredential: sealed.value !== null }) : sealed
}

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
    operations: v.optional(endpointOptions.operations, null),
    options: v.optional(endpointOptions.options, {}),
    maintenance: v.optional(endpointOptions.maintenance, null),
    credential: v.optional(v.unknown(), null),
  }),
  // A server does not move: another region or another protocol is another endpoint.
  change: v.partial(v.strictObject({ ...endpointFields, ...endpointOptions, credential: v.unknown() })),
  make: makeEndpoint,
  amend: amendEndpoint,
  check: checkEndpoint,
}

const aliasOptions = { canary: v.nullable(versionId), weightBp: wholeBetween(0, 10_000), salt: line(1, 64) }

/** What a person's write says of rollouts: none wrote it. */
const byHand = { shadowBp: 0, rollout: null, rolloutGeneration: null } as const

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
  async make(body, { freshId }) {
    const fields = body as Omit<Fields['alias'], 'salt' | keyof typeof byHand> & { readonly salt?: string }
    return ok({ draft: { ...fields, ...byHand, salt: fields.salt ?? freshId() }, shownOnce: {} })
  },
  amend: (body) => Promise.resolve(ok({ ...(body as Amendment<'alias'>), ...byHand })),
  check({ stable, canary, weightBp }) {
    if (canary === null && weightBp > 0) {
      return { reason: 'invalid_field', param: 'weightBp', detail: 'must be 0 while there is no canary: name one in `canary`' }
    }
    if (canary === stable) return { reason: 'invalid_field', param: 'canary', detail: 'must be another version than `stable`' }
    return null
  },
}

/** A jurisdiction of regions. That a region has it is not required: without one the tenant is refused everything, which is what it says. */
const residency = v.nullable(slug)

const tenant: Resource<'tenant'> = {
  kind: 'tenant',
  path: 'tenants',
  params: ['id'],
  create: v.strictObject({
    id: tenantId,
    name: line(1, 200),
    disabled: v.optional(flag, false),
    residency: v.optional(residency, null),
  }),
  change: v.partial(v.strictObject({ name: line(1, 200), disabled: flag, residency })),
  make: asItIs,
  amend: asNamed,
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
  scopes: v.pipe(
    v.array(oneOf(scopes), `must be a list of ${scopes.join(', ')}`),
    v.check((list) => new Set(list).size === list.length, 'must name each scope once'),
  ),
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
    scopes: v.optional(keyOptions.scopes, []),
  }),
  change: v.partial(v.strictObject({ name: keyName, ...keyOptions })),
  // Id and secret are made here: 80 bits to find the key, 160 to prove it. Only the secret's hash is kept.
  async make(body, { freshId }) {
    const fields = body as Omit<Fields['key'], 'id'>
    const id = freshId() as KeyId
    const secret = freshId(20)
    return ok({
      draft: { id, ...fields, secretSha256: await sha256Hex(secret) },
      shownOnce: { key: writeApiKey({ environment: fields.environment, id, secret }) },
    })
  },
  amend: asNamed,
  check: noCheck,
}

export const resources = {
  region,
  model: modelResource,
  version,
  endpoint,
  alias,
  tenant,
  key,
  approval,
  target,
  webhook,
} as const satisfies {
  readonly [K in Kind]: Resource<K>
}
