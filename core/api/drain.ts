// How far a drain has come. Pure. It is done when the ledger, at the generation that says so and after the edge has had its time to
// hear of it, knows of no request on the endpoint any more; unknown is never done.

import type { EndpointId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { AdminState, Row, Status } from '../facts.ts'
import { isDraining } from './capacity.ts'

export type Drain = {
  readonly endpoint: EndpointId
  readonly state: AdminState
  /** By its state, or by a maintenance window. */
  readonly draining: boolean
  /** Since when; null when it is not draining. */
  readonly sinceMs: number | null
  /** Requests on it by its ledger's last word; null when that is not known. */
  readonly inFlight: number | null
  readonly done: boolean
}

/** `sinceMs`: when it was last told to drain, by the audit log. */
export function drainOf(
  endpoint: Row<'endpoint'>,
  { sinceMs, status, nowMs }: { readonly sinceMs: number | null; readonly status: Status; readonly nowMs: number },
): Drain {
  const draining = isDraining(endpoint, nowMs)
  const published = status.endpoints.find(({ id }) => id === endpoint.id)
  const ledger = status.ledgers.find(({ name }) => name === published?.cell)
  const inFlight = ledger?.answeredAtMs === null ? null : (ledger?.inFlight[endpoint.id] ?? null)
  const began = endpoint.state === 'draining' ? (sinceMs ?? endpoint.updatedAtMs) : (endpoint.maintenance?.fromMs ?? endpoint.updatedAtMs)
  // A window takes effect by the clock, a state with its write.
  const toldAtMs = Math.max(began, endpoint.updatedAtMs)
  const hasHeard =
    published?.state === 'draining' && ledger?.generation === status.generation && (ledger.answeredAtMs ?? 0) >= toldAtMs + limits.obeyedMs
  return {
    endpoint: endpoint.id,
    state: endpoint.state,
    draining,
    sinceMs: draining ? began : null,
    inFlight,
    done: draining && hasHeard && ledger.error === null && inFlight === 0,
  }
}
