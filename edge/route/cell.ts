// Which cells are worth asking, and in which order. Pure.
// The first is drawn from the published fractions; nobody compares stale loads here (docs/design/figures.md: comparing herds).

import { drawWeighted, type Random } from '../../shared/random.ts'
import type { CellId, EndpointId, VersionId } from '../../shared/ids.ts'
import { servedAs, type Operation } from '../../shared/operations.ts'
import { mayServe, type Endpoint, type Share, type Snapshot } from '../../shared/wire/snapshot.ts'

export type Candidates =
  | { readonly cells: readonly CellId[] }
  /** Nothing serves this version at all, nothing can do what is asked, or everything that can is down or was tried already. */
  | { readonly none: 'no_endpoint' | 'unsupported_operation' | 'no_healthy_endpoint' }

/** What a request needs of an endpoint. */
export type Need = { readonly version: VersionId; readonly operation: Operation; readonly avoid: readonly EndpointId[] }

/** Endpoints that may serve it now, leaving out those already tried. */
export const servingEndpoints = (snapshot: Snapshot, need: Need): readonly Endpoint[] =>
  snapshot.endpoints.filter(
    (endpoint) =>
      endpoint.version === need.version &&
      mayServe(endpoint) &&
      servedAs(endpoint.operations, need.operation) !== null &&
      !need.avoid.includes(endpoint.id),
  )

/**
 * Cells that can serve the need, best first: one drawn by the fractions of the origin's row, then the others by cost.
 * `shares` is the row, in order of cost; cells it does not name come last, so that a row that lags behind loses nobody.
 */
export function cellsFor(snapshot: Snapshot, shares: readonly Share[], need: Need, random: Random): Candidates {
  const serving = new Set(servingEndpoints(snapshot, need).map((endpoint) => endpoint.cell))
  if (serving.size === 0) {
    const ofVersion = snapshot.endpoints.filter((endpoint) => endpoint.version === need.version)
    if (ofVersion.length === 0) return { none: 'no_endpoint' }
    const able = ofVersion.some((endpoint) => servedAs(endpoint.operations, need.operation) !== null)
    return { none: able ? 'no_healthy_endpoint' : 'unsupported_operation' }
  }
  const named = shares.filter((share) => serving.has(share.cell))
  const drawn = drawWeighted(named, (share) => share.fraction, random)
  const first = drawn ? [drawn.cell] : []
  return { cells: [...new Set([...first, ...named.map((share) => share.cell), ...serving])] }
}
