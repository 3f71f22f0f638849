// The Open Inference Protocol, version 2, with its generate extension. It has no client package in JavaScript: plain requests.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { saidIn } from '../support/scripted-client.ts'
import { speeches, textOf } from '../support/scripted-upstream.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('oip')
  await gateway.serve(['vllm/infer', 'vllm/text', 'vllm/bad-request'], { endpoint: { kind: 'open_inference' } })
  await gateway.serve({ 'chat-only': { endpoints: ['vllm/text'] } })
})
afterAll(() => gateway.close())

const call = (path: string, body?: string | Buffer, headers: Readonly<Record<string, string>> = {}) =>
  fetch(`${gateway.dev.edgeUrl}/v2${path}`, {
    headers: { authorization: `Bearer ${gateway.apiKey}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { method: 'POST', body: new Uint8Array(Buffer.from(body)) }),
  })
const pathOf = (model: string) => `/models/${encodeURIComponent(gateway.name(model))}`
const tensor = { name: 'x', datatype: 'FP32', shape: [1, 4], data: [0.5, -0.25, 1e-7, 16777216] }

describe('health and metadata', () => {
  it('server: live, ready, and who it is', async () => {
    expect((await call('/health/live')).status).toBe(200)
    expect((await call('/health/ready')).status).toBe(200)
    expect(await (await call('')).json()).toMatchObject({
      name: expect.any(String),
      version: expect.any(String),
      extensions: expect.any(Array),
    })
  })

  it('model: ready, and its metadata with inputs and outputs', async () => {
    expect((await call(`${pathOf('vllm/infer')}/ready`)).status).toBe(200)
    expect((await call(`/models/nobody/ready`)).status).toBe(404)
    const metadata = await (await call(pathOf('vllm/infer'))).json()
    expect(metadata).toMatchObject({ inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }], outputs: [{ name: 'y' }] })
  })
})

describe('infer', () => {
  it('tensors in JSON go there and back unchanged, with the request’s id', async () => {
    const asked = { id: 'abc', inputs: [tensor] }
    const response = await call(`${pathOf('vllm/infer')}/infer`, JSON.stringify(asked))
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ id: 'abc', outputs: [{ ...tensor, name: 'x_out' }] })
    expect(response.headers.get('isochrone-endpoint')).toBe(gateway.endpointOf('vllm/infer', 1))
  })

  it('binary tensors reach the engine byte for byte, with the length of the JSON before them', async () => {
    const head = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } }] })
    const body = Buffer.concat([Buffer.from(head), Buffer.from(new Float32Array([0.5, -2]).buffer)])
    const headers = { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) }
    await (await call(`${pathOf('vllm/infer')}/infer`, body, headers)).body?.cancel()
    const sent = gateway.upstream.requests('vllm/infer').at(-1)
    expect(sent?.headers['inference-header-content-length']).toBe(String(head.length))
    expect(sent?.body.equals(body)).toBe(true)
  })

  it.each<[string, string]>([
    ['a shape that does not fit the data', JSON.stringify({ inputs: [{ ...tensor, shape: [3] }] })],
    ['no inputs', JSON.stringify({})],
    ['no JSON', '{"inputs": ['],
  ])('400 for %s, as {"error": text}', async (_, body) => {
    const response = await call(`${pathOf('vllm/infer')}/infer`, body)
    expect(response.status).toBe(400)
    expect(await response.json()).toEqual({ error: expect.stringMatching(/./) })
  })
})

describe('generate', () => {
  it('text_input to text_output', async () => {
    const heard = await gateway.askAndHear('generate', 'vllm/text', false)
    expect(saidIn('generate', heard)).toBe(textOf('text'))
    expect(heard.json).toMatchObject({ model_name: expect.any(String), model_version: expect.any(String) })
  })

  it('generate_stream: one event per piece', async () => {
    const heard = await gateway.askAndHear('generate', 'vllm/text', true)
    expect(heard.headers.get('content-type')).toContain('text/event-stream')
    expect(heard.frames).toHaveLength(speeches.text.text.length)
    expect(saidIn('generate', heard)).toBe(textOf('text'))
  })
})

describe('errors are {"error": text}', () => {
  it.each<[string, () => Promise<Response>, number]>([
    ['an engine’s refusal', () => gateway.ask('generate', 'vllm/bad-request', false), 400],
    ['no such model', () => gateway.ask('generate', 'nobody', false), 404],
    ['a model whose servers only chat', () => gateway.ask('generate', 'chat-only', false), 400],
    ['no key', () => call(`${pathOf('vllm/text')}/generate`, '{"text_input":"x"}', { authorization: '' }), 401],
  ])('%s', async (_, sent, status) => {
    const response = await sent()
    expect(response.status).toBe(status)
    expect(await response.json()).toEqual({ error: expect.stringMatching(/./) })
  })
})

it('afterwards nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
