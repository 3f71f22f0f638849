// The exact numbers that a ledger owes core, in blocks that are told until core has confirmed them. Nothing is lost while core is away,
// nothing is counted twice, and it stays small: the oldest blocks are summed. Numbers from isolates are checked here; no clock.

import { limits } from '../../shared/limits.ts'
import type { EndpointId, OriginName } from '../../shared/ids.ts'
import type { Block, EndpointBlock, Settled } from '../../shared/wire/ledger.ts'
import { readTally, sumUp, type TrialSums } from '../../shared/wire/tally.ts'

type Counts = { -readonly [Field in keyof EndpointBlock]-?: number }
type RoundTrips = { count: number; msSum: number }

/** A block under way. Maps, because names come from outside and may be those of an object's own properties. */
type Draft = {
  fromMs: number
  readonly endpoints: Map<EndpointId, Counts>
  readonly arrivals: Map<OriginName, number>
  readonly roundTrips: Map<OriginName, RoundTrips>
  readonly ways: Map<string, number>
  readonly trials: TrialSums
}

export type Blocks = {
  draft: Draft
  closed: readonly Block[]
  /** Number of the last closed block, and of the last that was told: core may have it or not. */
  lastSeq: number
  toldSeq: number
}

const newDraft = (fromMs: number): Draft => ({
  fromMs,
  endpoints: new Map(),
  arrivals: new Map(),
  roundTrips: new Map(),
  ways: new Map(),
  trials: new Map(),
})

export const newBlocks = (nowMs: number): Blocks => ({ draft: newDraft(nowMs), closed: [], lastSeq: 0, toldSeq: 0 })

/** Counts what became of an attempt on the endpoint, and what is known of a good answer's times. */
export function countOutcome(blocks: Blocks, endpoint: EndpointId, settled: Pick<Settled, 'outcome' | 'ttfbMs' | 'tookMs'>): void {
  const counts = slot(blocks.draft.endpoints, endpoint, limits.blockEndpointsMax, noCounts)
  if (!counts) return
  counts[settled.outcome]++
  const { outcome, tookMs, ttfbMs } = settled
  if (outcome !== 'good') return
  if (isTime(tookMs)) {
    counts.timed++
    counts.tookMsSum += tookMs
  }
  if (isTime(ttfbMs)) {
    counts.ttfbTimed++
    counts.ttfbMsSum += ttfbMs
  }
}

/** Counts `n` requests from an origin. */
export function countArrival(blocks: Blocks, origin: OriginName, n: number): void {
  increase(blocks.draft.arrivals, origin, n, limits.blockOriginsMax)
}

/** Counts `n` requests that found their endpoint in this way. */
export function countWay(blocks: Blocks, way: string, n: number): void {
  increase(blocks.draft.ways, way, n, limits.blockWaysMax)
}

/** Counts a round trip as an isolate of the origin measured it. */
export function countRoundTrip(blocks: Blocks, origin: OriginName, ms: number): void {
  if (!isTime(ms)) return
  const sum = slot(blocks.draft.roundTrips, origin, limits.blockOriginsMax, noRoundTrips)
  if (!sum) return
  sum.count++
  sum.msSum += ms
}

/** Counts what a version did, as an isolate tells it: not what cannot be true, is of so long ago that nobody judges by it, or of what is to come. */
export function countTrial(blocks: Blocks, told: unknown, nowMs: number): void {
  const tally = readTally(told)
  if (!tally || tally.slotMs < nowMs - limits.rolloutBlockLateMsMax || tally.slotMs > nowMs + limits.rolloutBlockMs) return
  sumUp(blocks.draft.trials, tally, limits.trialsHeldMax)
}

/** Ends the block under way, if anything is in it, and begins the next. */
export function close(blocks: Blocks, nowMs: number): void {
  const { draft } = blocks
  if (draft.endpoints.size + draft.arrivals.size + draft.roundTrips.size + draft.ways.size + draft.trials.size > 0) {
    blocks.lastSeq++
    blocks.closed = bounded([...blocks.closed, blockOf(draft, blocks.lastSeq, nowMs)], blocks.toldSeq)
  }
  blocks.draft = newDraft(nowMs)
}

