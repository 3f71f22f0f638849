// Which cells are worth asking, and in which order. Pure.
// The first is drawn from the published fractions; nobody compares stale loads here (design, section 2: comparing herds).

import { drawWeighted, type Random } from '../../shared/random.ts'
import type { CellId, EndpointId, VersionId } from '../../shared/ids.ts'
import { mayServe, type Endpoint, type Share, type Snapshot } from '../../shared/wire/snapshot.ts'

export type Candidates =
  | { readonly cells: readonly CellId[] }
  /** Nothing serves this version at all, or everything that does is down or was tried already. */
  | { readonly none: 'no_endpoint' | 'no_healthy_endpoint' }

/** Endpoints that may serve a version now, leaving out those already tried. */
export const servingEndpoints = (snapshot: Snapshot, version: VersionId, avoid: readonly EndpointId[]): readonly Endpoint[] =>
  snapshot.endpoints.filter((endpoint) => endpoint.version === version && mayServe(endpoint) && !avoid.includes(endpoint.id))

/**
 * Cells that can serve `version`, best first: one drawn by the fractions of the origin's row, then the others by cost.
 * `shares` is the row, in order of cost; cells it does not name come last, so that a row that lags behind loses nobody.
 */
export function cellsFor(
  snapshot: Snapshot,
  shares: readonly Share[],
  version: VersionId,
  avoid: readonly EndpointId[],
  random: Random,
): Candidates {
  const serving = new Set(servingEndpoints(snapshot, version, avoid).map((endpoint) => endpoint.cell))
  if (serving.size === 0) {
    return { none: snapshot.endpoints.some((endpoint) => endpoint.version === version) ? 'no_healthy_endpoint' : 'no_endpoint' }
  }
  const named = shares.filter((share) => serving.has(share.cell))
  const drawn = drawWeighted(named, (share) => share.fraction, random)
  const first = drawn ? [drawn.cell] : []
  return { cells: [...new Set([...first, ...named.map((share) => share.cell), ...serving])] }
}
