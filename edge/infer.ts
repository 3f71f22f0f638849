// The request's way, top to bottom: admit -> cache -> route -> call -> stream -> record, and perhaps a copy of it after that: shadow.
// Each stage returns a value or a refusal; none writes a response. Before the first byte a failed attempt may be followed by one
// other, and a slow one may get a second copy beside it; a "no" that rests on an old snapshot is checked against a newer one before it is said.

import { assert, err, ok, type Result } from '../shared/result.ts'
import { limits } from '../shared/limits.ts'
import type { ModelName, OriginName, VersionId } from '../shared/ids.ts'
import type { InferenceRefusal } from '../shared/refusal.ts'
import type { Credential } from '../shared/wire/credential.ts'
import type { Snapshot } from '../shared/wire/snapshot.ts'
import type { Admitted, Answer, Asked, Attempt, CallFailure, Explanation, Routed, Walked } from './facts.ts'
import type { EdgePorts } from './ports.ts'
import { admit, identify } from './admit/admit.ts'
import { aliasFor, chosen } from './admit/assign.ts'
import { cache } from './cache/cache.ts'
import { call } from './call/call.ts'
import { hedge, type Racer } from './call/hedge.ts'
import { mayRetry } from './call/retry.ts'
import { laneFor } from './lane/lanes.ts'
import { settledAfterAnswer, settledAfterFailure } from './record/outcome.ts'
import { counterOf, record, type Counter } from './record/record.ts'
import { arrivalOf, judgementOf } from './record/trial.ts'
import { explainer } from './route/explain.ts'
import { route } from './route/route.ts'
import type { View } from './route/trip.ts'
import { shadow, type Copy, type Means } from './shadow/shadow.ts'
import type { Patience } from './stream/alarm.ts'
import { open } from './stream/stream.ts'

/** Answers a request or refuses it; recording goes on after the response. */
export async function infer(asked: Asked, ports: EdgePorts): Promise<Walked> {
  const counter = counterOf(asked, ports)
  const walked = await look(asked, counter, ports).catch((bug: unknown) => {
    counter.broken()
    throw bug
  })
  ports.afterResponse(record(asked, walked, ports, counter))
  return walked
}

/** Who asks, under the newest snapshot: for answers that need no engine, such as the list of models. */
export async function whoAsks(
  authorization: string | null,
  origin: OriginName,
  ports: EdgePorts,
): Promise<Result<{ readonly caller: Credential; readonly snapshot: Snapshot }, InferenceRefusal>> {
  const known = await ports.snapshots.current(origin)
  if (!known) return err({ reason: 'no_snapshot' })
  const snapshot = (await ports.snapshots.newerThan(known, origin)) ?? known
  const caller = await identify(authorization, snapshot, ports)
  return caller.ok ? ok({ caller: caller.value, snapshot }) : caller
}

/** The version a caller would be served: the stable one unless he names another. Refuses what a request for it would be refused for. */
export function versionFor(
  snapshot: Snapshot,
  caller: Credential,
  asked: { readonly model: string; readonly version: string | null },
): Result<VersionId, InferenceRefusal> {
  const alias = aliasFor(snapshot, caller, asked.model as ModelName)
  return alias.ok ? chosen(alias.value, asked.version, alias.value.stable) : alias
}

/** Walks under the snapshot at hand; a refusal that a newer one might take back is walked once more under that. */
async function look(asked: Asked, counter: Counter, ports: EdgePorts): Promise<Walked> {
  const known = await ports.snapshots.current(asked.origin)
  if (!known) return refused(asked, { reason: 'no_snapshot' }, ports)
  const walked = await walk({ asked, counter, roundsBefore: 0 }, known, ports)
  if (walked.answer.ok || walked.failed.length > 0 || !restsOnSnapshot(walked.answer.error)) return walked
  const newer = await ports.snapshots.newerThan(known, asked.origin)
  return newer ? walk({ asked, counter, roundsBefore: limits.roundsMax }, newer, ports) : walked
}

