// The tables of D1, the source of truth. `drizzle-kit generate` turns changes here into migrations; docs and types follow this file.
// Every row carries a generation (starts at 1, one more with each update): it is the ETag and the optimistic lock.

import { sql } from 'drizzle-orm'
import { check, foreignKey, index, integer, primaryKey, real, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { CellId, EndpointId, KeyId, ModelName, RegionName, TenantId, VersionId } from '../../shared/ids.ts'
import { environments } from '../../shared/ids.ts'
import { locationHints } from '../../shared/geo.ts'
import { endpointKinds, type Operation } from '../../shared/operations.ts'
import type { Scope } from '../../shared/wire/credential.ts'
import { affinities, endpointHealths, strategies } from '../../shared/wire/snapshot.ts'
import { adminStates, auditActions, kinds, type Flags, type Maintenance, type Options } from '../facts.ts'

const kept = () => ({
  generation: integer('generation').notNull(),
  createdAtMs: integer('created_at_ms').notNull(),
  updatedAtMs: integer('updated_at_ms').notNull(),
})

export const regions = sqliteTable('regions', {
  name: text('name').$type<RegionName>().primaryKey(),
  latitude: real('latitude').notNull(),
  longitude: real('longitude').notNull(),
  jurisdiction: text('jurisdiction'),
  locationHint: text('location_hint', { enum: locationHints }),
  ...kept(),
})

export const models = sqliteTable('models', {
  name: text('name').$type<ModelName>().primaryKey(),
  description: text('description').notNull(),
  firstTokenMsMax: integer('first_token_ms_max'),
  holdMsMax: integer('hold_ms_max'),
  strategy: text('strategy', { enum: strategies }).notNull().default('least-latency'),
  affinity: text('affinity', { enum: affinities }).notNull().default('none'),
  hedging: integer('hedging', { mode: 'boolean' }).notNull().default(false),
  ...kept(),
})

/** Immutable: a trigger refuses every UPDATE (migration `append_only`). */
export const versions = sqliteTable(
  'versions',
  {
    id: text('id').$type<VersionId>().primaryKey(),
    model: text('model')
      .$type<ModelName>()
      .notNull()
      .references(() => models.name),
    digest: text('digest').notNull(),
    engine: text('engine').notNull(),
    flags: text('flags', { mode: 'json' }).$type<Flags>().notNull(),
    quantisation: text('quantisation'),
    ...kept(),
  },
  (table) => [
    index('versions_by_model').on(table.model),
    // The target of the aliases' composite keys: it makes "a version of this model" a rule of the database.
    uniqueIndex('versions_of_model').on(table.id, table.model),
  ],
)

export const endpoints = sqliteTable(
  'endpoints',
  {
    id: text('id').$type<EndpointId>().primaryKey(),
    region: text('region')
      .$type<RegionName>()
      .notNull()
      .references(() => regions.name),
    version: text('version')
      .$type<VersionId>()
      .notNull()
      .references(() => versions.id),
    kind: text('kind', { enum: endpointKinds }).notNull(),
    url: text('url').notNull(),
    servedName: text('served_name').notNull(),
    slots: integer('slots').notNull(),
    weight: real('weight').notNull(),
    state: text('state', { enum: adminStates }).notNull(),
    /** null: what its kind does. */
    operations: text('operations', { mode: 'json' }).$type<readonly Operation[]>(),
    options: text('options', { mode: 'json' }).$type<Options>().notNull().default({}),
    /** Sealed. Read by the control loop alone; no row that the admin API or the audit log sees has it. */
    credential: text('credential'),
    maintenance: text('maintenance', { mode: 'json' }).$type<Maintenance>(),
    hasCredential: integer('has_credential', { mode: 'boolean' }).generatedAlwaysAs(sql`credential IS NOT NULL`, { mode: 'virtual' }),
    ...kept(),
  },
  (table) => [
    index('endpoints_by_region').on(table.region),
    index('endpoints_by_version').on(table.version),
    check('endpoints_slots', sql`${table.slots} > 0`),
  ],
)

export const aliases = sqliteTable(
  'aliases',
  {
    environment: text('environment', { enum: environments }).notNull(),
    model: text('model')
      .$type<ModelName>()
      .notNull()
      .references(() => models.name),
    stable: text('stable').$type<VersionId>().notNull(),
    canary: text('canary').$type<VersionId>(),
    weightBp: integer('weight_bp').notNull(),
    salt: text('salt').notNull(),
    ...kept(),
  },
  (table) => [
    primaryKey({ columns: [table.environment, table.model] }),
    foreignKey({ columns: [table.stable, table.model], foreignColumns: [versions.id, versions.model] }),
    foreignKey({ columns: [table.canary, table.model], foreignColumns: [versions.id, versions.model] }),
    index('aliases_by_model').on(table.model),
    index('aliases_by_stable').on(table.stable),
    index('aliases_by_canary').on(table.canary),
    check('aliases_weight', sql`${table.weightBp} BETWEEN 0 AND 10000`),
  ],
)

export const tenants = sqliteTable('tenants', {
  id: text('id').$type<TenantId>().primaryKey(),
  name: text('name').notNull(),
  disabled: integer('disabled', { mode: 'boolean' }).notNull(),
  residency: text('residency'),
  ...kept(),
})

export const apiKeys = sqliteTable(
  'api_keys',
  {
    id: text('id').$type<KeyId>().primaryKey(),
    tenant: text('tenant')
      .$type<TenantId>()
      .notNull()
      .references(() => tenants.id),
    environment: text('environment', { enum: environments }).notNull(),
    name: text('name').notNull(),
    /** Read by the credential look-up alone; no row that the admin API or the audit log sees has it. */
    secretSha256: text('secret_sha256').notNull(),
    /** null: all models of the environment. */
    models: text('models', { mode: 'json' }).$type<readonly string[]>(),
    expiresAtMs: integer('expires_at_ms'),
    disabled: integer('disabled', { mode: 'boolean' }).notNull(),
    scopes: text('scopes', { mode: 'json' }).$type<readonly Scope[]>().notNull().default([]),
    ...kept(),
  },
  // Also the order in which a tenant's keys are paged.
  (table) => [index('api_keys_by_tenant').on(table.tenant, table.id)],
)

/** Append-only: triggers refuse UPDATE and DELETE. Its highest `seq` tells the control loop whether anything changed. */
export const auditLog = sqliteTable(
  'audit_log',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    atMs: integer('at_ms').notNull(),
    actor: text('actor').notNull(),
    action: text('action', { enum: auditActions }).notNull(),
    resource: text('resource', { enum: kinds }).notNull(),
    resourceId: text('resource_id').notNull(),
    before: text('before', { mode: 'json' }).$type<Readonly<Record<string, unknown>>>(),
    after: text('after', { mode: 'json' }).$type<Readonly<Record<string, unknown>>>(),
    requestId: text('request_id').notNull(),
    /** The operator's own words. */
    reason: text('reason'),
  },
  // The loop asks for the writes of keys and tenants since a number.
  (table) => [index('audit_log_by_resource').on(table.resource, table.seq)],
)

/** Append-only: triggers refuse UPDATE, and DELETE of what is younger than 90 days. */
export const endpointEvents = sqliteTable(
  'endpoint_events',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    atMs: integer('at_ms').notNull(),
    endpoint: text('endpoint').$type<EndpointId>().notNull(),
    cell: text('cell').$type<CellId>().notNull(),
    from: text('from', { enum: endpointHealths }).notNull(),
    to: text('to', { enum: endpointHealths }).notNull(),
    metric: text('metric'),
    value: real('value'),
    threshold: real('threshold'),
    reason: text('reason').notNull(),
  },
  (table) => [
    index('endpoint_events_by_endpoint').on(table.endpoint, table.seq),
    // What is old is found without reading what is not.
    index('endpoint_events_by_time').on(table.atMs),
    // The loop may append an event twice; it is one change all the same.
    uniqueIndex('endpoint_events_once').on(table.endpoint, table.atMs, table.to),
  ],
)
