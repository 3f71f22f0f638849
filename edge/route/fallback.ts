// Which endpoint of a cell gets a request that does not ask the ledger. Pure.
// A draw by weight, never "the least loaded": every isolate would pick the same one from the same old numbers (docs/design/figures.md).

import { drawWeighted, type Random } from '../../shared/random.ts'
import { rendezvousOrder } from '../../shared/rendezvous.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { ModelLoads } from '../../shared/wire/loads.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'

export type BlindDraw = {
  /** Those of the cell that may serve the request. */
  readonly endpoints: readonly Endpoint[]
  /** Fresh ones, whose weights follow measured speed and backlog; null: slots x configured weight. */
  readonly loads: ModelLoads | null
  /** Endpoints that failed a request here a moment ago; they are drawn only when nothing else is there. */
  readonly isAside: (endpoint: EndpointId) => boolean
  /** Affinity: equal keys get the same endpoint. null: chance. */
  readonly key: string | null
}

/** One of the endpoints; null when there is none with a positive weight. */
export function drawBlind({ endpoints, loads, isAside, key }: BlindDraw, random: Random): Endpoint | null {
  const fit = endpoints.filter(({ id }) => !isAside(id))
  const open = fit.length > 0 ? fit : endpoints
  const byCapacity = (endpoint: Endpoint): number => endpoint.slots * endpoint.weight
  const measured = (endpoint: Endpoint): number => loads?.weights[endpoint.id] ?? 0
  // Weights that name none of them are older than these endpoints.
  const weightOf = open.some((endpoint) => measured(endpoint) > 0) ? measured : byCapacity
  if (key === null) return drawWeighted(open, weightOf, random)
  const heavy = open.filter((endpoint) => weightOf(endpoint) > 0)
  return rendezvousOrder(key, heavy, ({ id }) => id, weightOf)[0] ?? null
}