type Walking = {
  readonly asked: Asked
  readonly counter: Counter
  /** Rounds of an earlier walk, so that no two asks of a request name their lease alike. */
  readonly roundsBefore: number
}

async function walk({ asked, counter, roundsBefore }: Walking, known: Snapshot, ports: EdgePorts): Promise<Walked> {
  let snapshot = known
  let admission = await admit(asked, snapshot, ports)
  if (!admission.ok) return refused(asked, admission.error, ports)
  let admitted = admission.value
  const failed: Attempt[] = []
  let lastRefusal: InferenceRefusal | null = null
  let enginesMs = 0
  const explain = admitted.explain ? explainer() : null
  const sofar = () => ({ admitted, failed, enginesMs, explained: explain?.told(failed) ?? null })

  // Bypass is the only answer yet; the call stands where the cache's will.
  cache()

  for (let round = 1; round <= limits.roundsMax; round++) {
    const isFirst = failed.length === 0
    const view: View = {
      snapshot,
      avoid: failed.map(({ endpoint }) => endpoint),
      round: `${roundsBefore + round}`,
      purpose: isFirst ? 'first' : 'retry',
      explain,
    }
    const routed = await route(asked, admitted, view, ports)

    // The ledger may have told us that the world has moved on: what was admitted must still hold, or a revoked key would get one more answer.
    const newer = ports.snapshots.newest(snapshot)
    if (newer) {
      snapshot = newer
      admission = await admit(asked, snapshot, ports)
      if (!admission.ok || goesElsewhere(admitted, admission.value)) {
        if (routed.ok) ports.ledgers.giveBack(routed.value.endpoint.cell, routed.value.lease)
        if (!admission.ok) return refused(asked, admission.error, ports, sofar())
        admitted = admission.value
        continue
      }
      admitted = admission.value
    }
    if (!routed.ok) return refused(asked, refusalAfter(lastRefusal, routed.error), ports, sofar())
    if (isFirst) {
      ports.ledgers.count(routed.value.endpoint.cell, { way: routed.value.way, origin: asked.origin })
      ports.reflexes.depositRetry()
      counter.left(admitted, routed.value.endpoint.cell, failed)
    }

    const sentAtMs = ports.clock.nowMs()
    const trip: Trip = { asked, admitted, under: snapshot, failed, mayRace: routed.value.hedgeAfterMs !== null }
    const sent = await attempt(trip, routed.value, view, ports)
    const answered = await sent.answer
    enginesMs += ports.clock.nowMs() - sentAtMs
    if (answered.ok) {
      copyAfter(trip, sent, answered.value, ports)
      return served(asked, { sent, answer: answered.value }, ports, sofar())
    }

    lastRefusal = answered.error.refusal
    if (!mayRetry(answered.error, failed.length, admitted.deadlineMs, ports.clock.nowMs()))
      return refused(asked, lastRefusal, ports, sofar())
  }
  // Only a snapshot that changes the version again and again gets here.
  const full: InferenceRefusal = { reason: 'no_capacity', model: admitted.wish.model, retryAfterMs: limits.retryAfterMsDefault }
  return refused(asked, full, ports, sofar())
}

/** Whether what was routed for the one must not serve the other. */
const goesElsewhere = (before: Admitted, now: Admitted): boolean =>
  now.version !== before.version || now.credential.residency !== before.credential.residency

/** What the attempts of a request have in common. */
type Trip = {
  readonly asked: Asked
  readonly admitted: Admitted
  readonly under: Snapshot
  /** Where each leaves what became of it. */
  readonly failed: Attempt[]
  /** Two of them may run at once. */
  readonly mayRace: boolean
}

/** An attempt under way. Its lease is settled when it fails or is cancelled; of the one that answers, that is for record. */
type Sent = Racer & {
  readonly routed: Routed
  readonly sentAtMs: number
  readonly answer: Promise<Result<Answer, CallFailure>>
}

