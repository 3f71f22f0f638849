// cli/engine/metrics.ts — what the engine has done, as llama.cpp's server words it in /metrics. Pure: a tally and gauges in, text out.

/** Grows only. `busySlots` sums, over all decode calls, the slots that took part. */
export type Tally = {
  promptTokens: number
  promptMs: number
  predictedTokens: number
  predictedMs: number
  decodes: number
  busySlots: number
  contextTokensMax: number
  served: number
  refused: number
  aborted: number
}

export type Gauges = { readonly processing: number; readonly deferred: number }

export function newTally(): Tally {
  return {
    promptTokens: 0,
    promptMs: 0,
    predictedTokens: 0,
    predictedMs: 0,
    decodes: 0,
    busySlots: 0,
    contextTokensMax: 0,
    served: 0,
    refused: 0,
    aborted: 0,
  }
}

const perSecond = (count: number, ms: number): number => (ms === 0 ? 0 : (count / ms) * 1000)

/** Prometheus text, version 0.0.4. Names, types and help texts are those of llama.cpp's tools/server. */
export function renderMetrics(tally: Readonly<Tally>, gauges: Gauges): string {
  const rows: readonly (readonly [name: string, type: 'counter' | 'gauge', help: string, value: number])[] = [
    ['prompt_tokens_total', 'counter', 'Number of prompt tokens processed.', tally.promptTokens],
    ['prompt_seconds_total', 'counter', 'Prompt process time', tally.promptMs / 1000],
    ['tokens_predicted_total', 'counter', 'Number of generation tokens processed.', tally.predictedTokens],
    ['tokens_predicted_seconds_total', 'counter', 'Predict process time', tally.predictedMs / 1000],
    ['n_decode_total', 'counter', 'Total number of llama_decode() calls', tally.decodes],
    ['n_tokens_max', 'counter', 'Largest observed n_tokens.', tally.contextTokensMax],
    ['prompt_tokens_seconds', 'gauge', 'Average prompt throughput in tokens/s.', perSecond(tally.promptTokens, tally.promptMs)],
    [
      'predicted_tokens_seconds',
      'gauge',
      'Average generation throughput in tokens/s.',
      perSecond(tally.predictedTokens, tally.predictedMs),
    ],
    ['requests_processing', 'gauge', 'Number of requests processing.', gauges.processing],
    ['requests_deferred', 'gauge', 'Number of requests deferred.', gauges.deferred],
    [
      'n_busy_slots_per_decode',
      'gauge',
      'Average number of busy slots per llama_decode() call',
      tally.busySlots / Math.max(tally.decodes, 1),
    ],
  ]
  return rows
    .map(([name, type, help, value]) => `# HELP llamacpp:${name} ${help}\n# TYPE llamacpp:${name} ${type}\nllamacpp:${name} ${value}\n`)
    .join('')
}
