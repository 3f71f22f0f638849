// The admin API over HTTP, against the real D1: each resource through its life, and every way to be refused.

import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { exports } from 'cloudflare:workers'
import { beforeAll, describe, expect, it } from 'vitest'
import worker from '../../../core/worker.ts'
import type { CoreEnv } from '../../../core/deps.ts'
import { readApiKey, type EndpointId } from '../../../shared/ids.ts'
import { open, sealKeyOf } from '../../../shared/sealed.ts'
import { sha256Hex } from '../../../shared/hash.ts'
import { limits } from '../../../shared/limits.ts'
import type { CoreCalls } from '../../../shared/wire/credential.ts'
import { ask, endpoint, furnish, furnishModel, must, region, testEnv, version, type Json, type Told } from './world.ts'

beforeAll(async () => {
  await furnish()
  await furnishModel('atlas')
})

type Audit = {
  readonly action: string
  readonly resource: string
  readonly resourceId: string
  readonly before: Json | null
  readonly after: Json | null
  readonly reason: string | null
}
const items = (told: Told) => told.body['items'] as readonly Json[]
async function auditOf(resource: string, resourceId: string): Promise<readonly Audit[]> {
  const all: Audit[] = []
  for (let cursor = ''; ;) {
    const page = await must('GET', `/admin/v1/audit?limit=${limits.pageMax}${cursor}`)
    all.push(...(items(page) as unknown as Audit[]))
    if (page.body['nextCursor'] === null) return all.filter((row) => row.resource === resource && row.resourceId === resourceId)
    cursor = `&cursor=${page.body['nextCursor'] as string}`
  }
}

/** One row of each table: how it is made, what changes it, what it may not say. */
const lives: readonly {
  readonly kind: string
  readonly path: string
  readonly id: string
  readonly item: string
  readonly create: Json
  readonly change: Json | null
  readonly wrong: Json
}[] = [
  { kind: 'region', path: 'regions', id: 'x', item: 'x', create: region('x'), change: { latitude: 1 }, wrong: { latitude: 'north' } },
  {
    kind: 'model',
    path: 'models',
    id: 'Own/X-1',
    item: 'Own%2FX-1',
    create: { name: 'Own/X-1' },
    change: { description: 'new' },
    wrong: { description: 3 },
  },
  { kind: 'version', path: 'versions', id: 'x-1', item: 'x-1', create: version('x-1', 'atlas'), change: null, wrong: { digest: 'md5:0' } },
  {
    kind: 'endpoint',
    path: 'endpoints',
    id: 'x',
    item: 'x',
    create: endpoint('x', 'live', 'atlas'),
    change: { state: 'draining', weight: 0.5 },
    wrong: { slots: '4' },
  },
  {
    kind: 'alias',
    path: 'aliases',
    id: 'staging/atlas',
    item: 'staging/atlas',
    create: { environment: 'staging', model: 'atlas', stable: 'atlas-1' },
    change: { canary: 'atlas-2', weightBp: 100 },
    wrong: { weightBp: 10_001 },
  },
  {
    kind: 'tenant',
    path: 'tenants',
    id: 'x',
    item: 'x',
    create: { id: 'x', name: 'X' },
    change: { disabled: true, residency: 'eu' },
    wrong: { residency: 'E U' },
  },
]

async function changeOnce(one: string, change: Json): Promise<Json> {
  const tried = await ask('PATCH', `${one}?dry_run=true`, change, { 'if-match': '"1"' })
  expect(tried).toMatchObject({ status: 200, body: { ...change, generation: 2 } })
  expect(tried.headers.get('etag')).toBe('"1"')
  expect((await ask('GET', one)).body).toMatchObject({ generation: 1 })
  const changed = await ask('PATCH', `${one}?dry_run=false`, change, { 'if-match': '"1"', 'isochrone-reason': 'it was time' })
  expect(changed).toMatchObject({ status: 200, body: { ...tried.body, updatedAtMs: changed.body['updatedAtMs'] } })
  expect(changed.headers.get('etag')).toBe('"2"')
  expect((await ask('GET', one)).body).toEqual(changed.body)
  return changed.body
}

async function refuseChanges(one: string, change: Json): Promise<void> {
  expect(await ask('PATCH', one, change)).toMatchObject({ status: 428, body: { code: 'if_match_required' } })
  const mismatch = await ask('PATCH', one, change, { 'if-match': '"7"' })
  expect(mismatch).toMatchObject({ status: 412, body: { code: 'generation_mismatch', current: 1 } })
  expect(mismatch.headers.get('etag')).toBe('"1"')
  for (const path of [one, `${one}?dry_run=true`]) {
    expect(await ask('PATCH', path, { slot: 1 }, { 'if-match': '"1"' })).toMatchObject({ status: 422, body: { pointer: '#/slot' } })
    expect(await ask('PATCH', path, change, { 'if-match': '"7"' })).toMatchObject({ status: 412 })
    expect(await ask('PATCH', path, change)).toMatchObject({ status: 428 })
  }
  expect(await ask('PATCH', one, {}, { 'if-match': '"1"' })).toMatchObject({ status: 422, body: { param: 'body' } })
  expect(await ask('PATCH', `${one}-none`, change, { 'if-match': '"1"' })).toMatchObject({ status: 404 })
}

