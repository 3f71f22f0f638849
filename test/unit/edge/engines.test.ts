// The engines' table against golden pages (test/golden/engines, their origin in its README), and the rules that no one page shows.

import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { newTally, renderMetrics } from '../../../cli/engine/metrics.ts'
import { read } from '../../../edge/probe/engines.ts'
import { readPage, type Page } from '../../../edge/probe/exposition.ts'
import { growthOf, quantile, type Bucket, type Counters } from '../../../edge/probe/rates.ts'
import type { EngineRecord } from '../../../shared/wire/probe.ts'

const folder = new URL('../../golden/engines/', import.meta.url)
const textOf = (file: string) => readFileSync(new URL(file, folder), 'utf8')

function pageOf(text: string): Page {
  const page = readPage(text)
  if (!page.ok) throw new Error(page.error.reason)
  return page.value
}

/** What a page says, after an earlier one where there was one. */
function readingOf(text: string, before: Counters | null = null, atMs = 1_000) {
  const reading = read(pageOf(text), before, atMs)
  if ('unreadable' in reading) throw new Error(reading.unreadable)
  return reading
}

const recordOf = (text: string, before: Counters | null = null, atMs = 1_000) => readingOf(text, before, atMs).record

/** As the expected records are written: six places. */
const rounded = (record: EngineRecord) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, typeof value === 'number' ? Number(value.toFixed(6)) : value]))

type Expected = { readonly after: string | null; readonly elapsedMs: number | null; readonly record: EngineRecord }

const golden = readdirSync(folder)
  .filter((file) => file.endsWith('.prom'))
  .map((file) => file.slice(0, -'.prom'.length))

