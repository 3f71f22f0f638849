// The ledger's book: everything a cell's ledger knows and decides, as plain state and functions of it. Time, chance and the object's name
// come as arguments, so that the same book runs in the Durable Object, in tests and under simulation. It never waits and never calls.

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { CellId, EndpointId, LeaseId, OriginName, VersionId } from '../../shared/ids.ts'
import type { Operation } from '../../shared/operations.ts'
import { freshLoads, type CellLoad, type ModelLoads } from '../../shared/wire/loads.ts'
import type {
  Ask,
  AskAnswer,
  Charge,
  Credit,
  Denial,
  EndpointLoad,
  Flush,
  Granted,
  News,
  Report,
  Settled,
  WaitAnswer,
} from '../../shared/wire/ledger.ts'
import { mayServe, sharesOf, type Model, type Snapshot } from '../../shared/wire/snapshot.ts'
import { servedAs } from '../../shared/operations.ts'
import { countArrival, countOutcome, countRoundTrip, countWay, newBlocks, type Blocks } from './blocks.ts'
import { isOut, keep as keepBreaker, observe, restore as restoreBreaker, type KeptBreaker } from './breaker.ts'
import { count as countAttempt, mayHedge, mayRetry, newBudget, type Budget } from './budget.ts'
import { cellLoadOf, newOffered, note, predictedWaitMs, type Offered } from './cell-load.ts'
import { expire, findLease, grant, inFlight, leaseCount, noLeases, settle as takeBack, type Lease, type Leases } from './leases.ts'
import {
  candidatesOf,
  canServe,
  isOutNow,
  isWithheld,
  loadOf,
  meanServiceMs,
  renew,
  type Member,
  type Members,
} from './members.ts'
import { capacityOf, isPanic, mayTakeOut } from './panic.ts'
import { considered, pick, type Candidate, type Picked, type Rule, type Turns } from './pick.ts'
import { matchedBlocks, newPrefixIndex, remember } from './prefix-index.ts'
import { aheadOf, displaced, enqueue, inOrder, leave, newQueue, priorityOf, queueLength, type Queue } from './queue.ts'
import { newSmooth } from './smooth.ts'
import { lastGoodAtMs, learn, learnClass, newClassTimes, p95Ms, ttftMs, type ClassTimes } from './speed.ts'
import { spillTo, type Elsewhere } from './spill.ts'

export type Book = {
  readonly cell: CellId
  /** Names this life of the object; another after each restart. */
  readonly life: string
  snapshot: Snapshot | null
  loads: ModelLoads | null
  readonly members: Members
  readonly leases: Leases
  readonly queue: Queue
  /** Whoever waits for a queued request's end. */
  readonly waiters: Map<LeaseId, (answer: WaitAnswer) => void>
  /** Queued requests decided before anybody came to wait for them. */
  readonly decided: Map<LeaseId, { readonly answer: WaitAnswer; readonly atMs: number }>
  readonly budget: Budget
  readonly blocks: Blocks
  /** Times of each class of requests, for hedging; a class is a version and an operation. */
  readonly classes: Map<string, ClassTimes>
  readonly turns: Turns
  /** Settled of late, so that a report told twice counts once. */
  readonly settledLately: Map<LeaseId, true>
  /** Requests sent on to other cells since their numbers were last heard. */
  readonly sentOn: Map<CellId, number>
  readonly offered: Offered
  sweptAtMs: number
}

/** Ids remembered as settled: several times what one report carries. */
const settledLatelyMax = 8_192
/** Classes of requests whose times are kept: a cell serves few versions, each with few operations. */
const classesMax = 64

export const newBook = (cell: CellId, life: string, nowMs: number): Book => ({
  cell,
  life,
  snapshot: null,
  loads: null,
  members: new Map(),
  leases: noLeases(),
  queue: newQueue(),
  waiters: new Map(),
  decided: new Map(),
  budget: newBudget(),
  blocks: newBlocks(nowMs),
  classes: new Map(),
  turns: { smooth: newSmooth(), prefixes: newPrefixIndex() },
  settledLately: new Map(),
  sentOn: new Map(),
  offered: newOffered(nowMs),
  sweptAtMs: nowMs,
})

