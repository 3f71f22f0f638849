// What the choice of adapters remembers, and what a request may not say for its endpoint.

import { afterEach, describe, expect, it, vi } from 'vitest'
import { emptyOpenedMemory, upstreams } from '../../../edge/adapters/upstreams.ts'
import { redactedErrorBody, redactedText } from '../../../edge/adapters/redact.ts'
import type { UpstreamRequest } from '../../../edge/ports.ts'
import type { EndpointId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { seal, sealKeyOf } from '../../../shared/sealed.ts'
import { endpoint } from '../../support/snapshot.ts'
import { readAll, streamOf } from '../../support/stream.ts'

const secret = 'x'.repeat(32)
const sealed = async (id: string, credential: object) => {
  const key = await sealKeyOf(secret)
  if (!key.ok) throw new Error(key.error)
  return seal(JSON.stringify(credential), id as EndpointId, key.value)
}
const memory = emptyOpenedMemory()
const upstream = upstreams({ memory, credentialKey: secret, allowPrivate: false })

const request = (so: Partial<UpstreamRequest> = {}): UpstreamRequest => ({
  endpoint: endpoint('e', 'x', { url: 'https://engine.example.com/base' }),
  method: 'POST',
  path: '/v1/chat/completions',
  headers: {},
  body: new Uint8Array(2),
  signal: AbortSignal.timeout(5_000),
  stream: false,
  ...so,
})

/** The network as a fake: what was asked of it. */
function network(): Request[] {
  const asked: Request[] = []
  vi.stubGlobal('fetch', (input: string, init: RequestInit) => {
    asked.push(new Request(input, init))
    return Promise.resolve(new Response('{}'))
  })
  return asked
}
afterEach(() => {
  vi.unstubAllGlobals()
})

describe('what is sent', () => {
  it('is the url with the path, the headers given, and our name; never a credential that came with the request', async () => {
    const asked = network()
    const given = {
      Authorization: 'Bearer callers',
      'X-API-Key': 'callers',
      Cookie: 'callers',
      Host: 'evil',
      'User-Agent': 'x',
      'X-Request-Id': 'r',
    }
    expect((await upstream.send(request({ headers: given }))).ok).toBe(true)
    expect(asked[0]?.url).toBe('https://engine.example.com/base/v1/chat/completions')
    expect(Object.fromEntries(asked[0]?.headers ?? [])).toEqual({ 'user-agent': 'isochrone', 'x-request-id': 'r' })
  })

  it("the endpoint's own credential wins over one given, in whatever spelling", async () => {
    const asked = network()
    const credential = await sealed('e', { header: 'X-Engine-Key', value: 'the-right-one' })
    const at = endpoint('e', 'x', { url: 'https://engine.example.com', credential })
    await upstream.send(request({ endpoint: at, headers: { 'X-ENGINE-KEY': 'callers' } }))
    expect(asked[0]?.headers.get('x-engine-key')).toBe('the-right-one')
  })

  it('GET has no body', async () => {
    const asked = network()
    await upstream.send(request({ method: 'GET', path: '/v2/models/atlas' }))
    expect([asked[0]?.method, asked[0]?.body]).toEqual(['GET', null])
  })

  it.each(['http://127.0.0.1', 'http://10.0.0.7:8000', 'http://[::1]', 'http://engine', 'http://metadata.google.internal'])(
    'nothing to %s, where the deployment may not',
    async (url) => {
      const asked = network()
      const refused = await upstream.send(request({ endpoint: endpoint('e', 'x', { url }) }))
      expect(refused).toMatchObject({ ok: false, error: { detail: expect.stringContaining('not public') as string } })
      expect(asked).toEqual([])
    },
  )
})

describe('opened credentials', () => {
  it('are remembered by endpoint, and no more than there is room for', async () => {
    network()
    for (let i = 0; i < limits.openedHeldMax + 20; i++) {
      const at = endpoint(`e${i}`, 'x', { url: 'https://engine.example.com', credential: await sealed(`e${i}`, { bearer: `secret-${i}` }) })
      expect((await upstream.send(request({ endpoint: at }))).ok).toBe(true)
    }
    expect(memory.opened.size).toBe(limits.openedHeldMax)
  })

  it('a sealed text that is remembered for its endpoint does not open for another', async () => {
    const asked = network()
    const credential = await sealed('one', { bearer: 'secret-of-one' })
    const at = (id: string) => endpoint(id, 'x', { url: 'https://engine.example.com', credential })
    expect((await upstream.send(request({ endpoint: at('one') }))).ok).toBe(true)
    expect(await upstream.send(request({ endpoint: at('two') }))).toMatchObject({
      ok: false,
      error: { detail: expect.stringContaining('not_authentic') as string },
    })
    expect(asked).toHaveLength(1)
  })
})

describe('redaction', () => {
  it('takes out every occurrence', () => {
    expect(redactedText('a secret-1, b secret-1, secret-2', ['secret-1', 'secret-2'])).toBe('a [redacted], b [redacted], [redacted]')
  })

  it('reads no more of an error than its bound, and cuts no secret in two', async () => {
    const head = 'x'.repeat(limits.errorBodyBytesMax - 4)
    const body = redactedErrorBody(streamOf([`${head}secret-1`, 'y'.repeat(1_000_000)], 'hang'), ['secret-1'])
    const { text } = await readAll(body ?? new Uint8Array(0))
    expect(text.length).toBe(limits.errorBodyBytesMax)
    expect(text).not.toContain('secr')
  })

  it('an error body that breaks off is what came of it', async () => {
    const body = redactedErrorBody(streamOf(['{"error":', '"secret-1'], new Error('cut')), ['secret-1'])
    expect(await readAll(body ?? new Uint8Array(0))).toMatchObject({ text: '{"error":"[redacted]', failed: false })
  })
})
