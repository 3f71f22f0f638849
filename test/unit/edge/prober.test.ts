// Probes over real connections: what is asked, with what credential, and what each answer of a working server means.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endpointProber } from '../../../edge/adapters/endpoint-prober.ts'
import { emptyOpenedMemory, serviceStatuses, upstreams } from '../../../edge/adapters/upstreams.ts'
import type { Probed } from '../../../edge/ledger/ports.ts'
import type { EndpointId } from '../../../shared/ids.ts'
import { operationsOf, type EndpointKind, type Operation } from '../../../shared/operations.ts'
import { seal, sealKeyOf } from '../../../shared/sealed.ts'
import type { ProbeKind } from '../../../shared/wire/probe.ts'
import type { Endpoint } from '../../../shared/wire/snapshot.ts'
import { serve, type LocalServer } from '../../support/http-server.ts'
import { sageMakerServer } from '../../support/sagemaker-server.ts'
import { endpoint } from '../../support/snapshot.ts'
import { sageMakerKeys, sageMakerRegion } from '../../support/upstream-scenarios.ts'

const secret = 'x'.repeat(32)
const canary = 'canary-6f1d2b7e-secret'
type Answer = readonly [status: number, body: string | object, contentType?: string]

let server: LocalServer
/** By path; what is not here is 404. */
let answers: Readonly<Record<string, Answer>> = {}
let nowMs = 0
beforeAll(async () => {
  server = await serve((asked, response) => {
    const [status, body, contentType = 'application/json'] = answers[asked.path] ?? [404, { error: { message: 'no such path' } }]
    response.writeHead(status, { 'content-type': contentType }).end(typeof body === 'string' ? body : JSON.stringify(body))
  })
})
afterAll(() => server.close())

type Asked = { readonly notes?: unknown; readonly allowPrivate?: boolean; readonly so?: Partial<Endpoint> }

async function probe(kind: EndpointKind, probed: ProbeKind, { notes, allowPrivate = true, so = {} }: Asked = {}): Promise<Probed> {
  server.seen.length = 0
  const sources = { memory: emptyOpenedMemory(), credentialKey: secret, allowPrivate }
  const prober = endpointProber({
    upstream: upstreams(sources),
    clock: { nowMs: () => nowMs },
    describe: serviceStatuses(sources),
  })
  const target = endpoint('e1', 'fra', { url: server.url, kind, operations: [...operationsOf[kind]], ...so })
  const order = { id: 'o', endpoint: target.id, kind: probed, timeoutMs: 5_000 }
  return prober.probe(order, target, notes, AbortSignal.timeout(5_000))
}

const sealed = async (credential: object): Promise<string> => {
  const key = await sealKeyOf(secret)
  if (!key.ok) throw new Error(key.error)
  return seal(JSON.stringify(credential), 'e1' as EndpointId, key.value)
}
const paths = (): readonly string[] => server.seen.map(({ method, path }) => `${method} ${path}`)

describe('liveness', () => {
  it.each<readonly [EndpointKind, string, Answer, Probed]>([
    ['openai', '/health', [200, ''], { ok: true, detail: 'HTTP 200' }],
    ['openai', '/health', [204, ''], { ok: true, detail: 'HTTP 204' }],
    ['openai', '/health', [500, 'dead'], { ok: false, detail: 'HTTP 500' }],
    ['openai', '/health', [404, ''], { ok: false, detail: 'HTTP 404' }],
    ['openai', '/health', [503, ''], { ok: false, detail: 'HTTP 503' }],
    // llama.cpp's server until its model is loaded.
    [
      'openai',
      '/health',
      [503, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } }],
      { ok: false, detail: 'HTTP 503: it is loading its model', warming: true },
    ],
    ['open_inference', '/v2/health/ready', [200, { live: false }], { ok: true, detail: 'HTTP 200' }],
    ['open_inference', '/v2/health/ready', [400, ''], { ok: false, detail: 'HTTP 400' }],
  ])('%s %s that answers %j: %j', async (kind, path, answer, expected) => {
    answers = { [path]: answer }
    expect(await probe(kind, 'liveness')).toEqual(expected)
    expect(paths()).toEqual([`GET ${path}`])
  })
})

