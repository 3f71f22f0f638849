// The tables of D1, the source of truth. `drizzle-kit generate` turns changes here into migrations; docs and types follow this file.
// Every row carries a generation (starts at 1, one more with each update): it is the ETag and the optimistic lock.

import { sql } from 'drizzle-orm'
import {
  check,
  foreignKey,
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
  type AnySQLiteColumn,
} from 'drizzle-orm/sqlite-core'
import type {
  CellId,
  EndpointId,
  KeyId,
  ModelName,
  RegionName,
  RolloutId,
  TargetId,
  TenantId,
  VersionId,
  WebhookId,
} from '../../shared/ids.ts'
import { environments } from '../../shared/ids.ts'
import { locationHints } from '../../shared/geo.ts'
import { endpointKinds, type Operation } from '../../shared/operations.ts'
import type { Scope } from '../../shared/wire/credential.ts'
import { gateAnswers, gateModes, gateNames, type Check } from '../../shared/wire/gate.ts'
import { affinities, endpointHealths, strategies } from '../../shared/wire/snapshot.ts'
import {
  adminStates,
  auditActions,
  auditedThings,
  deployers,
  deploymentStates,
  effectKinds,
  webhookFormats,
  type Evidence,
  type Flags,
  type Maintenance,
  type Options,
} from '../facts.ts'

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
  ttftP95MsMax: integer('ttft_p95_ms_max'),
  tpotP95MsMax: integer('tpot_p95_ms_max'),
  accuracyTargetBp: integer('accuracy_target_bp').notNull().default(9_900),
  operatingPerS: real('operating_per_s'),
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
    bits: real('bits'),
    /** The version it was made of: a variant has one. */
    parent: text('parent')
      .$type<VersionId>()
      .references((): AnySQLiteColumn => versions.id),
    calibration: text('calibration'),
    licence: text('licence'),
    artifact: text('artifact'),
    ...kept(),
  },
  (table) => [
    index('versions_by_model').on(table.model),
    index('versions_by_parent').on(table.parent),
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
    shadowBp: integer('shadow_bp').notNull().default(0),
    /** The rollout that wrote this row last, and which of its generations; null: a person did. */
    rollout: text('rollout').$type<RolloutId>(),
    rolloutGeneration: integer('rollout_generation'),
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
    resource: text('resource', { enum: auditedThings }).notNull(),
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

// ---- New versions ----

/** That a version may go into an environment: who says so, on what evidence, until when. */
export const approvals = sqliteTable(
  'approvals',
  {
    environment: text('environment', { enum: environments }).notNull(),
    version: text('version')
      .$type<VersionId>()
      .notNull()
      .references(() => versions.id),
    approvedBy: text('approved_by').notNull(),
    evidence: text('evidence', { mode: 'json' }).$type<Evidence>().notNull(),
    expiresAtMs: integer('expires_at_ms'),
    ...kept(),
  },
  (table) => [primaryKey({ columns: [table.environment, table.version] }), index('approvals_by_version').on(table.version)],
)

/** A place where versions of a model can be made to exist, and what does so. */
export const targets = sqliteTable(
  'targets',
  {
    id: text('id').$type<TargetId>().primaryKey(),
    model: text('model')
      .$type<ModelName>()
      .notNull()
      .references(() => models.name),
    region: text('region')
      .$type<RegionName>()
      .notNull()
      .references(() => regions.name),
    deployer: text('deployer', { enum: deployers }).notNull(),
    kind: text('kind', { enum: endpointKinds }).notNull(),
    /** Of the servers that stand there, once a version does. */
    url: text('url').notNull(),
    slots: integer('slots').notNull(),
    operations: text('operations', { mode: 'json' }).$type<readonly Operation[]>(),
    /** Of the endpoints that are made there. */
    options: text('options', { mode: 'json' }).$type<Options>().notNull().default({}),
    /** Of the deployer: where it is told, and how. */
    deploy: text('deploy', { mode: 'json' }).$type<Options>().notNull().default({}),
    /** Sealed for `target:<id>`. Of the servers, and of a model repository in front of them. */
    credential: text('credential'),
    hasCredential: integer('has_credential', { mode: 'boolean' }).generatedAlwaysAs(sql`credential IS NOT NULL`, { mode: 'virtual' }),
    ...kept(),
  },
  (table) => [
    index('targets_by_model').on(table.model),
    index('targets_by_region').on(table.region),
    check('targets_slots', sql`${table.slots} > 0`),
  ],
)

/**
 * A deployment that is not as it is wanted, with the endpoint that belongs to it. What failed is left alone until it is wanted anew. Word for
 * word in the index and in the query, or SQLite does not use the one for the other; and without OR, or it does not either.
 */
export const isUnfinished = sql`state <> 'failed' AND NOT (is_wanted = 1 AND state = 'ready' AND endpoint IS NOT NULL) AND NOT (is_wanted = 0 AND state = 'gone' AND endpoint IS NULL)`

/** A version at a target: what is wanted, and how far it is. */
export const deployments = sqliteTable(
  'deployments',
  {
    target: text('target')
      .$type<TargetId>()
      .notNull()
      .references(() => targets.id),
    version: text('version')
      .$type<VersionId>()
      .notNull()
      .references(() => versions.id),
    isWanted: integer('is_wanted', { mode: 'boolean' }).notNull(),
    state: text('state', { enum: deploymentStates }).notNull(),
    detail: text('detail').notNull(),
    /** The endpoint that was made for it; null while there is none. */
    endpoint: text('endpoint')
      .$type<EndpointId>()
      .references(() => endpoints.id),
    attempts: integer('attempts').notNull(),
    nextAtMs: integer('next_at_ms').notNull(),
    /** Since when it has been in this state. */
    sinceMs: integer('since_ms').notNull(),
    ...kept(),
  },
  (table) => [
    primaryKey({ columns: [table.target, table.version] }),
    index('deployments_by_version').on(table.version),
    index('deployments_by_endpoint').on(table.endpoint),
    index('deployments_unfinished').on(table.nextAtMs).where(isUnfinished),
  ],
)

/** `record` is the whole (core/rollout/record.ts); the columns beside it are what rows are found by. */
export const rollouts = sqliteTable(
  'rollouts',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    id: text('id').$type<RolloutId>().notNull(),
    environment: text('environment', { enum: environments }).notNull(),
    model: text('model')
      .$type<ModelName>()
      .notNull()
      .references(() => models.name),
    fromVersion: text('from_version')
      .$type<VersionId>()
      .notNull()
      .references(() => versions.id),
    toVersion: text('to_version')
      .$type<VersionId>()
      .notNull()
      .references(() => versions.id),
    phase: text('phase').notNull(),
    /** It moves the alias: at most one does. */
    isLive: integer('is_live', { mode: 'boolean' }).notNull(),
    /** The loop has something to do with it: not over, or the old version is still held. */
    isOpen: integer('is_open', { mode: 'boolean' }).notNull(),
    record: text('record').notNull(),
    ...kept(),
  },
  (table) => [
    uniqueIndex('rollouts_id').on(table.id),
    uniqueIndex('rollouts_one_live')
      .on(table.environment, table.model)
      .where(sql`is_live = 1`),
    index('rollouts_of_alias').on(table.environment, table.model, table.seq),
    index('rollouts_open').on(table.isOpen),
    index('rollouts_by_from').on(table.fromVersion),
    index('rollouts_by_to').on(table.toVersion),
  ],
)

