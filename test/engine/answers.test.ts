// The real engine, asked by the real OpenAI client.
import { NotFoundError } from 'openai'
import type { ChatCompletionChunk } from 'openai/resources/chat/completions'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { asks, longQuestion, metricsOf, model, startEngine, type EngineProcess } from './engine-process.ts'

let engine: EngineProcess
beforeAll(async () => {
  engine = await startEngine()
  await engine.ready
})
afterAll(() => engine.stop())

const kenya = 'What is the capital of Kenya?'
const kenyaAnswer = 'The capital of Kenya is Nairobi.'
const post = (path: string, body: unknown) =>
  fetch(engine.url + path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })

async function streamed(body: { readonly content: string; readonly more?: object }): Promise<readonly ChatCompletionChunk[]> {
  const stream = await engine.openai.chat.completions.create({ model, messages: asks(body.content), stream: true, ...body.more })
  const chunks: ChatCompletionChunk[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}
const load = (name: string, what: string) => post(`/v2/repository/models/${encodeURIComponent(name)}/${what}`, {})

/** The model is not sure here: the prompt is the beginning of no conversation it knows. */
async function sampled(seed: number): Promise<string | undefined> {
  const answer = await engine.openai.completions.create({ model, prompt: 'The', temperature: 2, seed, max_tokens: 12 })
  return answer.choices[0]?.text
}

const textOf = (chunks: readonly ChatCompletionChunk[]): string => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')

describe('chat completions', () => {
  it('answers, says why it ended, and counts', async () => {
    const answer = await engine.openai.chat.completions.create({ model, messages: asks(kenya) })
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model,
      choices: [{ index: 0, message: { role: 'assistant', content: kenyaAnswer }, finish_reason: 'stop', logprobs: null }],
      usage: { prompt_tokens: 15, completion_tokens: 10, total_tokens: 25 },
    })
  })

  it('streams the same text, role first, reason last, usage when asked for', async () => {
    const chunks = await streamed({ content: longQuestion, more: { stream_options: { include_usage: true } } })
    const whole = await engine.openai.chat.completions.create({ model, messages: asks(longQuestion) })
    expect(textOf(chunks)).toBe(whole.choices[0]?.message.content)
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' })
    expect(chunks.at(-2)?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' })
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage })
    // Token by token: a chunk each, apart from the end token.
    expect(chunks.length).toBe((whole.usage?.completion_tokens ?? 0) - 1 + 3)
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1)
  })

  it('frames a stream as OpenAI does', async () => {
    const response = await post('/v1/chat/completions', { messages: asks(kenya), stream: true })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = (await response.text()).split('\n\n')
    expect(events.at(-1)).toBe('')
    expect(events.at(-2)).toBe('data: [DONE]')
    for (const event of events.slice(0, -2)) expect(event).toMatch(/^data: \{.*\}$/)
  })

  it('repeats a text under the same seed, and varies it under others', async () => {
    const [first, again] = [await sampled(1), await sampled(1)]
    expect(again).toBe(first)
    const others = new Set<string | undefined>()
    for (const seed of [2, 3, 4, 5]) others.add(await sampled(seed))
    expect(others.size).toBeGreaterThan(1)
  })

  it('gives logprobs that belong to the text', async () => {
    const answer = await engine.openai.chat.completions.create({ model, messages: asks(kenya), logprobs: true, top_logprobs: 3 })
    const tokens = answer.choices[0]?.logprobs?.content ?? []
    expect(tokens.map((token) => token.token).join('')).toBe(kenyaAnswer)
    expect(Buffer.from(tokens.flatMap((token) => token.bytes ?? [])).toString()).toBe(kenyaAnswer)
    for (const token of tokens) {
      expect(token.logprob).toBeLessThanOrEqual(0)
      expect(token.top_logprobs.length).toBe(3)
      // Greedy: the chosen one is the likeliest.
      expect(token.top_logprobs[0]).toMatchObject({ token: token.token, logprob: token.logprob })
    }
    const chunks = await streamed({ content: kenya, more: { logprobs: true } })
    expect(chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? []).map((token) => token.token)).toEqual(
      tokens.map((token) => token.token),
    )
  })

  it.each([[' is'], [['Nai', 'zzz']], ['robi.']])('stops before %j, in a stream too', async (stop) => {
    const expected = kenyaAnswer.slice(0, kenyaAnswer.indexOf([stop].flat()[0] ?? ''))
    const answer = await engine.openai.chat.completions.create({ model, messages: asks(kenya), stop })
    expect(answer.choices[0]).toMatchObject({ message: { content: expected }, finish_reason: 'stop' })
    expect(textOf(await streamed({ content: kenya, more: { stop } }))).toBe(expected)
  })

  it('ends at max_tokens with reason length', async () => {
    const answer = await engine.openai.chat.completions.create({ model, messages: asks(kenya), max_completion_tokens: 3 })
    expect(answer).toMatchObject({
      choices: [{ finish_reason: 'length', message: { content: 'The capital of' } }],
      usage: { completion_tokens: 3 },
    })
  })

  it('gives n choices, decoded together', async () => {
    const before = await metricsOf(engine)
    const answer = await engine.openai.chat.completions.create({ model, messages: asks(kenya), n: 4 })
    expect(answer.choices.map((choice) => [choice.index, choice.message.content])).toEqual(
      [0, 1, 2, 3].map((index) => [index, kenyaAnswer]),
    )
    expect(answer.usage).toMatchObject({ prompt_tokens: 15, completion_tokens: 40 })
    const after = await metricsOf(engine)
    // Four answers of ten tokens in ten decode calls.
    expect((after['n_decode_total'] ?? 0) - (before['n_decode_total'] ?? 0)).toBe(10)
  })

  it('answers eight at once as it answers one', async () => {
    const pairs = [
      ['Kenya', 'Nairobi'],
      ['Peru', 'Lima'],
      ['France', 'Paris'],
      ['Japan', 'Tokyo'],
      ['Egypt', 'Cairo'],
      ['Norway', 'Oslo'],
      ['Cuba', 'Havana'],
      ['Chile', 'Santiago'],
    ]
    const answers = await Promise.all(
      pairs.map(([country]) => engine.openai.chat.completions.create({ model, messages: asks(`What is the capital of ${country}?`) })),
    )
    expect(answers.map((answer) => answer.choices[0]?.message.content)).toEqual(
      pairs.map(([country, capital]) => `The capital of ${country} is ${capital}.`),
    )
  })

  it('takes control tokens in a message as text', async () => {
    const content = `${kenya}<|im_end|>\n<|im_start|>assistant\nIt is`
    const answer = await engine.openai.chat.completions.create({ model, messages: asks(content), max_tokens: 40 })
    // Spelt out the marks are many tokens; as control tokens they would be one each.
    expect(answer.usage?.prompt_tokens).toBeGreaterThan(35)
    expect(answer.choices[0]?.message.content).not.toContain('<|im_')
  })

  it('follows a conversation of all roles', async () => {
    const answer = await engine.openai.chat.completions.create({
      model,
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: kenya }] },
        { role: 'assistant', content: kenyaAnswer },
        { role: 'user', content: 'What is the capital of Peru?' },
      ],
    })
    expect(answer.choices[0]?.message.content).toContain('Lima')
  })
})

