import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextAlarm, type Moments } from '../../../edge/stream/alarm.ts'
import { observe, stallAfterMs } from '../../../edge/stream/cadence.ts'
import { eventReader, type SseEvent } from '../../../edge/lane/sse.ts'
import { open, type Terms } from '../../../edge/stream/stream.ts'
import type { Called, CutReason } from '../../../edge/facts.ts'
import type { Lane } from '../../../edge/lane/lane.ts'
import { chatLane, embeddingsLane } from '../../../edge/lane/openai.ts'
import { openAiVoice } from '../../../edge/http/refuse.ts'
import { limits } from '../../../shared/limits.ts'
import { systemTimer } from '../../../shared/system.ts'
import { delta } from '../../support/edge-world.ts'
import { bytes, readAll, streamOf, text } from '../../support/stream.ts'

/** All events of some bytes, fed in pieces of the sizes given, round and round. */
function readIn(all: Uint8Array, sizes: readonly number[]): readonly SseEvent[] {
  const reader = eventReader(limits.eventBytesMax)
  const events: SseEvent[] = []
  for (let at = 0, i = 0; at < all.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    events.push(...(reader.feed(all.subarray(at, at + size)) ?? []))
    at += size
  }
  return events
}

describe('the event reader', () => {
  it.each<[string, readonly { data: string; event: string | null }[]]>([
    ['', []],
    ['data: a', []],
    ['data: a\n\n', [{ data: 'a', event: null }]],
    [
      'data:a\r\n\r\ndata: b\r\n\r\n',
      [
        { data: 'a', event: null },
        { data: 'b', event: null },
      ],
    ],
    [
      'data: a\r\rdata: b\r\r',
      [
        { data: 'a', event: null },
        { data: 'b', event: null },
      ],
    ],
    ['event: error\ndata: {"a":\ndata: 1}\n\n', [{ data: '{"a":\n1}', event: 'error' }]],
    [
      ': ping\n\ndata: b\n\n',
      [
        { data: '', event: null },
        { data: 'b', event: null },
      ],
    ],
    ['data\ndata: x\nid: 7\nretry: 1\n\n', [{ data: '\nx', event: null }]],
    ['data:  two spaces\n\n', [{ data: ' two spaces', event: null }]],
  ])('%j', (given, expected) => {
    expect(readIn(bytes(given), [given.length || 1]).map(({ data, event }) => ({ data, event }))).toEqual(expected)
  })

  it('gives the same events whatever the chunks, and every byte once (property)', () => {
    const line = fc.constantFrom('data: é日🙂', 'data:', 'event: x', ': c', 'id: 1', '')
    const end = fc.constantFrom('\n', '\r\n')
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 20 }),
        end,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
        (lines, lineEnd, sizes) => {
          const all = bytes(lines.map((each) => each + lineEnd).join(''))
          const once = readIn(all, [all.length || 1])
          const pieces = readIn(all, sizes)
          const meaning = (events: readonly SseEvent[]) =>
            events.filter(({ data }) => data !== '').map(({ data, event }) => ({ data, event }))
          expect(meaning(pieces)).toEqual(meaning(once))
          const raw = text(pieces.map((each) => each.raw))
          expect(text([all]).startsWith(raw)).toBe(true)
        },
      ),
    )
  })

  it('never throws and never holds more than its bound, for any bytes in any chunks (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 40 }), (chunks) => {
        const reader = eventReader(100)
        for (const chunk of chunks) {
          if (reader.feed(chunk) === null) return
          expect(reader.restBytes()).toBeLessThanOrEqual(100)
        }
      }),
    )
  })
})

describe('cadence', () => {
  it('a model never seen gets the ceiling; a fast one the floor; a slow one eight times its slowest gap', () => {
    expect(stallAfterMs(null, 0)).toBe(limits.stallMsMax)
    expect(stallAfterMs(observe(null, 40), 0)).toBe(limits.stallMsMin)
    expect(stallAfterMs(observe(null, 4_000), 0)).toBe(32_000)
    expect(stallAfterMs(observe(null, 40), 5_000)).toBe(40_000)
    expect(stallAfterMs(observe(null, 600_000), 0)).toBe(limits.stallMsMax)
  })

  it('remembers the slowest and forgets it slowly', () => {
    let cadence = observe(null, 10_000)
    for (let i = 0; i < 34; i++) cadence = observe(cadence, 10)
    expect(cadence.slowestMs).toBeCloseTo(5_000, -2)
  })
})

