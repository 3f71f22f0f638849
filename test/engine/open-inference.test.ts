// The Open Inference Protocol on the real engine: metadata, infer with tensors, the generate extension, and faults.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Asking, Lane } from '../../edge/lane/lane.ts'
import { generateLane, generateStreamLane, inferLane, metadataLane } from '../../edge/lane/open-inference.ts'
import { eventReader } from '../../edge/lane/sse.ts'
import { model, startEngine, type EngineProcess } from './engine-process.ts'

let engine: EngineProcess
beforeAll(async () => {
  engine = await startEngine(['--context', '256'])
  await engine.ready
})
afterAll(() => engine.stop())
afterEach(() => engine.clearFaults())

const lengthHeader = 'inference-header-content-length'
const at = (what: string, version = '') => `/v2/models/${model}${version}${what}`
const get = (path: string) => fetch(engine.url + path)
const send = (path: string, body: NonNullable<RequestInit['body']>, headers: Record<string, string> = {}) =>
  fetch(engine.url + path, { method: 'POST', body, headers })
const post = (path: string, body: object) => send(path, JSON.stringify(body))
const jsonOf = async (response: Response): Promise<unknown> => [response.status, await response.json()]

describe('what it says about itself', () => {
  it('names its extensions and the tensors of a model', async () => {
    expect(await jsonOf(await get('/v2'))).toEqual([
      200,
      { name: 'isochrone-engine', version: '1', extensions: ['binary_tensor_data', 'generate', 'model_repository'] },
    ])
    const metadata = {
      name: model,
      versions: ['1'],
      platform: 'llamacpp_gguf',
      inputs: [{ name: 'text', datatype: 'BYTES', shape: [-1] }],
      outputs: [{ name: 'embedding', datatype: 'FP32', shape: [-1, 256] }],
    }
    for (const version of ['', '/versions/1']) {
      expect(await jsonOf(await get(at('', version)))).toEqual([200, metadata])
      expect(await jsonOf(await get(at('/ready', version)))).toEqual([200, { name: model, ready: true }])
    }
  })

  it.each([
    ['GET', at('', '/versions/2'), 404],
    ['GET', at('/ready', '/versions/2'), 404],
    ['GET', '/v2/models/none', 404],
    ['POST', at('/infer', '/versions/2'), 404],
    ['POST', '/v2/models/none/generate', 404],
    ['GET', at('/infer'), 405],
    ['GET', '/v2/nothing', 404],
    ['POST', at('/infer'), 400],
  ])('%s %s is %d, said in one text', async (method, path, status) => {
    const response = await fetch(engine.url + path, { method })
    expect(await jsonOf(response)).toEqual([status, { error: expect.stringMatching(/\w/) }])
  })
})

const texts = ['the capital of Kenya', 'die Währung von Japan']
const text = (more: object = {}) => ({ name: 'text', datatype: 'BYTES', shape: [2], data: texts, ...more })
const packed = (list: readonly string[]): Buffer =>
  Buffer.concat(
    list.flatMap((one) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(Buffer.byteLength(one))
      return [length, Buffer.from(one)]
    }),
  )

type Inferred = {
  readonly parameters: { readonly num_input_tokens: number }
  readonly outputs: readonly [{ readonly shape: readonly number[]; readonly data: readonly number[] }]
}

