// One cell's real ledger (edge/ledger/book.ts) inside the simulated world: what the Durable Object is to it on the platform.

import { ask, awaitGrant, exchange, keep, newBook, report, restore, sweep, take, takeLoads, type Book } from '../../../edge/ledger/book.ts'
import type { EndpointId, LeaseId } from '../../../shared/ids.ts'
import type {
  Ask,
  AskAnswer,
  Charge,
  Exchange,
  ExchangeAnswer,
  News,
  OutcomeKind,
  Report,
  Settled,
  WaitAnswer,
} from '../../../shared/wire/ledger.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import type { Visit, World } from '../harness/world.ts'
import { cellName, endpointName, regionOfCell, stationOf, version } from './names.ts'

/** Callers are patient: ten minutes, the default of the openai client. */
const deadlineMs = 600_000

/** A lease's id: one per attempt. */
export const leaseOf = (visit: Visit): LeaseId => `${visit.request.index}.${visit.attempts}` as LeaseId

/** What becomes of a question. */
export type Placed = {
  readonly granted: (station: number) => void
  readonly spilled?: (region: number) => void
  readonly refused: () => void
}

export class Ledger {
  book: Book
  isDown = false
  readonly #world: World
  readonly #attempts = new Map<Visit, { readonly leaseId: LeaseId; readonly atMs: number }>()

  constructor(world: World, region: number, snapshot: Snapshot) {
    this.#world = world
    this.book = newBook(cellName(region), 'life-1', world.nowMs)
    take(this.book, snapshot)
  }

  ask(visit: Visit, so: Partial<Ask> = {}): AskAnswer {
    const generation = this.book.snapshot?.generation ?? 0
    const asked = {
      cell: this.book.cell,
      leaseId: leaseOf(visit),
      version,
      avoid: [],
      generation,
      deadlineMs: this.#world.nowMs + deadlineMs,
    }
    return ask(this.book, { ...asked, ...so }, this.#world.nowMs, this.#world.random)
  }

  wait(leaseId: LeaseId, resolve: (answer: WaitAnswer) => void): void {
    awaitGrant(this.book, leaseId, resolve, this.#world.nowMs)
  }

  /** Asks without a way in between, and waits where there is a queue. */
  place(visit: Visit, placed: Placed, so: Partial<Ask> = {}): void {
    const leaseId = leaseOf(visit)
    const granted = (endpoint: EndpointId) => {
      this.#attempts.set(visit, { leaseId, atMs: this.#world.nowMs })
      placed.granted(stationOf(endpoint))
    }
    const { lease, queued, spill } = this.ask(visit, so)
    if (lease) granted(lease.endpoint)
    else if (spill && placed.spilled) placed.spilled(regionOfCell(spill.cell))
    else if (queued) this.wait(leaseId, (answer) => (answer.lease ? granted(answer.lease.endpoint) : placed.refused()))
    else placed.refused()
  }

  /** The end of an attempt that `place` began, told at once. */
  settle(visit: Visit, station: number, outcome: OutcomeKind, retryAfterMs: number | null = null): void {
    const attempt = this.#attempts.get(visit)
    if (!attempt) return
    this.#attempts.delete(visit)
    const took = this.#world.nowMs - attempt.atMs
    this.tell({ settled: [{ ...settledOf(attempt.leaseId, station, outcome, { ttfb: 0, took }), retryAfterMs }] })
  }

  tell(told: Partial<Report>, loadsSeq = Number.POSITIVE_INFINITY): News {
    const generation = this.book.snapshot?.generation ?? 0
    const flush = { cell: this.book.cell, generation, loadsSeq, report: { settled: [], charges: [], ...told } }
    return report(this.book, flush, this.#world.nowMs, this.#world.random)
  }

  exchange(given: Partial<Exchange>): Omit<ExchangeAnswer, 'probes'> {
    return exchange(this.book, { snapshot: null, cell: this.book.cell, ...given }, this.#world.nowMs, this.#world.random)
  }

  /** What core tells after its turn. */
  take(snapshot: Snapshot, loads: ModelLoads | null): void {
    take(this.book, snapshot)
    if (loads) takeLoads(this.book, loads)
  }

  sweep(): void {
    sweep(this.book, this.#world.nowMs, this.#world.random)
  }

  /** It answers nobody any more. */
  fail(): void {
    this.isDown = true
  }

  /** It is back, as another life that knows what the one before had stored. */
  restart(): void {
    const { book } = this
    const { nowMs } = this.#world
    this.isDown = false
    this.book = newBook(book.cell, `${book.life}+`, nowMs)
    if (book.snapshot) take(this.book, book.snapshot)
    restore(this.book, keep(book), nowMs)
  }
}

export const chargeOf = ({ nowMs }: World, leaseId: LeaseId, endpoint: EndpointId, why: Charge['why']): Charge => ({
  leaseId,
  endpoint,
  version,
  deadlineMs: nowMs + deadlineMs,
  why,
})

/** How an attempt is told of that took so long from the isolate's sending to its first token and to its end. */
export function settledOf(leaseId: LeaseId, station: number, outcome: OutcomeKind, ms: { ttfb: number; took: number }): Settled {
  const good = outcome === 'good'
  return { leaseId, endpoint: endpointName(station), outcome, ttfbMs: good ? Math.max(0, ms.ttfb) : null, tookMs: ms.took }
}
