// Bad input in every dialect: each refusal in the dialect's own shape, with its status, a stable code and a sentence. And what no input can do:
// choose where a request goes.

import { beforeAll, describe, expect, it } from 'vitest'
import type { ModelName } from '../../../shared/ids.ts'
import { operations } from '../../../shared/operations.ts'
import { alias, endpoint, snapshotOf } from '../../support/snapshot.ts'
import { post, publish, send } from './world.ts'

const able = endpoint('able-1', 'x', { url: 'http://echo.test', operations: [...operations] })
const chatOnly = endpoint('chat-1', 'x', {
  model: 'chat-only' as ModelName,
  version: 'chat-only' as never,
  cell: 'chat-only@x' as never,
  url: 'http://echo.test',
  operations: ['chat'],
})
beforeAll(() =>
  publish(
    snapshotOf([able, chatOnly], {
      generation: 9,
      aliases: [alias(), alias({ model: 'chat-only' as ModelName, stable: 'chat-only' as never })],
    }),
  ),
)

type Heard = { readonly code: string; readonly message: string }
type Dialect = {
  readonly name: string
  /** Path and good body for a model. */
  readonly path: (model: string) => string
  readonly body: (model: string) => Record<string, unknown>
  /** A field whose type is checked here, with a value that is wrong. */
  readonly wrong: Record<string, unknown>
  /** Reads the protocol's error, and nothing but it. */
  readonly hear: (body: unknown) => Heard
}

const openAi = (body: unknown): Heard => {
  expect(body).toEqual({
    error: {
      message: expect.any(String),
      type: expect.any(String),
      code: expect.any(String),
      param: expect.toBeOneOf([null, expect.any(String)]),
    },
  })
  return (body as { error: Heard }).error
}
const anthropic = (body: unknown): Heard => {
  expect(body).toMatchObject({
    type: 'error',
    error: { type: expect.stringMatching(/_error$|^request_too_large$/), message: expect.any(String) },
  })
  return (body as { error: Heard }).error
}
const oip = (body: unknown): Heard => {
  expect(Object.keys(body as object)).toEqual(['error'])
  const [, code = '', message = ''] = /^([a-z_]+): (.*)$/s.exec((body as { error: string }).error) ?? []
  return { code, message }
}
const user = [{ role: 'user', content: 'hi' }]

const dialects: readonly Dialect[] = [
  { name: 'chat', path: () => '/v1/chat/completions', body: (model) => ({ model, messages: user }), wrong: { messages: 7 }, hear: openAi },
  { name: 'completions', path: () => '/v1/completions', body: (model) => ({ model, prompt: 'x' }), wrong: { prompt: 7 }, hear: openAi },
  { name: 'embeddings', path: () => '/v1/embeddings', body: (model) => ({ model, input: 'x' }), wrong: { input: 7 }, hear: openAi },
  { name: 'responses', path: () => '/v1/responses', body: (model) => ({ model, input: 'x' }), wrong: { input: 7 }, hear: openAi },
  {
    name: 'messages',
    path: () => '/v1/messages',
    body: (model) => ({ model, max_tokens: 9, messages: user }),
    wrong: { max_tokens: 'many' },
    hear: anthropic,
  },
  {
    name: 'count_tokens',
    path: () => '/v1/messages/count_tokens',
    body: (model) => ({ model, messages: user }),
    wrong: { messages: 'hi' },
    hear: anthropic,
  },
  {
    name: 'infer',
    path: (model) => `/v2/models/${model}/infer`,
    body: () => ({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1.5] }] }),
    wrong: { inputs: [{ name: 'x', datatype: 'FP32', shape: [2], data: [1.5] }] },
    hear: oip,
  },
  {
    name: 'generate',
    path: (model) => `/v2/models/${model}/versions/atlas-2/generate`,
    body: () => ({ text_input: 'x' }),
    wrong: { text_input: 7 },
    hear: oip,
  },
]