const vllm = (running: number, ttfts: number): string =>
  `# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} ${running}
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="m"} ${ttfts}
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} ${ttfts}
# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="stop",model_name="m"} ${ttfts}
`

describe('metrics', () => {
  it('are read from the server’s page', async () => {
    answers = { '/metrics': [200, vllm(3, 10), 'text/plain'] }
    expect(await probe('openai', 'metrics')).toMatchObject({ ok: true, detail: 'HTTP 200, vllm', engine: { source: 'vllm', running: 3 } })
  })

  it('are read from another host without the credential, which is not for it', async () => {
    answers = { '/metrics': [200, vllm(4, 0), 'text/plain'] }
    const so = {
      url: 'https://engine.example.com',
      options: { metricsUrl: `${server.url}/metrics` },
      credential: await sealed({ bearer: canary }),
    }
    expect(await probe('openai', 'metrics', { so })).toMatchObject({ ok: true, engine: { running: 4 } })
    expect(JSON.stringify(server.seen[0]?.headers)).not.toContain(canary)
  })

  it('are read from another place where the row names one, with the credential', async () => {
    answers = { '/elsewhere/page?x=1': [200, vllm(4, 0), 'text/plain'] }
    const so = { options: { metricsUrl: `${server.url}/elsewhere/page?x=1` }, credential: await sealed({ bearer: canary }) }
    expect(await probe('open_inference', 'metrics', { so })).toMatchObject({ ok: true, engine: { running: 4 } })
    expect(server.seen[0]?.headers['authorization']).toBe(`Bearer ${canary}`)
  })

  it.each(['no address', 'file:///etc/passwd', 'ftp://x/y'])('are not asked for at %s', async (metricsUrl) => {
    expect(await probe('openai', 'metrics', { so: { options: { metricsUrl } } })).toMatchObject({ ok: false })
    expect(paths()).toEqual([])
  })

  it('rates are of the last 15 to 30 s, however often the page is read', async () => {
    let notes: unknown
    const rates: (number | null | undefined)[] = []
    for (let s = 0; s <= 60; s += 2) {
      nowMs = 1_000_000 + s * 1_000
      // Ten a second, and from the 30th second on none.
      answers = { '/metrics': [200, vllm(0, Math.min(s, 30) * 10), 'text/plain'] }
      const probed = await probe('openai', 'metrics', { notes })
      notes = probed.notes
      rates.push(probed.engine?.okPerS)
    }
    expect(rates[0]).toBeNull()
    expect(rates[1]).toBe(10)
    expect(rates[15]).toBe(10)
    // At 40 s the page compared with is at most 32 s old and at least 16 s.
    expect(rates[20]).toBeLessThan(10)
    expect(rates[20]).toBeGreaterThan(0)
    expect(rates[30]).toBe(0)
  })
})

const choice = { choices: [{ index: 0, message: { role: 'assistant', content: null }, finish_reason: 'length' }] }
const completion = { choices: [{ index: 0, text: 'x', finish_reason: 'length' }] }
const message = { type: 'message', role: 'assistant', content: [], usage: { input_tokens: 1, output_tokens: 1 }, stop_reason: 'max_tokens' }
const embeddings = { data: [{ index: 0, embedding: [0.1, 0.2] }] }
const chatPath = '/v1/chat/completions'
const generatePath = '/v2/models/atlas/generate'
const notHere: Answer = [404, { detail: 'Not Found' }]