/** Sends the request and, should the answer be slow and the ledger allow it, a second copy. Resolves with the attempt that counts. */
async function attempt(trip: Trip, routed: Routed, view: View, ports: EdgePorts): Promise<Sent> {
  const first = send(trip, routed, ports)
  if (routed.hedgeAfterMs === null) return first
  const copy = async (over: AbortSignal): Promise<Sent | null> => {
    const beside = { ...view, avoid: [...view.avoid, routed.endpoint.id], round: `${view.round}h`, purpose: 'hedge' as const }
    const other = await route(trip.asked, trip.admitted, beside, ports)
    if (!other.ok) return null
    if (!over.aborted) return send(trip, other.value, ports)
    ports.ledgers.giveBack(other.value.endpoint.cell, other.value.lease)
    return null
  }
  return hedge(first, routed.hedgeAfterMs, copy, ports.timer)
}

function send({ asked, admitted, under, failed, mayRace }: Trip, routed: Routed, ports: EdgePorts): Sent {
  const { endpoint, lease } = routed
  const sentAtMs = ports.clock.nowMs()
  const stopping = new AbortController()
  let isSettled = false
  const fail = (outcome: CallFailure['outcome'], detail: string): void => {
    isSettled = true
    failed.push({ endpoint: endpoint.id, region: endpoint.region, lease, outcome, tookMs: ports.clock.nowMs() - sentAtMs, detail })
  }
  const trying = async (): Promise<Result<Answer, CallFailure>> => {
    const gone = mayRace ? AbortSignal.any([asked.gone, stopping.signal]) : asked.gone
    const answered = await tryOnce({ ...asked, gone }, admitted, routed, under, ports).catch((bug: unknown) => {
      // A bug must not take the endpoint's place with it until the deadline.
      if (!isSettled) ports.ledgers.giveBack(endpoint.cell, lease)
      isSettled = true
      throw bug
    })
    if (answered.ok || isSettled) return answered
    const { outcome, refusal } = answered.error
    fail(outcome, 'detail' in refusal ? refusal.detail : refusal.reason)
    ports.ledgers.settle(endpoint.cell, settledAfterFailure(routed, answered.error, ports.clock.nowMs() - sentAtMs))
    if (outcome === 'hard_failure' || outcome === 'soft_failure') ports.reflexes.failed(endpoint.id)
    return answered
  }
  // Also when it has answered: two may do so at once, and only one of them counts.
  const cancel = (): void => {
    if (isSettled) return
    fail('cancelled', 'another copy was sooner')
    ports.ledgers.giveBack(endpoint.cell, lease)
    stopping.abort()
  }
  return { routed, sentAtMs, answer: trying(), cancel }
}

async function tryOnce(
  asked: Asked,
  admitted: Admitted,
  routed: Routed,
  under: Snapshot,
  ports: EdgePorts,
): Promise<Result<Answer, CallFailure>> {
  const lane = laneFor(asked.dialect.operation, routed.endpoint.operations)
  // Routing offers only endpoints that can do it; one that cannot is a bug of the table of lanes.
  assert(lane, `no lane for ${asked.dialect.operation} on ${routed.endpoint.id}`)
  const patience = patienceOf(under, admitted.wish.model)
  const headers = { 'x-request-id': asked.requestId, ...(asked.session === null ? {} : { 'isochrone-session': asked.session }) }
  const called = await call(asked, admitted, { lane, routed, headers, firstTokenMs: patience.firstTokenMs }, ports)
  if (!called.ok) return called
  const cadence = ports.cadences.of(admitted.version)
  const terms = { voice: asked.dialect.voice, patience, cadence, receivedAtMs: asked.receivedAtMs }
  return open(called.value, terms, ports)
}

