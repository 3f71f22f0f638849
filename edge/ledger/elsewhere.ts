// The other cells that could serve a request, as far as their last numbers go.

import { limits } from '../../shared/limits.ts'
import type { CellId, OriginName } from '../../shared/ids.ts'
import { freshLoads, type ModelLoads } from '../../shared/wire/loads.ts'
import type { Ask } from '../../shared/wire/ledger.ts'
import { mayServe, sharesOf, staysWithin, type Snapshot } from '../../shared/wire/snapshot.ts'
import { canServe, meanServiceMs } from './members.ts'
import { spillTo, type Elsewhere } from './spill.ts'
import type { Book, Moment } from './state.ts'

/** The cell to which a request that would wait here so long is sent on; null: it stays. */
export function elsewhere(book: Book, asked: Ask, waitMs: number, { snapshot, nowMs, random }: Moment): CellId | null {
  const marginMs = asked.affinity ? limits.affinityMarginMs : limits.spillMarginMs
  const cell = spillTo(waitMs, elsewhereFor(book, asked, snapshot, nowMs), marginMs, random)
  return cell && sentTo(book, cell)
}

/** A session leaves a cell that has room only for one that is sooner by far, measured times to the first token counted. `ownMs`: here. */
export function stickyElsewhere(book: Book, asked: Ask, ownMs: number, { snapshot, nowMs, random }: Moment): CellId | null {
  const others = elsewhereFor(book, asked, snapshot, nowMs)
    .filter(({ load }) => load.ttftMs !== null)
    .map((other) => ({ ...other, extraMs: other.extraMs + (other.load.ttftMs ?? 0) }))
  const cell = spillTo(ownMs, others, limits.affinityMarginMs, random)
  return cell && sentTo(book, cell)
}

/**
 * Cells that could serve it, by their last numbers. Without core those grow old and say nothing of the moment: then each is taken to have
 * free what fractions leave free, so that a full cell still sends on; who finds the other full too comes back to wait.
 */
function elsewhereFor(book: Book, asked: Ask, snapshot: Snapshot, nowMs: number): readonly Elsewhere[] {
  const { loads } = book
  if (!loads || asked.spilledFrom || asked.origin === undefined) return []
  const isFresh = freshLoads(loads, nowMs, limits.loadsFreshMs) !== null
  const trips = roundTripsOf(loads, snapshot, asked.origin)
  const own = trips.get(book.cell) ?? 0
  const able = ableCells(snapshot, asked)
  const serviceMs = meanServiceMs([...book.members.values()], nowMs)
  return loads.cells
    .filter((load) => load.cell !== book.cell && able.has(load.cell))
    .flatMap((load) => {
      const roundTripMs = trips.get(load.cell)
      if (roundTripMs === undefined) return []
      const assumed = { ...load, free: (1 - limits.fillTarget) * load.slots, waitMs: 0 }
      const perRequestMs = serviceMs / Math.max(1, load.slots)
      const sentSince = book.sentOn.get(load.cell) ?? 0
      return [{ load: isFresh ? load : assumed, extraMs: roundTripMs - own, sentSince: isFresh ? sentSince : 0, perRequestMs }]
    })
}

function roundTripsOf(loads: ModelLoads, snapshot: Snapshot, origin: OriginName): ReadonlyMap<CellId, number> {
  const shares = loads.rows[origin] ?? sharesOf(snapshot, loads.model, origin)
  return new Map(shares.map((share) => [share.cell, share.roundTripMs]))
}

/** Cells with an endpoint that may serve it, inside the jurisdiction that the request must not leave. */
function ableCells(snapshot: Snapshot, asked: Ask): ReadonlySet<CellId> {
  const { residency, avoid } = asked
  const isInside = staysWithin(snapshot, residency ?? null)
  const able = snapshot.endpoints.filter(
    (endpoint) => canServe({ endpoint }, asked) && mayServe(endpoint) && isInside(endpoint.region) && !avoid.includes(endpoint.id),
  )
  return new Set(able.map(({ cell }) => cell))
}

function sentTo(book: Book, cell: CellId): CellId {
  book.sentOn.set(cell, (book.sentOn.get(cell) ?? 0) + 1)
  return cell
}
