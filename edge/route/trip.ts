// What one routing knows of its request, and the few questions that all its parts ask of that.

import { limits } from '../../shared/limits.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { CellId, EndpointId } from '../../shared/ids.ts'
import type { ModelLoads } from '../../shared/wire/loads.ts'
import type { Affinity, Purpose } from '../../shared/wire/ledger.ts'
import type { Endpoint, Share, Snapshot } from '../../shared/wire/snapshot.ts'
import type { Admitted, Asked, Explainer } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { servingEndpoints, type Candidates, type Need } from './cell.ts'

export type Ports = Pick<EdgePorts, 'clock' | 'random' | 'ledgers' | 'loads' | 'reflexes' | 'snapshots'>

export type View = {
  readonly snapshot: Snapshot
  /** Endpoints already tried. */
  readonly avoid: readonly EndpointId[]
  /** Begins the names of the leases: another each time the request is routed. */
  readonly round: string
  readonly purpose: Purpose
  readonly explain: Explainer | null
}

export type Trip = {
  readonly asked: Asked
  readonly admitted: Admitted
  readonly view: View
  readonly need: Need
  /** What keeps it near its like; null: nothing. */
  readonly kin: Affinity | null
  /** A second copy may be sent beside it, if the ledger says when. */
  readonly mayHedge: boolean
  /** Of the model, while they are fresh. */
  readonly loads: ModelLoads | null
  /** The origin's fractions and round trips. */
  readonly row: readonly Share[]
}

/** The newest snapshot of this isolate: an answer may have brought one since the request set out. */
export const newest = ({ view }: Trip, ports: Ports): Snapshot => ports.snapshots.newest(view.snapshot) ?? view.snapshot

/** The cell's endpoints that may serve the request, by the newest snapshot. */
export const servingIn = (trip: Trip, cell: CellId, ports: Ports): readonly Endpoint[] =>
  servingEndpoints(newest(trip, ports), trip.need).filter((endpoint) => endpoint.cell === cell)

/** null when the row does not name the cell. */
export const roundTripTo = ({ row }: Trip, cell: CellId): number | null => row.find((share) => share.cell === cell)?.roundTripMs ?? null

export const leaseUntilMs = ({ admitted }: Trip): number => admitted.deadlineMs + limits.leaseGraceMs

export const deadlineExceeded = ({ asked }: Trip, ports: Ports): InferenceRefusal => ({
  reason: 'deadline_exceeded',
  afterMs: ports.clock.nowMs() - asked.receivedAtMs,
})

export function refusalFor(reason: Extract<Candidates, { none: unknown }>['none'], { asked, admitted, need }: Trip): InferenceRefusal {
  const { model } = admitted.wish
  if (reason === 'unsupported_operation') return { reason, model, operation: asked.dialect.operation }
  if (reason === 'residency_unmet') return { reason, model, residency: need.residency ?? '' }
  return { reason, model, version: admitted.version }
}
