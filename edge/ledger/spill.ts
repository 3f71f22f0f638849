// Whether a request that would wait here is sent on to another cell, and to which. Pure.
// The numbers of other cells are a second old, so the cell is drawn, not chosen: everybody's "best" would be flooded (docs/design/overview.md).

import { limits } from '../../shared/limits.ts'
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
  /** How much longer one more request makes its queue. */
  readonly perRequestMs: number
}

/** Its last known wait, and what those sent there since have added to it once its free places were taken. */
const waitMsOf = ({ load, sentSince, perRequestMs }: Elsewhere): number =>
  load.waitMs + Math.max(0, sentSince - Math.max(0, load.free)) * perRequestMs

const gainMs = (other: Elsewhere, waitMs: number, marginMs: number): number => waitMs - waitMsOf(other) - other.extraMs - marginMs

/** A full cell with a shorter queue is drawn too, but little: its queue is known less well than its free places. */
const placesOf = ({ load, sentSince }: Elsewhere): number => Math.max(load.free - sentSince, limits.spillFullShare * load.slots)

/**
 * The cell to go to, drawn by free places x gain among those that promise to be sooner by more than the margin; null: stay.
 * `waitMs` is the wait predicted here.
 */
export function spillTo(waitMs: number, others: readonly Elsewhere[], marginMs: number, random: Random): CellId | null {
  const better = others.filter((other) => gainMs(other, waitMs, marginMs) > 0)
  return drawWeighted(better, (other) => placesOf(other) * gainMs(other, waitMs, marginMs), random)?.load.cell ?? null
}
