import { beforeAll, describe, expect, it } from 'vitest'
import { credentialKvKey } from '../../../shared/wire/credential.ts'
import { signerOf, writeSigned } from '../../../shared/signature.ts'
import { snapshotKvKey } from '../../../shared/wire/snapshot.ts'
import type { KeyId, ModelName } from '../../../shared/ids.ts'
import { alias, endpoint, snapshotOf } from '../../support/snapshot.ts'
import { credential } from '../../support/credential.ts'
import { ledger, post, publish, send, testEnv } from './world.ts'

const named = (model: string, host: string) => {
  const cell = `${model}@x` as ReturnType<typeof endpoint>['cell']
  return endpoint(`${model}-1`, 'x', {
    model: model as ModelName,
    version: model as never,
    cell,
    url: `http://${host}.test`,
    servedName: `served-${model}`,
  })
}
const models = { echo: 'echo', stream: 'stream', cut: 'cut', down: 'down' }
const row = (model: string) => ({ enam: [{ cell: `${model}@x` as never, fraction: 1, roundTripMs: 1 }] })
const snapshot = snapshotOf(
  Object.entries(models).map(([model, host]) => named(model, host)),
  {
    generation: 3,
    aliases: [...Object.keys(models), 'empty'].map((model) => alias({ model: model as ModelName, stable: model as never })),
    fractions: Object.fromEntries(Object.keys(models).map((model) => [model, row(model)])),
  },
)
const question = (model: string, more: object = {}) => ({ model, messages: [{ role: 'user', content: 'hi' }], ...more })
const errorOf = async (response: Response) =>
  (await response.json<{ error: { code: string; type: string; message: string; param: string | null } }>()).error

const trail = ['x-request-id', 'isochrone-model-version', 'isochrone-region', 'isochrone-endpoint', 'isochrone-overhead-ms']

describe('before anything is known', () => {
  it('says so, instead of waiting or guessing', async () => {
    expect((await send('/v2/health/live')).status).toBe(200)
    expect((await send('/v2/health/ready')).status).toBe(503)
    const response = await post('/v1/chat/completions', question('echo'))
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('1')
    expect((await errorOf(response)).code).toBe('not_ready')
  })
})

describe('with KV alone', () => {
  it('serves from the last-known-good snapshot when it is signed, and not otherwise', async () => {
    const text = JSON.stringify({ ...snapshot, generation: 2 })
    await testEnv.STATE.put(snapshotKvKey, text)
    expect((await send('/v2/health/ready')).status).toBe(503)
    await testEnv.STATE.put(snapshotKvKey, JSON.stringify(await writeSigned(text, await signerOf(testEnv.CREDENTIAL_KEY))))
    expect((await send('/v2/health/ready')).status).toBe(200)
  })
})

