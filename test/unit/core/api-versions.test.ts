// Versions over the admin API: their difference, overrides, and the rules of the rows that surround them.

import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import { signerOf } from '../../../shared/signature.ts'
import { overrideHeader, overridePurpose, readOverride } from '../../../shared/wire/override.ts'
import type { Rollout } from '../../../core/rollout/record.ts'
import { digestOf, furnished, nowMs, overrideSecret, stamp, type AdminWorld, type Json } from '../../support/admin-world.ts'
import { Ride, weight } from './rollout-ride.ts'

describe('diff', () => {
  it('names each field that differs, flags one by one, and nothing of the keeping', async () => {
    const { must } = await furnished()
    const { body } = await must('GET', '/versions/atlas-2/diff?against=atlas-1')
    expect(body).toEqual({
      from: 'atlas-1',
      to: 'atlas-2',
      differences: [
        { field: 'digest', from: digestOf('1'), to: digestOf('2') },
        { field: 'flags.ctx', from: 4_096, to: 8_192 },
      ],
    })
    expect((await must('GET', '/versions/atlas-1/diff?against=atlas-1')).body).toMatchObject({ differences: [] })
  })

  it.each([
    ['/versions/none/diff?against=atlas-1', 404, 'not_found', undefined],
    ['/versions/atlas-1/diff', 422, 'invalid_field', '?against'],
    ['/versions/atlas-1/diff?against=none', 422, 'invalid_field', '?against'],
    ['/versions/atlas-1/diff?against=other-1', 422, 'invalid_field', '?against'],
    ['/versions/atlas-1/diff?against=atlas-2&with=x', 422, 'invalid_field', '?with'],
  ])('%s: %i', async (path, status, code, pointer) => {
    const { ask } = await furnished()
    expect((await ask('GET', path)).body).toMatchObject({ status, code, ...(pointer && { pointer }) })
  })

  it('answers GET alone', async () => {
    const { ask } = await furnished()
    const told = await ask('POST', '/versions/atlas-1/diff?against=atlas-2', {})
    expect([told.status, told.headers.get('allow')]).toEqual([405, 'GET'])
  })
})

describe('override', () => {
  it('is signed for the environment and version, for as long as was asked', async () => {
    const { must, logged } = await furnished()
    const { body } = await must('POST', '/versions/atlas-2/override', { environment: 'production', forMs: 60_000 })
    expect(body).toMatchObject({ header: overrideHeader, expiresAtMs: nowMs + 60_000 })
    const signer = await signerOf(overrideSecret, overridePurpose)
    expect(await readOverride(String(body['value']), signer!, nowMs)).toEqual({
      ok: true,
      value: { environment: 'production', version: 'atlas-2', expiresAtMs: nowMs + 60_000 },
    })
    expect(logged).toMatchObject([{ version: 'atlas-2', actor: 'operator' }])
    expect(JSON.stringify(logged)).not.toContain(String(body['value']))
  })

  it('holds for an hour unless it says otherwise', async () => {
    const { must } = await furnished()
    const { body } = await must('POST', '/versions/atlas-2/override', { environment: 'staging' })
    expect(body['expiresAtMs']).toBe(nowMs + limits.overrideMsDefault)
  })

  it.each<readonly [Json, string]>([
    [{}, '#/environment'],
    [{ environment: 'test' }, '#/environment'],
    [{ environment: 'staging', forMs: limits.overrideMsMax + 1 }, '#/forMs'],
    [{ environment: 'staging', forMs: 1.5 }, '#/forMs'],
    [{ environment: 'staging', hours: 1 }, '#/hours'],
  ])('refuses %j at %s', async (body, pointer) => {
    const { ask } = await furnished()
    expect((await ask('POST', '/versions/atlas-2/override', body)).body).toMatchObject({ status: 422, pointer })
  })

  it('needs the version, and a secret to sign with', async () => {
    const body = { environment: 'staging' }
    expect((await (await furnished()).ask('POST', '/versions/none/override', body)).status).toBe(404)
    const { ask } = await furnished({ overrideSigner: null })
    expect((await ask('POST', '/versions/atlas-2/override', body)).body).toMatchObject({ status: 503, code: 'credential_key_unset' })
  })
})

