// Asking the ledgers: one question, and what follows from its answer. A ledger grants, queues, sends the request on once, or says no; one that
// does not answer is replaced by what it last told.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { CellId, LeaseId } from '../../shared/ids.ts'
import type { AskAnswer, Granted } from '../../shared/wire/ledger.ts'
import type { Routed } from '../facts.ts'
import type { Question } from '../ports.ts'
import { ableEndpoints } from './cell.ts'
import { explainAffinity } from './explain.ts'
import { deadlineExceeded, leaseUntilMs, newest, refusalFor, roundTripTo, servingIn, type Ports, type Trip } from './trip.ts'
import { creditKindOf, unasked } from './unasked.ts'

/** What one question came to. `again`: the ledger was lost while the request waited in its queue. */
type Said =
  | { readonly routed: Routed }
  | { readonly refused: InferenceRefusal }
  | { readonly full: InferenceRefusal }
  | { readonly spill: CellId }
  | 'elsewhere'
  | 'again'

/** Asks the cells in order, at most limits.cellsAskedMax questions. A cell that sends the request on does so once; should the other be full, it waits here. */
export async function askInTurn(trip: Trip, cells: readonly CellId[], ports: Ports): Promise<Result<Routed, InferenceRefusal>> {
  let left = cells
  let spilledFrom: CellId | null = null
  let refusal = refusalFor('no_healthy_endpoint', trip)
  for (let index = 0; index < limits.cellsAskedMax; index++) {
    const [cell, ...others] = left
    if (cell === undefined) break
    if (ports.clock.nowMs() >= trip.admitted.deadlineMs) return err(deadlineExceeded(trip, ports))
    const said = await askOnce(trip, { cell, index, spilledFrom }, ports)
    if (typeof said === 'object' && 'routed' in said) return ok(said.routed)
    if (typeof said === 'object' && 'refused' in said) return err(said.refused)
    if (said === 'elsewhere') left = others
    else if (said === 'again') left = [cell, ...others]
    else if ('full' in said) {
      refusal = said.full
      left = spilledFrom === null || spilledFrom === cell ? [] : [spilledFrom]
    } else {
      const to = maySpillTo(trip, said.spill, ports) ? said.spill : cell
      trip.view.explain?.spill(cell, to)
      left = [to, ...others.filter((other) => other !== to), cell]
      spilledFrom = cell
    }
  }
  return err(refusal)
}

/** Residency before everything: a ledger's word does not lead out of the jurisdiction. */
const maySpillTo = (trip: Trip, cell: CellId, ports: Ports): boolean => servingIn(trip, cell, ports).length > 0

type Turn = { readonly cell: CellId; readonly index: number; readonly spilledFrom: CellId | null }

async function askOnce(trip: Trip, turn: Turn, ports: Ports): Promise<Said> {
  const { cell, index } = turn
  const ask = askOf(trip, turn)
  const askedAtMs = ports.clock.nowMs()
  const question: Question = { ask, origin: trip.asked.origin, roundTripMs: roundTripTo(trip, cell), creditsFor: creditKindOf(trip, cell) }
  const answer = await ports.ledgers.ask(question)
  trip.view.explain?.ask({
    cell,
    lease: ask.leaseId,
    answer: answer.ok ? wordFor(answer.value) : answer.error,
    tookMs: ports.clock.nowMs() - askedAtMs,
    considered: (answer.ok && answer.value.considered) || [],
  })
  // A ledger that does not answer, or knows nothing yet: what was last told decides.
  if (!answer.ok || answer.value.denied === 'no_snapshot') return withoutLedger(trip, cell, index, ports)
  const { lease, queued, spill } = answer.value
  if (lease) return granted(trip, ask, lease, ports)
  if (queued) return waitInQueue(trip, turn, ask, ports)
  if (spill) return { spill: spill.cell }
  return saidBy(trip, turn, answer.value, ports)
}

function askOf(trip: Trip, { cell, index, spilledFrom }: Turn): Question['ask'] {
  const { asked, admitted, view, need, kin } = trip
  return {
    cell,
    leaseId: `${asked.requestId}.${view.round}.${index}` as LeaseId,
    version: need.version,
    operation: need.operation,
    deadlineMs: leaseUntilMs(trip),
    avoid: need.avoid,
    generation: view.snapshot.generation,
    priority: admitted.priority,
    purpose: view.purpose,
    affinity: kin,
    spilledFrom,
    residency: need.residency,
    explain: view.explain !== null,
    forced: admitted.assignment.forced,
    // Whoever named a version gets it as long as the alias has it, whatever its weight: the ledger need not ask what the alias gives it.
    ...(admitted.wish.version === null ? { alias: admitted.assignment.alias } : {}),
  }
}