/** Core has all blocks up to `seq`: they go. */
export function confirm(blocks: Blocks, seq: number): void {
  blocks.closed = blocks.closed.filter((block) => block.seq > seq)
}

/** The blocks that core has not confirmed, oldest first. They count as told. */
export function unconfirmed(blocks: Blocks): readonly Block[] {
  blocks.toldSeq = blocks.lastSeq
  return blocks.closed
}

/** Sums the two oldest while there are too many; but never one that core may already have with one that it cannot have. */
function bounded(closed: readonly Block[], toldSeq: number): readonly Block[] {
  if (closed.length <= limits.blocksKeptMax) return closed
  const [first, second, third, ...rest] = closed
  if (!first || !second) return closed
  const apart = first.seq <= toldSeq && second.seq > toldSeq
  if (!apart || !third) return [sum(first, second), ...(third ? [third] : []), ...rest]
  return [first, sum(second, third), ...rest]
}

function sum(older: Block, newer: Block): Block {
  const draft = newDraft(older.fromMs)
  for (const block of [older, newer]) {
    for (const [id, counts] of entries(block.endpoints)) addTo(slot(draft.endpoints, id, limits.blockEndpointsMax, noCounts), counts)
    for (const [origin, n] of entries(block.arrivals)) increase(draft.arrivals, origin, n, limits.blockOriginsMax)
    for (const [origin, trips] of entries(block.roundTrips))
      addTo(slot(draft.roundTrips, origin, limits.blockOriginsMax, noRoundTrips), trips)
    for (const [way, n] of entries(block.ways)) increase(draft.ways, way, n, limits.blockWaysMax)
    for (const tally of block.trials ?? []) sumUp(draft.trials, tally, limits.trialsHeldMax)
  }
  return blockOf(draft, newer.seq, newer.untilMs)
}

/** A clock that stepped back gives a block without length, never one that ends before it begins. */
const blockOf = (draft: Draft, seq: number, untilMs: number): Block => ({
  seq,
  fromMs: draft.fromMs,
  untilMs: Math.max(draft.fromMs, untilMs),
  endpoints: Object.fromEntries(draft.endpoints),
  arrivals: Object.fromEntries(draft.arrivals),
  roundTrips: Object.fromEntries(draft.roundTrips),
  ways: Object.fromEntries(draft.ways),
  ...(draft.trials.size > 0 ? { trials: [...draft.trials.values()] } : {}),
})

const noCounts = (): Counts => ({
  good: 0,
  soft_failure: 0,
  hard_failure: 0,
  cancelled: 0,
  timed: 0,
  tookMsSum: 0,
  ttfbTimed: 0,
  ttfbMsSum: 0,
})

const noRoundTrips = (): RoundTrips => ({ count: 0, msSum: 0 })

/** The value of a key, made when it is new and there is room for one more name; null when there is none. */
function slot<Key, Value>(map: Map<Key, Value>, key: Key, most: number, make: () => Value): Value | null {
  const known = map.get(key)
  if (known !== undefined) return known
  if (map.size >= most) return null
  const made = make()
  map.set(key, made)
  return made
}

function increase<Key>(map: Map<Key, number>, key: Key, n: number, most: number): void {
  if (!Number.isSafeInteger(n) || n <= 0) return
  const known = slot(map, key, most, () => 0)
  if (known !== null) map.set(key, known + n)
}

function addTo(into: Record<string, number> | null, from: Readonly<Record<string, number>>): void {
  if (!into) return
  for (const [field, n] of Object.entries(from)) into[field] = (into[field] ?? 0) + n
}

const entries = <Key extends string, Value>(record: Readonly<Record<Key, Value>>): readonly [Key, Value][] =>
  Object.entries(record) as [Key, Value][]

const isTime = (ms: number | null | undefined): ms is number => typeof ms === 'number' && ms >= 0 && ms <= limits.deadlineMsMax
