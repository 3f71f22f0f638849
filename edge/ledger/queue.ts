// Who waits for a place, and in which order: by priority, and within one as they came. Pure; bounded by length and by each one's time.

import { limits } from '../../shared/limits.ts'
import type { LeaseId } from '../../shared/ids.ts'
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

/** How many would be served before this one if it came now. Those of other versions wait for other endpoints. */
export function aheadOf(queue: Queue, asked: Pick<Ask, 'priority' | 'version'>): number {
  const served = priorities.slice(0, priorities.indexOf(priorityOf(asked)) + 1)
  let ahead = 0
  for (const priority of served) for (const { ask } of queue[priority].values()) if (ask.version === asked.version) ahead++
  return ahead
}

/** Puts an ask at the end of its priority. */
export function enqueue(queue: Queue, ask: Ask, nowMs: number, predictedMs = 0): Waiting {
  const priority = priorityOf(ask)
  // The lease's deadline lies behind the request's by the grace for its release.
  const untilMs = Math.min(ask.deadlineMs - limits.leaseGraceMs, nowMs + limits.queueMsMax[priority])
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

/** The newest of the lowest priority below this one: whom a more important request may displace in a full queue. */
export function displaced(queue: Queue, by: Priority): LeaseId | null {
  const lower = priorities.slice(priorities.indexOf(by) + 1).toReversed()
  for (const priority of lower) {
    const newest = [...queue[priority].keys()].at(-1)
    if (newest !== undefined) return newest
  }
  return null
}

/** Everybody in the order in which they are served. Whoever is served meanwhile may be taken out. */
export function* inOrder(queue: Queue): Generator<Waiting> {
  for (const priority of priorities) yield* queue[priority].values()
}
