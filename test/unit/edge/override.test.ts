// Signed overrides on a request's way, and what the outcome of a request counts for.

import { describe, expect, it } from 'vitest'
import { admit } from '../../../edge/admit/admit.ts'
import { mayCopy } from '../../../edge/admit/assign.ts'
import type { Asked } from '../../../edge/facts.ts'
import { chat, embeddings } from '../../../edge/http/openai.ts'
import { generate } from '../../../edge/http/predict.ts'
import { bucketOf } from '../../../shared/hash.ts'
import type { Environment, RequestId, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { operations } from '../../../shared/operations.ts'
import { signerOf, type Signer } from '../../../shared/signature.ts'
import type { Alias, Snapshot } from '../../../shared/wire/snapshot.ts'
import { overrideHeader, overridePurpose, writeOverride, type Override } from '../../../shared/wire/override.ts'
import { credential } from '../../support/credential.ts'
import { askedOf, go, question, world } from '../../support/edge-world.ts'
import { alias, endpoint, snapshotOf, version } from '../../support/snapshot.ts'

const found = { found: await credential() }
const dark = 'atlas-3.q8_0' as VersionId
const canary = 'atlas-3' as VersionId
const two = snapshotOf([endpoint('a', 'x'), endpoint('b', 'x', { version: dark })])

const signerWith = async (secret: string, purpose = overridePurpose): Promise<Signer> => {
  const signer = await signerOf(secret, purpose)
  if (!signer) throw new Error('a secret that is none')
  return signer
}
const signer = await signerWith('a secret of the deployment, long enough')
const stranger = await signerWith('the secret of another deployment here')
const another = await signerWith('a secret of the deployment, long enough', 'isochrone/snapshot/v1')

const written = (so: Partial<Override> = {}, by = signer): Promise<string> =>
  writeOverride({ environment: 'development', version: dark, expiresAtMs: Date.now() + 60_000, ...so }, by)

const headed = (headers: Readonly<Record<string, string>>): Pick<Asked, 'header'> => ({ header: (name) => headers[name] ?? null })

describe('an override', () => {
  it('serves the version that it names, which no alias has, and says so', async () => {
    const at = await world(two, { credential: found, overrides: signer })
    const walked = await go(at, question, headed({ [overrideHeader]: await written() }))
    expect(walked.trail).toMatchObject({ version: dark, endpoint: 'b' })
    expect(walked.admitted?.assignment).toEqual({ alias: 'development/atlas', write: '', forced: true, counts: false, shadow: null })
    expect(at.ledger.asked[0]).toMatchObject({ version: dark, forced: true })
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })

  it('holds until the answer when it held at the arrival', async () => {
    const at = await world(two, { credential: found, overrides: signer })
    const expiresAtMs = Date.now() - 1_000
    const header = headed({ [overrideHeader]: await written({ expiresAtMs }) })
    expect((await go(at, question, { ...header, receivedAtMs: expiresAtMs - 1 })).trail.version).toBe(dark)
    expect((await go(at, question, { ...header, receivedAtMs: expiresAtMs })).answer).toMatchObject({ ok: false })
  })

  it.each<[string, () => Promise<string>, RegExp, Signer | null]>([
    ['that is none', () => Promise.resolve(dark), /it is none/, signer],
    ['that is empty', () => Promise.resolve(''), /it is none/, signer],
    ['with more behind it', async () => `${await written()}0`, /it is none/, signer],
    ['that was changed', async () => (await written()).replace('q8_0', 'q2_k'), /not signed here, or was changed/, signer],
    ['of another deployment', () => written({}, stranger), /not signed here, or was changed/, signer],
    ['signed for another purpose', () => written({}, another), /not signed here, or was changed/, signer],
    ['that has expired', () => written({ expiresAtMs: Date.now() - 1 }), /it has expired/, signer],
    ['of another environment', () => written({ environment: 'production' as Environment }), /for production.*for development/, signer],
    ['that nobody can verify', () => written(), /has no secret/, null],
  ])('%s is refused, and nobody is asked', async (_, text, detail, overrides) => {
    const at = await world(two, { credential: found, overrides })
    const walked = await go(at, question, headed({ [overrideHeader]: await text() }))
    expect(walked.answer).toEqual({ ok: false, error: { reason: 'override_refused', detail: expect.stringMatching(detail) } })
    expect(at.sent).toEqual([])
    expect(at.ledger.asked).toEqual([])
  })

  it.each([
    ['of a version that nobody serves', 'atlas-9'],
    ['of a version of another model', 'other-1'],
  ])('%s is refused', async (_, named) => {
    const other = endpoint('c', 'y', { model: 'other' as never, version: 'other-1' as VersionId })
    const at = await world({ ...two, endpoints: [...two.endpoints, other] }, { credential: found, overrides: signer })
    const header = headed({ [overrideHeader]: await written({ version: named as VersionId }) })
    expect((await go(at, question, header)).answer).toMatchObject({ error: { reason: 'unknown_version', version: named } })
  })

  it('does not let a key into a model that it may not use', async () => {
    const bound = { found: await credential({ models: ['other'] }) }
    const at = await world(two, { credential: bound, overrides: signer })
    const header = headed({ [overrideHeader]: await written() })
    expect((await go(at, question, header)).answer).toMatchObject({ error: { reason: 'model_not_allowed' } })
  })

  it('and a path that names another version contradict each other', async () => {
    const at = await world(snapshotOf([endpoint('a', 'x', { operations: ['generate'] })]), { credential: found, overrides: signer })
    const header = headed({ [overrideHeader]: await written() })
    const so = { ...header, dialect: generate, path: { model: 'atlas', version: version as string } }
    expect((await go(at, { text_input: 'x' }, so)).answer).toMatchObject({
      error: { reason: 'override_refused', detail: expect.stringContaining(version) },
    })
  })
})

describe('an assignment', () => {
  const write = { id: 'ro_1' as RolloutId, generation: 4 }
  const split = snapshotOf([endpoint('a', 'x'), endpoint('b', 'x', { version: canary })], {
    aliases: [alias({ canary, weightBp: 5_000, shadowBp: 10_000, write })],
  })
  const admitted = async (snapshot: Snapshot, so: Partial<Asked> = {}, body: unknown = question) => {
    const at = await world(snapshot, { credential: found, overrides: signer })
    const read = await admit(askedOf(body, so), snapshot, at.ports)
    if (!read.ok) throw new Error(read.error.reason)
    return read.value
  }

  it('names the alias, and the write of it that a rollout made', async () => {
    expect((await admitted(split)).assignment).toMatchObject({ alias: 'development/atlas', write: 'ro_1:4', forced: false, counts: true })
    expect((await admitted(two)).assignment).toMatchObject({ write: '', counts: true, shadow: null })
  })

  it.each([
    ['is the first try', {}, true],
    ['is the first try, as its client says', { 'x-stainless-retry-count': '0' }, true],
    ['is a second try', { 'x-stainless-retry-count': '1' }, false],
    ['has a count that is no number', { 'x-stainless-retry-count': 'x' }, true],
  ])('of a request that %s counts accordingly', async (_, headers, counts) => {
    expect((await admitted(split, headed(headers))).assignment.counts).toBe(counts)
  })

  it('of a named version counts for nothing, and the ledger is not asked what the alias gives it', async () => {
    const able = (each: Snapshot['endpoints'][number]) => ({ ...each, operations: ['generate' as const] })
    const held = { ...split, endpoints: split.endpoints.map(able), aliases: [alias({ canary, weightBp: 0, shadowBp: 10_000 })] }
    const at = await world(held, { credential: found })
    const walked = await go(at, { text_input: 'x' }, { dialect: generate, path: { model: 'atlas', version: canary } })
    expect(walked.admitted?.assignment).toMatchObject({ counts: false, shadow: null })
    expect(at.sent[0]?.endpoint.id).toBe('b')
    expect(at.ledger.asked[0]).not.toHaveProperty('alias')
  })

  it('copies a share of what stable serves, in buckets of their own', async () => {
    const half = (weightBp: number): Alias => alias({ canary, weightBp, shadowBp: 3_000 })
    const ids = Array.from({ length: 400 }, (_, n) => `req_copy${n}` as RequestId)
    const all = await Promise.all(
      ids.map((requestId) => admitted({ ...split, aliases: [half(5_000)] }, { requestId, session: `session-${requestId}` })),
    )
    const ofStable = all.filter(({ version: each }) => each === version)
    expect(all.filter(({ version: each, assignment }) => each === canary && assignment.shadow !== null)).toEqual([])
    const copied = ofStable.filter(({ assignment }) => assignment.shadow === canary)
    // Three tenths of about two hundred: within four standard deviations.
    expect(Math.abs(copied.length / ofStable.length - 0.3)).toBeLessThan(0.14)
    const buckets = await Promise.all(ids.map((id) => bucketOf('salt/shadow', id)))
    const due = ids.filter((_, index) => (buckets[index] ?? 0) < 3_000)
    const onlyStable = await Promise.all(ids.map((requestId) => admitted({ ...split, aliases: [half(0)] }, { requestId })))
    expect(ids.filter((_, index) => onlyStable[index]?.assignment.shadow === canary)).toEqual(due)
  })

  const asked = { version, counts: true, operation: 'chat', bodyBytes: 10 } as const
  it.each([
    ['stable’s, as the alias says', {}, {}, true],
    ['the canary’s', {}, { version: canary }, false],
    ['of an alias without a canary', { canary: null }, {}, false],
    ['of an alias that copies nothing', { shadowBp: 0 }, {}, false],
    ['that counts for nothing', {}, { counts: false }, false],
    ['of the largest size', {}, { bodyBytes: limits.shadowBodyBytesMax }, true],
    ['that is larger', {}, { bodyBytes: limits.shadowBodyBytesMax + 1 }, false],
  ])('a request %s may be copied, or not', (_, so, given, may) => {
    expect(mayCopy(alias({ canary, shadowBp: 1, ...so }), { ...asked, ...given })).toBe(may)
  })

  it('only what generates is copied', () => {
    const copied = operations.filter((operation) => mayCopy(alias({ canary, shadowBp: 1 }), { ...asked, operation }))
    expect(copied).toEqual(['chat', 'completions', 'responses', 'messages', 'generate', 'generate_stream'])
    expect([chat.operation, embeddings.operation]).toEqual(['chat', 'embeddings'])
  })
})
