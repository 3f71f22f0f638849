import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeAccuracy, type AccuracyResult } from '../../../core/gate/accuracy.ts'
import { limits } from '../../../shared/limits.ts'
import type { GateAnswer } from '../../../shared/wire/gate.ts'
import { readReport, type Report, type ReportItem, type ReportMetric } from '../../../shared/wire/report.ts'

const root = join(import.meta.dirname, '../../..')
const digest = (digit: string) => `sha256:${digit.repeat(64)}`
const share: ReportMetric = { name: 'accuracy', better: 'higher', top: 1 }

/** A report of such items; ids are their places. */
function reportOf(items: readonly Omit<ReportItem, 'id'>[], metrics: readonly ReportMetric[] = [share]): Report {
  return {
    format: 1,
    set: { name: 'set', digest: digest('a'), items: items.length },
    template: digest('b'),
    scorer: 'exact 1',
    sampling: { temperature: 0, topP: 1, tokensMax: 96, seed: 1, stop: [] },
    metrics,
    engine: 'engine 1',
    version: { id: 'v', digest: digest('c') },
    startedAtMs: 0,
    endedAtMs: 1,
    results: items.map((item, index) => ({ id: `i${index}`, ...item })),
  }
}

const repeated = (count: number, item: Omit<ReportItem, 'id'>) => Array.from({ length: count }, () => item)
/** So many right of so many, each with ten tokens. */
const right = (count: number, of: number) =>
  reportOf([...repeated(count, { scores: [1], tokens: 10 }), ...repeated(of - count, { scores: [0], tokens: 10 })])
/** All items with the same score. */
const graded = (score: number, metric: ReportMetric = share) => reportOf(repeated(200, { scores: [score], tokens: 10 }), [metric])
const long = (tokens: number) => reportOf(repeated(200, { scores: [1], tokens }))

function judged(measured: Report | null, reference: Report | null, targetBp: number): AccuracyResult {
  const result = judgeAccuracy(measured, reference, { mode: 'abort', targetBp })
  if (!result.ok) throw new Error(JSON.stringify(result.error))
  return result.value
}
const answer = (measured: Report | null, reference: Report | null, targetBp: number): GateAnswer =>
  judged(measured, reference, targetBp).answer

