// The pure parts of measuring: what an attempt came to, sets, traces, and the pace of a stream.

import { describe, expect, it } from 'vitest'
import { judgeLoad } from '../../../core/gate/load.ts'
import { outcomeOf, pauseMsAfter, type Reply } from '../../../cli/eval/attempt.ts'
import { heard, noPace, tpotMsOf } from '../../../cli/eval/pace.ts'
import { readSet } from '../../../cli/eval/set.ts'
import { plannedOf, traceText } from '../../../cli/eval/trace.ts'

const answer = (content: unknown, usage: unknown = { completion_tokens: 7 }) => ({ choices: [{ message: { content } }], usage })

describe('an attempt', () => {
  const reply = (more: Partial<Reply>): Reply => ({ status: 200, version: 'v2', retryAfter: null, body: answer('Nairobi.'), ...more })
  it.each([
    ['an answer', {}, 'answered'],
    ['an empty text', { body: answer('') }, 'answered'],
    ['no text', { body: answer(null) }, 'answered'],
    ['another version', { version: 'v1' }, 'hopeless'],
    ['no version', { version: null }, 'hopeless'],
    ['no tokens', { body: answer('x', null) }, 'failed'],
    ['half a token', { body: answer('x', { completion_tokens: 0.5 }) }, 'failed'],
    ['no choice', { body: { choices: [], usage: { completion_tokens: 1 } } }, 'failed'],
    ['no JSON', { body: undefined }, 'failed'],
    ['too many', { status: 429 }, 'again'],
    ['a server that fails', { status: 500 }, 'again'],
    ['one that is away', { status: 503, version: null }, 'again'],
    ['a bad request', { status: 400 }, 'failed'],
    ['a wrong key', { status: 401 }, 'hopeless'],
    ['a refused override', { status: 403 }, 'hopeless'],
    ['an unknown model', { status: 404 }, 'hopeless'],
  ])('%s', (_, more, kind) => expect(outcomeOf(reply(more), 'v2').kind).toBe(kind))

  it('waits longer each time, and as long as it is told within bounds', () => {
    expect([1, 2, 3, 4].map((attempt) => pauseMsAfter(attempt, null))).toEqual([500, 1_000, 2_000, 4_000])
    expect([pauseMsAfter(1, 7_000), pauseMsAfter(4, 1_000), pauseMsAfter(1, 9_000_000)]).toEqual([7_000, 4_000, 30_000])
    expect(outcomeOf(reply({ status: 429, retryAfter: '7' }), 'v2')).toMatchObject({ afterMs: 7_000 })
    expect(outcomeOf(reply({ status: 429, retryAfter: 'Wed, 21 Oct' }), 'v2')).toMatchObject({ afterMs: null })
  })
})

describe('a set', () => {
  const line = (more: object = {}): string => JSON.stringify({ id: 'a', prompt: 'p', expected: 'e', match: 'exact', ...more })

  it('is its items in order; empty lines are none', () => {
    const set = readSet(`${line()}\n\n${line({ id: 'b', expected: ['x', 'y'], match: 'contains', answer: 'more' })}\n`)
    expect(set.ok && set.value.map(({ id }) => id)).toEqual(['a', 'b'])
  })

  it.each([
    ['', 'there is no item in it'],
    ['{', 'line 1: it is not JSON'],
    [`${line()}\n${line()}`, 'line 2: the id "a" is there twice'],
    [line({ prompt: '' }), 'line 1: prompt'],
    [line({ match: 'fuzzy' }), 'line 1: match'],
    [line({ id: 'ä' }), 'line 1: id'],
    [line({ expected: [] }), 'line 1: expected'],
  ])('%j is refused', (text, why) => {
    const set = readSet(text)
    expect(set.ok ? '' : set.error).toContain(why)
  })
})

describe('a trace', () => {
  const trace = { requestsPerS: 4, durationMs: 60_000, seed: 1, tokensMax: 96 }

  it('is the same for the same seed, and another for another', () => {
    const text = (seed: number): string => traceText(plannedOf({ ...trace, seed }), trace)
    expect(text(1)).toBe(text(1))
    expect(text(1)).not.toBe(text(2))
  })

  it.each([1, 2, 3, 4, 5])('offers the load that is declared, in order of time (seed %i)', (seed) => {
    const planned = plannedOf({ ...trace, seed })
    const due = planned.map(({ dueMs }) => dueMs)
    expect(due).toEqual(due.toSorted((a, b) => a - b))
    expect(due.every((ms) => ms >= 0 && ms < trace.durationMs)).toBe(true)
    const samples = planned.map(() => ({ lateMs: 0, outcome: 'good' as const, ttftMs: 10, tpotMs: 1 }))
    const run = { ...trace, versionDigest: 'd', environment: 'staging', traceDigest: 't', samples }
    expect(judgeLoad(run, null, { mode: 'abort', ttftMsMax: 20, tpotMsMax: 5, parityBp: null })).toMatchObject({
      ok: true,
      value: { answer: 'pass' },
    })
  })

  it('lies like Poisson arrivals: gaps vary as much as they last', () => {
    const due = plannedOf({ ...trace, durationMs: 2_000_000 }).map(({ dueMs }) => dueMs)
    const gaps = due.slice(1).map((ms, index) => ms - (due[index] ?? 0))
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
    expect(deviation / mean).toBeGreaterThan(0.95)
    expect(deviation / mean).toBeLessThan(1.05)
  })
})

describe('the pace of a stream', () => {
  const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
  const piece = (content: string): string => event({ choices: [{ delta: { content } }] })

  it('is of its text alone, however it is cut', () => {
    const parts = [
      event({ choices: [{ delta: { role: 'assistant', content: '' } }] }),
      ': alive\n\n',
      piece('Nai'),
      piece('ro'),
      piece('bi'),
    ]
    const whole = [...parts, event({ choices: [], usage: { completion_tokens: 5 } }), 'data: [DONE]\n\n']
    const pace = whole.reduce((before, part, index) => heard(before, part, index * 10), noPace)
    expect(pace).toMatchObject({ firstMs: 20, lastMs: 40, pieces: 3, tokens: 5, done: true, failed: false })
    expect(tpotMsOf(pace)).toBe(5)
    const cut = whole
      .join('')
      .split('')
      .reduce((before, letter) => heard(before, letter, 0), noPace)
    expect(cut).toMatchObject({ pieces: 3, tokens: 5, done: true, failed: false })
  })

  it('of one token there is none', () => {
    expect(tpotMsOf(heard(noPace, piece('x'), 5))).toBeNull()
    expect(tpotMsOf(noPace)).toBeNull()
  })

  it.each([event({ error: { message: 'it broke' } }), 'data: {"half\n\n', `data: ${'x'.repeat(1024 * 1024)}`])(
    '%.20s has failed',
    (part) => {
      expect(heard(noPace, part, 0).failed).toBe(true)
    },
  )
})