async function refuseAnyChange(one: string): Promise<void> {
  const refused = await ask('PATCH', one, {}, { 'if-match': '"1"' })
  expect(refused).toMatchObject({ status: 405, body: { code: 'immutable' } })
  expect(refused.headers.get('allow')).toBe('GET, DELETE')
}

describe.each(lives)('$path', ({ kind, path, id, item, create, change, wrong }) => {
  const collection = `/admin/v1/${path}`
  const one = `${collection}/${item}`

  it('lives: created, read, listed, changed, deleted; each write audited once', async () => {
    const created = await ask('POST', collection, create)
    expect(created).toMatchObject({ status: 201, body: { generation: 1 } })
    expect(created.headers.get('location')).toBe(one)
    expect(created.headers.get('etag')).toBe('"1"')
    expect(created.headers.get('x-request-id')).toMatch(/^[0-9a-z]{16}$/)

    const read = await ask('GET', one)
    expect(read).toMatchObject({ status: 200, body: created.body })
    expect(read.headers.get('etag')).toBe('"1"')
    expect(items(await must('GET', `${collection}?limit=200`))).toContainEqual(created.body)

    const last = change ? await changeOnce(one, change) : created.body
    const dry = `${one}?dry_run=true`
    for (const path of [one, dry]) expect((await ask('DELETE', path, undefined, { 'if-match': '"9"' })).status).toBe(412)
    const current = { 'if-match': `"${String(last['generation'])}"` }
    expect(await ask('DELETE', dry, undefined, current)).toMatchObject({ status: 200, body: last })
    expect(await ask('DELETE', one, undefined, { ...current, 'isochrone-reason': 'no longer needed' })).toMatchObject({ status: 204 })
    expect(await ask('GET', one)).toMatchObject({ status: 404, body: { code: 'not_found' } })
    expect(await ask('DELETE', one)).toMatchObject({ status: 404 })

    const audit = await auditOf(kind, id)
    expect(audit.map((row) => row.action)).toEqual(change ? ['delete', 'update', 'create'] : ['delete', 'create'])
    expect(audit.map((row) => row.reason)).toEqual(['no longer needed', ...(change ? ['it was time'] : []), null])
    expect(audit.at(-1)).toMatchObject({ before: null, after: created.body })
    expect(audit[0]).toMatchObject({ before: last, after: null })
  })

  it('refuses what is wrong, and writes nothing then', async () => {
    const created = await must('POST', collection, create)
    const audited = (await auditOf(kind, id)).length
    expect(await ask('POST', collection, create)).toMatchObject({ status: 409, body: { code: 'already_exists' } })
    expect(await ask('POST', collection, { ...create, ...wrong })).toMatchObject({
      status: 422,
      body: { code: 'invalid_field', param: Object.keys(wrong)[0] },
    })
    expect(await ask('POST', collection, { ...create, slot: 1 })).toMatchObject({ status: 422, body: { param: 'slot' } })
    expect(await ask('POST', collection, '{"a":')).toMatchObject({ status: 400, body: { code: 'invalid_json' } })
    expect(await ask('POST', collection, [create])).toMatchObject({ status: 422 })
    for (const [method, path, param] of [
      ['GET', `${collection}?offset=1`, 'offset'],
      ['POST', `${collection}?dry_run=true`, 'dry_run'],
      ['GET', `${one}?verbose=1`, 'verbose'],
      ['DELETE', `${one}?dryrun=true`, 'dryrun'],
      ['DELETE', `${one}?dry_run=yes`, 'dry_run'],
    ] as const) {
      const refused = await ask(method, path, method === 'POST' ? create : undefined)
      expect(refused).toMatchObject({ status: 422, body: { code: 'invalid_field', param, pointer: `?${param}` } })
    }
    expect((await ask('DELETE', one, undefined, { 'isochrone-reason': 'x'.repeat(limits.reasonCharsMax + 1) })).body).toMatchObject({
      code: 'invalid_header',
    })
    await (change ? refuseChanges(one, change) : refuseAnyChange(one))
    expect((await ask('PUT', one, create)).status).toBe(405)
    expect((await ask('DELETE', collection)).headers.get('allow')).toBe('GET, POST')
    expect((await ask('GET', one)).body).toEqual(created.body)
    expect(await auditOf(kind, id)).toHaveLength(audited)
    // Without If-Match a delete goes whatever the generation.
    expect((await ask('DELETE', one)).status).toBe(204)
  })
})