/** Where a copy is due and this isolate has a place for one, what was asked is kept until the answer has ended, and then sent to the canary. */
function copyAfter({ asked, admitted, under }: Trip, sent: Sent, answer: Answer, ports: EdgePorts): void {
  const canary = admitted.assignment.shadow
  if (canary === null || !ports.shadows.take()) return
  const { routed, sentAtMs } = sent
  const stable = { cell: routed.endpoint.cell, sentAtMs, ended: answer.ended }
  const copy: Copy = { asked, admitted: { ...admitted, wish: { ...admitted.wish, json: null } }, canary, under, stable }
  const send: Means['send'] = (copied, as, to) => tryOnce(copied, as, to, under, ports)
  ports.afterResponse(shadow(copy, { send, settledAfterAnswer, settledAfterFailure, arrivalOf, judgementOf }, ports))
}

/** How long a model's stream may take to begin, by its own row or the platform's default. */
function patienceOf(snapshot: Snapshot, model: ModelName): Patience {
  const row = snapshot.models.find((each) => each.name === model)
  return {
    holdMs: row?.holdMsMax ?? limits.holdMsDefault,
    firstTokenMs: row?.firstTokenMsMax ?? limits.firstTokenMsDefault,
    keepAliveMs: limits.keepAliveMs,
  }
}

/** After a failed attempt "nobody else is there" is less useful than what happened, unless waiting helps. */
function refusalAfter(last: InferenceRefusal | null, routing: InferenceRefusal): InferenceRefusal {
  return last === null || routing.reason === 'no_capacity' || routing.reason === 'deadline_exceeded' ? routing : last
}

/** Whether a newer snapshot may turn this "no" into a "yes". */
function restsOnSnapshot(refusal: InferenceRefusal): boolean {
  return [
    'unknown_model',
    'model_not_allowed',
    'disabled_key',
    'expired_key',
    'no_endpoint',
    'no_healthy_endpoint',
    'residency_unmet',
    'scope_missing',
    'unsupported_operation',
    'unknown_version',
  ].includes(refusal.reason)
}

const noBytes = new Uint8Array(0)

/** What was learnt on the way so far. `enginesMs`: how long engines were waited for, until a stream's commit or a whole answer's end. */
type Sofar = {
  readonly admitted: Admitted | null
  readonly failed: readonly Attempt[]
  readonly enginesMs: number
  readonly explained: Explanation | null
}

const nothingYet: Sofar = { admitted: null, failed: [], enginesMs: 0, explained: null }

function served(
  asked: Asked,
  { sent, answer }: { readonly sent: Sent; readonly answer: Answer },
  ports: EdgePorts,
  so: Sofar & { readonly admitted: Admitted },
): Walked {
  asked.body.forget()
  const { routed, sentAtMs } = sent
  const { admitted, failed, explained } = so
  return {
    answer: ok(answer),
    trail: {
      requestId: asked.requestId,
      version: admitted.version,
      region: routed.endpoint.region,
      endpoint: routed.endpoint.id,
      overheadMs: ownMs(asked, so, ports),
    },
    // What was asked is on its way; keeping ten megabytes of it for the length of a stream would fill the isolate.
    admitted: { ...admitted, bytes: noBytes, wish: { ...admitted.wish, json: null } },
    failed,
    serving: { routed, ttfbMs: answer.ttfbMs, sentAtMs },
    explained,
  }
}

function refused(asked: Asked, refusal: InferenceRefusal, ports: EdgePorts, so: Sofar = nothingYet): Walked {
  const last = so.failed.at(-1)
  return {
    answer: err(refusal),
    trail: {
      requestId: asked.requestId,
      version: so.admitted?.version ?? null,
      region: last?.region ?? null,
      endpoint: last?.endpoint ?? null,
      overheadMs: ownMs(asked, so, ports),
    },
    admitted: so.admitted,
    failed: so.failed,
    serving: null,
    explained: so.explained,
  }
}

/** Time since the arrival without the waits that were not ours: for the sender's body, and for engines. */
const ownMs = (asked: Asked, { enginesMs }: Sofar, ports: EdgePorts): number =>
  Math.max(0, ports.clock.nowMs() - asked.receivedAtMs - asked.body.waitedMs() - enginesMs)
