// Where a request goes: a cell drawn from the published fractions, then a lease from that cell's ledger, which alone knows its load.
// A cell without room sends us on to the next nearest. Never picks an endpoint by its own idea of load.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { CellId, EndpointId, LeaseId } from '../../shared/ids.ts'
import { sharesOf, type Endpoint, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { AskAnswer, Denial } from '../../shared/wire/ledger.ts'
import type { Admitted, Asked, Routed } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { cellsFor, servingEndpoints, type Need } from './cell.ts'
import { drawBlind } from './fallback.ts'

type Ports = Pick<EdgePorts, 'clock' | 'random' | 'ledgers' | 'snapshots' | 'afterResponse'>

/** An endpoint for the request, with a lease on it; refuses when no cell has one. `round` names the lease: it differs each time the request is routed. */
export async function route(
  asked: Asked,
  admitted: Admitted,
  view: { readonly snapshot: Snapshot; readonly avoid: readonly EndpointId[]; readonly round: number },
  ports: Ports,
): Promise<Result<Routed, InferenceRefusal>> {
  const { model } = admitted.wish
  const { version } = admitted
  const { operation } = asked.dialect
  const need: Need = { version, operation, avoid: view.avoid }
  const candidates = cellsFor(view.snapshot, sharesOf(view.snapshot, model, asked.origin), need, ports.random)
  if ('none' in candidates)
    return err(
      candidates.none === 'unsupported_operation'
        ? { reason: candidates.none, model, operation }
        : { reason: candidates.none, model, version },
    )

  const denials: Denial[] = []
  for (const [index, cell] of candidates.cells.slice(0, limits.cellsAskedMax).entries()) {
    if (ports.clock.nowMs() >= admitted.deadlineMs)
      return err({ reason: 'deadline_exceeded', afterMs: ports.clock.nowMs() - asked.receivedAtMs })
    const leaseId = `${asked.requestId}.${view.round}.${index}` as LeaseId
    const answer = await ports.ledgers.ask(cell, {
      cell,
      leaseId,
      version,
      operation,
      deadlineMs: admitted.deadlineMs + limits.leaseGraceMs,
      avoid: view.avoid,
      generation: view.snapshot.generation,
    })
    // A ledger that does not answer, or knows nothing yet: the last snapshot decides.
    if (!answer.ok || answer.value.denied === 'no_snapshot') {
      const blind = drawBlind(endpointsOf(view.snapshot, need, cell), ports.random)
      if (blind) return ok({ endpoint: blind, lease: null })
      continue
    }
    ports.snapshots.adopt(answer.value)
    const granted = leased(answer.value, view.snapshot, leaseId)
    if (granted) return ok(granted)
    // A ledger that lags behind us may grant an endpoint that is gone: give it back, or it would be held until its deadline.
    if (answer.value.lease) ports.afterResponse(ports.ledgers.settle(cell, [{ leaseId, outcome: 'cancelled', ttfbMs: null }]))
    if (answer.value.denied) denials.push(answer.value.denied)
  }
  return err(refusalOf(denials, admitted))
}

const endpointsOf = (snapshot: Snapshot, need: Need, cell: CellId) =>
  servingEndpoints(snapshot, need).filter((endpoint) => endpoint.cell === cell)

/** The granted endpoint's description, from the newer snapshot when the answer brought one. */
function leased(answer: AskAnswer, snapshot: Snapshot, lease: LeaseId): Routed | null {
  const granted = answer.lease
  if (!granted) return null
  const known = (answer.snapshot ?? snapshot).endpoints
  const endpoint: Endpoint | undefined = known.find((each) => each.id === granted.endpoint)
  return endpoint ? { endpoint, lease } : null
}

/** "Full" is said only when some cell was full: it is the one denial that passes by itself within a second. */
function refusalOf(denials: readonly Denial[], admitted: Admitted): InferenceRefusal {
  const { model } = admitted.wish
  if (denials.includes('no_room')) return { reason: 'no_capacity', model, retryAfterMs: limits.retryAfterMsDefault }
  return { reason: 'no_healthy_endpoint', model, version: admitted.version }
}
