import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import { readReport, writeReport, type Report } from '../../../shared/wire/report.ts'

const digest = `sha256:${'0'.repeat(64)}`
const report: Report = {
  format: 1,
  set: { name: 'sums', digest, items: 3 },
  template: digest,
  scorer: 'exact 1',
  sampling: { temperature: 0, topP: 1, tokensMax: 96, seed: 1, stop: [] },
  metrics: [
    { name: 'accuracy', better: 'higher', top: 1 },
    { name: 'perplexity', better: 'lower', top: null },
  ],
  engine: 'vllm 0.27.1',
  version: { id: 'sums-2', digest },
  startedAtMs: 1_700_000_000_000,
  endedAtMs: 1_700_000_060_000,
  results: [
    { id: 'a', scores: [1, 3.5], tokens: 9 },
    { id: 'b', scores: [0, 12.25], tokens: 0 },
  ],
}

describe('a report', () => {
  it('is read as it was written, one item a line', () => {
    const text = writeReport(report)
    expect(readReport(text)).toEqual({ ok: true, value: report })
    expect(text.split('\n').filter((line) => line.includes('"scores"')).length).toBe(2)
    const empty = { ...report, results: [] }
    expect(readReport(writeReport(empty))).toEqual({ ok: true, value: empty })
  })

  it.each<[string, string, object]>([
    ['of another format', 'format', { format: 2 }],
    ['with a digest that is none', 'set.digest', { set: { ...report.set, digest: 'sha256:ABC' } }],
    ['of an empty set', 'set.items', { set: { ...report.set, items: 0 } }],
    ['with more answers than the set has items', 'results', { set: { ...report.set, items: 1 } }],
    ['without a metric', 'metrics', { metrics: [] }],
    ['with a metric twice', 'metrics', { metrics: [report.metrics[0], report.metrics[0]] }],
    ['with too few scores', 'results.0.scores', { results: [{ id: 'a', scores: [1], tokens: 1 }] }],
    ['with a score above the top', 'results.0.scores.0', { results: [{ id: 'a', scores: [1.5, 1], tokens: 1 }] }],
    ['with a negative score', 'results.0.scores.1', { results: [{ id: 'a', scores: [1, -1], tokens: 1 }] }],
    ['with part of a token', 'results.0.tokens', { results: [{ id: 'a', scores: [1, 1], tokens: 1.5 }] }],
    ['with an item twice', 'results', { results: [report.results[0], report.results[0]] }],
    ['with an id that is no plain word', 'results.0.id', { results: [{ id: 'a\nb', scores: [1, 1], tokens: 1 }] }],
    ['that ended before it began', 'endedAtMs', { endedAtMs: 1 }],
    ['with an answer in it', 'results.0.text', { results: [{ id: 'a', scores: [1, 1], tokens: 1, text: 'private' }] }],
    ['with a field too many', 'prompt', { prompt: 'private' }],
  ])('%s is refused at %s', (_, field, change) => {
    expect(readReport(JSON.stringify({ ...report, ...change }))).toMatchObject({ ok: false, error: { reason: 'broken_report', field } })
  })

  it.each([
    ['no JSON', '{'],
    ['no object', 'null'],
    ['too long', ' '.repeat(limits.reportCharsMax + 1)],
  ])('that is %s is refused as a whole', (_, text) => {
    expect(readReport(text)).toMatchObject({ ok: false, error: { field: 'report' } })
  })

  it('of the largest set with ordinary ids fits', () => {
    const results = Array.from({ length: limits.reportItemsMax }, (_, i) => ({ id: `item-${i}`, scores: [1, 3.5], tokens: 250 }))
    const largest = { ...report, set: { ...report.set, items: limits.reportItemsMax }, results }
    expect(writeReport(largest).length).toBeLessThan(limits.reportCharsMax)
    expect(readReport(writeReport(largest)).ok).toBe(true)
  })

  it('for all: whatever JSON comes in, nothing is thrown', () => {
    const known = fc.constantFrom(...Object.keys(report))
    fc.assert(
      fc.property(fc.dictionary(known, fc.jsonValue()), (changes) => {
        const read = readReport(JSON.stringify({ ...report, ...changes }))
        expect(read.ok || read.error.detail.length > 0).toBe(true)
      }),
    )
  })
})
