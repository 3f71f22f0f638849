// What only SageMaker has: its faults, its options, its sessions, its frames. The contract that it shares with others is in
// test/contract/edge/upstream.contract.ts.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sendSageMaker } from '../../../edge/adapters/sagemaker.ts'
import { BrokenStream, type UpstreamAnswer, type UpstreamRequest } from '../../../edge/ports.ts'
import { readSageMakerUrl } from '../../../shared/sagemaker.ts'
import type { Endpoint } from '../../../shared/wire/snapshot.ts'
import type { LocalServer } from '../../support/http-server.ts'
import { sageMakerServer, type SageMakerScenario } from '../../support/sagemaker-server.ts'
import { endpoint } from '../../support/snapshot.ts'
import { bytes, readAll } from '../../support/stream.ts'
import { chunks, wholeBody } from '../../support/upstream-scenarios.ts'

const keys = {
  accessKeyId: 'AKIATEST000000000001',
  secretAccessKey: 'a-secret-access-key-for-tests',
  sessionToken: 'a-session-token-for-tests',
}
const region = 'eu-central-1'

let server: LocalServer
beforeAll(async () => {
  server = await sageMakerServer(keys, region)
})
afterAll(() => server.close())

type So = Partial<Omit<UpstreamRequest, 'endpoint'>> & { readonly options?: Endpoint['options']; readonly keys?: typeof keys }

const send = (scenario: SageMakerScenario, { options = {}, keys: with_ = keys, ...so }: So = {}) =>
  sendSageMaker(
    {
      endpoint: endpoint('e', 'x', { kind: 'sagemaker', url: `${server.url}/endpoints/${scenario}`, options: { region, ...options } }),
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: bytes('{}'),
      signal: AbortSignal.timeout(10_000),
      stream: false,
      ...so,
    },
    with_,
  )

async function answered(scenario: SageMakerScenario, so: So = {}): Promise<UpstreamAnswer> {
  const sent = await send(scenario, so)
  if (!sent.ok) throw new Error(sent.error.detail)
  return sent.value
}

const textOf = async (answer: UpstreamAnswer) => (answer.body ? (await readAll(answer.body)).text : '')

describe('faults', () => {
  it.each<readonly [SageMakerScenario, number, string | null, string]>([
    ['busy', 429, '7', 'too many requests'],
    ['not-ready', 429, '1', 'being loaded'],
    ['not-ready-503', 503, '1', 'being loaded'],
    ['unavailable', 503, null, 'unavailable'],
    ['validation', 400, null, 'the variant does not exist'],
    ['internal', 500, null, 'something failed'],
    ['dependency', 530, null, 'a dependency failed'],
    // It is us whom AWS does not accept: never a 400, which would be the caller's own fault.
    ['expired', 403, null, 'ExpiredTokenException'],
    ['no-json', 502, null, ''],
  ])('%s is %i, Retry-After %j', async (scenario, status, retryAfter, words) => {
    for (const stream of [false, true]) {
      const before = server.seen.length
      const answer = await answered(scenario, { stream })
      expect([answer.status, answer.retryAfter]).toEqual([status, retryAfter])
      const text = await textOf(answer)
      expect(text).toContain(words)
      expect(text).not.toContain('for-tests')
      expect(JSON.parse(text)).toMatchObject({ error: { code: null } })
      // The SDK tries once: who may try again is decided elsewhere.
      expect(server.seen).toHaveLength(before + 1)
    }
  })

  it("a model's error is the container's own answer", async () => {
    const text = await answered('model-error-text')
    expect([text.status, text.contentType, await textOf(text)]).toEqual([500, 'text/plain', 'CUDA out of memory'])
    // A container that says 200 and fails has failed.
    expect((await answered('model-error-200')).status).toBe(502)
  })

  it.each<readonly [string, Partial<typeof keys>]>([
    ['InvalidSignatureException', { secretAccessKey: 'another-secret-access-key' }],
    ['UnrecognizedClientException', { accessKeyId: 'AKIATEST000000000002' }],
    ['UnrecognizedClientException', { sessionToken: 'another-session-token' }],
  ])('wrong keys are 403 %s, in words that show nothing of what was signed', async (name, wrong) => {
    const answer = await answered('whole', { keys: { ...keys, ...wrong } })
    const text = await textOf(answer)
    expect([answer.status, text]).toEqual([403, expect.stringContaining(`(${name})`)])
    expect(text).not.toMatch(/token-for-tests|another|AKIA|Signature=/)
  })

  it('what is no SageMaker endpoint is a failure', async () => {
    expect(await send('whole', { method: 'GET' })).toMatchObject({
      ok: false,
      error: { detail: expect.stringContaining('invocations') as string },
    })
    expect(await send('whole', { options: { region: '' } })).toMatchObject({
      ok: false,
      error: { detail: expect.stringContaining('no_region') as string },
    })
  })
})

