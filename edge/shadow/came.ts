// What came of a copy, and what that is worth: a time that was over is ours and no fault of the canary, and a server that was busy would have
// sent a request elsewhere. Pure.

import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { RequestId, VersionId } from '../../shared/ids.ts'
import type { Settled } from '../../shared/wire/ledger.ts'
import type { TrialTally } from '../../shared/wire/trial.ts'
import type { CallFailure, Ended, Routed, Wish } from '../facts.ts'
import type { RequestLine } from '../ports.ts'

export type Came = { readonly failure: CallFailure } | { readonly ttfbMs: number; readonly ended: Ended }

export type Judged = {
  /** Why it got no answer; null when it has one, or none by the time that was over. */
  readonly refused: InferenceRefusal['reason'] | null
  readonly served: { readonly ttfbMs: number; readonly tookMs: number; readonly ended: Ended | null } | null
}

/** As a request would be judged at the end of its time; null where the copy says nothing: then it is never judged. `isOver`: it would have gone on. */
export function judgedOf(came: Came, tookMs: number): (Judged & { readonly isOver: boolean }) | null {
  if ('failure' in came) {
    const { outcome, refusal } = came.failure
    if (outcome === 'soft_failure') return null
    const isOver = outcome === 'cancelled'
    return { refused: isOver ? null : refusal.reason, served: null, isOver }
  }
  const { ttfbMs, ended } = came
  const isOver = ended.how === 'deadline' || ended.how === 'client_gone'
  // A stream that was begun for want of a token, and had none to the end: nothing has come.
  if (isOver && ended.slowestGapMs === null) return { refused: null, served: null, isOver }
  return { refused: null, served: { ttfbMs, tookMs, ended: isOver ? null : ended }, isOver }
}

/**
 * A refusal of what was asked is a hard error of a copy: stable has answered the very same bytes, so they are not to blame. Of a request nobody
 * knows that: all of one caller's go to one version, and his mistakes would be its own.
 */
export function withBlame(tally: TrialTally, { refused, served }: Judged): TrialTally {
  const isBlamed = refused === 'upstream_refused' || served?.ended?.how === 'upstream_refused'
  return isBlamed ? { ...tally, hardErrors: tally.judged } : tally
}

export type Told = {
  readonly routed: Routed
  readonly settled: Settled
  readonly came: Came
  readonly tookMs: number
  readonly stableTookMs: number
  /** Copies that this isolate did not make since the line before. */
  readonly dropped: number
}

/** The log's line of a copy. It is no request, and bears the name of the one that it is a copy of. */
export function lineOf(
  copy: { readonly asked: { readonly requestId: RequestId }; readonly admitted: { readonly wish: Wish }; readonly canary: VersionId },
  { routed, settled, came, tookMs, stableTookMs, dropped }: Told,
): RequestLine {
  const { region, id } = routed.endpoint
  return {
    event: 'shadow',
    requestId: copy.asked.requestId,
    model: copy.admitted.wish.model,
    version: copy.canary,
    region,
    endpoint: id,
    lease: routed.lease,
    outcome: settled.outcome,
    refused: 'failure' in came ? came.failure.refusal.reason : null,
    ended: 'failure' in came ? null : came.ended.how,
    ttfbMs: 'failure' in came ? null : came.ttfbMs,
    tookMs,
    stableTookMs,
    dropped,
  }
}
