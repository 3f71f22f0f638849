// OpenAI's API as the real openai package speaks it, in the two major versions that are in use: against the platform's own engine where it
// can do what is asked, against scripted vLLM, SGLang, TGI and llama.cpp where it cannot. Each test names the clause it covers.

import OpenAI from 'openai'
import OpenAI6 from 'openai6'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { engineState } from '../support/platform.ts'
import { collect } from '../support/scripted-client.ts'
import { vectorOf } from '../support/scripted-dialects.ts'
import type { EngineName } from '../support/scripted-engines.ts'
import { speeches, textOf, type Script } from '../support/scripted-upstream.ts'

const engines: readonly EngineName[] = ['vllm', 'sglang', 'tgi', 'llamacpp']
const features = ['text', 'tool-call', 'parallel-tools', 'bad-request', 'too-long', 'busy', 'detail'] as const
const scripts: readonly Script[] = [
  ...engines.flatMap((engine) => features.map((feature): Script => `${engine}/${feature}`)),
  'vllm/reasoning',
  'sglang/reasoning',
  'llamacpp/reasoning',
  'vllm/vision',
  'vllm/json-schema',
  'vllm/embeddings',
  'vllm/long',
  'fault/error-later',
  'fault/cut-later',
  'fault/silent',
]

/** Tests' own time limits are the only ones. */
const patience = { timeout: 30_000 }

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('openai')
  await gateway.serve(scripts)
})
afterAll(() => gateway.close())

const user = (content: string) => ({ role: 'user' as const, content })
const question = [user('What is the capital of Peru?')]
const weather: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
}

const packages: readonly (readonly [string, typeof OpenAI])[] = [
  ['openai 7', OpenAI],
  ['openai 6', OpenAI6 as unknown as typeof OpenAI],
]