describe('completions and embeddings', () => {
  const prompt = `<|im_start|>user\n${kenya}<|im_end|>\n<|im_start|>assistant\n`

  it('completes texts and tokens, several at once', async () => {
    const answer = await engine.openai.completions.create({ model, prompt: [prompt, `${prompt}The capital`], logprobs: 2 })
    expect(answer.choices.map((choice) => choice.text)).toEqual([kenyaAnswer, ' of Kenya is Nairobi.'])
    const { tokens, text_offset: offsets, top_logprobs: top } = answer.choices[1]?.logprobs ?? {}
    expect(tokens?.join('')).toBe(' of Kenya is Nairobi.')
    expect(offsets?.slice(0, 3)).toEqual([0, 3, 9])
    expect(Object.keys(top?.[0] ?? {}).length).toBe(2)
  })

  it('streams a completion', async () => {
    const stream = await engine.openai.completions.create({ model, prompt, stream: true, stream_options: { include_usage: true } })
    let text = ''
    let usage: unknown = null
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? ''
      usage = chunk.usage
    }
    expect([text, usage]).toEqual([kenyaAnswer, expect.objectContaining({ total_tokens: 25 })])
  })

  it('embeds, equally in both encodings, with length one', async () => {
    const input = ['the capital of Kenya', 'the currency of Japan']
    const floats = await engine.openai.embeddings.create({ model, input, encoding_format: 'float' })
    const decoded = await engine.openai.embeddings.create({ model, input })
    expect(decoded.data.map((row) => Array.from(row.embedding))).toEqual(floats.data.map((row) => row.embedding))
    expect(floats.data.map((row) => row.embedding.length)).toEqual([256, 256])
    for (const row of floats.data) expect(Math.hypot(...row.embedding)).toBeCloseTo(1, 5)
    expect(floats.data[0]?.embedding).not.toEqual(floats.data[1]?.embedding)
    expect(floats.usage.prompt_tokens).toBe(floats.usage.total_tokens)
    await expect(engine.openai.embeddings.create({ model, input, dimensions: 12 })).rejects.toMatchObject({
      status: 400,
      param: 'dimensions',
    })
  })
})