describe('infer', () => {
  it('gives the embeddings of OpenAI’s path', async () => {
    const response = await post(at('/infer', '/versions/1'), {
      id: 'a1',
      inputs: [text({ shape: [2, 1], data: texts.map((one) => [one]) })],
    })
    const inferred = (await response.json()) as Inferred
    expect(inferred).toMatchObject({
      model_name: model,
      model_version: '1',
      id: 'a1',
      outputs: [{ name: 'embedding', datatype: 'FP32', shape: [2, 256] }],
    })
    const openAi = await engine.openai.embeddings.create({ model, input: texts, encoding_format: 'float' })
    expect(inferred.outputs[0].data).toEqual(openAi.data.flatMap((row) => row.embedding))
    expect(inferred.parameters.num_input_tokens).toBe(openAi.usage.prompt_tokens)
  })

  it('reads and gives binary tensors', async () => {
    const inJson = (await (await post(at('/infer'), { inputs: [text()] })).json()) as Inferred
    const tail = packed(texts)
    const head = Buffer.from(
      JSON.stringify({
        inputs: [text({ data: undefined, parameters: { binary_data_size: tail.length } })],
        outputs: [{ name: 'embedding', parameters: { binary_data: true } }],
      }),
    )
    const response = await send(at('/infer'), Buffer.concat([head, tail]), { [lengthHeader]: String(head.length) })
    expect(response.headers.get('content-type')).toBe('application/octet-stream')
    const bytes = Buffer.from(await response.arrayBuffer())
    const length = Number(response.headers.get(lengthHeader))
    expect(JSON.parse(bytes.toString('utf8', 0, length))).toMatchObject({
      outputs: [{ shape: [2, 256], parameters: { binary_data_size: 2048 } }],
    })
    expect(bytes.length - length).toBe(2048)
    const values = Array.from({ length: 512 }, (_, index) => bytes.readFloatLE(length + index * 4))
    expect(values).toEqual(inJson.outputs[0].data)
  })

  it('gives binary outputs by default only when asked', async () => {
    const body = { parameters: { binary_data_output: true }, inputs: [text()] }
    expect((await post(at('/infer'), body)).headers.get(lengthHeader)).not.toBeNull()
    const outputs = [{ name: 'embedding', parameters: { binary_data: false } }]
    expect((await post(at('/infer'), { ...body, outputs })).headers.get(lengthHeader)).toBeNull()
  })

  it.each([
    [{}, /inputs/],
    [{ inputs: [] }, /inputs/],
    [{ inputs: [text(), text()] }, /the one input 'text'/],
    [{ inputs: [text({ name: 'x' })] }, /inputs\[0\]\.name/],
    [{ inputs: [text({ datatype: 'FP32' })] }, /inputs\[0\]\.datatype/],
    [{ inputs: [text({ shape: [3] })] }, /must be 3 texts, not 2/],
    [{ inputs: [text({ shape: [0], data: [] })] }, /from 1 to 256/],
    [{ inputs: [text({ data: ['a', ''] })] }, /empty/],
    [{ inputs: [text({ data: ['a', 1] })] }, /must be a string/],
    [{ inputs: [text({ data: undefined, parameters: { binary_data_size: 4 } })] }, /0 bytes follow the JSON/],
    [{ inputs: [text()], outputs: [{ name: 'other' }] }, /outputs\[0\]\.name/],
    [{ inputs: [text({ shape: [1], data: ['word '.repeat(400)] })] }, /context size/],
  ])('refuses: case %#', async (body, error) => {
    expect(await jsonOf(await post(at('/infer'), body))).toEqual([400, { error: expect.stringMatching(error) }])
  })

  it('refuses a length that is none, and lengths that do not fit', async () => {
    const body = JSON.stringify({ inputs: [text()] })
    expect((await send(at('/infer'), body, { [lengthHeader]: 'x' })).status).toBe(400)
    const tail = Buffer.from([9, 0, 0, 0, 65])
    const head = JSON.stringify({ inputs: [text({ shape: [1], data: undefined, parameters: { binary_data_size: 5 } })] })
    const response = await send(at('/infer'), Buffer.concat([Buffer.from(head), tail]), { [lengthHeader]: String(head.length) })
    expect(await jsonOf(response)).toEqual([400, { error: expect.stringContaining('do not fit') }])
  })
})

const prompt = '<|im_start|>user\nWhat is the capital of Kenya?<|im_end|>\n<|im_start|>assistant\n'
const answer = 'The capital of Kenya is Nairobi.'
type Generated = { readonly text_output: string; readonly finish_reason: string | null; readonly error?: string }

