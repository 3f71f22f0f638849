// Anthropic's messages API as the real package speaks it: passed on to servers that speak it themselves, translated for those that only chat.

import Anthropic from '@anthropic-ai/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { collect } from '../support/scripted-client.ts'
import { speeches, textOf, type Script } from '../support/scripted-upstream.ts'

const scripts: readonly Script[] = [
  'vllm/text',
  'vllm/parallel-tools',
  'vllm/reasoning',
  'vllm/vision',
  'vllm/long',
  'vllm/bad-request',
  'vllm/too-long',
  'vllm/busy',
  'fault/error-later',
  'fault/cut-later',
]
/** How a server is registered: that is how the gateway knows whether to translate. */
const ways = {
  translated: {},
  native: { operations: ['chat', 'messages'] },
  anthropic: { kind: 'anthropic' },
} as const
type Way = keyof typeof ways

/** Tests' own time limits are the only ones. */
const patience = { timeout: 30_000 }

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('anthropic')
  for (const way of Object.keys(ways) as Way[]) {
    const models = Object.fromEntries(scripts.map((script) => [`${way}/${script}`, { endpoints: [script] }]))
    await gateway.serve(models, { endpoint: ways[way] })
  }
})
afterAll(() => gateway.close())

const client = (maxRetries = 0) => new Anthropic({ baseURL: gateway.dev.edgeUrl, apiKey: gateway.apiKey, maxRetries })
const question = [{ role: 'user' as const, content: 'What is the capital of Peru?' }]
const asking = (way: Way, script: Script) => ({ model: gateway.name(`${way}/${script}`), max_tokens: 64, messages: question })
const tools = ['get_weather', 'get_time'].map((name) => ({
  name,
  input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } },
}))

const failure = async (sent: PromiseLike<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> => {
  try {
    await sent
  } catch (cause) {
    if (cause instanceof Anthropic.APIError) return cause
    throw cause
  }
  throw new Error('it was served')
}

describe('who may ask', () => {
  it('x-api-key and Bearer are both a key', async () => {
    expect((await client().messages.create(asking('native', 'vllm/text'))).role).toBe('assistant')
    const bearer = new Anthropic({ baseURL: gateway.dev.edgeUrl, apiKey: null, authToken: gateway.apiKey, maxRetries: 0 })
    expect((await bearer.messages.create(asking('native', 'vllm/text'))).role).toBe('assistant')
  })

  it('a stranger is an AuthenticationError', async () => {
    const stranger = new Anthropic({ baseURL: gateway.dev.edgeUrl, apiKey: 'sk-ant-nothing', maxRetries: 0 })
    const error = await failure(stranger.messages.create(asking('native', 'vllm/text')))
    expect(error).toBeInstanceOf(Anthropic.AuthenticationError)
    expect(error.type).toBe('authentication_error')
  })
})

describe('on the platform’s own engine', () => {
  it('messages: whole and streamed', async () => {
    const asked = { model: 'atlas', max_tokens: 64, messages: question }
    const whole = await client().messages.create(asked)
    expect(whole).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'end_turn', content: [{ type: 'text' }] })
    expect(whole.usage.output_tokens).toBeGreaterThan(0)
    const final = await client().messages.stream(asked).finalMessage()
    expect(final.content).toMatchObject([{ type: 'text', text: expect.stringContaining('Lima') }])
    expect(final.usage.output_tokens).toBeGreaterThan(0)
  })
})

