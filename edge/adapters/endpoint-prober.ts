// Probes over the network, by the way that requests go: the same judged addresses, credentials and adapters, and no redirect is followed.
// Reads a bounded part of whatever comes back. How long it may take is the signal's business.

import { concat } from '../../shared/bytes.ts'
import { limits } from '../../shared/limits.ts'
import type { Result } from '../../shared/result.ts'
import type { Clock } from '../../shared/time.ts'
import type { ServiceStatus } from '../../shared/wire/probe.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'
import type { Probed, Prober } from '../ledger/ports.ts'
import type { Upstream, UpstreamAnswer, UpstreamFailure } from '../ports.ts'
import { healthPathOf, metricsPlaceOf, questionsOf, type Question } from '../probe/probe.ts'
import {
  bad,
  generationReply,
  isWrongQuestion,
  livenessReply,
  metricsReply,
  refusedReply,
  statusReply,
  type MetricsNotes,
} from '../probe/replies.ts'
import { detailOf } from './redact.ts'

export type ProberSources = {
  readonly upstream: Upstream
  readonly clock: Clock
  /** What the service in front says of an endpoint that it runs. Never rejects. */
  readonly describe: (endpoint: Endpoint, signal: AbortSignal) => Promise<Result<ServiceStatus, UpstreamFailure>>
}

export function endpointProber(sources: ProberSources): Prober {
  return {
    probe: async ({ kind }, endpoint, notes, signal) => {
      const target = { endpoint, signal, sources }
      try {
        switch (kind) {
          case 'liveness':
            return await probeLiveness(target)
          case 'metrics':
            return await probeMetrics(target, (notes as MetricsNotes | undefined) ?? null)
          case 'generation':
            return await probeGeneration(target)
          case 'status':
            return await probeStatus(target)
        }
      } catch (cause) {
        return bad(`the answer broke off: ${detailOf(cause, [])}`)
      }
    },
  }
}

type Target = { readonly endpoint: Endpoint; readonly signal: AbortSignal; readonly sources: ProberSources }

async function probeLiveness(target: Target): Promise<Probed> {
  const path = healthPathOf[target.endpoint.kind]
  if (path === null) return bad('an endpoint of this kind has no place for its health')
  const sent = await get(target, path)
  if (!sent.ok) return bad(sent.error.detail)
  const { status, body } = sent.value
  if (status === 503) return livenessReply(status, textOf(await readBytes(body, limits.generationBytesMax)) ?? '')
  leave(body)
  return livenessReply(status, '')
}

async function probeMetrics(target: Target, notes: MetricsNotes | null): Promise<Probed> {
  const place = metricsPlaceOf(target.endpoint)
  if (!place) return bad('its metricsUrl is no address')
  const atMs = target.sources.clock.nowMs()
  const credential = credentialFor(target.endpoint, place.origin)
  const sent = await get({ ...target, endpoint: { ...target.endpoint, url: place.origin, credential } }, place.path)
  if (!sent.ok) return bad(sent.error.detail)
  const { status, body } = sent.value
  if (status > 299) {
    leave(body)
    return metricsReply(status, '', notes, atMs)
  }
  return metricsReply(status, textOf(await readBytes(body, limits.metricsBytesMax)), notes, atMs)
}

/** The credential is for the endpoint's own host, on whatever port that has its page: no other is to see it. */
const credentialFor = ({ url, credential }: Endpoint, origin: string): string | null =>
  URL.parse(url)?.hostname === URL.parse(origin)?.hostname ? credential : null

/** Asks one question after the other until one is answered, or refused for another reason than that it is the wrong one. */
async function probeGeneration(target: Target): Promise<Probed> {
  let reply: Probed = bad('none of its operations can be asked for a token')
  for (const question of questionsOf(target.endpoint)) {
    const sent = await ask(target, question)
    if (!sent.ok) return bad(sent.error.detail)
    const { status, contentType, body } = sent.value
    if (status <= 299) return generationReply(question, contentType, await readBytes(body, limits.generationBytesMax))
    reply = refusedReply(question, status, textOf(await readBytes(body, limits.generationBytesMax)) ?? '')
    if (!isWrongQuestion(status)) return reply
  }
  return reply
}

async function probeStatus({ endpoint, signal, sources }: Target): Promise<Probed> {
  const described = await sources.describe(endpoint, signal)
  return described.ok ? statusReply(described.value) : bad(described.error.detail)
}

type Sent = Result<UpstreamAnswer, UpstreamFailure>

const get = ({ endpoint, signal, sources }: Target, path: string): Promise<Sent> =>
  sources.upstream.send({ endpoint, method: 'GET', path, headers: {}, body: new Uint8Array(0), signal, stream: false })

function ask({ endpoint, signal, sources }: Target, { lane, asking }: Question): Promise<Sent> {
  const { method, path, headers, body } = lane.outgoing(asking)
  return sources.upstream.send({ endpoint, method, path, headers, body, signal, stream: false })
}

/** The whole body; null when it has more than `bytesMax`, and then the rest is not taken. Rejects when it breaks off. */
async function readBytes(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<Uint8Array | null> {
  if (!body) return new Uint8Array(0)
  const reader = body.getReader()
  const parts: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    length += value.length
    if (length > bytesMax) {
      void reader.cancel().catch(() => undefined)
      return null
    }
    parts.push(value)
  }
  return concat(parts, length)
}

const textOf = (bytes: Uint8Array | null): string | null => bytes && new TextDecoder().decode(bytes)

/** A body that nobody reads would keep its connection. */
const leave = (body: ReadableStream<Uint8Array> | null): void => void body?.cancel().catch(() => undefined)
