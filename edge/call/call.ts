// One attempt at one endpoint, up to a good status. Until then nothing was promised to the client, so every failure here can still be
// answered by another endpoint. Never retries by itself: infer.ts decides that.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { within } from '../../shared/time.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Admitted, Asked, Called, CallFailure, Routed, Watch } from '../facts.ts'
import type { Asking, Lane, Outgoing } from '../lane/lane.ts'
import type { EdgePorts, UpstreamAnswer } from '../ports.ts'
import { failureOf, retryAfterMs } from './classify.ts'
import { watch } from './watch.ts'

type Ports = Pick<EdgePorts, 'clock' | 'timer' | 'upstream'>

export type Way = {
  readonly lane: Lane
  readonly routed: Routed
  readonly firstTokenMs: number
  readonly headers: Readonly<Record<string, string>>
}

const noBytes = new Uint8Array(0)

const hard = (refusal: InferenceRefusal): CallFailure => ({ refusal, outcome: 'hard_failure', retryable: true })

/** Sends the request along its lane and waits for a good status. Its failure says whose fault it was and whether another endpoint may be tried. */
export async function call(asked: Asked, admitted: Admitted, way: Way, ports: Ports): Promise<Result<Called, CallFailure>> {
  const sentAtMs = ports.clock.nowMs()
  const leftMs = admitted.deadlineMs - sentAtMs
  const watching = watch(asked.gone, leftMs, ports.timer)
  const asking = askingOf(asked, admitted, way.routed)
  const outgoing = way.lane.outgoing(asking)
  // A stream shows life early; an answer in one piece comes when the whole of it is ready, and only the deadline bounds that.
  const waitMs = asking.stream ? Math.min(way.firstTokenMs, leftMs) : leftMs
  const begun = await within(begin(way, outgoing, asking, watching, ports), waitMs, null, ports.timer)
  if (begun?.ok) {
    // The bytes have gone; only what reads the answer is still needed.
    return ok({
      ...begun.value,
      lane: way.lane,
      asking: { ...asking, body: noBytes },
      dropped: outgoing.dropped,
      sentAtMs,
      watch: watching,
    })
  }

  const why = watching.why()
  // A late answer, if it still comes, must find its body cancelled.
  watching.cut('deadline')
  if (why === 'client_gone') return err({ refusal: { reason: 'client_gone' }, outcome: 'cancelled', retryable: false })
  if (why === 'deadline' || ports.clock.nowMs() >= admitted.deadlineMs) {
    const refusal: InferenceRefusal = { reason: 'deadline_exceeded', afterMs: ports.clock.nowMs() - asked.receivedAtMs }
    return err({ refusal, outcome: 'cancelled', retryable: false })
  }
  return err(begun ? begun.error : hard({ reason: 'upstream_timeout', afterMs: ports.clock.nowMs() - sentAtMs }))
}

const askingOf = (asked: Asked, admitted: Admitted, routed: Routed): Asking => ({
  body: admitted.bytes,
  json: admitted.wish.json,
  contentType: asked.contentType,
  header: asked.header,
  model: admitted.wish.model,
  servedName: routed.endpoint.servedName,
  stream: admitted.wish.stream,
})

type Begun = Pick<Called, 'status' | 'contentType' | 'headers' | 'body'>

async function begin(way: Way, outgoing: Outgoing, asking: Asking, watching: Watch, ports: Ports): Promise<Result<Begun, CallFailure>> {
  const sent = await ports.upstream.send({
    endpoint: way.routed.endpoint,
    method: outgoing.method,
    path: outgoing.path,
    // The request id ties an engine's log to ours; sessions mean something to servers that keep them.
    headers: { ...outgoing.headers, ...way.headers },
    body: outgoing.body,
    signal: watching.signal,
    stream: asking.stream,
  })
  if (!sent.ok) return err(hard({ reason: 'upstream_unreachable', detail: sent.error.detail }))
  const { status, contentType, body } = sent.value
  if (status < 200 || status > 299) return err(await refused(way.lane, sent.value, ports))
  if (!body) return err(hard({ reason: 'upstream_failed', status, detail: 'an answer without a body' }))
  return ok({ status, contentType, headers: sent.value.headers ?? {}, body: body.getReader() })
}

async function refused(lane: Lane, answer: UpstreamAnswer, ports: Ports): Promise<CallFailure> {
  const text = answer.body ? await readText(answer.body, limits.errorBodyBytesMax) : ''
  return failureOf(lane.fault(answer.status, text), retryAfterMs(answer.retryAfter, ports.clock.nowMs()))
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