// ---- News from core ----

/** Takes over a snapshot, unless it is older than the one at hand. */
export function take(book: Book, snapshot: Snapshot): void {
  if (snapshot.generation <= (book.snapshot?.generation ?? 0)) return
  book.snapshot = snapshot
  renew(
    book.members,
    snapshot.endpoints.filter(({ cell }) => cell === book.cell),
  )
}

export function takeLoads(book: Book, loads: ModelLoads): void {
  if (book.loads && (loads.seq < book.loads.seq || loads.atMs < book.loads.atMs)) return
  book.loads = loads
  book.sentOn.clear()
}

// ---- Asking ----

/** A lease, a place in the queue, another cell, or why not. Asking again with the same lease's id gives the same answer and no second place. */
export function ask(book: Book, asked: Ask, nowMs: number, random: Random): AskAnswer {
  if (asked.report) fold(book, asked.report, nowMs, random)
  sweep(book, nowMs, random)
  const decision = decide(book, asked, nowMs, random)
  noteOffered(book, nowMs)
  return { lease: null, denied: null, ...decision, ...newsFor(book, asked, nowMs) }
}

type Decision = Partial<Omit<AskAnswer, keyof News>>

function decide(book: Book, asked: Ask, nowMs: number, random: Random): Decision {
  const { snapshot } = book
  if (!snapshot) return { denied: 'no_snapshot' }
  const held = findLease(book.leases, asked.leaseId)
  if (held) return { lease: { endpoint: held.endpoint } }
  const members = [...book.members.values()].filter((member) => canServe(member, asked))
  if (members.length === 0) return { denied: 'no_endpoint' }
  const refused = spend(book, asked, members, nowMs)
  if (refused) return { denied: refused }
  const wait = placeFor(book, asked, members, nowMs, random)
  return wait.decision ?? withoutRoom(book, asked, wait, { snapshot, nowMs, random })
}

/** Counts the attempt; second attempts only within the budget. */
function spend(book: Book, asked: Ask, members: readonly Member[], nowMs: number): Denial | null {
  const purpose = asked.purpose ?? 'first'
  if (purpose === 'retry' && !mayRetry(book.budget, nowMs)) return 'retry_budget'
  if (purpose === 'hedge' && !mayHedge(book.budget, nowMs, useOf(book, members))) return 'hedge_budget'
  countAttempt(book.budget, purpose, nowMs)
  if (purpose === 'first' && !asked.spilledFrom && asked.origin !== undefined) countArrival(book.blocks, asked.origin, 1)
  return null
}

function useOf(book: Book, members: readonly Member[]): number {
  const slots = members.reduce((sum, { endpoint }) => sum + endpoint.slots, 0)
  const taken = members.reduce((sum, { endpoint }) => sum + inFlight(book.leases, endpoint.id), 0)
  return slots > 0 ? taken / slots : 1
}

/** What there is for a request at this moment: a decision, or else the candidates it would have to wait for. */
type Place = { readonly candidates: readonly Candidate[]; readonly decision: Decision | null; readonly rule: Rule }

