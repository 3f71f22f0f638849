import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readChange, readFields, readJson } from '../../../core/api/body.ts'
import { readCursor, readPage, readPageBelow, writeCursor } from '../../../core/api/cursor.ts'
import { matches } from '../../../core/api/if-match.ts'
import { actorOf, admit, reasonOf } from '../../../core/api/operator.ts'
import { bug, problem } from '../../../core/api/problem.ts'
import { readDryRun, readQuery } from '../../../core/api/query.ts'
import { resources } from '../../../core/api/resources.ts'
import { kinds, type Kind } from '../../../core/facts.ts'
import { sha256Hex } from '../../../shared/hash.ts'
import { readApiKey } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { AdminRefusal } from '../../../shared/refusal.ts'

describe('cursor', () => {
  it('for all keys: what is written is read, and only in its own list', () => {
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 2 }), (kind, key) => {
        const cursor = writeCursor(kind, key)
        expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/)
        expect(readCursor(kind, key.length, cursor)).toEqual(key)
        expect(readCursor(`other-${kind}`, key.length, cursor)).toBeNull()
        expect(readCursor(kind, key.length + 1, cursor)).toBeNull()
      }),
    )
  })

  it('for all texts: garbage is refused, not thrown over', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(readCursor('region', 1, text)).toBeNull()
      }),
    )
  })

  it.each([
    [{}, { after: null, limit: limits.pageDefault }],
    [{ limit: '1' }, { after: null, limit: 1 }],
    [
      { limit: '200', cursor: writeCursor('region', ['fra']) },
      { after: ['fra'], limit: 200 },
    ],
  ])('page %j', (query, page) => {
    expect(readPage('region', 1, query as Record<string, string>)).toEqual({ ok: true, value: page })
  })

  it.each([
    [{ limit: '0' }, 'limit'],
    [{ limit: '201' }, 'limit'],
    [{ limit: '' }, 'limit'],
    [{ limit: '1.5' }, 'limit'],
    [{ limit: 'ten' }, 'limit'],
    [{ cursor: 'x' }, 'cursor'],
    [{ cursor: '' }, 'cursor'],
  ])('refuses the page %j', (query, param) => {
    const pointer = `?${param}`
    expect(readPage('region', 1, query as Record<string, string>)).toMatchObject({
      ok: false,
      error: { reason: 'invalid_field', param, pointer },
    })
  })

  it.each([[writeCursor('audit', ['x'])], [writeCursor('audit', ['1.5'])], [writeCursor('region', ['1'])]])(
    'refuses a cursor of numbers that is %s',
    (cursor) => {
      expect(readPageBelow('audit', { cursor })).toMatchObject({ ok: false, error: { param: 'cursor' } })
      expect(readPageBelow('audit', { cursor: writeCursor('audit', ['7']) })).toEqual({
        ok: true,
        value: { beforeSeq: 7, limit: limits.pageDefault },
      })
    },
  )
})

describe('queries', () => {
  const at = (query: string) => `http://core.test/admin/v1/regions${query}`

  it.each([
    ['', [], {}],
    ['?limit=3&cursor=x', ['limit', 'cursor'], { limit: '3', cursor: 'x' }],
    ['?limit=', ['limit'], { limit: '' }],
    ['?limit=%33', ['limit'], { limit: '3' }],
  ])('%s with %j known', (query, known, value) => {
    expect(readQuery(at(query), known)).toEqual({ ok: true, value })
  })

  it.each([
    ['?offset=1', ['limit', 'cursor'], 'offset'],
    ['?limit=1&Limit=2', ['limit'], 'Limit'],
    ['?limit=1&limit=2', ['limit'], 'limit'],
    ['?x', [], 'x'],
  ])('%s with %j known is refused for %s', (query, known, param) => {
    expect(readQuery(at(query), known)).toMatchObject({ ok: false, error: { reason: 'invalid_field', param, pointer: `?${param}` } })
  })

  it.each([
    ['', false],
    ['?dry_run=true', true],
    ['?dry_run=false', false],
    ['?dry_run', null],
    ['?dry_run=1', null],
    ['?dry_run=TRUE', null],
    ['?dryrun=true', null],
    ['?dry_run=true&dry_run=false', null],
  ])('dry run: %s is %s', (query, said) => {
    const read = readDryRun(at(query))
    expect(read.ok ? read.value : null).toBe(said)
  })
})