async function streamed(body: object): Promise<readonly Generated[]> {
  const response = await post(at('/generate_stream'), body)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const events = (await response.text()).split('\n\n')
  expect(events.pop()).toBe('')
  return events.map((event) => JSON.parse(event.replace(/^data: /, '')) as Generated)
}

describe('generate', () => {
  it('continues a text', async () => {
    expect(await jsonOf(await post(at('/generate', '/versions/1'), { text_input: prompt, id: 'x', image: [1] }))).toEqual([
      200,
      { model_name: model, model_version: '1', text_output: answer, finish_reason: 'stop', num_input_tokens: 15, num_output_tokens: 10 },
    ])
  })

  it.each([
    ['parameters', { parameters: { max_tokens: 3 } }, 'The capital of', 'length'],
    ['fields beside the text', { max_tokens: 3 }, 'The capital of', 'length'],
    ['a stop', { parameters: { stop: ' is', temperature: 0, seed: 1 } }, 'The capital of Kenya', 'stop'],
  ])('follows %s', async (_, more, expected, reason) => {
    expect(await (await post(at('/generate'), { text_input: prompt, ...more })).json()).toMatchObject({
      text_output: expected,
      finish_reason: reason,
    })
    const events = await streamed({ text_input: prompt, ...more })
    expect(events.map((event) => event.text_output).join('')).toBe(expected)
    expect(events.at(-1)).toMatchObject({ finish_reason: reason })
  })

  it('streams token by token, and marks the last event', async () => {
    const events = await streamed({ text_input: prompt })
    expect(events.map((event) => event.text_output).join('')).toBe(answer)
    // Nine tokens of text, and the end token's event.
    expect(events.length).toBe(10)
    expect(events.slice(0, -1).every((event) => event.finish_reason === null)).toBe(true)
    expect(events.at(-1)).toEqual({
      model_name: model,
      model_version: '1',
      text_output: '',
      finish_reason: 'stop',
      num_input_tokens: 15,
      num_output_tokens: 10,
    })
  })

  it.each([
    [{}, /Missing field 'text_input'/],
    [{ text_input: 3 }, /must be a string/],
    [{ text_input: '' }, /empty/],
    [{ text_input: 'a', parameters: 'x' }, /parameters|JSON/],
    [{ text_input: 'a', parameters: { max_tokens: 'x' } }, /parameters\.max_tokens/],
    [{ text_input: 'word '.repeat(400) }, /context size \(\d+ of 256 tokens\)/],
  ])('refuses: case %#', async (body, error) => {
    for (const what of ['/generate', '/generate_stream'])
      expect(await jsonOf(await post(at(what), body))).toEqual([400, { error: expect.stringMatching(error) }])
  })
})

describe('faults', () => {
  it('hit these paths as they hit the others, and are counted', async () => {
    await engine.setFaults({ errorShare: 1, errorStatus: 503 })
    const before = await engine.state()
    for (const what of ['/infer', '/generate', '/generate_stream'])
      expect(await jsonOf(await post(at(what), {}))).toEqual([503, { error: 'Injected fault: status 503' }])
    expect((await engine.state()).refused - before.refused).toBe(3)
  })

  it('cut a stream in the middle', async () => {
    await engine.setFaults({ cutAfterTokens: 3 })
    const response = await post(at('/generate_stream'), { text_input: prompt })
    await expect(response.text()).rejects.toThrow('terminated')
  })

  it('hang until the client leaves, infer too', async () => {
    await engine.setFaults({ hangBeforeFirstToken: 1 })
    const leaving = new AbortController()
    const request = fetch(engine.url + at('/infer'), { method: 'POST', body: JSON.stringify({ inputs: [text()] }), signal: leaving.signal })
    const failed = expect(request).rejects.toThrow('aborted')
    await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ inFlight: 1, processing: 1 })
    leaving.abort()
    await failed
    await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ inFlight: 0, processing: 0 })
  })
})