describe('rules of rows', () => {
  const version = (more: Json): Json => ({ id: 'v', model: 'atlas', digest: digestOf('7'), engine: 'llama.cpp', ...more })
  const target = (more: Json): Json => ({
    id: 't',
    model: 'atlas',
    region: 'fra',
    deployer: 'model_repository',
    url: 'https://t.example',
    slots: 2,
    ...more,
  })
  const aws = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG' }
  const sagemaker = (more: Json = {}): Json =>
    target({
      deployer: 'sagemaker',
      kind: 'sagemaker',
      url: 'https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/atlas',
      deploy: { endpointName: 'atlas', variant: 'AllTraffic' },
      credential: aws,
      ...more,
    })
  const webhook = (more: Json = {}): Json =>
    target({
      deployer: 'webhook',
      deploy: { webhookUrl: 'https://ops.example/deploy' },
      credential: { bearer: 'whsec_c2VjcmV0IQ==' },
      ...more,
    })

  it.each<readonly [string, string, Json, string | null]>([
    ['a variant of the same model', '/versions', version({ parent: 'atlas-1', quantisation: 'AWQ', bits: 4 }), null],
    ['a parent of another model', '/versions', version({ parent: 'other-1' }), '#/parent'],
    ['a parent that is not there', '/versions', version({ parent: 'none' }), '#/parent'],
    ['its own parent', '/versions', version({ parent: 'v' }), '#/parent'],
    ['bits of nothing quantised', '/versions', version({ bits: 4 }), '#/bits'],
    ['an approval until tomorrow', '/approvals', { environment: 'staging', version: 'atlas-2', expiresAtMs: nowMs + 1 }, null],
    ['an approval that is over', '/approvals', { environment: 'staging', version: 'atlas-2', expiresAtMs: nowMs }, '#/expiresAtMs'],
    ['an approval of nothing', '/approvals', { environment: 'staging', version: 'none' }, '#/version'],
    ['a model repository', '/targets', target({ deploy: { url: 'https://repository.example' } }), null],
    ['a repository that is told a webhook', '/targets', target({ deploy: { webhookUrl: 'https://x.example' } }), '#/deploy/webhookUrl'],
    ['a repository at a private address', '/targets', target({ deploy: { url: 'http://10.0.0.1' } }), '#/deploy/url'],
    ['a target at a private address', '/targets', target({ url: 'http://10.0.0.1' }), '#/url'],
    ['a target of no model', '/targets', target({ model: 'none' }), '#/model'],
    ['a target in no region', '/targets', target({ region: 'none' }), '#/region'],
    ['an option of another kind', '/targets', target({ options: { targetVariant: 'x' } }), '#/options/targetVariant'],
    ['SageMaker', '/targets', sagemaker(), null],
    ['SageMaker without a name', '/targets', sagemaker({ deploy: {} }), '#/deploy/endpointName'],
    ['SageMaker of another name', '/targets', sagemaker({ deploy: { endpointName: 'x' } }), '#/deploy/endpointName'],
    ['SageMaker with another kind of server', '/targets', sagemaker({ kind: 'openai', credential: null }), '#/kind'],
    ['SageMaker servers of another deployer', '/targets', target({ kind: 'sagemaker' }), '#/kind'],
    ['SageMaker at an address that names nothing', '/targets', sagemaker({ url: 'https://x.example' }), '#/url'],
    ['a webhook', '/targets', webhook(), null],
    ['a webhook without an address', '/targets', webhook({ deploy: {} }), '#/deploy/webhookUrl'],
    ['a webhook at a private address', '/targets', webhook({ deploy: { webhookUrl: 'http://localhost/x' } }), '#/deploy/webhookUrl'],
    ['a webhook without a secret', '/targets', webhook({ credential: null }), '#/credential'],
    [
      'a webhook with a header for a secret',
      '/targets',
      webhook({ credential: { header: 'x-key', value: 'secret-secret' } }),
      '#/credential',
    ],
    ['a webhook for servers whose credential is no bearer', '/targets', webhook({ kind: 'anthropic' }), '#/kind'],
    ['a hook at a private address', '/webhooks', { id: 'h', url: 'http://192.168.0.1/x' }, '#/url'],
  ])('%s', async (_, path, body, pointer) => {
    const { ask } = await furnished()
    const told = await ask('POST', path, body)
    expect([told.status, told.body['pointer'] ?? null]).toEqual([pointer === null ? 201 : 422, pointer])
    expect(JSON.stringify(told.body)).not.toMatch(/wJalr|whsec_c2|secret-secret/)
  })

  it('a change is held to the same rules', async () => {
    const { ask, must } = await furnished()
    await must('POST', '/targets', webhook())
    await must('POST', '/approvals', { environment: 'staging', version: 'atlas-2' })
    const { body: hook } = await must('POST', '/webhooks', { id: 'h', url: 'https://hooks.example/x' })
    expect(hook['secret']).toMatch(/^whsec_/)
    const change = async (path: string, body: Json) => (await ask('PATCH', path, body, { 'if-match': '"1"' })).body['pointer'] ?? null
    expect(await change('/targets/t', { credential: null })).toBe('#/credential')
    expect(await change('/targets/t', { credential: { header: 'x-key', value: 'secret-secret' } })).toBe('#/credential')
    expect(await change('/targets/t', { deploy: { url: 'https://x.example' } })).toBe('#/deploy/webhookUrl')
    expect(await change('/targets/t', { deploy: { webhookUrl: 'http://10.0.0.1' } })).toBe('#/deploy/webhookUrl')
    expect(await change('/targets/t', { deployer: 'sagemaker' })).toBe('#/deployer')
    expect(await change('/webhooks/h', { url: 'http://10.0.0.1' })).toBe('#/url')
    expect(await change('/approvals/staging/atlas-2', { expiresAtMs: 1 })).toBe('#/expiresAtMs')
    expect(await change('/targets/t', { slots: 8 })).toBeNull()
    expect((await must('GET', '/targets/t')).body).toMatchObject({ slots: 8, hasCredential: true })
  })

  it('an approval names who gave it, and who changed it', async () => {
    const { must } = await furnished()
    const said = { environment: 'staging', version: 'atlas-2', evidence: { note: 'measured', reports: ['r'] } }
    const made = await must('POST', '/approvals', said, { 'isochrone-actor': 'ann' })
    expect(made.body).toMatchObject({ approvedBy: 'operator:ann', evidence: { note: 'measured', reports: ['r'], verdicts: [] } })
    const changed = await must(
      'PATCH',
      '/approvals/staging/atlas-2',
      { expiresAtMs: nowMs + 9 },
      { 'if-match': '"1"', 'isochrone-actor': 'bob' },
    )
    expect(changed.body).toMatchObject({ approvedBy: 'operator:bob', expiresAtMs: nowMs + 9 })
  })
})

