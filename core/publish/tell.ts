// One call to each of some ledgers, all at once: snapshot, loads and probes go down where they are news, the exact numbers come up.
// Waits no longer than it is told to; an answer that comes later is folded in when it comes. Each block is folded exactly once.

import { limits } from '../../shared/limits.ts'
import { within } from '../../shared/time.ts'
import type { CellId } from '../../shared/ids.ts'
import type { Block, Exchange, ExchangeAnswer } from '../../shared/wire/ledger.ts'
import type { ProbeOrder } from '../../shared/wire/probe.ts'
import type { Heard, LedgerRecord, LoopState, Outcomes, Target } from '../facts.ts'
import { addBlock, noFlow, withoutGone } from '../flow.ts'
import type { Ledgers, LoopPorts } from '../ports.ts'

type TellState = Pick<LoopState, 'published' | 'ledgers' | 'generationFloor' | 'loads' | 'signed' | 'delta'>
type TellPorts = Pick<LoopPorts, 'clock' | 'timer' | 'ledgers'>

export type Telling = {
  readonly targets: readonly Target[]
  readonly withinMs: number
  readonly hurry: AbortSignal
  /** Orders for probes by cell. */
  readonly orders: ReadonlyMap<CellId, readonly ProbeOrder[]>
  /** Called with each answer, also with one that comes after the telling has ended. */
  readonly hear: (heard: Heard) => void
}

/** Resolves when all have answered, failed or timed out, when `withinMs` have passed, or when `hurry` aborts. Never rejects. */
export async function tell(telling: Telling, state: TellState, ports: TellPorts): Promise<void> {
  const { ledgers } = ports
  if (!ledgers || telling.targets.length === 0) return
  const endpoints = Map.groupBy(state.published?.snapshot.endpoints ?? [], ({ cell }) => cell)
  const calls = Promise.all(
    telling.targets.map((target) => {
      const members = new Set<string>((target.cell === null ? [] : (endpoints.get(target.cell) ?? [])).map(({ id }) => id))
      return call({ ...target, members }, telling, state, { ...ports, ledgers })
    }),
  )
  const over = new AbortController()
  await Promise.race([calls, ports.timer.sleep(telling.withinMs, AbortSignal.any([telling.hurry, over.signal]))])
  over.abort()
}

/** Forgets ledgers that are no longer called and endpoints that are no longer published, so that the records stay bounded. */
export function forget(targets: readonly Target[], state: TellState): void {
  const called = new Set(targets.map((target) => target.name))
  const published = new Set<string>(state.published?.snapshot.endpoints.map((endpoint) => endpoint.id))
  for (const [name, record] of state.ledgers) {
    if (!called.has(name)) state.ledgers.delete(name)
    record.outcomes = Object.fromEntries(Object.entries(record.outcomes).filter(([endpoint]) => published.has(endpoint)))
    record.flow = withoutGone(record.flow, published)
  }
}

type CallPorts = TellPorts & { readonly ledgers: Ledgers }
/** `members`: its endpoints. What it says of others is not its to say. */
type Called = Target & { readonly members: ReadonlySet<string> }

async function call(target: Called, telling: Telling, state: TellState, ports: CallPorts): Promise<void> {
  const record = recordOf(target, state)
  const nowMs = ports.clock.nowMs()
  if (record.callsWaiting >= limits.exchangesWaitingMax && nowMs - record.askedAtMs < limits.homeCheckEveryMs) return
  record.callsMade += 1
  record.callsWaiting += 1
  record.askedAtMs = nowMs
  const number = record.callsMade
  const exchange = exchangeFor(target, record, telling, state)
  const failed = (error: string): void => {
    if (number <= record.lastAnswered) return
    record.error = error
    record.aliveSinceMs = null
  }
  const settled = ports.ledgers
    .exchange(target, exchange)
    .then((told) => {
      const answer = ofMembers(told, target.members)
      const atMs = ports.clock.nowMs()
      const blocks = takeBlocks(record, answer, atMs)
      telling.hear({ cell: target.cell, blocks, probes: answer.probes })
      state.generationFloor = Math.max(state.generationFloor, answer.generation)
      if (number > record.lastAnswered) note(record, answer, { number, atMs, loadsSeq: exchange.loads?.seq ?? null })
    })
    // Also where an answer cannot be made sense of: that is one ledger's fault, and must not end the turn for all.
    .catch((cause: unknown) => failed(cause instanceof Error ? cause.message : String(cause)))
    .finally(() => {
      record.callsWaiting -= 1
    })
  const silent = Symbol('silent')
  if ((await within(settled, limits.exchangeTimeoutMs, silent, ports.timer)) === silent) {
    failed(`no answer in ${limits.exchangeTimeoutMs} ms`)
  }
}

