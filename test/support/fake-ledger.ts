// A ledger for tests in Node, where the object itself cannot run: the real book behind the same calls, without storage.
// test/contract/edge/ledger.contract.ts holds both to the same behaviour.

import { ask, awaitGrant, exchange as fold, newBook, report, sweep, take, takeLoads, type Book } from '../../edge/ledger/book.ts'
import { leaseCount } from '../../edge/ledger/leases.ts'
import { seededRandom } from '../../shared/random.ts'
import type { CellId } from '../../shared/ids.ts'
import type { Snapshot } from '../../shared/wire/snapshot.ts'
import type { Ask, Charge, Flush, LedgerCalls, Settled } from '../../shared/wire/ledger.ts'

export type FakeLedger = LedgerCalls & {
  /** Everything that came back, in order, whichever call brought it. */
  readonly settled: Settled[]
  readonly charged: Charge[]
  readonly asked: Ask[]
  readonly live: () => number
  readonly book: (cell: CellId) => Book
}

/** One object that stands for the ledgers of all cells, each with a book of its own. */
export function fakeLedger(nowMs: () => number = () => Date.now()): FakeLedger {
  const random = seededRandom(7)
  const books = new Map<CellId, Book>()
  const settled: Settled[] = []
  const charged: Charge[] = []
  const asked: Ask[] = []
  let newest: Snapshot | null = null

  const bookOf = (cell: CellId): Book => {
    const known = books.get(cell)
    if (known) return known
    const made = newBook(cell, `life-${books.size}`, nowMs())
    if (newest) take(made, newest)
    books.set(cell, made)
    return made
  }
  const hear = (told: Flush['report'] | undefined) => {
    settled.push(...(told?.settled ?? []))
    charged.push(...(told?.charges ?? []))
  }

  return {
    settled,
    charged,
    asked,
    live: () => {
      for (const book of books.values()) sweep(book, nowMs(), random, true)
      return [...books.values()].reduce((sum, book) => sum + leaseCount(book.leases), 0)
    },
    book: bookOf,
    ask: (question) => {
      asked.push(question)
      hear(question.report)
      return Promise.resolve(ask(bookOf(question.cell), question, nowMs(), random))
    },
    wait: (cell, leaseId) => new Promise((resolve) => awaitGrant(bookOf(cell), leaseId, resolve, nowMs())),
    report: (flush) => {
      hear(flush.report)
      return Promise.resolve(report(bookOf(flush.cell), flush, nowMs(), random))
    },
    exchange: (exchange) => {
      const { snapshot } = exchange
      if (snapshot && snapshot.generation > (newest?.generation ?? 0)) {
        newest = snapshot
        for (const book of books.values()) take(book, snapshot)
      }
      const answer = fold(bookOf((exchange.cell ?? '') as CellId), exchange, nowMs(), random)
      if (exchange.loads) for (const each of books.values()) takeLoads(each, exchange.loads)
      return Promise.resolve({ ...answer, probes: [] })
    },
    snapshotSince: (generation) => {
      const known = newest?.generation ?? 0
      return Promise.resolve({ generation: known, snapshot: known > generation ? newest : null })
    },
  }
}