const make = (more: Json = {}) => must('POST', '/admin/v1/keys', { tenant: 'acme', environment: 'production', name: 'CI', ...more })

describe('keys', () => {
  it('show the whole key once, and neither secret nor hash ever after', async () => {
    const made = await make({ models: ['atlas'], expiresAtMs: 2_000_000_000_000 })
    const key = readApiKey(String(made.body['key']))
    expect(key).toMatchObject({ environment: 'production', id: made.body['id'] })
    const id = String(made.body['id'])
    const one = `/admin/v1/keys/${id}`
    expect(made.headers.get('location')).toBe(one)

    const change = { name: 'CD', models: null, expiresAtMs: null, disabled: true }
    const later = [
      await must('GET', one),
      await must('GET', '/admin/v1/keys'),
      await must('PATCH', one, change, { 'if-match': '"1"' }),
      await must('DELETE', one),
      await must('GET', '/admin/v1/audit'),
    ].map((told) => JSON.stringify(told.body))
    expect(later[0]).toContain('"models":["atlas"]')
    expect(JSON.parse(later[2] ?? '')).toMatchObject({ ...change, generation: 2, tenant: 'acme' })
    for (const text of later) {
      expect(text).not.toContain(key?.secret)
      expect(text).not.toContain(await sha256Hex(key?.secret ?? ''))
      expect(text.toLowerCase()).not.toContain('secret')
    }
    expect((await auditOf('key', id)).map((row) => row.action)).toEqual(['delete', 'update', 'create'])
  })

  it.each([{ tenant: 'other' }, { environment: 'staging' }, { id: 'x' }, { secretSha256: 'x' }])(
    'cannot be changed in %j',
    async (change) => {
      const { body } = await make()
      const answer = await ask('PATCH', `/admin/v1/keys/${String(body['id'])}`, change, { 'if-match': '"1"' })
      expect(answer).toMatchObject({ status: 422, body: { param: Object.keys(change)[0] } })
    },
  )

  it('are read by the edge through its entrypoint, disabled with their tenant', async () => {
    const core = (exports as unknown as { readonly CoreEntrypoint: CoreCalls }).CoreEntrypoint
    await must('POST', '/admin/v1/tenants', { id: 'dual', name: 'Dual' })
    const made = await make({ tenant: 'dual', scopes: ['explain'] })
    expect(made.body).toMatchObject({ scopes: ['explain'] })
    const key = readApiKey(String(made.body['key']))
    const id = String(made.body['id'])
    const expected = {
      format: 1,
      id,
      tenant: 'dual',
      environment: 'production',
      secretSha256: await sha256Hex(key?.secret ?? ''),
      models: null,
      expiresAtMs: null,
      disabled: false,
      scopes: ['explain'],
      residency: null,
    }
    expect(await core.credential(id)).toEqual(expected)
    await must('PATCH', '/admin/v1/tenants/dual', { disabled: true, residency: 'eu' }, { 'if-match': '"1"' })
    expect(await core.credential(id)).toEqual({ ...expected, disabled: true, residency: 'eu' })
    await must('PATCH', `/admin/v1/keys/${id}`, { scopes: [] }, { 'if-match': '"1"' })
    expect(await core.credential(id)).toMatchObject({ scopes: [] })
    await must('DELETE', `/admin/v1/keys/${id}`)
    expect(await core.credential(id)).toBeNull()
    expect(await core.credential('nonsense')).toBeNull()
  })
})

const canary = 'canary-6f1d2b7e'
const sealedOf = async (id: string) =>
  (await testEnv.DB.prepare('SELECT credential FROM endpoints WHERE id = ?').bind(id).first<{ credential: string | null }>())?.credential
const newEndpoint = (id: string, more: Json = {}) => ask('POST', '/admin/v1/endpoints', endpoint(id, 'live', 'atlas', more))

