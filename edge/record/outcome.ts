// What became of an attempt, and what its ledger is told of it. Pure. A client that leaves is no failure of the endpoint;
// neither is a deadline the client chose (docs/design/overview.md).

import { unreachable } from '../../shared/result.ts'
import type { OutcomeKind, Settled } from '../../shared/wire/ledger.ts'
import type { CallFailure, Ended, Routed } from '../facts.ts'
import type { Usage } from '../lane/lane.ts'

export function outcomeOf(ended: Ended): OutcomeKind {
  switch (ended.how) {
    case 'complete':
    // As before the answer's beginning: whoever asks for what cannot be must not bring an endpoint down.
    case 'upstream_refused':
      return 'good'
    case 'client_gone':
    case 'deadline':
      return 'cancelled'
    case 'upstream_failed':
      return 'hard_failure'
    default:
      return unreachable(ended.how)
  }
}

/** An attempt that gave nothing to send. An engine that blames the request was good, but its quick "no" says nothing of its speed. */
export function settledAfterFailure({ lease, endpoint }: Routed, { outcome, refusal }: CallFailure, tookMs: number): Settled {
  const retryAfterMs = outcome === 'soft_failure' && 'retryAfterMs' in refusal ? refusal.retryAfterMs : null
  return { leaseId: lease, outcome, ttfbMs: null, endpoint: endpoint.id, retryAfterMs, ...(outcome === 'good' ? {} : { tookMs }) }
}

/**
 * An answer that has ended. `stream`: only then is the time to the first token apart from the rest, and tells what a prompt's tokens cost.
 * It is told without the way there and back: cells are compared by both, and the way must not count twice.
 */
export function settledAfterAnswer(
  { lease, endpoint, roundTripMs }: Routed,
  ended: Ended,
  took: { readonly ttfbMs: number; readonly tookMs: number; readonly stream: boolean },
): Settled {
  // Its quick "no" says nothing of an endpoint's speed.
  if (ended.how === 'upstream_refused') return { leaseId: lease, outcome: outcomeOf(ended), ttfbMs: null, endpoint: endpoint.id }
  const { tookMs, stream } = took
  const ttfbMs = stream ? Math.max(0, took.ttfbMs - (roundTripMs ?? 0)) : null
  const promptTokens = stream ? uncachedTokens(ended.usage) : null
  return { leaseId: lease, outcome: outcomeOf(ended), ttfbMs, endpoint: endpoint.id, tookMs, promptTokens }
}

/** Prompt tokens that the engine had to work through; lanes count cached ones as part of the input. */
const uncachedTokens = (usage: Usage | null): number | null =>
  usage === null || usage.inputTokens === null ? null : Math.max(0, usage.inputTokens - (usage.cachedTokens ?? 0))
