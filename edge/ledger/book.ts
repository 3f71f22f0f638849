// The ledger's book: everything a cell's ledger decides, as plain state (state.ts) and functions of it. Time, chance and the object's name
// come as arguments, so that the same book runs in the Durable Object, in tests and under simulation. It never waits and never calls.

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { EndpointId, LeaseId } from '../../shared/ids.ts'
import type { ModelLoads } from '../../shared/wire/loads.ts'
import type { Ask, AskAnswer, EndpointLoad, Exchange, ExchangeAnswer, Flush, News } from '../../shared/wire/ledger.ts'
import { close, confirm, unconfirmed } from './blocks.ts'
import { keep as keepBreaker, restore as restoreBreaker, tryOut, type KeptBreaker } from './breaker.ts'
import { deadlineWithin, expire, expireCredits, findLease, grant, settle as takeBack, type Lease } from './leases.ts'
import { isOutByCore, isWithheld, loadOf, membersFor } from './members.ts'
import { copyFor, placeFor, spend, type Decision } from './place.ts'
import { findWaiting, inOrder, queueLength } from './queue.ts'
import { fold } from './returns.ts'
import { serviceMs, startFrom } from './speed.ts'
import { isCoreGone, loadNow, newsFor, noteOffered, take, takeLoads, type Book } from './state.ts'
import { deny, denyWithdrawn, pump, withoutRoom } from './waiting.ts'
import { isWithdrawn } from './withdrawal.ts'

export { loadNow, newBook, take, takeLoads, type Book } from './state.ts'
export { awaitGrant, queuedUntilMs } from './waiting.ts'

/** A lease, a place in the queue, another cell, or why not. Asking again with the same lease's id gives the same answer and no second place. */
export function ask(book: Book, given: Ask, nowMs: number, random: Random): AskAnswer {
  // What came along is not kept with the question, which may wait.
  const { report: told, ...question } = given
  const asked = { ...question, deadlineMs: deadlineWithin(question.deadlineMs, nowMs) }
  if (told) fold(book, told, nowMs, random)
  sweep(book, nowMs, random)
  const decision = decide(book, asked, nowMs, random)
  noteOffered(book, nowMs)
  return { lease: null, denied: null, ...decision, ...newsFor(book, asked, nowMs) }
}

function decide(book: Book, asked: Ask, nowMs: number, random: Random): Decision {
  const { snapshot } = book
  if (!snapshot) return { denied: 'no_snapshot' }
  const held = findLease(book.leases, asked.leaseId)
  if (held) return { lease: { endpoint: held.endpoint } }
  const waiting = findWaiting(book.queue, asked.leaseId)
  if (waiting) return { queued: { predictedMs: waiting.predictedMs } }
  if (isWithdrawn(book.aliases, asked)) return { denied: 'withdrawn' }
  const members = membersFor(book.members, asked)
  if (members.length === 0) return { denied: 'no_endpoint' }
  if (asked.shadow) return copyFor(book, asked, members, { snapshot, nowMs, random })
  const refused = spend(book, asked, members, nowMs)
  if (refused) return { denied: refused }
  // A place may have come free with time alone: it belongs to who waits.
  pump(book, nowMs, random)
  const moment = { snapshot, nowMs, random }
  const place = placeFor(book, asked, members, moment)
  return place.decision ?? withoutRoom(book, asked, place, moment)
}

/** Takes in what an isolate has to tell. */
export function report(book: Book, flush: Flush, nowMs: number, random: Random): News {
  fold(book, flush.report, nowMs, random)
  sweep(book, nowMs, random)
  noteOffered(book, nowMs)
  return newsFor(book, flush, nowMs)
}

/**
 * Core's call: news down, the exact numbers up. Probes are the object's business, for they wait; so is making a snapshot of a delta, which
 * is then given beside it.
 */
export function exchange(book: Book, given: Exchange, nowMs: number, random: Random): Omit<ExchangeAnswer, 'probes'> {
  book.heardAtMs = nowMs
  if (given.snapshot) take(book, given.snapshot, given.delta ?? null)
  if (given.snapshot) denyWithdrawn(book, nowMs)
  if (given.loads) takeLoads(book, given.loads)
  sweep(book, nowMs, random)
  if (given.confirmed?.life === book.life) confirm(book.blocks, given.confirmed.seq)
  close(book.blocks, nowMs)
  noteOffered(book, nowMs)
  return {
    generation: book.snapshot?.generation ?? 0,
    life: book.life,
    endpoints: endpointLoads(book, nowMs),
    blocks: unconfirmed(book.blocks),
    queued: queueLength(book.queue),
    load: given.cell === null ? null : loadNow(book, nowMs),
  }
}

