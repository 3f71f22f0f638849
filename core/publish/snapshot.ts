// Builds the snapshot and decides whether there is anything new to publish. Pure.

import { limits } from '../../shared/limits.ts'
import { cellIdOf, type CellId, type EndpointId } from '../../shared/ids.ts'
import { snapshotFormat, type Endpoint, type EndpointHealth, type EndpointState, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { Catalogue, CatalogueEndpoint, Change, Published } from '../facts.ts'
import { operationsOf } from '../../shared/operations.ts'
import { fractionsOf } from './fractions.ts'

/** What a snapshot says, apart from its number, its time and the passing list of changed keys. */
export type Content = Pick<Snapshot, 'regions' | 'endpoints' | 'aliases' | 'models' | 'fractions'>

/** The content for a catalogue and a judgement. The same arguments give the same text: lists keep the catalogue's order. */
export function contentOf(
  catalogue: Pick<Catalogue, 'regions' | 'endpoints' | 'aliases' | 'models'>,
  judged: ReadonlyMap<EndpointId, { readonly health: EndpointHealth }>,
): Content {
  const endpoints = catalogue.endpoints.map((endpoint) => published(endpoint, judged.get(endpoint.id)?.health ?? 'unknown'))
  return {
    regions: [...catalogue.regions],
    endpoints,
    aliases: [...catalogue.aliases],
    models: [...catalogue.models],
    fractions: fractionsOf(endpoints, catalogue.regions),
  }
}

const published = (endpoint: CatalogueEndpoint, health: EndpointHealth): Endpoint => ({
  id: endpoint.id,
  cell: cellIdOf(endpoint.model, endpoint.region),
  region: endpoint.region,
  model: endpoint.model,
  version: endpoint.version,
  kind: endpoint.kind,
  url: endpoint.url,
  servedName: endpoint.servedName,
  slots: endpoint.slots,
  state: stateOf(health),
  weight: endpoint.weight,
  operations: [...(endpoint.operations ?? operationsOf[endpoint.kind])],
  options: { ...endpoint.options },
  credential: endpoint.credential,
  health,
})

/** The published sum of a health for readers that know no finer word. */
export function stateOf(health: EndpointHealth): EndpointState {
  switch (health) {
    case 'healthy':
    case 'degraded':
      return 'healthy'
    case 'warming':
    case 'ejected':
    case 'probing':
    case 'sleeping':
    case 'gone':
      return 'unhealthy'
    case 'unknown':
    case 'draining':
    case 'disabled':
      return health
    default: {
      const never: never = health
      throw new Error(`snapshot: unknown health ${String(never)}`)
    }
  }
}

/** What the decision to publish rests on. */
export type Draft = {
  readonly content: Content
  /** Keys and tenants written since the last snapshot, and the audit number up to which that holds. */
  readonly written: readonly string[]
  readonly auditSeq: number
  /** The highest generation reported from outside. */
  readonly generationFloor: number
  readonly retired: readonly CellId[]
}

/**
 * The next thing to publish, or null when the last one still says everything.
 * A report of a higher generation than ours is a reason in itself: whoever made it obeys a snapshot that we do not know.
 */
export function nextPublished(last: Published | null, draft: Draft, nowMs: number): Published | null {
  const lastGeneration = last?.snapshot.generation ?? 0
  const unchanged =
    last !== null &&
    draft.written.length === 0 &&
    draft.generationFloor <= lastGeneration &&
    JSON.stringify(contentOfSnapshot(last.snapshot)) === JSON.stringify(draft.content)
  if (unchanged) return null

  const generation = Math.max(lastGeneration, draft.generationFloor) + 1
  const changes = changesAfter(last?.changes ?? [], draft.written, generation, nowMs)
  return {
    snapshot: {
      format: snapshotFormat,
      generation,
      publishedAtMs: nowMs,
      ...draft.content,
      changed: changes.map((change) => ({ id: change.id, generation: change.generation })),
    },
    changes,
    auditSeq: draft.auditSeq,
    retired: retiredAfter(last, draft),
  }
}

const contentOfSnapshot = ({ regions, endpoints, aliases, models, fractions }: Snapshot): Content => ({
  regions,
  endpoints,
  aliases,
  models,
  fractions,
})

/** Old changes leave when isolates no longer hold records that old. That alone is no news: it waits for the next snapshot. */
function changesAfter(before: readonly Change[], written: readonly string[], generation: number, nowMs: number): readonly Change[] {
  const kept = before.filter((change) => nowMs - change.atMs < limits.changedKeptMs && !written.includes(change.id))
  return [...kept, ...written.map((id) => ({ id, generation, atMs: nowMs }))].slice(-limits.changedMax)
}

/** Cells that are no longer in the content must still be told so: their ledgers may be asked by isolates that do not know yet. */
function retiredAfter(last: Published | null, draft: Draft): readonly CellId[] {
  const present = new Set(draft.content.endpoints.map((endpoint) => endpoint.cell))
  const left = (last?.snapshot.endpoints ?? []).map((endpoint) => endpoint.cell)
  return [...new Set([...draft.retired, ...left])].filter((cell) => !present.has(cell)).toSorted()
}