function ofMembers(answer: ExchangeAnswer, members: ReadonlySet<string>): ExchangeAnswer {
  const own = <T>(endpoints: Readonly<Record<string, T>>): Readonly<Record<string, T>> =>
    Object.fromEntries(Object.entries(endpoints).filter(([id]) => members.has(id)))
  return {
    ...answer,
    endpoints: own(answer.endpoints),
    blocks: answer.blocks.map((block) => ({ ...block, endpoints: own(block.endpoints) })),
    probes: answer.probes.filter(({ endpoint }) => members.has(endpoint)),
  }
}

function exchangeFor(target: Target, record: LedgerRecord, telling: Telling, state: TellState): Exchange {
  const snapshot = state.published?.snapshot ?? null
  const behind = snapshot !== null && record.generation < snapshot.generation
  const delta = behind && state.delta?.from === record.generation && record.deltaTold < snapshot.generation ? state.delta : null
  if (behind && delta) record.deltaTold = snapshot.generation
  const loads = target.model === null ? null : (state.loads.get(target.model) ?? null)
  return {
    snapshot: behind && !delta ? snapshot : null,
    delta,
    signature: behind && state.signed?.generation === snapshot.generation ? state.signed.signature : null,
    cell: target.cell,
    loads: loads && loads.seq > record.loadsSeq ? loads : null,
    probes: target.cell === null ? [] : (telling.orders.get(target.cell) ?? []),
    confirmed: record.folded.find(({ life }) => life === record.life) ?? null,
  }
}

function recordOf(target: Target, state: TellState): LedgerRecord {
  const known = state.ledgers.get(target.name)
  if (known) return known
  const fresh = newLedgerRecord()
  state.ledgers.set(target.name, fresh)
  return fresh
}

/** Of a ledger that has not been called yet. */
export const newLedgerRecord = (): LedgerRecord => ({
  generation: 0,
  deltaTold: 0,
  life: null,
  aliveSinceMs: null,
  endpoints: {},
  load: null,
  queued: 0,
  folded: [],
  flow: noFlow,
  outcomes: {},
  ways: {},
  loadsSeq: 0,
  callsMade: 0,
  lastAnswered: 0,
  callsWaiting: 0,
  askedAtMs: 0,
  answeredAtMs: null,
  error: null,
})

/** Lives whose last block is remembered: an answer may come after those of two later lives, not after more. */
const livesKept = 3

/** Folds the blocks that are new, whatever the order of answers, and returns them. A ledger numbers its blocks within a life. */
function takeBlocks(record: LedgerRecord, answer: ExchangeAnswer, nowMs: number): readonly Block[] {
  const seen = record.folded.find(({ life }) => life === answer.life)?.seq ?? 0
  const blocks = answer.blocks.filter((block) => block.seq > seen).toSorted((a, b) => a.seq - b.seq)
  const last = blocks.at(-1)
  for (const block of blocks) {
    record.flow = addBlock(record.flow, block, nowMs)
    record.outcomes = addOutcomes(record.outcomes, block)
    record.ways = addWays(record.ways, block.ways)
  }
  if (last) {
    const others = record.folded.filter(({ life }) => life !== answer.life)
    record.folded = [...others, { life: answer.life, seq: last.seq }].slice(-livesKept)
  }
  return blocks
}

type Call = { readonly number: number; readonly atMs: number; readonly loadsSeq: number | null }

/** What only the newest call's answer may say. */
function note(record: LedgerRecord, answer: ExchangeAnswer, { number, atMs, loadsSeq }: Call): void {
  const isNewLife = record.life !== answer.life
  record.lastAnswered = number
  record.generation = answer.generation
  record.endpoints = answer.endpoints
  record.load = answer.load
  record.queued = answer.queued
  // Another life may know older loads, or none.
  record.loadsSeq = loadsSeq ?? (isNewLife ? 0 : record.loadsSeq)
  if (isNewLife || record.aliveSinceMs === null) record.aliveSinceMs = atMs
  record.life = answer.life
  record.answeredAtMs = atMs
  record.error = null
}

function addOutcomes(sums: Readonly<Record<string, Outcomes>>, { endpoints }: Block): Record<string, Outcomes> {
  const total = { ...sums }
  for (const [endpoint, more] of Object.entries(endpoints)) {
    const before = total[endpoint]
    total[endpoint] = {
      good: (before?.good ?? 0) + more.good,
      soft_failure: (before?.soft_failure ?? 0) + more.soft_failure,
      hard_failure: (before?.hard_failure ?? 0) + more.hard_failure,
      cancelled: (before?.cancelled ?? 0) + more.cancelled,
    }
  }
  return total
}

function addWays(sums: Readonly<Record<string, number>>, ways: Readonly<Record<string, number>>): Record<string, number> {
  const total = { ...sums }
  for (const [way, count] of Object.entries(ways)) total[way] = (total[way] ?? 0) + count
  return total
}
