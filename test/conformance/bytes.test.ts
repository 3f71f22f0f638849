// What no client library shows: the bytes that go to the engine, and those that come back.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openGateway, type Gateway } from '../support/gateway.ts'
import { vectorOf } from '../support/scripted-dialects.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('bytes')
  await gateway.serve(['vllm/text', 'sglang/text', 'tgi/text', 'llamacpp/text', 'llamacpp/tool-call', 'vllm/embeddings'])
})
afterAll(() => gateway.close())

const post = (path: string, body: string) =>
  fetch(`${gateway.baseURL}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${gateway.apiKey}`,
      'content-type': 'application/json',
      cookie: 'a=b',
      'x-forwarded-for': '203.0.113.9',
    },
    body,
  })

describe('to the engine', () => {
  it('every byte of the body but the model’s name: numbers, order, repeated keys and unknown fields', async () => {
    const rest =
      '"messages" : [{"role":"user","content":"caf\\u00e9 🗺️"}], "seed":12345678901234567890, "x":1,"x":2.50, "new_field":{"a":[1e400]}'
    const response = await post('/chat/completions', `{ "model":${JSON.stringify(gateway.name('vllm/text'))},${rest} }`)
    await response.body?.cancel()
    expect(response.status).toBe(200)
    expect(gateway.upstream.last('vllm/text').body.toString()).toBe(`{ "model":"vllm/text",${rest} }`)
  })

  it('neither the caller’s key, nor his cookies, nor his address', async () => {
    await (await gateway.ask('chat', 'vllm/text', false)).body?.cancel()
    const { headers } = gateway.upstream.last('vllm/text')
    expect(JSON.stringify(headers)).not.toContain(gateway.apiKey)
    expect(headers).not.toHaveProperty('cookie')
    expect(JSON.stringify(headers)).not.toContain('203.0.113.9')
    expect(headers['x-request-id']).toMatch(/^req_/)
  })

  it('stream_options.include_usage is asked for whatever the caller wants, and his other options stay', async () => {
    await (await gateway.ask('chat', 'vllm/text', true)).text()
    expect(gateway.upstream.last('vllm/text').json['stream_options']).toMatchObject({ include_usage: true })
    await (await gateway.ask('chat', 'vllm/text', true, { body: { stream_options: { include_usage: false, other: 1 } } })).text()
    expect(gateway.upstream.last('vllm/text').json['stream_options']).toEqual({ include_usage: true, other: 1 })
    await (await gateway.ask('chat', 'vllm/text', false)).text()
    expect(gateway.upstream.last('vllm/text').json).not.toHaveProperty('stream_options')
  })
})

describe('to the caller', () => {
  it.each(['vllm/text', 'sglang/text', 'tgi/text', 'llamacpp/text'])(
    '%s: usage is in a stream exactly when he asked for it',
    async (model) => {
      const plain = await gateway.askAndHear('chat', model, true)
      expect(plain.raw).not.toContain('"usage"')
      expect(plain.raw.trimEnd()).toMatch(/data: ?\[DONE\]$/)
      const counted = await gateway.askAndHear('chat', model, true, { body: { stream_options: { include_usage: true } } })
      expect(counted.frames.filter(({ json }) => typeof json['usage'] === 'object' && json['usage'] !== null)).toHaveLength(1)
    },
  )

  it('a stream that needs no repair is passed on byte for byte', async () => {
    const body = { stream_options: { include_usage: true } }
    const heard = await gateway.askAndHear('chat', 'llamacpp/text', true, { body })
    const ids = heard.frames.map(({ json }) => Object.keys(json).join())
    expect(ids[0]).toBe('choices,created,id,model,system_fingerprint,object')
    expect(heard.raw).toContain('"timings"')
  })

  it('llama.cpp: logprobs and refusal, which it leaves out, are null; what it adds stays', async () => {
    const { json } = await gateway.askAndHear('chat', 'llamacpp/text', false)
    const choice = (json['choices'] as readonly Record<string, unknown>[])[0]
    expect(choice).toMatchObject({ logprobs: null, message: { role: 'assistant', refusal: null } })
    expect(json).toHaveProperty('timings')
    const tools = { tools: [{ type: 'function', function: { name: 'get_weather', parameters: {} } }] }
    const called = await gateway.askAndHear('chat', 'llamacpp/tool-call', false, { body: tools })
    expect(called.json).toMatchObject({ choices: [{ message: { content: null, refusal: null, tool_calls: [{ type: 'function' }] } }] })
  })

  it('embeddings: base64 of little-endian 32-bit floats, made here', async () => {
    const asked = { model: gateway.name('vllm/embeddings'), input: 'one', encoding_format: 'base64' }
    const { data } = (await (await post('/embeddings', JSON.stringify(asked))).json()) as { data: { embedding: string }[] }
    const bytes = Buffer.from(data[0]?.embedding ?? '', 'base64')
    expect(Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4))).toEqual(vectorOf(0))
  })

  it('who answered stands in the headers, and no cache may keep it', async () => {
    const { headers } = await gateway.askAndHear('chat', 'vllm/text', true)
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': expect.stringContaining('text/event-stream'),
      'cache-control': 'no-store',
      'isochrone-endpoint': gateway.endpointOf('vllm/text', 1),
      'isochrone-region': 'us-east',
      'x-request-id': expect.stringMatching(/^req_/),
    })
  })
})
