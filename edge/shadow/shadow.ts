// A copy of a request that stable has answered, sent to the canary and thrown away: it tells of the canary before anybody is served by it. It is
// the first to give way: one cell is asked once, without a queue, and where it has no place to spare there is no copy. It is never billed, is no
// request in log, quota or demand, and nothing that becomes of it touches the answer that it is a copy of.

import { limits } from '../../shared/limits.ts'
import type { Result } from '../../shared/result.ts'
import { orElse, within } from '../../shared/time.ts'
import type { CellId, LeaseId, RequestId, VersionId } from '../../shared/ids.ts'
import type { Settled } from '../../shared/wire/ledger.ts'
import { sharesOf, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { TrialTally } from '../../shared/wire/trial.ts'
import type { Admitted, Answer, Asked, Attempt, CallFailure, Ended, Routed } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { judgedOf, lineOf, withBlame, type Came, type Judged } from './came.ts'
import { compare } from './compare.ts'
import { ableEndpoints, targetCell } from './target.ts'

type Ports = Pick<EdgePorts, 'clock' | 'timer' | 'ledgers' | 'snapshots' | 'shadows' | 'log'>

/** A request with a place for its copy (Shadows.take). */
export type Copy = {
  readonly asked: Asked
  /** With its bytes, and without what was read of them: that would take many times their room. */
  readonly admitted: Admitted
  readonly canary: VersionId
  readonly under: Snapshot
  /** Stable's answer. */
  readonly stable: { readonly cell: CellId; readonly sentAtMs: number; readonly ended: Promise<Ended> }
}

type Trial = { readonly leftAtMs: number; readonly assigned: Pick<Admitted, 'assignment' | 'version'> }

/** What the other stages do for a copy, as for any request. */
export type Means = {
  /** One attempt, up to the answer's beginning. */
  readonly send: (asked: Asked, admitted: Admitted, routed: Routed) => Promise<Result<Answer, CallFailure>>
  readonly settledAfterFailure: (routed: Routed, failure: CallFailure, tookMs: number) => Settled
  readonly settledAfterAnswer: (
    routed: Routed,
    ended: Ended,
    took: { readonly ttfbMs: number; readonly tookMs: number; readonly stream: boolean },
  ) => Settled
  readonly arrivalOf: (trial: Trial) => TrialTally
  readonly judgementOf: (
    trial: Trial,
    judged: Judged & { readonly stream: boolean; readonly failed: readonly Pick<Attempt, 'outcome'>[] },
  ) => TrialTally
}

/** Waits for the answer's end, then sends the copy and counts what came of it. Leaves the place in any case. */
export async function shadow(copy: Copy, means: Means, ports: Ports): Promise<void> {
  const { ended, sentAtMs } = copy.stable
  try {
    // What takes longer could not be copied within the time there is, and shall not hold its bytes until it is over.
    const stable = await within(orElse(ended, null), limits.shadowMsMax, null, ports.timer)
    if (stable?.how !== 'complete') return
    const tookMs = ports.clock.nowMs() - sentAtMs
    // An answer in one piece has ended before it is sent: it goes first.
    await ports.timer.sleep(0)
    const routed = await place(copy, ports)
    if (!routed) return ports.shadows.drop()
    await serve(copy, { routed, stable: { ended: stable, tookMs } }, means, ports)
  } finally {
    ports.shadows.leave()
  }
}

/** A lease on an endpoint of the canary, or null: whatever the reason, the copy is not worth a second question. */
async function place({ asked, admitted, canary, under, stable }: Copy, ports: Ports): Promise<Routed | null> {
  const snapshot = ports.snapshots.newest(under) ?? under
  const { wish, credential, assignment } = admitted
  const need = { version: canary, operation: asked.dialect.operation, residency: credential.residency }
  const row = sharesOf(snapshot, wish.model, asked.origin)
  const cell = targetCell(ableEndpoints(snapshot, need), row, stable.cell)
  if (cell === null) return null
  const leaseId = `${asked.requestId}.s` as LeaseId
  const roundTripMs = row.find((share) => share.cell === cell)?.roundTripMs ?? null
  const ask = {
    ...need,
    cell,
    leaseId,
    deadlineMs: ports.clock.nowMs() + limits.shadowMsMax + limits.leaseGraceMs,
    avoid: [],
    generation: snapshot.generation,
    priority: 'batch' as const,
    purpose: 'first' as const,
    affinity: null,
    spilledFrom: null,
    alias: assignment.alias,
    shadow: true,
  }
  const answer = await ports.ledgers.ask({ ask, origin: asked.origin, roundTripMs, creditsFor: null })
  if (!answer.ok) return null
  const { lease, queued } = answer.value
  const known = ports.snapshots.newest(snapshot) ?? snapshot
  const endpoint = ableEndpoints(known, need).find((each) => each.id === lease?.endpoint && each.cell === cell)
  // A ledger of an earlier release may have queued it, and one that lags behind may grant what is gone.
  if (queued || (lease && !endpoint)) ports.ledgers.giveBack(cell, leaseId)
  return endpoint ? { endpoint, lease: leaseId, way: 'leased', roundTripMs, hedgeAfterMs: null } : null
}

type Sending = { readonly routed: Routed; readonly stable: { readonly ended: Ended; readonly tookMs: number } }

async function serve(copy: Copy, { routed, stable }: Sending, means: Means, ports: Ports): Promise<void> {
  const { cell } = routed.endpoint
  const sentAtMs = ports.clock.nowMs()
  const { asked, admitted } = requestOf(copy, sentAtMs + limits.shadowMsMax)
  const { stream } = admitted.wish
  const trial = { leftAtMs: sentAtMs, assigned: { assignment: admitted.assignment, version: copy.canary } }
  // At once: told at its end, a slow copy would come when its ten seconds are judged already, and only quick ones would count.
  ports.ledgers.tally(cell, { ...means.arrivalOf(trial), shadow: true })
  const came = await arrive(() => means.send(asked, admitted, routed)).catch((bug: unknown) => {
    // A bug must not take the endpoint's place with it until the deadline.
    ports.ledgers.giveBack(cell, routed.lease)
    throw bug
  })
  const tookMs = ports.clock.nowMs() - sentAtMs
  const settled =
    'failure' in came
      ? means.settledAfterFailure(routed, came.failure, tookMs)
      : means.settledAfterAnswer(routed, came.ended, { ttfbMs: came.ttfbMs, tookMs, stream })
  ports.ledgers.settle(cell, settled)
  const judged = judgedOf(came, tookMs)
  if (judged) {
    const tally = withBlame(means.judgementOf(trial, { stream, failed: [], ...judged }), judged)
    const compared = judged.isOver ? null : compare(stable, { ended: judged.served?.ended ?? null, tookMs })
    ports.ledgers.tally(cell, { ...tally, shadow: true, compared })
  }
  ports.log(lineOf(copy, { routed, settled, came, tookMs, stableTookMs: stable.tookMs, dropped: ports.shadows.dropped() }))
}

/** The request as the canary gets it: the same bytes, read again, under a name of its own, for nobody who could leave. */
function requestOf({ asked, admitted, canary }: Copy, deadlineMs: number): { readonly asked: Asked; readonly admitted: Admitted } {
  const { bytes } = admitted
  const { contentType, header, path } = asked
  const read = asked.dialect.read({ bytes, contentType, header, path })
  const json = read.ok ? read.value.json : null
  return {
    // A session is the caller's: the canary's servers shall not have one of the same name.
    asked: { ...asked, requestId: `${asked.requestId}.shadow` as RequestId, session: null, gone: new AbortController().signal },
    admitted: { ...admitted, version: canary, deadlineMs, priority: 'batch', explain: false, wish: { ...admitted.wish, json } },
  }
}

async function arrive(send: () => Promise<Result<Answer, CallFailure>>): Promise<Came> {
  const answered = await send()
  if (!answered.ok) return { failure: answered.error }
  const { body, ttfbMs, firstTokenMs, ended } = answered.value
  if (body instanceof ReadableStream) await consume(body)
  const how = await ended
  // A stream may have been committed long before its first token.
  return { ttfbMs: firstTokenMs?.() ?? ttfbMs, ended: how }
}

/** Reads to the end and keeps nothing. How it ended the answer itself tells. */
async function consume(body: ReadableStream<Uint8Array>): Promise<void> {
  const reader = body.getReader()
  const reading = async (): Promise<void> => {
    for (let read = await reader.read(); !read.done;) read = await reader.read()
  }
  await orElse(reading(), undefined)
}
