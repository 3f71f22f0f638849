// Where a copy goes: one cell, asked once. Pure.

import type { CellId, VersionId } from '../../shared/ids.ts'
import { servedAs, type Operation } from '../../shared/operations.ts'
import { mayServe, staysWithin, type Endpoint, type Share, type Snapshot } from '../../shared/wire/snapshot.ts'

/** What a copy needs of an endpoint. */
export type Need = {
  readonly version: VersionId
  readonly operation: Operation
  /** The jurisdiction that the request must not leave; null: none. */
  readonly residency: string | null
}

/** The canary's endpoints that can do it and stand where it may go, whatever their state: which of them is up its ledger knows. */
export function ableEndpoints(snapshot: Snapshot, need: Need): readonly Endpoint[] {
  const isInside = staysWithin(snapshot, need.residency)
  return snapshot.endpoints.filter(
    ({ version, operations, region }) => version === need.version && servedAs(operations, need.operation) !== null && isInside(region),
  )
}

/** The cell in which stable answered where the canary serves there as well, so that times compare; else the nearest; null: none. */
export function targetCell(able: readonly Endpoint[], row: readonly Share[], stableCell: CellId): CellId | null {
  const serving = new Set(able.filter(mayServe).map(({ cell }) => cell))
  if (serving.has(stableCell)) return stableCell
  const [nearest] = [...row.map(({ cell }) => cell).filter((cell) => serving.has(cell)), ...serving]
  return nearest ?? null
}
