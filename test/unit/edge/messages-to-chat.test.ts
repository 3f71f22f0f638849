// Anthropic messages over chat completions. What comes out is read by the real Anthropic client; its own accumulation of a stream must give
// the same message as the translation of the same answer in one piece.

import Anthropic from '@anthropic-ai/sdk'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anthropicVoice } from '../../../edge/http/messages.ts'
import { messagesToChatLane } from '../../../edge/lane/messages-to-chat.ts'
import { toolInput } from '../../../edge/lane/messages-to-chat/tool-input.ts'
import { limits } from '../../../shared/limits.ts'
import { anthropicFor, asking, runLane, sse } from '../../support/lane-runs.ts'
import { bytes, text } from '../../support/stream.ts'

type Json = Record<string, unknown>

const ask = { model: 'atlas', max_tokens: 99, messages: [{ role: 'user', content: 'Hi' }] }
const clientAsks: Anthropic.MessageStreamParams = { model: 'atlas', max_tokens: 99, messages: [{ role: 'user', content: 'Hi' }] }

describe('the request', () => {
  const translate = (more: Json) => {
    const out = messagesToChatLane.outgoing(asking({ ...ask, ...more }))
    return { chat: JSON.parse(text([out.body])) as Json, dropped: out.dropped, out }
  }
  const said = (...messages: readonly Json[]) => {
    const { chat, dropped } = translate({ messages })
    return { messages: chat['messages'], dropped }
  }
  const user = (...content: readonly Json[]) => said({ role: 'user', content })

  it('goes to chat completions under the served name, with no header of the caller', () => {
    const { out, chat, dropped } = translate({})
    expect(out).toMatchObject({ method: 'POST', path: '/v1/chat/completions' })
    expect(out.headers).toEqual({ 'content-type': 'application/json', accept: 'application/json' })
    expect(chat).toEqual({ model: 'served-atlas', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 99 })
    expect(dropped).toEqual([])
  })

  it('a stream asks for its usage', () => {
    const { out, chat } = translate({ stream: true })
    expect(chat).toMatchObject({ stream: true, stream_options: { include_usage: true } })
    expect(out.headers['accept']).toBe('text/event-stream')
  })

  it('carries the settings both have', () => {
    const settings = { temperature: 0.5, top_p: 0.9, stop_sequences: ['END'], metadata: { user_id: 'u-1' } }
    const { chat, dropped } = translate(settings)
    expect(chat).toMatchObject({ max_tokens: 99, temperature: 0.5, top_p: 0.9, stop: ['END'], user: 'u-1' })
    expect(dropped).toEqual([])
  })

  it.each([
    ['thinking', { thinking: { type: 'enabled', budget_tokens: 1024 } }, ['thinking']],
    ['top_k', { top_k: 5 }, ['top_k']],
    ['what is not known', { service_tier: 'auto', brand_new: {} }, ['service_tier', 'brand_new']],
    ['other metadata', { metadata: { user_id: 'u', team: 'x' } }, ['metadata.team']],
    ['null is "not set"', { top_k: null, container: null }, []],
    ['a name that no header may carry', { 'x\r\ny': 1, ключ: 1 }, ['?', '?']],
    [
      'server tools',
      { tools: [{ type: 'web_search_20250305', name: 'web_search' }], tool_choice: { type: 'any' } },
      ['tools[0]', 'tool_choice'],
    ],
    ['degrees of effort servers refuse', { output_config: { effort: 'max' } }, ['output_config.effort']],
  ])('names what it drops: %s', (_, more, dropped) => {
    const translated = translate(more)
    expect(translated.dropped).toEqual(dropped)
    expect(translated.chat).not.toHaveProperty('tools')
  })

  it('names only the first of a long list', () => {
    const many = Array.from({ length: 100 }, () => ({ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }))
    const { dropped } = user(...many)
    expect(dropped).toHaveLength(33)
    expect([dropped[0], dropped[32]]).toEqual(['messages[0].content[0].cache_control', 'and 68 more'])
  })

  it.each([
    ['a text', 'Be brief.', 'Be brief.', []],
    [
      'blocks',
      [
        { type: 'text', text: 'A' },
        { type: 'text', text: 'B', cache_control: {} },
      ],
      'A\n\nB',
      ['system[1].cache_control'],
    ],
    ['blocks that are no text', [{ type: 'image' }, { type: 'text', text: 'B' }], 'B', ['system[0]']],
  ])('system: %s', (_, system, content, dropped) => {
    const translated = translate({ system })
    expect(translated.chat['messages']).toEqual([
      { role: 'system', content },
      { role: 'user', content: 'Hi' },
    ])
    expect(translated.dropped).toEqual(dropped)
  })

  it('an empty system prompt is none', () => {
    expect(translate({ system: '' }).chat['messages']).toHaveLength(1)
  })

  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } }
  const imagePart = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }

  it.each([
    ['one text', [{ type: 'text', text: 'a' }], 'a', []],
    [
      'texts',
      [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
      [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
      [],
    ],
    ['an image', [image, { type: 'text', text: 'What?' }], [imagePart, { type: 'text', text: 'What?' }], []],
    [
      'an image by address',
      [{ type: 'image', source: { type: 'url', url: 'https://x/y.png' } }],
      [{ type: 'image_url', image_url: { url: 'https://x/y.png' } }],
      [],
    ],
    ['an image in a file store', [{ type: 'image', source: { type: 'file', file_id: 'f' } }], '', ['messages[0].content[0]']],
    ['a document of text', [{ type: 'document', title: 'T', source: { type: 'text', media_type: 'text/plain', data: 'D' } }], 'T\nD', []],
    [
      'a document of blocks',
      [{ type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'D' }, image] } }],
      [{ type: 'text', text: 'D' }, imagePart],
      [],
    ],
    [
      'a PDF',
      [
        { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'A' } },
        { type: 'text', text: 'a' },
      ],
      'a',
      ['messages[0].content[0]'],
    ],
    [
      'a search result',
      [{ type: 'search_result', title: 'T', source: 'https://s', content: [{ type: 'text', text: 'R' }] }],
      'T\nhttps://s\nR',
      [],
    ],
    ['a block of tomorrow', [{ type: 'hologram' }, { type: 'text', text: 'a' }], 'a', ['messages[0].content[0]']],
    ['no block', [7], '', ['messages[0].content[0]']],
  ])('user content: %s', (_, content, expected, dropped) => {
    expect(user(...(content as Json[]))).toEqual({ messages: [{ role: 'user', content: expected }], dropped })
  })

  it('calls and results', () => {
    const { messages, dropped } = said(
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 's' },
          { type: 'text', text: 'Let me ' },
          { type: 'text', text: 'look.' },
          { type: 'tool_use', id: 't1', name: 'weather', input: { city: 'Bern' }, cache_control: {} },
          { type: 'tool_use', id: 't2', name: 'time', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Here.' },
          { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'rain' }, { type: 'text', text: '4 C' }, image] },
          { type: 'tool_result', tool_use_id: 't2', content: 'no clock', is_error: true },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't3' }] },
    )
    expect(messages).toEqual([
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: 'Let me look.',
        tool_calls: [
          { id: 't1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } },
          { id: 't2', type: 'function', function: { name: 'time', arguments: '{}' } },
        ],
      },
      { role: 'tool', tool_call_id: 't1', content: 'rain\n4 C' },
      { role: 'tool', tool_call_id: 't2', content: 'Error: no clock' },
      { role: 'user', content: [{ type: 'text', text: 'Here.' }, imagePart] },
      { role: 'tool', tool_call_id: 't3', content: '' },
    ])
    expect(dropped).toEqual(['messages[1].content[0]', 'messages[1].content[3].cache_control'])
  })

  it('an assistant that only calls has no content; one that only thought has an empty one', () => {
    expect(said({ role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'n', input: {} }] }).messages).toMatchObject([
      { content: null },
    ])
    expect(said({ role: 'assistant', content: [{ type: 'redacted_thinking', data: 'x' }] }).messages).toEqual([
      { role: 'assistant', content: '' },
    ])
  })

  const tool = { name: 'weather', description: 'd', input_schema: { type: 'object', properties: {} } }
  const chatTool = { type: 'function', function: { name: 'weather', description: 'd', parameters: tool.input_schema } }

  it('tools become functions', () => {
    const { chat, dropped } = translate({
      tools: [tool, { ...tool, type: 'custom', strict: true, cache_control: {} }, { type: 'bash_20250124', name: 'bash' }],
    })
    expect(chat['tools']).toEqual([chatTool, { ...chatTool, function: { ...chatTool.function, strict: true } }])
    expect(dropped).toEqual(['tools[1].cache_control', 'tools[2]'])
  })

  it.each([
    [{ type: 'auto' }, { tool_choice: 'auto' }],
    [{ type: 'any' }, { tool_choice: 'required' }],
    [{ type: 'none' }, { tool_choice: 'none' }],
    [{ type: 'tool', name: 'weather' }, { tool_choice: { type: 'function', function: { name: 'weather' } } }],
    [
      { type: 'auto', disable_parallel_tool_use: true },
      { tool_choice: 'auto', parallel_tool_calls: false },
    ],
    [{ type: 'auto', disable_parallel_tool_use: false }, { tool_choice: 'auto' }],
  ])('tool_choice %j', (choice, expected) => {
    const { chat } = translate({ tools: [tool], tool_choice: choice })
    const { tool_choice, parallel_tool_calls } = chat
    expect({ tool_choice, parallel_tool_calls }).toEqual({ parallel_tool_calls: undefined, ...expected })
  })

  it('a schema for the answer and a degree of effort are carried', () => {
    const { chat, dropped } = translate({ output_config: { effort: 'low', format: { type: 'json_schema', schema: { type: 'object' } } } })
    expect(chat).toMatchObject({
      reasoning_effort: 'low',
      response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } },
    })
    expect(dropped).toEqual([])
  })

  it('any JSON is translated without a throw, and every name is fit for a header (property)', () => {
    const block = fc.record(
      {
        type: fc.constantFrom('text', 'image', 'document', 'tool_use', 'tool_result', 'search_result', 'x'),
        text: fc.jsonValue(),
        content: fc.jsonValue(),
        source: fc.jsonValue(),
      },
      { requiredKeys: ['type'] },
    )
    const message = fc.record({ role: fc.constantFrom('user', 'assistant', 'system'), content: fc.oneof(fc.array(block), fc.jsonValue()) })
    const body = fc.oneof(
      fc.jsonValue(),
      fc.record({
        messages: fc.array(message),
        system: fc.oneof(fc.jsonValue(), fc.array(block)),
        tools: fc.jsonValue(),
        tool_choice: fc.jsonValue(),
      }),
    )
    fc.assert(
      fc.property(body, (json) => {
        const out = messagesToChatLane.outgoing(asking({}, { json }))
        expect(Array.isArray((JSON.parse(text([out.body])) as Json)['messages'])).toBe(true)
        for (const path of out.dropped) expect(path).toMatch(/^[\w$.[\]? -]*$/)
      }),
    )
  })
})

