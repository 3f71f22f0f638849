// One call to each of some ledgers, all at once: the snapshot goes down where it is behind, generation and numbers come up.
// Waits no longer than it is told to; an answer that comes later is folded in when it comes.

import { limits } from '../../shared/limits.ts'
import { within } from '../../shared/time.ts'
import type { ExchangeAnswer } from '../../shared/wire/ledger.ts'
import type { Snapshot } from '../../shared/wire/snapshot.ts'
import type { LedgerRecord, LoopState, Outcomes, Target } from '../facts.ts'
import type { Ledgers, LoopPorts } from '../ports.ts'

type TellState = Pick<LoopState, 'published' | 'ledgers' | 'generationFloor'>
type TellPorts = Pick<LoopPorts, 'clock' | 'timer' | 'ledgers'>

/** Resolves when all have answered, failed or timed out, when `withinMs` have passed, or when `hurry` aborts. Never rejects. */
export async function tell(
  targets: readonly Target[],
  state: TellState,
  ports: TellPorts,
  patience: { readonly withinMs: number; readonly hurry: AbortSignal },
): Promise<void> {
  const { ledgers } = ports
  if (!ledgers || targets.length === 0) return
  const snapshot = state.published?.snapshot ?? null
  const calls = Promise.all(targets.map((target) => call(target, snapshot, state, { ...ports, ledgers })))
  const over = new AbortController()
  await Promise.race([calls, ports.timer.sleep(patience.withinMs, AbortSignal.any([patience.hurry, over.signal]))])
  over.abort()
}

/** Forgets ledgers that are no longer called and endpoints that are no longer published, so that the records stay bounded. */
export function forget(targets: readonly Target[], state: TellState): void {
  const called = new Set(targets.map((target) => target.name))
  const published = new Set<string>(state.published?.snapshot.endpoints.map((endpoint) => endpoint.id))
  for (const [name, record] of state.ledgers) {
    if (!called.has(name)) state.ledgers.delete(name)
    record.outcomes = Object.fromEntries(Object.entries(record.outcomes).filter(([endpoint]) => published.has(endpoint)))
  }
}

async function call(
  target: Target,
  snapshot: Snapshot | null,
  state: TellState,
  ports: TellPorts & { readonly ledgers: Ledgers },
): Promise<void> {
  const record = recordOf(target, state)
  const nowMs = ports.clock.nowMs()
  if (record.callsWaiting >= limits.exchangesWaitingMax && nowMs - record.askedAtMs < limits.homeCheckEveryMs) return
  record.callsMade += 1
  record.callsWaiting += 1
  record.askedAtMs = nowMs
  const number = record.callsMade
  const behind = snapshot !== null && record.generation < snapshot.generation
  const settled = ports.ledgers
    .exchange(target, { snapshot: behind ? snapshot : null, cell: target.cell })
    .then(
      (answer) => fold(answer, number, record, state, ports.clock.nowMs()),
      (cause: unknown) => {
        if (number > record.lastAnswered) record.error = cause instanceof Error ? cause.message : String(cause)
      },
    )
    .finally(() => {
      record.callsWaiting -= 1
    })
  const silent = Symbol('silent')
  if ((await within(settled, limits.exchangeTimeoutMs, silent, ports.timer)) === silent && number > record.lastAnswered) {
    record.error = `no answer in ${limits.exchangeTimeoutMs} ms`
  }
}

function recordOf(target: Target, state: TellState): LedgerRecord {
  const known = state.ledgers.get(target.name)
  if (known) return known
  const fresh: LedgerRecord = {
    generation: 0,
    inFlight: {},
    outcomes: {},
    callsMade: 0,
    lastAnswered: 0,
    callsWaiting: 0,
    askedAtMs: 0,
    answeredAtMs: null,
    error: null,
  }
  state.ledgers.set(target.name, fresh)
  return fresh
}

/** Outcomes are counted once whatever the order of answers; the rest is taken from the newest call only. */
function fold(answer: ExchangeAnswer, number: number, record: LedgerRecord, state: TellState, nowMs: number): void {
  state.generationFloor = Math.max(state.generationFloor, answer.generation)
  record.outcomes = addOutcomes(record.outcomes, answer.outcomes)
  if (number < record.lastAnswered) return
  record.lastAnswered = number
  record.generation = answer.generation
  record.inFlight = answer.inFlight
  record.answeredAtMs = nowMs
  record.error = null
}

function addOutcomes(sum: Readonly<Record<string, Outcomes>>, more: Readonly<Record<string, Outcomes>>): Record<string, Outcomes> {
  const total = { ...sum }
  for (const [endpoint, outcomes] of Object.entries(more)) {
    const before = total[endpoint]
    total[endpoint] = {
      good: (before?.good ?? 0) + outcomes.good,
      soft_failure: (before?.soft_failure ?? 0) + outcomes.soft_failure,
      hard_failure: (before?.hard_failure ?? 0) + outcomes.hard_failure,
      cancelled: (before?.cancelled ?? 0) + outcomes.cancelled,
    }
  }
  return total
}