describe('through the edge’s lane', () => {
  const asking = (body: Uint8Array, length: number | null = null): Asking => ({
    body,
    json: null,
    contentType: '',
    header: (name) => (name === lengthHeader && length !== null ? String(length) : null),
    model: 'atlas',
    servedName: model,
    stream: false,
  })
  const ask = async (lane: Lane, asked: Asking) => {
    const { method, path, headers, body } = lane.outgoing(asked)
    const response = await fetch(engine.url + path, { method, headers, ...(method === 'POST' ? { body: new Uint8Array(body) } : {}) })
    return {
      status: response.status,
      contentType: response.headers.get('content-type') ?? '',
      bytes: new Uint8Array(await response.arrayBuffer()),
    }
  }
  const bodyOf = (body: object): Uint8Array => new TextEncoder().encode(JSON.stringify(body))

  it.each([
    ['infer', inferLane, bodyOf({ inputs: [text()] }), { model_name: 'atlas', outputs: [{ shape: [2, 256] }] }],
    ['generate', generateLane, bodyOf({ text_input: prompt }), { model_name: 'atlas', text_output: answer }],
    ['metadata', metadataLane, new Uint8Array(0), { name: 'atlas', inputs: [{ name: 'text' }] }],
  ])('%s is whole and has the public name', async (_, lane, body, expected) => {
    const asked = asking(body)
    const { contentType, bytes } = await ask(lane, asked)
    const whole = lane.whole(bytes, contentType, asked)
    expect(whole.ok && JSON.parse(new TextDecoder().decode(whole.value.body))).toMatchObject(expected)
    expect(lane.whole(bytes.subarray(0, -1), contentType, asked).ok).toBe(false)
  })

  it('takes a binary answer apart', async () => {
    const tail = packed(texts)
    const head = bodyOf({
      parameters: { binary_data_output: true },
      inputs: [text({ data: undefined, parameters: { binary_data_size: tail.length } })],
    })
    const asked = asking(Buffer.concat([head, tail]), head.length)
    const { contentType, bytes } = await ask(inferLane, asked)
    const whole = inferLane.whole(bytes, contentType, asked)
    if (!whole.ok) throw new Error(whole.error.message)
    const length = Number(whole.value.headers[lengthHeader])
    expect(JSON.parse(new TextDecoder().decode(whole.value.body.subarray(0, length)))).toMatchObject({ model_name: 'atlas' })
    expect(whole.value.body.length - length).toBe(2048)
    expect(whole.value.usage).toMatchObject({ inputTokens: expect.any(Number) })
  })

  it('knows a whole stream from a cut one', async () => {
    const asked = { ...asking(bodyOf({ text_input: prompt })), stream: true }
    const { bytes } = await ask(generateStreamLane, asked)
    const events = eventReader(1_000_000).feed(bytes) ?? []
    for (const count of [events.length, events.length - 1, 0]) {
      const lane = generateStreamLane.events?.(asked)
      for (const event of events.slice(0, count)) lane?.take(event)
      expect(lane?.end().whole).toBe(count === events.length)
      if (count === events.length) expect(lane?.usage()).toEqual({ inputTokens: 15, outputTokens: 10, cachedTokens: null })
    }
  })

  it('understands its refusals', async () => {
    const asked = asking(bodyOf({ text_input: 'word '.repeat(400) }))
    const { status, bytes } = await ask(generateLane, asked)
    expect(generateLane.fault(status, new TextDecoder().decode(bytes))).toMatchObject({ status: 400, code: 'context_length_exceeded' })
    const gone = await ask(generateLane, { ...asked, servedName: 'none' })
    expect(generateLane.fault(gone.status, new TextDecoder().decode(gone.bytes))).toMatchObject({ status: 502 })
  })
})
