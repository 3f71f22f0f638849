// One cell's real ledger (edge/ledger/book.ts) inside the simulated world: what the Durable Object is to it on the platform.

import { ask, awaitGrant, exchange, newBook, report, sweep, take, type Book } from '../../../edge/ledger/book.ts'
import type { EndpointId, LeaseId } from '../../../shared/ids.ts'
import type { Ask, AskAnswer, Charge, Exchange, ExchangeAnswer, News, OutcomeKind, Report, Settled, WaitAnswer } from '../../../shared/wire/ledger.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import type { Visit, World } from '../harness/world.ts'
import { cellName, endpointName, version } from './names.ts'

/** Callers are patient: ten minutes, the default of the openai client. */
const deadlineMs = 600_000

/** A lease's id: one per attempt. */
export const leaseOf = (visit: Visit): LeaseId => `${visit.request.index}.${visit.attempts}` as LeaseId

export class Ledger {
  readonly book: Book
  readonly #world: World

  constructor(world: World, region: number, snapshot: Snapshot) {
    this.#world = world
    this.book = newBook(cellName(region), 'life-1', world.nowMs)
    take(this.book, snapshot)
  }

  ask(visit: Visit, so: Partial<Ask> = {}): AskAnswer {
    const generation = this.book.snapshot?.generation ?? 0
    const asked = { cell: this.book.cell, leaseId: leaseOf(visit), version, avoid: [], generation, deadlineMs: this.#world.nowMs + deadlineMs }
    return ask(this.book, { ...asked, ...so }, this.#world.nowMs, this.#world.random)
  }

  wait(leaseId: LeaseId, resolve: (answer: WaitAnswer) => void): void {
    awaitGrant(this.book, leaseId, resolve, this.#world.nowMs)
  }

  tell(told: Partial<Report>, loadsSeq = Number.POSITIVE_INFINITY): News {
    const generation = this.book.snapshot?.generation ?? 0
    const flush = { cell: this.book.cell, generation, loadsSeq, report: { settled: [], charges: [], ...told } }
    return report(this.book, flush, this.#world.nowMs, this.#world.random)
  }

  exchange(given: Partial<Exchange>): Omit<ExchangeAnswer, 'probes'> {
    return exchange(this.book, { snapshot: null, cell: this.book.cell, ...given }, this.#world.nowMs, this.#world.random)
  }

  sweep(): void {
    sweep(this.book, this.#world.nowMs, this.#world.random)
  }

  charge(leaseId: LeaseId, endpoint: EndpointId, why: Charge['why']): Charge {
    return { leaseId, endpoint, version, deadlineMs: this.#world.nowMs + deadlineMs, why }
  }
}

/** How an attempt is told of that took so long from the isolate's sending to its first token and to its end. */
export function settledOf(leaseId: LeaseId, station: number, outcome: OutcomeKind, ms: { ttfb: number; took: number }): Settled {
  const good = outcome === 'good'
  return { leaseId, endpoint: endpointName(station), outcome, ttfbMs: good ? ms.ttfb : null, ...(good ? { tookMs: ms.took } : {}) }
}
