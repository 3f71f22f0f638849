// From an engine's first chunk to the client's last byte. A stream is passed on event by event, never held whole;
// a JSON answer is held until it is whole (up to a bound), so that a cut before its end can still fail over.
// After commit a failure is a typed error frame, never a clean end.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import { errorBody, toOpenAi } from '../http/refuse.ts'
import type { Answer, Called, CallFailure, Ended } from '../facts.ts'
import { endsWithDone, splitEvents } from './events.ts'

const encoder = new TextEncoder()

/** Commits an answer: from here on nothing is retried. Fails, still retryable, when a JSON answer broke off before its end. */
export function open(called: Called): Promise<Result<Answer, CallFailure>> {
  return isEventStream(called.contentType) ? Promise.resolve(ok(flow(called, [], true))) : hold(called)
}

const isEventStream = (contentType: string): boolean => /^text\/event-stream\b/i.test(contentType)

async function hold(called: Called): Promise<Result<Answer, CallFailure>> {
  const chunks = [called.first]
  let bytes = called.first.length
  while (bytes <= limits.heldAnswerBytesMax) {
    const read = await readChunk(called)
    if ('failed' in read) return err(failureOf(called, read.failed))
    if ('done' in read) {
      called.watch.end()
      const ended: Ended = { how: 'complete', detail: null, bytes }
      return ok({ status: called.status, contentType: called.contentType, body: concat(chunks, bytes), ended: Promise.resolve(ended) })
    }
    chunks.push(read.chunk)
    bytes += read.chunk.length
  }
  return ok(flow(called, chunks.slice(1), false))
}

function failureOf(called: Called, detail: string): CallFailure {
  const why = called.watch.why()
  if (why === 'client_gone') return { refusal: { reason: 'client_gone' }, outcome: 'cancelled', retryable: false }
  if (why === 'deadline')
    return { refusal: { reason: 'deadline_exceeded', afterMs: called.ttfbMs }, outcome: 'cancelled', retryable: false }
  called.watch.end()
  return { refusal: { reason: 'upstream_failed', status: called.status, detail }, outcome: 'hard_failure', retryable: true }
}

/** The client's body, fed chunk by chunk: writing waits for the reader, so a slow client slows the engine's socket, not our memory. */
function flow(called: Called, held: readonly Uint8Array[], events: boolean): Answer {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  // A closed reading side is the client hanging up, however the runtime lets us know.
  writer.closed.catch(() => called.watch.cut('client_gone'))
  const ended = pump(called, held, writer, events)
  return { status: called.status, contentType: called.contentType, body: readable, ended }
}

async function pump(
  called: Called,
  held: readonly Uint8Array[],
  writer: WritableStreamDefaultWriter<Uint8Array>,
  events: boolean,
): Promise<Ended> {
  const out = outlet(writer, events)
  for (const chunk of [called.first, ...held]) {
    const problem = await out.take(chunk)
    if (problem) return finish(called, writer, out, problem)
  }
  for (;;) {
    const read = await readChunk(called)
    if ('failed' in read) return finish(called, writer, out, called.watch.why() ?? { failed: read.failed })
    if ('done' in read)
      return finish(
        called,
        writer,
        out,
        events && !out.sawDone() ? { failed: 'the engine closed the stream before its last event' } : 'complete',
      )
    const problem = await out.take(read.chunk)
    if (problem) return finish(called, writer, out, problem)
  }
}

type Problem = 'client_gone' | 'deadline' | { readonly failed: string }

type Outlet = {
  /** Sends what is whole; answers with what stops the stream, or null. */
  readonly take: (chunk: Uint8Array) => Promise<Problem | null>
  readonly sawDone: () => boolean
  readonly bytes: () => number
}

function outlet(writer: WritableStreamDefaultWriter<Uint8Array>, events: boolean): Outlet {
  let rest: Uint8Array = new Uint8Array(0)
  let last: Uint8Array = rest
  let bytes = 0
  return {
    sawDone: () => endsWithDone(last),
    bytes: () => bytes,
    take: async (chunk) => {
      const split = events ? splitEvents(rest, chunk) : { whole: chunk, rest }
      rest = split.rest
      if (rest.length > limits.eventBytesMax) return { failed: `an event of more than ${limits.eventBytesMax} bytes` }
      if (split.whole.length === 0) return null
      last = split.whole
      bytes += split.whole.length
      try {
        await writer.write(split.whole)
        return null
      } catch {
        return 'client_gone'
      }
    },
  }
}

async function finish(
  called: Called,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  out: Outlet,
  problem: Problem | 'complete',
): Promise<Ended> {
  const end = (how: Ended['how'], detail: string | null): Ended => ({ how, detail, bytes: out.bytes() })
  if (problem === 'complete') {
    called.watch.end()
    await quietly(writer.close())
    return end('complete', null)
  }
  // Whatever the reason, the engine must stop working on it.
  called.watch.cut('client_gone')
  await quietly(called.rest.cancel())
  if (problem === 'client_gone') {
    await quietly(writer.abort())
    return end('client_gone', null)
  }
  const refusal: InferenceRefusal =
    problem === 'deadline'
      ? { reason: 'deadline_exceeded', afterMs: called.ttfbMs }
      : { reason: 'upstream_failed', status: called.status, detail: problem.failed }
  if (isEventStream(called.contentType)) {
    await quietly(writer.write(encoder.encode(`data: ${errorBody(toOpenAi(refusal))}\n\n`)))
    await quietly(writer.close())
  } else {
    // Half a JSON document cannot carry an error: break the connection, so that no client takes it for the whole.
    await quietly(writer.abort(new Error(refusal.reason)))
  }
  return problem === 'deadline' ? end('deadline', null) : end('upstream_failed', problem.failed)
}

async function readChunk(called: Called): Promise<{ readonly chunk: Uint8Array } | { readonly done: true } | { readonly failed: string }> {
  try {
    const read = await called.rest.read()
    return read.done ? { done: true } : { chunk: read.value }
  } catch (cause) {
    return { failed: `the answer broke off: ${cause instanceof Error ? cause.message : String(cause)}` }
  }
}

/** Closing what the other side closed already is no error. */
async function quietly(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch {
    // The reader is gone; there is nobody to tell.
  }
}

function concat(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}
