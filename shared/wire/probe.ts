// What core wants probed, and what came of it. Orders go down and results come up with the exchange: the ledger object stands near its
// endpoints, so a probe's time is theirs and not that of the way from core. Plain data: it crosses between Workers and deployments.

import type { EndpointId } from '../ids.ts'
import type { Operation } from '../operations.ts'

/**
 * liveness: the server's health path. metrics: its Prometheus page. generation: one token, for a wedged engine still answers its health path.
 * status: what the service in front says of it (SageMaker's DescribeEndpoint).
 */
export const probeKinds = ['liveness', 'metrics', 'generation', 'status'] as const
export type ProbeKind = (typeof probeKinds)[number]

/** What a generation probe can ask for, in this order. Only the model's owner knows what tensors `infer` takes, so it is not among them. */
export const probedOperations = ['chat', 'messages', 'completions', 'generate', 'embeddings'] as const satisfies readonly Operation[]

/** `id` is unique; a result carries it back, so that a late or repeated one is folded once. */
export type ProbeOrder = { readonly id: string; readonly endpoint: EndpointId; readonly kind: ProbeKind; readonly timeoutMs: number }

/** One engine's numbers in one shape, whatever its make. null is "not told", which is never zero. Times in milliseconds, shares in 0..1. */
export type EngineRecord = {
  /** Which row of the table read the page. */
  readonly source: 'vllm' | 'sglang' | 'tgi' | 'triton' | 'tensorrt-llm' | 'llama.cpp' | 'sagemaker'
  readonly running: number | null
  readonly waiting: number | null
  /** Requests it can run at once, where it says so. */
  readonly slots: number | null
  /** Part of the KV cache in use; of several ranks the fullest. */
  readonly kvUsed: number | null
  readonly ttftP50Ms: number | null
  readonly ttftP95Ms: number | null
  readonly tpotP50Ms: number | null
  /** Tokens it makes, over all its requests; 0 while it runs some says that it is stuck. Absent in records of earlier releases. */
  readonly tokensPerS?: number | null
  /** Mean time of a request from arrival to its last token. */
  readonly serviceMeanMs: number | null
  /** Part of the prompt's blocks found in the cache. */
  readonly prefixHitRate: number | null
  readonly preemptionsPerS: number | null
  readonly okPerS: number | null
  readonly failedPerS: number | null
  /** Adapters that are loaded and used; null when it has no such series. */
  readonly loras: readonly string[] | null
  /** Awake, or put to sleep to free the GPU; null when it does not tell. */
  readonly sleeping: boolean | null
  readonly version: string | null
}

/** What a service says of an endpoint that it runs (status probes). */
export type ServiceStatus = {
  /** The service's own word, such as InService. */
  readonly status: string
  readonly instances: number | null
  readonly instancesWanted: number | null
}

export type ProbeResult = {
  readonly id: string
  readonly endpoint: EndpointId
  readonly kind: ProbeKind
  /** When it was sent, by the ledger's clock, and how long it took. */
  readonly atMs: number
  readonly tookMs: number
  readonly ok: boolean
  /** What came back or went wrong, in at most 200 characters, without credentials. */
  readonly detail: string
  /** The probe was not made: the ledger has no such endpoint, or no place came free in time. It says nothing of the endpoint. */
  readonly notDone?: boolean
  /** Its time was over before the server had answered whole. */
  readonly timedOut?: boolean
  /** The engine answered that it is still loading its model (503 of a llama.cpp server, SageMaker's Creating). */
  readonly warming?: boolean
  /** Of a metrics probe that could be read. */
  readonly engine?: EngineRecord | null
  /** Of a status probe that was answered. */
  readonly service?: ServiceStatus | null
}
