// What a version has left to serve with, before and after an endpoint is operated, and the warnings that follow. Pure.
// Capacity is slots times weight over the endpoints that may serve: by the operator's word, their maintenance windows, and the
// control loop's judgement as far as that is known.

import { cellIdOf, type CellId, type EndpointId, type ModelName } from '../../shared/ids.ts'
import type { Row, Status } from '../facts.ts'

type Endpoint = Row<'endpoint'>

export type Change = { readonly before: number; readonly after: number }
export type Capacity = { readonly cell: Change & { readonly id: CellId }; readonly all: Change }

/** An endpoint as it is and as it would be, among all endpoints of its version (itself among them, as it is). */
export type Move = {
  readonly before: Endpoint
  readonly after: Endpoint
  readonly among: readonly Endpoint[]
  readonly model: ModelName
  /** null when the control loop did not answer: then no endpoint is held to be unhealthy. */
  readonly status: Status | null
  readonly nowMs: number
}

/** The window is closed at its beginning and open at its end. */
const isUnderMaintenance = ({ maintenance }: Endpoint, atMs: number): boolean =>
  maintenance !== null && maintenance.fromMs <= atMs && atMs < maintenance.untilMs

/** Whether the endpoint's row makes it draining at this time. */
export const isDraining = (endpoint: Endpoint, atMs: number): boolean =>
  endpoint.state === 'draining' || (endpoint.state === 'enabled' && isUnderMaintenance(endpoint, atMs))

/** When the move takes effect: a window that is still to come is judged from its beginning. */
const effectAtMs = ({ before, after, nowMs }: Move): number =>
  after.maintenance && before.maintenance !== after.maintenance ? Math.max(nowMs, after.maintenance.fromMs) : nowMs

/** Capacity of the endpoint's version in its cell and over all cells, now and once the move has taken effect. */
export function capacityOf(move: Move): Capacity {
  const { before, after, among, model, nowMs } = move
  const later = among.map((endpoint) => (endpoint.id === after.id ? after : endpoint))
  const unhealthy = unhealthyIn(move.status)
  const slots = (endpoints: readonly Endpoint[], atMs: number): number =>
    endpoints.reduce((sum, endpoint) => (serves(endpoint, atMs, unhealthy) ? sum + endpoint.slots * endpoint.weight : sum), 0)
  const inCell = (endpoints: readonly Endpoint[]) => endpoints.filter(({ region }) => region === before.region)
  const atMs = effectAtMs(move)
  return {
    cell: { id: cellIdOf(model, before.region), before: slots(inCell(among), nowMs), after: slots(inCell(later), atMs) },
    all: { before: slots(among, nowMs), after: slots(later, atMs) },
  }
}

const serves = (endpoint: Endpoint, atMs: number, unhealthy: ReadonlySet<EndpointId>): boolean =>
  endpoint.state === 'enabled' && !isUnderMaintenance(endpoint, atMs) && endpoint.weight > 0 && !unhealthy.has(endpoint.id)

const unhealthyIn = (status: Status | null): ReadonlySet<EndpointId> =>
  new Set((status?.endpoints ?? []).filter(({ state }) => state === 'unhealthy').map(({ id }) => id))

/** What an operator should know of the move, in sentences; empty when nothing speaks against it. */
export function warningsOf(move: Move, { cell, all }: Capacity): readonly string[] {
  const { after, status, nowMs } = move
  const { version, maintenance } = after
  const warnings: string[] = []
  if (all.after === 0) warnings.push(`No endpoint anywhere is left that may serve the version "${version}": requests for it are refused.`)
  else if (cell.after === 0) {
    warnings.push(`The cell "${cell.id}" has no endpoint left that may serve the version "${version}": its requests go to other cells.`)
  }
  if (after.state === 'enabled' && after.weight === 0) warnings.push('Its weight is 0, so it is given nothing.')
  if (after.state === 'enabled' && maintenance && isUnderMaintenance(after, nowMs)) {
    warnings.push(`It is under maintenance and counts as draining until ${new Date(maintenance.untilMs).toISOString()}.`)
  }
  if (after.state === 'enabled' && unhealthyIn(status).has(after.id)) warnings.push('The control loop holds it to be unhealthy.')
  if (!status) warnings.push('The control loop gave no answer, so endpoints that are unhealthy are counted as if they could serve.')
  return warnings
}