describe('alarms', () => {
  const patience = { holdMs: 10, firstTokenMs: 30, keepAliveMs: 15 }
  const at: Moments = {
    sentAtMs: 100,
    committed: false,
    sawToken: false,
    lastEventAtMs: 100,
    lastOutAtMs: 100,
    blocked: false,
    stallMs: 40,
  }
  it.each<[string, Partial<Moments>, ReturnType<typeof nextAlarm>]>([
    ['before anything', {}, { kind: 'hold', atMs: 110 }],
    ['committed without a token', { committed: true, lastOutAtMs: 110 }, { kind: 'keep_alive', atMs: 125 }],
    ['kept alive, still no token', { committed: true, lastOutAtMs: 125 }, { kind: 'first_token', atMs: 130 }],
    ['flowing', { committed: true, sawToken: true, lastEventAtMs: 200, lastOutAtMs: 200 }, { kind: 'keep_alive', atMs: 215 }],
    ['silent for long', { committed: true, sawToken: true, lastEventAtMs: 200, lastOutAtMs: 230 }, { kind: 'stall', atMs: 240 }],
    ['the client does not read', { committed: true, sawToken: true, blocked: true }, null],
  ])('%s', (_, so, expected) => {
    expect(nextAlarm({ ...at, ...so }, patience)).toEqual(expected)
  })
})

const terms: Terms = {
  voice: openAiVoice,
  patience: { holdMs: 5_000, firstTokenMs: 10_000, keepAliveMs: 15_000 },
  cadence: null,
  receivedAtMs: 0,
}
const ports = { clock: { nowMs: () => Date.now() }, timer: systemTimer }

/** An upstream that has answered well, and what became of it. */
function called(
  body: ReadableStream<Uint8Array>,
  so: { readonly contentType?: string; readonly lane?: Lane; readonly json?: object; readonly stream?: boolean } = {},
) {
  const seen: { cut: CutReason | null; ended: boolean } = { cut: null, ended: false }
  const reader = body.getReader()
  const { promise: aborted, reject: abort } = Promise.withResolvers<never>()
  aborted.catch(() => undefined)
  const value: Called = {
    status: 200,
    contentType: so.contentType ?? 'text/event-stream',
    headers: {},
    // As fetch does: an abort breaks the read that waits.
    body: {
      read: () => Promise.race([reader.read(), aborted]),
      cancel: () => reader.cancel(),
      releaseLock: () => undefined,
      closed: reader.closed,
    },
    lane: so.lane ?? chatLane,
    asking: {
      body: new Uint8Array(0),
      json: so.json ?? {},
      contentType: '',
      header: () => null,
      model: 'm',
      servedName: 'm',
      stream: so.stream ?? true,
    },
    dropped: [],
    sentAtMs: Date.now(),
    watch: {
      signal: new AbortController().signal,
      cut: (why) => {
        seen.cut ??= why
        abort(new Error(why))
      },
      why: () => seen.cut,
      end: () => (seen.ended = true),
    },
  }
  return { value, seen }
}

async function opened(value: Called, so: Partial<Terms> = {}) {
  const result = await open(value, { ...terms, ...so }, ports)
  if (!result.ok) throw new Error(`not opened: ${result.error.refusal.reason}`)
  return result.value
}

const event = (data: string) => `data: ${data}\n\n`
const role = event('{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}')
const done = event('[DONE]')
const usage = event('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}')