describe('credentials of endpoints', () => {
  it('come in once, are kept sealed for their row, and are seen nowhere', async () => {
    const one = '/admin/v1/endpoints/sealed'
    const told = [await newEndpoint('sealed', { credential: { bearer: `${canary}-1` } })]
    expect(told[0]).toMatchObject({ status: 201, body: { hasCredential: true } })
    const first = String(await sealedOf('sealed'))
    const key = await sealKeyOf(testEnv.CREDENTIAL_KEY ?? '')
    if (!key.ok) throw new Error(key.error)
    const opened = async (sealed: string) => open(sealed, 'sealed' as EndpointId, key.value)
    expect(await opened(first)).toEqual({ ok: true, value: JSON.stringify({ bearer: `${canary}-1` }) })

    const change = (body: Json, generation: number) => must('PATCH', one, body, { 'if-match': `"${generation}"` })
    told.push(await change({ credential: { header: 'x-engine-key', value: `${canary}-2` } }, 1))
    const second = String(await sealedOf('sealed'))
    expect(await opened(second)).toEqual({ ok: true, value: JSON.stringify({ header: 'x-engine-key', value: `${canary}-2` }) })
    // What is not named stays; null takes it away.
    told.push(await change({ weight: 2 }, 2), await must('GET', one), await must('GET', '/admin/v1/endpoints?limit=200'))
    expect(await sealedOf('sealed')).toBe(second)
    told.push(await change({ credential: null }, 3))
    expect(told.at(-1)?.body).toMatchObject({ hasCredential: false, generation: 4 })
    expect(await sealedOf('sealed')).toBeNull()
    told.push(await must('DELETE', one), await must('GET', '/admin/v1/audit?limit=200'), await must('GET', '/admin/v1/status'))

    const text = JSON.stringify(told.map(({ body, headers }) => [body, [...headers]]))
    for (const secret of [canary, first, second, '"credential"']) expect(text).not.toContain(secret)
    const audit = await auditOf('endpoint', 'sealed')
    expect(audit.map((row) => [row.before?.['hasCredential'], row.after?.['hasCredential']])).toEqual([
      [false, undefined],
      [true, false],
      [true, true],
      [true, true],
      [undefined, true],
    ])
  })

  it.each<readonly [string, Json, unknown, string]>([
    ['a wrong form', {}, canary, 'credential'],
    ['the form of another kind', {}, { apiKey: canary }, 'credential.bearer'],
    ['a form of two kinds', {}, { bearer: canary, [canary]: canary }, 'credential'],
    ['what no header can carry', {}, { bearer: `${canary}\r\nx: y` }, 'credential.bearer'],
    [
      'keys of AWS that are none',
      { kind: 'sagemaker', url: 'https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/a' },
      { accessKeyId: canary, secretAccessKey: canary },
      'credential.accessKeyId',
    ],
    ['one for Anthropic that is none', { kind: 'anthropic' }, { apiKey: ` ${canary}` }, 'credential.apiKey'],
  ])('%s is refused, and not repeated', async (_, more, credential, param) => {
    const refused = await newEndpoint('wrong', { ...more, credential })
    expect(refused).toMatchObject({ status: 422, body: { code: 'invalid_field', param } })
    expect(JSON.stringify(refused.body)).not.toContain(canary)
    expect((await ask('GET', '/admin/v1/endpoints/wrong')).status).toBe(404)
  })

  it('a body that is not JSON, a misspelt field and a credential for another resource repeat nothing either', async () => {
    const bodies: readonly [string, unknown][] = [
      ['/admin/v1/endpoints', `{"credential":{"bearer":"${canary}"},}`],
      ['/admin/v1/endpoints', `{"credential":{"bearer":${canary}}}`],
      ['/admin/v1/endpoints', { credentials: { bearer: canary } }],
      ['/admin/v1/models', { name: 'm', credential: { bearer: canary } }],
      ['/admin/v1/endpoints', { ...endpoint('x', 'live', 'atlas'), hasCredential: canary }],
    ]
    for (const [path, body] of bodies) {
      const refused = await ask('POST', path, body)
      expect([400, 422]).toContain(refused.status)
      expect(JSON.stringify(refused.body)).not.toContain(canary.slice(0, 8))
    }
  })

  it.each([undefined, '', 'too short to be a secret'])('are refused where CREDENTIAL_KEY is %j; all else is as ever', async (secret) => {
    const env = { ...testEnv, ...(secret === undefined ? {} : { CREDENTIAL_KEY: secret }) } as CoreEnv & { CREDENTIAL_KEY?: string }
    if (secret === undefined) delete env.CREDENTIAL_KEY
    const id = `keyless-${secret?.length ?? 'none'}`
    const refused = await askUnder(env, 'POST', '/admin/v1/endpoints', endpoint(id, 'live', 'atlas', { credential: { bearer: canary } }))
    expect(refused).toMatchObject({
      status: 503,
      body: { code: 'credential_key_unset', detail: expect.stringContaining('CREDENTIAL_KEY') as string },
    })
    expect(JSON.stringify(refused.body)).not.toContain(canary)
    expect(await askUnder(env, 'POST', '/admin/v1/endpoints', endpoint(id, 'live', 'atlas', { credential: null }))).toMatchObject({
      status: 201,
      body: { hasCredential: false },
    })
    await must('DELETE', `/admin/v1/endpoints/${id}`)
  })
})

