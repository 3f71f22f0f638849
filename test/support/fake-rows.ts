// The catalogue in memory, as the admin API and the control loop see it: rows with their audit, and what refers to what. It holds the
// contract in test/contract/core/database.ts. Each call takes effect at once, before its promise is awaited.

import { keyOf, referencesOf } from '../../core/adapters/tables.ts'
import type {
  Amendment,
  AuditAction,
  AuditRow,
  AuditedThing,
  Deployment,
  Draft,
  Fields,
  Kind,
  Row,
  RowKey,
  Stamp,
} from '../../core/facts.ts'
import { kinds } from '../../core/facts.ts'
import { livePhases } from '../../core/in-use.ts'
import type { CatalogueReader, RowStore } from '../../core/ports.ts'
import type { Rollout } from '../../core/rollout/record.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { EndpointId, VersionId } from '../../shared/ids.ts'

type Held = Readonly<Record<string, unknown>> & { readonly generation: number; readonly createdAtMs: number; readonly updatedAtMs: number }

/** Rollouts and deployments refer to rows too, and may not lose them. */
export type Referring = {
  readonly rollouts: () => readonly Rollout[]
  readonly deployments: () => readonly Deployment[]
  /** Reports and load runs, by version. */
  readonly ofVersions: () => readonly { readonly kind: AuditedThing; readonly id: string; readonly version: VersionId }[]
}

const hidden: readonly string[] = ['credential', 'secret', 'secretSha256']
const names = (key: RowKey): string => key.join('/')
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

export class FakeCatalogue {
  readonly #tables = Object.fromEntries(kinds.map((kind) => [kind, new Map<string, Held>()])) as Record<Kind, Map<string, Held>>
  readonly #audit: AuditRow[] = []
  readonly #referring: Referring

  constructor(referring: Referring) {
    this.#referring = referring
  }

  /** A row with what is never shown of it. */
  whole(kind: Kind, id: string): Held | null {
    return this.#tables[kind].get(id) ?? null
  }

  all<K extends Kind>(kind: K): readonly Row<K>[] {
    return this.#sorted(kind).map((row) => this.#shown<K>(row))
  }

  wholes(kind: Kind): readonly Held[] {
    return this.#sorted(kind)
  }

  note(
    action: AuditAction,
    resource: AuditedThing,
    resourceId: string,
    change: { readonly before: object | null; readonly after: object | null },
    stamp: Stamp,
  ): void {
    const { atMs, actor, requestId, reason } = stamp
    const said = copy(change) as Pick<AuditRow, 'before' | 'after'>
    this.#audit.push({ seq: this.#audit.length + 1, atMs, actor, action, resource, resourceId, ...said, requestId, reason })
  }