function placeFor(book: Book, asked: Ask, members: readonly Member[], nowMs: number, random: Random): Place {
  const { snapshot } = book
  if (!snapshot) throw new Error('book: asked for a place without a snapshot')
  const model = modelOf(book)
  const affinity = asked.affinity ?? null
  const choices = members.filter((member) => !isWithheld(member))
  const candidates = candidatesOf(choices, { snapshot, leases: book.leases, promptTokensOf: tokensOf(book, asked) }, nowMs)
  const panic = candidates.some((each) => each.out) && inPanic(book, snapshot, asked.version, nowMs)
  const rule: Rule = { strategy: model?.strategy ?? 'least-latency', affinity, panic }
  const open = candidates.filter(({ id }) => !asked.avoid.includes(id))
  const usable = open.filter((each) => !each.out || panic)
  if (usable.length === 0) {
    const seen = asked.explain ? { considered: considered(candidates, null, asked.avoid) } : {}
    return { candidates: usable, rule, decision: { denied: 'no_healthy_endpoint', ...seen } }
  }
  if (leaseCount(book.leases) >= limits.leasesMax) return { candidates: usable, rule, decision: { denied: 'no_room' } }
  const picked = pick(open, rule, book.turns, random)
  const explained = asked.explain ? { considered: considered(candidates, picked?.id ?? null, asked.avoid) } : {}
  if (!picked) return { candidates: usable, rule, decision: null }
  const elsewhere = affinity && stickySpill(book, asked, open, picked, { snapshot, nowMs, random })
  if (elsewhere) return { candidates: usable, rule, decision: { spill: { cell: elsewhere }, ...explained } }
  const lease = give(book, asked, picked, nowMs)
  const credits = aheadFor(book, asked, rule, nowMs, random)
  return { candidates: usable, rule, decision: { lease, ...(credits.length > 0 ? { credits } : {}), ...explained } }
}

const inPanic = (book: Book, snapshot: Snapshot, version: VersionId, nowMs: number): boolean =>
  isPanic(capacityOf(snapshot, { version, cell: book.cell }, outHere(book, snapshot, nowMs)))

const modelOf = (book: Book): Model | null => {
  const name = book.members.values().next().value?.endpoint.model
  return book.snapshot?.models.find((model) => model.name === name) ?? null
}

const outHere = (book: Book, snapshot: Snapshot, nowMs: number) => (id: EndpointId) => {
  const member = book.members.get(id)
  return member === undefined || isOutNow(member, snapshot, nowMs)
}

/** Tokens of the prompt that an endpoint has not seen, by its blocks; null where the blocks tell nothing. */
const tokensOf = (book: Book, asked: Ask) => (endpoint: EndpointId) => {
  const blocks = asked.affinity?.blocks ?? []
  return blocks.length === 0 ? null : (blocks.length - matchedBlocks(book.turns.prefixes, endpoint, blocks)) * limits.prefixBlockTokens
}

function give(book: Book, asked: Ask, picked: Picked, nowMs: number): Granted {
  const { version, operation = null } = asked
  grant(book.leases, asked.leaseId, { endpoint: picked.id, deadlineMs: asked.deadlineMs, version, operation, kind: 'granted' })
  if (asked.affinity && asked.affinity.blocks.length > 0) remember(book.turns.prefixes, picked.id, asked.affinity.blocks)
  const hedgeAfterMs = asked.purpose === 'hedge' ? null : hedgeAfter(book, asked, nowMs)
  return { endpoint: picked.id, affinity: picked.affinity, hedgeAfterMs }
}

const classOf = (version: VersionId, operation: Operation | null): string => `${version} ${operation ?? ''}`

/** When a second copy would be worth it: after the 95th percentile of its class, where the model allows it and calls are short. */
function hedgeAfter(book: Book, asked: Ask, nowMs: number): number | null {
  if (!modelOf(book)?.hedging) return null
  const times = book.classes.get(classOf(asked.version, asked.operation ?? null))
  const ms = times ? p95Ms(times) : null
  const members = [...book.members.values()]
  if (ms === null || ms > limits.hedgeTookMsMax || !mayHedge(book.budget, nowMs, useOf(book, members))) return null
  return ms
}