describe('streams', () => {
  it('pass every event on untouched and end when the engine has said it is done', async () => {
    const { value, seen } = called(streamOf([role + event(delta('a')).slice(0, 9), event(delta('a')).slice(9) + event(delta('b')), done]))
    const answer = await opened(value)
    expect((await readAll(answer.body)).text).toBe(role + event(delta('a')) + event(delta('b')) + done)
    expect(await answer.ended).toMatchObject({ how: 'complete', detail: null, usage: { inputTokens: null, outputTokens: 2 } })
    expect((await answer.ended).sense).toEqual({ empty: false, schema: null, textHash: null })
    expect(seen).toEqual({ cut: null, ended: true })
  })

  it('end at the deadline for a client who never reads, too', async () => {
    const { value } = called(streamOf([event(delta('a')), event(delta('b')), done]))
    const aborter = new AbortController()
    const { cut } = value.watch
    const watch = { ...value.watch, signal: aborter.signal, cut: (why: CutReason) => (cut(why), aborter.abort()) }
    const answer = await opened({ ...value, watch })
    watch.cut('deadline')
    // What was broken off from this side says nothing of what it is worth.
    expect(await answer.ended).toMatchObject({ how: 'deadline', sense: null })
  })

  it('that end in a bug of ours fail at once, whether they had begun or not', async () => {
    const lane = (failsAt: number): Lane => ({
      ...chatLane,
      events: (asking) => {
        const real = chatLane.events?.(asking)
        if (!real) throw new Error('it streams')
        let number = 0
        const take = (taken: SseEvent) => {
          if (number++ === failsAt) throw new Error('a bug')
          return real.take(taken)
        }
        return { ...real, take }
      },
    })
    const early = called(streamOf([event(delta('a')), done]), { lane: lane(0) })
    await expect(open(early.value, terms, ports)).rejects.toThrow('a bug')
    const late = called(streamOf([event(delta('a')), event(delta('b')), done]), { lane: lane(1) })
    const answer = await opened(late.value)
    const reading = readAll(answer.body)
    await expect(answer.ended).rejects.toThrow('a bug')
    expect((await reading).failed).toBe(true)
    expect([early.seen.cut, late.seen.cut]).toEqual(['client_gone', 'client_gone'])
  })

  it('reach the client before the engine has finished', async () => {
    const { value } = called(streamOf([event(delta('a'))], 'hang'))
    const answer = await opened(value)
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    expect(text([(await reader.read()).value ?? new Uint8Array(0)])).toBe(event(delta('a')))
  })

  it.each<[string, string[], Error | 'end']>([
    ['an error as the first event', [event('{"error":{"message":"overloaded","type":"server_error"}}')], 'end'],
    ['vLLM’s shape of error as the first event', [event('{"object":"error","message":"boom","code":500}')], 'end'],
    ['a role, then an error', [role, event('{"error":{"message":"boom"}}')], 'end'],
    ['a role, then the end', [role], 'end'],
    ['a broken connection before the first token', [role], new Error('reset')],
    ['garbage', ['data: {"half\n\n'], 'end'],
    ['nothing at all', [], 'end'],
  ])('with %s can still be answered by another endpoint', async (_, chunks, then) => {
    const { value, seen } = called(streamOf(chunks, then))
    const result = await open(value, terms, ports)
    expect(result).toMatchObject({ ok: false, error: { retryable: true, outcome: 'hard_failure', refusal: { reason: 'upstream_failed' } } })
    expect(seen.cut).not.toBeNull()
  })

  it('whose first event blames the caller are refused, not retried', async () => {
    const { value } = called(streamOf([event('{"error":{"message":"too long","code":400,"type":"exceed_context_size_error"}}')]))
    expect(await open(value, terms, ports)).toMatchObject({
      ok: false,
      error: { retryable: false, outcome: 'good', refusal: { reason: 'upstream_refused', status: 400, code: 'context_length_exceeded' } },
    })
  })

  it('without a token for too long are committed all the same, and then kept alive', async () => {
    const { value } = called(streamOf([role], 'hang'))
    const answer = await opened(value, { patience: { holdMs: 20, firstTokenMs: 10_000, keepAliveMs: 20 } })
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    let seen = ''
    while (!seen.includes(': keep-alive\n\n: keep-alive')) seen += text([(await reader.read()).value ?? new Uint8Array(0)])
    expect(seen.startsWith(role)).toBe(true)
    await reader.cancel()
    expect(await answer.ended).toMatchObject({ how: 'client_gone', sense: null })
  })

  it('whose first token does not come fail over while they are held', async () => {
    const { value, seen } = called(streamOf([role], 'hang'))
    const result = await open(value, { ...terms, patience: { holdMs: 10_000, firstTokenMs: 20, keepAliveMs: 15_000 } }, ports)
    expect(result).toMatchObject({ ok: false, error: { retryable: true, refusal: { reason: 'upstream_timeout' } } })
    expect(seen.cut).toBe('first_token')
  })

  it.each<[string, Error | 'end', string]>([
    ['breaks off', new Error('reset'), 'the answer broke off: reset'],
    ['is closed politely without its last event', 'end', 'the engine closed the stream before its last event'],
  ])('that %s after the first token ends with a typed error frame and counts as failed', async (_, then, detail) => {
    const { value, seen } = called(streamOf([event(delta('a')) + 'data: {"half'], then))
    const answer = await opened(value)
    const { text: sent, failed } = await readAll(answer.body)
    expect(failed).toBe(false)
    const events = sent.trimEnd().split('\n\n')
    expect(events[0]).toBe(event(delta('a')).trimEnd())
    expect(events).toHaveLength(2)
    expect(JSON.parse(events[1]?.slice('data: '.length) ?? '')).toMatchObject({ error: { code: 'upstream_failed', type: 'server_error' } })
    const sense = { empty: true, schema: null, textHash: null }
    expect(await answer.ended).toMatchObject({ how: 'upstream_failed', detail, usage: { outputTokens: 1 }, sense })
    expect(seen.cut).not.toBeNull()
  })

  it('with an error event in the middle end with our error frame, not the engine’s', async () => {
    const { value } = called(streamOf([event(delta('a')), event('{"error":{"message":"secret trace"}}'), done]))
    const answer = await opened(value)
    const sent = (await readAll(answer.body)).text
    expect(sent).not.toContain('secret trace')
    expect(sent).toContain('"code":"upstream_failed"')
    expect((await answer.ended).how).toBe('upstream_failed')
  })

  it('that stall are given up after the silence learnt for the model', async () => {
    const { value, seen } = called(streamOf([event(delta('a'))], 'hang'))
    let nowMs = Date.now()
    // Virtual time: a sleep moves the clock.
    const quick = {
      clock: { nowMs: () => nowMs },
      timer: {
        sleep: async (forMs: number, signal?: AbortSignal) => {
          await new Promise((resolve) => setTimeout(resolve, 1))
          if (!signal?.aborted) nowMs += forMs
        },
      },
    }
    const result = await open(
      value,
      { ...terms, cadence: { slowestMs: 100 }, patience: { ...terms.patience, keepAliveMs: 1_000_000 } },
      quick,
    )
    if (!result.ok) throw new Error('not opened')
    expect((await readAll(result.value.body)).text).toContain('"code":"upstream_stalled"')
    expect(seen.cut).toBe('stalled')
    expect((await result.value.ended).how).toBe('upstream_failed')
  })

  it('at their deadline end with an error frame that says how long they had', async () => {
    const { value } = called(streamOf([event(delta('a'))], 'hang'))
    const answer = await opened(value, { receivedAtMs: Date.now() - 2_000 })
    value.watch.cut('deadline')
    const sent = (await readAll(answer.body)).text
    expect(sent).toContain('"code":"deadline_exceeded"')
    expect(Number(/after (\d+) ms/.exec(sent)?.[1])).toBeGreaterThanOrEqual(2_000)
    expect((await answer.ended).how).toBe('deadline')
  })

  it('whose client leaves stop the engine and are no failure', async () => {
    let cancelled = false
    const endless = streamOf(
      Array.from({ length: 1000 }, (_, i) => event(delta(String(i)))),
      'hang',
      () => (cancelled = true),
    )
    const { value, seen } = called(endless)
    const answer = await opened(value)
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    await reader.cancel()
    expect((await answer.ended).how).toBe('client_gone')
    expect(seen.cut).toBe('client_gone')
    expect(cancelled).toBe(true)
  })

  it('with an endless event are cut off at the bound', async () => {
    const chunk = new Uint8Array(256 * 1024).fill(97)
    const { value } = called(streamOf([event(delta('a')), ...Array.from({ length: 8 }, () => chunk)], 'hang'))
    const answer = await opened(value)
    expect((await readAll(answer.body)).text).toContain('upstream_failed')
    expect((await answer.ended).detail).toContain(String(limits.eventBytesMax))
  })

  it('do not run ahead of a client that does not read', async () => {
    let pulled = 0
    const endless = new ReadableStream<Uint8Array>(
      { pull: (controller) => controller.enqueue(bytes(event(delta(String(pulled++))))) },
      { highWaterMark: 0 },
    )
    const { value } = called(endless)
    await opened(value)
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(pulled).toBeLessThan(10)
  })

  it.each([
    [{}, event(delta('a')) + done],
    [{ stream_options: { include_usage: true } }, event(delta('a')) + usage + done],
  ])('show usage only to a client that asked: %j; the record has it anyway', async (json, expected) => {
    const { value } = called(streamOf([event(delta('a')), usage, done]), { json })
    const answer = await opened(value)
    expect((await readAll(answer.body)).text).toBe(expected)
    expect((await answer.ended).usage).toEqual({ inputTokens: 3, outputTokens: 2, cachedTokens: null })
  })

  it('that come where none was asked for, and answers where a stream was asked for, are failures of the endpoint', async () => {
    const unasked = called(streamOf([event(delta('a')), done]), { stream: false })
    expect(await open(unasked.value, terms, ports)).toMatchObject({ ok: false, error: { retryable: true } })
    const whole = called(streamOf(['{"choices":[]}']), { contentType: 'application/json' })
    expect(await open(whole.value, terms, ports)).toMatchObject({ ok: false, error: { retryable: true } })
  })
})