describe('the share that is kept', () => {
  it.each<[string, Report, Report, number, GateAnswer]>([
    ['0.99 of it at 99 %', graded(0.99), graded(1), 9_900, 'pass'],
    ['0.9899 at 99 %', graded(0.9899), graded(1), 9_900, 'fail'],
    ['0.999 at 99.9 %', graded(0.999), graded(1), 9_990, 'pass'],
    ['0.99899 at 99.9 %', graded(0.99899), graded(1), 9_990, 'fail'],
    // In doubles 0.13365 is below 0.135 x 0.99, and 0.334665 below 0.335 x 0.999.
    ['exactly 0.99 of 0.135', graded(0.13365), graded(0.135), 9_900, 'pass'],
    ['a millionth less', graded(0.133649), graded(0.135), 9_900, 'fail'],
    ['exactly 0.999 of 0.335', graded(0.334665), graded(0.335), 9_990, 'pass'],
    ['a millionth less', graded(0.334664), graded(0.335), 9_990, 'fail'],
    ['more than the reference', graded(0.8), graded(0.7), 9_990, 'pass'],
    ['9,900 of 10,000 right', right(9_900, 10_000), right(10_000, 10_000), 9_900, 'pass'],
    ['9,899', right(9_899, 10_000), right(10_000, 10_000), 9_900, 'fail'],
  ])('%s', (_, measured, reference, targetBp, expected) => {
    expect(answer(measured, reference, targetBp)).toBe(expected)
  })

  // Recorded GSM8K scores of variants of one model (BF16: 0.756) and of another (0.616): what published quantisations keep.
  it.each<[string, number, number, GateAnswer, GateAnswer]>([
    ['FP8', 0.753, 0.756, 'pass', 'fail'],
    ['INT8 W8A8', 0.728, 0.756, 'fail', 'fail'],
    ['AWQ', 0.716, 0.756, 'fail', 'fail'],
    ['W4A16', 0.7, 0.756, 'fail', 'fail'],
    ['FP8 of the other', 0.624, 0.616, 'pass', 'pass'],
  ])('%s', (_, measured, reference, at99, at999) => {
    expect(answer(graded(measured), graded(reference), 9_900)).toBe(at99)
    expect(answer(graded(measured), graded(reference), 9_990)).toBe(at999)
  })

  const errors: ReportMetric = { name: 'wer', better: 'lower', top: 100 }
  const perplexity: ReportMetric = { name: 'perplexity', better: 'lower', top: null }
  it.each<[string, ReportMetric, number, number, number, GateAnswer]>([
    // An error rate of 2 % leaves 98 %, of which 99 % are 97.02 %.
    ['an error rate at the edge', errors, 2.98, 2, 2.98, 'pass'],
    ['just above', errors, 2.980001, 2, 2.98, 'fail'],
    ['a lower one', errors, 1, 2, 2.98, 'pass'],
    ['a perplexity at the edge', perplexity, 10, 9.9, 10, 'pass'],
    ['just above', perplexity, 10.000002, 9.9, 10, 'fail'],
    ['a lower one', perplexity, 9, 9.9, 10, 'pass'],
  ])('lower is better: %s', (_, metric, measured, reference, threshold, expected) => {
    const [check] = judged(graded(measured, metric), graded(reference, metric), 9_900).checks
    expect(check).toMatchObject({ answer: expected, bound: 'most' })
    expect(check?.threshold).toBeCloseTo(threshold, 9)
  })

  it('every metric must keep it', () => {
    const two = [share, { ...share, name: 'rouge' }]
    const both = (a: number, b: number) => reportOf(repeated(200, { scores: [a, b], tokens: 10 }), two)
    expect(answer(both(1, 1), both(1, 1), 9_900)).toBe('pass')
    const result = judged(both(1, 0.98), both(1, 1), 9_900)
    expect(result.answer).toBe('fail')
    expect(result.checks.map((check) => [check.metric, check.answer])).toEqual([
      ['accuracy', 'pass'],
      ['rouge', 'fail'],
      ['generated_tokens', 'pass'],
    ])
  })

  it('for all: what passes at a target passes at any lower one, and never with fewer right', () => {
    const count = fc.integer({ min: 0, max: 500 })
    fc.assert(
      fc.property(count, count, fc.integer({ min: 1, max: 500 }), fc.integer({ min: 5_000, max: 10_000 }), (a, b, reference, targetBp) => {
        const passes = (n: number, bp: number) => answer(right(n, 500), right(reference, 500), bp) === 'pass'
        expect(passes(a, targetBp)).toBe(a * 10_000 >= reference * targetBp)
        if (passes(Math.min(a, b), targetBp)) expect(passes(Math.max(a, b), targetBp)).toBe(true)
        if (passes(a, targetBp)) expect(passes(a, targetBp - 1)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })
})

describe('the generated length', () => {
  it.each<[number, number, GateAnswer]>([
    [90, 100, 'pass'],
    [89, 100, 'fail'],
    [110, 100, 'pass'],
    [111, 100, 'fail'],
    [0, 0, 'pass'],
    [1, 0, 'fail'],
  ])('%i tokens against %i', (measured, reference, expected) => {
    expect(answer(long(measured), long(reference), 9_900)).toBe(expected)
  })

  it('shows the end that is nearer', () => {
    expect(judged(long(95), long(100), 9_900).checks[1]).toMatchObject({ threshold: 90, bound: 'least', measured: 95, reference: 100 })
    expect(judged(long(105), long(100), 9_900).checks[1]).toMatchObject({ threshold: 110, bound: 'most' })
  })
})

describe('what decides nothing', () => {
  it('a report that is missing is no data', () => {
    expect(answer(null, right(200, 200), 9_900)).toBe('no_data')
    expect(answer(right(200, 200), null, 9_900)).toBe('no_data')
    expect(judged(null, null, 9_900)).toMatchObject({ gate: 'accuracy', mode: 'abort', checks: [] })
  })

  it.each([
    [limits.accuracyItemsMin, 'pass', 'fail'],
    [limits.accuracyItemsMin - 1, 'inconclusive', 'inconclusive'],
  ] as const)('of %i items all right is %s, none right is %s', (items, good, bad) => {
    expect(answer(right(items, items), right(items, items), 9_900)).toBe(good)
    expect(answer(right(0, items), right(items, items), 9_900)).toBe(bad)
  })

  it('a reference that scores nothing', () => {
    expect(answer(right(200, 200), right(0, 200), 9_900)).toBe('inconclusive')
    const errors: ReportMetric = { name: 'errors', better: 'lower', top: 1 }
    expect(answer(graded(0, errors), graded(1, errors), 9_900)).toBe('inconclusive')
  })
})

describe('reports that are not comparable', () => {
  const base = right(150, 200)
  const sampled = (change: Partial<Report['sampling']>): Report => ({ ...base, sampling: { ...base.sampling, ...change } })

  it.each<[string, Report]>([
    ['set.digest', { ...base, set: { ...base.set, digest: digest('d') } }],
    ['set.items', { ...base, set: { ...base.set, items: 201 } }],
    ['template', { ...base, template: digest('d') }],
    ['scorer', { ...base, scorer: 'exact 2' }],
    ['sampling.temperature', sampled({ temperature: 0.7 })],
    ['sampling.topP', sampled({ topP: 0.9 })],
    ['sampling.tokensMax', sampled({ tokensMax: 128 })],
    ['sampling.seed', sampled({ seed: null })],
    ['sampling.stop', sampled({ stop: ['.'] })],
    ['metrics', { ...base, metrics: [{ ...share, better: 'lower' }] }],
    ['results', { ...base, results: base.results.map((item, index) => (index === 7 ? { ...item, id: 'other' } : item)) }],
  ])('%s differs', (field, other) => {
    for (const [measured, reference] of [
      [base, other],
      [other, base],
    ] as const) {
      const result = judgeAccuracy(measured, reference, { mode: 'observe', targetBp: 9_900 })
      expect(result).toMatchObject({ ok: false, error: { reason: 'reports_differ', field } })
    }
  })

  it('an item without an answer', () => {
    const less = { ...base, results: base.results.slice(1) }
    const refusal = (measured: Report, reference: Report) => judgeAccuracy(measured, reference, { mode: 'abort', targetBp: 9_900 })
    const error = { reason: 'report_incomplete', answered: 199, items: 200 }
    expect(refusal(less, base)).toMatchObject({ error: { ...error, of: 'measured' } })
    expect(refusal(base, less)).toMatchObject({ error: { ...error, of: 'reference' } })
  })

  it('another order, engine and version are no difference', () => {
    const other = { ...base, engine: 'engine 2', version: { id: 'w', digest: digest('d') }, results: base.results.toReversed() }
    expect(judged(other, base, 9_990)).toMatchObject({ answer: 'pass', paired: [{ lost: 0, gained: 0 }] })
  })
})

describe('real reports of the local engine (test/golden/reports)', () => {
  const golden = (name: string): Report => {
    const read = readReport(readFileSync(join(root, 'test/golden/reports', `${name}.json`), 'utf8'))
    if (!read.ok) throw new Error(`${name}: ${read.error.field} ${read.error.detail}`)
    return read.value
  }
  const sha256 = (file: string) =>
    `sha256:${createHash('sha256')
      .update(readFileSync(join(root, 'cli/engine/atlas', file)))
      .digest('hex')}`
  const reference = golden('atlas-2.f16')

  it.each<[string, number, GateAnswer, GateAnswer]>([
    ['atlas-2.f16', 915, 'pass', 'pass'],
    // One answer of 915 lost is more than one in a thousand.
    ['atlas-2.q8_0', 914, 'pass', 'fail'],
    ['atlas-2.q4_0', 907, 'pass', 'fail'],
    ['atlas-2.q2_k', 866, 'fail', 'fail'],
    ['atlas-1.q8_0', 663, 'fail', 'fail'],
  ])('%s with %i right', (name, count, at99, at999) => {
    const report = golden(name)
    expect(answer(report, reference, 9_900)).toBe(at99)
    const result = judged(report, reference, 9_990)
    expect(result.answer).toBe(at999)
    expect(result.checks[0]).toMatchObject({ measured: count / 1_000, reference: 0.915, samples: 1_000 })
    expect(result.checks[1]).toMatchObject({ metric: 'generated_tokens', answer: 'pass' })
  })

  it('the paired statistics tell chance from loss', () => {
    const of = (name: string) => judged(golden(name), reference, 9_900)
    const [q4, q2] = [of('atlas-2.q4_0'), of('atlas-2.q2_k')]
    expect(q4.paired[0]).toMatchObject({ metric: 'accuracy', lost: 12, gained: 4, method: 'bonett-price' })
    expect(q4.paired[0]?.pValue).toBeCloseTo(0.0768, 4)
    expect(q2.paired[0]).toMatchObject({ lost: 66, gained: 17 })
    expect(q2.paired[0]?.pValue).toBeLessThan(1e-6)
    // q2_k is worse than its threshold beyond doubt; of q4_0 the set cannot prove that it is not.
    const threshold = 0.915 * 0.99
    expect(q2.checks[0]?.interval?.high).toBeLessThan(threshold)
    expect(q4.checks[0]?.interval?.low).toBeLessThan(threshold)
    expect(q4.checks[0]?.interval?.high).toBeGreaterThan(threshold)
    expect(q4.paired[0]?.pairsNeeded).toBe(735)
  })

  it.each(['atlas-2.f16', 'atlas-2.q8_0', 'atlas-2.q4_0', 'atlas-2.q2_k', 'atlas-1.q8_0'])('%s is of the files as they are', (name) => {
    expect(golden(name).version.digest).toBe(sha256(`${name}.gguf`))
    expect(golden(name).set.digest).toBe(sha256('eval-heldout.jsonl'))
  })
})
