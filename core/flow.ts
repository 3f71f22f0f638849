// What ledgers' blocks tell of demand and distance: requests per second by origin, attempts by endpoint, round trips. Pure.
// The judge weighs by it and publishing fills by it, so it stands beside the stages.

import { origins } from '../shared/geo.ts'
import { limits } from '../shared/limits.ts'
import type { EndpointId, OriginName } from '../shared/ids.ts'
import type { Block } from '../shared/wire/ledger.ts'
import type { Flow, LedgerRecord, Rate } from './facts.ts'

export const noFlow: Flow = { arrivals: new Map(), attempts: new Map(), roundTripsMs: new Map() }

/** The rate with `count` more, which came over the `overMs` before `atMs`. Before that it forgets: to a third in limits.demandMs. */
export function addTo(rate: Rate | undefined, count: number, overMs: number, atMs: number): Rate {
  const passedMs = Math.max(1, overMs)
  const share = 1 - Math.exp(-passedMs / limits.demandMs)
  const told = ((count * 1_000) / passedMs) * share
  if (!rate) return { perS: told, sinceMs: atMs - passedMs, atMs }
  return { perS: decayed(rate, atMs) + told, sinceMs: rate.sinceMs, atMs: Math.max(rate.atMs, atMs) }
}

const decayed = ({ perS, atMs }: Rate, nowMs: number): number => perS * Math.exp(-Math.max(0, nowMs - atMs) / limits.demandMs)

/** Events per second now. A young rate has not seen a whole memory yet, and is scaled up to what it would have seen. */
export function perSecond(rate: Rate | undefined, nowMs: number): number {
  if (!rate) return 0
  const ageMs = Math.max(limits.turnMs, nowMs - rate.sinceMs)
  return decayed(rate, nowMs) / (1 - Math.exp(-ageMs / limits.demandMs))
}

const known = new Set(origins.map(({ name }) => name))

/** The flow with one more block; origins nobody knows are not counted. `nowMs` bounds the block's own times: the ledger's clock may be ahead. */
export function addBlock(flow: Flow, block: Block, nowMs: number): Flow {
  const atMs = Math.min(nowMs, block.untilMs)
  const overMs = block.untilMs - block.fromMs
  const arrivals = new Map(flow.arrivals)
  for (const [origin, count] of entriesOf<OriginName, number>(block.arrivals)) {
    if (known.has(origin)) arrivals.set(origin, addTo(arrivals.get(origin), count, overMs, atMs))
  }
  const attempts = new Map(flow.attempts)
  for (const [id, counts] of entriesOf<EndpointId, Block['endpoints'][EndpointId]>(block.endpoints)) {
    const count = counts.good + counts.soft_failure + counts.hard_failure + counts.cancelled
    attempts.set(id, addTo(attempts.get(id), count, overMs, atMs))
  }
  const roundTripsMs = new Map(flow.roundTripsMs)
  for (const [origin, { count, msSum }] of entriesOf<OriginName, Block['roundTrips'][OriginName]>(block.roundTrips)) {
    if (!known.has(origin) || count === 0) continue
    const before = roundTripsMs.get(origin) ?? msSum / count
    roundTripsMs.set(origin, before + limits.roundTripSmoothing * (msSum / count - before))
  }
  return { arrivals, attempts, roundTripsMs }
}

/** Whether a ledger spoke so lately that its numbers may be used. */
export const isFresh = ({ answeredAtMs }: Pick<LedgerRecord, 'answeredAtMs'>, nowMs: number): boolean =>
  answeredAtMs !== null && nowMs - answeredAtMs < limits.cellLoadKeptMs

/** Only the endpoints that are still there. */
export const withoutGone = (flow: Flow, present: ReadonlySet<string>): Flow => ({
  ...flow,
  attempts: new Map([...flow.attempts].filter(([id]) => present.has(id))),
})

const entriesOf = <Key extends string, Value>(record: Readonly<Record<Key, Value>>): readonly (readonly [Key, Value])[] =>
  Object.entries(record) as [Key, Value][]