describe('If-Match', () => {
  it.each([
    [undefined, true, 'if_match_required'],
    [undefined, false, null],
    ['"3"', true, null],
    ['"2", "3"', true, null],
    ['*', true, null],
    ['"4"', true, 'generation_mismatch'],
    ['W/"3"', true, 'generation_mismatch'],
    ['3', true, 'generation_mismatch'],
    ['', true, 'generation_mismatch'],
    ['"4"', false, 'generation_mismatch'],
  ])('%s against generation 3 (required: %s): %s', (header, required, reason) => {
    const answer = matches(header, 3, required)
    expect(answer.ok ? null : answer.error.reason).toBe(reason)
  })
})

describe('problem', () => {
  // A record over all reasons: a new one does not compile until it is here.
  const refusals: {
    readonly [Reason in AdminRefusal['reason']]: readonly [status: number, Extract<AdminRefusal, { readonly reason: Reason }>]
  } = {
    operator_unknown: [401, { reason: 'operator_unknown' }],
    operator_token_unset: [503, { reason: 'operator_token_unset' }],
    credential_key_unset: [503, { reason: 'credential_key_unset' }],
    private_address: [422, { reason: 'private_address', param: 'url', range: 'loopback' }],
    not_found: [404, { reason: 'not_found', what: 'region', id: 'fra' }],
    unknown_route: [404, { reason: 'unknown_route', method: 'GET', path: '/x' }],
    wrong_method: [405, { reason: 'wrong_method', method: 'PUT', path: '/x', allowed: 'GET' }],
    invalid_header: [400, { reason: 'invalid_header', header: 'isochrone-actor', detail: 'must be short' }],
    invalid_json: [400, { reason: 'invalid_json', detail: 'unexpected end' }],
    invalid_field: [422, { reason: 'invalid_field', param: 'slots', detail: 'must be a number' }],
    body_too_large: [413, { reason: 'body_too_large', bytesMax: 10 }],
    already_exists: [409, { reason: 'already_exists', what: 'region', id: 'fra' }],
    missing_reference: [422, { reason: 'missing_reference', what: 'region', detail: 'there is none' }],
    in_use: [409, { reason: 'in_use', what: 'region', id: 'fra', detail: 'an endpoint refers to it' }],
    if_match_required: [428, { reason: 'if_match_required' }],
    generation_mismatch: [412, { reason: 'generation_mismatch', current: 4 }],
    immutable: [405, { reason: 'immutable', what: 'version', allowed: 'GET, DELETE' }],
    controller_unreachable: [503, { reason: 'controller_unreachable', afterMs: 3 }],
    plan_refused: [422, { reason: 'plan_refused', faults: [{ reason: 'same_version', pointer: '#/to', detail: 'it is stable' }] }],
    rollout_refused: [409, { reason: 'rollout_refused', why: 'illegal_transition', detail: 'it is over', allowed: ['retry'] }],
    rollout_active: [409, { reason: 'rollout_active', environment: 'production', model: 'atlas', rollout: 'r1' }],
    alias_moved: [409, { reason: 'alias_moved', environment: 'production', model: 'atlas' }],
    gate_failed: [409, { reason: 'gate_failed', verdicts: [] }],
    broken_report: [422, { reason: 'broken_report', what: 'report', field: 'results.1.tokens', detail: 'must be a number' }],
    not_comparable: [422, { reason: 'not_comparable', field: 'template', measured: 'a', reference: 'b' }],
    scope_missing: [403, { reason: 'scope_missing', scope: 'rollouts:promote-full' }],
    signature_refused: [401, { reason: 'signature_refused', detail: 'too old' }],
  }

  const headersOf: { readonly [Reason in AdminRefusal['reason']]?: readonly string[] } = {
    operator_unknown: ['www-authenticate'],
    wrong_method: ['allow'],
    immutable: ['allow'],
    generation_mismatch: ['etag'],
    controller_unreachable: ['retry-after'],
  }

  it.each(Object.values(refusals))('%i %j', async (status, refusal) => {
    const response = problem(refusal, 'r1')
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    const body = (await response.json()) as Record<string, unknown>
    expect(body).toMatchObject({ type: `/problems/${refusal.reason}`, code: refusal.reason, status, instance: 'r1' })
    expect(body['title']).toMatch(/^[A-Z]/)
    expect(body['detail']).toMatch(/\.$/)
    const headers = ['allow', 'www-authenticate', 'etag', 'retry-after'].filter((name) => response.headers.has(name))
    expect(headers).toEqual(headersOf[refusal.reason] ?? [])
  })

  it.each<readonly [AdminRefusal, string]>([
    [{ reason: 'invalid_field', param: 'slots', detail: 'must be a number' }, '#/slots'],
    [{ reason: 'invalid_field', param: 'options.region', detail: 'is required' }, '#/options/region'],
    [{ reason: 'invalid_field', param: 'body', detail: 'must be a JSON object' }, '#'],
    [{ reason: 'invalid_field', param: 'limit', detail: 'must be small', pointer: '?limit' }, '?limit'],
    [{ reason: 'private_address', param: 'options.metricsUrl', range: 'loopback' }, '#/options/metricsUrl'],
    [{ reason: 'missing_reference', what: 'region', detail: 'there is none' }, '#/region'],
  ])('%j points at %s', async (refusal, pointer) => {
    expect(await problem(refusal, 'r1').json()).toMatchObject({ status: 422, pointer })
  })

  const plan = (...reasons: readonly string[]): AdminRefusal => ({
    reason: 'plan_refused',
    faults: reasons.map((reason, index) => ({ reason, pointer: `#/steps/${index}`, detail: `fault ${index}` })),
  })
  const machine = (why: string): AdminRefusal => ({ reason: 'rollout_refused', why, detail: 'no', allowed: ['pause', 'abort'] })
  it.each<readonly [string, number, AdminRefusal]>([
    ['what is wrong in the request is 422', 422, plan('steps_invalid', 'capacity_missing')],
    ['what others may change is a conflict', 409, plan('steps_invalid', 'rollout_active')],
    ['a canary set by hand is a conflict', 409, plan('canary_set')],
    ['another stable version is a conflict', 409, plan('stable_moved')],
    ['a command that does not fit is a conflict', 409, machine('illegal_transition')],
    ['a second person is wanted', 403, machine('second_approver_missing')],
    ['a right is wanted', 403, machine('scope_missing')],
    ['a reason is wanted', 422, machine('reason_missing')],
  ])('%s: %i', (_, status, refusal) => {
    expect(problem(refusal, 'r1').status).toBe(status)
  })

  it('new versions: a problem holds what is needed to act on it', async () => {
    const told = async (refusal: AdminRefusal) => (await problem(refusal, 'r1').json()) as Record<string, unknown>
    const faults = await told(plan('steps_invalid', 'capacity_missing'))
    expect(faults).toMatchObject({ pointer: '#/steps/0', faults: [{ reason: 'steps_invalid' }, { reason: 'capacity_missing' }] })
    expect(faults['detail']).toContain('#/steps/1: fault 1')
    expect(await told(machine('illegal_transition'))).toMatchObject({ why: 'illegal_transition', allowed: ['pause', 'abort'] })
    expect(await told(refusals.rollout_active[1])).toMatchObject({ rollout: 'r1', model: 'atlas', environment: 'production' })
    expect(await told(refusals.broken_report[1])).toMatchObject({ field: 'results.1.tokens', pointer: '#/results/1/tokens' })
    expect(await told({ ...refusals.broken_report[1], field: 'report' })).toMatchObject({ pointer: '#' })
    expect(await told(refusals.not_comparable[1])).toMatchObject({ field: 'template', measured: 'a', reference: 'b' })
    expect(await told(refusals.scope_missing[1])).toMatchObject({ scope: 'rollouts:promote-full' })
    const check = { metric: 'accuracy', answer: 'fail', reason: '866 against 915' }
    const verdict = { gate: 'accuracy', answer: 'fail', checks: [{ ...check, answer: 'pass', reason: 'fine' }, check] }
    const failed = await told({ reason: 'gate_failed', verdicts: [verdict as never] })
    expect(failed).toMatchObject({ verdicts: [verdict] })
    expect(failed['detail']).toContain('accuracy: fail, accuracy 866 against 915')
  })

  it('says nothing of a bug but where to look', async () => {
    expect(await bug('r1').json()).toMatchObject({ code: 'internal', status: 500, instance: 'r1' })
  })
})