describe('an alias that a rollout moves', () => {
  const path = '/aliases/production/atlas'

  async function rolling(phase: 'warming' | 'approved'): Promise<AdminWorld> {
    const world = await furnished()
    const ride = new Ride([weight(100)])
    const rollout = { ...ride.rollout, phase, from: 'atlas-1', to: 'atlas-2' } as Rollout
    const made = await world.stores.rollouts.create(rollout, stamp)
    if (!made.ok) throw new Error(made.error.reason)
    return world
  }

  it.each([
    ['PATCH', { weightBp: 0 }],
    ['DELETE', undefined],
  ] as const)('is not for a %s, nor for trying one', async (method, body) => {
    const { ask, must, nudges } = await rolling('warming')
    const before = nudges()
    for (const dry of ['', '?dry_run=true']) {
      const told = await ask(method, path + dry, body, { 'if-match': '*' })
      expect(told.body).toMatchObject({ status: 409, code: 'rollout_active', rollout: 'r1', model: 'atlas', environment: 'production' })
    }
    expect((await must('GET', path)).body).toMatchObject({ generation: 1 })
    expect(nudges()).toBe(before)
  })

  it('is free again, and before', async () => {
    const { ask } = await rolling('approved')
    expect((await ask('PATCH', path, { salt: 'new' }, { 'if-match': '"1"' })).status).toBe(200)
    expect((await ask('DELETE', path)).status).toBe(204)
  })
})