async function askUnder(env: CoreEnv, method: string, path: string, body: Json, headers: Readonly<Record<string, string>> = {}) {
  const ctx = createExecutionContext()
  const init = { method, body: JSON.stringify(body), headers: { authorization: 'Bearer test-operator-token', ...headers } }
  const response = await worker.fetch(new Request(`http://core.test${path}`, init) as never, env, ctx)
  await waitOnExecutionContext(ctx)
  return { status: response.status, body: await response.json<Json>() }
}

describe('addresses of endpoints', () => {
  const strict = { ...testEnv, ALLOW_PRIVATE_ENDPOINTS: 'no' } as CoreEnv
  const addresses = [
    ['http://127.0.0.1:8000', 'loopback'],
    ['http://2130706433', 'loopback'],
    ['http://169.254.169.254/latest', 'link_local'],
    ['http://10.0.0.7', 'private'],
    ['http://[::ffff:10.0.0.7]', 'ipv4_mapped'],
    ['http://[64:ff9b::a00:7]', 'nat64'],
    ['http://localhost:8000', 'private_name'],
    ['http://metadata.google.internal', 'private_name'],
    ['http://engine', 'single_label'],
  ] as const

  it.each(addresses)('%s is refused when made and when changed, unless the deployment may (%s)', async (url, range) => {
    const expected = { status: 422, body: { code: 'private_address', param: 'url', range } }
    const row = endpoint('placed', 'live', 'atlas', { url: 'http://live.test' })
    expect(await askUnder(strict, 'POST', '/admin/v1/endpoints', { ...row, url })).toMatchObject(expected)
    expect(await askUnder(strict, 'POST', '/admin/v1/endpoints', row)).toMatchObject({ status: 201 })
    const one = '/admin/v1/endpoints/placed'
    expect(await askUnder(strict, 'PATCH', one, { url }, { 'if-match': '"1"' })).toMatchObject(expected)
    expect((await ask('GET', one)).body).toMatchObject({ url: 'http://live.test', generation: 1 })
    expect(await ask('PATCH', one, { url }, { 'if-match': '"1"' })).toMatchObject({ status: 200 })
    // A row from before the check, or from a deployment that might: it can still be switched off.
    expect(await askUnder(strict, 'PATCH', one, { state: 'disabled' }, { 'if-match': '"2"' })).toMatchObject({ status: 200 })
    await must('DELETE', one)
  })
})