/** Leases ahead, out of what is free and nobody waits for. */
function aheadFor(book: Book, asked: Ask, rule: Rule, nowMs: number, random: Random): readonly Credit[] {
  const wanted = Math.min(asked.credits ?? 0, limits.creditsMax)
  if (wanted <= 0 || asked.affinity || queueLength(book.queue) > 0) return []
  const members = [...book.members.values()].filter((member) => canServe(member, asked) && !isWithheld(member))
  const view = { snapshot: book.snapshot, leases: book.leases, promptTokensOf: () => null }
  const credits: Credit[] = []
  for (let number = 0; number < wanted; number++) {
    if (!view.snapshot) return credits
    // Those on trial take one request at a time, and a credit may never become one.
    const candidates = candidatesOf(members, { ...view, snapshot: view.snapshot }, nowMs).filter((each) => !each.onTrial && !each.out)
    const free = candidates.reduce((sum, each) => sum + Math.max(0, each.cap - each.inFlight), 0)
    if (free * limits.creditFreeShare < number + 1) return credits
    const picked = pick(candidates, { ...rule, affinity: null, panic: false }, book.turns, random)
    if (!picked) return credits
    const leaseId = `${asked.leaseId}+${number}` as LeaseId
    const expiresAtMs = nowMs + limits.creditMs
    const { version, operation = null } = asked
    grant(book.leases, leaseId, { endpoint: picked.id, deadlineMs: expiresAtMs, version, operation, kind: 'credit' })
    credits.push({ leaseId, endpoint: picked.id, expiresAtMs })
  }
  return credits
}

// ---- Without room: elsewhere, or wait, or no ----

type Moment = { readonly snapshot: Snapshot; readonly nowMs: number; readonly random: Random }

function withoutRoom(book: Book, asked: Ask, { candidates }: Place, { snapshot, nowMs, random }: Moment): Decision {
  const priority = priorityOf(asked)
  const waitMs = predictedWaitMs(candidates, aheadOf(book.queue, priority))
  const seen = asked.explain ? { considered: considered(candidates, null, asked.avoid) } : {}
  // A second copy is no reason to make others wait.
  if (asked.purpose === 'hedge') return { denied: 'no_room', ...seen }
  const margin = asked.affinity ? limits.affinityMarginMs : limits.spillMarginMs
  const cell = spillTo(waitMs, elsewhereFor(book, asked, snapshot, nowMs), margin, random)
  if (cell) return { spill: { cell: sentTo(book, cell) }, ...seen }
  const retryAfterMs = Math.max(limits.retryAfterMsDefault, Math.min(limits.retryAfterMsMax, Math.ceil(waitMs)))
  const untilMs = Math.min(asked.deadlineMs - limits.leaseGraceMs, nowMs + limits.queueMsMax[priority])
  if (nowMs + waitMs > untilMs) return { denied: 'no_room', retryAfterMs, ...seen }
  if (queueLength(book.queue) >= limits.queueMax) {
    const displacedId = displaced(book.queue, priority)
    if (displacedId === null) return { denied: 'no_room', retryAfterMs, ...seen }
    deny(book, displacedId, nowMs)
  }
  enqueue(book.queue, asked, nowMs)
  return { queued: { predictedMs: waitMs }, ...seen }
}

/** Cells that could serve it, by numbers that are fresh: without core nobody is sent anywhere on the word of an old page. */
function elsewhereFor(book: Book, asked: Ask, snapshot: Snapshot, nowMs: number): readonly Elsewhere[] {
  const loads = freshLoads(book.loads, nowMs, limits.loadsFreshMs)
  if (!loads || asked.spilledFrom || asked.origin === undefined) return []
  const trips = roundTripsOf(loads, snapshot, asked.origin)
  const own = trips.get(book.cell) ?? 0
  const able = ableCells(snapshot, asked)
  return loads.cells
    .filter((load) => load.cell !== book.cell && able.has(load.cell))
    .flatMap((load) => {
      const roundTripMs = trips.get(load.cell)
      return roundTripMs === undefined ? [] : [{ load, extraMs: roundTripMs - own, sentSince: book.sentOn.get(load.cell) ?? 0 }]
    })
}

