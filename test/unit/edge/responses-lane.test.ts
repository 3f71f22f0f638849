import OpenAI from 'openai'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readResponses, responsesVoice } from '../../../edge/http/responses.ts'
import { responsesLane } from '../../../edge/lane/responses.ts'
import { asking, namedSse, openaiFor, runLane } from '../../support/lane-runs.ts'
import { bytes, text } from '../../support/stream.ts'

type Event = { readonly type: string; readonly [key: string]: unknown }
const numbered = (...list: readonly Event[]): string => namedSse(...list.map((event, index) => ({ ...event, sequence_number: index })))

const ask = { model: 'atlas', input: 'Hi' }
const item = {
  id: 'it_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'Hello', annotations: [], logprobs: [] }],
}
const usage = {
  input_tokens: 30,
  input_tokens_details: { cached_tokens: 20 },
  output_tokens: 5,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 35,
}
const response = {
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  status: 'completed',
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  model: 'served-atlas',
  output: [item],
  parallel_tool_calls: true,
  temperature: 1,
  tool_choice: 'auto',
  tools: [],
  top_p: 1,
  usage,
}
const begun = { ...response, status: 'in_progress', output: [], usage: null }

const at = { item_id: 'it_1', output_index: 0, content_index: 0 }
const opening: readonly Event[] = [
  { type: 'response.created', response: begun },
  { type: 'response.in_progress', response: begun },
  { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
  { type: 'response.content_part.added', ...at, part: { type: 'output_text', text: '', annotations: [], logprobs: [] } },
]
const middle: readonly Event[] = [
  { type: 'response.output_text.delta', ...at, delta: 'Hel', logprobs: [] },
  { type: 'response.output_text.delta', ...at, delta: 'lo', logprobs: [] },
]
const closing: readonly Event[] = [
  { type: 'response.output_text.done', ...at, text: 'Hello', logprobs: [] },
  { type: 'response.content_part.done', ...at, part: item.content[0] },
  { type: 'response.output_item.done', output_index: 0, item },
]
const completed: Event = { type: 'response.completed', response }

const lane = () => responsesLane.events?.(asking({ ...ask, stream: true })) ?? expect.fail('responses stream')

describe('readResponses', () => {
  it.each([
    ['a text', ask, { model: 'atlas', stream: false, user: null }],
    ['items', { ...ask, input: [{ role: 'user', content: 'Hi' }], stream: true }, { stream: true }],
    ['a user', { ...ask, user: 'u' }, { user: 'u' }],
    ['a safety identifier', { ...ask, safety_identifier: 's' }, { user: 's' }],
  ])('takes %s', (_, body, expected) => {
    expect(readResponses(body)).toMatchObject({ ok: true, value: { version: null, json: body, ...expected } })
  })

  it.each([
    ['no model', { input: 'x' }, 'model'],
    ['no input', { model: 'atlas' }, 'input'],
    ['a number', { ...ask, input: 1 }, 'input'],
    ['a stream that is no boolean', { ...ask, stream: 1 }, 'stream'],
  ])('refuses %s', (_, body, param) => {
    expect(readResponses(body)).toMatchObject({ ok: false, error: { reason: 'invalid_field', param } })
  })
})

describe('the lane', () => {
  it('changes the name and nothing else', () => {
    const body = '{"input":"Hi","n":1e400, "model":"atlas" }'
    const out = responsesLane.outgoing(asking(ask, { body: bytes(body) }))
    expect(out).toMatchObject({ path: '/v1/responses', dropped: [], headers: { accept: 'application/json' } })
    expect(text([out.body])).toBe(body.replace('"atlas"', '"served-atlas"'))
  })

  it('gives a whole answer as it came; the real client reads it', async () => {
    const body = bytes(JSON.stringify(response))
    const whole = responsesLane.whole(body, 'application/json', asking(ask))
    expect(whole).toMatchObject({ ok: true, value: { usage: { inputTokens: 30, outputTokens: 5, cachedTokens: 20 } } })
    const read = await openaiFor(text([body])).responses.create({ model: 'atlas', input: 'Hi' })
    expect(read.output_text).toBe('Hello')
  })

  it.each([
    [
      'a failed response',
      { ...response, status: 'failed', error: { code: 'server_error', message: 'boom' } },
      { status: 502, message: 'boom' },
    ],
    [
      'one refused',
      { ...response, status: 'failed', error: { code: 'invalid_prompt', message: 'no' } },
      { status: 400, code: 'invalid_prompt' },
    ],
    ['one too many', { ...response, status: 'failed', error: { code: 'rate_limit_exceeded', message: 'slow' } }, { status: 429 }],
    ['one without a reason', { ...response, status: 'failed' }, { status: 502 }],
    ['an error', { error: { message: 'x', code: 404 } }, { status: 404 }],
    ['a completion', { object: 'chat.completion' }, { status: 502 }],
  ])('a good status with %s is a fault', (_, json, fault) => {
    expect(responsesLane.whole(bytes(JSON.stringify(json)), 'application/json', asking(ask))).toMatchObject({ ok: false, error: fault })
  })

  it('passes a stream on byte for byte, and the real client reads it', async () => {
    const stream = numbered(...opening, ...middle, ...closing, completed)
    const reading = lane()
    const run = runLane(reading, stream)
    expect(run).toMatchObject({ out: stream, fault: null, whole: true })
    expect(run.means.indexOf('token')).toBe(opening.length)
    expect(run.means.at(-1)).toBe('done')
    expect(reading.usage()).toEqual({ inputTokens: 30, outputTokens: 5, cachedTokens: 20 })
    const final = await openaiFor(run.out).responses.stream({ model: 'atlas', input: 'Hi' }).finalResponse()
    expect(final.output_text).toBe('Hello')
  })

  it('an incomplete response is an end too; a cut is none', () => {
    const incomplete: Event = { type: 'response.incomplete', response: { ...response, status: 'incomplete' } }
    expect(runLane(lane(), numbered(...opening, ...middle, incomplete))).toMatchObject({ whole: true })
    expect(runLane(lane(), numbered(...opening, ...middle, ...closing))).toMatchObject({ whole: false, fault: null })
  })

  it.each([
    ['response.function_call_arguments.delta'],
    ['response.reasoning_text.delta'],
    ['response.reasoning_summary_text.delta'],
    ['response.refusal.delta'],
  ])('%s is a token', (type) => {
    expect(runLane(lane(), numbered({ type, delta: 'x' })).means).toEqual(['token'])
  })

  it.each([
    [
      'a failed response',
      numbered({ type: 'response.failed', response: { ...begun, status: 'failed', error: { code: 'server_error', message: 'boom' } } }),
      { status: 502, message: 'boom' },
    ],
    [
      'an error event',
      numbered({ type: 'error', code: 'rate_limit_exceeded', message: 'slow', param: null }),
      { status: 429, message: 'slow' },
    ],
    ['a plain error', 'data: {"error":{"message":"boom"}}\n\n', { status: 502, message: 'boom' }],
    ['garbage', 'data: nope\n\n', { status: 502 }],
  ])('%s is a fault', (_, frame, fault) => {
    expect(runLane(lane(), numbered(...opening) + frame).fault).toMatchObject(fault)
  })

  it('never throws (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('response.created', 'response.failed', 'error', 'x'), fc.json())), (list) => {
        expect(runLane(lane(), list.map(([name, data]) => `event: ${name}\ndata: ${data}\n\n`).join('')).whole).toBe(false)
      }),
    )
  })
})

it('the voice’s error frame ends a stream of the real client', async () => {
  const told = { status: 503, type: 'server_error', code: 'no_capacity', message: 'Full.', param: null, retryAfterMs: 1_000 }
  const stream = openaiFor(numbered(...opening) + responsesVoice.keepAlive + responsesVoice.errorFrame(told)).responses.stream({
    model: 'atlas',
    input: 'Hi',
  })
  const error: unknown = await stream.finalResponse().catch((cause: unknown) => cause)
  expect(error).toBeInstanceOf(OpenAI.APIError)
  expect(error).toMatchObject({ code: 'no_capacity', type: 'server_error', message: 'Full.' })
})