/** Append-only: triggers refuse UPDATE and DELETE. */
export const rolloutTransitions = sqliteTable(
  'rollout_transitions',
  {
    rollout: text('rollout').$type<RolloutId>().notNull(),
    generation: integer('generation').notNull(),
    atMs: integer('at_ms').notNull(),
    actor: text('actor').notNull(),
    input: text('input').notNull(),
    from: text('from').notNull(),
    to: text('to').notNull(),
    reason: text('reason').notNull(),
    detail: text('detail').notNull(),
  },
  (table) => [primaryKey({ columns: [table.rollout, table.generation] })],
)

/** Append-only. */
export const verdicts = sqliteTable(
  'verdicts',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    id: text('id').notNull(),
    rollout: text('rollout').$type<RolloutId>(),
    environment: text('environment', { enum: environments }).notNull(),
    model: text('model').$type<ModelName>().notNull(),
    version: text('version').$type<VersionId>().notNull(),
    reference: text('reference').$type<VersionId>(),
    gate: text('gate', { enum: gateNames }).notNull(),
    mode: text('mode', { enum: gateModes }).notNull(),
    answer: text('answer', { enum: gateAnswers }).notNull(),
    step: integer('step'),
    checks: text('checks', { mode: 'json' }).$type<readonly Check[]>().notNull(),
    windowFromMs: integer('window_from_ms'),
    windowUntilMs: integer('window_until_ms'),
    atMs: integer('at_ms').notNull(),
  },
  (table) => [
    uniqueIndex('verdicts_id').on(table.id),
    index('verdicts_of_rollout').on(table.rollout, table.seq),
    index('verdicts_of_version').on(table.version, table.seq),
  ],
)