function roundTripsOf(loads: ModelLoads, snapshot: Snapshot, origin: OriginName): ReadonlyMap<CellId, number> {
  const shares = loads.rows[origin] ?? sharesOf(snapshot, loads.model, origin)
  return new Map(shares.map((share) => [share.cell, share.roundTripMs]))
}

/** Cells with an endpoint that may serve it, inside the jurisdiction that the request must not leave. */
function ableCells(snapshot: Snapshot, { version, operation, residency, avoid }: Ask): ReadonlySet<CellId> {
  const abroad = new Set(residency ? snapshot.regions.filter((region) => region.jurisdiction !== residency).map(({ name }) => name) : [])
  const able = snapshot.endpoints.filter(
    (endpoint) =>
      endpoint.version === version &&
      mayServe(endpoint) &&
      !abroad.has(endpoint.region) &&
      !avoid.includes(endpoint.id) &&
      (operation === undefined || servedAs(endpoint.operations, operation) !== null),
  )
  return new Set(able.map(({ cell }) => cell))
}

/** A session leaves a cell that has room only for one that is sooner by far, its measured time to the first token counted. */
function stickySpill(book: Book, asked: Ask, open: readonly Candidate[], picked: Picked, { snapshot, nowMs, random }: Moment) {
  const mine = open.find(({ id }) => id === picked.id)?.prefillMs ?? 0
  const others = elsewhereFor(book, asked, snapshot, nowMs)
    .filter(({ load }) => load.ttftMs !== null)
    .map((other) => ({ ...other, extraMs: other.extraMs + (other.load.ttftMs ?? 0) }))
  const cell = spillTo(mine, others, limits.affinityMarginMs, random)
  return cell && sentTo(book, cell)
}

function sentTo(book: Book, cell: CellId): CellId {
  book.sentOn.set(cell, (book.sentOn.get(cell) ?? 0) + 1)
  return cell
}

// ---- Waiting ----

/** Calls `resolve` with the end of a queued request's wait: at once when it is decided already, or was never queued. */
export function awaitGrant(book: Book, leaseId: LeaseId, resolve: (answer: WaitAnswer) => void, nowMs: number): void {
  const decided = book.decided.get(leaseId)
  if (decided) {
    book.decided.delete(leaseId)
    resolve(decided.answer)
  } else if (isQueued(book, leaseId)) {
    book.waiters.set(leaseId, resolve)
  } else {
    resolve(waited(book, null, 'no_room', 0, nowMs))
  }
}

const isQueued = (book: Book, leaseId: LeaseId): boolean => queuedUntilMs(book, leaseId) !== null

function waited(book: Book, lease: Granted | null, denied: Denial | null, waitedMs: number, nowMs: number): WaitAnswer {
  return { lease, denied, waitedMs, generation: book.snapshot?.generation ?? 0, snapshot: null, life: book.life, ...presentLoad(book, nowMs) }
}

