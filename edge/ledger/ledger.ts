// The Durable Object that owns one cell: it alone grants leases on the cell's endpoints, so its counts are exact.
// The same class, under the name `home:<origin>`, keeps the snapshot for isolates that know no cell yet.
// This file is the shell: storage, time and calls. What is decided, and why, is the book's (book.ts).
//
// Storage, each written without holding an answer back unless said so:
//   snapshot   the last snapshot                        at each new generation; the answer to core waits until it is durable
//   kept       { cell, leases, breakers, services,       at most once a second, and only when something changed
//                urls, loads }
//
// A restart finds what was kept; leases granted in the last second before it are told again by the isolates that hold them, as charges, and
// so are the ends of those that ended then, when they see another `life` in an answer. Every lease has a deadline, so nothing outlives its
// request by more than the grace.

import { DurableObject } from 'cloudflare:workers'
import { limits } from '../../shared/limits.ts'
import type { CellId, LeaseId } from '../../shared/ids.ts'
import { apply } from '../../shared/wire/delta.ts'
import { partsToStore, storedWhole } from '../../shared/stored-parts.ts'
import { orElse } from '../../shared/time.ts'
import { readSnapshot, type Snapshot } from '../../shared/wire/snapshot.ts'
import type {
  Ask,
  AskAnswer,
  Exchange,
  ExchangeAnswer,
  Flush,
  LedgerCalls,
  News,
  SnapshotAnswer,
  WaitAnswer,
} from '../../shared/wire/ledger.ts'
import {
  ask,
  awaitGrant,
  exchange as fold,
  keep,
  newBook,
  queuedUntilMs,
  report,
  restore,
  sweep,
  take,
  takeLoads,
  type Book,
  type Kept,
} from './book.ts'
import type { LedgerPorts } from './ports.ts'
import { Probes } from './probes.ts'

type KeptHead = Kept & { readonly cell: string }

export abstract class LedgerObject extends DurableObject<unknown> implements LedgerCalls {
  readonly #ports: LedgerPorts
  readonly #probes: Probes
  #book: Book
  #keptAtMs = 0
  #keptText = ''

  constructor(ctx: DurableObjectState, env: unknown, ports: LedgerPorts) {
    super(ctx, env)
    this.#ports = ports
    this.#probes = new Probes(ports)
    this.#book = this.#newBook(ctx.id.name ?? '')
    // Nothing is answered before what was kept is back: a ledger that has just been moved must not deny what it knew.
    void ctx.blockConcurrencyWhile(() => this.#restore())
  }

  ask(asked: Ask): Promise<AskAnswer> {
    const answer = ask(this.#bookOf(asked.cell), asked, this.#nowMs(), this.#ports.random)
    this.#keepSoon()
    return Promise.resolve(answer)
  }

  async wait(cell: CellId, leaseId: LeaseId): Promise<WaitAnswer> {
    const book = this.#bookOf(cell)
    const over = new AbortController()
    const untilMs = queuedUntilMs(book, leaseId)
    const { promise, resolve } = Promise.withResolvers<WaitAnswer>()
    awaitGrant(book, leaseId, resolve, this.#nowMs())
    if (untilMs !== null) void this.#sweepUntil(book, untilMs, over.signal)
    const answer = await promise
    over.abort()
    this.#keepSoon()
    return answer
  }

  /** Without requests nothing else would end the wait, nor give it a place that comes free with time alone. */
  async #sweepUntil(book: Book, untilMs: number, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const leftMs = untilMs - this.#nowMs()
      // A timer may be a moment early: then there is one more turn.
      await this.#ports.timer.sleep(Math.max(1, Math.min(leftMs, limits.turnMs)), over)
      if (!over.aborted) sweep(book, this.#nowMs(), this.#ports.random, leftMs <= limits.turnMs)
    }
  }

  report(flush: Flush): Promise<News> {
    const news = report(this.#bookOf(flush.cell), flush, this.#nowMs(), this.#ports.random)
    this.#keepSoon()
    return Promise.resolve(news)
  }

  /** Core's call, once a turn. Its answer leaves only when a new snapshot is durable; those to isolates do not wait for that. */
  async exchange(exchange: Exchange): Promise<ExchangeAnswer> {
    const book = this.#bookOf(exchange.cell ?? '')
    const told = exchange.snapshot ?? (book.snapshot && exchange.delta ? apply(book.snapshot, exchange.delta) : null)
    const snapshot = told && (await this.#isGenuine(told, exchange.signature ?? null)) ? told : null
    const before = book.snapshot?.generation ?? 0
    const answer = fold(book, { ...exchange, snapshot }, this.#nowMs(), this.#ports.random)
    if (snapshot && snapshot.generation > before) {
      await this.ctx.storage.put(partsToStore('snapshot', snapshot), { allowUnconfirmed: true })
      await this.ctx.storage.sync()
    }
    const endpoints = [...book.members.values()].map(({ endpoint }) => endpoint)
    const probes = this.#probes.exchange(exchange.probes ?? [], endpoints)
    this.#keepSoon()
    return { ...answer, probes }
  }

  /** The snapshot, when it is newer than `generation`. */
  snapshotSince(generation: number): Promise<SnapshotAnswer> {
    const snapshot = this.#book.snapshot
    const known = snapshot?.generation ?? 0
    return Promise.resolve({ generation: known, snapshot: known > generation ? snapshot : null })
  }

  #newBook(cell: string): Book {
    return newBook(cell as CellId, this.#ports.freshId(), this.#ports.clock.nowMs())
  }

  /** The book of the cell that this object was made for. Should the runtime not have told its name, the first call does. */
  #bookOf(cell: string): Book {
    if (cell === '' || this.#book.cell === cell) return this.#book
    const { snapshot, loads } = this.#book
    this.#book = this.#newBook(cell)
    if (snapshot) take(this.#book, snapshot)
    if (loads) takeLoads(this.#book, loads)
    return this.#book
  }

  async #isGenuine(snapshot: Snapshot, signature: string | null): Promise<boolean> {
    const { verify } = this.#ports
    if (!verify || (signature !== null && (await verify(JSON.stringify(snapshot), signature)))) return true
    console.error(JSON.stringify({ event: 'forged_snapshot', cell: this.#book.cell, generation: snapshot.generation }))
    return false
  }

  #keepSoon(): void {
    const nowMs = this.#nowMs()
    if (Math.abs(nowMs - this.#keptAtMs) < limits.turnMs) return
    this.#keptAtMs = nowMs
    const head: KeptHead = { cell: this.#book.cell, ...keep(this.#book) }
    const text = JSON.stringify(head)
    if (text === this.#keptText) return
    this.#keptText = text
    void this.ctx.storage.put(partsToStore('kept', head), { allowUnconfirmed: true })
  }

  async #restore(): Promise<void> {
    const stored = (key: string): Promise<unknown> => storedWhole((name) => this.ctx.storage.get(name), key)
    // What another release kept in a form that cannot be read is as good as nothing: an object that cannot start would be worse.
    const head = (await orElse(stored('kept'), null)) as KeptHead | null | undefined
    const book = this.#bookOf(head?.cell ?? '')
    const snapshot = readSnapshot(await orElse(stored('snapshot'), null))
    if (snapshot) take(book, snapshot)
    if (head)
      await orElse(
        Promise.resolve().then(() => restore(book, head, this.#nowMs())),
        undefined,
      )
  }

  #nowMs(): number {
    return this.#ports.clock.nowMs()
  }
}