describe('kinds of endpoints', () => {
  const sagemaker = { kind: 'sagemaker', url: 'https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/llama' }

  it('options are those of the kind', async () => {
    const options = { targetVariant: 'blue', inferenceComponent: 'chat-7b' }
    expect(await newEndpoint('sm', { ...sagemaker, options, operations: ['chat'] })).toMatchObject({
      status: 201,
      body: { options, operations: ['chat'] },
    })
    const one = '/admin/v1/endpoints/sm'
    const changed = await ask('PATCH', one, { options: {}, operations: null }, { 'if-match': '"1"' })
    expect(changed).toMatchObject({ status: 200, body: { options: {}, operations: null } })
    expect(await ask('PATCH', one, { options: { color: 'x' } }, { 'if-match': '"2"' })).toMatchObject({
      status: 422,
      body: { param: 'options.color' },
    })
    expect(await ask('PATCH', one, { url: 'https://proxy.example/endpoints/a' }, { 'if-match': '"2"' })).toMatchObject({
      status: 422,
      body: { param: 'options.region' },
    })
    await must('DELETE', one)
  })

  it.each<readonly [Json, string]>([
    [{ options: { targetVariant: 'blue' } }, 'options.targetVariant'],
    [{ kind: 'anthropic', options: { region: 'eu-west-1' } }, 'options.region'],
    [{ kind: 'anthropic', options: { metricsUrl: 'http://live.test/metrics' } }, 'options.metricsUrl'],
    [{ ...sagemaker, options: { metricsUrl: 'http://live.test/metrics' } }, 'options.metricsUrl'],
    [{ options: { metricsUrl: '/metrics' } }, 'options.metricsUrl'],
    [{ options: { metricsUrl: 'ftp://live.test/metrics' } }, 'options.metricsUrl'],
    [{ options: { metricsUrl: 'http://u:p@live.test/metrics' } }, 'options.metricsUrl'],
    [{ options: { metricsUrl: 'http://live.test/metrics#x' } }, 'options.metricsUrl'],
    [{ options: { metricsUrl: null } }, 'options.metricsUrl'],
    [{ options: { generationProbe: 'maybe' } }, 'options.generationProbe'],
    [{ kind: 'anthropic', options: { metricsProbe: 'off' } }, 'options.metricsProbe'],
    [{ maintenance: { fromMs: 2, untilMs: 1, reason: 'x' } }, 'maintenance.untilMs'],
    [{ maintenance: { fromMs: 1, untilMs: 2, reason: 'x' } }, 'maintenance.untilMs'],
    [{ maintenance: { fromMs: 1, untilMs: 8e15, reason: 'x' } }, 'maintenance.untilMs'],
    [{ ...sagemaker, options: { targetVariant: 'a b' } }, 'options.targetVariant'],
    [{ ...sagemaker, options: { region: 'Ireland' } }, 'options.region'],
    [{ ...sagemaker, options: { targetVariant: null } }, 'options.targetVariant'],
    [{ kind: 'sagemaker', url: 'https://runtime.sagemaker.eu-west-1.amazonaws.com' }, 'url'],
    [{ kind: 'sagemaker', url: 'https://proxy.example/endpoints/a' }, 'options.region'],
  ])('%j is refused for its %s', async (more, param) => {
    const pointer = `#/${param.replace('.', '/')}`
    expect(await newEndpoint('wrong', more)).toMatchObject({ status: 422, body: { code: 'invalid_field', param, pointer } })
  })

  it.each(['openai', 'open_inference'])('a page of metrics may stand elsewhere (%s)', async (kind) => {
    const options = { metricsUrl: 'http://live.test:9090/metrics?format=text', generationProbe: 'off', metricsProbe: 'on' }
    expect(await newEndpoint('measured', { kind, options })).toMatchObject({ status: 201, body: { options } })
    const one = '/admin/v1/endpoints/measured'
    const strict = { ...testEnv, ALLOW_PRIVATE_ENDPOINTS: 'no' } as CoreEnv
    const hidden = { options: { metricsUrl: 'http://10.0.0.7/metrics' } }
    const refused = { status: 422, body: { code: 'private_address', param: 'options.metricsUrl', range: 'private' } }
    expect(await askUnder(strict, 'PATCH', one, hidden, { 'if-match': '"1"' })).toMatchObject(refused)
    const row = endpoint('hidden', 'live', 'atlas', { url: 'http://live.test', ...hidden })
    expect(await askUnder(strict, 'POST', '/admin/v1/endpoints', row)).toMatchObject(refused)
    expect(await ask('PATCH', one, hidden, { 'if-match': '"1"' })).toMatchObject({ status: 200, body: hidden })
    // What is not named is not judged again.
    expect(await askUnder(strict, 'PATCH', one, { weight: 2 }, { 'if-match': '"2"' })).toMatchObject({ status: 200 })
    await must('DELETE', one)
  })

  it('a maintenance window is part of the row', async () => {
    const maintenance = { fromMs: Date.now(), untilMs: Date.now() + 60_000, reason: 'new disks' }
    expect(await newEndpoint('closed', { maintenance })).toMatchObject({ status: 201, body: { maintenance } })
    const one = '/admin/v1/endpoints/closed'
    expect(await ask('PATCH', one, { maintenance: null }, { 'if-match': '"1"' })).toMatchObject({
      status: 200,
      body: { maintenance: null },
    })
    expect(await ask('PATCH', one, { maintenance: { ...maintenance, untilMs: 3 } }, { 'if-match': '"2"' })).toMatchObject({
      status: 422,
      body: { pointer: '#/maintenance/untilMs' },
    })
    await must('DELETE', one)
  })

  it('a row from before operations, options and credentials is shown with their defaults', async () => {
    const sql = `INSERT INTO endpoints (id, region, version, kind, url, served_name, slots, weight, state, generation, created_at_ms, updated_at_ms)
      VALUES ('old', 'fra', 'atlas-2', 'openai', 'http://live.test', 'atlas', 4, 1, 'enabled', 1, 0, 0)`
    await testEnv.DB.prepare(sql).run()
    expect((await must('GET', '/admin/v1/endpoints/old')).body).toMatchObject({ operations: null, options: {}, hasCredential: false })
    expect(await ask('PATCH', '/admin/v1/endpoints/old', { slots: 5 }, { 'if-match': '"1"' })).toMatchObject({
      status: 200,
      body: { slots: 5 },
    })
    await must('DELETE', '/admin/v1/endpoints/old')
  })

  it('a model has its own patience, and its own way of routing', async () => {
    const made = await must('POST', '/admin/v1/models', { name: 'slow', firstTokenMsMax: 600_000 })
    expect(made.body).toMatchObject({ firstTokenMsMax: 600_000, holdMsMax: null })
    const changed = await must('PATCH', '/admin/v1/models/slow', { firstTokenMsMax: null, holdMsMax: 100 }, { 'if-match': '"1"' })
    expect(changed.body).toMatchObject({ firstTokenMsMax: null, holdMsMax: 100 })
    expect(await ask('PATCH', '/admin/v1/models/slow', { holdMsMax: 99 }, { 'if-match': '"2"' })).toMatchObject({
      status: 422,
      body: { param: 'holdMsMax' },
    })
    const routed = { strategy: 'weighted-round-robin', affinity: 'session', hedging: true }
    expect(await ask('PATCH', '/admin/v1/models/slow', routed, { 'if-match': '"2"' })).toMatchObject({ status: 200, body: routed })
  })
})