describe('what is told to SageMaker', () => {
  it('variant, component and session; nothing else of what was given', async () => {
    const headers = {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      'isochrone-session': 's-1',
      'x-request-id': 'r',
      cookie: 'c',
    }
    for (const stream of [false, true]) {
      await answered('whole', { headers, stream, options: { targetVariant: 'blue', inferenceComponent: 'chat-7b' } })
      const seen = server.seen.at(-1)
      expect(seen?.path).toBe(`/endpoints/whole/invocations${stream ? '-response-stream' : ''}`)
      expect(seen?.headers).toMatchObject({
        'x-amzn-sagemaker-target-variant': 'blue',
        'x-amzn-sagemaker-inference-component': 'chat-7b',
        'x-amzn-sagemaker-session-id': 's-1',
      })
      expect(seen?.headers[stream ? 'x-amzn-sagemaker-accept' : 'accept']).toBe('text/event-stream')
      expect(Object.keys(seen?.headers ?? {})).not.toContain('cookie')
    }
  })

  it('a session id that SageMaker would refuse is left out', async () => {
    await answered('whole', { headers: { 'isochrone-session': 'user_42@example' } })
    expect(server.seen.at(-1)?.headers['x-amzn-sagemaker-session-id']).toBeUndefined()
  })

  it('the session it opens is exposed', async () => {
    const answer = await answered('new-session', { headers: { 'isochrone-session': 'NEW_SESSION' } })
    expect(answer.headers).toEqual({ 'isochrone-session': 'session-7' })
    expect(server.seen.at(-1)?.headers['x-amzn-sagemaker-session-id']).toBe('NEW_SESSION')
    expect(await textOf(answer)).toBe(wholeBody)
  })

  it('without a session token too, and a body of any bytes', async () => {
    const { sessionToken: _, ...plain } = keys
    const other = await sageMakerServer(plain, region)
    const body = Uint8Array.from({ length: 1_000 }, (_each, i) => i % 256)
    const request = { method: 'POST', path: '/', headers: {}, body, signal: AbortSignal.timeout(5_000), stream: false } as const
    const sent = await sendSageMaker(
      { ...request, endpoint: endpoint('e', 'x', { kind: 'sagemaker', url: `${other.url}/base/endpoints/whole`, options: { region } }) },
      plain,
    )
    expect(other.seen[0]?.path).toBe('/base/endpoints/whole/invocations')
    expect(sent.ok && sent.value.status).toBe(404)
    await other.close()
  })
})