// One answer of an engine, as a whole and as a stream.

const usage = {
  prompt_tokens: 30,
  completion_tokens: 12,
  total_tokens: 42,
  prompt_tokens_details: { cached_tokens: 20 },
  completion_tokens_details: { reasoning_tokens: 4 },
}
type Call = { readonly id: string; readonly name: string; readonly args: string }
type Said = { readonly thinking?: string; readonly content?: string; readonly calls?: readonly Call[]; readonly refusal?: string }

const completion = (said: Said, finish: string, more: Json = {}, counted: Json | null = usage): Json => ({
  id: 'chatcmpl-abc',
  object: 'chat.completion',
  created: 1,
  model: 'served-atlas',
  choices: [
    {
      index: 0,
      message: {
        role: 'assistant',
        content: said.content ?? null,
        refusal: said.refusal ?? null,
        reasoning_content: said.thinking ?? null,
        tool_calls: said.calls?.map(({ id, name, args }) => ({ id, type: 'function', function: { name, arguments: args } })) ?? [],
      },
      finish_reason: finish,
      ...more,
    },
  ],
  usage: counted,
})

const chunk = (delta: Json, more: Json = {}): Json => ({
  id: 'chatcmpl-abc',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'served-atlas',
  choices: [{ index: 0, delta, finish_reason: null, ...more }],
})
const finish = (reason: string, more: Json = {}): Json => chunk({}, { finish_reason: reason, ...more })
const counted = (tokens: Json = usage): Json => ({ ...chunk({}), choices: [], usage: tokens })
const callStart = (index: number, id: string, name: string, args = ''): Json =>
  chunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: args } }] })
