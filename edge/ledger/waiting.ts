// Requests that find no place: elsewhere, or into the queue, or no. And how those in the queue get theirs.

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { LeaseId } from '../../shared/ids.ts'
import type { Ask, Denial, Granted, WaitAnswer } from '../../shared/wire/ledger.ts'
import { predictedWaitMs } from './cell-load.ts'
import { elsewhere } from './elsewhere.ts'
import { membersFor } from './members.ts'
import { explained, placeFor, type Decision, type Place } from './place.ts'
import { aheadOf, enqueue, entryFor, findWaiting, inOrder, leave, queueLength, waitsUntilMs } from './queue.ts'
import { classOf, newsFor, presentLoad, type Book, type Moment } from './state.ts'
import { isWithdrawn } from './withdrawal.ts'

/** What becomes of a request that has to wait for one of the place's candidates. */
export function withoutRoom(book: Book, asked: Ask, { candidates }: Place, moment: Moment): Decision {
  const { nowMs } = moment
  const waitMs = predictedWaitMs(candidates, aheadOf(book.queue, asked))
  const seen = explained(asked, candidates, null)
  // A second copy is no reason to make others wait.
  if (asked.purpose === 'hedge') return { denied: 'no_room', ...seen }
  const cell = elsewhere(book, asked, waitMs, moment)
  if (cell) return { spill: { cell }, ...seen }
  const retryAfterMs = Math.max(limits.retryAfterMsDefault, Math.min(limits.retryAfterMsMax, Math.ceil(waitMs)))
  if (nowMs + waitMs > waitsUntilMs(asked, nowMs)) return { denied: 'no_room', retryAfterMs, ...seen }
  const entry = entryFor(book.queue, asked)
  if (entry === 'refused') return { denied: 'no_room', retryAfterMs, ...seen }
  if (entry !== 'free') deny(book, entry.displaces, nowMs)
  enqueue(book.queue, asked, nowMs, waitMs)
  return { queued: { predictedMs: waitMs }, ...seen }
}

/** Calls `resolve` with the end of a queued request's wait: at once when it is decided already, or was never queued. The last to come waits. */
export function awaitGrant(book: Book, leaseId: LeaseId, resolve: (answer: WaitAnswer) => void, nowMs: number): void {
  const decided = book.decided.get(leaseId)
  book.waiters.get(leaseId)?.(waited(book, null, 'no_room', 0, nowMs))
  if (decided) {
    book.decided.delete(leaseId)
    resolve(decided.answer)
  } else if (findWaiting(book.queue, leaseId)) {
    book.waiters.set(leaseId, resolve)
  } else {
    resolve(waited(book, null, 'no_room', 0, nowMs))
  }
}

function waited(book: Book, lease: Granted | null, denied: Denial | null, waitedMs: number, nowMs: number): WaitAnswer {
  return {
    lease,
    denied,
    waitedMs,
    generation: book.snapshot?.generation ?? 0,
    snapshot: null,
    life: book.life,
    ...presentLoad(book, nowMs),
  }
}

/** Ends a queued request's wait without a lease; whether it was queued. */
export function deny(book: Book, leaseId: LeaseId, nowMs: number): boolean {
  const waiting = leave(book.queue, leaseId)
  if (waiting) tellWaiter(book, leaseId, waited(book, null, 'no_room', nowMs - waiting.sinceMs, nowMs), nowMs)
  return waiting !== null
}

/** Ends the waits of those whose version their alias no longer serves. They are told of the snapshot that says so. */
export function denyWithdrawn(book: Book, nowMs: number): void {
  for (const { ask: asked, sinceMs } of inOrder(book.queue)) {
    if (!isWithdrawn(book.aliases, asked)) continue
    leave(book.queue, asked.leaseId)
    const answer = { lease: null, denied: 'withdrawn' as const, waitedMs: nowMs - sinceMs, ...newsFor(book, asked, nowMs) }
    tellWaiter(book, asked.leaseId, answer, nowMs)
  }
}

function tellWaiter(book: Book, leaseId: LeaseId, answer: WaitAnswer, atMs: number): void {
  const resolve = book.waiters.get(leaseId)
  if (resolve) {
    book.waiters.delete(leaseId)
    resolve(answer)
  } else {
    book.decided.set(leaseId, { answer, atMs })
  }
}

/** Gives free places to those who wait, in order. Of each class that finds no place the rest is not asked again this time. */
export function pump(book: Book, nowMs: number, random: Random): void {
  const { snapshot } = book
  if (queueLength(book.queue) === 0 || !snapshot) return
  const full = new Set<string>()
  for (const waiting of inOrder(book.queue)) {
    const { ask: asked, sinceMs } = waiting
    if (!book.waiters.has(asked.leaseId) && nowMs - sinceMs > limits.queueClaimMs) {
      leave(book.queue, asked.leaseId)
      continue
    }
    // Who must avoid an endpoint may find no place where another finds one.
    const kind = `${classOf(asked.version, asked.operation ?? null)} ${asked.avoid.join(' ')}`
    if (full.has(kind)) continue
    const members = membersFor(book.members, asked)
    // It has waited here; it is neither sent on nor given credits now.
    const { decision } = placeFor(book, { ...asked, credits: 0, spilledFrom: book.cell }, members, { snapshot, nowMs, random })
    if (!decision) {
      full.add(kind)
      continue
    }
    leave(book.queue, asked.leaseId)
    tellWaiter(book, asked.leaseId, waited(book, decision.lease ?? null, decision.denied ?? null, nowMs - sinceMs, nowMs), nowMs)
  }
}

/** Until when a queued request waits at most; null when it does not. */
export const queuedUntilMs = (book: Book, leaseId: LeaseId): number | null => findWaiting(book.queue, leaseId)?.untilMs ?? null