describe('a question for one token', () => {
  it.each<readonly [EndpointKind, readonly Operation[], string, object, object]>([
    ['openai', ['chat', 'completions', 'embeddings'], chatPath, choice, { model: 'atlas', max_tokens: 1 }],
    ['openai', ['completions'], '/v1/completions', completion, { model: 'atlas', prompt: 'Hi', max_tokens: 1 }],
    ['openai', ['embeddings'], '/v1/embeddings', embeddings, { model: 'atlas', input: 'Hi' }],
    ['openai', ['messages', 'chat'], chatPath, choice, { model: 'atlas' }],
    ['anthropic', ['messages', 'count_tokens'], '/v1/messages', message, { model: 'atlas', max_tokens: 1 }],
    ['open_inference', ['infer', 'generate'], generatePath, { text_output: '' }, { text_input: 'Hi', parameters: { max_tokens: 1 } }],
  ])('%s that does %j is asked at %s', async (kind, operations, path, body, sent) => {
    answers = { [path]: [200, body] }
    const credential = await sealed(kind === 'anthropic' ? { apiKey: canary } : { bearer: canary })
    expect(await probe(kind, 'generation', { so: { operations: [...operations], credential } })).toMatchObject({ ok: true })
    expect(paths()).toEqual([`POST ${path}`])
    const [asked] = server.seen
    expect(JSON.parse(asked?.body ?? '')).toMatchObject(sent)
    expect(asked?.headers[kind === 'anthropic' ? 'x-api-key' : 'authorization']).toContain(canary)
  })

  it('of another sort is tried where one is refused: a row says what a kind of server can do, not this one', async () => {
    const refused: Answer = [400, { object: 'error', message: 'The model does not support Chat Completions API' }]
    answers = { [chatPath]: refused, '/v1/completions': notHere, '/v1/embeddings': [200, embeddings] }
    expect(await probe('openai', 'generation')).toMatchObject({ ok: true, detail: 'embeddings: answered' })
    expect(paths()).toEqual([`POST ${chatPath}`, 'POST /v1/completions', 'POST /v1/embeddings'])
  })

  it.each([401, 403, 429, 500, 503])('that gets %i is answered: no other is tried', async (status) => {
    answers = { [chatPath]: [status, { error: { message: 'the engine core has died' } }], '/v1/completions': [200, completion] }
    expect(await probe('openai', 'generation')).toEqual({ ok: false, detail: `chat: HTTP ${status}: the engine core has died` })
    expect(paths()).toEqual([`POST ${chatPath}`])
  })

  it('that is refused in every sort has failed', async () => {
    answers = {}
    expect(await probe('openai', 'generation')).toEqual({ ok: false, detail: 'embeddings: HTTP 404: no such path' })
  })

  it('has no form for tensors', async () => {
    expect(await probe('open_inference', 'generation', { so: { operations: ['infer'] } })).toMatchObject({ ok: false })
    expect(paths()).toEqual([])
  })

  it.each<readonly [string, string | object]>([
    ['no choice', { choices: [] }],
    ['nothing', ''],
    ['half an object', '{"choices":[{"index":0'],
    ['an error under 200', { error: { message: `the key was ${canary}`, code: 500 } }],
    ['an HTML page', '<html><body>Welcome to nginx!</body></html>'],
    ['a list', []],
  ])('that is answered by %s has failed, and what was answered is not told', async (_what, body) => {
    answers = { [chatPath]: [200, body] }
    const probed = await probe('openai', 'generation', { so: { operations: ['chat'] } })
    expect(probed.ok).toBe(false)
    expect(probed.detail).toMatch(/^chat: (the answer holds no token|an error with a status of success)$/)
  })
})