function granted(trip: Trip, ask: Question['ask'], lease: Granted, ports: Ports): Said {
  // Not whether it may serve: the ledger alone knows who is on trial, and when all are needed.
  const able = ableEndpoints(newest(trip, ports), trip.need)
  const endpoint = able.find(({ id, cell }) => id === lease.endpoint && cell === ask.cell)
  if (!endpoint) {
    // A ledger that lags behind us may grant an endpoint that is gone, or stands elsewhere by now, where its lease would come back to the
    // wrong ledger and the request might be out of its jurisdiction. It is given back, or it would be held until its deadline.
    ports.ledgers.giveBack(ask.cell, ask.leaseId)
    return 'elsewhere'
  }
  const hedgeAfterMs = trip.mayHedge ? (lease.hedgeAfterMs ?? null) : null
  const routed: Routed = { endpoint, lease: ask.leaseId, way: 'leased', roundTripMs: roundTripTo(trip, endpoint.cell), hedgeAfterMs }
  const wasSpilled = (ask.spilledFrom ?? ask.cell) !== ask.cell
  trip.view.explain?.found(routed, explainAffinity(trip.kin, lease, wasSpilled))
  return { routed }
}

/** Waits as long as the queue keeps a request of its priority, and never past its deadline. */
async function waitInQueue(trip: Trip, turn: Turn, ask: Question['ask'], ports: Ports): Promise<Said> {
  const { admitted, asked } = trip
  const leftMs = Math.max(0, admitted.deadlineMs - ports.clock.nowMs())
  const forMs = Math.min(leftMs, limits.queueMsMax[admitted.priority] + limits.queueAnswerMs)
  const waited = await ports.ledgers.wait(ask, forMs, asked.gone)
  if (waited.ok) {
    const { lease } = waited.value
    return lease ? granted(trip, ask, lease, ports) : saidBy(trip, turn, waited.value, ports)
  }
  if (waited.error === 'gone') return { refused: { reason: 'client_gone' } }
  if (waited.error === 'unreachable') return 'again'
  if (ports.clock.nowMs() >= admitted.deadlineMs) return { refused: deadlineExceeded(trip, ports) }
  return noRoom(trip, limits.retryAfterMsDefault)
}

const noRoom = ({ admitted }: Trip, retryAfterMs: number): Said => ({
  full: { reason: 'no_capacity', model: admitted.wish.model, retryAfterMs },
})

type No = Pick<AskAnswer, 'denied' | 'generation' | 'retryAfterMs'>

/** "Full" passes by itself within a second, and the ledger knew of nobody else; the others are a matter of this cell alone. */
function saidBy(trip: Trip, turn: Turn, { denied, generation, retryAfterMs }: No, ports: Ports): Said {
  switch (denied) {
    case 'no_room':
      return noRoom(trip, retryAfterMs ?? limits.retryAfterMsDefault)
    case 'retry_budget':
    case 'hedge_budget':
      // Never told: what became of the first attempt is.
      return { refused: refusalFor('no_healthy_endpoint', trip) }
    case 'withdrawn':
      return withdrawn(trip, turn, generation, ports)
    default:
      return 'elsewhere'
  }
}

/**
 * The alias no longer serves the version, by the ledger's snapshot. Where that is news here, the request has to be admitted anew, which is not
 * for this stage: nobody else of the version is asked. A ledger that is behind us has not heard yet that the version is served.
 */
function withdrawn(trip: Trip, { cell, index }: Turn, generation: number, ports: Ports): Said {
  const known = trip.view.snapshot.generation
  if (newest(trip, ports).generation > known) return { refused: refusalFor('no_healthy_endpoint', trip) }
  return generation < known ? withoutLedger(trip, cell, index, ports) : 'elsewhere'
}

function wordFor({ lease, queued, spill, denied }: AskAnswer): string {
  if (lease) return 'granted'
  if (queued) return `queued, ${Math.round(queued.predictedMs)} ms expected`
  return spill ? `sent on to ${spill.cell}` : (denied ?? 'nothing')
}

/** When no ledger can be asked: a second attempt only from what this isolate has put aside, a second copy never. null: nobody there. */
function withoutLedger(trip: Trip, cell: CellId, index: number, ports: Ports): Said {
  const { purpose } = trip.view
  if (purpose === 'hedge' || (purpose === 'retry' && !ports.reflexes.takeRetry()))
    return { refused: refusalFor('no_healthy_endpoint', trip) }
  const way = trip.loads ? 'headroom' : 'capacity'
  const routed = unasked(trip, cell, { way, name: `${index}b` }, ports)
  return routed ? { routed } : 'elsewhere'
}
