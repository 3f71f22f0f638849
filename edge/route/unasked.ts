// Endpoints taken without a question: on a credit, or drawn by weight. The ledger is told at once after, so that its counts stay exact.

import type { CellId, LeaseId } from '../../shared/ids.ts'
import type { Routed, RouteWay } from '../facts.ts'
import type { CreditKind } from '../ports.ts'
import { explainAffinity } from './explain.ts'
import { drawBlind } from './fallback.ts'
import { leaseUntilMs, roundTripTo, servingIn, type Ports, type Trip } from './trip.ts'

/** Which credits would do; null when the ledger has to see this request itself. */
export const creditKindOf = ({ need, kin, mayHedge, view }: Trip, cell: CellId): CreditKind | null =>
  kin || mayHedge || view.purpose !== 'first' ? null : { cell, version: need.version, operation: need.operation, residency: need.residency }

/** On a lease held ahead; null when none will do. */
export function onCredit(trip: Trip, cell: CellId, ports: Ports): Routed | null {
  const kind = creditKindOf(trip, cell)
  if (!kind) return null
  const here = servingIn(trip, cell, ports)
  const credit = ports.ledgers.credit(kind, (id) => here.some((endpoint) => endpoint.id === id) && !ports.reflexes.isAside(id))
  const endpoint = credit && here.find(({ id }) => id === credit.endpoint)
  return credit && endpoint ? charged(trip, { endpoint, lease: credit.leaseId, way: 'credit' }, ports) : null
}

/** One of the cell's endpoints by weight; null when none may serve. */
export function unasked(trip: Trip, cell: CellId, as: { readonly way: RouteWay; readonly name: string }, ports: Ports): Routed | null {
  const { loads, kin, asked, view } = trip
  const draw = { endpoints: servingIn(trip, cell, ports), loads, isAside: ports.reflexes.isAside, key: kin?.key ?? null }
  const endpoint = drawBlind(draw, ports.random)
  // Another name than the question's: should that be answered late, its lease is another one.
  const lease = `${asked.requestId}.${view.round}.${as.name}` as LeaseId
  return endpoint && charged(trip, { endpoint, lease, way: as.way }, ports)
}

function charged(trip: Trip, found: Pick<Routed, 'endpoint' | 'lease' | 'way'>, ports: Ports): Routed {
  const { need, kin, view } = trip
  const routed: Routed = { ...found, roundTripMs: roundTripTo(trip, found.endpoint.cell), hedgeAfterMs: null }
  ports.ledgers.charge(routed.endpoint.cell, {
    leaseId: routed.lease,
    endpoint: routed.endpoint.id,
    version: need.version,
    operation: need.operation,
    deadlineMs: leaseUntilMs(trip),
    why: routed.way === 'credit' ? 'credit' : 'blind',
    affinity: kin,
  })
  view.explain?.found(routed, explainAffinity(kin, null, false))
  return routed
}
