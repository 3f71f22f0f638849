// The judgement: in which state each endpoint is published. Today an operator's will and liveness decide.
// Ejection by outcomes (with its ceiling), weights by measured speed and the evidence for canaries belong here, as pure functions.

import type { EndpointId } from '../../shared/ids.ts'
import type { EndpointState } from '../../shared/wire/snapshot.ts'
import type { AdminState, CatalogueEndpoint, Liveness, ProbeRecord } from '../facts.ts'

/** The operator's word comes first: a living endpoint that was told to drain drains. */
export function stateOf(wanted: AdminState, liveness: Liveness['state']): EndpointState {
  return wanted === 'enabled' ? liveness : wanted
}

/** State by endpoint; one that was never probed is unknown. */
export function judge(
  endpoints: readonly CatalogueEndpoint[],
  probes: ReadonlyMap<EndpointId, ProbeRecord>,
): ReadonlyMap<EndpointId, EndpointState> {
  return new Map(endpoints.map((endpoint) => [endpoint.id, stateOf(endpoint.state, probes.get(endpoint.id)?.liveness.state ?? 'unknown')]))
}
