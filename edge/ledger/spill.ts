// Whether a request that would wait here is sent on to another cell, and to which. Pure.
// The numbers of other cells are a second old, so the cell is drawn, not chosen: everybody's "best" would be flooded (docs/design/overview.md).

import { drawWeighted, type Random } from '../../shared/random.ts'
import type { CellId } from '../../shared/ids.ts'
import type { CellLoad } from '../../shared/wire/loads.ts'

/** Another cell that could serve the request. */
export type Elsewhere = {
  readonly load: CellLoad
  /** Its round trip from the caller's origin less that of this cell; negative when it is nearer. */
  readonly extraMs: number
  /** Requests sent there since these numbers were made: they have taken places that `load` still calls free. */
  readonly sentSince: number
}

const gainMs = (other: Elsewhere, waitMs: number, marginMs: number): number => waitMs - other.load.waitMs - other.extraMs - marginMs

const freeOf = ({ load, sentSince }: Elsewhere): number => load.free - sentSince

/**
 * The cell to go to, drawn by free places x gain among those that promise to be sooner by more than the margin; null: stay.
 * `waitMs` is the wait predicted here.
 */
export function spillTo(waitMs: number, others: readonly Elsewhere[], marginMs: number, random: Random): CellId | null {
  const better = others.filter((other) => freeOf(other) > 0 && gainMs(other, waitMs, marginMs) > 0)
  return drawWeighted(better, (other) => freeOf(other) * gainMs(other, waitMs, marginMs), random)?.load.cell ?? null
}