function deny(book: Book, leaseId: LeaseId, nowMs: number): void {
  const waiting = leave(book.queue, leaseId)
  if (waiting) tellWaiter(book, leaseId, waited(book, null, 'no_room', nowMs - waiting.sinceMs, nowMs), nowMs)
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
function pump(book: Book, nowMs: number, random: Random): void {
  if (queueLength(book.queue) === 0 || !book.snapshot) return
  const full = new Set<string>()
  for (const waiting of inOrder(book.queue)) {
    const { ask: asked, sinceMs } = waiting
    // Who must avoid an endpoint may find no place where another finds one.
    const kind = `${classOf(asked.version, asked.operation ?? null)} ${asked.avoid.join(' ')}`
    if (full.has(kind)) continue
    if (!book.waiters.has(asked.leaseId) && nowMs - sinceMs > limits.queueClaimMs) {
      leave(book.queue, asked.leaseId)
      continue
    }
    const members = [...book.members.values()].filter((member) => canServe(member, asked))
    // It has waited here; it is neither sent on nor given credits now.
    const { decision } = placeFor(book, { ...asked, credits: 0, spilledFrom: book.cell }, members, nowMs, random)
    if (!decision) {
      full.add(kind)
      continue
    }
    leave(book.queue, asked.leaseId)
    tellWaiter(book, asked.leaseId, waited(book, decision.lease ?? null, decision.denied ?? null, nowMs - sinceMs, nowMs), nowMs)
  }
}

/** Until when a queued request waits at most; null when it does not. */
export function queuedUntilMs(book: Book, leaseId: LeaseId): number | null {
  for (const each of Object.values(book.queue)) {
    const waiting = each.get(leaseId)
    if (waiting) return waiting.untilMs
  }
  return null
}

// ---- What comes back ----

/** Takes in what an isolate has to tell. */
export function report(book: Book, flush: Flush, nowMs: number, random: Random): News {
  fold(book, flush.report, nowMs, random)
  sweep(book, nowMs, random)
  noteOffered(book, nowMs)
  return newsFor(book, flush, nowMs)
}

function fold(book: Book, told: Report, nowMs: number, random: Random): void {
  // Charges first: a short request's charge and its end may come in one report.
  for (const charge of told.charges.slice(0, limits.settledMax)) chargeOne(book, charge, nowMs)
  for (const settled of told.settled.slice(0, limits.settledMax)) settleOne(book, settled, nowMs, random)
  for (const [origin, count] of Object.entries(told.arrivals ?? {})) countArrival(book.blocks, origin as OriginName, count)
  for (const { origin, ms } of told.roundTrips ?? []) countRoundTrip(book.blocks, origin, ms)
  for (const [way, count] of Object.entries(told.ways ?? {})) countWay(book.blocks, way, count)
  if (told.settled.length > 0) pump(book, nowMs, random)
}

/** A request that is on its way already. One told again, or ended already, takes no second place. */
function chargeOne(book: Book, charge: Charge, nowMs: number): void {
  const { leaseId, endpoint, deadlineMs, version, operation = null } = charge
  if (book.settledLately.has(leaseId) || deadlineMs <= nowMs || !book.members.has(endpoint)) return
  const held = findLease(book.leases, leaseId)
  if (held && held.kind !== 'credit') return
  if (!held && leaseCount(book.leases) >= limits.leasesMax) return
  grant(book.leases, leaseId, { endpoint, deadlineMs, version, operation, kind: 'charged' })
  if (charge.why !== 'again') countAttempt(book.budget, 'first', nowMs)
  if (charge.affinity && charge.affinity.blocks.length > 0) remember(book.turns.prefixes, endpoint, charge.affinity.blocks)
}

function settleOne(book: Book, settled: Settled, nowMs: number, random: Random): void {
  const { leaseId, outcome } = settled
  if (book.settledLately.has(leaseId)) return
  if (leave(book.queue, leaseId)) {
    book.waiters.delete(leaseId)
    return
  }
  book.decided.delete(leaseId)
  const lease = takeBack(book.leases, leaseId)
  const endpoint = lease?.endpoint ?? settled.endpoint
  const member = endpoint && book.members.get(endpoint)
  // A credit that nobody used says nothing of its endpoint.
  if (!member || (lease?.kind === 'credit' && outcome === 'cancelled')) return
  rememberSettled(book, leaseId)
  countOutcome(book.blocks, member.endpoint.id, settled)
  learn(member.speed, settled, nowMs)
  if (outcome === 'good' && settled.tookMs !== undefined && lease) learnTime(book, lease, settled.tookMs)
  const retryAfterMs = settled.retryAfterMs ?? null
  observe(member.breaker, outcome, { nowMs, random, mayOpen: mayOpen(book, member, nowMs), retryAfterMs })
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
  if (!book.classes.has(name) && book.classes.size >= classesMax) return
  book.classes.set(name, times)
  learnClass(times, tookMs)
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

// ---- Time ----

/** Ends what is over: leases at their deadlines, waits past theirs, grants nobody came for. At most once a second unless `now` says so. */
export function sweep(book: Book, nowMs: number, random: Random, now = false): void {
  if (!now && nowMs - book.sweptAtMs < limits.turnMs) return
  book.sweptAtMs = nowMs
  expire(book.leases, nowMs)
  for (const { ask: asked, untilMs } of inOrder(book.queue)) if (untilMs <= nowMs) deny(book, asked.leaseId, nowMs)
  for (const [leaseId, { answer, atMs }] of book.decided) {
    if (nowMs - atMs <= limits.queueClaimMs) continue
    book.decided.delete(leaseId)
    if (answer.lease) takeBack(book.leases, leaseId)
  }
  pump(book, nowMs, random)
}

// ---- What it says of itself ----

function newsFor(book: Book, known: { readonly generation: number; readonly loadsSeq?: number }, nowMs: number): News {
  const { snapshot, loads, life } = book
  const generation = snapshot?.generation ?? 0
  return {
    generation,
    snapshot: known.generation < generation ? snapshot : null,
    life,
    loads: loads && loads.seq > (known.loadsSeq ?? Number.POSITIVE_INFINITY) ? loads : null,
    ...presentLoad(book, nowMs),
  }
}

function presentLoad(book: Book, nowMs: number): { readonly load: CellLoad | null; readonly tight: boolean } {
  const load = loadNow(book, nowMs)
  return { load, tight: load !== null && load.free < tightShare * load.slots }
}

/** With less than this part of the places free, each one that comes back a quarter of a second late is missed. */
const tightShare = 0.15

/** The cell as it is now; null before there is a snapshot. */
export function loadNow(book: Book, nowMs: number): CellLoad | null {
  const { snapshot, leases } = book
  if (!snapshot) return null
  const members = [...book.members.values()].filter((member) => !isWithheld(member))
  const candidates = candidatesOf(members, { snapshot, leases, promptTokensOf: () => null }, nowMs)
  const times = members.map(({ speed }) => ttftMs(speed)).filter((ms) => ms !== null)
  return cellLoadOf({
    cell: book.cell,
    candidates,
    queued: queueLength(book.queue),
    offered: book.offered,
    serviceMs: meanServiceMs(members),
    ttftMs: times.length > 0 ? times.reduce((sum, ms) => sum + ms, 0) / times.length : null,
  })
}

const noteOffered = (book: Book, nowMs: number): void => note(book.offered, leaseCount(book.leases) + queueLength(book.queue), nowMs)

export const endpointLoads = (book: Book, nowMs: number): Record<EndpointId, EndpointLoad> =>
  Object.fromEntries([...book.members].map(([id, member]) => [id, loadOf(member, book.leases, nowMs)]))

// ---- What a restart needs ----

export type Kept = {
  readonly leases: readonly (readonly [LeaseId, Lease])[]
  readonly breakers: readonly (readonly [EndpointId, KeptBreaker])[]
}

/** Plain data for the object's storage. The queue is not in it: whoever waited sees the call fail and asks again. */
export const keep = (book: Book): Kept => ({
  leases: [...book.leases.byId].filter(([, lease]) => lease.kind !== 'credit'),
  breakers: [...book.members].map(([id, { breaker }]) => [id, keepBreaker(breaker)] as const),
})

/** Takes over what an earlier life kept; leases that have ended meanwhile are left out. Called after `take`. */
export function restore(book: Book, kept: Kept, nowMs: number): void {
  for (const [id, lease] of kept.leases) if (lease.deadlineMs > nowMs) grant(book.leases, id, lease)
  for (const [id, breaker] of kept.breakers) {
    const member = book.members.get(id)
    if (member) book.members.set(id, { ...member, breaker: restoreBreaker(breaker, nowMs) })
  }
  noteOffered(book, nowMs)
}
