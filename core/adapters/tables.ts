// How each kind of row lies in its table: its key, the columns that are shown, what it refers to and what refers to it.

import { getTableColumns } from 'drizzle-orm'
import type { SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core'
import type { Fields, Kind, RowKey } from '../facts.ts'
import { aliases, apiKeys, endpoints, models, regions, tenants, versions } from './schema.ts'

/** Columns that every row has, and its own by name. */
type Columns = Readonly<Record<string, SQLiteColumn>> & {
  readonly generation: SQLiteColumn
  readonly createdAtMs: SQLiteColumn
  readonly updatedAtMs: SQLiteColumn
}

/** A column of another table that may name a row of this one. */
type Dependent = { readonly kind: Kind; readonly table: SQLiteTable; readonly refersBy: SQLiteColumn }

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

const endpointBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'endpoint', table: endpoints, refersBy })
const aliasBy = (refersBy: SQLiteColumn): Dependent => ({ kind: 'alias', table: aliases, refersBy })

export const tables: Readonly<Record<Kind, TableOf>> = {
  region: { table: regions, columns: getTableColumns(regions), key: ['name'], dependents: [endpointBy(endpoints.region)] },
  model: {
    table: models,
    columns: getTableColumns(models),
    key: ['name'],
    dependents: [{ kind: 'version', table: versions, refersBy: versions.model }, aliasBy(aliases.model)],
  },
  version: {
    table: versions,
    columns: getTableColumns(versions),
    key: ['id'],
    dependents: [endpointBy(endpoints.version), aliasBy(aliases.stable), aliasBy(aliases.canary)],
  },
  endpoint: { table: endpoints, columns: endpointColumns, key: ['id'], dependents: [] },
  alias: { table: aliases, columns: getTableColumns(aliases), key: ['environment', 'model'], dependents: [] },
  tenant: {
    table: tenants,
    columns: getTableColumns(tenants),
    key: ['id'],
    dependents: [{ kind: 'key', table: apiKeys, refersBy: apiKeys.tenant }],
  },
  key: { table: apiKeys, columns: keyColumns, key: ['id'], dependents: [] },
}

/** The parts of a row's key. */
export const keyOf = (kind: Kind, row: object): RowKey =>
  tables[kind].key.map((name) => String((row as Readonly<Record<string, unknown>>)[name]))

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
      return reference('model', 'model')
    case 'endpoint':
      return [...reference('region', 'region'), ...reference('version', 'version')]
    case 'alias':
      return [...reference('model', 'model'), ...reference('stable', 'version', model), ...reference('canary', 'version', model)]
    case 'key':
      return reference('tenant', 'tenant')
    case 'region':
    case 'model':
    case 'tenant':
      return []
  }
}
