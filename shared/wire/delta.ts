// What changed from one snapshot to the next. A snapshot of a thousand endpoints has the better part of a megabyte, and most generations
// change one word of one endpoint: so those who have the one before are told the difference. Applied to it, it gives the same text as the
// whole, byte for byte, so that the whole's signature can be checked afterwards.

import type { EndpointId } from '../ids.ts'
import type { Endpoint, Snapshot } from './snapshot.ts'

type Rows = Snapshot['fractions']

export type Delta = {
  /** The generation it must be applied to. */
  readonly from: number
  /** Everything small, as it is now; null where it is as it was. */
  readonly head: Pick<Snapshot, 'format' | 'generation' | 'publishedAtMs' | 'changed'>
  readonly regions: Snapshot['regions'] | null
  readonly aliases: Snapshot['aliases'] | null
  readonly models: Snapshot['models'] | null
  /** Endpoints that are new or changed. */
  readonly endpoints: readonly Endpoint[]
  readonly gone: readonly EndpointId[]
  /** Rows of models that are new or changed. */
  readonly fractions: Rows
  readonly fractionsGone: readonly string[]
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const inOrder = (ids: readonly string[]): boolean => ids.every((id, index) => index === 0 || (ids[index - 1] ?? '') < id)

/** The difference; null when the lists are not in order of their ids, which is what lets the order be found again. */
export function diff(before: Snapshot, after: Snapshot): Delta | null {
  if (!inOrder(after.endpoints.map(({ id }) => id)) || !inOrder(Object.keys(after.fractions))) return null
  const known = new Map(before.endpoints.map((endpoint) => [endpoint.id, endpoint]))
  const present = new Set(after.endpoints.map(({ id }) => id))
  const { format, generation, publishedAtMs, changed } = after
  return {
    from: before.generation,
    head: { format, generation, publishedAtMs, changed },
    regions: same(before.regions, after.regions) ? null : after.regions,
    aliases: same(before.aliases, after.aliases) ? null : after.aliases,
    models: same(before.models, after.models) ? null : after.models,
    endpoints: after.endpoints.filter((endpoint) => !same(known.get(endpoint.id), endpoint)),
    gone: before.endpoints.filter(({ id }) => !present.has(id)).map(({ id }) => id),
    fractions: Object.fromEntries(Object.entries(after.fractions).filter(([model, rows]) => !same(before.fractions[model], rows))),
    fractionsGone: Object.keys(before.fractions).filter((model) => !(model in after.fractions)),
  }
}

/** The next snapshot; null when the delta is not of this one. */
export function apply(before: Snapshot, delta: Delta): Snapshot | null {
  if (before.generation !== delta.from) return null
  const gone = new Set<string>(delta.gone)
  const endpoints = new Map(before.endpoints.filter(({ id }) => !gone.has(id)).map((endpoint) => [endpoint.id, endpoint]))
  for (const endpoint of delta.endpoints) endpoints.set(endpoint.id, endpoint)
  const rows = new Map(
    Object.entries({ ...before.fractions, ...delta.fractions }).filter(([model]) => !delta.fractionsGone.includes(model)),
  )
  const { format, generation, publishedAtMs, changed } = delta.head
  // In the order in which core writes them: the text is what was signed.
  return {
    format,
    generation,
    publishedAtMs,
    regions: delta.regions ?? before.regions,
    endpoints: [...endpoints.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    aliases: delta.aliases ?? before.aliases,
    models: delta.models ?? before.models,
    fractions: Object.fromEntries([...rows].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    changed,
  }
}
