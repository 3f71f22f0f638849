import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { endsWithDone, lastBoundary, splitEvents } from '../../../edge/stream/events.ts'
import { open } from '../../../edge/stream/stream.ts'
import type { Called, CutReason } from '../../../edge/facts.ts'
import { limits } from '../../../shared/limits.ts'
import { bytes, readAll, streamOf, text } from '../../support/stream.ts'

describe('event boundaries', () => {
  it.each([
    ['', 0],
    ['data: a', 0],
    ['data: a\n', 0],
    ['data: a\n\n', 9],
    ['data: a\n\ndata: b', 9],
    ['data: a\r\n\r\n', 11],
    ['data: a\r\n\r\ndata: b\r\n', 11],
    ['data: a\r\r', 9],
    [': ping\n\ndata: b\n\n', 17],
    ['\r\n\n', 3],
    ['data: a\n\r\n', 10],
  ])('%j ends at %i', (given, expected) => {
    expect(lastBoundary(bytes(given))).toBe(expected)
  })

  it('whatever the chunks, what comes out is what went in, and only whole events come out (property)', () => {
    const letter = fc.constantFrom('a', ' ', 'é', '日', '🙂')
    const event = fc.array(letter, { minLength: 1, maxLength: 12 }).map((data) => `data: ${data.join('')}\n\n`)
    fc.assert(
      fc.property(fc.array(event, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (events, sizes) => {
        const all = bytes(events.join(''))
        const out: Uint8Array[] = []
        let rest: Uint8Array = new Uint8Array(0)
        for (let at = 0, i = 0; at < all.length; i++) {
          const size = sizes[i % sizes.length] ?? 1
          const split = splitEvents(rest, all.subarray(at, at + size))
          if (split.whole.length > 0) {
            expect(text([split.whole]).endsWith('\n\n')).toBe(true)
            out.push(split.whole)
          }
          rest = split.rest
          at += size
        }
        expect(rest).toHaveLength(0)
        expect(out.map((each) => text([each])).join('')).toBe(events.join(''))
      }),
    )
  })

  it.each([
    ['data: [DONE]\n\n', true],
    ['data: {"a":1}\n\ndata: [DONE]\n\n', true],
    ['data: [DONE]\r\n\r\n', true],
    ['data:[DONE]\n\n', true],
    ['data: {"text":"data: [DONE]"}\n\n', false],
    ['data: {"a":1}\n\n', false],
    ['', false],
  ])('%j has the terminal event: %j', (given, expected) => {
    expect(endsWithDone(bytes(given))).toBe(expected)
  })
})

/** A called upstream whose first chunk was read, and what became of it. */
async function called(body: ReadableStream<Uint8Array>, contentType = 'text/event-stream') {
  const seen: { cut: CutReason | null; ended: boolean } = { cut: null, ended: false }
  const rest = body.getReader()
  const first = (await rest.read()).value ?? new Uint8Array(0)
  const value: Called = {
    status: 200,
    contentType,
    first,
    rest,
    ttfbMs: 1,
    watch: {
      signal: new AbortController().signal,
      cut: (why) => (seen.cut ??= why),
      why: () => seen.cut,
      end: () => (seen.ended = true),
    },
  }
  return { value, seen }
}

async function opened(value: Called) {
  const result = await open(value)
  if (!result.ok) throw new Error(`not opened: ${result.error.refusal.reason}`)
  return result.value
}

describe('streams', () => {
  it('pass every event on and end when the engine has said it is done', async () => {
    const { value, seen } = await called(streamOf(['data: a\n', '\ndata: b\n\nda', 'ta: [DONE]\n\n']))
    const answer = await opened(value)
    expect(await readAll(answer.body)).toEqual({ text: 'data: a\n\ndata: b\n\ndata: [DONE]\n\n', chunks: 2, failed: false })
    expect(await answer.ended).toEqual({ how: 'complete', detail: null, bytes: 32 })
    expect(seen).toEqual({ cut: null, ended: true })
  })

  it('reach the client before the engine has finished', async () => {
    const { value } = await called(streamOf(['data: a\n\n'], 'hang'))
    const answer = await opened(value)
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    expect(text([(await reader.read()).value ?? new Uint8Array(0)])).toBe('data: a\n\n')
  })

  it.each([
    ['breaks off', new Error('reset'), 'the answer broke off: reset'],
    ['is closed politely without its last event', 'end' as const, 'the engine closed the stream before its last event'],
  ])('that %s ends with a typed error frame and counts as failed', async (_, then, detail) => {
    const { value, seen } = await called(streamOf(['data: a\n\ndata: {"half'], then))
    const answer = await opened(value)
    const { text: sent, failed } = await readAll(answer.body)
    expect(failed).toBe(false)
    const events = sent.trimEnd().split('\n\n')
    expect(events[0]).toBe('data: a')
    expect(events).toHaveLength(2)
    expect(JSON.parse(events[1]?.slice('data: '.length) ?? '')).toMatchObject({ error: { code: 'upstream_failed', type: 'server_error' } })
    expect(await answer.ended).toMatchObject({ how: 'upstream_failed', detail })
    expect(seen.cut).not.toBeNull()
  })

  it('at their deadline end with an error frame that says so', async () => {
    const body = streamOf(['data: a\n\n'], 'hang')
    const { value } = await called(body)
    // What the aborted fetch does to its reader.
    const rest = { read: () => Promise.reject(new Error('aborted')), cancel: () => Promise.resolve() } as unknown as Called['rest']
    const timedOut: Called = { ...value, watch: { ...value.watch, why: () => 'deadline' }, rest }
    const answer = await opened(timedOut)
    expect((await readAll(answer.body)).text).toContain('"code":"deadline_exceeded"')
    expect((await answer.ended).how).toBe('deadline')
  })

  it('whose client leaves stop the engine and are no failure', async () => {
    let cancelled = false
    const endless = streamOf(
      Array.from({ length: 1000 }, (_, i) => `data: ${i}\n\n`),
      'hang',
      () => (cancelled = true),
    )
    const { value, seen } = await called(endless)
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
    const { value } = await called(
      streamOf(
        Array.from({ length: 8 }, () => chunk),
        'hang',
      ),
    )
    const answer = await opened(value)
    expect((await readAll(answer.body)).text).toContain('upstream_failed')
    expect((await answer.ended).detail).toContain(String(limits.eventBytesMax))
  })

  it('do not run ahead of a client that does not read', async () => {
    let pulled = 0
    const endless = new ReadableStream<Uint8Array>(
      { pull: (controller) => controller.enqueue(bytes(`data: ${pulled++}\n\n`)) },
      { highWaterMark: 0 },
    )
    const { value } = await called(endless)
    await opened(value)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(pulled).toBeLessThan(10)
  })
})

describe('JSON answers', () => {
  it('are held until they are whole', async () => {
    const { value, seen } = await called(streamOf(['{"a":', '1}']), 'application/json')
    const answer = await opened(value)
    expect(answer.body).toBeInstanceOf(Uint8Array)
    expect(await readAll(answer.body)).toEqual({ text: '{"a":1}', chunks: 1, failed: false })
    expect(await answer.ended).toEqual({ how: 'complete', detail: null, bytes: 7 })
    expect(seen.ended).toBe(true)
  })

  it('that break off before their end can still be answered by another endpoint', async () => {
    const { value } = await called(streamOf(['{"a":'], new Error('reset')), 'application/json')
    expect(await open(value)).toMatchObject({
      ok: false,
      error: { retryable: true, outcome: 'hard_failure', refusal: { reason: 'upstream_failed' } },
    })
  })

  it('larger than the bound are passed on as they come, and break visibly when the engine does', async () => {
    const chunk = new Uint8Array(3 * 1024 * 1024).fill(32)
    const whole = await called(streamOf([chunk, chunk, chunk, chunk]), 'application/json')
    const answer = await opened(whole.value)
    expect((await readAll(answer.body)).text).toHaveLength(4 * chunk.length)
    expect(await answer.ended).toMatchObject({ how: 'complete', bytes: 4 * chunk.length })

    const broken = await called(streamOf([chunk, chunk, chunk, chunk], new Error('reset')), 'application/json')
    const half = await opened(broken.value)
    expect((await readAll(half.body)).failed).toBe(true)
    expect((await half.ended).how).toBe('upstream_failed')
  })
})
