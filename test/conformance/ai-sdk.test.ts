// The Vercel AI SDK with its provider for OpenAI-compatible servers.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, embedMany, generateObject, generateText, jsonSchema, RetryError, streamText, tool, type ToolSet } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { collect } from '../support/scripted-client.ts'
import { vectorOf } from '../support/scripted-dialects.ts'
import type { EngineName } from '../support/scripted-engines.ts'
import { speeches, textOf } from '../support/scripted-upstream.ts'

const engines: readonly EngineName[] = ['vllm', 'sglang', 'tgi', 'llamacpp']

/** Tests' own time limits are the only ones. */
const patience = { timeout: 30_000 }

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('ai-sdk')
  await gateway.serve([
    ...engines.map((engine) => `${engine}/text` as const),
    ...engines.map((engine) => `${engine}/parallel-tools` as const),
    'sglang/reasoning',
    'vllm/vision',
    'vllm/json-schema',
    'vllm/embeddings',
    'vllm/long',
    'vllm/bad-request',
    'vllm/busy',
    'fault/error-later',
  ])
})
afterAll(() => gateway.close())

const provider = (includeUsage = false) =>
  createOpenAICompatible({
    name: 'isochrone',
    baseURL: gateway.baseURL,
    apiKey: gateway.apiKey,
    includeUsage,
    supportsStructuredOutputs: true,
  })
const chat = (model: string) => provider().chatModel(gateway.name(model))
const prompt = 'What is the capital of Peru?'
const city = jsonSchema<{ city: string }>({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] })
// Its type wants tools that run; these are only called.
const tools = { get_weather: tool({ inputSchema: city }), get_time: tool({ inputSchema: city }) } as unknown as ToolSet

describe('on the platform’s own engine', () => {
  it('chat: generateText, with usage and finish reason', async () => {
    const { text, usage, finishReason } = await generateText({ model: provider().chatModel('atlas'), prompt })
    expect(text).toContain('Lima')
    expect(usage.totalTokens).toBeGreaterThan(0)
    expect(finishReason).toBe('stop')
  })

  it('chat stream: streamText; usage arrives because includeUsage asks for it', async () => {
    const streamed = streamText({ model: provider(true).chatModel('atlas'), prompt })
    expect((await collect(streamed.textStream)).join('')).toContain('Lima')
    expect((await streamed.usage).totalTokens).toBeGreaterThan(0)
  })

  it('completions: completionModel', async () => {
    const { text } = await generateText({ model: provider().completionModel('atlas'), prompt: 'The capital of', maxOutputTokens: 4 })
    expect(text.length).toBeGreaterThan(0)
  })

  it('embeddings: embedMany asks for floats', async () => {
    const { embeddings } = await embedMany({ model: provider().embeddingModel('atlas'), values: ['one', 'two'] })
    expect(embeddings.map((each) => each.length)).toEqual([256, 256])
  })
})

describe.each(engines)('in front of %s', (engine) => {
  it('chat: whole and streamed', async () => {
    expect((await generateText({ model: chat(`${engine}/text`), prompt })).text).toBe(textOf('text'))
    const streamed = streamText({ model: chat(`${engine}/text`), prompt })
    expect((await collect(streamed.textStream)).join('')).toBe(textOf('text'))
    expect(await streamed.finishReason).toBe('stop')
  })

  it('chat: parallel tool calls, whole and streamed', async () => {
    const expected = [
      { toolName: 'get_weather', input: { city: 'Lima' } },
      { toolName: 'get_time', input: { city: 'Cusco' } },
    ]
    const whole = await generateText({ model: chat(`${engine}/parallel-tools`), prompt, tools })
    expect(whole.toolCalls).toMatchObject(expected)
    const streamed = streamText({ model: chat(`${engine}/parallel-tools`), prompt, tools })
    expect(await streamed.toolCalls).toMatchObject(expected)
    expect(await streamed.finishReason).toBe('tool-calls')
  })
})

describe('what passes through', () => {
  it('chat: reasoning_content becomes reasoning, whole and streamed', async () => {
    const thought = speeches.reasoning.reasoning.join('')
    expect((await generateText({ model: chat('sglang/reasoning'), prompt })).reasoningText).toBe(thought)
    const streamed = streamText({ model: chat('sglang/reasoning'), prompt })
    expect(await streamed.reasoningText).toBe(thought)
    expect(await streamed.text).toBe(textOf('reasoning'))
  })

  it('chat: image parts reach the engine', async () => {
    const image = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
    const content = [
      { type: 'text' as const, text: 'What is this?' },
      { type: 'image' as const, image, mediaType: 'image/png' },
    ]
    const { text } = await generateText({ model: chat('vllm/vision'), messages: [{ role: 'user', content }] })
    expect(text).toBe(textOf('vision'))
  })

  it('chat: json_schema, through generateObject', async () => {
    const schema = jsonSchema<{ city: string; country: string }>({
      type: 'object',
      properties: { city: { type: 'string' }, country: { type: 'string' } },
      required: ['city', 'country'],
      additionalProperties: false,
    })
    const { object } = await generateObject({ model: chat('vllm/json-schema'), prompt, schema })
    expect(object).toEqual({ city: 'Lima', country: 'Peru' })
  })

  it('embeddings: floats from an engine that knows only floats', async () => {
    const { embeddings } = await embedMany({ model: provider().embeddingModel(gateway.name('vllm/embeddings')), values: ['one', 'two'] })
    expect(embeddings).toEqual([vectorOf(0), vectorOf(1)])
  })
})

describe('errors', () => {
  it('an engine’s refusal is an APICallError with its message, not retryable', async () => {
    const sent = generateText({ model: chat('vllm/bad-request'), prompt, maxRetries: 2 })
    await expect(sent).rejects.toSatisfy(
      (error: unknown) =>
        APICallError.isInstance(error) && error.statusCode === 400 && !error.isRetryable && error.message.includes('temperature'),
    )
  })

  it('503 is retried after retry-after, as often as it is told to', async () => {
    const before = gateway.upstream.tally('vllm/busy').asked
    await expect(generateText({ model: chat('vllm/busy'), prompt, maxRetries: 1 })).rejects.toSatisfy((error: unknown) =>
      RetryError.isInstance(error),
    )
    expect(gateway.upstream.tally('vllm/busy').asked).toBe(before + 2)
  })

  it('an error in the middle of a stream is an error part, and the finish reason says so', async () => {
    const streamed = streamText({ model: chat('fault/error-later'), prompt, onError: () => undefined })
    const parts = await collect(streamed.fullStream)
    const kinds = parts.map(({ type }) => type)
    expect(kinds).toContain('error')
    expect(parts.filter((part) => part.type === 'text-delta')).toHaveLength(2)
    expect(parts.find((part) => part.type === 'finish')).toMatchObject({ finishReason: 'error' })
  })

  it('an aborted stream reaches the engine', async () => {
    const { abandoned } = gateway.upstream.tally('vllm/long')
    const leaving = new AbortController()
    const streamed = streamText({ model: chat('vllm/long'), prompt, abortSignal: leaving.signal, onError: () => undefined })
    for await (const part of streamed.fullStream) if (part.type === 'text-delta') leaving.abort()
    await expect.poll(() => gateway.upstream.tally('vllm/long').abandoned, patience).toBe(abandoned + 1)
  })
})

it('afterwards nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