describe('golden pages', () => {
  it.each(golden)('%s', (name) => {
    const expected = JSON.parse(textOf(`${name}.json`)) as Expected
    const before = expected.after === null ? null : readingOf(textOf(`${expected.after}.prom`)).counters
    // Counters may be stored in between.
    const stored = JSON.parse(JSON.stringify(before)) as Counters | null
    const reading = readingOf(textOf(`${name}.prom`), stored, 1_000 + (expected.elapsedMs ?? 0))
    expect(rounded(reading.record)).toEqual(expected.record)
  })

  it('cover every engine of the table, and each signal is told by one of them', () => {
    const records = golden.map((name) => (JSON.parse(textOf(`${name}.json`)) as Expected).record)
    expect(new Set(records.map(({ source }) => source))).toEqual(new Set(['vllm', 'sglang', 'tgi', 'triton', 'tensorrt-llm', 'llama.cpp']))
    const { version, ...signals } = Object.fromEntries(
      Object.keys(records[0] ?? {}).map((name) => [name, records.some((record) => record[name as keyof EngineRecord] !== null)]),
    )
    // No engine writes its version on this page.
    expect([version, Object.values(signals).every(Boolean)]).toEqual([false, true])
  })

  it.each(['vllm-0.27.1', 'sglang-0.5.4', 'tgi-3.3.4', 'trtllm-serve-1.3.0', 'triton-tensorrt-llm-24.10'])(
    '%s: a series that goes missing makes signals unknown, or an older name tells them; never zero',
    (name) => {
      const lines = textOf(`${name}.prom`).split(/\r?\n/)
      const nameOf = (line: string) => line.split(/[{ ]/)[0] ?? ''
      const missing = [...new Set(lines.filter((line) => line !== '' && !line.startsWith('#')).map(nameOf))]
      const zeros = missing.flatMap((gone) => {
        const record = recordOf(lines.filter((line) => nameOf(line) !== gone).join('\n'))
        return Object.entries(record).flatMap(([signal, value]) => (value === 0 ? [`${signal} without ${gone}`] : []))
      })
      expect(zeros).toEqual([])
      expect(missing.length).toBeGreaterThan(10)
    },
  )
})

describe('the local engine', () => {
  it('is read as llama.cpp', () => {
    const tally = { ...newTally(), promptTokens: 100, promptMs: 250, predictedTokens: 40, predictedMs: 800, decodes: 41, busySlots: 60 }
    expect(recordOf(renderMetrics(tally, { processing: 2, deferred: 5 }))).toMatchObject({
      source: 'llama.cpp',
      running: 2,
      waiting: 5,
      kvUsed: null,
    })
  })
})

describe('what is no engine', () => {
  it.each(['go_goroutines 7\nhttp_requests_total 3', 'sgl_router_active_workers 3', 'te_queue_size 1'])('%s is told apart', (text) => {
    expect(read(pageOf(text), null, 0)).toEqual({ unreadable: 'the page has no name that a known engine uses' })
  })
})

describe('ranks', () => {
  const counted = (series: readonly string[]) =>
    recordOf(series.map((labels, i) => `sglang:num_running_reqs{${labels}} ${i + 1}\nsglang:token_usage{${labels}} 0.${i + 1}`).join('\n'))

  it.each<readonly [string, readonly string[], number, number]>([
    ['data-parallel ranks are added, the fullest cache counts', ['dp_rank="0"', 'dp_rank="1"', 'dp_rank="2"'], 6, 0.3],
    ['tensor-parallel ranks run the same requests', ['tp_rank="0"', 'tp_rank="1"', 'tp_rank="2"'], 3, 0.3],
    ['both at once', ['dp_rank="0",tp_rank="0"', 'dp_rank="0",tp_rank="1"', 'tp_rank="0",dp_rank="1"', 'dp_rank="1",tp_rank="1"'], 6, 0.4],
    ['priorities stand beside their sum', ['priority="0"', 'priority="5"', 'priority=""'], 3, 0.3],
  ])('%s', (_, series, running, kvUsed) => {
    expect(counted(series)).toMatchObject({ running, kvUsed })
  })
})

describe('values', () => {
  it.each<readonly [string, string, number | null]>([
    ['a share', '0.25', 0.25],
    ['full', '1', 1],
    ['a little more than full', '1.2', 1],
    ['percent instead of a share', '25', null],
    ['negative', '-0.1', null],
    ['not a number', 'NaN', null],
    ['infinite', '+Inf', null],
  ])('KV use: %s', (_, value, kvUsed) => {
    expect(recordOf(`vllm:num_requests_running 1\nvllm:kv_cache_usage_perc ${value}`)).toMatchObject({ running: 1, kvUsed })
  })

  it.each<readonly [string, number | null]>([
    ['0', 0],
    ['10000000', 10_000_000],
    ['10000001', null],
    ['-1', null],
    ['NaN', null],
  ])('running %s is %j, and nothing else changes with it', (value, running) => {
    expect(recordOf(`vllm:num_requests_running ${value}\nvllm:num_requests_waiting 3`)).toMatchObject({ running, waiting: 3 })
  })

  it('a counter goes by its name with and without _total', () => {
    const page = (name: string, count: number) => `sglang:num_running_reqs 1\n${name} ${count}`
    for (const name of ['sglang:num_requests', 'sglang:num_requests_total']) {
      const before = readingOf(page(name, 10)).counters
      expect(recordOf(page(name, 16), before, 3_000).okPerS).toBe(3)
    }
  })

  it('newer names go before older ones, and an older one does when the newer is missing', () => {
    expect(recordOf('vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.2').kvUsed).toBe(0.2)
    expect(recordOf('vllm:gpu_cache_usage_perc 0.5').kvUsed).toBe(0.5)
  })

  it('with one rank awake the engine is awake; all states at zero say nothing', () => {
    const states = (...on: readonly (readonly [string, string, number])[]) =>
      recordOf(on.map(([engine, state, value]) => `vllm:engine_sleep_state{engine="${engine}",sleep_state="${state}"} ${value}`).join('\n'))
        .sleeping
    expect(states(['0', 'awake', 0], ['0', 'weights_offloaded', 1], ['1', 'awake', 1])).toBe(false)
    expect(states(['0', 'awake', 0], ['0', 'discard_all', 1])).toBe(true)
    expect(states(['0', 'awake', 0], ['0', 'discard_all', 0])).toBe(null)
  })

  it('adapters are few and their names short, whatever a page says', () => {
    const page = (running: string) => recordOf(`vllm:lora_requests_info{running_lora_adapters="${running}"} 1.7e9`).loras
    expect(page(' a , b,,a')).toEqual(['a', 'b'])
    expect(page('x'.repeat(5_000))).toEqual([])
    expect(page(Array.from({ length: 5_000 }, (_, i) => `lora-${i}`).join(','))).toHaveLength(256)
  })
})

describe('two pages', () => {
  const page = (model: string, us: number, ok: number) =>
    `nv_inference_request_success{model="${model}"} ${ok}\nnv_inference_request_duration_us{model="${model}"} ${us}\n`

  it("Triton's counters are those of the model with most of the time, and another model's are not compared with", () => {
    const before = readingOf(page('big', 9e6, 10) + page('small', 1e3, 500)).counters
    expect(recordOf(page('big', 15e6, 12) + page('small', 2e3, 900), before, 2_000)).toMatchObject({ okPerS: 2, serviceMeanMs: 3_000 })
    expect(recordOf(page('big', 9e6, 10) + page('small', 99e6, 900), before, 2_000)).toMatchObject({ okPerS: null, serviceMeanMs: 110 })
  })

  it('of two engines, or in the wrong order, are not compared', () => {
    const before = readingOf('sglang:num_requests_total 10').counters
    expect(recordOf('vllm:request_success_total 30', before, 2_000).okPerS).toBe(null)
    expect(recordOf('sglang:num_requests_total 30', before, 1_000).okPerS).toBe(null)
    expect(recordOf('sglang:num_requests_total 30', before, 2_000).okPerS).toBe(20)
  })

  it('when one count fell all are new; so they are when the process began anew, even if all are higher', () => {
    const counts = (ok: number, pre: number, start: number) =>
      `vllm:request_success_total ${ok}\nvllm:num_preemptions_total ${pre}\nprocess_start_time_seconds ${start}`
    const before = readingOf(counts(100, 4, 50)).counters
    expect(recordOf(counts(110, 5, 50), before, 2_000)).toMatchObject({ okPerS: 10, preemptionsPerS: 1 })
    expect(recordOf(counts(3, 5, 50), before, 2_000)).toMatchObject({ okPerS: 3, preemptionsPerS: 5 })
    expect(recordOf(counts(110, 5, 51), before, 2_000)).toMatchObject({ okPerS: 110, preemptionsPerS: 5 })
  })

  it('a series that appears later began at zero: many are written from their first event on', () => {
    const before = readingOf('tgi_queue_size 0\ntgi_request_success 5').counters
    const later = 'tgi_queue_size 0\ntgi_request_success 9\ntgi_request_failure{err="generation"} 2'
    expect(recordOf(later, before, 2_000)).toMatchObject({ okPerS: 4, failedPerS: 2 })
  })

  it('what callers did wrong, and refusals for want of room, are no failures', () => {
    const before = readingOf('tgi_queue_size 0').counters
    const failures = (...errs: readonly string[]) =>
      recordOf(`tgi_queue_size 0\n${errs.map((err) => `tgi_request_failure{err="${err}"} 1`).join('\n')}`, before, 2_000).failedPerS
    expect(failures('validation', 'overloaded', 'template', 'dropped', 'generation', 'incomplete')).toBe(2)
    expect(failures('validation')).toBe(null)
  })

  it('growth is what was added, for all counts that only grow, and all of it after a restart', () => {
    const counts = fc.dictionary(fc.constantFrom('ok', 'failed', 'served'), fc.nat({ max: 1_000 }))
    const at = (atMs: number, totals: Readonly<Record<string, number>>): Counters => ({
      atMs,
      of: 'vllm',
      startedAtS: null,
      totals,
      histograms: {},
    })
    fc.assert(
      fc.property(counts, counts, (first, added) => {
        const later = Object.fromEntries(Object.entries(added).map(([name, count]) => [name, (first[name] ?? 0) + count]))
        expect(growthOf(at(2, later), at(1, first)).totals).toEqual({ ...added })
        const grown = growthOf(at(2, added), at(1, { ...first, served: 5_000 })).totals
        if (added['served'] !== undefined) expect(grown).toEqual({ ...added })
      }),
    )
  })
})

describe('quantiles', () => {
  const inf = Number.POSITIVE_INFINITY
  // As histogram_quantile of Prometheus answers.
  it.each<readonly [string, number, readonly Bucket[], number | null]>([
    [
      'in the middle of a bucket',
      0.5,
      [
        [1, 0],
        [2, 10],
        [inf, 10],
      ],
      1.5,
    ],
    [
      'in the first bucket, which begins at zero',
      0.5,
      [
        [2, 10],
        [inf, 10],
      ],
      1,
    ],
    [
      'at a bound',
      0.5,
      [
        [1, 5],
        [2, 10],
        [inf, 10],
      ],
      1,
    ],
    [
      'beyond the last bound: its lower end',
      0.95,
      [
        [1, 5],
        [2, 10],
        [inf, 100],
      ],
      2,
    ],
    [
      'with empty buckets between',
      0.75,
      [
        [1, 5],
        [2, 5],
        [4, 5],
        [8, 10],
        [inf, 10],
      ],
      6,
    ],
    [
      'with a count that fell, which stays what it was',
      0.5,
      [
        [1, 6],
        [2, 4],
        [inf, 10],
      ],
      5 / 6,
    ],
    [
      'nothing observed',
      0.5,
      [
        [1, 0],
        [inf, 0],
      ],
      null,
    ],
    ['no buckets', 0.5, [], null],
    ['only the last bucket', 0.5, [[inf, 7]], null],
    [
      'no bucket that counts all',
      0.5,
      [
        [1, 5],
        [2, 7],
      ],
      null,
    ],
  ])('%s', (_, q, buckets, value) => {
    expect(quantile(q, buckets)).toEqual(value)
  })

  it('rise with the share and stay within the bounds', () => {
    const histogram = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 1_000 }), fc.nat({ max: 50 })), { minLength: 1, maxLength: 20 })
      .map((parts) => {
        let count = 0
        const bounds = [...new Map(parts)].toSorted(([a], [b]) => a - b).map(([le, more]): Bucket => [le, (count += more)])
        return [...bounds, [inf, count] as Bucket]
      })
    fc.assert(
      fc.property(
        histogram,
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (buckets, p, q) => {
          const [low, high] = [quantile(Math.min(p, q), buckets), quantile(Math.max(p, q), buckets)]
          const most = buckets.at(-2)?.[0] ?? 0
          const within = [low, high].map((value) => (value === null ? null : value >= 0 && value <= most))
          expect(within).toEqual(buckets.at(-1)?.[1] === 0 ? [null, null] : [true, true])
          expect((low ?? 0) <= (high ?? 0)).toBe(true)
        },
      ),
    )
  })
})
