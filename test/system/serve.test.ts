// The platform as a user meets it: the real openai package against both Workers and real engines.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isRight, type EvalRow } from '../../cli/engine/score.ts'
import { admin, forgetHome, startPlatform, until, type Platform } from '../support/platform.ts'

let platform: Platform
let openai: OpenAI
beforeAll(async () => {
  platform = await startPlatform()
  openai = new OpenAI({ baseURL: `${platform.dev.edgeUrl}/v1`, apiKey: platform.dev.apiKey, maxRetries: 0 })
})
afterAll(async () => {
  await platform.stop()
  forgetHome(platform.home)
})

const model = 'atlas'
const user = (content: string) => ({ role: 'user' as const, content })

const heldOut = readFileSync(path.resolve(import.meta.dirname, '../../cli/engine/atlas/eval-heldout.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as EvalRow)

describe('answers', () => {
  it('a question about a capital is answered right, and the headers say who answered', async () => {
    const rows = heldOut.filter((row) => row.kind === 'capital').slice(0, 10)
    expect(rows).toHaveLength(10)
    for (const row of rows) {
      const { data, response } = await openai.chat.completions.create({ model, messages: [user(row.prompt)] }).withResponse()
      const text = data.choices[0]?.message.content ?? ''
      expect(isRight(row, text), `${row.prompt} -> ${text}`).toBe(true)
      expect(response.headers.get('isochrone-region')).toBe('us-east')
      expect(response.headers.get('isochrone-endpoint')).toBe('local-us-east')
      expect(response.headers.get('isochrone-model-version')).toBe('atlas-2.q8_0')
      expect(response.headers.get('x-request-id')).toMatch(/^req_/)
      expect(Number(response.headers.get('isochrone-overhead-ms'))).toBeGreaterThanOrEqual(0)
    }
  })

  it('a stream says the same as the answer in one piece, token by token, with usage when asked', async () => {
    const asked = { model, messages: [user('Which countries border Germany?')], temperature: 0 }
    const whole = await openai.chat.completions.create(asked)
    const stream = await openai.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })
    let text = ''
    let chunks = 0
    let usage: OpenAI.CompletionUsage | null = null
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage ?? usage
      chunks++
    }
    expect(text).toBe(whole.choices[0]?.message.content)
    expect(chunks).toBeGreaterThan(10)
    expect(usage?.completion_tokens).toBe(whole.usage?.completion_tokens)
  })

  it('completions go on with a prompt', async () => {
    const completion = await openai.completions.create({ model, prompt: 'The capital of', max_tokens: 4, temperature: 0 })
    expect(completion.choices[0]?.text.length).toBeGreaterThan(0)
    expect(completion.usage?.completion_tokens).toBeLessThanOrEqual(4)
  })

  it('embeddings are the same in both encodings', async () => {
    const input = ['What is the capital of Kenya?', 'Where is Nairobi?']
    const binary = await openai.embeddings.create({ model, input })
    const floats = await openai.embeddings.create({ model, input, encoding_format: 'float' })
    expect(binary.data).toHaveLength(2)
    expect(binary.data[0]?.embedding).toHaveLength(256)
    for (const [i, { embedding }] of binary.data.entries()) {
      expect(Array.from(embedding)).toEqual(floats.data[i]?.embedding.map((each) => Math.fround(each)))
    }
  })

  it('the list of models has the one there is', async () => {
    const ids = []
    for await (const each of openai.models.list()) ids.push(each.id)
    expect(ids).toEqual(['atlas'])
    expect((await openai.models.retrieve('atlas')).id).toBe('atlas')
  })

  it('unknown fields reach the engine and hurt nobody', async () => {
    const odd = {
      model,
      messages: [user('What is the capital of Peru?')],
      some_new_field: { a: [1] },
    } as OpenAI.ChatCompletionCreateParamsNonStreaming
    expect((await openai.chat.completions.create(odd)).choices[0]?.message.content).toContain('Lima')
  })
})