const callMore = (index: number, args: string): Json => chunk({ tool_calls: [{ index, function: { arguments: args } }] })
const role = chunk({ role: 'assistant', content: '' })

const wholeOf = (chat: Json) => messagesToChatLane.whole(bytes(JSON.stringify(chat)), 'application/json', asking(ask))

/** The whole answer, translated and read by the real client. */
async function readWhole(chat: Json): Promise<Anthropic.Message> {
  const whole = wholeOf(chat)
  if (!whole.ok) return expect.fail(JSON.stringify(whole.error))
  return anthropicFor(text([whole.value.body])).messages.create({
    ...clientAsks,
    stream: false,
  } as Anthropic.MessageCreateParamsNonStreaming)
}

const lane = () => messagesToChatLane.events?.(asking({ ...ask, stream: true })) ?? expect.fail('messages stream')

/** The stream, translated, checked for order, and read by the real client. */
async function readStream(...chunks: readonly (Json | string)[]): Promise<Anthropic.Message> {
  const run = runLane(lane(), sse(...chunks, '[DONE]'))
  expect(run.fault).toBeNull()
  expect(run.whole).toBe(true)
  expectOrder(run.out)
  return anthropicFor(run.out).messages.stream(clientAsks).finalMessage()
}

type Event = { readonly type: string; readonly index?: number; readonly [key: string]: unknown }
const eventsOf = (out: string): readonly Event[] =>
  out
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(frame) ?? expect.fail(`not a frame: ${frame}`)
      const event = JSON.parse(data ?? '') as Event
      expect(event.type).toBe(name)
      return event
    })

