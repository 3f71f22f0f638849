// The request's way, top to bottom: admit -> cache -> route -> call -> stream -> record.
// Each stage returns a value or a refusal; none writes a response. Before the first byte a failed attempt may be followed by one
// other; a "no" that rests on an old snapshot is checked against a newer one before it is said.

import { assert, err, ok, type Result } from '../shared/result.ts'
import { limits } from '../shared/limits.ts'
import type { EndpointId, ModelName, OriginName, VersionId } from '../shared/ids.ts'
import type { InferenceRefusal } from '../shared/refusal.ts'
import type { Credential } from '../shared/wire/credential.ts'
import type { Snapshot } from '../shared/wire/snapshot.ts'
import type { Admitted, Answer, Asked, Attempt, CallFailure, Routed, Walked } from './facts.ts'
import type { EdgePorts } from './ports.ts'
import { admit, identify } from './admit/admit.ts'
import { aliasFor, chosen } from './admit/assign.ts'
import { cache } from './cache/cache.ts'
import { call } from './call/call.ts'
import { mayRetry } from './call/retry.ts'
import { laneFor } from './lane/lanes.ts'
import { record } from './record/record.ts'
import { route } from './route/route.ts'
import type { Patience } from './stream/alarm.ts'
import { open } from './stream/stream.ts'

/** Answers a request or refuses it; recording goes on after the response. */
export async function infer(asked: Asked, ports: EdgePorts): Promise<Walked> {
  const walked = await look(asked, ports)
  ports.afterResponse(record(asked, walked, ports))
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
async function look(asked: Asked, ports: EdgePorts): Promise<Walked> {
  const known = await ports.snapshots.current(asked.origin)
  if (!known) return refused(asked, { reason: 'no_snapshot' }, ports)
  const walked = await walk(asked, known, ports)
  if (walked.answer.ok || walked.failed.length > 0 || !restsOnSnapshot(walked.answer.error)) return walked
  const newer = await ports.snapshots.newerThan(known, asked.origin)
  return newer ? walk(asked, newer, ports, limits.roundsMax) : walked
}

/** `roundsBefore`: rounds of an earlier walk, so that no two asks of a request name their lease alike. */
async function walk(asked: Asked, known: Snapshot, ports: EdgePorts, roundsBefore = 0): Promise<Walked> {
  let snapshot = known
  let admission = await admit(asked, snapshot, ports)
  if (!admission.ok) return refused(asked, admission.error, ports)
  let admitted = admission.value
  const failed: Attempt[] = []
  let lastRefusal: InferenceRefusal | null = null

  // Bypass is the only answer yet; the call stands where the cache's will.
  cache()

  for (let round = 1; round <= limits.roundsMax; round++) {
    const routed = await route(
      asked,
      admitted,
      { snapshot, avoid: failed.map((each) => each.endpoint), round: roundsBefore + round },
      ports,
    )

    // The ledger may have told us that the world has moved on: what was admitted must still hold, or a revoked key would get one more answer.
    const newer = ports.snapshots.newest(snapshot)
    if (newer) {
      snapshot = newer
      admission = await admit(asked, snapshot, ports)
      if (!admission.ok || admission.value.version !== admitted.version) {
        if (routed.ok) ports.afterResponse(giveBack(routed.value, 'cancelled', ports))
        if (!admission.ok) return refused(asked, admission.error, ports, { admitted, failed })
        admitted = admission.value
        continue
      }
    }
    if (!routed.ok) return refused(asked, refusalAfter(lastRefusal, routed.error), ports, { admitted, failed })

    const sentAtMs = ports.clock.nowMs()
    const answered = await tryOnce(asked, admitted, routed.value, snapshot, ports).catch((bug: unknown) => {
      // A bug must not take the endpoint's place with it until the deadline.
      ports.afterResponse(giveBack(routed.value, 'cancelled', ports))
      throw bug
    })
    if (answered.ok) return served(asked, { admitted, routed: routed.value, begun: answered.value, failed }, ports)

    const { refusal, outcome } = answered.error
    ports.afterResponse(giveBack(routed.value, outcome, ports))
    failed.push(attemptOf(routed.value, answered.error, ports.clock.nowMs() - sentAtMs))
    lastRefusal = refusal
    if (!mayRetry(answered.error, failed.length, admitted.deadlineMs, ports.clock.nowMs()))
      return refused(asked, refusal, ports, { admitted, failed })
  }
  // Only a snapshot that changes the version again and again gets here.
  return refused(asked, { reason: 'no_capacity', model: admitted.wish.model, retryAfterMs: limits.retryAfterMsDefault }, ports, {
    admitted,
    failed,
  })
}

/** `upstreamMs` is the engine's part of the wait: to the commit of a stream, to the last byte of a held answer. */
type Begun = { readonly answer: Answer; readonly upstreamMs: number }

async function tryOnce(
  asked: Asked,
  admitted: Admitted,
  routed: Routed,
  under: Snapshot,
  ports: EdgePorts,
): Promise<Result<Begun, CallFailure>> {
  const sentAtMs = ports.clock.nowMs()
  const lane = laneFor(asked.dialect.operation, routed.endpoint.operations)
  // Routing offers only endpoints that can do it; one that cannot is a bug of the table of lanes.
  assert(lane, `no lane for ${asked.dialect.operation} on ${routed.endpoint.id}`)
  const patience = patienceOf(under, admitted.wish.model)
  const headers = { 'x-request-id': asked.requestId, ...(asked.session === null ? {} : { 'isochrone-session': asked.session }) }
  const called = await call(asked, admitted, { lane, routed, headers, firstTokenMs: patience.firstTokenMs }, ports)
  if (!called.ok) return called
  const cadence = ports.cadences.of(admitted.version)
  const terms = { voice: asked.dialect.voice, patience, cadence, receivedAtMs: asked.receivedAtMs }
  const opened = await open(called.value, terms, ports)
  return opened.ok ? ok({ answer: opened.value, upstreamMs: ports.clock.nowMs() - sentAtMs }) : opened
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

async function giveBack(routed: Routed, outcome: CallFailure['outcome'], ports: EdgePorts): Promise<void> {
  if (routed.lease) await ports.ledgers.settle(routed.endpoint.cell, [{ leaseId: routed.lease, outcome, ttfbMs: null }])
}

const attemptOf = (routed: Routed, failure: CallFailure, tookMs: number): Attempt => ({
  endpoint: routed.endpoint.id,
  region: routed.endpoint.region,
  lease: routed.lease,
  outcome: failure.outcome,
  tookMs,
  detail: 'detail' in failure.refusal ? failure.refusal.detail : failure.refusal.reason,
})

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
    'unsupported_operation',
    'unknown_version',
  ].includes(refusal.reason)
}

