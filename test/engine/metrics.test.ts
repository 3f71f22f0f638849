// The metrics page, byte for byte as a Prometheus reader wants it.
import { expect, it } from 'vitest'
import { newTally, renderMetrics } from '../../cli/engine/metrics.ts'

it('has a HELP, a TYPE and a value for each of llama.cpp’s metrics', () => {
  const tally = {
    ...newTally(),
    promptTokens: 30,
    promptMs: 500,
    predictedTokens: 100,
    predictedMs: 2000,
    decodes: 50,
    busySlots: 125,
    contextTokensMax: 77,
  }
  const text = renderMetrics(tally, { processing: 3, deferred: 2 })
  const rows = [...text.matchAll(/# HELP llamacpp:(\w+) .+\n# TYPE llamacpp:\1 (counter|gauge)\nllamacpp:\1 (\S+)\n/g)].map((row) =>
    row.slice(1),
  )
  expect(rows).toEqual([
    ['prompt_tokens_total', 'counter', '30'],
    ['prompt_seconds_total', 'counter', '0.5'],
    ['tokens_predicted_total', 'counter', '100'],
    ['tokens_predicted_seconds_total', 'counter', '2'],
    ['n_decode_total', 'counter', '50'],
    ['n_tokens_max', 'counter', '77'],
    ['prompt_tokens_seconds', 'gauge', '60'],
    ['predicted_tokens_seconds', 'gauge', '50'],
    ['requests_processing', 'gauge', '3'],
    ['requests_deferred', 'gauge', '2'],
    ['n_busy_slots_per_decode', 'gauge', '2.5'],
  ])
  expect(text.split('\n').length).toBe(rows.length * 3 + 1)
})

it('divides by nothing', () => {
  expect(renderMetrics(newTally(), { processing: 0, deferred: 0 })).not.toMatch(/NaN|Infinity/)
})