/** message_start, then blocks one after the other, numbered without gaps, then message_delta and message_stop. */
function expectOrder(out: string): void {
  const types = eventsOf(out).map(({ type, index }) => `${type}${index === undefined ? '' : ` ${index}`}`)
  let at = 0
  const next = () => types[at]
  expect(types[at++]).toBe('message_start')
  for (let block = 0; next() === `content_block_start ${block}`; block++) {
    at++
    while (next() === `content_block_delta ${block}`) at++
    expect(types[at++]).toBe(`content_block_stop ${block}`)
  }
  expect(types.slice(at)).toEqual(['message_delta', 'message_stop'])
}

/** A message as its caller sees it, without what the client adds. */
const plain = ({ id, model, role, content, stop_reason, stop_sequence, usage }: Anthropic.Message) => ({
  id,
  model,
  role,
  content: content.map((block) => ({ ...block })),
  stop_reason,
  stop_sequence,
  usage: { ...usage },
})

const spent = { input_tokens: 10, output_tokens: 12, cache_read_input_tokens: 20, output_tokens_details: { thinking_tokens: 4 } }
const weather: Call = { id: 'call_1', name: 'weather', args: '{"city":"Bern"}' }
const time: Call = { id: 'call_2', name: 'time', args: '{}' }

describe('answers, whole and streamed, as the real client reads them', () => {
  const used = (call: Call) => ({ type: 'tool_use', id: call.id, name: call.name, input: JSON.parse(call.args) as unknown })

  it.each([
    [
      'a text',
      { content: 'Hello' },
      'stop',
      [role, chunk({ content: 'Hel' }), chunk({ content: 'lo' })],
      [{ type: 'text', text: 'Hello' }],
      'end_turn',
    ],
    [
      'one that was too long',
      { content: 'Hel' },
      'length',
      [role, chunk({ content: 'Hel' })],
      [{ type: 'text', text: 'Hel' }],
      'max_tokens',
    ],
    ['one that was filtered', { content: 'H' }, 'content_filter', [chunk({ content: 'H' })], [{ type: 'text', text: 'H' }], 'refusal'],
    [
      'a refusal',
      { refusal: 'No.' },
      'stop',
      [chunk({ refusal: 'N' }), chunk({ refusal: 'o.' })],
      [{ type: 'text', text: 'No.' }],
      'refusal',
    ],
    ['nothing', {}, 'stop', [role], [], 'end_turn'],
    [
      'thinking',
      { thinking: 'Let me see', content: 'Yes' },
      'stop',
      [role, chunk({ reasoning_content: 'Let me ' }), chunk({ reasoning: 'see', reasoning_content: null }), chunk({ content: 'Yes' })],
      [
        { type: 'thinking', thinking: 'Let me see', signature: '' },
        { type: 'text', text: 'Yes' },
      ],
      'end_turn',
    ],
    [
      'one tool',
      { content: 'Looking.', calls: [weather] },
      'tool_calls',
      [
        role,
        chunk({ content: 'Looking.' }),
        callStart(0, 'call_1', 'weather'),
        callMore(0, '{"ci'),
        callMore(0, 'ty":"Be'),
        callMore(0, 'rn"}'),
      ],
      [{ type: 'text', text: 'Looking.' }, used(weather)],
      'tool_use',
    ],
    [
      'a tool the caller named ("stop")',
      { calls: [weather] },
      'stop',
      [callStart(0, 'call_1', 'weather', weather.args)],
      [used(weather)],
      'tool_use',
    ],
    [
      'tools in parallel',
      { calls: [weather, time] },
      'tool_calls',
      [callStart(0, 'call_1', 'weather'), callMore(0, weather.args), callStart(1, 'call_2', 'time'), callMore(1, '{}')],
      [used(weather), used(time)],
      'tool_use',
    ],
    [
      'tools in one event',
      { calls: [weather, time] },
      'tool_calls',
      [
        chunk({
          tool_calls: [weather, time].map((call, index) => ({ index, id: call.id, function: { name: call.name, arguments: call.args } })),
        }),
      ],
      [used(weather), used(time)],
      'tool_use',
    ],
    [
      'tools sent across each other',
      { calls: [weather, { ...time, args: '{"zone":"CET"}' }] },
      'tool_calls',
      [
        callStart(0, 'call_1', 'weather'),
        callStart(1, 'call_2', 'time'),
        callMore(0, '{"city"'),
        callMore(1, '{"zone":'),
        callMore(0, ':"Bern"}'),
        callMore(1, '"CET"}'),
      ],
      [used(weather), used({ ...time, args: '{"zone":"CET"}' })],
      'tool_use',
    ],
    [
      'tools under one index',
      { calls: [weather, time] },
      'tool_calls',
      [callStart(0, 'call_1', 'weather', weather.args), callStart(0, 'call_2', 'time', '{}')],
      [used(weather), used(time)],
      'tool_use',
    ],
    [
      'tools without an index',
      { calls: [weather, time] },
      'tool_calls',
      [weather, time].map(({ id, name, args }) => chunk({ tool_calls: [{ id, function: { name, arguments: args } }] })),
      [used(weather), used(time)],
      'tool_use',
    ],
    [
      'a tool without arguments',
      { calls: [{ ...time, args: '' }] },
      'tool_calls',
      [callStart(0, 'call_2', 'time')],
      [used(time)],
      'tool_use',
    ],
    [
      'a tool whose name comes late',
      { calls: [weather] },
      'tool_calls',
      [
        chunk({ tool_calls: [{ index: 0, id: 'call_1', function: {} }] }),
        chunk({ tool_calls: [{ index: 0, function: { name: 'weather', arguments: weather.args } }] }),
      ],
      [used(weather)],
      'tool_use',
    ],
    [
      'arguments that are no JSON',
      { calls: [{ ...weather, args: '{"city": Bern}' }] },
      'tool_calls',
      [callStart(0, 'call_1', 'weather', '{"city"'), callMore(0, ': Be'), callMore(0, 'rn}')],
      [{ type: 'tool_use', id: 'call_1', name: 'weather', input: { city: null, INVALID_JSON: ':Bern}' } }],
      'tool_use',
    ],
    [
      'arguments cut short',
      { calls: [{ ...weather, args: '{"city":"Be' }] },
      'length',
      [callStart(0, 'call_1', 'weather', '{"city":"Be')],
      [{ type: 'tool_use', id: 'call_1', name: 'weather', input: { city: 'Be', INVALID_JSON: '' } }],
      'max_tokens',
    ],
    [
      'arguments that are no object',
      { calls: [{ ...weather, args: '[1]' }] },
      'tool_calls',
      [callStart(0, 'call_1', 'weather', '[1]')],
      [{ type: 'tool_use', id: 'call_1', name: 'weather', input: { INVALID_JSON: '[1]' } }],
      'tool_use',
    ],
  ] satisfies [string, Said, string, Json[], unknown[], string][])('%s', async (_, said, reason, chunks, content, stop_reason) => {
    const expected = { id: 'msg_abc', model: 'atlas', role: 'assistant', content, stop_reason, stop_sequence: null, usage: spent }
    expect(plain(await readWhole(completion(said, reason)))).toEqual(expected)
    expect(plain(await readStream(...chunks, finish(reason), counted()))).toEqual(expected)
    // Usage may come with the last choice as well.
    expect(plain(await readStream(...chunks, { ...finish(reason), usage }))).toEqual(expected)
  })

  it.each([
    ['vLLM', { stop_reason: 'END' }, { stop_reason: 'stop_sequence', stop_sequence: 'END' }],
    ['SGLang', { matched_stop: 'END' }, { stop_reason: 'stop_sequence', stop_sequence: 'END' }],
    ['a token', { stop_reason: 151_645, matched_stop: 2 }, { stop_reason: 'end_turn', stop_sequence: null }],
    ['none', { stop_reason: null }, { stop_reason: 'end_turn', stop_sequence: null }],
  ])('the stop sequence that was met: %s', async (_, more, expected) => {
    expect(await readWhole(completion({ content: 'a' }, 'stop', more))).toMatchObject(expected)
    expect(await readStream(chunk({ content: 'a' }), finish('stop', more))).toMatchObject(expected)
  })

  it('without usage it is zero for the client and unknown for the platform', async () => {
    expect((await readStream(chunk({ content: 'a' }), finish('stop'))).usage).toEqual({ input_tokens: 0, output_tokens: 0 })
    expect((await readWhole(completion({ content: 'a' }, 'stop', {}, null))).usage).toEqual({ input_tokens: 0, output_tokens: 0 })
    const reading = lane()
    runLane(reading, sse(chunk({ content: 'a' }), finish('stop'), '[DONE]'))
    expect(reading.usage()).toBeNull()
    expect(wholeOf(completion({ content: 'a' }, 'stop', {}, null))).toMatchObject({ ok: true, value: { usage: null } })
  })

  it('the platform counts what the engine counted', () => {
    const expected = { inputTokens: 30, outputTokens: 12, cachedTokens: 20 }
    expect(wholeOf(completion({ content: 'a' }, 'stop'))).toMatchObject({ value: { contentType: 'application/json', usage: expected } })
    const reading = lane()
    runLane(reading, sse(chunk({ content: 'a' }), finish('stop'), counted(), '[DONE]'))
    expect(reading.usage()).toEqual(expected)
  })

  it('what is between blocks becomes blocks of its own', async () => {
    const message = await readStream(
      chunk({ content: 'a' }),
      chunk({ reasoning: 'b' }),
      chunk({ content: 'c' }),
      callStart(0, 'call_2', 'time', '{}'),
      chunk({ content: 'd' }),
      finish('stop'),
    )
    expect(message.content.map((block) => block.type)).toEqual(['text', 'thinking', 'text', 'tool_use', 'text'])
  })

  it('what comes amid an unfinished call waits for its end', async () => {
    const message = await readStream(
      callStart(0, 'call_1', 'weather', '{"city":'),
      chunk({ content: 'x' }),
      callMore(0, '"Bern"}'),
      chunk({ content: 'y' }),
      finish('tool_calls'),
    )
    expect(message.content).toMatchObject([
      { type: 'tool_use', input: { city: 'Bern' } },
      { type: 'text', text: 'xy' },
    ])
  })
})

