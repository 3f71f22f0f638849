// OpenAI's responses API as the openai package speaks it, on servers that have it.

import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { collect } from '../support/scripted-client.ts'
import { speeches, textOf, type Script } from '../support/scripted-upstream.ts'

const scripts: readonly Script[] = [
  'vllm/text',
  'vllm/tool-call',
  'vllm/vision',
  'vllm/json-schema',
  'vllm/long',
  'vllm/bad-request',
  'fault/error-later',
  'fault/close-later',
]

/** Tests' own time limits are the only ones. */
const patience = { timeout: 30_000 }

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('responses')
  await gateway.serve(scripts, { endpoint: { operations: ['chat', 'responses'] } })
  await gateway.serve({ 'chat-only': { endpoints: ['vllm/text'] } })
})
afterAll(() => gateway.close())

const client = () => new OpenAI({ baseURL: gateway.baseURL, apiKey: gateway.apiKey, maxRetries: 0 })
const input = 'What is the capital of Peru?'
const asking = (script: string) => ({ model: gateway.name(script), input })

const failure = async (sent: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> => {
  try {
    await sent
  } catch (cause) {
    if (cause instanceof OpenAI.APIError) return cause
    throw cause
  }
  throw new Error('it was served')
}

it('responses: output_text, status and usage', async () => {
  const response = await client().responses.create(asking('vllm/text'))
  expect(response.output_text).toBe(textOf('text'))
  expect(response).toMatchObject({ object: 'response', status: 'completed', usage: { total_tokens: 19 } })
})

it('responses stream: from response.created to response.completed, sequence numbers in order', async () => {
  const events = await collect(await client().responses.create({ ...asking('vllm/text'), stream: true }))
  expect(events[0]?.type).toBe('response.created')
  expect(events.at(-1)?.type).toBe('response.completed')
  expect(events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')).toBe(textOf('text'))
  const numbers = events.map(({ sequence_number }) => sequence_number)
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
})

it('responses: function calls, whole and streamed', async () => {
  const parameters = { type: 'object', properties: { city: { type: 'string' } } }
  const tools = [{ type: 'function' as const, name: 'get_weather', strict: false, parameters }]
  const expected = [{ type: 'function_call', name: 'get_weather', arguments: '{"city": "Lima"}' }]
  expect((await client().responses.create({ ...asking('vllm/tool-call'), tools })).output).toMatchObject(expected)
  const final = await client()
    .responses.stream({ ...asking('vllm/tool-call'), tools })
    .finalResponse()
  expect(final.output).toMatchObject(expected)
})

it('responses: images and text.format reach the engine', async () => {
  const content = [
    { type: 'input_text' as const, text: 'What is this?' },
    { type: 'input_image' as const, image_url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'auto' as const },
  ]
  const seen = await client().responses.create({ model: gateway.name('vllm/vision'), input: [{ role: 'user', content }] })
  expect(seen.output_text).toBe(textOf('vision'))
  const format = { type: 'json_schema' as const, name: 'place', schema: { type: 'object' } }
  const placed = await client().responses.create({ ...asking('vllm/json-schema'), text: { format } })
  expect(JSON.parse(placed.output_text)).toEqual({ city: 'Lima', country: 'Peru' })
})

describe('errors', () => {
  it('an engine’s refusal is a BadRequestError', async () => {
    const error = await failure(client().responses.create(asking('vllm/bad-request')))
    expect(error).toBeInstanceOf(OpenAI.BadRequestError)
    expect(error.message).toContain('temperature must be non-negative')
  })

  it('a model whose servers only chat says that it cannot', async () => {
    expect(await failure(client().responses.create(asking('chat-only')))).toMatchObject({ status: 400, code: 'unsupported_operation' })
  })

  it.each(['fault/error-later', 'fault/close-later'])('%s: a stream that breaks ends with an error', async (script) => {
    let text = ''
    const reading = (async () => {
      for await (const event of await client().responses.create({ ...asking(script), stream: true })) {
        if (event.type === 'response.output_text.delta') text += event.delta
        // Depending on its version the package hands an error event on, or throws it.
        if (event.type === 'error' || event.type === 'response.failed') throw new OpenAI.APIError(undefined, event, event.type, undefined)
      }
    })()
    expect(await failure(reading)).toBeInstanceOf(OpenAI.APIError)
    expect(text).toBe(speeches.text.text.slice(0, 2).join(''))
  })
})

it('cancelling: an aborted stream reaches the engine', async () => {
  const { abandoned } = gateway.upstream.tally('vllm/long')
  const stream = await client().responses.create({ ...asking('vllm/long'), stream: true })
  for await (const event of stream) if (event.type === 'response.output_text.delta') break
  await expect.poll(() => gateway.upstream.tally('vllm/long').abandoned, patience).toBe(abandoned + 1)
})

describe('afterwards', () => {
  it('nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
})
