// Which cells are worth asking, and in which order. Pure.
// The first is drawn from the published fractions; nobody compares stale loads here (docs/design/figures.md: comparing herds).
// Residency comes before everything: a cell outside the jurisdiction is no candidate, however empty it is.

import { drawWeighted, type Random } from '../../shared/random.ts'
import { rendezvousOrder } from '../../shared/rendezvous.ts'
import type { CellId, EndpointId, ModelName, OriginName, VersionId } from '../../shared/ids.ts'
import { servedAs, type Operation } from '../../shared/operations.ts'
import type { ModelLoads } from '../../shared/wire/loads.ts'
import { mayServe, sharesOf, staysWithin, type Endpoint, type Share, type Snapshot } from '../../shared/wire/snapshot.ts'

export type Candidates =
  | { readonly first: CellId; readonly others: readonly CellId[] }
  /** Nothing serves this version at all, nothing can do what is asked, nothing that can stands where it may, or all of those are down or were tried already. */
  | { readonly none: 'no_endpoint' | 'unsupported_operation' | 'residency_unmet' | 'no_healthy_endpoint' }

/** What a request needs of an endpoint. */
export type Need = {
  readonly version: VersionId
  readonly operation: Operation
  readonly avoid: readonly EndpointId[]
  /** The jurisdiction that the request must not leave; null: none. */
  readonly residency: string | null
}

/** Endpoints that can do it and stand where it may go, whatever their state. */
export function ableEndpoints(snapshot: Snapshot, { version, operation, residency }: Need): readonly Endpoint[] {
  const isInside = staysWithin(snapshot, residency)
  return snapshot.endpoints.filter(
    (endpoint) => endpoint.version === version && servedAs(endpoint.operations, operation) !== null && isInside(endpoint.region),
  )
}

/** Endpoints that may serve it now, leaving out those already tried. */
export const servingEndpoints = (snapshot: Snapshot, need: Need): readonly Endpoint[] =>
  ableEndpoints(snapshot, need).filter((endpoint) => mayServe(endpoint) && !need.avoid.includes(endpoint.id))

/** The origin's row of fractions: of the last known loads, for it changes each second; else of the snapshot. */
export function rowOf(snapshot: Snapshot, loads: ModelLoads | null, model: ModelName, origin: OriginName): readonly Share[] {
  const rows = loads?.rows ?? {}
  return rows[origin] ?? Object.values(rows)[0] ?? sharesOf(snapshot, model, origin)
}

/**
 * Cells that can serve the need, best first: one drawn by the fractions of the origin's row, then the others by cost.
 * With a `key` (affinity) the draw is a weighted rendezvous: equal keys get the same cell while the fractions hold, and over many keys
 * each cell still gets its fraction. `row` is in order of cost; cells it does not name come last, so that a row that lags behind loses nobody.
 */
export function cellsFor(snapshot: Snapshot, row: readonly Share[], need: Need, key: string | null, random: Random): Candidates {
  const serving = new Set(servingEndpoints(snapshot, need).map((endpoint) => endpoint.cell))
  const named = row.filter((share) => serving.has(share.cell))
  const drawn = key === null ? drawWeighted(named, ({ fraction }) => fraction, random) : stickyOf(named, key)
  const [first, ...others] = new Set([...(drawn ? [drawn.cell] : []), ...named.map((share) => share.cell), ...serving])
  return first === undefined ? { none: whyNone(snapshot, need) } : { first, others }
}

function stickyOf(named: readonly Share[], key: string): Share | null {
  const open = named.filter(({ fraction }) => fraction > 0)
  return (
    rendezvousOrder(
      key,
      open,
      ({ cell }) => cell,
      ({ fraction }) => fraction,
    )[0] ?? null
  )
}

function whyNone(snapshot: Snapshot, need: Need): Extract<Candidates, { none: unknown }>['none'] {
  const ofVersion = snapshot.endpoints.filter((endpoint) => endpoint.version === need.version)
  if (ofVersion.length === 0) return 'no_endpoint'
  const able = ofVersion.filter((endpoint) => servedAs(endpoint.operations, need.operation) !== null)
  if (able.length === 0) return 'unsupported_operation'
  const isInside = staysWithin(snapshot, need.residency)
  return able.some(({ region }) => isInside(region)) ? 'no_healthy_endpoint' : 'residency_unmet'
}
