// What an engine's page of metrics says, in one shape for all engines: one table of names, older ones behind newer ones, and one way to read
// it. Absent, not a number, negative and absurd are all "not told", never zero. Knows nothing of who asks or what follows. Pure.
//
// Rates, means and quantiles are of the time between two pages; on the first page means and quantiles are of the engine's whole life, and
// rates are not told. Where nothing happened in between, means and quantiles are not told either.

import { limits } from '../../shared/limits.ts'
import type { EngineRecord } from '../../shared/wire/probe.ts'
import type { Page } from './exposition.ts'
import { growthOf, quantile, quotient, ratePerS, type Counters, type Growth } from './rates.ts'
import { amount, buckets, counted, find, findCounter, fullest, share, suffixed, sum, timeMs, type Names, type Series } from './series.ts'

/** A histogram, by the names of its family. */
type Times = { readonly names: Names; readonly msPerUnit: number }
type Mean = { readonly sum: Names; readonly count: Names; readonly msPerUnit: number }

type Engine = {
  readonly source: EngineRecord['source']
  /** A page with a name that begins so is this engine's. */
  readonly mark: string
  readonly running?: Names
  readonly waiting?: Names
  readonly slots?: Names
  readonly kvUsed?: Names
  /** Of several parts the quantiles are added. */
  readonly ttft?: readonly Times[]
  readonly tpot?: readonly Times[]
  /** What grows while answers are being made, and not only with their ends. */
  readonly tokens?: Names
  /** The first that the page has. */
  readonly service?: readonly Mean[]
  /** Found in the cache, and looked for, in the same unit. */
  readonly hits?: Names
  readonly lookups?: Names
  /** As the engine itself divides them, where it does not tell both. */
  readonly hitRate?: Names
  readonly preemptions?: Names
  readonly ok?: Names
  /** Not among them: what callers did wrong or gave up, and refusals for want of room. */
  readonly failed?: Names
  readonly loras?: Names
  readonly sleep?: Names
  /** One page for several models: counters are those of the model that has most of the first of these. */
  readonly models?: Names
}

const seconds = (...names: readonly (string | Series)[]): Times => ({ names, msPerUnit: 1000 })
const meanSeconds = (family: string): Mean => ({ sum: [`${family}_sum`], count: [`${family}_count`], msPerUnit: 1000 })
const meanMicroseconds = (sum: string, count: string): Mean => ({ sum: [sum], count: [count], msPerUnit: 0.001 })

const triton: Engine = {
  source: 'triton',
  mark: 'nv_inference_',
  // Not nv_inference_exec_count for `running`: it counts batches since the start.
  waiting: ['nv_inference_pending_request_count'],
  ttft: [{ names: ['nv_inference_first_response_histogram_ms'], msPerUnit: 1 }],
  service: [
    meanMicroseconds('nv_inference_request_duration_us', 'nv_inference_request_success'),
    meanMicroseconds('nv_inference_request_summary_us_sum', 'nv_inference_request_summary_us_count'),
  ],
  ok: ['nv_inference_request_success'],
  failed: [{ name: 'nv_inference_request_failure', but: ['reason', /^(?:CANCELED|REJECTED)$/] }],
  // An ensemble counts a request for itself and for each of its parts; its own time holds all of theirs.
  models: ['nv_inference_request_duration_us', 'nv_inference_request_summary_us_sum', 'nv_inference_request_success'],
}

