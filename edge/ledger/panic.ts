// How much of a version is out, over all its cells, and whether one more may be taken out. Pure.
// Taking out more and more of a fleet on the same evidence ends in an outage made by the router: beyond the ceiling it stops.

import { limits } from '../../shared/limits.ts'
import type { CellId, EndpointId, VersionId } from '../../shared/ids.ts'
import { mayServe, type Endpoint, type Snapshot } from '../../shared/wire/snapshot.ts'

export type Capacity = { readonly total: number; readonly out: number }

const isCounted = (endpoint: Endpoint): boolean => endpoint.weight > 0 && endpoint.state !== 'draining' && endpoint.state !== 'disabled'

/** Places of a version everywhere, and those out: in this cell by `isOutHere`, elsewhere as published. */
export function capacityOf(
  snapshot: Snapshot,
  of: { readonly version: VersionId; readonly cell: CellId },
  isOutHere: (endpoint: EndpointId) => boolean,
): Capacity {
  let total = 0
  let out = 0
  for (const endpoint of snapshot.endpoints) {
    if (endpoint.version !== of.version || !isCounted(endpoint)) continue
    total += endpoint.slots
    if (endpoint.cell === of.cell ? isOutHere(endpoint.id) : !mayServe(endpoint)) out += endpoint.slots
  }
  return { total, out }
}

/** So much is out that what is left must not carry everything alone. */
export const isPanic = ({ total, out }: Capacity): boolean => out > limits.ejectionShareMax * total

/**
 * Whether `slots` more may be taken out. An endpoint that has served nothing lately (`dead`) is kept out beyond the ceiling as long as
 * somebody else serves: requests sent to it would be lost for certain, where the ceiling only guards against doubtful evidence.
 */
export function mayTakeOut({ total, out }: Capacity, slots: number, dead: boolean): boolean {
  return dead ? out + slots < total : out + slots <= limits.ejectionShareMax * total
}