describe('references', () => {
  it.each([
    ['DELETE', '/admin/v1/models/atlas', undefined, 409, 'in_use'],
    ['DELETE', '/admin/v1/versions/atlas-1', undefined, 409, 'in_use'],
    ['POST', '/admin/v1/endpoints', endpoint('r', 'live', 'atlas', { region: 'none' }), 422, 'missing_reference'],
    ['POST', '/admin/v1/keys', { tenant: 'none', environment: 'production', name: 'x' }, 422, 'missing_reference'],
    ['PATCH', '/admin/v1/aliases/production/atlas', { stable: 'none' }, 422, 'missing_reference'],
    ['PATCH', '/admin/v1/aliases/production/atlas?dry_run=true', { stable: 'none' }, 422, 'missing_reference'],
    ['PATCH', '/admin/v1/aliases/production/atlas?dry_run=true', { weightBp: 1 }, 422, 'invalid_field'],
    ['DELETE', '/admin/v1/models/atlas?dry_run=true', undefined, 409, 'in_use'],
    ['PATCH', '/admin/v1/aliases/production/atlas', { weightBp: 1 }, 422, 'invalid_field'],
    ['PATCH', '/admin/v1/aliases/production/atlas', { canary: 'atlas-1' }, 422, 'invalid_field'],
  ])('%s %s %j: %i %s', async (method, path, body, status, code) => {
    expect(await ask(method, path, body, method === 'PATCH' ? { 'if-match': '"1"' } : {})).toMatchObject({ status, body: { code, status } })
  })
})

describe('lists', () => {
  it('pages through everything once, while rows come and go', async () => {
    const names = Array.from({ length: 7 }, (_, i) => `page-${i}`)
    for (const name of names) await must('POST', '/admin/v1/regions', region(name))
    const seen: string[] = []
    let cursor = ''
    let pages = 0
    for (;;) {
      const page = await must('GET', `/admin/v1/regions?limit=3${cursor}`)
      seen.push(...items(page).map((row) => String(row['name'])))
      expect(items(page).length).toBeLessThanOrEqual(3)
      if (pages++ === 0) {
        await must('DELETE', `/admin/v1/regions/${seen[0]}`)
        await must('POST', '/admin/v1/regions', region('a-new-one'))
      }
      if (page.body['nextCursor'] === null) break
      cursor = `&cursor=${page.body['nextCursor'] as string}`
    }
    expect(pages).toBeGreaterThan(2)
    expect(seen).toEqual([...new Set(seen)].toSorted())
    for (const name of names) expect(seen.includes(name) || name === seen[0]).toBe(true)
    expect(seen).not.toContain('a-new-one')
  })

  it('has no cursor after exactly a page', async () => {
    const all = items(await must('GET', '/admin/v1/tenants?limit=200')).length
    expect((await must('GET', `/admin/v1/tenants?limit=${all}`)).body['nextCursor']).toBeNull()
    expect((await must('GET', `/admin/v1/tenants?limit=${all - 1}`)).body['nextCursor']).not.toBeNull()
  })

  it('shows the audit log newest first', async () => {
    const seqs: number[] = []
    let cursor = ''
    for (let page = 0; page < 3; page++) {
      const { body } = await must('GET', `/admin/v1/audit?limit=4${cursor}`)
      seqs.push(...(body['items'] as Json[]).map((row) => Number(row['seq'])))
      cursor = `&cursor=${String(body['nextCursor'])}`
    }
    expect(seqs).toEqual(Array.from({ length: 12 }, (_, i) => (seqs[0] ?? 0) - i))
  })

  it.each(['limit=0', 'limit=x', 'cursor=x', 'offset=1', 'cursor=WyJhdWRpdCIsIngiXQ'])('refuses ?%s', async (query) => {
    expect(await ask('GET', `/admin/v1/audit?${query}`)).toMatchObject({ status: 422, body: { code: 'invalid_field' } })
  })
})

