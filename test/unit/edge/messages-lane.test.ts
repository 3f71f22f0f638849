import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countTokensLane, messagesLane } from '../../../edge/lane/messages.ts'
import { anthropicFor, asking, namedSse, runLane } from '../../support/lane-runs.ts'
import { bytes, text } from '../../support/stream.ts'

type Event = { readonly type: string; readonly [key: string]: unknown }
const events = (...list: readonly Event[]): string => namedSse(...list)

const ask = { model: 'atlas', max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] }
const usage = { input_tokens: 7, cache_read_input_tokens: 20, cache_creation_input_tokens: 3, output_tokens: 1 }
const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'served-atlas',
  content: [{ type: 'text', text: 'Hello' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage,
}

const start: Event = { type: 'message_start', message: { ...message, content: [], stop_reason: null } }
const blockStart: Event = { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
const delta = (text: string): Event => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
const blockStop: Event = { type: 'content_block_stop', index: 0 }
const messageDelta: Event = { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 15 } }
const stop: Event = { type: 'message_stop' }

const lane = () => messagesLane.events?.(asking({ ...ask, stream: true })) ?? expect.fail('messages stream')

describe('outgoing', () => {
  it.each([
    [messagesLane, '/v1/messages'],
    [countTokensLane, '/v1/messages/count_tokens'],
  ])('changes the name and nothing else', (lane, path) => {
    const body = '{ "max_tokens":9, "model" : "atlas","big":12345678901234567890, "messages":[{"role":"user","content":"model"}]}'
    const out = lane.outgoing(asking(ask, { body: bytes(body) }))
    expect(out).toMatchObject({ method: 'POST', path, dropped: [] })
    expect(text([out.body])).toBe(body.replace('"atlas"', '"served-atlas"'))
    const same = asking(ask, { servedName: 'atlas' })
    expect(lane.outgoing(same).body).toBe(same.body)
  })

  it('passes on the protocol’s headers and no credentials', () => {
    const headers = { 'anthropic-version': '2024-01-01', 'anthropic-beta': 'a,b', 'x-api-key': 'secret', authorization: 'Bearer secret' }
    expect(messagesLane.outgoing(asking(ask, { headers })).headers).toEqual({
      'content-type': 'application/json',
      accept: 'application/json',
      'anthropic-version': '2024-01-01',
      'anthropic-beta': 'a,b',
    })
    expect(messagesLane.outgoing(asking({ ...ask, stream: true })).headers).toEqual({
      'content-type': 'application/json',
      accept: 'text/event-stream',
      'anthropic-version': '2023-06-01',
    })
  })
})

describe('whole', () => {
  const whole = (lane: typeof messagesLane, json: unknown) => lane.whole(bytes(JSON.stringify(json)), 'application/json', asking(ask))

  it('gives the message as it came, with its usage', () => {
    const body = bytes(JSON.stringify(message))
    const read = messagesLane.whole(body, 'application/json', asking(ask))
    expect(read).toMatchObject({
      ok: true,
      value: { contentType: 'application/json', usage: { inputTokens: 30, outputTokens: 1, cachedTokens: 20 } },
    })
    expect(read.ok && read.value.body).toBe(body)
  })

  it('gives a count', () => {
    expect(whole(countTokensLane, { input_tokens: 12 })).toMatchObject({ ok: true, value: { usage: null } })
  })

  it.each([
    ['an Anthropic error', { type: 'error', error: { type: 'overloaded_error', message: 'busy' } }, { status: 503, message: 'busy' }],
    ['a bad request', { type: 'error', error: { type: 'invalid_request_error', message: 'no' } }, { status: 400, message: 'no' }],
    ['vLLM’s error', { object: 'error', message: 'no', code: 400 }, { status: 400, message: 'no' }],
    ['a chat completion', { object: 'chat.completion', choices: [] }, { status: 502 }],
    ['a message without content', { ...message, content: null }, { status: 502 }],
    ['nothing', null, { status: 502 }],
  ])('a good status with %s is a fault', (_, json, fault) => {
    expect(whole(messagesLane, json)).toMatchObject({ ok: false, error: fault })
    expect(whole(countTokensLane, json)).toMatchObject({ ok: false, error: fault })
  })

  it.each([
    ['Anthropic', '{"type":"error","error":{"type":"not_found_error","message":"model: x"}}', 404, { status: 404, message: 'model: x' }],
    ['FastAPI', '{"detail":"Not Found"}', 404, { status: 404, message: 'Not Found' }],
    ['text', 'Bad Gateway', 502, { status: 502, message: 'Bad Gateway' }],
  ])('fault: %s', (_, body, status, expected) => {
    expect(messagesLane.fault(status, body)).toMatchObject(expected)
  })
})

describe('events', () => {
  it('passes a stream on byte for byte, and the real client reads it', async () => {
    const stream = events(start, blockStart, delta('Hel'), delta('lo'), blockStop, messageDelta, stop)
    const reading = lane()
    const run = runLane(reading, stream)
    expect(run).toEqual({
      out: stream,
      means: ['nothing', 'nothing', 'token', 'token', 'nothing', 'nothing', 'done'],
      fault: null,
      whole: true,
    })
    expect(reading.usage()).toEqual({ inputTokens: 30, outputTokens: 15, cachedTokens: 20 })
    const final = await anthropicFor(run.out).messages.stream({ model: 'atlas', max_tokens: 9, messages: [] }).finalMessage()
    expect(final).toMatchObject({ content: [{ type: 'text', text: 'Hello' }], usage: { output_tokens: 15 } })
  })

  it.each([
    ['text', { type: 'text_delta', text: 'a' }, 'token'],
    ['arguments', { type: 'input_json_delta', partial_json: '{' }, 'token'],
    ['thinking', { type: 'thinking_delta', thinking: 'hm' }, 'token'],
    ['nothing yet', { type: 'text_delta', text: '' }, 'nothing'],
    ['a signature', { type: 'signature_delta', signature: 's' }, 'nothing'],
  ])('a first delta of %s', (_, inner, means) => {
    expect(runLane(lane(), events({ type: 'content_block_delta', index: 0, delta: inner }))).toMatchObject({ means: [means] })
  })

  it('events without a name are known by their type', () => {
    const unnamed = events(start, delta('a'), stop).replaceAll(/event: .*\n/g, '')
    expect(runLane(lane(), unnamed)).toMatchObject({ means: ['nothing', 'token', 'done'], whole: true, out: unnamed })
  })

  it('pings, comments and [DONE] are not passed on', () => {
    const noise = `event: ping\ndata: {"type":"ping"}\n\n: c\n\ndata: [DONE]\n\n`
    expect(runLane(lane(), noise)).toMatchObject({ out: '', means: ['nothing', 'nothing', 'nothing'], fault: null, whole: false })
  })

  it('a stream without its last event is not whole', () => {
    expect(runLane(lane(), events(start, blockStart, delta('Hel'), blockStop, messageDelta)).whole).toBe(false)
  })

  it.each([
    [
      'Anthropic’s error',
      'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n',
      { status: 503, message: 'busy' },
    ],
    [
      'an error without a name',
      'data: {"type":"error","error":{"type":"rate_limit_error","message":"slow"}}\n\n',
      { status: 429, message: 'slow' },
    ],
    ['OpenAI’s error', 'data: {"error":{"message":"boom","code":500}}\n\n', { status: 500, message: 'boom' }],
    ['an error without a reason', 'event: error\ndata: {}\n\n', { status: 502 }],
    ['garbage', 'data: <html>\n\n', { status: 502 }],
  ])('%s is a fault', (_, frame, fault) => {
    const run = runLane(lane(), events(start) + frame)
    expect(run.fault).toMatchObject(fault)
    expect(run.out).toBe(events(start))
  })

  it('unknown events pass (the protocol may grow)', () => {
    const unknown = events({ type: 'brand_new', x: 1 })
    expect(runLane(lane(), unknown)).toMatchObject({ out: unknown, fault: null })
  })

  it('never throws (property)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('message_start', 'message_delta', 'content_block_delta', 'error', 'x'), fc.json())),
        (list) => {
          const stream = list.map(([name, data]) => `event: ${name}\ndata: ${data}\n\n`).join('')
          expect(runLane(lane(), stream).whole).toBe(false)
        },
      ),
    )
  })
})