  /** What only D1's batches do: a row as it shall be, noted, whatever its generation. */
  put<K extends Kind>(kind: K, id: string, change: Partial<Fields[K]>, stamp: Stamp): void {
    const before = this.#tables[kind].get(id)
    if (!before) throw new Error(`no ${kind} ${id}`)
    const after = { ...before, ...change, generation: before.generation + 1, updatedAtMs: stamp.atMs }
    this.#tables[kind].set(id, after)
    this.note('update', kind, id, { before: this.#shown(before), after: this.#shown(after) }, stamp)
  }

  create<K extends Kind>(kind: K, draft: Draft<K>, stamp: Stamp): Result<Row<K>, AdminRefusal> {
    const refusal = this.whyNotCreate(kind, draft)
    if (refusal) return err(refusal)
    const row: Held = { ...(copy(draft) as object), generation: 1, createdAtMs: stamp.atMs, updatedAtMs: stamp.atMs }
    const id = names(keyOf(kind, row))
    this.#tables[kind].set(id, row)
    this.note('create', kind, id, { before: null, after: this.#shown(row) }, stamp)
    return ok(this.#shown<K>(row))
  }

  whyNotCreate<K extends Kind>(kind: K, draft: Draft<K>): AdminRefusal | null {
    const id = names(keyOf(kind, draft))
    if (this.#tables[kind].has(id)) return { reason: 'already_exists', what: kind, id }
    return this.#missing(kind, draft)
  }

  update<K extends Kind>(kind: K, before: Row<K>, change: Amendment<K>, stamp: Stamp): Result<Row<K>, AdminRefusal> {
    const id = names(keyOf(kind, before))
    const still = this.#still(kind, before)
    if (!still.ok) return still
    if (kind === 'version') throw new Error('versions are immutable')
    const row: Held = { ...still.value, ...copy(change), generation: before.generation + 1, updatedAtMs: stamp.atMs }
    const missing = this.#missing(kind, row as unknown as Fields[K])
    if (missing) return err(missing)
    this.#tables[kind].set(id, row)
    this.note('update', kind, id, { before, after: this.#shown(row) }, stamp)
    return ok(this.#shown<K>(row))
  }

  remove<K extends Kind>(kind: K, before: Row<K>, stamp: Stamp): Result<null, AdminRefusal> {
    const id = names(keyOf(kind, before))
    const still = this.#still(kind, before)
    if (!still.ok) return still
    const used = this.use(kind, id)
    if (used) return err(used)
    this.#tables[kind].delete(id)
    this.note('delete', kind, id, { before, after: null }, stamp)
    return ok(null)
  }

  rows(): RowStore {
    const shown = <K extends Kind>(kind: K, key: RowKey): Row<K> | null => {
      const row = this.#tables[kind].get(names(key))
      return row ? this.#shown<K>(row) : null
    }
    return {
      list: async (kind, { after, limit }) =>
        this.all(kind)
          .filter((row) => after === null || compareKeys(keyOf(kind, row), after) > 0)
          .slice(0, limit),
      get: async (kind, key) => shown(kind, key),
      create: async (kind, draft, stamp) => this.create(kind, draft, stamp),
      update: async (kind, before, change, stamp) => this.update(kind, before, change, stamp),
      remove: async (kind, before, stamp) => this.remove(kind, before, stamp),
      previewUpdate: async (kind, before, change, atMs) => {
        const active = this.#active(kind, before)
        if (active) return err(active)
        const after = {
          ...before,
          ...this.#shown<typeof kind>(change as unknown as Held),
          generation: before.generation + 1,
          updatedAtMs: atMs,
        }
        const missing = this.#missing(kind, after)
        return missing ? err(missing) : ok(after)
      },
      previewRemove: async (kind, before) => {
        const refusal = this.#active(kind, before) ?? this.use(kind, names(keyOf(kind, before)))
        return refusal ? err(refusal) : ok(null)
      },
      audit: async ({ beforeSeq, limit }) => newestFirst(this.#audit, beforeSeq, limit),
      endpointsOf: async (version) => this.all('endpoint').filter((row) => row.version === version),
      drainingSince: async (endpoint: EndpointId) =>
        this.#audit.findLast(
          ({ resource, resourceId, before, after }) =>
            resource === 'endpoint' && resourceId === endpoint && after?.['state'] === 'draining' && before?.['state'] !== 'draining',
        )?.atMs ?? null,
    }
  }

  reader(): CatalogueReader {
    return {
      seq: async () => this.#audit.length,
      load: async (writtenAfterSeq) => ({
        seq: this.#audit.length,
        regions: this.all('region').map(({ name, latitude, longitude, jurisdiction, locationHint }) => ({
          name,
          latitude,
          longitude,
          jurisdiction,
          locationHint,
        })),
        endpoints: this.all('endpoint').map((row) => {
          const { hasCredential: _said, generation: _counted, createdAtMs: _made, updatedAtMs: _written, ...fields } = row
          const model = this.all('version').find(({ id }) => id === row.version)?.model
          if (model === undefined) throw new Error(`no version ${row.version}`)
          return { ...fields, model, credential: (this.whole('endpoint', row.id)?.['credential'] as string | undefined) ?? null }
        }),
        aliases: this.all('alias').map(({ rollout, rolloutGeneration, generation: _counted, updatedAtMs: _written, ...alias }) => ({
          ...alias,
          write: rollout !== null && rolloutGeneration !== null ? { id: rollout, generation: rolloutGeneration } : null,
        })),
        models: this.all('model').map(({ name, firstTokenMsMax, holdMsMax, strategy, affinity, hedging }) => ({
          name,
          firstTokenMsMax,
          holdMsMax,
          strategy,
          affinity,
          hedging,
        })),
        written: [
          ...new Set(
            this.#audit
              .filter(({ seq, resource }) => seq > writtenAfterSeq && (resource === 'key' || resource === 'tenant'))
              .map(({ resourceId }) => resourceId),
          ),
        ],
      }),
    }
  }

  #sorted(kind: Kind): readonly Held[] {
    return [...this.#tables[kind].values()].toSorted((a, b) => compareKeys(keyOf(kind, a), keyOf(kind, b)))
  }

  #shown<K extends Kind>(row: Held): Row<K> {
    return copy(Object.fromEntries(Object.entries(row).filter(([name]) => !hidden.includes(name)))) as unknown as Row<K>
  }

  #still<K extends Kind>(kind: K, before: Row<K>): Result<Held, AdminRefusal> {
    const id = names(keyOf(kind, before))
    const now = this.#tables[kind].get(id)
    if (!now) return err({ reason: 'not_found', what: kind, id })
    const isSame = now.generation === before.generation && now.createdAtMs === before.createdAtMs
    if (!isSame) return err({ reason: 'generation_mismatch', current: now.generation })
    const active = this.#active(kind, before)
    return active ? err(active) : ok(now)
  }

  /** What a live rollout moves is moved by it alone. */
  #active(kind: Kind, row: object): AdminRefusal | null {
    if (kind !== 'alias') return null
    const { environment, model } = row as Row<'alias'>
    const live = this.#referring
      .rollouts()
      .find((each) => each.environment === environment && each.model === model && livePhases.some((phase) => phase === each.phase))
    return live ? { reason: 'rollout_active', environment, model, rollout: live.id } : null
  }

  #missing<K extends Kind>(kind: K, fields: Fields[K]): AdminRefusal | null {
    for (const { field, kind: to, id, ofModel } of referencesOf(kind, fields)) {
      const found = this.#tables[to].get(id)
      if (!found) return { reason: 'missing_reference', what: field, detail: `the ${to} "${id}" does not exist` }
      if (ofModel !== null && found['model'] !== ofModel) {
        const detail = `"${id}" is a version of the model "${String(found['model'])}", not of "${ofModel}"`
        return { reason: 'missing_reference', what: field, detail }
      }
    }
    return null
  }

  use(kind: Kind, id: string): AdminRefusal | null {
    const refers = (by: AuditedThing, user: string): AdminRefusal => ({
      reason: 'in_use',
      what: kind,
      id,
      detail: `the ${by.replace('_', ' ')} "${user}" refers to it`,
    })
    for (const other of kinds) {
      for (const row of this.#sorted(other)) {
        const isUser = referencesOf(other, row as never).some((reference) => reference.kind === kind && reference.id === id)
        if (isUser) return refers(other, names(keyOf(other, row)))
      }
    }
    const deployment = this.#referring
      .deployments()
      .find((each) => (kind === 'target' || kind === 'version' || kind === 'endpoint') && each[kind] === id)
    if (deployment) return refers('deployment', `${deployment.target}/${deployment.version}`)
    const rollout = this.#referring
      .rollouts()
      .find(({ model, from, to }) => (kind === 'model' && model === id) || (kind === 'version' && (from === id || to === id)))
    if (rollout) return refers('rollout', rollout.id)
    const measured = kind === 'version' ? this.#referring.ofVersions().find(({ version }) => version === id) : undefined
    return measured ? refers(measured.kind, measured.id) : null
  }
}

export function newestFirst<T extends { readonly seq: number }>(rows: readonly T[], beforeSeq: number | null, limit: number): readonly T[] {
  return rows
    .filter(({ seq }) => beforeSeq === null || seq < beforeSeq)
    .toReversed()
    .slice(0, limit)
}

export function compareKeys(a: RowKey, b: RowKey): number {
  const index = a.findIndex((part, at) => part !== b[at])
  if (index === -1) return 0
  return (a[index] ?? '') < (b[index] ?? '') ? -1 : 1
}