/** The table. A counter's `_total` is left out: some exporters add it and some do not. The first that fits is taken: Triton may run vLLM. */
const engines: readonly Engine[] = [
  {
    source: 'vllm',
    mark: 'vllm:',
    running: ['vllm:num_requests_running'],
    waiting: ['vllm:num_requests_waiting', 'vllm:num_requests_waiting_by_reason'],
    kvUsed: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
    ttft: [seconds('vllm:time_to_first_token_seconds')],
    // The older name was the gap between tokens too; the last one is a request's mean.
    tpot: [seconds('vllm:inter_token_latency_seconds', 'vllm:time_per_output_token_seconds', 'vllm:request_time_per_output_token_seconds')],
    tokens: ['vllm:generation_tokens'],
    service: [meanSeconds('vllm:e2e_request_latency_seconds')],
    hits: ['vllm:prefix_cache_hits', 'vllm:gpu_prefix_cache_hits'],
    lookups: ['vllm:prefix_cache_queries', 'vllm:gpu_prefix_cache_queries'],
    hitRate: ['vllm:gpu_prefix_cache_hit_rate'],
    preemptions: ['vllm:num_preemptions'],
    ok: [{ name: 'vllm:request_success', but: ['finished_reason', /^(?:abort|error)$/] }],
    failed: [{ name: 'vllm:request_success', only: ['finished_reason', /^error$/] }],
    loras: ['vllm:lora_requests_info'],
    sleep: ['vllm:engine_sleep_state'],
  },
  {
    source: 'sglang',
    mark: 'sglang:',
    running: ['sglang:num_running_reqs'],
    waiting: ['sglang:num_queue_reqs'],
    kvUsed: ['sglang:token_usage'],
    ttft: [seconds('sglang:time_to_first_token_seconds')],
    tpot: [seconds('sglang:inter_token_latency_seconds', 'sglang:time_per_output_token_seconds')],
    service: [meanSeconds('sglang:e2e_request_latency_seconds')],
    hits: ['sglang:cached_tokens'],
    lookups: ['sglang:prompt_tokens'],
    hitRate: ['sglang:cache_hit_rate'],
    // Not the older gauge num_retracted_reqs, which says how many there were in the last step.
    preemptions: ['sglang:num_retracted_requests'],
    // Aborted ones are those that callers gave up; failures are not counted.
    ok: ['sglang:num_requests'],
  },
  {
    source: 'tgi',
    mark: 'tgi_',
    running: ['tgi_batch_current_size'],
    waiting: ['tgi_queue_size'],
    // No histogram of its own: a request waits, then its prompt is run. The sum of two p95 is somewhat above the p95 of the sum.
    ttft: [seconds('tgi_request_queue_duration'), seconds({ name: 'tgi_batch_forward_duration', only: ['method', /^prefill$/] })],
    tpot: [seconds('tgi_request_mean_time_per_token_duration')],
    service: [meanSeconds('tgi_request_duration')],
    ok: ['tgi_request_success'],
    failed: [{ name: 'tgi_request_failure', but: ['err', /^(?:validation|template|dropped|cancelled|overloaded)$/] }],
  },
  {
    source: 'tensorrt-llm',
    mark: 'trtllm_',
    running: ['trtllm_num_requests_running'],
    waiting: ['trtllm_num_requests_waiting'],
    slots: ['trtllm_max_num_active_requests'],
    kvUsed: ['trtllm_kv_cache_utilization'],
    ttft: [seconds('trtllm_time_to_first_token_seconds')],
    tpot: [seconds('trtllm_time_per_output_token_seconds')],
    service: [meanSeconds('trtllm_e2e_request_latency_seconds')],
    hits: ['trtllm_prompt_cached_tokens'],
    lookups: ['trtllm_prompt_tokens'],
    hitRate: ['trtllm_kv_cache_hit_rate'],
    ok: ['trtllm_request_success'],
    failed: [{ name: 'trtllm_request_error', but: ['http_code', /^4/] }],
  },
  {
    ...triton,
    source: 'tensorrt-llm',
    mark: 'nv_trt_llm_',
    running: [{ name: 'nv_trt_llm_request_metrics', only: ['request_type', /^scheduled$/] }],
    waiting: [{ name: 'nv_trt_llm_request_metrics', only: ['request_type', /^waiting$/] }, ...(triton.waiting ?? [])],
    slots: [{ name: 'nv_trt_llm_request_metrics', only: ['request_type', /^max$/] }],
    kvUsed: [{ name: 'nv_trt_llm_kv_cache_block_metrics', only: ['kv_cache_block_type', /^fraction$/] }],
  },
  triton,
  {
    source: 'llama.cpp',
    mark: 'llamacpp:',
    running: ['llamacpp:requests_processing'],
    waiting: ['llamacpp:requests_deferred'],
    kvUsed: ['llamacpp:kv_cache_usage_ratio'],
    // Its tokens are counted when an answer has ended; a call of the model is a token for each request that runs.
    tokens: ['llamacpp:n_decode'],
  },
]

export type Reading = { readonly record: EngineRecord; readonly counters: Counters } | { readonly unreadable: string }

