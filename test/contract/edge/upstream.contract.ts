// What every way to a model server must do, whatever its kind. The servers behind it are real HTTP servers that play a scenario by name:
// test/support/http-server.ts and test/support/sagemaker-server.ts. Runs in Node, and for SageMaker in workerd too.

import { describe, expect, it, vi } from 'vitest'
import { emptyOpenedMemory, upstreams, type UpstreamSources } from '../../../edge/adapters/upstreams.ts'
import type { UpstreamAnswer, UpstreamRequest } from '../../../edge/ports.ts'
import type { EndpointId } from '../../../shared/ids.ts'
import { seal, sealKeyOf } from '../../../shared/sealed.ts'
import type { Endpoint } from '../../../shared/wire/snapshot.ts'
import { bytes, readAll } from '../../support/stream.ts'
import { chunkGapMs, chunks, errorBody, scenarios, wholeBody, type Scenario, type Seen } from '../../support/upstream-scenarios.ts'

export type UpstreamWorld = {
  readonly name: string
  readonly endpoint: (scenario: Scenario) => Endpoint
  /** As it is before sealing, and those of its parts that nobody else may see. */
  readonly credential: object
  readonly canaries: readonly string[]
  /** Whether this request bore the credential. */
  readonly bore: (seen: Seen) => boolean
  /** What was received since the world began. */
  readonly seen: () => Promise<readonly Seen[]>
  /** An address where nobody listens; null where that cannot be had. */
  readonly deaf: ((scenario: Scenario) => string) | null
  /** Whether the servers see a client leave at once; workerd tells them at the next chunk. */
  readonly seesLeaving: boolean
  /** Whether a cut reaches us; the forwarder of the tests inside workerd ends a cut body as if it were whole. */
  readonly seesCuts: boolean
}

const secret = 'contract-secret-of-at-least-32-characters'

/** `id` names the row the text is sealed for. */
export async function sealedFor(id: string, credential: object): Promise<string> {
  const key = await sealKeyOf(secret)
  if (!key.ok) throw new Error(key.error)
  return seal(JSON.stringify(credential), id as EndpointId, key.value)
}

