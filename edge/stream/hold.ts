// An answer in one piece: held until it is whole (up to a bound), so that a cut before its end can still fail over and the lane can
// check and repair it. What is larger is passed on as it comes, where the operation allows that.

import { concat } from '../../shared/bytes.ts'
import { limits } from '../../shared/limits.ts'
import { ok, type Result } from '../../shared/result.ts'
import type { Answer, Called, CallFailure, Ended } from '../facts.ts'
import { detailOf, fail, type Problem } from './failure.ts'
import { BrokenStream } from '../ports.ts'
import type { StreamPorts } from './stream.ts'

export async function hold(called: Called, receivedAtMs: number, ports: StreamPorts): Promise<Result<Answer, CallFailure>> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  while (bytes <= limits.heldAnswerBytesMax) {
    const read = await readChunk(called)
    if ('failed' in read) return fail(called, called.watch.why() ?? read, receivedAtMs, ports)
    if ('done' in read) return whole(called, concat(chunks, bytes), receivedAtMs, ports)
    chunks.push(read.chunk)
    bytes += read.chunk.length
  }
  if (!called.lane.mayPassUnread?.(called.asking, called.contentType))
    return fail(
      called,
      { failed: `an answer of more than ${limits.heldAnswerBytesMax} bytes, which has to be seen whole` },
      receivedAtMs,
      ports,
    )
  return ok(passOn(called, chunks, ports))
}

function whole(called: Called, body: Uint8Array, receivedAtMs: number, ports: StreamPorts): Result<Answer, CallFailure> {
  const read = called.lane.whole(body, called.contentType, called.asking)
  if (!read.ok) return fail(called, { fault: read.error }, receivedAtMs, ports)
  called.watch.end()
  const { usage, sense, contentType, headers } = read.value
  const ended: Ended = { how: 'complete', detail: null, bytes: read.value.body.length, usage, slowestGapMs: null, sense }
  return ok({
    status: called.status,
    contentType,
    headers: { ...headers, ...answerHeaders(called) },
    body: read.value.body,
    ttfbMs: ports.clock.nowMs() - called.sentAtMs,
    ended: Promise.resolve(ended),
  })
}

/** What goes with an answer beside its body: the upstream's session, and what a translation could not carry. */
export const answerHeaders = ({ headers, dropped }: Called): Record<string, string> => ({
  ...headers,
  ...(dropped.length > 0 ? { 'isochrone-dropped': dropped.join(', ').slice(0, 2_000) } : {}),
})

/** Half a document cannot carry an error: when the engine breaks off, so does the connection, and no client takes it for the whole. */
function passOn(called: Called, held: readonly Uint8Array[], ports: StreamPorts): Answer {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  writer.closed.catch(() => called.watch.cut('client_gone'))
  return {
    status: called.status,
    contentType: called.contentType,
    headers: answerHeaders(called),
    body: readable,
    ttfbMs: ports.clock.nowMs() - called.sentAtMs,
    ended: pump(called, held, writer),
  }
}

async function pump(called: Called, held: readonly Uint8Array[], writer: WritableStreamDefaultWriter<Uint8Array>): Promise<Ended> {
  let bytes = 0
  // Nobody has read it: neither what it used is known, nor what it is worth.
  const end = (how: Ended['how'], detail: string | null): Ended => ({ how, detail, bytes, usage: null, slowestGapMs: null, sense: null })
  const write = async (chunk: Uint8Array): Promise<boolean> => {
    bytes += chunk.length
    return untilCut(writer.write(chunk), called.watch.signal)
  }
  for (const chunk of held) {
    if (!(await write(chunk))) return gone(called, writer, end)
  }
  for (;;) {
    const read = await readChunk(called)
    if ('done' in read) {
      // Written, and so closed as soon as the client has read it; the deadline still bounds that.
      const closed = await untilCut(writer.close(), called.watch.signal)
      if (!closed) return gone(called, writer, end)
      called.watch.end()
      return end('complete', null)
    }
    if ('failed' in read) {
      const problem: Problem = called.watch.why() ?? read
      called.watch.cut('client_gone')
      void settled(writer.abort(new Error(detailOf(problem))))
      return end(problem === 'client_gone' || problem === 'deadline' ? problem : 'upstream_failed', detailOf(problem))
    }
    if (!(await write(read.chunk))) return gone(called, writer, end)
  }
}

async function gone(
  called: Called,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  end: (how: Ended['how'], detail: string | null) => Ended,
): Promise<Ended> {
  const how = called.watch.why() === 'deadline' ? 'deadline' : 'client_gone'
  called.watch.cut('client_gone')
  void settled(called.body.cancel())
  void settled(writer.abort(new Error(how)))
  return end(how, null)
}

export type Read = { readonly chunk: Uint8Array } | { readonly done: true } | { readonly failed: string }

export async function readChunk(called: Called): Promise<Read> {
  try {
    const read = await called.body.read()
    return read.done ? { done: true } : { chunk: read.value }
  } catch (cause) {
    // A container's own words may repeat the prompt, and this ends up in the log.
    const why = cause instanceof BrokenStream ? cause.code : cause instanceof Error ? cause.message : String(cause)
    return { failed: `the answer broke off: ${why}` }
  }
}

/** Whether it went well. Writing to, or closing, what the other side closed already is no error of ours. */
export async function settled(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch {
    return false
  }
}

/** Whether it went well before the call was cut: writing waits for the client, and past the deadline nobody is waited for. */
export function untilCut(work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const { promise: cut, resolve } = Promise.withResolvers<boolean>()
  const onAbort = () => resolve(false)
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  return Promise.race([settled(work), cut]).finally(() => signal.removeEventListener('abort', onAbort))
}
