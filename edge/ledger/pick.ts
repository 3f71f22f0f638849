// Which endpoint of the cell a lease is granted on: least connections over those that serve the version and have room. Pure.
// Counts are exact here, so the smallest is really the smallest (docs/design/figures.md).

import type { Random } from '../../shared/random.ts'
import type { EndpointId, VersionId } from '../../shared/ids.ts'
import { servedAs, type Operation } from '../../shared/operations.ts'
import { mayServe, type Endpoint } from '../../shared/wire/snapshot.ts'
import type { Denial } from '../../shared/wire/ledger.ts'

export type Pick = { readonly endpoint: Endpoint } | { readonly denied: Exclude<Denial, 'no_snapshot'> }

/**
 * The endpoint with the fewest requests per slot once this one is added: (in flight + 1) / (slots x weight), ties by chance.
 * Endpoints known to be healthy come before those not probed yet. An endpoint never gets more requests than it has slots.
 */
export function pick(
  endpoints: readonly Endpoint[],
  ask: { readonly version: VersionId; readonly operation?: Operation; readonly avoid: readonly EndpointId[] },
  inFlightOf: (endpoint: EndpointId) => number,
  random: Random,
): Pick {
  const { operation } = ask
  const can = (endpoint: Endpoint): boolean => operation === undefined || servedAs(endpoint.operations, operation) !== null
  const ofVersion = endpoints.filter((endpoint) => endpoint.version === ask.version && can(endpoint))
  if (ofVersion.length === 0) return { denied: 'no_endpoint' }
  const serving = ofVersion.filter((endpoint) => mayServe(endpoint) && !ask.avoid.includes(endpoint.id))
  if (serving.length === 0) return { denied: 'no_healthy_endpoint' }
  const withRoom = serving.filter((endpoint) => inFlightOf(endpoint.id) < endpoint.slots)
  if (withRoom.length === 0) return { denied: 'no_room' }
  const healthy = withRoom.filter((endpoint) => endpoint.state === 'healthy')
  return { endpoint: leastConnected(healthy.length > 0 ? healthy : withRoom, inFlightOf, random) }
}

function leastConnected(endpoints: readonly Endpoint[], inFlightOf: (endpoint: EndpointId) => number, random: Random): Endpoint {
  const loaded = endpoints.map((endpoint) => ({ endpoint, load: (inFlightOf(endpoint.id) + 1) / (endpoint.slots * endpoint.weight) }))
  const least = Math.min(...loaded.map(({ load }) => load))
  const best = loaded.filter(({ load }) => load === least)
  const chosen = best[Math.floor(random() * best.length)] ?? best[0]
  if (!chosen) throw new Error('pick: called without endpoints')
  return chosen.endpoint
}
