// What comes back to the ledger: charges of requests that did not ask, leases with what became of them, and what isolates have counted.

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { LeaseId, OriginName } from '../../shared/ids.ts'
import type { Charge, OutcomeKind, Report, Settled } from '../../shared/wire/ledger.ts'
import { countArrival, countOutcome, countRoundTrip, countTrial, countWay } from './blocks.ts'
import { isOut, observe, stateOf } from './breaker.ts'
import { noteHeld } from './cell-load.ts'
import { count as countAttempt } from './budget.ts'
import { deadlineWithin, findLease, grant, leaseCount, settle as takeBack, type Lease } from './leases.ts'
import type { Member } from './members.ts'
import { capacityOf, mayTakeOut } from './panic.ts'
import { remember } from './prefix-index.ts'
import { forgive, lastGoodAtMs, learn, learnClass, newClassTimes } from './speed.ts'
import { classOf, outHere, type Book } from './state.ts'
import { deny, pump } from './waiting.ts'

/** Ids remembered as settled: those of the ten seconds after which a report without an answer is told again, at what one object can do. */
const settledLatelyMax = 16_384
/** Classes of requests whose times are kept, the longest unused forgotten: a cell serves few versions at once, each with few operations. */
const classesMax = 64
/** An isolate of another release may know others: those count as nothing, as a cancelled one does. */
const outcomes: ReadonlySet<string> = new Set<OutcomeKind>(['good', 'soft_failure', 'hard_failure', 'cancelled'])

/** Takes in what an isolate has to tell. */
export function fold(book: Book, told: Report, nowMs: number, random: Random): void {
  // Charges first: a short request's charge and its end may come in one report.
  for (const charge of told.charges.slice(0, limits.settledMax)) chargeOne(book, charge, nowMs)
  for (const settled of told.settled.slice(0, limits.settledMax)) settleOne(book, settled, nowMs, random)
  for (const [origin, count] of Object.entries(told.arrivals ?? {})) countArrival(book.blocks, origin as OriginName, count)
  for (const { origin, ms } of told.roundTrips ?? []) countRoundTrip(book.blocks, origin, ms)
  for (const [way, count] of Object.entries(told.ways ?? {})) countWay(book.blocks, way, count)
  for (const tally of told.trials?.slice(0, limits.trialsHeldMax) ?? []) countTrial(book.blocks, tally, nowMs)
  if (told.settled.length > 0) pump(book, nowMs, random)
}

/** A request that is on its way already. One told again, or ended already, takes no second place. */
function chargeOne(book: Book, charge: Charge, nowMs: number): void {
  const { leaseId, endpoint, version, operation = null } = charge
  const deadlineMs = deadlineWithin(charge.deadlineMs, nowMs)
  if (book.settledLately.has(leaseId) || deadlineMs <= nowMs || !book.members.has(endpoint)) return
  const held = findLease(book.leases, leaseId)
  if (held && held.kind !== 'credit' && held.kind !== 'kept') return
  if (!held && leaseCount(book.leases) >= limits.leasesMax) return
  const trial = held?.trial ? { trial: true } : {}
  grant(book.leases, leaseId, { endpoint, deadlineMs, version, operation, kind: 'charged', sinceMs: held?.sinceMs ?? nowMs, ...trial })
  if (charge.why !== 'again') countAttempt(book.budget, 'first', nowMs)
  if (charge.affinity && charge.affinity.blocks.length > 0) remember(book.turns.prefixes, endpoint, charge.affinity.blocks)
}

function settleOne(book: Book, settled: Settled, nowMs: number, random: Random): void {
  const { leaseId, outcome } = settled
  // Before anything else: whatever may be said of it, its place is free.
  const lease = takeBack(book.leases, leaseId)
  if (book.settledLately.has(leaseId) || deny(book, leaseId, nowMs)) return
  book.decided.delete(leaseId)
  // Heard before by an earlier life, or of a server that its endpoint no longer stands for: its place is free, and that is all.
  if (settled.again || lease?.kind === 'moved') return rememberSettled(book, leaseId)
  const endpoint = lease?.endpoint ?? settled.endpoint
  const member = endpoint && book.members.get(endpoint)
  // A credit that nobody used says nothing of its endpoint.
  if (!member || !outcomes.has(outcome) || (lease?.kind === 'credit' && outcome === 'cancelled')) return
  rememberSettled(book, leaseId)
  countOutcome(book.blocks, member.endpoint.id, settled)
  learn(member.speed, settled, nowMs)
  if (lease && settled.tookMs !== undefined && settled.tookMs >= 0) noteHeld(book.offered, nowMs - lease.sinceMs, settled.tookMs)
  if (outcome === 'good' && settled.tookMs !== undefined && lease) learnTime(book, lease, settled.tookMs)
  const retryAfterMs = settled.retryAfterMs ?? null
  const wasOnTrial = stateOf(member.breaker, nowMs) === 'half_open'
  const sentAtMs = lease?.sinceMs ?? nowMs - (settled.tookMs ?? Number.POSITIVE_INFINITY)
  observe(member.breaker, outcome, { nowMs, random, sentAtMs, mayOpen: () => mayOpen(book, member, nowMs), retryAfterMs })
  // Its slow start guards against a mistake; recorded failures would keep it from ever being asked.
  if (wasOnTrial && stateOf(member.breaker, nowMs) === 'slow_start') forgive(member.speed)
}

function rememberSettled(book: Book, leaseId: LeaseId): void {
  book.settledLately.set(leaseId, true)
  if (book.settledLately.size <= settledLatelyMax) return
  const oldest = book.settledLately.keys().next().value
  if (oldest !== undefined) book.settledLately.delete(oldest)
}

function learnTime(book: Book, { version, operation }: Lease, tookMs: number): void {
  const name = classOf(version, operation)
  const times = book.classes.get(name) ?? newClassTimes()
  learnClass(times, tookMs)
  book.classes.delete(name)
  book.classes.set(name, times)
  const oldest = book.classes.size > classesMax ? book.classes.keys().next().value : undefined
  if (oldest !== undefined) book.classes.delete(oldest)
}

/** Whether the ceiling lets this endpoint's breaker open. */
function mayOpen(book: Book, member: Member, nowMs: number): boolean {
  const { snapshot } = book
  if (!snapshot) return false
  const { endpoint, breaker, speed } = member
  if (isOut(breaker, nowMs)) return true
  const of = { version: endpoint.version, cell: book.cell }
  const isOutHere = outHere(book, snapshot, nowMs)
  const capacity = capacityOf(snapshot, of, (id) => id !== endpoint.id && isOutHere(id))
  const windowMs = limits.breakerBuckets * limits.breakerBucketMs
  const lastGood = lastGoodAtMs(speed)
  return mayTakeOut(capacity, endpoint.slots, lastGood === null || nowMs - lastGood > windowMs)
}