describe.each(packages)('%s', (_, Client) => {
  const client = (so: { readonly maxRetries?: number; readonly apiKey?: string } = {}) =>
    new Client({ baseURL: gateway.baseURL, apiKey: gateway.apiKey, maxRetries: 0, ...so })
  const failure = async (sent: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> => {
    try {
      await sent
    } catch (cause) {
      if (cause instanceof Client.APIError) return cause
      throw cause
    }
    throw new Error('it was served')
  }
  const ask = (model: string, more: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> = {}, options: OpenAI.RequestOptions = {}) =>
    client().chat.completions.create({ model: gateway.name(model), messages: question, ...more }, options)

  describe('on the platform’s own engine', () => {
    const model = 'atlas'

    it('chat: id, object, created, model, choices[].message, finish_reason and usage', async () => {
      const answer = await client().chat.completions.create({ model, messages: question })
      expect(answer).toMatchObject({ object: 'chat.completion', id: expect.stringMatching(/./), created: expect.any(Number) })
      expect(answer.choices[0]).toMatchObject({
        index: 0,
        finish_reason: 'stop',
        logprobs: null,
        message: { role: 'assistant', refusal: null },
      })
      expect(answer.choices[0]?.message.content).toContain('Lima')
      const { prompt_tokens, completion_tokens, total_tokens } = answer.usage ?? { prompt_tokens: 0, completion_tokens: 0, total_tokens: 1 }
      expect(prompt_tokens + completion_tokens).toBe(total_tokens)
    })

    it('chat stream: chunks of one id, a role first, a finish_reason last, no usage unless it is asked for', async () => {
      const chunks = await collect(await client().chat.completions.create({ model, messages: question, stream: true }))
      expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
      expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant')
      expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop')
      expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toContain('Lima')
      expect(chunks.filter((chunk) => 'usage' in chunk)).toEqual([])
    })

    it('chat stream: stream_options.include_usage brings one last chunk without choices', async () => {
      const asked = { model, messages: question, stream: true, stream_options: { include_usage: true } } as const
      const chunks = await collect(await client().chat.completions.create(asked))
      expect(chunks.at(-1)?.choices).toEqual([])
      expect(chunks.at(-1)?.usage?.total_tokens).toBeGreaterThan(0)
    })

    it('chat: logprobs and top_logprobs, whole and streamed', async () => {
      const asked = { model, messages: question, logprobs: true, top_logprobs: 2 }
      const whole = await client().chat.completions.create(asked)
      const entries = whole.choices[0]?.logprobs?.content ?? []
      expect(entries.length).toBeGreaterThan(2)
      expect(entries[0]).toMatchObject({ token: expect.any(String), logprob: expect.any(Number) })
      expect(entries[0]?.top_logprobs).toHaveLength(2)
      const chunks = await collect(await client().chat.completions.create({ ...asked, stream: true }))
      expect(chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? [])).toHaveLength(entries.length)
    })

    it('chat: n choices, each with its index, whole and streamed', async () => {
      const whole = await client().chat.completions.create({ model, messages: question, n: 3 })
      expect(whole.choices.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([0, 1, 2])
      const chunks = await collect(await client().chat.completions.create({ model, messages: question, n: 2, stream: true }))
      expect(new Set(chunks.flatMap(({ choices }) => choices.map(({ index }) => index)))).toEqual(new Set([0, 1]))
    })

    it('chat: stop and max_tokens are the engine’s business and arrive there', async () => {
      const short = await client().chat.completions.create({ model, messages: question, max_tokens: 2 })
      expect(short.choices[0]?.finish_reason).toBe('length')
      const stopped = await client().chat.completions.create({ model, messages: question, stop: [' Peru'] })
      expect(stopped.choices[0]?.message.content).not.toContain('Peru')
    })

    it('completions: whole and streamed', async () => {
      const asked = { model, prompt: 'The capital of', max_tokens: 6, temperature: 0 }
      const whole = await client().completions.create(asked)
      expect(whole).toMatchObject({ object: 'text_completion', choices: [{ index: 0, logprobs: null }] })
      const chunks = await collect(await client().completions.create({ ...asked, stream: true }))
      expect(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join('')).toBe(whole.choices[0]?.text)
    })

    it('embeddings: base64, which the package asks for by itself, and float are the same numbers', async () => {
      const input = ['What is the capital of Kenya?', 'Where is Nairobi?']
      const encoded = await client().embeddings.create({ model, input })
      const floats = await client().embeddings.create({ model, input, encoding_format: 'float' })
      expect(encoded.data.map(({ embedding }) => embedding.length)).toEqual([256, 256])
      for (const [i, { embedding }] of encoded.data.entries()) {
        expect(Array.from(embedding)).toEqual(floats.data[i]?.embedding.map((each) => Math.fround(each)))
      }
    })

    it('models: list and retrieve, also names with a slash', async () => {
      const listed = await collect(client().models.list())
      expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining(['atlas', gateway.name('vllm/text')]))
      expect(await client().models.retrieve('atlas')).toMatchObject({ id: 'atlas', object: 'model', created: expect.any(Number) })
      expect(await client().models.retrieve(gateway.name('vllm/text'))).toMatchObject({ id: gateway.name('vllm/text') })
    })

    it('cancelling a stream stops the engine’s work', async () => {
      const region = gateway.dev.regions.find(({ name }) => name === 'us-east')
      const stream = await client().chat.completions.create({ model, messages: [user('List the countries of Africa.')], stream: true })
      for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break
      await expect.poll(async () => (await engineState(region?.controlUrl ?? '')).inFlight, patience).toBe(0)
    })
  })

  describe.each(engines)('in front of %s', (engine) => {
    it('chat: an answer in one piece has the fields that the schema demands', async () => {
      const answer = await ask(`${engine}/text`)
      expect(answer.choices[0]?.message.content).toBe(textOf('text'))
      expect(answer.choices[0]).toMatchObject({ logprobs: null, finish_reason: 'stop' })
      expect(answer.choices[0]?.message).toHaveProperty('refusal', null)
    })

    it('chat stream: every piece arrives; usage neither as a chunk nor as null unless it is asked for', async () => {
      const asked = { model: gateway.name(`${engine}/text`), messages: question, stream: true as const }
      const chunks = await collect(await client().chat.completions.create(asked))
      expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(textOf('text'))
      expect(chunks.filter((chunk) => 'usage' in chunk)).toEqual([])
      expect(chunks.filter(({ choices }) => choices.length === 0)).toEqual([])
      const counted = await collect(await client().chat.completions.create({ ...asked, stream_options: { include_usage: true } }))
      expect(counted.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: speeches.text.text.length } })
    })

    it('chat: tool_calls with id, type, name, and arguments as text', async () => {
      const answer = await ask(`${engine}/tool-call`, { tools: [weather] })
      expect(answer.choices[0]?.finish_reason).toBe('tool_calls')
      const [call] = answer.choices[0]?.message.tool_calls ?? []
      expect(call).toMatchObject({ id: expect.stringMatching(/./), type: 'function', function: { name: 'get_weather' } })
      expect(JSON.parse(call?.type === 'function' ? call.function.arguments : '')).toEqual({ city: 'Lima' })
    })

    it('chat stream: tool_calls deltas carry the index under which the package joins them', async () => {
      const model = gateway.name(`${engine}/parallel-tools`)
      const final = await client()
        .chat.completions.stream({ model, messages: question, tools: [weather] })
        .finalChatCompletion()
      const calls = (final.choices[0]?.message.tool_calls ?? []).map((call) => (call.type === 'function' ? call.function : null))
      expect(calls.map((call) => call?.name)).toEqual(['get_weather', 'get_time'])
      expect(calls.map((call) => JSON.parse(call?.arguments ?? ''))).toEqual([{ city: 'Lima' }, { city: 'Cusco' }])
    })

    it('chat: logprobs and n pass, whole and streamed', async () => {
      const more = { logprobs: true, top_logprobs: 1, n: 2 }
      const whole = await ask(`${engine}/text`, more)
      expect(whole.choices.map(({ index, logprobs }) => [index, logprobs?.content?.length])).toEqual([
        [0, 7],
        [1, 7],
      ])
      const asked = { model: gateway.name(`${engine}/text`), messages: question, ...more, stream: true as const }
      const chunks = await collect(await client().chat.completions.create(asked))
      for (const index of [0, 1]) {
        const mine = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
        expect(mine.flatMap(({ logprobs }) => logprobs?.content ?? []).map(({ token }) => token)).toEqual(speeches.text.text)
      }
    })

    it('errors: its own words for a bad request become a BadRequestError, or what its status says, in OpenAI’s shape', async () => {
      const error = await failure(ask(`${engine}/bad-request`))
      expect(error).toBeInstanceOf(Client.BadRequestError)
      expect(error).toMatchObject({
        status: 400,
        type: 'invalid_request_error',
        message: expect.stringContaining('temperature must be non-negative'),
      })
      expect(error.requestID).toMatch(/^req_/)
    })

    it('errors: a prompt that does not fit is context_length_exceeded', async () => {
      const error = await failure(ask(`${engine}/too-long`))
      expect(error.code).toBe('context_length_exceeded')
      expect(error.status).toBeLessThan(500)
    })

    it('errors: FastAPI’s {"detail":[…]} is told in words', async () => {
      const error = await failure(ask(`${engine}/detail`))
      expect(error).toBeInstanceOf(Client.UnprocessableEntityError)
      expect(error.message).toContain('Field required')
    })

    it('errors: an engine that is full is 503 with a time to come back', async () => {
      const error = await failure(ask(`${engine}/busy`))
      expect(error).toMatchObject({ status: 503, code: 'upstream_busy' })
      expect(Number(error.headers?.get('retry-after-ms'))).toBeGreaterThan(0)
    })
  })

  describe('what passes through', () => {
    it.each(['vllm', 'sglang', 'llamacpp'])('chat: %s’s reasoning, whole and streamed', async (engine) => {
      type Thinking = { readonly reasoning_content?: string }
      const whole = await ask(`${engine}/reasoning`)
      expect((whole.choices[0]?.message as Thinking | undefined)?.reasoning_content).toBe(speeches.reasoning.reasoning.join(''))
      const asked = { model: gateway.name(`${engine}/reasoning`), messages: question, stream: true as const }
      const chunks = await collect(await client().chat.completions.create(asked))
      const thought = chunks.map(({ choices }) => (choices[0]?.delta as Thinking | undefined)?.reasoning_content ?? '').join('')
      expect(thought).toBe(speeches.reasoning.reasoning.join(''))
    })

    it('chat: image parts reach the engine', async () => {
      const url = `data:image/png;base64,${'iVBORw0KGgo'.repeat(20)}`
      const content = [
        { type: 'text' as const, text: 'What is this?' },
        { type: 'image_url' as const, image_url: { url } },
      ]
      const answer = await ask('vllm/vision', { messages: [{ role: 'user', content }] })
      expect(answer.choices[0]?.message.content).toBe(textOf('vision'))
      expect(gateway.upstream.last('vllm/vision').json['messages']).toEqual([{ role: 'user', content }])
    })

    it('chat: response_format json_schema reaches the engine, and parse() reads the answer', async () => {
      const schema = { type: 'object', properties: { city: { type: 'string' } }, additionalProperties: false }
      const response_format = { type: 'json_schema' as const, json_schema: { name: 'place', strict: true, schema } }
      const answer = await client().chat.completions.parse({ model: gateway.name('vllm/json-schema'), messages: question, response_format })
      expect(JSON.parse(answer.choices[0]?.message.content ?? '')).toEqual({ city: 'Lima', country: 'Peru' })
      expect(gateway.upstream.last('vllm/json-schema').json['response_format']).toEqual(response_format)
    })

    it('embeddings: both encodings, from an engine that knows only floats', async () => {
      const asked = { model: gateway.name('vllm/embeddings'), input: ['one', 'two'] }
      const encoded = await client().embeddings.create(asked)
      expect(encoded.data.map(({ embedding }) => Array.from(embedding))).toEqual([vectorOf(0), vectorOf(1)])
      const floats = await client().embeddings.create({ ...asked, encoding_format: 'float' })
      expect(floats.data.map(({ embedding }) => embedding)).toEqual([vectorOf(0), vectorOf(1)])
    })
  })

  describe('errors by class', () => {
    it.each<[string, () => PromiseLike<unknown>, keyof typeof OpenAI, string]>([
      ['400 invalid_field', () => ask('vllm/text', { messages: 'hi' as never }), 'BadRequestError', 'invalid_field'],
      ['401 malformed_api_key', () => client({ apiKey: 'sk-nothing' }).models.list(), 'AuthenticationError', 'malformed_api_key'],
      ['404 model_not_found', () => ask('nobody/nothing'), 'NotFoundError', 'model_not_found'],
    ])('%s', async (_, sent, name, code) => {
      const error = await failure(sent())
      expect(error).toBeInstanceOf(Client[name] as typeof OpenAI.APIError)
      expect(error).toMatchObject({ code, type: 'invalid_request_error', requestID: expect.stringMatching(/^req_/) })
    })

    it.each(['error-later', 'cut-later'])(
      '%s: an error in the middle of a stream is thrown as an APIError with its code',
      async (fault) => {
        const stream = await client().chat.completions.create({ model: gateway.name(`fault/${fault}`), messages: question, stream: true })
        let text = ''
        const reading = (async () => {
          for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
        })()
        const error = await failure(reading)
        expect(error.code).toBe('upstream_failed')
        expect(text).toBe(speeches.text.text.slice(0, 2).join(''))
      },
    )
  })

  describe('retries', () => {
    it('the package comes back after retry-after on 503, as often as it is told to', async () => {
      const before = gateway.upstream.tally('vllm/busy').asked
      const sent = client({ maxRetries: 1 }).chat.completions.create({ model: gateway.name('vllm/busy'), messages: question })
      expect((await failure(sent)).status).toBe(503)
      expect(gateway.upstream.tally('vllm/busy').asked).toBe(before + 2)
    })

    it('x-should-retry: false keeps it from repeating what cannot succeed', async () => {
      const before = gateway.upstream.tally('fault/silent').asked
      const headers = { 'isochrone-timeout-ms': '300' }
      const sent = client({ maxRetries: 2 }).chat.completions.create(
        { model: gateway.name('fault/silent'), messages: question },
        { headers },
      )
      expect(await failure(sent)).toMatchObject({ status: 504, code: 'deadline_exceeded' })
      expect(gateway.upstream.tally('fault/silent').asked).toBe(before + 1)
    })
  })

  it('cancelling: an aborted stream reaches the engine', async () => {
    const { abandoned } = gateway.upstream.tally('vllm/long')
    const stream = await client().chat.completions.create({ model: gateway.name('vllm/long'), messages: question, stream: true })
    let chunks = 0
    for await (const _ of stream) if (++chunks === 3) stream.controller.abort()
    await expect.poll(() => gateway.upstream.tally('vllm/long').abandoned, patience).toBe(abandoned + 1)
  })
})

it('afterwards nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
