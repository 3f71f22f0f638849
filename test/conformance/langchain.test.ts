// LangChain's OpenAI integration.

import { HumanMessage } from '@langchain/core/messages'
import { ChatOpenAI, OpenAI as CompletionOpenAI, OpenAIEmbeddings } from '@langchain/openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { collect } from '../support/scripted-client.ts'
import { vectorOf } from '../support/scripted-dialects.ts'
import type { EngineName } from '../support/scripted-engines.ts'
import { textOf } from '../support/scripted-upstream.ts'

const engines: readonly EngineName[] = ['vllm', 'sglang', 'tgi', 'llamacpp']

/** Tests' own time limits are the only ones. */
const patience = { timeout: 30_000 }

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('langchain')
  await gateway.serve([
    ...engines.map((engine) => `${engine}/text` as const),
    ...engines.map((engine) => `${engine}/parallel-tools` as const),
    'vllm/vision',
    'vllm/json-schema',
    'vllm/embeddings',
    'vllm/long',
    'vllm/busy',
    'llamacpp/too-long',
    'fault/error-later',
  ])
})
afterAll(() => gateway.close())

const access = (apiKey = gateway.apiKey) => ({ apiKey, configuration: { baseURL: gateway.baseURL } })
const chat = (model: string, maxRetries = 0) => new ChatOpenAI({ model: gateway.name(model), maxRetries, ...access() })
const prompt = 'What is the capital of Peru?'
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = ['get_weather', 'get_time'].map((name) => ({ type: 'function' as const, function: { name, parameters } }))

const failure = async (sent: Promise<unknown>): Promise<Record<string, unknown> & Error> => {
  try {
    await sent
  } catch (cause) {
    return cause as Record<string, unknown> & Error
  }
  throw new Error('it was served')
}

describe('on the platform’s own engine', () => {
  const atlas = () => new ChatOpenAI({ model: 'atlas', maxRetries: 0, ...access() })

  it('chat: invoke, with usage', async () => {
    const answer = await atlas().invoke(prompt)
    expect(answer.text).toContain('Lima')
    expect(answer.usage_metadata).toMatchObject({ total_tokens: expect.any(Number) })
  })

  it('chat stream: usage arrives in the last chunk, because it asks for it', async () => {
    const chunks = await collect(await atlas().stream(prompt))
    expect(chunks.map(({ text }) => text).join('')).toContain('Lima')
    expect(chunks.findLast(({ usage_metadata }) => usage_metadata)?.usage_metadata).toMatchObject({ total_tokens: expect.any(Number) })
  })

  it('completions: the completion model', async () => {
    const model = new CompletionOpenAI({ model: 'atlas', maxTokens: 4, maxRetries: 0, ...access() })
    expect((await model.invoke('The capital of')).length).toBeGreaterThan(0)
  })

  it('embeddings: embedDocuments', async () => {
    const vectors = await new OpenAIEmbeddings({ model: 'atlas', maxRetries: 0, ...access() }).embedDocuments(['one', 'two'])
    expect(vectors.map((each) => each.length)).toEqual([256, 256])
  })
})

describe.each(engines)('in front of %s', (engine) => {
  it('chat: whole and streamed', async () => {
    expect((await chat(`${engine}/text`).invoke(prompt)).text).toBe(textOf('text'))
    const chunks = await collect(await chat(`${engine}/text`).stream(prompt))
    expect(chunks.map(({ text }) => text).join('')).toBe(textOf('text'))
  })

  it('chat: parallel tool calls, whole and streamed', async () => {
    const expected = [
      { name: 'get_weather', args: { city: 'Lima' } },
      { name: 'get_time', args: { city: 'Cusco' } },
    ]
    const bound = chat(`${engine}/parallel-tools`).bindTools(tools)
    expect((await bound.invoke(prompt)).tool_calls).toMatchObject(expected)
    const chunks = await collect(await bound.stream(prompt))
    const [first, ...rest] = chunks
    expect(rest.reduce((sum, chunk) => sum?.concat(chunk), first)?.tool_calls).toMatchObject(expected)
  })
})

describe('what passes through', () => {
  it('chat: image parts reach the engine', async () => {
    const content = [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
    ]
    expect((await chat('vllm/vision').invoke([new HumanMessage({ content })])).text).toBe(textOf('vision'))
  })

  it('chat: json_schema, through withStructuredOutput', async () => {
    const schema = { title: 'place', type: 'object', properties: { city: { type: 'string' }, country: { type: 'string' } } }
    const place = await chat('vllm/json-schema').withStructuredOutput(schema, { method: 'jsonSchema' }).invoke(prompt)
    expect(place).toEqual({ city: 'Lima', country: 'Peru' })
  })

  it('embeddings: base64 asked for, from an engine that knows only floats', async () => {
    const model = new OpenAIEmbeddings({ model: gateway.name('vllm/embeddings'), maxRetries: 0, ...access() })
    expect(await model.embedDocuments(['one', 'two'])).toEqual([vectorOf(0), vectorOf(1)])
  })
})

describe('errors', () => {
  it('401 is an authentication error', async () => {
    const stranger = new ChatOpenAI({ model: 'atlas', maxRetries: 0, ...access('sk-nothing') })
    expect(await failure(stranger.invoke(prompt))).toMatchObject({ status: 401, lc_error_code: 'MODEL_AUTHENTICATION' })
  })

  it('404 is a model that is not there', async () => {
    expect(await failure(chat('nobody/nothing').invoke(prompt))).toMatchObject({ status: 404, lc_error_code: 'MODEL_NOT_FOUND' })
  })

  it('context_length_exceeded, from llama.cpp’s own words, is a ContextOverflowError', async () => {
    expect((await failure(chat('llamacpp/too-long').invoke(prompt))).name).toBe('ContextOverflowError')
  })

  it('503 is retried, as often as it is told to', async () => {
    const before = gateway.upstream.tally('vllm/busy').asked
    await failure(chat('vllm/busy', 1).invoke(prompt))
    expect(gateway.upstream.tally('vllm/busy').asked).toBe(before + 2)
  })

  it('an error in the middle of a stream is thrown, with its code', async () => {
    let text = ''
    const reading = (async () => {
      for await (const chunk of await chat('fault/error-later').stream(prompt)) text += chunk.text
    })()
    expect(await failure(reading)).toMatchObject({ code: 'upstream_failed' })
    expect(text.length).toBeGreaterThan(0)
  })

  it('an aborted stream reaches the engine', async () => {
    const { abandoned } = gateway.upstream.tally('vllm/long')
    const leaving = new AbortController()
    const reading = (async () => {
      for await (const chunk of await chat('vllm/long').stream(prompt, { signal: leaving.signal })) if (chunk.text) leaving.abort()
    })()
    await failure(reading)
    await expect.poll(() => gateway.upstream.tally('vllm/long').abandoned, patience).toBe(abandoned + 1)
  })
})

it('afterwards nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
