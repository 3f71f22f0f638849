// From an engine's good status to the client's last byte. Until an answer is committed every failure can still be met by another endpoint;
// after that nothing is retried, and a failure is told as one, never as an end.

import { ok, type Result } from '../../shared/result.ts'
import type { Answer, Cadence, Called, CallFailure, Voice } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { fail } from './failure.ts'
import { flow } from './flow.ts'
import { hold } from './hold.ts'
import type { Patience } from './alarm.ts'

export type Terms = { readonly voice: Voice; readonly patience: Patience; readonly cadence: Cadence | null; readonly receivedAtMs: number }
export type StreamPorts = Pick<EdgePorts, 'clock' | 'timer'>

/** Commits an answer, or fails in time for another endpoint. What was asked decides what is expected: events for a stream, one piece otherwise. */
export async function open(called: Called, terms: Terms, ports: StreamPorts): Promise<Result<Answer, CallFailure>> {
  const events = called.asking.stream ? called.lane.events : null
  const isEvents = /^text\/event-stream\b/i.test(called.contentType)
  if (events && isEvents) return flow(called, events(called.asking), terms, ports)
  if (!events && isEvents) return fail(called, { failed: 'a stream came where none was asked for' }, terms.receivedAtMs, ports)
  const held = await hold(called, terms.receivedAtMs, ports)
  // An error body in place of a stream was recognised by then; a good body is still no stream.
  if (held.ok && events)
    return fail(called, { failed: 'the answer came in one piece where a stream was asked for' }, terms.receivedAtMs, ports)
  return held.ok ? ok(held.value) : held
}
