// The ledger's state: everything a cell's ledger knows, as plain data, and what can be read off it. It never waits and never calls.

import { limits } from '../../shared/limits.ts'
import type { CellId, EndpointId, LeaseId, VersionId } from '../../shared/ids.ts'
import type { Operation } from '../../shared/operations.ts'
import type { Random } from '../../shared/random.ts'
import type { Delta } from '../../shared/wire/delta.ts'
import type { CellLoad, ModelLoads } from '../../shared/wire/loads.ts'
import type { News, WaitAnswer } from '../../shared/wire/ledger.ts'
import type { Model, Snapshot } from '../../shared/wire/snapshot.ts'
import { newBlocks, type Blocks } from './blocks.ts'
import { isOut } from './breaker.ts'
import { newBudget, type Budget } from './budget.ts'
import { cellLoadOf, newOffered, note, type Offered } from './cell-load.ts'
import { inFlight, leaseCount, moveAway, noLeases, type Leases } from './leases.ts'
import { candidatesOf, isOutNow, isWithheld, meanOf, meanServiceMs, renew, type Member, type Members } from './members.ts'
import { capacityOf, isPanic } from './panic.ts'
import type { Turns } from './pick.ts'
import { forget, newPrefixIndex } from './prefix-index.ts'
import { newQueue, queuedByVersion, queueLength, type Queue } from './queue.ts'
import { newSmooth } from './smooth.ts'
import { ttftMs, type ClassTimes } from './speed.ts'
import { aliasesOf, type Aliases } from './withdrawal.ts'

export type Book = {
  readonly cell: CellId
  /** Names this life of the object; another after each restart. */
  readonly life: string
  snapshot: Snapshot | null
  /** The last changes, each of the one before, up to the snapshot at hand: isolates that are a little behind are told no more than that. */
  deltas: readonly Delta[]
  /** The snapshot's aliases by name. */
  aliases: Aliases
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
  /** Core's last call, or the begin of this life. */
  heardAtMs: number
  sweptAtMs: number
}

/** What a decision rests on beside the state. */
export type Moment = { readonly snapshot: Snapshot; readonly nowMs: number; readonly random: Random }

export const newBook = (cell: CellId, life: string, nowMs: number): Book => ({
  cell,
  life,
  snapshot: null,
  deltas: [],
  aliases: new Map(),
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
  heardAtMs: nowMs,
  sweptAtMs: nowMs,
})

// ---- News from core ----

/** Takes over a snapshot, unless it is older than the one at hand. */
export function take(book: Book, snapshot: Snapshot, delta: Delta | null = null): void {
  const known = book.snapshot?.generation ?? 0
  if (snapshot.generation <= known) return
  book.snapshot = snapshot
  book.aliases = aliasesOf(snapshot)
  book.deltas = delta?.from === known ? [...book.deltas, delta].slice(-limits.deltasKeptMax) : []
  const before = new Map(book.members)
  renew(
    book.members,
    snapshot.endpoints.filter(({ cell }) => cell === book.cell),
  )
  for (const [id, member] of before) {
    const present = book.members.get(id)
    if (present === member) continue
    forget(book.turns.prefixes, id)
    if (present) moveAway(book.leases, id)
  }
}

/** Takes over loads, unless they are older than those at hand. `seq` decides and not core's clock, which may be put back. */
export function takeLoads(book: Book, loads: ModelLoads): void {
  if (book.loads && (loads.seq < book.loads.seq || (loads.seq === book.loads.seq && loads.atMs <= book.loads.atMs))) return
  book.loads = loads
  book.sentOn.clear()
}

// ---- What can be read off ----

export const inPanic = (book: Book, snapshot: Snapshot, version: VersionId, nowMs: number): boolean =>
  isPanic(capacityOf(snapshot, { version, cell: book.cell }, outHere(book, snapshot, nowMs)))

export const modelOf = (book: Book): Model | null => {
  const name = book.members.values().next().value?.endpoint.model
  return book.snapshot?.models.find((model) => model.name === name) ?? null
}

export const outHere = (book: Book, snapshot: Snapshot, nowMs: number) => (id: EndpointId) => {
  const member = book.members.get(id)
  return member === undefined || isOutNow(member, snapshot, nowMs)
}

/** Whether core has been silent for so long that its words must not keep endpoints out. A clock that was put back tells no age: it counts as long. */
export const isCoreGone = ({ heardAtMs }: Book, nowMs: number): boolean => Math.abs(nowMs - heardAtMs) >= limits.loadsFreshMs

/** Part of the slots in use, of those members that may be used. */
export function useOf(book: Book, members: readonly Member[], nowMs: number): number {
  const usable = members.filter((member) => !isWithheld(member) && !isOut(member.breaker, nowMs))
  const slots = usable.reduce((sum, { endpoint }) => sum + endpoint.slots, 0)
  const taken = usable.reduce((sum, { endpoint }) => sum + inFlight(book.leases, endpoint.id), 0)
  return slots > 0 ? taken / slots : 1
}

/** Requests whose times are alike: of one version and operation. */
export const classOf = (version: VersionId, operation: Operation | null): string => `${version} ${operation ?? ''}`

function changesSince({ snapshot, deltas }: Book, generation: number): Pick<News, 'snapshot' | 'deltas'> {
  if (generation >= (snapshot?.generation ?? 0)) return { snapshot: null }
  const first = deltas.findIndex(({ from }) => from === generation)
  return first < 0 ? { snapshot } : { snapshot: null, deltas: deltas.slice(first) }
}

export function newsFor(book: Book, known: { readonly generation: number; readonly loadsSeq?: number }, nowMs: number): News {
  const { snapshot, loads, life } = book
  const generation = snapshot?.generation ?? 0
  return {
    generation,
    ...changesSince(book, known.generation),
    life,
    loads: loads && loads.seq > (known.loadsSeq ?? Number.POSITIVE_INFINITY) ? loads : null,
    ...presentLoad(book, nowMs),
  }
}

export function presentLoad(book: Book, nowMs: number): { readonly load: CellLoad | null; readonly tight: boolean } {
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
  return cellLoadOf({
    cell: book.cell,
    candidates,
    queued: queuedByVersion(book.queue),
    offered: book.offered,
    serviceMs: meanServiceMs(members, nowMs),
    ttftMs: meanOf(members.map(({ speed }) => ttftMs(speed))),
  })
}

/** Takes note of how much is in flight and waiting; after each change. */
export const noteOffered = (book: Book, nowMs: number): void => note(book.offered, leaseCount(book.leases) + queueLength(book.queue), nowMs)