describe('the stream', () => {
  it('marks the first real content, not the role', () => {
    const run = runLane(lane(), sse(role, chunk({ content: '' }), chunk({ content: 'a' }), finish('stop'), counted(), '[DONE]'))
    expect(run.means).toEqual(['nothing', 'nothing', 'token', 'token', 'nothing', 'done'])
    expect(runLane(lane(), sse(role, callStart(0, 'c', 'n'))).means).toEqual(['nothing', 'token'])
    expect(runLane(lane(), sse(chunk({ reasoning: 'r' }))).means).toEqual(['token'])
  })

  it('passes arguments on as they come', () => {
    const run = runLane(lane(), sse(callStart(0, 'c', 'n'), callMore(0, '{"text":"one '), callMore(0, 'two ')))
    const deltas = eventsOf(run.out).flatMap((event) => (event.type === 'content_block_delta' ? [event['delta']] : []))
    expect(deltas).toEqual([
      { type: 'input_json_delta', partial_json: '{"text":"one ' },
      { type: 'input_json_delta', partial_json: 'two ' },
    ])
  })

  it.each([
    ['cut after its first words', [chunk({ content: 'a' })]],
    ['cut before the end mark', [chunk({ content: 'a' }), finish('stop'), counted()]],
    ['ended without a reason to finish', [chunk({ content: 'a' }), '[DONE]']],
    ['empty', []],
  ])('%s is not whole and has no message_stop', (_, chunks) => {
    const run = runLane(lane(), sse(...chunks))
    expect(run).toMatchObject({ whole: false, fault: null })
    expect(run.out).not.toContain('message_stop')
  })

  it.each([
    ['OpenAI’s', { error: { message: 'boom', type: 'server_error', code: null } }, { status: 502, message: 'boom' }],
    ['vLLM’s', { object: 'error', message: 'too long', code: 400 }, { status: 400, message: 'too long' }],
    ['an engine that gives up', finish('abort'), { status: 502 }],
    ['garbage', '<html>', { status: 502 }],
    ['no object', '[]', { status: 502 }],
  ])('an error is a fault: %s', (_, event, fault) => {
    const run = runLane(lane(), sse(chunk({ content: 'a' }), event, chunk({ content: 'b' })))
    expect(run.fault).toMatchObject({ code: null, param: null, ...fault })
    expect(run.out).toBe(runLane(lane(), sse(chunk({ content: 'a' }))).out)
  })

  it('the real client sees an error after it as an error', async () => {
    const run = runLane(lane(), sse(role, chunk({ content: 'a' }), { error: { message: 'boom' } }))
    const frame = anthropicVoice.errorFrame({
      status: 502,
      type: '',
      code: 'upstream_failed',
      message: 'It broke.',
      param: null,
      retryAfterMs: null,
    })
    const error: unknown = await anthropicFor(run.out + anthropicVoice.keepAlive + frame)
      .messages.stream(clientAsks)
      .finalMessage()
      .catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(Anthropic.APIError)
    expect(error).toMatchObject({ type: 'api_error', errorCode: 'upstream_failed', apiMessage: 'It broke.' })
  })

  it('comments, other choices and what follows the end are ignored', () => {
    const run = runLane(
      lane(),
      `: hi\n\n${sse({ ...chunk({ content: 'no' }), choices: [{ index: 1, delta: { content: 'no' } }] }, finish('stop'), chunk({ content: 'no' }), '[DONE]')}`,
    )
    expect(run).toMatchObject({ whole: true })
    expect(run.out).not.toContain('"no"')
  })

  it('bounds what waits behind an unfinished call, and the number of calls', () => {
    const reading = lane()
    const piece = 'x'.repeat(limits.eventBytesMax / 4)
    const run = runLane(
      reading,
      sse(callStart(0, 'a', 'n', '{'), callStart(1, 'b', 'n', '{"a":"'), ...Array.from({ length: 5 }, () => callMore(1, piece))),
    )
    expect(run.fault).toMatchObject({ status: 502 })
    expect(runLane(lane(), sse(...Array.from({ length: 1_100 }, (_, index) => callStart(index, `c${index}`, 'n')))).fault).toMatchObject({
      status: 502,
    })
  })

  it('survives any events (property)', () => {
    const delta = fc.oneof(
      fc.jsonValue(),
      fc.record({
        content: fc.jsonValue(),
        tool_calls: fc.oneof(fc.jsonValue(), fc.array(fc.record({ index: fc.jsonValue(), id: fc.jsonValue(), function: fc.jsonValue() }))),
      }),
    )
    const event = fc.oneof(
      fc.json(),
      fc.constant('[DONE]'),
      fc
        .record({
          id: fc.jsonValue(),
          choices: fc.array(fc.record({ index: fc.constant(0), delta, finish_reason: fc.constantFrom(null, 'stop', 'x') })),
          usage: fc.jsonValue(),
        })
        .map((json) => JSON.stringify(json)),
    )
    fc.assert(
      fc.property(fc.array(event), (events) => {
        const run = runLane(lane(), sse(...events))
        expect(run.whole && run.fault !== null).toBe(false)
        if (run.whole) expectOrder(run.out)
      }),
    )
  })
})