describe('operator', () => {
  it.each([
    ['Bearer secret', true],
    ['bearer secret', true],
    ['Bearer  secret', true],
    ['Bearer secret2', false],
    ['Bearer secre', false],
    ['Bearer', false],
    ['Basic secret', false],
    ['secret', false],
    ['', false],
    [undefined, false],
  ])('%s: %s', async (header, let_in) => {
    expect((await admit(header, await sha256Hex('secret'))).ok).toBe(let_in)
  })

  it('lets nobody in while no token is set', async () => {
    for (const header of [undefined, 'Bearer ', 'Bearer null', 'Bearer undefined']) {
      expect(await admit(header, null)).toEqual({ ok: false, error: { reason: 'operator_token_unset' } })
    }
  })

  it('is noted with the name given', () => {
    expect(actorOf(undefined)).toEqual({ ok: true, value: 'operator' })
    expect(actorOf('ann@acme.example')).toEqual({ ok: true, value: 'operator:ann@acme.example' })
    for (const bad of ['', 'a b', 'x'.repeat(65), 'é', '-x']) expect(actorOf(bad).ok).toBe(false)
  })

  it('gives a reason of printable ASCII, or none', () => {
    expect(reasonOf(undefined)).toEqual({ ok: true, value: null })
    for (const good of ['x', 'disk 3 fails; ticket #12', '~'.repeat(limits.reasonCharsMax)]) {
      expect(reasonOf(good)).toEqual({ ok: true, value: good })
    }
    for (const bad of ['', 'é', 'a\tb', 'a\nb', 'x'.repeat(limits.reasonCharsMax + 1)]) {
      expect(reasonOf(bad)).toMatchObject({ ok: false, error: { reason: 'invalid_header', header: 'isochrone-reason' } })
    }
  })
})

