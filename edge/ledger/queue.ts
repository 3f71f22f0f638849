// Who waits for a place, and in which order: by priority, and within one as they came. Pure; bounded by length and by each one's time.

import { limits } from '../../shared/limits.ts'
import type { LeaseId } from '../../shared/ids.ts'
import { priorities, type Ask, type Priority } from '../../shared/wire/ledger.ts'

export type Waiting = {
  readonly ask: Ask
  readonly sinceMs: number
  /** It gets no place after this time: its own deadline, or as long as its priority may wait. */
  readonly untilMs: number
}

/** One list per priority; a Map keeps the order of arrival and finds by id. */
export type Queue = Readonly<Record<Priority, Map<LeaseId, Waiting>>>

export const newQueue = (): Queue => ({ critical: new Map(), standard: new Map(), batch: new Map() })

export const priorityOf = (ask: Ask): Priority => ask.priority ?? 'standard'

export const queueLength = (queue: Queue): number => priorities.reduce((sum, priority) => sum + queue[priority].size, 0)

/** How many would be served before a new one of this priority. */
export function aheadOf(queue: Queue, priority: Priority): number {
  const served = priorities.slice(0, priorities.indexOf(priority) + 1)
  return served.reduce((sum, each) => sum + queue[each].size, 0)
}

/** Puts an ask at the end of its priority. */
export function enqueue(queue: Queue, ask: Ask, nowMs: number): Waiting {
  const priority = priorityOf(ask)
  // The lease's deadline lies behind the request's by the grace for its release.
  const untilMs = Math.min(ask.deadlineMs - limits.leaseGraceMs, nowMs + limits.queueMsMax[priority])
  const waiting = { ask, sinceMs: nowMs, untilMs }
  queue[priority].set(ask.leaseId, waiting)
  return waiting
}

export function leave(queue: Queue, id: LeaseId): Waiting | null {
  for (const priority of priorities) {
    const waiting = queue[priority].get(id)
    if (!waiting) continue
    queue[priority].delete(id)
    return waiting
  }
  return null
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