describe('a whole answer', () => {
  it.each([
    ['OpenAI’s error', { error: { message: 'boom', code: 404 } }, { status: 404, message: 'boom' }],
    ['no choice', { choices: [] }, { status: 502 }],
    ['a choice without a message', { choices: [{}] }, { status: 502 }],
    ['a message of Anthropic', { type: 'message', content: [] }, { status: 502 }],
    ['an engine that gave up', completion({ content: 'a' }, 'abort'), { status: 502 }],
  ])('%s is a fault', (_, json, fault) => {
    expect(wholeOf(json)).toMatchObject({ ok: false, error: fault })
  })

  it('an error status has its reason', () => {
    expect(messagesToChatLane.fault(400, '{"error":{"message":"max_tokens is too large","param":"max_tokens"}}')).toEqual({
      status: 400,
      message: 'max_tokens is too large',
      code: null,
      param: 'max_tokens',
    })
  })
})

// Any answer, cut anywhere, is the same message.

const cut = (whole: string, lengths: readonly number[]): string[] => {
  const pieces: string[] = []
  let at = 0
  for (let turn = 0; at < whole.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1
    pieces.push(whole.slice(at, at + length))
    at += length
  }
  return pieces
}

const anyText = fc.string({ unit: fc.constantFrom('a', ' ', '\n', '"', '\\', '{', 'é', '😀', '\ud83d', '\udca9', '[DONE]') })
const anyArgs = fc.oneof(
  fc.object().map((input) => JSON.stringify(input)),
  fc.string({ unit: fc.constantFrom('{', '}', '"', ':', ',', '[', ']', '\\', 'u', '0', 'true', ' ', 'a') }),
  fc.string(),
)
const anySaid = fc.record({
  thinking: anyText,
  content: anyText,
  calls: fc.array(fc.record({ name: fc.constantFrom('weather', 'time'), args: anyArgs }), { maxLength: 3 }),
})
const anyLengths = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 })

