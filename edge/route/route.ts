// Where a request goes: a cell drawn from the published fractions, then an endpoint of it. The cell's ledger alone knows its load exactly; it is
// asked when that is worth the way, and told when it was not. It grants, queues, or sends the request on once. Never picks an endpoint
// by comparing numbers that are old.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { CellId, EndpointId, LeaseId } from '../../shared/ids.ts'
import type { ModelLoads } from '../../shared/wire/loads.ts'
import { mayServe, type Share, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { Affinity, AskAnswer, Denial, Granted, Purpose } from '../../shared/wire/ledger.ts'
import type { Admitted, Asked, Explainer, Routed, RouteWay } from '../facts.ts'
import { promptOf } from '../http/prompt.ts'
import type { CreditKind, EdgePorts, Question } from '../ports.ts'
import { affinityOf } from './affinity.ts'
import { cellsFor, rowOf, servingEndpoints, type Need } from './cell.ts'
import { explainAffinity, explainCells } from './explain.ts'
import { drawBlind } from './fallback.ts'
import { prefixCharsMax } from './prefix.ts'
import { whyAsk } from './worth-asking.ts'

type Ports = Pick<EdgePorts, 'clock' | 'random' | 'ledgers' | 'loads' | 'reflexes' | 'snapshots'>

export type View = {
  readonly snapshot: Snapshot
  /** Endpoints already tried. */
  readonly avoid: readonly EndpointId[]
  /** Begins the names of the leases: another each time the request is routed. */
  readonly round: string
  readonly purpose: Purpose
  readonly explain: Explainer | null
}

/** What one routing knows of its request. */
type Trip = {
  readonly asked: Asked
  readonly admitted: Admitted
  readonly view: View
  readonly need: Need
  readonly kin: Affinity | null
  readonly mayHedge: boolean
  readonly loads: ModelLoads | null
  readonly row: readonly Share[]
}

/** An endpoint for the request with a lease on it, or why there is none. Second attempts are denied when the budget for them is spent. */
export async function route(asked: Asked, admitted: Admitted, view: View, ports: Ports): Promise<Result<Routed, InferenceRefusal>> {
  const { snapshot, avoid, purpose } = view
  const { version, credential, wish } = admitted
  const { operation } = asked.dialect
  const model = snapshot.models.find(({ name }) => name === wish.model)
  const kin = affinityOf(model?.affinity ?? 'none', {
    tenant: credential.tenant,
    session: asked.session ?? wish.user,
    prompt: () => promptOf(operation, wish.json, prefixCharsMax),
  })
  const need: Need = { version, operation, avoid, residency: credential.residency }
  const loads = ports.loads.fresh(wish.model)
  const row = rowOf(snapshot, loads, wish.model, asked.origin)
  const mayHedge = (model?.hedging ?? false) && !wish.stream
  const trip: Trip = { asked, admitted, view, need, kin, mayHedge, loads, row }

  const candidates = cellsFor(snapshot, row, need, kin?.key ?? null, ports.random)
  if ('none' in candidates) return err(refusalFor(candidates.none, trip))
  const { cells } = candidates
  const [first] = cells
  const loadOf = (cell: CellId) => ports.loads.cell(wish.model, cell)
  const why = first === undefined ? null : whyAsk({
    purpose,
    strategy: model?.strategy ?? 'least-latency',
    affinity: kin,
    mayHedge,
    load: loadOf(first),
    roundTripMs: roundTripTo(trip, first),
    ownLive: ports.ledgers.liveIn(first),
  })
  view.explain?.round({
    purpose,
    cells: explainCells({ snapshot, row, need, candidates: cells, isSticky: kin !== null, loadOf }),
    asked: why,
  })

  if (first !== undefined && purpose === 'first') {
    const atOnce = onCredit(trip, first, ports) ?? (why === null ? unasked(trip, first, { way: 'blind', name: 'b' }, ports) : null)
    if (atOnce) return ok(atOnce)
  }
  return askInTurn(trip, cells, ports)
}

// ---- Without asking ----

/** Which credits would do; null when the ledger has to see this request itself. */
const creditKindOf = ({ need, kin, mayHedge, view }: Trip, cell: CellId): CreditKind | null =>
  kin || mayHedge || view.purpose !== 'first' ? null : { cell, version: need.version, operation: need.operation, residency: need.residency }

function onCredit(trip: Trip, cell: CellId, ports: Ports): Routed | null {
  const kind = creditKindOf(trip, cell)
  if (!kind) return null
  const here = servingIn(trip, cell, ports)
  const credit = ports.ledgers.credit(kind, (id) => here.some((endpoint) => endpoint.id === id) && !ports.reflexes.isAside(id))
  const endpoint = credit && here.find(({ id }) => id === credit.endpoint)
  return credit && endpoint ? charged(trip, { endpoint, lease: credit.leaseId, way: 'credit', hedgeAfterMs: null }, ports) : null
}

/** One of the cell's endpoints by weight; null when none may serve. */
function unasked(trip: Trip, cell: CellId, as: { readonly way: RouteWay; readonly name: string }, ports: Ports): Routed | null {
  const { loads, kin, asked, view } = trip
  const draw = { endpoints: servingIn(trip, cell, ports), loads, isAside: ports.reflexes.isAside, key: kin?.key ?? null }
  const endpoint = drawBlind(draw, ports.random)
  // Another name than the question's: should that be answered late, its lease is another one.
  const lease = `${asked.requestId}.${view.round}.${as.name}` as LeaseId
  return endpoint && charged(trip, { endpoint, lease, way: as.way, hedgeAfterMs: null }, ports)
}

function charged(trip: Trip, routed: Routed, ports: Ports): Routed {
  const { need, kin, view } = trip
  ports.ledgers.charge(routed.endpoint.cell, {
    leaseId: routed.lease,
    endpoint: routed.endpoint.id,
    version: need.version,
    operation: need.operation,
    deadlineMs: leaseUntilMs(trip),
    why: routed.way === 'credit' ? 'credit' : 'blind',
    affinity: kin,
  })
  view.explain?.found(routed, explainAffinity(kin, null, false))
  return routed
}

/** When no ledger can be asked: a second attempt only from what this isolate has put aside, a second copy never. null: nobody there. */
function withoutLedger(trip: Trip, cell: CellId, index: number, ports: Ports): Said {
  const { purpose } = trip.view
  if (purpose === 'hedge' || (purpose === 'retry' && !ports.reflexes.takeRetry())) return { refused: refusalFor('no_healthy_endpoint', trip) }
  const way = trip.loads ? 'headroom' : 'capacity'
  const routed = unasked(trip, cell, { way, name: `${index}b` }, ports)
  return routed ? { routed } : 'elsewhere'
}

// ---- Asking ----

/** What one question came to. `again`: the ledger was lost while the request waited in its queue. */
type Said =
  | { readonly routed: Routed }
  | { readonly refused: InferenceRefusal }
  | { readonly full: InferenceRefusal }
  | { readonly spill: CellId }
  | 'elsewhere'
  | 'again'

/** Asks the cells in order, at most limits.cellsAskedMax questions. A cell that sends the request on does so once; should the other be full, it waits here. */
async function askInTurn(trip: Trip, cells: readonly CellId[], ports: Ports): Promise<Result<Routed, InferenceRefusal>> {
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
  const { lease, denied, queued, spill, retryAfterMs } = answer.value
  if (lease) return granted(trip, ask, lease, ports)
  if (queued) return waitInQueue(trip, ask, ports)
  if (spill) return { spill: spill.cell }
  return saidBy(denied, retryAfterMs ?? limits.retryAfterMsDefault, trip)
}

const askOf = ({ asked, admitted, view, need, kin }: Trip, { cell, index, spilledFrom }: Turn): Question['ask'] => ({
  cell,
  leaseId: `${asked.requestId}.${view.round}.${index}` as LeaseId,
  version: need.version,
  operation: need.operation,
  deadlineMs: admitted.deadlineMs + limits.leaseGraceMs,
  avoid: need.avoid,
  generation: view.snapshot.generation,
  priority: admitted.priority,
  purpose: view.purpose,
  affinity: kin,
  spilledFrom,
  residency: need.residency,
  explain: view.explain !== null,
})

function granted(trip: Trip, ask: Question['ask'], lease: Granted, ports: Ports): Said {
  const endpoint = newest(trip, ports).endpoints.find(({ id }) => id === lease.endpoint)
  if (!endpoint) {
    // A ledger that lags behind us may grant an endpoint that is gone: give it back, or it would be held until its deadline.
    ports.ledgers.giveBack(ask.cell, ask.leaseId)
    return 'elsewhere'
  }
  const routed: Routed = { endpoint, lease: ask.leaseId, way: 'leased', hedgeAfterMs: trip.mayHedge ? (lease.hedgeAfterMs ?? null) : null }
  const wasSpilled = (ask.spilledFrom ?? ask.cell) !== ask.cell
  trip.view.explain?.found(routed, explainAffinity(trip.kin, lease, wasSpilled))
  return { routed }
}

/** Waits as long as the queue keeps a request of its priority, and never past its deadline. */
async function waitInQueue(trip: Trip, ask: Question['ask'], ports: Ports): Promise<Said> {
  const { admitted, asked } = trip
  const leftMs = Math.max(0, admitted.deadlineMs - ports.clock.nowMs())
  const forMs = Math.min(leftMs, limits.queueMsMax[admitted.priority] + limits.queueAnswerMs)
  const waited = await ports.ledgers.wait(ask, forMs, asked.gone)
  if (waited.ok) {
    const { lease, denied } = waited.value
    return lease ? granted(trip, ask, lease, ports) : saidBy(denied, limits.retryAfterMsDefault, trip)
  }
  if (waited.error === 'gone') return { refused: { reason: 'client_gone' } }
  if (waited.error === 'unreachable') return 'again'
  if (ports.clock.nowMs() >= admitted.deadlineMs) return { refused: deadlineExceeded(trip, ports) }
  return saidBy('no_room', limits.retryAfterMsDefault, trip)
}

/** "Full" passes by itself within a second, and the ledger knew of nobody else; the others are a matter of this cell alone. */
function saidBy(denied: Denial | null, retryAfterMs: number, trip: Trip): Said {
  switch (denied) {
    case 'no_room':
      return { full: { reason: 'no_capacity', model: trip.admitted.wish.model, retryAfterMs } }
    case 'retry_budget':
    case 'hedge_budget':
      // Never told: what became of the first attempt is.
      return { refused: refusalFor('no_healthy_endpoint', trip) }
    default:
      return 'elsewhere'
  }
}

function wordFor({ lease, queued, spill, denied }: AskAnswer): string {
  if (lease) return 'granted'
  if (queued) return `queued, ${Math.round(queued.predictedMs)} ms expected`
  return spill ? `sent on to ${spill.cell}` : (denied ?? 'nothing')
}

// ---- What the parts have in common ----

const newest = ({ view }: Trip, ports: Ports): Snapshot => ports.snapshots.newest(view.snapshot) ?? view.snapshot

/** The cell's endpoints that may serve the request, by the newest snapshot. */
const servingIn = (trip: Trip, cell: CellId, ports: Ports) =>
  servingEndpoints(newest(trip, ports), trip.need).filter((endpoint) => endpoint.cell === cell && mayServe(endpoint))

const roundTripTo = ({ row }: Trip, cell: CellId): number | null => row.find((share) => share.cell === cell)?.roundTripMs ?? null

const leaseUntilMs = ({ admitted }: Trip): number => admitted.deadlineMs + limits.leaseGraceMs

const deadlineExceeded = ({ asked }: Trip, ports: Ports): InferenceRefusal => ({
  reason: 'deadline_exceeded',
  afterMs: ports.clock.nowMs() - asked.receivedAtMs,
})

function refusalFor(
  reason: 'no_endpoint' | 'no_healthy_endpoint' | 'unsupported_operation' | 'residency_unmet',
  { asked, admitted, need }: Trip,
): InferenceRefusal {
  const { model } = admitted.wish
  if (reason === 'unsupported_operation') return { reason, model, operation: asked.dialect.operation }
  if (reason === 'residency_unmet') return { reason, model, residency: need.residency ?? '' }
  return { reason, model, version: admitted.version }
}
