// Forced versions and copies to a canary, in the Worker itself.

import { beforeAll, describe, expect, it } from 'vitest'
import type { Environment, VersionId } from '../../../shared/ids.ts'
import { signerOf } from '../../../shared/signature.ts'
import { overrideHeader, overridePurpose, writeOverride, type Override } from '../../../shared/wire/override.ts'
import { alias, endpoint, snapshotOf } from '../../support/snapshot.ts'
import { ledger, post, publish, testEnv } from './world.ts'

const [stable, canary, dark] = ['atlas-2', 'atlas-3', 'atlas-4.q8_0'] as [VersionId, VersionId, VersionId]
const at = (id: string, version: VersionId) => endpoint(id, 'x', { version, url: `http://echo-${id}.test` })
const snapshot = snapshotOf([at('stable', stable), at('canary', canary), at('dark', dark)], {
  generation: 3,
  aliases: [alias({ stable, canary, shadowBp: 10_000 })],
})
beforeAll(() => publish(snapshot))

const written = async (so: Partial<Override> = {}): Promise<string> => {
  const signer = await signerOf(testEnv.CREDENTIAL_KEY, overridePurpose)
  if (!signer) throw new Error('no secret')
  return writeOverride({ environment: 'development', version: dark, expiresAtMs: Date.now() + 60_000, ...so }, signer)
}

const chat = { model: 'atlas', messages: [{ role: 'user', content: 'hi' }] }
const paths: readonly (readonly [string, object])[] = [
  ['/v1/chat/completions', chat],
  ['/v1/completions', { model: 'atlas', prompt: 'hi' }],
  ['/v1/embeddings', { model: 'atlas', input: 'hi' }],
  ['/v1/messages', { ...chat, max_tokens: 5 }],
]

describe('an override', () => {
  it.each(paths)('serves its version on %s, and the response says so', async (path, body) => {
    const forced = await post(path, body, { [overrideHeader]: await written() })
    expect([forced.status, forced.headers.get('isochrone-model-version')]).toEqual([200, dark])
    expect(forced.headers.get('isochrone-endpoint')).toBe('dark')
    await forced.arrayBuffer()
    const usual = await post(path, body)
    expect([usual.status, usual.headers.get('isochrone-model-version')]).toEqual([200, stable])
    await usual.arrayBuffer()
  })

  it.each([
    ...paths,
    ['/v1/responses', { model: 'atlas', input: 'hi' }],
    ['/v1/messages/count_tokens', chat],
    ['/v2/models/atlas/infer', { inputs: [{ name: 'a', shape: [1], datatype: 'INT32', data: [1] }] }],
    ['/v2/models/atlas/generate', { text_input: 'hi' }],
    ['/v2/models/atlas/generate_stream', { text_input: 'hi' }],
  ] as const)('that does not hold is refused on %s, in the words of its protocol', async (path, body) => {
    const refused = await post(path, body, { [overrideHeader]: await written({ environment: 'production' as Environment }) })
    expect([refused.status, refused.headers.get('isochrone-error-code')]).toEqual([403, 'override_refused'])
    expect(refused.headers.get('isochrone-model-version')).toBe('none')
    const said = await refused.json<{ type?: string; error: string | { message: string } }>()
    const text = typeof said.error === 'string' ? said.error : said.error.message
    expect(text).toContain('it is for production, and this API key is for development')
    if (path.startsWith('/v1/messages')) expect(said.type).toBe('error')
    if (path.startsWith('/v2')) expect(typeof said.error).toBe('string')
  })

  it.each([
    ['forged', async () => (await written()).replace(/.$/, (last) => (last === '0' ? '1' : '0')), 403, 'override_refused'],
    ['expired', () => written({ expiresAtMs: Date.now() - 1 }), 403, 'override_refused'],
    ['no override at all', () => Promise.resolve('atlas-3'), 403, 'override_refused'],
    ['of a version that nobody serves', () => written({ version: 'atlas-9' as VersionId }), 404, 'version_not_found'],
  ])('that is %s is refused', async (_, text, status, code) => {
    const refused = await post('/v1/chat/completions', chat, { [overrideHeader]: await text() })
    expect([refused.status, refused.headers.get('isochrone-error-code')]).toEqual([status, code])
    await refused.arrayBuffer()
  })
})

it('a request of which a copy is due is answered by stable, and its copy is counted at the canary', async () => {
  const trials = async () => {
    const { blocks, endpoints } = await ledger('atlas@x').exchange({ snapshot: null, cell: 'atlas@x' })
    const copies = blocks.flatMap((block) => block.trials ?? []).filter(({ shadow, version }) => shadow && version === canary)
    const inFlight = Object.values(endpoints).reduce((sum, each) => sum + each.inFlight, 0)
    return { copies: copies.reduce((sum, { judged }) => sum + judged, 0), compared: copies.some(({ compared }) => compared), inFlight }
  }
  const before = (await trials()).copies
  const answered = await post('/v1/chat/completions', chat)
  expect(answered.headers.get('isochrone-model-version')).toBe(stable)
  expect((await answered.json<{ seen: { host: string } }>()).seen.host).toBe('echo-stable.test')
  await expect.poll(async () => (await trials()).copies, { timeout: 5_000 }).toBeGreaterThan(before)
  await expect.poll(trials, { timeout: 5_000 }).toMatchObject({ compared: true, inFlight: 0 })
})