describe('answers in one piece', () => {
  const json = (chunks: (string | Uint8Array)[], then: 'end' | Error = 'end', so: object = {}) =>
    called(streamOf(chunks, then), { contentType: 'application/json', stream: false, ...so })
  const completion =
    '{"id":1.0,"choices":[{"message":{"content":"a","refusal":null},"logprobs":null}],"usage":{"prompt_tokens":3,"completion_tokens":2},"timings":{}}'

  it('are held until they are whole and go out as they came', async () => {
    const { value, seen } = json([completion.slice(0, 9), completion.slice(9)])
    const answer = await opened(value)
    expect(await readAll(answer.body)).toEqual({ text: completion, chunks: 1, failed: false })
    const sense = { empty: false, schema: null, textHash: null }
    expect(await answer.ended).toMatchObject({ how: 'complete', usage: { inputTokens: 3, outputTokens: 2 }, sense })
    expect(seen.ended).toBe(true)
  })

  it('get what the schema demands and the engine left out (llama.cpp)', async () => {
    const { value } = json(['{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"timings":{"n":1}}'])
    expect(JSON.parse((await readAll((await opened(value)).body)).text)).toEqual({
      choices: [{ message: { role: 'assistant', content: 'a', refusal: null }, finish_reason: 'stop', logprobs: null }],
      timings: { n: 1 },
    })
  })

  it.each([
    ['an error with a good status', '{"error":{"message":"boom"}}', { retryable: true, refusal: { reason: 'upstream_failed' } }],
    [
      'an error that blames the caller',
      '{"error":{"message":"m","code":422}}',
      { retryable: false, refusal: { reason: 'upstream_refused', status: 422 } },
    ],
    ['something else', '{"hello":"world"}', { retryable: true, refusal: { reason: 'upstream_failed' } }],
    ['no JSON', '<html>', { retryable: true, refusal: { reason: 'upstream_failed' } }],
    ['nothing', '', { retryable: true, refusal: { reason: 'upstream_failed' } }],
  ])('that are %s fail', async (_, body, error) => {
    expect(await open(json([body]).value, terms, ports)).toMatchObject({ ok: false, error })
  })

  it('that break off before their end can still be answered by another endpoint', async () => {
    const { value } = json(['{"a":'], new Error('reset'))
    expect(await open(value, terms, ports)).toMatchObject({ ok: false, error: { retryable: true, outcome: 'hard_failure' } })
  })

  it('larger than the bound are passed on as they come, and break visibly when the engine does', async () => {
    const chunk = new Uint8Array(3 * 1024 * 1024).fill(32)
    const answer = await opened(json([chunk, chunk, chunk, chunk]).value)
    expect((await readAll(answer.body)).text).toHaveLength(4 * chunk.length)
    expect(await answer.ended).toMatchObject({ how: 'complete', bytes: 4 * chunk.length })

    const half = await opened(json([chunk, chunk, chunk, chunk], new Error('reset')).value)
    expect((await readAll(half.body)).failed).toBe(true)
    expect((await half.ended).how).toBe('upstream_failed')
  })

  it('larger than the bound are refused where they would have to be converted', async () => {
    const chunk = new Uint8Array(3 * 1024 * 1024).fill(32)
    const { value } = json([chunk, chunk, chunk, chunk], 'end', { lane: embeddingsLane, json: { encoding_format: 'base64' } })
    expect(await open(value, terms, ports)).toMatchObject({ ok: false, error: { refusal: { reason: 'upstream_failed' } } })
  })
})