describe.each(dialects)('$name', ({ path, body, wrong, hear }) => {
  const good = body('atlas')
  const json = JSON.stringify(good)
  it.each<[string, () => Promise<Response>, number, string]>([
    ['no key', () => post(path('atlas'), json, { authorization: '' }), 401, 'missing_api_key'],
    ['an unknown model', () => post(path('nobody'), body('nobody')), 404, 'model_not_found'],
    ['broken JSON', () => post(path('atlas'), json.slice(0, -1)), 400, 'invalid_json'],
    ['a list for a body', () => post(path('atlas'), '[]'), 400, 'invalid_field'],
    ['a wrong type', () => post(path('atlas'), { ...good, ...wrong }), 400, 'invalid_field'],
    ['a body over 10 MB', () => post(path('atlas'), { ...good, pad: 'x'.repeat(10 * 1024 * 1024) }), 413, 'request_too_large'],
    [
      'a body of too many parts',
      () => post(path('atlas'), `${json.slice(0, -1)},"pad":[${'[],'.repeat(200_000)}[]]}`),
      413,
      'request_too_complex',
    ],
    ['a compressed body', () => post(path('atlas'), json, { 'content-encoding': 'gzip' }), 415, 'unsupported_content_encoding'],
    ['a deadline in the past', () => post(path('atlas'), good, { 'isochrone-deadline': '2020-01-01T00:00:00Z' }), 400, 'deadline_passed'],
    ['a wrong method', () => send(path('atlas'), { method: 'PUT', body: json }), 405, 'method_not_allowed'],
  ])('%s', async (_, sent, status, code) => {
    const response = await sent()
    const heard = hear(await response.json())
    expect([response.status, heard.code]).toEqual([status, code])
    expect(heard.message.length).toBeGreaterThan(10)
    expect(response.headers.get('isochrone-error-code')).toBe(code)
    expect(response.headers.get('x-request-id')).toMatch(/^req_/)
  })
})

// Tensors may come in a body of any type: the header with the length of their JSON says what it is.
it.each(dialects.filter(({ name }) => name !== 'infer'))('$name: a body of another kind', async ({ path, body, hear }) => {
  const response = await post(path('atlas'), body('atlas'), { 'content-type': 'multipart/form-data; boundary=x' })
  expect([response.status, hear(await response.json()).code]).toEqual([415, 'unsupported_content_type'])
})

// A chat server can answer messages too, in translation.
it.each(dialects.filter(({ name }) => name !== 'chat' && name !== 'messages'))(
  '$name: an operation that no server of the model offers',
  async ({ path, body, hear }) => {
    const response = await post(path('chat-only').replace('atlas-2', 'chat-only'), body('chat-only'))
    expect([response.status, hear(await response.json()).code]).toEqual([400, 'unsupported_operation'])
  },
)

describe('tensors', () => {
  it.each([
    ['an unsupported datatype', { name: 'x', datatype: 'FP8', shape: [1], data: [1] }],
    ['a shape and data that disagree', { name: 'x', datatype: 'INT32', shape: [3], data: [1, 2] }],
    ['a number out of range', { name: 'x', datatype: 'UINT8', shape: [1], data: [256] }],
    ['a negative dimension', { name: 'x', datatype: 'INT32', shape: [-1], data: [1] }],
  ])('%s', async (_, input) => {
    const response = await post('/v2/models/atlas/infer', { inputs: [input] })
    expect([response.status, oip(await response.json()).code]).toEqual([400, 'invalid_field'])
  })

  it('a version that the alias does not name', async () => {
    const response = await post('/v2/models/atlas/versions/9/infer', { inputs: [{ name: 'x', datatype: 'INT32', shape: [1], data: [1] }] })
    expect([response.status, oip(await response.json()).code]).toEqual([404, 'version_not_found'])
  })
})

it('ready says of a model what a request for it would meet', async () => {
  const ready = async (path: string) => (await send(path)).status
  expect(await ready('/v2/models/atlas/ready')).toBe(200)
  expect(await ready('/v2/models/atlas/versions/atlas-2/ready')).toBe(200)
  expect(await ready('/v2/models/atlas/versions/chat-only/ready')).toBe(404)
  expect(await ready('/v2/models/nobody/ready')).toBe(404)
})

it('a caller cannot choose where his request goes, by no header and no field', async () => {
  const evil = 'http://down.evil.test'
  const fields = {
    base_url: evil,
    api_base: evil,
    url: evil,
    endpoint: evil,
    user_config: { api_base: evil },
    custom_host: evil,
    proxy: evil,
    metadata: { base_url: evil },
  }
  const names = [
    'x-portkey-custom-host',
    'x-litellm-api-base',
    'x-base-url',
    'x-forwarded-host',
    'x-original-url',
    'forwarded',
    'x-target',
    'isochrone-endpoint',
    'isochrone-url',
  ]
  const headers = Object.fromEntries(names.map((header) => [header, evil]))
  const response = await post('/v1/chat/completions', { model: 'atlas', messages: user, ...fields }, headers)
  expect(response.status).toBe(200)
  const { seen } = await response.json<{ seen: { host: string; headers: Record<string, string> } }>()
  expect(seen.host).toBe('echo.test')
  // Nor do his headers travel on.
  for (const header of names) expect(seen.headers[header], header).toBeUndefined()
})
