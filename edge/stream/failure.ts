// What went wrong with an answer, as a failure of the attempt and as a refusal for the caller.

import { err, type Err } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { CallFailure, Called, CutReason, Ended } from '../facts.ts'
import { blamesCaller, stableCode } from '../lane/engine-error.ts'
import type { EngineFault } from '../lane/lane.ts'
import type { StreamPorts } from './stream.ts'

/** Cut from this side, broken by the engine, or an error that the engine sent as if it were an answer. */
export type Problem = CutReason | { readonly failed: string } | { readonly fault: EngineFault }

/** Ends the attempt: the engine stops working on it. */
export function fail(called: Called, problem: Problem, receivedAtMs: number, ports: StreamPorts): Err<CallFailure> {
  const refusal = refusalOf(called, problem, receivedAtMs, ports.clock.nowMs())
  called.watch.cut('client_gone')
  return err(failureOf(problem, refusal))
}

export function refusalOf(called: Called, problem: Problem, receivedAtMs: number, nowMs: number): InferenceRefusal {
  if (problem === 'client_gone') return { reason: 'client_gone' }
  if (problem === 'deadline') return { reason: 'deadline_exceeded', afterMs: nowMs - receivedAtMs }
  if (problem === 'first_token') return { reason: 'upstream_timeout', afterMs: nowMs - called.sentAtMs }
  if (problem === 'stalled') return { reason: 'upstream_stalled', afterMs: nowMs - called.sentAtMs }
  if ('failed' in problem) return { reason: 'upstream_failed', status: called.status, detail: problem.failed }
  const { status, message, code, param } = problem.fault
  if (status === 429) return { reason: 'upstream_busy', status, retryAfterMs: 1_000 }
  if (blamesCaller(status)) {
    return { reason: 'upstream_refused', status, message, code: stableCode(code), param }
  }
  return { reason: 'upstream_failed', status, detail: 'the engine sent an error' }
}

/** How a stream that had begun ended by this. */
export function endOf(problem: Problem): Ended['how'] {
  if (problem === 'client_gone' || problem === 'deadline') return problem
  return typeof problem === 'object' && 'fault' in problem && blamesCaller(problem.fault.status) ? 'upstream_refused' : 'upstream_failed'
}

function failureOf(problem: Problem, refusal: InferenceRefusal): CallFailure {
  if (problem === 'client_gone' || problem === 'deadline') return { refusal, outcome: 'cancelled', retryable: false }
  if (refusal.reason === 'upstream_refused') return { refusal, outcome: 'good', retryable: false }
  return { refusal, outcome: refusal.reason === 'upstream_busy' ? 'soft_failure' : 'hard_failure', retryable: true }
}

/** For the log: what happened, in our own words; an engine's may repeat the prompt. */
export function detailOf(problem: Problem): string {
  if (typeof problem === 'string') return problem
  return 'failed' in problem ? problem.failed : `the engine sent an error (status ${problem.fault.status})`
}