describe('streams', () => {
  it.each<readonly [SageMakerScenario, number, string, RegExp]>([
    ['model-stream-error-0', 0, 'model_stream_error', /the model timed out/],
    ['model-stream-error-2', 2, 'model_stream_error', /the model timed out/],
    ['internal-stream-failure-1', 1, 'service_stream_failure', /the platform failed/],
    ['half-frame', 1, 'cut', /Truncated/],
    ['bad-frame', 0, 'cut', /checksum/],
    ['cut-stream', 1, 'cut', /./],
  ])('%s: %i chunks, then the body fails as %s', async (scenario, whole, code, words) => {
    const answer = await answered(scenario, { stream: true })
    const got: string[] = []
    const reading = (async () => {
      for await (const chunk of answer.body ?? []) got.push(new TextDecoder().decode(chunk))
    })()
    const failure: unknown = await reading.then(
      () => null,
      (cause: unknown) => cause,
    )
    expect(got).toEqual(chunks.slice(0, whole))
    expect(failure).toBeInstanceOf(BrokenStream)
    expect(failure).toMatchObject({ code, message: expect.stringMatching(words) as string })
  })

  it('are an answer as soon as the server has answered, before the first token', async () => {
    const beganMs = Date.now()
    const answer = await answered('late-first', { stream: true })
    expect(answer).toMatchObject({ status: 200, contentType: 'text/event-stream' })
    expect(Date.now() - beganMs).toBeLessThan(900)
    expect(await textOf(answer)).toBe(chunks[0])
    expect(Date.now() - beganMs).toBeGreaterThanOrEqual(900)
  })

  it('are read no faster than somebody reads them', async () => {
    const answer = await answered('many', { stream: true })
    const reader = answer.body?.getReader()
    expect((await reader?.read())?.value).toHaveLength(10_000)
    await new Promise((resolve) => setTimeout(resolve, 500))
    const written = Number(server.seen.at(-1)?.headers['parts-written'])
    // 50 MB are on offer; what the sockets hold is a few.
    expect(written).toBeLessThan(2_500)
    await reader?.cancel()
    await expect.poll(() => server.seen.at(-1)?.headers['left'], { timeout: 5_000 }).toBe('yes')
  })
})

describe('where an endpoint is', () => {
  it.each([
    [
      'https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/llama',
      undefined,
      ['https://runtime.sagemaker.eu-west-1.amazonaws.com', 'llama', 'eu-west-1'],
    ],
    [
      'https://runtime-fips.sagemaker.us-gov-west-1.amazonaws.com/endpoints/l',
      undefined,
      ['https://runtime-fips.sagemaker.us-gov-west-1.amazonaws.com', 'l', 'us-gov-west-1'],
    ],
    [
      'https://runtime.sagemaker.cn-north-1.amazonaws.com.cn/endpoints/l',
      undefined,
      ['https://runtime.sagemaker.cn-north-1.amazonaws.com.cn', 'l', 'cn-north-1'],
    ],
    [
      'https://vpce-1.runtime.sagemaker.eu-west-1.vpce.amazonaws.com/endpoints/l',
      undefined,
      ['https://vpce-1.runtime.sagemaker.eu-west-1.vpce.amazonaws.com', 'l', 'eu-west-1'],
    ],
    ['http://127.0.0.1:9000/x/endpoints/l-1', 'us-east-1', ['http://127.0.0.1:9000/x', 'l-1', 'us-east-1']],
  ])('%s (%s)', (url, given, [base, name, where]) => {
    expect(readSageMakerUrl(url, given)).toEqual({ ok: true, value: { base, name, region: where } })
  })

  it.each([
    ['https://runtime.sagemaker.eu-west-1.amazonaws.com', undefined, 'no_endpoint_name'],
    ['https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints', undefined, 'no_endpoint_name'],
    ['https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/a/invocations', undefined, 'no_endpoint_name'],
    ['https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/a_b', undefined, 'no_endpoint_name'],
    ['https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/%2e%2e', undefined, 'no_endpoint_name'],
    ['https://proxy.example/endpoints/a', undefined, 'no_region'],
    ['https://runtime.sagemaker.eu-west-1.amazonaws.com.evil.example/endpoints/a', undefined, 'no_region'],
    ['https://proxy.example/endpoints/a', 'Frankfurt', 'no_region'],
  ])('%s (%s): %s', (url, given, fault) => {
    expect(readSageMakerUrl(url, given)).toEqual({ ok: false, error: fault })
  })
})