const post = (body: string | null) => new Request('http://core.test', { method: 'POST', body })

describe('bodies', () => {
  const digest = `sha256:${'0a'.repeat(32)}`
  const good: { readonly [K in Kind]: Readonly<Record<string, unknown>> } = {
    region: { name: 'fra', latitude: 50.1, longitude: 8.7 },
    model: { name: 'atlas' },
    version: { id: 'atlas-2.q8_0', model: 'atlas', digest, engine: 'llama.cpp' },
    endpoint: { id: 'e1', region: 'fra', version: 'atlas-2.q8_0', url: 'https://a.example/base/', servedName: 'atlas', slots: 4 },
    alias: { environment: 'production', model: 'atlas', stable: 'atlas-2.q8_0' },
    tenant: { id: 'acme', name: 'Acme' },
    key: { tenant: 'acme', environment: 'production', name: 'CI' },
    approval: { environment: 'production', version: 'atlas-2.q8_0' },
    target: { id: 'rack', model: 'atlas', region: 'fra', deployer: 'model_repository', url: 'https://rack.example', slots: 4 },
    webhook: { id: 'ops', url: 'https://hooks.example/x' },
  }

  const misspelt = {
    reason: 'invalid_field',
    param: 'genration',
    pointer: '#/genration',
    detail: expect.stringContaining('is not a field') as string,
  }

  it.each(kinds)('%s: takes the least, refuses each required field missing, and any unknown one by name', (kind) => {
    const { create } = resources[kind]
    const read = (body: unknown) => readFields(create, body)
    expect(read(good[kind])).toMatchObject({ ok: true })
    for (const field of Object.keys(good[kind])) {
      const { [field]: _left, ...rest } = good[kind]
      expect(read(rest)).toEqual({
        ok: false,
        error: { reason: 'invalid_field', param: field, detail: 'is required', pointer: `#/${field}` },
      })
    }
    expect(read({ ...good[kind], genration: 1 })).toEqual({ ok: false, error: misspelt })
    for (const body of [null, [], 'x', 3]) expect(read(body)).toMatchObject({ ok: false, error: { reason: 'invalid_field' } })
  })

  it.each(kinds.filter((kind) => resources[kind].change))('%s: a change names a field, and none that is unknown', (kind) => {
    const read = (body: unknown) => readChange(resources[kind].change as never, body)
    expect(read({ genration: 1 })).toEqual({ ok: false, error: misspelt })
    expect(read({})).toMatchObject({ ok: false, error: { param: 'body' } })
  })

  it('fills in what was left out', () => {
    expect(readFields(resources.endpoint.create as never, good.endpoint)).toEqual({
      ok: true,
      value: {
        ...good.endpoint,
        url: 'https://a.example/base',
        kind: 'openai',
        weight: 1,
        state: 'enabled',
        operations: null,
        options: {},
        maintenance: null,
        credential: null,
      },
    })
    const filled = (kind: Kind) => {
      const read = readFields(resources[kind].create, good[kind])
      return read.ok ? read.value : null
    }
    expect(filled('model')).toMatchObject({ strategy: 'least-latency', affinity: 'none', hedging: false })
    expect(filled('tenant')).toMatchObject({ residency: null })
    expect(filled('key')).toMatchObject({ scopes: [] })
  })

  it.each<readonly [Kind, string, unknown]>([
    ['region', 'name', 'Fra'],
    ['region', 'name', ''],
    ['region', 'latitude', 91],
    ['region', 'latitude', '50'],
    ['region', 'longitude', Number.POSITIVE_INFINITY],
    ['region', 'locationHint', 'mars'],
    ['region', 'jurisdiction', 'E U'],
    ['model', 'name', 'a@b'],
    ['model', 'name', '/a'],
    ['model', 'description', 'x'.repeat(2_001)],
    ['model', 'firstTokenMsMax', 99],
    ['model', 'firstTokenMsMax', 600_001],
    ['model', 'holdMsMax', 100.5],
    ['model', 'holdMsMax', '1000'],
    ['model', 'strategy', 'fastest'],
    ['model', 'affinity', null],
    ['model', 'hedging', 'yes'],
    ['version', 'digest', 'sha256:AB'],
    ['version', 'digest', `sha256:${'AB'.repeat(32)}`],
    ['version', 'engine', ''],
    ['version', 'flags', []],
    ['version', 'flags', 'ctx=1'],
    ['endpoint', 'kind', 'grpc'],
    ['endpoint', 'slots', 0],
    ['endpoint', 'slots', 1.5],
    ['endpoint', 'weight', -1],
    ['endpoint', 'state', 'on'],
    ['endpoint', 'operations', []],
    ['endpoint', 'operations', 'chat'],
    ['endpoint', 'operations.0', ['paint']],
    ['endpoint', 'operations', ['chat', 'chat']],
    ['endpoint', 'options', []],
    ['endpoint', 'options', null],
    ['endpoint', 'url', 'ftp://a'],
    ['endpoint', 'url', 'a.example'],
    ['endpoint', 'url', 'http://u:p@a'],
    ['endpoint', 'url', 'http://u@a'],
    ['endpoint', 'url', 'http://a/?x=1'],
    ['endpoint', 'url', 'http://a/?'],
    ['endpoint', 'url', 'http://a/#'],
    ['endpoint', 'url', 'http://a/#x'],
    ['endpoint', 'url', `http://a/${'x'.repeat(2_048)}`],
    ['alias', 'environment', 'test'],
    ['alias', 'weightBp', 10_001],
    ['alias', 'weightBp', -1],
    ['alias', 'salt', ''],
    ['endpoint', 'maintenance', 5],
    ['endpoint', 'maintenance.fromMs', []],
    ['endpoint', 'maintenance.untilMs', { fromMs: 1, reason: 'x' }],
    ['endpoint', 'maintenance.fromMs', { fromMs: '1', untilMs: 2, reason: 'x' }],
    ['endpoint', 'maintenance.reason', { fromMs: 1, untilMs: 2, reason: '' }],
    ['endpoint', 'maintenance.why', { fromMs: 1, untilMs: 2, reason: 'x', why: 'y' }],
    ['tenant', 'residency', 'E U'],
    ['tenant', 'residency', ''],
    ['key', 'scopes', null],
    ['key', 'scopes', 'explain'],
    ['key', 'scopes.0', ['admin']],
    ['key', 'scopes', ['explain', 'explain']],
    ['tenant', 'name', 'a\nb'],
    ['tenant', 'disabled', 'no'],
    ['key', 'models', []],
    ['key', 'models', 'atlas'],
    ['key', 'expiresAtMs', '2030-01-01'],
    ['key', 'expiresAtMs', -1],
    ['model', 'ttftP95MsMax', 0],
    ['model', 'accuracyTargetBp', 8_999],
    ['model', 'operatingPerS', 0],
    ['version', 'bits', 0],
    ['version', 'parent', 'A b'],
    ['version', 'artifact', ''],
    ['approval', 'environment', 'test'],
    ['approval', 'evidence.reports', { reports: 'x' }],
    ['approval', 'evidence.why', { why: 'x' }],
    ['approval', 'expiresAtMs', 'soon'],
    ['target', 'deployer', 'helm'],
    ['target', 'deploy', []],
    ['target', 'slots', 0],
    ['target', 'url', 'rack.example'],
    ['webhook', 'format', 'teams'],
    ['webhook', 'events', []],
    ['webhook', 'events.0', ['rollout.exploded']],
    ['webhook', 'url', 'ftp://hooks.example'],
  ])('%s: refuses %s = %j', (kind, field, value) => {
    const answer = readFields(resources[kind].create, { ...good[kind], [field.split('.')[0] ?? '']: value })
    expect(answer).toMatchObject({
      ok: false,
      error: { reason: 'invalid_field', param: field, pointer: `#/${field.replaceAll('.', '/')}` },
    })
  })

  it('a pointer escapes what a name holds, and the fields listed are those of the place', () => {
    const flags = readFields(resources.version.create, { ...good.version, flags: { 'a/b~c.d': null } })
    expect(flags).toMatchObject({ error: { param: 'flags.a/b~c.d', pointer: '#/flags/a~1b~0c.d' } })
    const nested = readFields(resources.endpoint.create, {
      ...good.endpoint,
      maintenance: { fromMs: 1, untilMs: 2, reason: 'x', why: 'y' },
    })
    expect(nested).toMatchObject({ error: { detail: 'is not a field that can be given here' } })
  })

  it.each([
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ['HTTP://A.Example/', 'http://a.example'],
    ['https://a.example/v2///', 'https://a.example/v2'],
    ['https://a.example:443/x', 'https://a.example/x'],
  ])('url %s becomes %s', (url, expected) => {
    expect(readFields(resources.endpoint.create as never, { ...good.endpoint, url })).toMatchObject({ value: { url: expected } })
  })

  it.each([
    [{ stable: 'a', canary: null, weightBp: 0 }, null],
    [{ stable: 'a', canary: 'b', weightBp: 500 }, null],
    [{ stable: 'a', canary: null, weightBp: 1 }, 'weightBp'],
    [{ stable: 'a', canary: 'a', weightBp: 0 }, 'canary'],
  ])('alias %j: %s', (fields, param) => {
    const refusal = resources.alias.check({ environment: 'production', model: 'm', salt: 's', ...fields } as never)
    expect(refusal && 'param' in refusal ? refusal.param : null).toBe(param)
  })

  it('a key is made of fresh parts, and only the hash of its secret is kept', async () => {
    let made = 0
    const freshId = (bytes = 10) => {
      made += 1
      return String(made).repeat((bytes * 8) / 5)
    }
    const body = { tenant: 'acme', environment: 'staging', name: 'x' }
    const answer = await resources.key.make(body, {
      clock: { nowMs: () => 0 },
      freshId,
      seal: null,
      allowPrivateEndpoints: false,
      actor: 'operator',
    })
    if (!answer.ok) throw new Error(answer.error.reason)
    const { draft, shownOnce } = answer.value
    const key = readApiKey(shownOnce['key'] ?? '')
    expect(key).toMatchObject({ environment: 'staging', id: draft.id })
    expect(draft.secretSha256).toBe(await sha256Hex(key?.secret ?? ''))
    expect(JSON.stringify(draft)).not.toContain(key?.secret)
  })

  it.each(['{"bearer":"canary"', '{"bearer":canary}', '"canary" canary', '{"bearer":"canary\n"}', "{'bearer':'canary'}", 'canary'])(
    'a body that is not JSON is not quoted, for it may hold a credential: %j',
    async (body) => {
      const read = await readJson(post(body))
      expect(read).toMatchObject({ ok: false, error: { reason: 'invalid_json' } })
      expect(JSON.stringify(read)).not.toMatch(/canary|cana|nary/)
    },
  )

  it.each([
    ['{"a":1}', { ok: true, value: { a: 1 } }],
    ['{"a":', { ok: false, error: { reason: 'invalid_json' } }],
    ['', { ok: false, error: { reason: 'invalid_json' } }],
    [null, { ok: false, error: { reason: 'invalid_json' } }],
    [`"${'x'.repeat(limits.adminBodyBytesMax)}"`, { ok: false, error: { reason: 'body_too_large', bytesMax: limits.adminBodyBytesMax } }],
  ])('JSON %#', async (body, expected) => {
    expect(await readJson(post(body))).toMatchObject(expected)
  })
})