export function upstreamContract(world: () => UpstreamWorld, name: string): void {
  const upstreamWith = (so: Partial<UpstreamSources> = {}) =>
    upstreams({ memory: emptyOpenedMemory(), credentialKey: secret, allowPrivate: true, ...so })
  const upstream = upstreamWith()

  async function requestOf(scenario: Scenario, so: Partial<UpstreamRequest> = {}): Promise<UpstreamRequest> {
    const endpoint = world().endpoint(scenario)
    return {
      endpoint: { ...endpoint, credential: await sealedFor(endpoint.id, world().credential) },
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: bytes('{"model":"atlas","note":"ü"}'),
      signal: AbortSignal.timeout(20_000),
      stream: scenario === 'stream' || scenario === 'slow-body' || scenario === 'cut-stream',
      ...so,
    }
  }

  async function answered(scenario: Scenario, so: Partial<UpstreamRequest> = {}): Promise<UpstreamAnswer> {
    const sent = await upstream.send(await requestOf(scenario, so))
    if (!sent.ok) throw new Error(`no answer: ${sent.error.detail}`)
    return sent.value
  }

  async function failed(sent: ReturnType<typeof upstream.send>): Promise<string> {
    const result = await sent
    if (result.ok) throw new Error(`an answer with status ${result.value.status}`)
    return result.error.detail
  }

  const textOf = async (answer: UpstreamAnswer): Promise<string> => (answer.body ? (await readAll(answer.body)).text : '')

  describe(`${name}: the upstream contract`, () => {
    it('brings the body there and the answer back, byte for byte', async () => {
      const before = (await world().seen()).length
      const answer = await answered('whole')
      expect(answer).toMatchObject({ status: 200, contentType: 'application/json', retryAfter: null })
      expect(await textOf(answer)).toBe(wholeBody)
      const seen = (await world().seen()).slice(before)
      expect(seen.map(({ method, body }) => [method, body])).toEqual([['POST', '{"model":"atlas","note":"ü"}']])
      expect(seen[0]?.headers).toMatchObject({ 'content-type': 'application/json', accept: 'application/json', 'user-agent': 'isochrone' })
    })

    it('an empty answer is an answer', async () => {
      const answer = await answered('empty')
      expect([answer.status, await textOf(answer)]).toEqual([200, ''])
    })

    it('a stream comes chunk by chunk, as it is sent', async () => {
      const answer = await answered('stream', { headers: { 'content-type': 'application/json', accept: 'text/event-stream' } })
      expect(answer).toMatchObject({ status: 200, contentType: 'text/event-stream' })
      const got: { readonly text: string; readonly atMs: number }[] = []
      for await (const chunk of answer.body ?? []) got.push({ text: new TextDecoder().decode(chunk), atMs: Date.now() })
      expect(got.map(({ text }) => text)).toEqual(chunks)
      for (const [index, { atMs }] of got.entries()) expect(atMs - (got[0]?.atMs ?? 0)).toBeGreaterThanOrEqual((index * chunkGapMs) / 2)
    })

    it.each([400, 404, 422, 500, 503] as const)('status %i comes with its body', async (status) => {
      const answer = await answered(`status-${status}`)
      expect([answer.status, answer.contentType, answer.retryAfter]).toEqual([status, 'application/json', null])
      expect(await textOf(answer)).toBe(errorBody(status))
    })

    it('a status in place of a stream too', async () => {
      const answer = await answered('status-422', { stream: true })
      expect([answer.status, await textOf(answer)]).toEqual([422, errorBody(422)])
    })

    it('a busy server is 429, and its Retry-After comes with it', async () => {
      const answer = await answered('busy')
      expect([answer.status, answer.retryAfter]).toEqual([429, '7'])
      expect(await textOf(answer)).toContain('too many')
    })

    it('a server that is not there is a failure with a reason', async ({ skip }) => {
      const deaf = world().deaf
      if (!deaf) return skip('the test runner’s forwarder cannot be made to refuse a connection')
      const request = await requestOf('whole')
      const endpoint = { ...request.endpoint, url: deaf('whole') }
      for (const stream of [false, true]) expect(await failed(upstream.send({ ...request, endpoint, stream }))).toContain('ECONNREFUSED')
    })

    it('nothing is sent for a request that was given up before', async () => {
      const before = (await world().seen()).length
      expect(await failed(upstream.send(await requestOf('whole', { signal: AbortSignal.abort(new Error('client_gone')) })))).not.toBe('')
      expect(await world().seen()).toHaveLength(before)
    })

    it.each([false, true])('given up while waiting for the answer, it fails at once (stream: %s)', async (stream) => {
      const leaving = new AbortController()
      const sent = failed(upstream.send(await requestOf('slow-head', { signal: leaving.signal, stream })))
      setTimeout(() => leaving.abort(new Error('deadline')), 100)
      const beganMs = Date.now()
      await sent
      expect(Date.now() - beganMs).toBeLessThan(5_000)
    })

    it('given up while the answer flows, its body fails', async () => {
      const leaving = new AbortController()
      const answer = await answered('slow-body', { signal: leaving.signal })
      const reader = answer.body?.getReader()
      expect((await reader?.read())?.done).toBe(false)
      setTimeout(() => leaving.abort(new Error('deadline')), 50)
      await expect(reader?.read()).rejects.toThrow()
    })

    it('a body that nobody wants any more ends the connection', async ({ skip }) => {
      if (!world().seesLeaving) return skip('the test runner’s forwarder does not pass a leaving caller on')
      const answer = await answered('slow-body')
      const reader = answer.body?.getReader()
      await reader?.read()
      await reader?.cancel()
      await expect.poll(async () => (await world().seen()).at(-1)?.headers['left'], { timeout: 5_000 }).toBe('yes')
    })

    it.for(['cut-stream', 'cut-whole'] as const)(
      '%s: a body that was cut fails, and never looks like its end',
      async (scenario, { skip }) => {
        // Inside a frame it is seen all the same.
        if (scenario === 'cut-whole' && !world().seesCuts) return skip('the test runner’s forwarder ends a cut body as if it were whole')
        const answer = await answered(scenario)
        const read = answer.body ? await readAll(answer.body) : null
        expect(read?.failed).toBe(true)
        if (scenario === 'cut-stream') expect(read?.text).toBe(chunks[0])
      },
    )

    it('a redirect is a failure that says so, and is not followed', async () => {
      for (const stream of [false, true]) {
        const before = (await world().seen()).length
        expect(await failed(upstream.send(await requestOf('redirect', { stream })))).toMatch(/redirect \(302\)/)
        expect((await world().seen()).slice(before)).toHaveLength(1)
      }
    })

    it('a private address is not called unless the deployment may', async () => {
      const request = await requestOf('whole')
      const strict = upstreamWith({ allowPrivate: false })
      const before = (await world().seen()).length
      for (const host of ['127.0.0.1', '169.254.169.254', '[::ffff:10.0.0.1]', 'metadata.internal']) {
        const url = new URL(request.endpoint.url)
        url.hostname = host
        expect(await failed(strict.send({ ...request, endpoint: { ...request.endpoint, url: url.href } }))).toMatch(/not public \(\w+\)/)
      }
      expect(await failed(upstream.send({ ...request, path: '.elsewhere.example/v1' }))).toMatch(/not public/)
      expect(await world().seen()).toHaveLength(before)
    })

    it('the credential reaches the server, and is opened for its own endpoint under its own key only', async () => {
      const before = (await world().seen()).length
      const request = await requestOf('whole')
      // Twice: the second time it is remembered.
      for (let i = 0; i < 2; i++) expect((await upstream.send(request)).ok).toBe(true)
      expect((await world().seen()).slice(before).map((seen) => world().bore(seen))).toEqual([true, true])

      const other = { ...request.endpoint, id: 'another' as EndpointId }
      expect(await failed(upstream.send({ ...request, endpoint: other }))).toContain('not_authentic')
      expect(await failed(upstreamWith({ credentialKey: `${secret}2` }).send(request))).toContain('not_authentic')
      expect(await failed(upstreamWith({ credentialKey: undefined }).send(request))).toContain('CREDENTIAL_KEY')
      expect(await failed(upstream.send({ ...request, endpoint: { ...request.endpoint, credential: 'v1.x.y' } }))).toContain('malformed')
      expect(await world().seen()).toHaveLength(before + 2)
    })

    it('a credential of another kind is not sent', async () => {
      const request = await requestOf('whole')
      const wrong = await sealedFor(request.endpoint.id, { token: 'canary-of-no-kind' })
      const detail = await failed(upstream.send({ ...request, endpoint: { ...request.endpoint, credential: wrong } }))
      expect(detail).toContain('not one of its kind')
      expect(detail).not.toContain('canary')
    })

    it('the credential is nowhere else: no answer, failure or line of any scenario shows it', async () => {
      const lines: string[] = []
      const spies = (['log', 'warn', 'error', 'info', 'debug'] as const).map((level) =>
        vi.spyOn(console, level).mockImplementation((...words: unknown[]) => void lines.push(words.map(String).join(' '))),
      )
      const outputs: unknown[] = []
      for (const scenario of scenarios) {
        for (const stream of [false, true]) {
          const request = await requestOf(scenario, { stream, signal: AbortSignal.timeout(scenario.startsWith('slow') ? 200 : 5_000) })
          const sent = await upstream.send(request)
          if (!sent.ok) outputs.push(sent.error)
          else {
            const { body, ...head } = sent.value
            outputs.push(head, await errorOf(body))
          }
        }
      }
      for (const spy of spies) spy.mockRestore()
      const text = JSON.stringify([outputs, lines])
      expect(text).toContain('[redacted]')
      for (const canary of world().canaries) expect(text).not.toContain(canary)
    })
  })
}

/** All that a body shows: its text, and the whole of the error that ended it. */
async function errorOf(body: ReadableStream<Uint8Array> | null): Promise<readonly string[]> {
  const words: string[] = []
  try {
    for await (const chunk of body ?? []) words.push(new TextDecoder().decode(chunk))
  } catch (cause) {
    for (let error = cause; error instanceof Error; error = error.cause) words.push(error.message, error.stack ?? '', JSON.stringify(error))
  }
  return words
}