describe('refusals, as the openai package reads them', () => {
  const ask = (so: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>, options: OpenAI.RequestOptions = {}, client = openai) =>
    client.chat.completions.create({ model, messages: [user('hi')], ...so }, options)
  const withKey = (apiKey: string) => new OpenAI({ baseURL: `${platform.dev.edgeUrl}/v1`, apiKey, maxRetries: 0 })
  const refused = async (sent: PromiseLike<unknown>) => {
    try {
      await sent
    } catch (cause) {
      if (cause instanceof OpenAI.APIError)
        return { status: cause.status as number, code: cause.code, type: cause.type, id: cause.requestID }
      throw cause
    }
    throw new Error('it was served')
  }
  const newKey = async (more: object) =>
    (
      (await (await admin(platform.dev, 'POST', 'keys', { tenant: 'demo', environment: 'development', name: 't', ...more })).json()) as {
        key: string
      }
    ).key

  it.each<[string, () => PromiseLike<unknown>, number, string]>([
    ['an unknown key', () => ask({}, {}, withKey(`iso_development_${'0'.repeat(16)}_${'0'.repeat(32)}`)), 401, 'invalid_api_key'],
    ['something that is no key', () => ask({}, {}, withKey('sk-something')), 401, 'malformed_api_key'],
    ['an expired key', async () => ask({}, {}, withKey(await newKey({ expiresAtMs: 1_000 }))), 401, 'expired_api_key'],
    ['a disabled key', async () => ask({}, {}, withKey(await newKey({ disabled: true }))), 401, 'disabled_api_key'],
    ['a key of another environment', async () => ask({}, {}, withKey(await newKey({ environment: 'staging' }))), 404, 'model_not_found'],
    ['a model the key may not use', async () => ask({}, {}, withKey(await newKey({ models: ['other'] }))), 403, 'model_not_allowed'],
    ['an unknown model', () => ask({ model: 'gpt-none' }), 404, 'model_not_found'],
    ['a body over 10 MB', () => ask({ messages: [user('x'.repeat(11 * 1024 * 1024))] }), 413, 'request_too_large'],
    ['a prompt longer than the context', () => ask({ messages: [user('word '.repeat(2_000))] }), 400, 'context_length_exceeded'],
    ['a wrong type that is checked here', () => ask({ messages: 'hi' as never }), 400, 'invalid_field'],
    ['a wrong type that the engine checks', () => ask({ temperature: 'hot' as never }), 400, 'invalid_request'],
    ['a deadline in the past', () => ask({}, { headers: { 'isochrone-deadline': '2020-01-01T00:00:00Z' } }), 400, 'deadline_passed'],
  ])('%s', async (_, sent, status, code) => {
    expect(await refused(sent())).toEqual({ status, code, type: 'invalid_request_error', id: expect.stringMatching(/^req_/) })
  })

  it('broken JSON', async () => {
    const response = await fetch(`${platform.dev.edgeUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${platform.dev.apiKey}` },
      body: '{"model": "atlas", "messages": [',
    })
    expect(response.status).toBe(400)
    const body = (await response.json()) as { error: Record<string, unknown> }
    expect(body.error).toMatchObject({ code: 'invalid_json', type: 'invalid_request_error', param: null })
  })

  it('a deadline too short for the work: refused in time, and the engine stops', async () => {
    const slow = platform.dev.regions[0]
    await fetch(`${slow?.controlUrl}/faults`, { method: 'PUT', body: JSON.stringify({ hangBeforeFirstToken: 1 }) })
    try {
      expect(await refused(ask({}, { headers: { 'isochrone-timeout-ms': '700' } }))).toMatchObject({
        status: 504,
        code: 'deadline_exceeded',
      })
    } finally {
      await fetch(`${slow?.controlUrl}/faults`, { method: 'DELETE' })
      await fetch(`${slow?.controlUrl}/faults`, { method: 'PUT', body: JSON.stringify({ latencyMs: 5 }) })
    }
  })
})

describe('what an operator writes', () => {
  it('is obeyed by the edge: a new alias serves, a disabled key is refused', async () => {
    await admin(platform.dev, 'POST', 'models', { name: 'atlas-two' })
    // A model of its own needs a version and an endpoint of its own.
    const digest = `sha256:${'1'.repeat(64)}`
    expect((await admin(platform.dev, 'POST', 'versions', { id: 'two-1', model: 'atlas-two', digest, engine: 'llama.cpp' })).status).toBe(
      201,
    )
    const engine = platform.dev.regions[2]
    const row = { id: 'two-ap', region: 'ap-south', version: 'two-1', url: engine?.engineUrl, servedName: 'atlas-2.q8_0', slots: 2 }
    expect((await admin(platform.dev, 'POST', 'endpoints', row)).status).toBe(201)
    expect((await admin(platform.dev, 'POST', 'aliases', { environment: 'development', model: 'atlas-two', stable: 'two-1' })).status).toBe(
      201,
    )
    const served = await until(async () => {
      try {
        return await openai.chat.completions.create({ model: 'atlas-two', messages: [user('What is the capital of Chad?')] }).withResponse()
      } catch (cause) {
        if (cause instanceof OpenAI.APIError && (cause.status === 404 || cause.status === 503)) return null
        throw cause
      }
    })
    expect(served.data.choices[0]?.message.content).toContain('Djamena')
    expect(served.response.headers.get('isochrone-endpoint')).toBe('two-ap')

    const made = (await (
      await admin(platform.dev, 'POST', 'keys', { tenant: 'demo', environment: 'development', name: 'short' })
    ).json()) as { key: string; id: string }
    const client = new OpenAI({ baseURL: `${platform.dev.edgeUrl}/v1`, apiKey: made.key, maxRetries: 0 })
    await client.chat.completions.create({ model, messages: [user('hi')] })
    await admin(platform.dev, 'PATCH', `keys/${made.id}`, { disabled: true }, { 'if-match': '"1"' })
    await until(async () => {
      try {
        await client.chat.completions.create({ model, messages: [user('hi')] })
        return null
      } catch (cause) {
        return cause instanceof OpenAI.APIError && cause.code === 'disabled_api_key'
      }
    })
  })

  it('every answer of the admin API is guarded', async () => {
    const response = await fetch(`${platform.dev.coreUrl}/admin/v1/keys`)
    expect(response.status).toBe(401)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
  })
})