it('an answer in one piece and in any pieces give the real client the same message (property)', async () => {
  await fc.assert(
    fc.asyncProperty(anySaid, anyLengths, fc.constantFrom('stop', 'length', 'tool_calls'), async (said, lengths, reason) => {
      const calls = said.calls.map((call, index) => ({ ...call, id: `call_${index}` }))
      const chunks = [
        role,
        ...cut(said.thinking, lengths).map((piece) => chunk({ reasoning_content: piece })),
        ...cut(said.content, lengths).map((piece) => chunk({ content: piece })),
        ...calls.flatMap(({ id, name, args }, index) => [
          callStart(index, id, name),
          ...cut(args, lengths).map((piece) => callMore(index, piece)),
        ]),
      ]
      const whole = plain(await readWhole(completion({ ...said, calls }, reason)))
      expect(plain(await readStream(...chunks, finish(reason), counted()))).toEqual(whole)
    }),
    { numRuns: 150 },
  )
})

describe('toolInput', () => {
  const through = (pieces: readonly string[]): string => {
    const input = toolInput()
    return pieces.map((piece) => input.push(piece)).join('') + input.end()
  }
  const parsed = (args: string): unknown => {
    try {
      return JSON.parse(args)
    } catch {
      return undefined
    }
  }

  it.each([
    ['{}', {}],
    [' { "a" : [ 1 , -2.5e3, true,false , null, "x\\u00e9\\n" , {} , [] ] } ', { a: [1, -2500, true, false, null, 'xé\n', {}, []] }],
    ['', undefined],
    ['   ', undefined],
    ['null', { INVALID_JSON: 'null' }],
    ['{"a":1}}', { a: 1, INVALID_JSON: '}' }],
    ['{"a":1}{"b":2}', { a: 1, INVALID_JSON: '{"b":2}' }],
    ['{"a":01}', { a: null, INVALID_JSON: ':01}' }],
    ['{"a":[1,2', { a: [1], INVALID_JSON: ',2' }],
    ['{"a":{"b":"c\\u00', { a: { b: 'c' }, INVALID_JSON: '\\u00' }],
    ['{"a":"line\nbreak"}', { a: 'line', INVALID_JSON: '\nbreak"}' }],
    ['{"a', { a: null, INVALID_JSON: '' }],
    ['{"a":1,}', { a: 1, INVALID_JSON: ',}' }],
    ['{a:1}', { INVALID_JSON: 'a:1}' }],
    ['{"a":[1}', { a: [1], INVALID_JSON: '}' }],
  ])('%j', (args, expected) => {
    expect(parsed(through([args]))).toEqual(expected)
  })

  it('gives valid objects unchanged, marks everything else, whatever the pieces (property)', () => {
    fc.assert(
      fc.property(anyArgs, anyLengths, (args, lengths) => {
        const out = through(cut(args, lengths))
        expect(out).toBe(through([args]))
        if (args.trim() === '') return
        const good = parsed(args)
        const isObject = typeof good === 'object' && good !== null && !Array.isArray(good)
        const read = parsed(out)
        if (isObject) expect(read).toEqual(good)
        else expect(read).toHaveProperty('INVALID_JSON')
      }),
      { numRuns: 2_000 },
    )
  })

  it('every beginning of it can be closed (property)', () => {
    fc.assert(
      fc.property(fc.object(), fc.nat(), (input, at) => {
        const args = JSON.stringify(input)
        expect(parsed(through([args.slice(0, 1 + (at % args.length))]))).toBeTypeOf('object')
      }),
    )
  })

  it('holds no more than a token', () => {
    expect(parsed(through([`{"a":${'9'.repeat(1_000)}}`]))).toHaveProperty('INVALID_JSON')
    expect(parsed(through([`{"a":${'['.repeat(10_000)}`]))).toHaveProperty('INVALID_JSON')
  })
})