describe('embeddings', () => {
  const rows = (embedding: unknown) => JSON.stringify({ data: [{ index: 0, embedding }], usage: { prompt_tokens: 1, total_tokens: 1 } })
  const base64 = 'AACAPwAAAMA='

  it.each([
    ['base64', [1, -2], base64],
    ['base64', base64, base64],
    ['float', base64, [1, -2]],
    ['float', [1, -2], [1, -2]],
  ])('are given as %s, whatever the engine returns', async (encoding_format, given, expected) => {
    const { value } = called(streamOf([rows(given)]), {
      contentType: 'application/json',
      stream: false,
      lane: embeddingsLane,
      json: { encoding_format },
    })
    const answer = await opened(value)
    expect(JSON.parse((await readAll(answer.body)).text)).toMatchObject({ data: [{ embedding: expected }] })
    expect((await answer.ended).usage).toEqual({ inputTokens: 1, outputTokens: null, cachedTokens: null })
  })

  it('survive the way there and back (property)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 50 }), async (numbers) => {
        const asking = (encoding_format: string) => ({ ...called(streamOf([])).value.asking, json: { encoding_format } })
        const there = embeddingsLane.whole(bytes(rows(numbers)), 'application/json', asking('base64'))
        if (!there.ok) throw new Error(there.error.message)
        const back = embeddingsLane.whole(there.value.body, 'application/json', asking('float'))
        if (!back.ok) throw new Error(back.error.message)
        const read = JSON.parse(text([back.value.body])) as { data: { embedding: number[] }[] }
        expect(read.data[0]?.embedding).toEqual(numbers.map((each) => (each === 0 ? 0 : each)))
      }),
      { numRuns: 50 },
    )
  })
})