describe('a SageMaker endpoint', () => {
  let aws: LocalServer
  beforeAll(async () => {
    aws = await sageMakerServer(sageMakerKeys, sageMakerRegion)
  })
  afterAll(() => aws.close())

  const ask = async (name: string, probed: ProbeKind): Promise<Probed> =>
    probe('sagemaker', probed, {
      so: {
        url: `${aws.url}/endpoints/${name}`,
        options: { region: sageMakerRegion },
        operations: ['chat'],
        credential: await sealed(sageMakerKeys),
      },
    })

  it.each([
    ['InService', true, undefined, 'InService, 4 of 4 instances'],
    ['Updating', true, undefined, 'Updating, 4 of 5 instances'],
    ['Creating', false, true, 'Creating'],
    ['OutOfService', false, undefined, 'OutOfService, 0 of 1 instances'],
    ['Deleting', false, undefined, 'Deleting, 1 of 0 instances'],
    ['NotFound', false, undefined, 'NotFound'],
  ])('whose service says %s: good %s, warming %s', async (status, good, warming, detail) => {
    const probed = await ask(status, 'status')
    expect(probed).toMatchObject({ ok: good, detail, service: { status } })
    expect(probed.warming).toBe(warming)
  })

  it.each([
    ['denied', 'AccessDeniedException'],
    ['moved', 'redirects are not followed'],
    ['giant', 'more than'],
  ])('of which the service says nothing (%s): the reason is told, without a credential', async (name, reason) => {
    const probed = await ask(name, 'status')
    expect(probed).toMatchObject({ ok: false, detail: expect.stringContaining(reason) as string })
    expect(probed.service).toBeUndefined()
    expect(JSON.stringify(probed)).not.toContain(sageMakerKeys.secretAccessKey)
  })

  it('is asked for a token by a signed invocation', async () => {
    answers = { '/endpoints/atlas/invocations': [200, choice] }
    const so = { url: `${server.url}/endpoints/atlas`, options: { region: sageMakerRegion }, credential: await sealed(sageMakerKeys) }
    expect(await probe('sagemaker', 'generation', { so })).toEqual({ ok: true, detail: 'chat: answered' })
    expect(server.seen[0]?.headers['authorization']).toContain(`Credential=${sageMakerKeys.accessKeyId}/`)
  })

  it.each([
    ['status-500', 'chat: HTTP 500'],
    ['not-ready', 'chat: HTTP'],
    // What the container says is no chat.
    ['whole', 'chat: the answer holds no token'],
    ['redirect', 'redirects are not followed'],
  ])('that answers otherwise has failed: %s', async (name, reason) => {
    expect(await ask(name, 'generation')).toMatchObject({ ok: false, detail: expect.stringContaining(reason) as string })
  })

  it('without a credential is not asked', async () => {
    const so = { url: `${aws.url}/endpoints/InService`, options: { region: sageMakerRegion } }
    expect(await probe('sagemaker', 'status', { so })).toEqual({ ok: false, detail: 'the endpoint has no credential of AWS' })
  })

  it('at a private address is not asked', async () => {
    const so = { url: `${aws.url}/endpoints/InService`, credential: await sealed(sageMakerKeys) }
    const probed = await probe('sagemaker', 'status', { allowPrivate: false, so })
    expect(probed).toEqual({ ok: false, detail: "not called: the endpoint's address is not public (loopback)" })
  })

  it('has no place for its health', async () => {
    expect(await ask('whole', 'liveness')).toMatchObject({ ok: false })
  })
})

describe('addresses and credentials', () => {
  it.each(['liveness', 'metrics', 'generation'] as const)('a private address is not asked: %s', async (kind) => {
    const probed = await probe('openai', kind, { allowPrivate: false })
    expect(probed).toMatchObject({ ok: false, detail: "not called: the endpoint's address is not public (loopback)" })
    expect(paths()).toEqual([])
  })

  it('metrics may not be at a private address either', async () => {
    const so = { url: 'https://engine.example.com', options: { metricsUrl: `${server.url}/metrics` } }
    expect(await probe('openai', 'metrics', { allowPrivate: false, so })).toMatchObject({ ok: false })
    expect(paths()).toEqual([])
  })

  it.each(['liveness', 'metrics', 'generation'] as const)('a server that shows the headers it was sent: %s', async (kind) => {
    const shown: Answer = [503, { error: { message: `loading: authorization was Bearer ${canary}` } }]
    answers = { '/health': shown, '/metrics': shown, [chatPath]: shown }
    const probed = await probe('openai', kind, { so: { credential: await sealed({ bearer: canary }) } })
    expect(probed.ok).toBe(false)
    expect(JSON.stringify(probed)).not.toContain('canary')
    expect(server.seen[0]?.headers['authorization']).toBe(`Bearer ${canary}`)
  })
})
