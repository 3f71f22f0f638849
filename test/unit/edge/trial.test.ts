// What a request tells of its version, by what became of it.

import { describe, expect, it } from 'vitest'
import { arrivalOf, judgementOf, type Judged, type Trial } from '../../../edge/record/trial.ts'
import type { Ended } from '../../../edge/facts.ts'
import { limits } from '../../../shared/limits.ts'
import type { VersionId } from '../../../shared/ids.ts'
import { noPart, timeClassOf } from '../../../shared/wire/trial.ts'

const leftAtMs = 1_234_567
const trial: Trial = {
  leftAtMs,
  assigned: {
    version: 'atlas-2' as VersionId,
    assignment: { alias: 'production/atlas', write: 'r:3', forced: false, counts: true, shadow: null },
  },
}
const sense = { empty: false, schema: null, textHash: null }
const whole: Ended = { how: 'complete', detail: null, bytes: 9, usage: null, slowestGapMs: null, sense }
const streamed: Ended = { ...whole, slowestGapMs: 0 }
const tokens = (outputTokens: number | null) => ({ inputTokens: 5, outputTokens, cachedTokens: null })

const served = (ended: Ended | null, ttfbMs = 400, tookMs = 1_400) => ({ ttfbMs, tookMs, ended })
const judge = (so: Partial<Judged>) => judgementOf(trial, { stream: false, failed: [], refused: null, served: null, ...so })
const refusedFor = (reason: Judged['refused']) => judge({ stream: true, refused: reason })
const times = (ms: number) => ({ [timeClassOf(ms)]: 1 })

describe('the arrival', () => {
  it('is counted in the ten seconds in which the request came, for its alias, version and write, and says nothing else', () => {
    expect(arrivalOf(trial)).toEqual({
      alias: 'production/atlas',
      version: 'atlas-2',
      write: 'r:3',
      slotMs: 1_230_000,
      shadow: false,
      arrived: 1,
      judged: 0,
      hardErrors: 0,
      empty: noPart,
      schema: noPart,
      earlyAborts: noPart,
      ttft: {},
      tpot: {},
      compared: null,
    })
  })
})