describe('races', () => {
  it('of twenty changes at once one wins, the others learn the new generation, one audit row', async () => {
    await must('POST', '/admin/v1/tenants', { id: 'raced', name: 'Raced' })
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ask('PATCH', '/admin/v1/tenants/raced', { name: `n${i}` }, { 'if-match': '"1"' })),
    )
    expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([200, ...Array<number>(19).fill(412)])
    expect(answers.filter((answer) => answer.status === 412).every((answer) => answer.body['current'] === 2)).toBe(true)
    expect((await auditOf('tenant', 'raced')).map((row) => row.action)).toEqual(['update', 'create'])
  })

  it('of twenty creations at once one wins', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask('POST', '/admin/v1/tenants', { id: 'born', name: 'Born' })))
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1)
    expect(answers.filter((answer) => answer.status === 409)).toHaveLength(19)
    expect(await auditOf('tenant', 'born')).toHaveLength(1)
  })
})

describe('the door', () => {
  const unlet = { authorization: '' }
  it.each(['', 'Bearer wrong', 'Basic test-operator-token'])('is shut to "%s"', async (authorization) => {
    const answer = await ask('GET', '/admin/v1/regions', undefined, { authorization })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
    expect(answer.body).toMatchObject({ code: 'operator_unknown', instance: answer.headers.get('x-request-id') })
  })

  it('is open to the operator', async () => {
    expect((await ask('GET', '/admin/v1/regions')).status).toBe(200)
  })

  it('does not tell strangers which routes there are, but that it is alive', async () => {
    expect((await ask('GET', '/admin/v1/nothing', undefined, unlet)).status).toBe(401)
    expect((await ask('POST', '/admin/v1/regions', region('stolen'), unlet)).status).toBe(401)
    expect(await ask('GET', '/admin/v1/regions/stolen')).toMatchObject({ status: 404 })
    expect(await ask('GET', '/health', undefined, unlet)).toMatchObject({ status: 200, body: { status: 'ok' } })
  })

  it.each([undefined, ''])('is shut while OPERATOR_TOKEN is %j', async (token) => {
    for (const authorization of ['', 'Bearer ', 'Bearer undefined', 'Bearer test-operator-token']) {
      const env = { ...testEnv, OPERATOR_TOKEN: token } as CoreEnv
      const ctx = createExecutionContext()
      const response = await worker.fetch(
        new Request('http://core.test/admin/v1/regions', { headers: { authorization } }) as never,
        env,
        ctx,
      )
      await waitOnExecutionContext(ctx)
      expect(response.status).toBe(503)
      expect(await response.json()).toMatchObject({ code: 'operator_token_unset' })
    }
  })

  it('notes who of the operators it was, and under which request', async () => {
    const answer = await must('POST', '/admin/v1/tenants', { id: 'noted', name: 'N' }, { 'isochrone-actor': 'ann@acme.example' })
    const noted = { actor: 'operator:ann@acme.example', requestId: answer.headers.get('x-request-id') }
    expect(await auditOf('tenant', 'noted')).toMatchObject([noted])
  })

  it('refuses a name that is none', async () => {
    const answer = await ask('POST', '/admin/v1/tenants', { id: 'unnoted', name: 'N' }, { 'isochrone-actor': 'not a name' })
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_header', header: 'isochrone-actor' } })
    expect(await auditOf('tenant', 'unnoted')).toEqual([])
  })
})

describe('other answers', () => {
  it.each([
    ['GET', '/nothing', 404, 'unknown_route'],
    ['GET', '/admin/v1/nothing', 404, 'unknown_route'],
    ['GET', '/admin/v1/aliases/production', 404, 'unknown_route'],
    ['POST', '/admin/v1/audit', 405, 'wrong_method'],
    ['DELETE', '/admin/v1/status', 405, 'wrong_method'],
    ['PUT', '/admin/v1/regions', 405, 'wrong_method'],
  ])('%s %s: %i %s', async (method, path, status, code) => {
    const answer = await ask(method, path)
    expect(answer).toMatchObject({
      status,
      body: { type: `/problems/${code}`, code, status, instance: answer.headers.get('x-request-id') },
    })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
  })

  it('a body above the limit is not read to its end', async () => {
    expect(await ask('POST', '/admin/v1/models', `{"name":"${'x'.repeat(limits.adminBodyBytesMax)}"}`)).toMatchObject({
      status: 413,
      body: { code: 'body_too_large' },
    })
  })

  it('a bug is a problem without details', async () => {
    const env = {
      ...testEnv,
      DB: {
        prepare: () => {
          throw new Error('inner matters')
        },
      },
    } as unknown as CoreEnv
    const ctx = createExecutionContext()
    const request = new Request('http://core.test/admin/v1/regions', { headers: { authorization: 'Bearer test-operator-token' } })
    const response = await worker.fetch(request as never, env, ctx)
    const text = await response.text()
    expect(response.status).toBe(500)
    expect(JSON.parse(text)).toMatchObject({ code: 'internal', instance: response.headers.get('x-request-id') })
    expect(text).not.toContain('inner matters')
  })
})