const noBytes = new Uint8Array(0)

type Way = { readonly admitted: Admitted; readonly routed: Routed; readonly begun: Begun; readonly failed: readonly Attempt[] }

function served(asked: Asked, { admitted, routed, begun, failed }: Way, ports: EdgePorts): Walked {
  asked.body.forget()
  const overheadMs = ownMs(asked, failed, ports) - begun.upstreamMs
  return {
    answer: ok(begun.answer),
    trail: {
      requestId: asked.requestId,
      version: admitted.version,
      region: routed.endpoint.region,
      endpoint: routed.endpoint.id,
      overheadMs: Math.max(0, overheadMs),
    },
    // What was asked is on its way; keeping ten megabytes of it for the length of a stream would fill the isolate.
    admitted: { ...admitted, bytes: noBytes, wish: { ...admitted.wish, json: null } },
    failed,
    serving: { routed, ttfbMs: begun.answer.ttfbMs },
  }
}

function refused(
  asked: Asked,
  refusal: InferenceRefusal,
  ports: EdgePorts,
  so: { readonly admitted: Admitted | null; readonly failed: readonly Attempt[] } = { admitted: null, failed: [] },
): Walked {
  const last = so.failed.at(-1)
  const endpoint: EndpointId | null = last?.endpoint ?? null
  return {
    answer: err(refusal),
    trail: {
      requestId: asked.requestId,
      version: so.admitted?.version ?? null,
      region: last?.region ?? null,
      endpoint,
      overheadMs: Math.max(0, ownMs(asked, so.failed, ports)),
    },
    admitted: so.admitted,
    failed: so.failed,
    serving: null,
  }
}

/** Time since the arrival without the waits that were not ours: for the sender's body, and for engines that failed. */
const ownMs = (asked: Asked, failed: readonly Attempt[], ports: EdgePorts): number =>
  ports.clock.nowMs() - asked.receivedAtMs - asked.body.waitedMs() - failed.reduce((sum, { tookMs }) => sum + tookMs, 0)