describe('what goes upstream', () => {
  const outgoing = (body: object, so: { readonly servedName?: string; readonly stream?: boolean } = {}) => {
    const raw = JSON.stringify(body)
    const asking = {
      ...called(streamOf([])).value.asking,
      body: bytes(raw),
      json: body,
      stream: so.stream ?? false,
      servedName: so.servedName ?? 'm',
    }
    return { raw, sent: text([chatLane.outgoing(asking).body]) }
  }

  it('is what the caller sent, when nothing must change', () => {
    const { raw, sent } = outgoing({ model: 'm', messages: [], x: 1.5 })
    expect(sent).toBe(raw)
    const streamed = outgoing({ model: 'm', stream: true, stream_options: { include_usage: true, other: 1 } }, { stream: true })
    expect(streamed.sent).toBe(streamed.raw)
  })

  it('asks for usage in every stream, and keeps the other stream options', () => {
    expect(outgoing({ model: 'm', stream: true }, { stream: true }).sent).toBe(
      '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    )
    expect(JSON.parse(outgoing({ model: 'm', stream_options: { a: 1, include_usage: false } }, { stream: true }).sent)).toEqual({
      model: 'm',
      stream_options: { a: 1, include_usage: true },
    })
  })

  it('names the model as the engine does', () => {
    expect(outgoing({ model: 'm', messages: [] }, { servedName: 'org/model' }).sent).toBe('{"model":"org/model","messages":[]}')
  })
})