/** A page's record, and the counters to keep for a later one. `before` are those of an earlier page, `atMs` when this one was asked for. */
export function read(page: Page, before: Counters | null, atMs: number): Reading {
  const engine = engineOf(page)
  if (!engine) return { unreadable: 'the page has no name that a known engine uses' }
  const counters = countersOf(page, engine, atMs)
  const growth = growthOf(counters, before)
  const gauge = (names?: Names) => amount(sum(find(page, names)))
  const fill = (names?: Names) => share(fullest(find(page, names)))
  return {
    counters,
    record: {
      source: engine.source,
      running: gauge(engine.running),
      waiting: gauge(engine.waiting),
      slots: gauge(engine.slots),
      kvUsed: fill(engine.kvUsed),
      ttftP50Ms: timeMs(quantileMs(growth, 'ttft', engine.ttft, 0.5)),
      ttftP95Ms: timeMs(quantileMs(growth, 'ttft', engine.ttft, 0.95)),
      tpotP50Ms: timeMs(quantileMs(growth, 'tpot', engine.tpot, 0.5)),
      tokensPerS: amount(ratePerS(growth, 'tokens')),
      serviceMeanMs: timeMs(quotient(growth, 'serviceMs', 'served')),
      prefixHitRate: share(quotient(growth, 'hits', 'lookups')) ?? fill(engine.hitRate),
      preemptionsPerS: amount(ratePerS(growth, 'preemptions')),
      okPerS: amount(ratePerS(growth, 'ok')),
      failedPerS: amount(ratePerS(growth, 'failed')),
      loras: lorasOf(page, engine.loras),
      sleeping: sleepingOf(page, engine.sleep),
      // None of them writes it on this page.
      version: null,
    },
  }
}

function engineOf(page: Page): Engine | null {
  const names = [...page.samples.keys()]
  return engines.find(({ mark }) => names.some((name) => name.startsWith(mark))) ?? null
}

/** The counters that the record needs, of the busiest model where the page has several. */
function countersOf(page: Page, engine: Engine, atMs: number): Counters {
  const model = busiest(page, engine.models)
  const found = (names?: Names) => findCounter(page, names).filter(({ labels }) => model === null || labels.get('model') === model)
  const total = (names?: Names) => counted(sum(found(names)))
  const mean = engine.service?.find((of) => total(of.sum) !== null && total(of.count) !== null)
  const serviceUnits = total(mean?.sum)
  const totals = {
    ok: total(engine.ok),
    failed: total(engine.failed),
    preemptions: total(engine.preemptions),
    tokens: total(engine.tokens),
    hits: total(engine.hits),
    lookups: total(engine.lookups),
    serviceMs: mean && serviceUnits !== null ? serviceUnits * mean.msPerUnit : null,
    served: total(mean?.count),
  }
  const histogram = ({ names }: Times) => buckets(found(suffixed(names, '_bucket')))
  const named = (signal: string, parts: readonly Times[] = []) =>
    parts.map((times, part) => [`${signal}${part}`, histogram(times)] as const)
  return {
    atMs,
    of: model === null ? engine.source : `${engine.source} ${model}`,
    startedAtS: counted(sum(find(page, ['process_start_time_seconds']))),
    totals: Object.fromEntries(Object.entries(totals).flatMap(([name, value]) => (value === null ? [] : [[name, value]]))),
    histograms: Object.fromEntries([...named('ttft', engine.ttft), ...named('tpot', engine.tpot)]),
  }
}

function busiest(page: Page, names?: Names): string | null {
  const byModel = Map.groupBy(find(page, names), ({ labels }) => labels.get('model') ?? '')
  const [first] = [...byModel].map(([model, samples]) => ({ model, most: sum(samples) ?? 0 })).toSorted((a, b) => b.most - a.most)
  return first?.model ?? null
}

function quantileMs(growth: Growth, signal: string, parts: readonly Times[] = [], q: number): number | null {
  const all = parts.map(({ msPerUnit }, part) => {
    const value = quantile(q, growth.histograms[`${signal}${part}`] ?? [])
    return value === null ? null : value * msPerUnit
  })
  return all.length === 0 ? null : all.reduce((total, ms) => (total === null || ms === null ? null : total + ms), 0)
}

/** vLLM writes one series for each set of adapters it has seen; their values are times, and the latest is what it runs now. */
function lorasOf(page: Page, names?: Names): readonly string[] | null {
  const dated = find(page, names).filter(({ value }) => counted(value) !== null)
  const [latest] = dated.toSorted((a, b) => b.value - a.value)
  if (!latest) return null
  const adapters = (latest.labels.get('running_lora_adapters') ?? '').split(',').map((name) => name.trim())
  return [...new Set(adapters)].filter((name) => name !== '' && name.length <= limits.engineLoraCharsMax).slice(0, limits.engineLorasMax)
}

/** One series for each state, 1 where it holds. With several ranks, one that is awake can serve. */
function sleepingOf(page: Page, names?: Names): boolean | null {
  const states = find(page, names).flatMap(({ labels, value }) => (value > 0 ? [labels.get('sleep_state')] : []))
  if (states.includes('awake')) return false
  return states.includes('weights_offloaded') || states.includes('discard_all') ? true : null
}
