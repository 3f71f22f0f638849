// One attempt at one endpoint, up to the first byte of its answer. Until then nothing was promised to the client,
// so every failure here can still be answered by another endpoint. Never retries by itself: infer.ts decides that.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { within } from '../../shared/time.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Admitted, Asked, Called, CallFailure, Routed, Watch } from '../facts.ts'
import type { EdgePorts, UpstreamAnswer } from '../ports.ts'
import { failureOf, retryAfterMs } from './classify.ts'
import { spliceTopLevel } from './forward.ts'
import { watch } from './watch.ts'

type Ports = Pick<EdgePorts, 'clock' | 'timer' | 'upstream'>

const hard = (refusal: InferenceRefusal): CallFailure => ({ refusal, outcome: 'hard_failure', retryable: true })

/** Sends the request and waits for the first chunk of a 2xx answer. Its failure says whose fault it was and whether another endpoint may be tried. */
export async function call(asked: Asked, admitted: Admitted, routed: Routed, ports: Ports): Promise<Result<Called, CallFailure>> {
  const sentAtMs = ports.clock.nowMs()
  const leftMs = admitted.deadlineMs - sentAtMs
  const watching = watch(asked.gone, leftMs, ports.timer)
  const begun = await within(begin(asked, admitted, routed, watching, ports), Math.min(limits.firstByteMsMax, leftMs), null, ports.timer)
  const tookMs = ports.clock.nowMs() - sentAtMs
  if (begun?.ok) return ok({ ...begun.value, ttfbMs: tookMs })

  const why = watching.why()
  // A late answer, if it still comes, must find its body cancelled.
  watching.cut('deadline')
  if (why === 'client_gone') return err({ refusal: { reason: 'client_gone' }, outcome: 'cancelled', retryable: false })
  if (why === 'deadline' || ports.clock.nowMs() >= admitted.deadlineMs) {
    return err({
      refusal: { reason: 'deadline_exceeded', afterMs: ports.clock.nowMs() - asked.receivedAtMs },
      outcome: 'cancelled',
      retryable: false,
    })
  }
  return err(begun ? begun.error : hard({ reason: 'upstream_timeout', afterMs: tookMs }))
}

async function begin(
  asked: Asked,
  admitted: Admitted,
  routed: Routed,
  watching: Watch,
  ports: Ports,
): Promise<Result<Omit<Called, 'ttfbMs'>, CallFailure>> {
  const sent = await ports.upstream.send({
    url: routed.endpoint.url + asked.dialect.upstreamPath,
    headers: {
      'content-type': 'application/json',
      accept: admitted.wish.stream ? 'text/event-stream' : 'application/json',
      'x-request-id': asked.requestId,
    },
    body: bodyFor(admitted, routed),
    signal: watching.signal,
  })
  if (!sent.ok) return err(hard({ reason: 'upstream_unreachable', detail: sent.error.detail }))
  const { status, contentType, body } = sent.value
  if (status < 200 || status > 299) return err(await refused(sent.value, ports))
  if (!body) return err(hard({ reason: 'upstream_failed', status, detail: 'an answer without a body' }))
  const rest = body.getReader()
  const first = await firstChunk(rest)
  if (typeof first === 'string') return err(hard({ reason: 'upstream_failed', status, detail: first }))
  return ok({ status, contentType, first, rest, watch: watching })
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The caller's own bytes, unless the engine knows the model under another name. */
function bodyFor(admitted: Admitted, routed: Routed): Uint8Array {
  if (routed.endpoint.servedName === admitted.wish.model) return admitted.bytes
  return encoder.encode(spliceTopLevel(decoder.decode(admitted.bytes), 'model', routed.endpoint.servedName))
}

/** The first chunk that is not empty, or what went wrong instead. */
async function firstChunk(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | string> {
  try {
    for (;;) {
      const read = await reader.read()
      if (read.done) return 'the answer ended before its first byte'
      if (read.value.length > 0) return read.value
    }
  } catch (cause) {
    return `the answer broke off before its first byte: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

async function refused(answer: UpstreamAnswer, ports: Ports): Promise<CallFailure> {
  const text = answer.body ? await readText(answer.body, limits.errorBodyBytesMax) : ''
  return failureOf(answer.status, text, retryAfterMs(answer.retryAfter, ports.clock.nowMs()))
}

/** At most `bytesMax` of a body as text; what is unreadable counts as its end. */
async function readText(body: ReadableStream<Uint8Array>, bytesMax: number): Promise<string> {
  const reader = body.getReader()
  const text = new TextDecoder()
  let read = ''
  let bytes = 0
  try {
    while (bytes < bytesMax) {
      const { done, value } = await reader.read()
      if (done) return read + text.decode()
      bytes += value.length
      read += text.decode(value, { stream: true })
    }
    await reader.cancel()
  } catch {
    // A broken error body is an error all the same; what came of it is enough.
  }
  return read
}
