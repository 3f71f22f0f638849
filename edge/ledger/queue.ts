// Who waits for a place, and in which order: by priority, and within one as they came. Pure; bounded by length and by each one's time.
// Versions share nothing but the queue's length, so none may take more than half of it while another waits: a stuck canary must not fill it.

import { limits } from '../../shared/limits.ts'
import type { LeaseId, VersionId } from '../../shared/ids.ts'
import { priorities, type Ask, type Priority } from '../../shared/wire/ledger.ts'

export type Waiting = {
  readonly ask: Ask
  readonly sinceMs: number
  /** What it was told when it came. */
  readonly predictedMs: number
  /** It gets no place after this time: its own deadline, or as long as its priority may wait. */
  readonly untilMs: number
}

/** One list per priority; a Map keeps the order of arrival and finds by id. */
export type Queue = Readonly<Record<Priority, Map<LeaseId, Waiting>>>

export const newQueue = (): Queue => ({ critical: new Map(), standard: new Map(), batch: new Map() })

/** Standard where none is named, or one that only another release knows. */
export const priorityOf = (ask: Pick<Ask, 'priority'>): Priority => priorities.find((each) => each === ask.priority) ?? 'standard'

export const queueLength = (queue: Queue): number => priorities.reduce((sum, priority) => sum + queue[priority].size, 0)

/** How many wait for each version. */
export function queuedByVersion(queue: Queue): ReadonlyMap<VersionId, number> {
  const counts = new Map<VersionId, number>()
  for (const priority of priorities)
    for (const { ask } of queue[priority].values()) counts.set(ask.version, (counts.get(ask.version) ?? 0) + 1)
  return counts
}

/** How many would be served before this one if it came now. Those of other versions wait for other endpoints. */
export function aheadOf(queue: Queue, asked: Pick<Ask, 'priority' | 'version'>): number {
  const served = priorities.slice(0, priorities.indexOf(priorityOf(asked)) + 1)
  let ahead = 0
  for (const priority of served) for (const { ask } of queue[priority].values()) if (ask.version === asked.version) ahead++
  return ahead
}

/** How long a request that begins to wait now may. The lease's deadline lies behind the request's by the grace for its release. */
export const waitsUntilMs = (ask: Ask, nowMs: number): number =>
  Math.min(ask.deadlineMs - limits.leaseGraceMs, nowMs + limits.queueMsMax[priorityOf(ask)])

/** Puts an ask at the end of its priority. */
export function enqueue(queue: Queue, ask: Ask, nowMs: number, predictedMs = 0): Waiting {
  const priority = priorityOf(ask)
  const untilMs = waitsUntilMs(ask, nowMs)
  const waiting = { ask, sinceMs: nowMs, predictedMs, untilMs }
  queue[priority].set(ask.leaseId, waiting)
  return waiting
}

/** The place of a queued request; null when it has none. */
export function findWaiting(queue: Queue, id: LeaseId): Waiting | null {
  for (const priority of priorities) {
    const waiting = queue[priority].get(id)
    if (waiting) return waiting
  }
  return null
}

export function leave(queue: Queue, id: LeaseId): Waiting | null {
  const waiting = findWaiting(queue, id)
  if (waiting) queue[priorityOf(waiting.ask)].delete(id)
  return waiting
}

/** How a request comes into the queue: into a free place, into that of another, who must go, or not at all. */
export type Entry = 'free' | 'refused' | { readonly displaces: LeaseId }

const shareMax = limits.queueMax / 2

/** A full queue gives the place of one of a version that has more than its half, else of a less important one; likewise a full half. */
export function entryFor(queue: Queue, asked: Pick<Ask, 'priority' | 'version'>): Entry {
  const all = queueLength(queue)
  const counts = queuedByVersion(queue)
  const own = counts.get(asked.version) ?? 0
  const hasItsHalf = own >= shareMax && own < all
  if (all < limits.queueMax && !hasItsHalf) return 'free'
  const priority = priorityOf(asked)
  if (hasItsHalf) return displacing(newest(queue, lowerThan(priority), asked.version))
  const crowding = [...counts].find(([version, count]) => version !== asked.version && count > shareMax)?.[0]
  return displacing(crowding === undefined ? newest(queue, lowerThan(priority)) : newest(queue, priorities.toReversed(), crowding))
}

const displacing = (displaces: LeaseId | null): Entry => (displaces === null ? 'refused' : { displaces })

/** The priorities below this one, the lowest first. */
const lowerThan = (priority: Priority): readonly Priority[] => priorities.slice(priorities.indexOf(priority) + 1).toReversed()

/** The last that came of the first of these priorities that has any, of one version or of all. */
function newest(queue: Queue, among: readonly Priority[], version?: VersionId): LeaseId | null {
  for (const priority of among) {
    const found = [...queue[priority].values()].findLast(({ ask }) => version === undefined || ask.version === version)
    if (found) return found.ask.leaseId
  }
  return null
}

/** Everybody in the order in which they are served. Whoever is served meanwhile may be taken out. */
export function* inOrder(queue: Queue): Generator<Waiting> {
  for (const priority of priorities) yield* queue[priority].values()
}