describe.each(Object.keys(ways) as Way[])('%s', (way) => {
  it('messages: id, type, role, content, stop_reason, usage', async () => {
    const message = await client().messages.create(asking(way, 'vllm/text'))
    expect(message).toMatchObject({
      id: expect.stringMatching(/./),
      type: 'message',
      role: 'assistant',
      model: expect.any(String),
      content: [{ type: 'text', text: textOf('text') }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { input_tokens: 12, output_tokens: 7 },
    })
  })

  it('messages stream: message_start, blocks opened and closed by index, message_delta, message_stop', async () => {
    const events = await collect(await client().messages.create({ ...asking(way, 'vllm/text'), stream: true }))
    const types = events.map(({ type }) => type)
    expect(types[0]).toBe('message_start')
    expect(types.slice(-3)).toEqual(['content_block_stop', 'message_delta', 'message_stop'])
    expect(types.filter((type) => type === 'content_block_start')).toHaveLength(1)
    const deltas = events.map((event) =>
      event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '',
    )
    expect(deltas.join('')).toBe(textOf('text'))
    const delta = events.find((event) => event.type === 'message_delta')
    expect(delta).toMatchObject({ delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } })
  })

  it('tools: two tool_use blocks with their input, whole and streamed', async () => {
    const expected = [
      { type: 'tool_use', id: expect.stringMatching(/./), name: 'get_weather', input: { city: 'Lima' } },
      { type: 'tool_use', id: expect.stringMatching(/./), name: 'get_time', input: { city: 'Cusco' } },
    ]
    const asked = { ...asking(way, 'vllm/parallel-tools'), tools }
    const whole = await client().messages.create(asked)
    expect(whole.stop_reason).toBe('tool_use')
    expect(whole.content).toMatchObject(expected)
    const final = await client().messages.stream(asked).finalMessage()
    expect(final.stop_reason).toBe('tool_use')
    expect(final.content).toMatchObject(expected)
  })

  it('tools: a result goes back to the engine', async () => {
    const messages: Anthropic.MessageParam[] = [
      ...question,
      { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Lima' } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: '18 degrees' }] },
    ]
    await client().messages.create({ ...asking(way, 'vllm/text'), messages, tools })
    const sent = JSON.stringify(gateway.upstream.last('vllm/text').json)
    expect(sent).toContain('18 degrees')
    expect(sent).toContain('toolu_1')
  })

  it('system, stop_sequences and images reach the engine', async () => {
    const content: Anthropic.ContentBlockParam[] = [
      { type: 'text', text: 'What is this?' },
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
    ]
    const asked = {
      ...asking(way, 'vllm/vision'),
      system: 'Be brief.',
      stop_sequences: ['END'],
      messages: [{ role: 'user' as const, content }],
    }
    expect((await client().messages.create(asked)).content).toMatchObject([{ type: 'text', text: textOf('vision') }])
    const sent = JSON.stringify(gateway.upstream.last('vllm/vision').json)
    for (const part of ['Be brief.', 'END', 'iVBORw0KGgo=']) expect(sent).toContain(part)
  })

  it('errors: a bad request is a BadRequestError with the engine’s words', async () => {
    const error = await failure(client().messages.create(asking(way, 'vllm/bad-request')))
    expect(error).toBeInstanceOf(Anthropic.BadRequestError)
    expect(error.type).toBe('invalid_request_error')
    expect(error.message).toContain('temperature must be non-negative')
    expect(error.requestID).toMatch(/^req_/)
  })

  it('errors: a full engine is retried, as often as it is told to', async () => {
    const before = gateway.upstream.tally('vllm/busy').asked
    const error = await failure(client(1).messages.create(asking(way, 'vllm/busy')))
    expect(error.status).toBeGreaterThanOrEqual(500)
    expect(gateway.upstream.tally('vllm/busy').asked).toBe(before + 2)
  })

  it.each(['fault/error-later', 'fault/cut-later'] as const)('%s: an error in the middle of a stream is thrown', async (script) => {
    let text = ''
    const reading = (async () => {
      for await (const event of await client().messages.create({ ...asking(way, script), stream: true }))
        if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') text += event.delta.text
    })()
    const error = await failure(reading)
    expect(error.type).toBe('api_error')
    expect(text).toBe(speeches.text.text.slice(0, 2).join(''))
  })

  it('cancelling: an aborted stream reaches the engine', async () => {
    const { abandoned } = gateway.upstream.tally('vllm/long')
    const stream = await client().messages.create({ ...asking(way, 'vllm/long'), stream: true })
    for await (const event of stream) if (event.type === 'content_block_delta') break
    await expect.poll(() => gateway.upstream.tally('vllm/long').abandoned, patience).toBe(abandoned + 1)
  })
})

describe('errors of the gateway itself', () => {
  it('404: no such model', async () => {
    const error = await failure(client().messages.create({ model: 'nobody/nothing', max_tokens: 1, messages: question }))
    expect(error).toBeInstanceOf(Anthropic.NotFoundError)
    expect(error.type).toBe('not_found_error')
  })

  it('400: a field that decides something is wrong', async () => {
    const error = await failure(client().messages.create({ ...asking('native', 'vllm/text'), messages: 'hi' as never }))
    expect(error).toBeInstanceOf(Anthropic.BadRequestError)
  })
})

describe('count_tokens', () => {
  it('is answered by a server that can count', async () => {
    const { max_tokens: _, ...asked } = asking('anthropic', 'vllm/text')
    expect(await client().messages.countTokens(asked)).toMatchObject({ input_tokens: 42 })
  })

  it('is refused, not guessed, where no server can', async () => {
    const { max_tokens: _, ...asked } = asking('translated', 'vllm/text')
    const error = await failure(client().messages.countTokens(asked))
    expect([400, 404, 501]).toContain(error.status)
    expect(error.error).toMatchObject({ type: 'error' })
  })
})

describe('afterwards', () => {
  it('nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
})