/** Append-only. `text` is the whole report (shared/wire/report.ts); the columns beside it are what reports are found and listed by. */
export const reports = sqliteTable(
  'reports',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    /** SHA-256 of the text. */
    id: text('id').notNull(),
    version: text('version')
      .$type<VersionId>()
      .notNull()
      .references(() => versions.id),
    environment: text('environment', { enum: environments }).notNull(),
    setName: text('set_name').notNull(),
    setDigest: text('set_digest').notNull(),
    items: integer('items').notNull(),
    answered: integer('answered').notNull(),
    /** Mean of each metric over the answered items, by name. */
    scores: text('scores', { mode: 'json' }).$type<Readonly<Record<string, number>>>().notNull(),
    text: text('text').notNull(),
    actor: text('actor').notNull(),
    createdAtMs: integer('created_at_ms').notNull(),
  },
  (table) => [uniqueIndex('reports_id').on(table.id), index('reports_of_version').on(table.version, table.seq)],
)

/** Append-only. A run of the load gate, as shared/wire/load-run.ts writes it. */
export const loadRuns = sqliteTable(
  'load_runs',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    id: text('id').notNull(),
    version: text('version')
      .$type<VersionId>()
      .notNull()
      .references(() => versions.id),
    environment: text('environment', { enum: environments }).notNull(),
    requestsPerS: real('requests_per_s').notNull(),
    samples: integer('samples').notNull(),
    text: text('text').notNull(),
    actor: text('actor').notNull(),
    createdAtMs: integer('created_at_ms').notNull(),
  },
  (table) => [uniqueIndex('load_runs_id').on(table.id), index('load_runs_of_version').on(table.version, table.environment, table.seq)],
)

/** What follows from a rollout's change and is carried out afterwards, at least once. `id` is the effect's key. */
export const outbox = sqliteTable(
  'outbox',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    id: text('id').notNull(),
    rollout: text('rollout').$type<RolloutId>().notNull(),
    kind: text('kind', { enum: effectKinds }).notNull(),
    payload: text('payload').notNull(),
    atMs: integer('at_ms').notNull(),
    doneAtMs: integer('done_at_ms'),
  },
  (table) => [
    uniqueIndex('outbox_id').on(table.id),
    index('outbox_undone')
      .on(table.seq)
      .where(sql`done_at_ms IS NULL`),
  ],
)

export const webhooks = sqliteTable('webhooks', {
  id: text('id').$type<WebhookId>().primaryKey(),
  url: text('url').notNull(),
  format: text('format', { enum: webhookFormats }).notNull(),
  /** Types of events it gets; null: all. */
  events: text('events', { mode: 'json' }).$type<readonly string[]>(),
  disabled: integer('disabled', { mode: 'boolean' }).notNull(),
  /** Sealed for `webhook:<id>`; shown once, when it is made. */
  secret: text('secret').notNull(),
  ...kept(),
})

/** One event to one webhook, delivered at least once. The receiver knows a repetition by the id. */
export const webhookDeliveries = sqliteTable(
  'webhook_deliveries',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    /** `<outbox id>/<webhook id>`; the outbox id is the event, and what is sent as webhook-id. */
    id: text('id').notNull(),
    webhook: text('webhook').$type<WebhookId>().notNull(),
    type: text('type').notNull(),
    payload: text('payload').notNull(),
    createdAtMs: integer('created_at_ms').notNull(),
    attempts: integer('attempts').notNull(),
    nextAtMs: integer('next_at_ms'),
    /** null: under way. */
    endedAtMs: integer('ended_at_ms'),
    ok: integer('ok', { mode: 'boolean' }),
    lastStatus: integer('last_status'),
    lastError: text('last_error'),
  },
  (table) => [
    uniqueIndex('webhook_deliveries_id').on(table.id),
    index('webhook_deliveries_due')
      .on(table.nextAtMs)
      .where(sql`ended_at_ms IS NULL`),
    index('webhook_deliveries_of_webhook').on(table.webhook, table.seq),
  ],
)

/** What a batch rests on: a row that is not 1 breaks the whole batch (docs/design/rollouts.md, one batch). Always empty. */
export const guards = sqliteTable('guards', { ok: integer('ok').notNull() }, (table) => [check('guard_ok', sql`${table.ok} = 1`)])