describe('the API', () => {
  beforeAll(() => publish(snapshot))

  it('serves chat completions: own bytes but for the model’s name, no key upstream', async () => {
    const response = await post('/v1/chat/completions', question('echo', { extra: [1.0] }))
    expect(response.status).toBe(200)
    const { seen } = await response.json<{ seen: { path: string; body: string; headers: Record<string, string> } }>()
    expect(seen.path).toBe('/v1/chat/completions')
    expect(seen.body).toBe(JSON.stringify(question('served-echo', { extra: [1.0] })))
    expect(seen.headers['authorization']).toBeUndefined()
    expect(seen.headers['x-request-id']).toBe(response.headers.get('x-request-id'))
    expect(response.headers.get('isochrone-endpoint')).toBe('echo-1')
    expect(response.headers.get('isochrone-region')).toBe('x')
    expect(response.headers.get('isochrone-model-version')).toBe('echo')
    expect(Number(response.headers.get('isochrone-overhead-ms'))).toBeGreaterThanOrEqual(0)
  })

  it.each([
    ['/v1/completions', { model: 'echo', prompt: 'x' }],
    ['/v1/embeddings', { model: 'echo', input: 'x' }],
  ])('serves %s', async (path, body) => {
    const response = await post(path, body)
    expect(response.status).toBe(200)
    expect((await response.json<{ seen: { path: string } }>()).seen.path).toBe(path)
  })

  it('streams, and returns the lease when the stream is over', async () => {
    const response = await post('/v1/chat/completions', question('stream', { stream: true }))
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    expect(await response.text()).toMatch(/^data: .*"1".*\n\ndata: .*"2".*\n\ndata: \[DONE\]\n\n$/)
    const inFlight = async () => {
      const { endpoints } = await ledger('stream@x').exchange({ snapshot: null, cell: 'stream@x' })
      return Object.values(endpoints).map((load) => load.inFlight)
    }
    await expect.poll(inFlight).toEqual([0])
  })

  it('ends a stream that the engine cut with an error frame', async () => {
    const response = await post('/v1/chat/completions', question('cut', { stream: true }))
    const events = (await response.text()).trim().split('\n\n')
    expect(events).toHaveLength(2)
    expect(JSON.parse(events[1]?.slice(6) ?? '')).toMatchObject({ error: { code: 'upstream_failed' } })
  })

  it('lists models, shows one, and knows when there is none', async () => {
    const list = await (await send('/v1/models')).json<{ object: string; data: { id: string }[] }>()
    expect(list.object).toBe('list')
    expect(list.data.map(({ id }) => id)).toEqual(['cut', 'down', 'echo', 'empty', 'stream'])
    expect(await (await send('/v1/models/echo')).json()).toEqual({ id: 'echo', object: 'model', created: 0, owned_by: 'isochrone' })
    const none = await send('/v1/models/none')
    expect([none.status, (await errorOf(none)).code]).toEqual([404, 'model_not_found'])
    expect((await send('/v1/models', { headers: { authorization: '' } })).status).toBe(401)
  })

  const chatPath = '/v1/chat/completions'
  it.each<[string, () => Promise<Response>, number, string]>([
    ['no key', () => post(chatPath, question('echo'), { authorization: '' }), 401, 'missing_api_key'],
    ['something that is no key', () => post(chatPath, question('echo'), { authorization: 'Bearer sk-1' }), 401, 'malformed_api_key'],
    [
      'an unknown key',
      () => post(chatPath, question('echo'), { authorization: `Bearer iso_development_${'z'.repeat(16)}_${'z'.repeat(32)}` }),
      401,
      'invalid_api_key',
    ],
    [
      'a wrong secret',
      () => post(chatPath, question('echo'), { authorization: `Bearer iso_development_0123456789abcdef_${'z'.repeat(32)}` }),
      401,
      'invalid_api_key',
    ],
    ['an unknown model', () => post(chatPath, question('none')), 404, 'model_not_found'],
    ['broken JSON', () => post(chatPath, '{"model":'), 400, 'invalid_json'],
    ['an empty body', () => post(chatPath, ''), 400, 'invalid_json'],
    ['a wrong type', () => post(chatPath, { model: 'echo', messages: 7 }), 400, 'invalid_field'],
    ['a body over 10 MB', () => post(chatPath, question('echo', { pad: 'x'.repeat(10 * 1024 * 1024) })), 413, 'request_too_large'],
    [
      'a deadline in the past',
      () => post(chatPath, question('echo'), { 'isochrone-deadline': '2020-01-01T00:00:00Z' }),
      400,
      'deadline_passed',
    ],
    ['a deadline that is no time', () => post(chatPath, question('echo'), { 'isochrone-deadline': 'soon' }), 400, 'invalid_header'],
    ['a model without an endpoint', () => post(chatPath, question('empty')), 503, 'no_endpoint'],
    ['an endpoint that fails, and no other', () => post(chatPath, question('down')), 502, 'upstream_failed'],
    ['an unknown path', () => send('/v1/nothing'), 404, 'unknown_route'],
    ['a wrong method', () => send(chatPath), 405, 'method_not_allowed'],
  ])('refuses %s', async (_, sent, status, code) => {
    const response = await sent()
    const error = await errorOf(response)
    expect([response.status, error.code]).toEqual([status, code])
    expect(Object.keys(error).toSorted()).toEqual(['code', 'message', 'param', 'type'])
    for (const header of trail) expect(response.headers.get(header), header).toBeTruthy()
  })

  it('without core, a key is checked against the slow copy, or the caller is told that it cannot be checked', async () => {
    const away = 'awayawayawayaway' as KeyId
    const authorization = `Bearer iso_development_${away}_0123456789abcdef0123456789abcdef`
    const before = await post(chatPath, question('echo'), { authorization })
    expect([before.status, (await errorOf(before)).code]).toEqual([503, 'key_check_unavailable'])
    await testEnv.STATE.put(credentialKvKey(away), JSON.stringify(await credential({ id: away })))
    expect((await post(chatPath, question('echo'), { authorization })).status).toBe(200)
  })

  it('a write in core reaches an isolate that is asked for something new', async () => {
    const grown = {
      ...snapshot,
      generation: 4,
      aliases: [...snapshot.aliases, alias({ model: 'new' as ModelName, stable: 'echo' as never })],
    }
    await publish(grown)
    await expect.poll(async () => (await send('/v1/models/new')).status, { timeout: 2_000 }).toBe(200)
  })
})
