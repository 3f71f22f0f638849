// A world for the request's way: every port as a fake that a test can turn, and a request that goes through it.

import { infer } from '../../edge/infer.ts'
import type { Asked, Dialect, Walked } from '../../edge/facts.ts'
import type { CredentialLookup, EdgePorts, RequestLine, UpstreamAnswer, UpstreamRequest } from '../../edge/ports.ts'
import { chat } from '../../edge/http/openai.ts'
import { emptyLedgerMemory, ledgers, type LedgerMemory } from '../../edge/adapters/ledgers.ts'
import { emptyLoadsMemory, loads } from '../../edge/adapters/loads.ts'
import { emptyReflexMemory, reflexes, type ReflexMemory } from '../../edge/adapters/reflexes.ts'
import { emptyShadowMemory, shadowPlaces, type ShadowMemory } from '../../edge/adapters/shadow-places.ts'
import { snapshots, type SnapshotMemory } from '../../edge/adapters/snapshots.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { limits } from '../../shared/limits.ts'
import { seededRandom } from '../../shared/random.ts'
import type { Signer } from '../../shared/signature.ts'
import { systemTimer } from '../../shared/system.ts'
import type { OriginName, RequestId } from '../../shared/ids.ts'
import type { Timer } from '../../shared/time.ts'
import type { ModelLoads } from '../../shared/wire/loads.ts'
import type { Snapshot } from '../../shared/wire/snapshot.ts'
import { fakeLedger, type FakeLedger } from './fake-ledger.ts'
import { keyText } from './credential.ts'
import { bytes, streamOf } from './stream.ts'

export type UpstreamFake = (request: UpstreamRequest, call: number) => Promise<Result<UpstreamAnswer, { detail: string }>>

export const json = (body: unknown, status = 200, retryAfter: string | null = null): Result<UpstreamAnswer, never> =>
  ok({ status, contentType: 'application/json', retryAfter, body: streamOf([JSON.stringify(body)]) })

export const sse = (...events: string[]): Result<UpstreamAnswer, never> =>
  ok({ status: 200, contentType: 'text/event-stream', retryAfter: null, body: streamOf(events.map((event) => `data: ${event}\n\n`)) })

export const unreachable = err({ detail: 'connection refused' })

export type World = {
  readonly ports: EdgePorts
  readonly ledger: FakeLedger
  readonly memory: SnapshotMemory
  readonly ledgerMemory: LedgerMemory
  readonly reflexMemory: ReflexMemory
  readonly shadowMemory: ShadowMemory
  /** The isolate learns the model's loads, as from a ledger's answer. */
  readonly tell: (told: ModelLoads) => void
  readonly log: RequestLine[]
  readonly sent: UpstreamRequest[]
  /** Waits for what goes on after the response. */
  readonly settle: () => Promise<void>
  /** What core has published: every ledger and home knows it, the isolate does not yet. */
  readonly publish: (snapshot: Snapshot) => Promise<void>
}

export async function world(
  snapshot: Snapshot,
  so: {
    readonly credential: CredentialLookup | ((snapshot: Snapshot) => CredentialLookup)
    readonly upstream?: UpstreamFake
    /** Verifies overrides; absent: a deployment without a secret. */
    readonly overrides?: Signer | null
  },
): Promise<World> {
  const ledger = fakeLedger()
  const memory: SnapshotMemory = { snapshot, confirmedAtMs: Date.now() }
  const log: RequestLine[] = []
  const sent: UpstreamRequest[] = []
  const pending: Promise<unknown>[] = []
  const clock = { nowMs: () => Date.now() }
  const timer = systemTimer
  const ledgerMemory = emptyLedgerMemory()
  const reflexMemory = emptyReflexMemory()
  const shadowMemory = emptyShadowMemory()
  const afterResponse = (work: Promise<unknown>) => void pending.push(work)
  const publish = async (published: Snapshot) => void (await ledger.exchange({ snapshot: published, cell: null }))
  await publish(snapshot)
  const known = snapshots(memory, {
    home: () => ledger,
    kv: { get: () => Promise.resolve(null) },
    signer: () => Promise.resolve(null),
    clock,
    timer,
    log: (line) => void log.push(line),
  })
  const told = loads(emptyLoadsMemory(), clock)
  const random = seededRandom(1)
  const ports: EdgePorts = {
    clock,
    timer,
    random,
    snapshots: known,
    credentials: { find: (_, under) => Promise.resolve(typeof so.credential === 'function' ? so.credential(under) : so.credential) },
    ledgers: ledgers(ledgerMemory, {
      ledger: () => ledger,
      clock,
      timer: reportingSoon,
      afterResponse,
      learn: (news) => {
        known.adopt(news)
        told.learn(news)
      },
      generation: () => memory.snapshot?.generation ?? 0,
      loadsSeqOf: told.seqOf,
      waitMsMin: 0,
    }),
    loads: told,
    reflexes: reflexes(reflexMemory, { clock, random }),
    upstream: {
      send: (request) => {
        sent.push(request)
        return so.upstream?.(request, sent.length) ?? Promise.resolve(json(answer()))
      },
    },
    cadences: { of: () => null, learn: () => undefined },
    overrides: () => Promise.resolve(so.overrides ?? null),
    shadows: shadowPlaces(shadowMemory),
    log: (line) => void log.push(line),
    afterResponse,
  }
  const settle = async () => {
    for (let done = 0; done < pending.length; done++) await pending[done]
  }
  const tell = (news: ModelLoads) => told.learn({ loads: news })
  return { ports, ledger, memory, ledgerMemory, reflexMemory, shadowMemory, tell, log, sent, settle, publish }
}

/** The real timer, but for reports: they leave a moment later instead of a quarter of a second, and one without an answer is lost after a second. */
const reportingSoon: Timer = {
  sleep: (forMs, signal) => {
    const shorter = new Map<number, number>([
      [limits.reportEveryMs, 1],
      [limits.reportWaitMsMax, 1_000],
    ])
    return systemTimer.sleep(shorter.get(forMs) ?? forMs, signal)
  },
}

/** A chat completion that needs no repair. */
export const answer = (content = 'hello') => ({
  id: 'c',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: 'stop' }],
})

/** A stream event with content. */
export const delta = (content: string): string =>
  JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content }, finish_reason: null }] })

let requests = 0

export function askedOf(body: unknown, so: Partial<Asked> & { readonly dialect?: Dialect } = {}): Asked {
  return {
    requestId: `req_${++requests}` as RequestId,
    receivedAtMs: Date.now(),
    dialect: chat,
    origin: 'enam' as OriginName,
    authorization: `Bearer ${keyText}`,
    deadline: null,
    timeoutMs: null,
    session: null,
    contentType: 'application/json',
    header: () => null,
    path: { model: null, version: null },
    body: {
      read: () => Promise.resolve(ok(bytes(typeof body === 'string' ? body : JSON.stringify(body)))),
      waitedMs: () => 0,
      discard: () => Promise.resolve(),
      forget: () => undefined,
    },
    gone: new AbortController().signal,
    ...so,
  }
}

export const question = { model: 'atlas', messages: [{ role: 'user', content: 'hi' }] }

export const go = (at: World, body: unknown = question, so: Partial<Asked> = {}): Promise<Walked> => infer(askedOf(body, so), at.ports)