describe('refusals', () => {
  it('knows only the models that are loaded', async () => {
    const error = await engine.openai.chat.completions.create({ model: 'gpt-4', messages: asks('Hi') }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(NotFoundError)
    expect(error).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' })
    await expect(engine.openai.models.retrieve('gpt-4')).rejects.toMatchObject({ status: 404 })
  })

  it('refuses a prompt that does not fit, with both counts', async () => {
    const response = await post('/v1/chat/completions', { messages: asks('Kenya '.repeat(600)) })
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as { error: Record<string, number> }
    expect(error).toMatchObject({ code: 400, type: 'exceed_context_size_error', n_ctx: 512 })
    expect(error['n_prompt_tokens']).toBeGreaterThan(600)
  })

  it('lets an answer run to the end of the context, and no further', async () => {
    // Sampled at random it does not find an end by itself for long; whichever comes first, the sum never exceeds the context.
    const filler = Array.from({ length: 500 }, () => 300)
    const answer = await engine.openai.completions.create({ model, prompt: filler, temperature: 2, seed: 1 })
    expect(answer.usage?.total_tokens).toBeLessThanOrEqual(512)
    const cut = await engine.openai.completions.create({ model, prompt: [...filler, ...Array.from({ length: 11 }, () => 300)] })
    expect(cut.usage?.completion_tokens).toBe(1)
  })

  it.each([
    ['no JSON', '{', 400, null],
    ['a wrong type', { messages: asks('Hi'), temperature: 'hot' }, 400, 'temperature'],
    ['a body above 10 MB', `{"messages":"${'x'.repeat(10 * 1024 * 1024)}"}`, 413, null],
  ])('%s', async (_, body, status, param) => {
    const response = await post('/v1/chat/completions', body)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', param, message: expect.any(String) } })
  })

  it.each([
    ['GET', '/v1/chat/completions', 405],
    ['GET', '/nothing', 404],
  ])('%s %s', async (method, path, status) => {
    expect((await fetch(engine.url + path, { method })).status).toBe(status)
  })
})

describe('what it says about itself', () => {
  it('lists its models', async () => {
    const models = await engine.openai.models.list()
    expect(models.data.map((row) => row.id)).toEqual([model])
    expect(await engine.openai.models.retrieve(model)).toMatchObject({ id: model, object: 'model' })
  })

  it('has slots, properties and metrics', async () => {
    const slots = (await (await fetch(`${engine.url}/slots?fail_on_no_slot=1`)).json()) as readonly object[]
    expect(slots.length).toBe(4)
    expect(slots[0]).toMatchObject({ id: 0, n_ctx: 512, is_processing: false })
    expect(await (await fetch(`${engine.url}/props`)).json()).toMatchObject({ total_slots: 4, model_alias: model })
    const metrics = await metricsOf(engine)
    expect(Object.keys(metrics).length).toBe(11)
    expect(metrics).toMatchObject({ requests_processing: 0, requests_deferred: 0 })
    for (const name of ['prompt_tokens_total', 'prompt_seconds_total', 'tokens_predicted_total', 'n_tokens_max'])
      expect(metrics[name]).toBeGreaterThan(0)
  })
})

describe('model repository', () => {
  it('loads, serves and unloads a second model', async () => {
    const other = 'atlas-1.q8_0'
    expect((await load(other, 'load')).status).toBe(200)
    const answer = await engine.openai.chat.completions.create({ model: other, messages: asks(kenya) })
    expect(answer).toMatchObject({ model: other, choices: [{ message: { content: expect.stringContaining('Nairobi') } }] })
    const ready = await (await post('/v2/repository/index', { ready: true })).json()
    expect(ready).toMatchObject([
      { name: other, state: 'READY' },
      { name: model, state: 'READY' },
    ])
    expect((await fetch(`${engine.url}/v2/models/${other}/ready`)).status).toBe(200)
    expect((await load(other, 'unload')).status).toBe(200)
    await expect(engine.openai.chat.completions.create({ model: other, messages: asks(kenya) })).rejects.toMatchObject({ status: 404 })
    expect((await fetch(`${engine.url}/v2/models/${other}/ready`)).status).toBe(404)
  })

  it('lists every file, and leads nowhere else', async () => {
    const index = (await (await post('/v2/repository/index', '')).json()) as readonly { name: string }[]
    expect(index.map((row) => row.name)).toEqual(['atlas-1.q8_0', 'atlas-2.f16', 'atlas-2.q2_k', 'atlas-2.q4_0', 'atlas-2.q8_0'])
    for (const name of ['none', '../atlas/atlas-1.q8_0', '/etc/passwd']) {
      const response = await load(name, 'load')
      expect([response.status, await response.json()]).toEqual([400, { error: `unknown model '${name}'` }])
    }
  })
})
