// How full the cell is, in the numbers that isolates and other cells decide by. Pure.

import { blindWaitMs } from '../../shared/erlang.ts'
import { limits } from '../../shared/limits.ts'
import type { CellId, VersionId } from '../../shared/ids.ts'
import type { CellLoad } from '../../shared/wire/loads.ts'
import type { Candidate } from './pick.ts'

/** Requests in flight and waiting, averaged over about this long: what is offered to the cell, without the noise of the moment. */
const settleMs = 2_000

/** `heldMs` and `tookMs`: how long leases are held in the mean, and how long their requests took. */
export type Offered = { level: number; atMs: number; readonly newest: { count: number }; heldMs: number; tookMs: number }

export const newOffered = (nowMs: number): Offered => ({
  level: 0,
  atMs: nowMs,
  newest: { count: 0 },
  heldMs: 0,
  tookMs: 0,
})

/** Folds the time since the last call, during which `newest.count` held, into the mean; then `count` holds. A clock that stands still or steps back folds nothing. */
export function note(offered: Offered, count: number, nowMs: number): void {
  const passedMs = Math.max(0, nowMs - offered.atMs)
  offered.level += (offered.newest.count - offered.level) * (1 - Math.exp(-passedMs / settleMs))
  offered.atMs = nowMs
  offered.newest.count = count
}

/** A lease came back: it was held for its request, for the ways of question and report, and while the report waited to leave. */
export function noteHeld(offered: Offered, heldMs: number, tookMs: number): void {
  offered.heldMs += limits.speedSmoothing * (heldMs - offered.heldMs)
  offered.tookMs += limits.speedSmoothing * (Math.min(heldMs, tookMs) - offered.tookMs)
}

/** The part of its leases' time in which a request is really there. */
const busyShare = ({ heldMs, tookMs }: Offered): number => (heldMs > 0 ? tookMs / heldMs : 1)

export type CellView = {
  readonly cell: CellId
  readonly candidates: readonly Candidate[]
  readonly queued: ReadonlyMap<VersionId, number>
  readonly offered: Offered
  /** Mean service time in milliseconds of the whole cell. */
  readonly serviceMs: number
  readonly ttftMs: number | null
}

/** Requests per millisecond that those which may be used get through when full. */
export const departuresPerMs = (candidates: readonly Candidate[]): number =>
  candidates.reduce((sum, each) => (each.out || each.slots === 0 ? sum : sum + (each.rate / 1_000) * (each.cap / each.slots)), 0)

/**
 * Wait until a place is free for somebody with `ahead` before him, when all are taken: one departure for each, and one for himself. As long
 * as a request may last when no departure is in sight: an infinite wait could not be compared, nor be told in JSON.
 */
export function predictedWaitMs(candidates: readonly Candidate[], ahead: number): number {
  const perMs = departuresPerMs(candidates)
  return perMs > 0 ? Math.min(limits.deadlineMsMax, (ahead + 1) / perMs) : limits.deadlineMsMax
}

export function cellLoadOf({ cell, candidates, queued, offered, serviceMs, ttftMs }: CellView): CellLoad {
  const used = candidates.filter((each) => !each.out)
  const slots = capsOf(used)
  const rates = used.reduce((sum, each) => sum + each.rate, 0)
  // The smoothed level forgets a burst that has just come; the present one knows nothing of the noise. The fuller of the two is the safer.
  const load = busyShare(offered) * Math.max(offered.level, offered.newest.count)
  const blind = blindWaitMs(
    used.map((each) => ({ slots: each.cap, serviceMs, share: rates > 0 ? each.rate / rates : 0 })),
    load,
  )
  return { cell, slots, ...roomIn(used, queued), blindWaitMs: blind, ttftMs }
}

const capsOf = (candidates: readonly Candidate[]): number => candidates.reduce((sum, each) => sum + each.cap, 0)

/**
 * Free places and the wait for one. Versions share no places, so what waits for one takes nothing from another: where any has a place free
 * those count, and where none has, the version with the most places speaks for the cell.
 */
function roomIn(candidates: readonly Candidate[], queued: CellView['queued']): Pick<CellLoad, 'free' | 'waitMs'> {
  const parts = [...Map.groupBy(candidates, ({ version }) => version)].map(([version, among]) => ({
    among,
    ahead: queued.get(version) ?? 0,
    free: among.reduce((sum, each) => sum + Math.max(0, each.cap - each.inFlight), 0) - (queued.get(version) ?? 0),
  }))
  const free = parts.reduce((sum, part) => sum + Math.max(0, part.free), 0)
  if (free > 0) return { free, waitMs: 0 }
  const [most] = parts.toSorted((a, b) => capsOf(b.among) - capsOf(a.among))
  return { free: most?.free ?? 0, waitMs: predictedWaitMs(most?.among ?? [], most?.ahead ?? 0) }
}
