// How each kind of row lies in its table: its key, the columns that are shown, what it refers to and what refers to it.

import { and, eq, getTableColumns, sql, type SQL } from 'drizzle-orm'
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { Amendment, AuditedThing, Fields, Kind, Row, RowKey } from '../facts.ts'
import {
  aliases,
  apiKeys,
  approvals,
  deployments,
  endpoints,
  loadRuns,
  models,
  regions,
  reports,
  rollouts,
  targets,
  tenants,
  versions,
  webhooks,
} from './schema.ts'

/** Columns that every row has, and its own by name. */
type Columns = Readonly<Record<string, SQLiteColumn>> & {
  readonly generation: SQLiteColumn
  readonly createdAtMs: SQLiteColumn
  readonly updatedAtMs: SQLiteColumn
}

/** A column of another table that may name a row of this one, and the columns by which that table's rows are named to people. */
type Dependent = {
  readonly kind: AuditedThing
  readonly table: SQLiteTable
  readonly refersBy: SQLiteColumn
  readonly named: readonly SQLiteColumn[]
}

export type TableOf = {
  readonly table: SQLiteTable
  readonly columns: Columns
  /** Names of the key's columns, in order. */
  readonly key: readonly string[]
  readonly dependents: readonly Dependent[]
}

/** Without the hash of the secret: whatever goes through this table of tables never sees it. */
const { secretSha256: _neverShown, ...keyColumns } = getTableColumns(apiKeys)
/** Without the credential: whether there is one is a column of its own. */
const { credential: _norThis, ...endpointColumns } = getTableColumns(endpoints)
const { credential: _norThat, ...targetColumns } = getTableColumns(targets)
const { secret: _norThese, ...webhookColumns } = getTableColumns(webhooks)

const endpointBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'endpoint', table: endpoints, refersBy, named: [endpoints.id] })
const aliasBy = (refersBy: SQLiteColumn): Dependent => ({
  kind: 'alias',
  table: aliases,
  refersBy,
  named: [aliases.environment, aliases.model],
})
const targetBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'target', table: targets, refersBy, named: [targets.id] })
const rolloutBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'rollout', table: rollouts, refersBy, named: [rollouts.id] })
const versionBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'version', table: versions, refersBy, named: [versions.id] })
const approvalBy = (refersBy: SQLiteColumn): Dependent => ({
  kind: 'approval',
  table: approvals,
  refersBy,
  named: [approvals.environment, approvals.version],
})
const deploymentBy = (refersBy: SQLiteColumn): Dependent => ({
  kind: 'deployment',
  table: deployments,
  refersBy,
  named: [deployments.target, deployments.version],
})
const reportBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'report', table: reports, refersBy, named: [reports.id] })
const loadRunBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'load_run', table: loadRuns, refersBy, named: [loadRuns.id] })

export const tables: Readonly<Record<Kind, TableOf>> = {
  region: {
    table: regions,
    columns: getTableColumns(regions),
    key: ['name'],
    dependents: [endpointBy(endpoints.region), targetBy(targets.region)],
  },
  model: {
    table: models,
    columns: getTableColumns(models),
    key: ['name'],
    dependents: [versionBy(versions.model), aliasBy(aliases.model), targetBy(targets.model), rolloutBy(rollouts.model)],
  },
  version: {
    table: versions,
    columns: getTableColumns(versions),
    key: ['id'],
    dependents: [
      endpointBy(endpoints.version),
      aliasBy(aliases.stable),
      aliasBy(aliases.canary),
      versionBy(versions.parent),
      approvalBy(approvals.version),
      deploymentBy(deployments.version),
      rolloutBy(rollouts.fromVersion),
      rolloutBy(rollouts.toVersion),
      reportBy(reports.version),
      loadRunBy(loadRuns.version),
    ],
  },
  endpoint: { table: endpoints, columns: endpointColumns, key: ['id'], dependents: [deploymentBy(deployments.endpoint)] },
  alias: { table: aliases, columns: getTableColumns(aliases), key: ['environment', 'model'], dependents: [] },
  tenant: {
    table: tenants,
    columns: getTableColumns(tenants),
    key: ['id'],
    dependents: [{ kind: 'key', table: apiKeys, refersBy: apiKeys.tenant, named: [apiKeys.id] }],
  },
  key: { table: apiKeys, columns: keyColumns, key: ['id'], dependents: [] },
  approval: { table: approvals, columns: getTableColumns(approvals), key: ['environment', 'version'], dependents: [] },
  target: { table: targets, columns: targetColumns, key: ['id'], dependents: [deploymentBy(deployments.target)] },
  webhook: { table: webhooks, columns: webhookColumns, key: ['id'], dependents: [] },
}

/** The parts of a row's key. */
export const keyOf = (kind: Kind, row: object): RowKey =>
  tables[kind].key.map((name) => String((row as Readonly<Record<string, unknown>>)[name]))

/** A row's key as people and the audit log write it. */
export const idOf = (kind: Kind, row: object): string => keyOf(kind, row).join('/')

export function hasKey(kind: Kind, key: RowKey): SQL | undefined {
  const { key: names, columns } = tables[kind]
  return and(...names.map((name, index) => sql`${columns[name]} = ${key[index]}`))
}

/** The creation time beside the generation: a row deleted and made again counts from 1 again, and is another row. */
export function isStill<K extends Kind>(kind: K, row: Row<K>): SQL | undefined {
  const { columns } = tables[kind]
  return and(hasKey(kind, keyOf(kind, row)), eq(columns.generation, row.generation), eq(columns.createdAtMs, row.createdAtMs))
}

/** Of what is written, what may be seen. */
export function shownOf<K extends Kind>(kind: K, values: Amendment<K>): Partial<Row<K>> {
  const { columns } = tables[kind]
  return Object.fromEntries(Object.entries(values).filter(([name]) => name in columns)) as Partial<Row<K>>
}

/** Of what is shown, what is written: the database makes the rest itself. */
export function writtenOf(kind: Kind, values: object): Readonly<Record<string, unknown>> {
  const { columns } = tables[kind]
  return Object.fromEntries(Object.entries(values).filter(([name]) => columns[name]?.generated === undefined))
}

/** A field that names another row; `ofModel` where that row must be a version of this model. */
export type Reference = { readonly field: string; readonly kind: Kind; readonly id: string; readonly ofModel: string | null }

/** What a row refers to, in the order in which its fields are written. */
export function referencesOf<K extends Kind>(kind: K, fields: Fields[K]): readonly Reference[] {
  const named = fields as Readonly<Record<string, unknown>>
  const reference = (field: string, to: Kind, ofModel: string | null = null): Reference[] =>
    typeof named[field] === 'string' ? [{ field, kind: to, id: named[field], ofModel }] : []
  const model = typeof named['model'] === 'string' ? named['model'] : null
  switch (kind) {
    case 'version':
      return [...reference('model', 'model'), ...reference('parent', 'version', model)]
    case 'approval':
      return reference('version', 'version')
    case 'target':
      return [...reference('model', 'model'), ...reference('region', 'region')]
    case 'endpoint':
      return [...reference('region', 'region'), ...reference('version', 'version')]
    case 'alias':
      return [...reference('model', 'model'), ...reference('stable', 'version', model), ...reference('canary', 'version', model)]
    case 'key':
      return reference('tenant', 'tenant')
    case 'region':
    case 'model':
    case 'tenant':
    case 'webhook':
      return []
  }
}