/**
 * Ends what is over: leases at their deadlines, waits past theirs, grants nobody came for. At most once a second unless `now` says so, or
 * the clock was put back; but unused credits at once, for they last no longer than half of that.
 */
export function sweep(book: Book, nowMs: number, random: Random, now = false): void {
  const freed = expireCredits(book.leases, nowMs)
  if (!now && Math.abs(nowMs - book.sweptAtMs) < limits.turnMs) {
    if (freed > 0) pump(book, nowMs, random)
    return
  }
  book.sweptAtMs = nowMs
  expire(book.leases, nowMs)
  if (isCoreGone(book, nowMs)) tryThoseOut(book, nowMs, random)
  for (const { ask: asked, untilMs } of inOrder(book.queue)) if (untilMs <= nowMs) deny(book, asked.leaseId, nowMs)
  for (const [leaseId, { answer, atMs }] of book.decided) {
    if (nowMs - atMs <= limits.queueClaimMs) continue
    book.decided.delete(leaseId)
    if (answer.lease) takeBack(book.leases, leaseId)
  }
  pump(book, nowMs, random)
}

/** What core took out before it went comes back through its breaker: on trial, one request at a time. */
function tryThoseOut({ members, snapshot }: Book, nowMs: number, random: Random): void {
  for (const member of members.values()) {
    if (snapshot && !isWithheld(member) && isOutByCore(member, snapshot, nowMs)) tryOut(member.breaker, nowMs, random)
  }
}

function endpointLoads({ members, leases, snapshot }: Book, nowMs: number): Record<EndpointId, EndpointLoad> {
  if (!snapshot) return {}
  return Object.fromEntries([...members].map(([id, member]) => [id, loadOf(member, { snapshot, leases }, nowMs)]))
}

// ---- What a restart needs ----

export type Kept = {
  readonly leases: readonly (readonly [LeaseId, Lease])[]
  readonly breakers: readonly (readonly [EndpointId, KeptBreaker])[]
  /** Mean service times in milliseconds of the endpoints that have one. Earlier releases kept none. */
  readonly services?: readonly (readonly [EndpointId, number])[]
  /** The last loads: without core nobody else brings any. */
  readonly loads?: ModelLoads | null
  /** Addresses of the endpoints that all this is about. Earlier releases kept none, and are believed. */
  readonly urls?: readonly (readonly [EndpointId, string])[]
}

/**
 * What ended between the last keeping and the restart is among the kept leases. Isolates tell those ends again, but one may be gone, or not
 * ask here again. So kept leases are believed for this many of their endpoint's mean service times, after which one in twenty still runs;
 * whoever holds one tells it again before that.
 */
const believedServices = 3

/** Plain data for the object's storage. The queue is not in it: whoever waited sees the call fail and asks again. */
export const keep = (book: Book): Kept => ({
  loads: book.loads,
  leases: [...book.leases.byId].filter(([, lease]) => lease.kind !== 'credit'),
  breakers: [...book.members].map(([id, { breaker }]) => [id, keepBreaker(breaker)] as const),
  services: [...book.members].flatMap(([id, { speed }]) => {
    const ms = serviceMs(speed)
    return ms === null ? [] : [[id, ms] as const]
  }),
  urls: [...book.members].map(([id, { endpoint }]) => [id, endpoint.url] as const),
})

/**
 * Takes over what an earlier life kept; leases that have ended meanwhile are left out, and of an endpoint whose address has changed since
 * nothing is learnt. Called after `take`.
 */
export function restore(book: Book, kept: Kept, nowMs: number): void {
  if (kept.loads) takeLoads(book, kept.loads)
  const urls = new Map(kept.urls)
  const hasMoved = (id: EndpointId): boolean => {
    const url = book.members.get(id)?.endpoint.url
    return url !== undefined && urls.has(id) && urls.get(id) !== url
  }
  const services = new Map(kept.services)
  for (const [id, lease] of kept.leases) {
    const believedMs = believedServices * (services.get(lease.endpoint) ?? Number.POSITIVE_INFINITY)
    const deadlineMs = Math.min(deadlineWithin(lease.deadlineMs, nowMs), nowMs + believedMs)
    const kind = lease.kind === 'moved' || hasMoved(lease.endpoint) ? 'moved' : 'kept'
    if (deadlineMs > nowMs) grant(book.leases, id, { ...lease, deadlineMs, kind })
  }
  for (const [id, breaker] of kept.breakers) {
    const member = book.members.get(id)
    if (member && !hasMoved(id)) book.members.set(id, { ...member, breaker: restoreBreaker(breaker, nowMs) })
  }
  for (const [id, ms] of services) {
    const speed = book.members.get(id)?.speed
    if (speed && !hasMoved(id)) startFrom(speed, ms)
  }
  noteOffered(book, nowMs)
}