describe('the judgement', () => {
  it('is of the same identity, and counts no arrival', () => {
    const { alias, version, write, slotMs, shadow, compared } = arrivalOf(trial)
    expect(judge({ served: served(whole) })).toMatchObject({ alias, version, write, slotMs, shadow, compared, arrived: 0, judged: 1 })
  })

  it.each<{ name: string; so: Partial<Judged>; hardErrors: number }>([
    { name: 'a good answer', so: { served: served(whole) }, hardErrors: 0 },
    { name: 'one that still flows', so: { stream: true, served: served(null) }, hardErrors: 0 },
    { name: 'none yet', so: {}, hardErrors: 0 },
    { name: 'one that broke off', so: { stream: true, served: served({ ...streamed, how: 'upstream_failed' }) }, hardErrors: 1 },
    { name: 'the caller left', so: { stream: true, served: served({ ...streamed, how: 'client_gone' }) }, hardErrors: 0 },
    { name: 'his deadline came', so: { stream: true, served: served({ ...streamed, how: 'deadline' }) }, hardErrors: 0 },
    { name: 'saved by another attempt', so: { failed: [{ outcome: 'hard_failure' }], served: served(whole) }, hardErrors: 1 },
    { name: 'failed twice', so: { failed: [{ outcome: 'hard_failure' }, { outcome: 'hard_failure' }] }, hardErrors: 1 },
    { name: 'a copy that was too late', so: { failed: [{ outcome: 'cancelled' }], served: served(whole) }, hardErrors: 0 },
    { name: 'sent on by a busy engine', so: { failed: [{ outcome: 'soft_failure' }], served: served(whole) }, hardErrors: 0 },
    { name: 'the engine blames the caller', so: { failed: [{ outcome: 'good' }] }, hardErrors: 0 },
  ])('hard errors: $name: $hardErrors', ({ so, hardErrors }) => {
    expect(judge(so).hardErrors).toBe(hardErrors)
  })

  it.each<[Judged['refused'], number]>([
    ['no_endpoint', 1],
    ['no_healthy_endpoint', 1],
    ['no_capacity', 1],
    ['upstream_unreachable', 1],
    ['upstream_timeout', 1],
    ['upstream_failed', 1],
    ['upstream_busy', 1],
    ['upstream_stalled', 1],
    ['upstream_refused', 0],
    ['client_gone', 0],
    ['deadline_exceeded', 0],
    ['residency_unmet', 0],
    ['unsupported_operation', 0],
    ['bug', 0],
  ])('a final %s is %i hard errors, and neither quick nor slow', (reason, hardErrors) => {
    const judged = refusedFor(reason)
    expect(judged).toMatchObject({ hardErrors, judged: 1, empty: noPart, schema: noPart })
    expect([judged.ttft, judged.tpot]).toEqual([{}, {}])
  })

  it.each<{ name: string; so: Partial<Judged>; ttft: object; tpot?: object }>([
    { name: 'one piece: the whole time', so: { served: served(whole, 900, 900) }, ttft: times(900) },
    { name: 'a stream: its first token', so: { stream: true, served: served(streamed) }, ttft: times(400) },
    { name: 'a stream that still flows', so: { stream: true, served: served(null) }, ttft: times(400) },
    { name: 'a stream that ended without a token', so: { stream: true, served: served(whole) }, ttft: {} },
    { name: 'a stream that broke off', so: { stream: true, served: served({ ...streamed, how: 'upstream_failed' }) }, ttft: {} },
    { name: 'left before the first token', so: { stream: true, served: served({ ...whole, how: 'client_gone' }) }, ttft: {} },
    { name: 'left after it', so: { stream: true, served: served({ ...streamed, how: 'client_gone' }) }, ttft: times(400) },
    { name: 'the deadline after it', so: { stream: true, served: served({ ...streamed, how: 'deadline' }) }, ttft: times(400) },
    { name: 'one piece that nobody fetched', so: { served: served({ ...whole, how: 'client_gone' }) }, ttft: {} },
    { name: 'nothing yet: so long at least', so: { stream: true }, ttft: times(limits.trialJudgeMs) },
    {
      name: 'eleven tokens',
      so: { stream: true, served: served({ ...streamed, usage: tokens(11) }) },
      ttft: times(400),
      tpot: times(100),
    },
    { name: 'two tokens', so: { stream: true, served: served({ ...streamed, usage: tokens(2) }) }, ttft: times(400), tpot: times(1_000) },
    { name: 'one token', so: { stream: true, served: served({ ...streamed, usage: tokens(1) }) }, ttft: times(400) },
    { name: 'uncounted tokens', so: { stream: true, served: served({ ...streamed, usage: tokens(null) }) }, ttft: times(400) },
    { name: 'tokens in one piece', so: { served: served({ ...whole, usage: tokens(11) }) }, ttft: times(400) },
    {
      name: 'tokens of half a stream',
      so: { stream: true, served: served({ ...streamed, how: 'client_gone', usage: tokens(11) }) },
      ttft: times(400),
    },
    {
      name: 'a clock that stepped back',
      so: { stream: true, served: served({ ...streamed, usage: tokens(11) }, 400, 300) },
      ttft: times(400),
      tpot: times(0),
    },
  ])('times: $name', ({ so, ttft, tpot = {} }) => {
    const judged = judge(so)
    expect({ ttft: judged.ttft, tpot: judged.tpot }).toEqual({ ttft, tpot })
  })

  it.each<{ name: string; ended: Ended; empty: object; schema: object }>([
    { name: 'words', ended: whole, empty: { of: 1, bad: 0 }, schema: noPart },
    { name: 'nothing', ended: { ...whole, sense: { ...sense, empty: true } }, empty: { of: 1, bad: 1 }, schema: noPart },
    { name: 'vectors', ended: { ...whole, sense: null }, empty: noPart, schema: noPart },
    {
      name: 'the JSON asked for',
      ended: { ...whole, sense: { ...sense, schema: true } },
      empty: { of: 1, bad: 0 },
      schema: { of: 1, bad: 0 },
    },
    { name: 'other words', ended: { ...whole, sense: { ...sense, schema: false } }, empty: { of: 1, bad: 0 }, schema: { of: 1, bad: 1 } },
    {
      name: 'a piece that the engine broke off',
      ended: { ...whole, how: 'upstream_failed', sense: { ...sense, empty: true, schema: false } },
      empty: { of: 1, bad: 1 },
      schema: { of: 1, bad: 1 },
    },
    {
      name: 'a piece that the caller broke off',
      ended: { ...whole, how: 'client_gone', sense: { ...sense, empty: true, schema: false } },
      empty: noPart,
      schema: noPart,
    },
    {
      name: 'a piece that his deadline broke off',
      ended: { ...whole, how: 'deadline', sense: { ...sense, empty: true, schema: false } },
      empty: noPart,
      schema: noPart,
    },
  ])('what was said: $name', ({ ended, empty, schema }) => {
    expect(judge({ served: served(ended) })).toMatchObject({ empty, schema })
  })

  it.each<{ name: string; so: Partial<Judged>; bad: number }>([
    { name: 'left before anything was sent on', so: { refused: 'client_gone' }, bad: 1 },
    { name: 'left before the first token', so: { served: served({ ...whole, how: 'client_gone' }) }, bad: 1 },
    { name: 'left after it', so: { served: served({ ...streamed, how: 'client_gone' }) }, bad: 0 },
    { name: 'came whole', so: { served: served(streamed) }, bad: 0 },
    { name: 'still flows', so: { served: served(null) }, bad: 0 },
    { name: 'was refused', so: { refused: 'upstream_stalled' }, bad: 0 },
  ])('early leaves of streams: $name: $bad', ({ so, bad }) => {
    expect(judge({ stream: true, ...so }).earlyAborts).toEqual({ of: 1, bad })
    expect(judge({ stream: false, ...so }).earlyAborts).toEqual(noPart)
  })
})
