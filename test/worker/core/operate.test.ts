// Operating endpoints over HTTP against the real D1: each action with its reason, what it says it does, and what it refuses; the progress
// of a drain by a control loop that says what the test wants; and the list of events.

import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventStore } from '../../../core/adapters/events.ts'
import type { CoreEnv } from '../../../core/deps.ts'
import type { EndpointEvent } from '../../../core/facts.ts'
import worker from '../../../core/worker.ts'
import { limits } from '../../../shared/limits.ts'
import { ask, endpoint, furnish, furnishModel, must, operatorToken, region, testEnv, type Json, type Told } from './world.ts'

beforeAll(async () => {
  await furnish()
  await must('POST', '/admin/v1/regions', region('iad'))
  await furnishModel('atlas')
})

const one = '/admin/v1/endpoints/e1'
let tag = ''
beforeEach(async () => {
  for (const id of ['e1', 'e2', 'e3']) await ask('DELETE', `/admin/v1/endpoints/${id}`)
  await must('POST', '/admin/v1/endpoints', endpoint('e1', 'live', 'atlas'))
  await must('POST', '/admin/v1/endpoints', endpoint('e3', 'live', 'atlas', { region: 'iad', slots: 8 }))
  tag = '"1"'
})

const act = (action: string, body: Json, query = '', headers: Readonly<Record<string, string>> = { 'if-match': tag }) =>
  ask('POST', `${one}/${action}${query}`, body, headers)
const newestAudit = async (): Promise<unknown> => (await must('GET', '/admin/v1/audit?limit=1')).body['items']
const inAnHourMs = Date.now() + 3_600_000

describe('an action', () => {
  const actions: readonly (readonly [string, Json, Json, number])[] = [
    ['drain', {}, { state: 'draining' }, 0],
    ['disable', {}, { state: 'disabled' }, 0],
    ['enable', {}, { state: 'enabled' }, 4],
    ['weight', { weight: 0.5 }, { weight: 0.5 }, 2],
    ['maintenance', { untilMs: inAnHourMs }, { maintenance: { fromMs: expect.any(Number), untilMs: inAnHourMs, reason: 'new disks' } }, 0],
    [
      'maintenance',
      { fromMs: inAnHourMs - 5, untilMs: inAnHourMs },
      { maintenance: { fromMs: inAnHourMs - 5, untilMs: inAnHourMs, reason: 'new disks' } },
      0,
    ],
    ['maintenance', { untilMs: null }, { maintenance: null }, 4],
    ['maintenance', { fromMs: null, untilMs: null }, { maintenance: null }, 4],
  ]

  it.each(actions)('%s %j is tried, then done, with its reason in the audit log', async (action, body, change, left) => {
    const audited = await newestAudit()
    const tried = await act(action, { reason: 'new disks', ...body }, '?dry_run=true')
    expect(tried).toMatchObject({
      status: 200,
      body: {
        dryRun: true,
        before: { id: 'e1', state: 'enabled', weight: 1, maintenance: null, generation: 1 },
        after: { ...change, generation: 2 },
        capacity: { cell: { id: 'atlas@fra', before: 4, after: left }, all: { before: 12, after: 8 + left } },
      },
    })
    const warnings = tried.body['warnings'] as readonly string[]
    expect(warnings.some((warning) => warning.includes('"atlas@fra" has no endpoint left'))).toBe(left === 0)
    expect(tried.headers.get('etag')).toBe('"1"')
    expect((await must('GET', one)).body).toEqual(tried.body['before'])
    expect(await newestAudit()).toEqual(audited)

    const done = await act(action, { reason: 'new disks', ...body })
    expect(done).toMatchObject({ status: 200, body: { dryRun: false, after: { ...change, generation: 2 } } })
    expect(done.body['before']).toEqual(tried.body['before'])
    expect(done.body['capacity']).toEqual(tried.body['capacity'])
    expect(done.headers.get('etag')).toBe('"2"')
    expect((await must('GET', one)).body).toEqual(done.body['after'])
    expect(await newestAudit()).toMatchObject([
      { action: 'update', resourceId: 'e1', reason: 'new disks', before: done.body['before'], after: done.body['after'] },
    ])
  })

  it('that leaves the version none anywhere says so', async () => {
    await must('DELETE', '/admin/v1/endpoints/e3')
    const { body } = await act('drain', { reason: 'x' }, '?dry_run=true')
    expect(body['warnings']).toContainEqual(expect.stringContaining('No endpoint anywhere is left'))
    await must('POST', '/admin/v1/endpoints', endpoint('e2', 'live', 'atlas'))
    expect((await act('drain', { reason: 'x' }, '?dry_run=true')).body['warnings']).toEqual([])
  })

  it.each<readonly [string, Json, string]>([
    ['drain', {}, '#/reason'],
    ['drain', { reason: '' }, '#/reason'],
    ['drain', { reason: 'x'.repeat(limits.reasonCharsMax + 1) }, '#/reason'],
    ['drain', { reason: 'a\nb' }, '#/reason'],
    ['drain', { reason: 'x', weight: 1 }, '#/weight'],
    ['enable', { reason: 'x', state: 'enabled' }, '#/state'],
    ['weight', { reason: 'x' }, '#/weight'],
    ['weight', { reason: 'x', weight: -1 }, '#/weight'],
    ['weight', { reason: 'x', weight: 1_001 }, '#/weight'],
    ['maintenance', { reason: 'x' }, '#/untilMs'],
    ['maintenance', { reason: 'x', untilMs: 1 }, '#/untilMs'],
    ['maintenance', { reason: 'x', fromMs: inAnHourMs, untilMs: inAnHourMs }, '#/untilMs'],
    ['maintenance', { reason: 'x', fromMs: inAnHourMs, untilMs: inAnHourMs + limits.maintenanceMsMax + 1 }, '#/untilMs'],
    ['maintenance', { reason: 'x', fromMs: 5, untilMs: null }, '#/fromMs'],
    ['maintenance', { reason: 'x', window: null, untilMs: null }, '#/window'],
  ])('%s %j is refused at %s, and nothing is written', async (action, body, pointer) => {
    for (const query of ['', '?dry_run=true']) {
      expect(await act(action, body, query)).toMatchObject({ status: 422, body: { code: 'invalid_field', pointer } })
    }
    expect((await must('GET', one)).body).toMatchObject({ generation: 1 })
  })

  it.each(['drain', 'disable', 'enable', 'weight', 'maintenance'])(
    '%s needs If-Match, an endpoint and known parameters',
    async (action) => {
      const body = { reason: 'x', ...(action === 'weight' ? { weight: 1 } : {}), ...(action === 'maintenance' ? { untilMs: null } : {}) }
      expect(await act(action, body, '', {})).toMatchObject({ status: 428 })
      expect(await act(action, body, '', { 'if-match': '"9"' })).toMatchObject({ status: 412, body: { current: 1 } })
      expect(await act(action, body, '?dry_run=true', { 'if-match': '"9"' })).toMatchObject({ status: 412 })
      expect(await act(action, body, '?dryrun=true')).toMatchObject({ status: 422, body: { pointer: '?dryrun' } })
      expect(await ask('POST', `/admin/v1/endpoints/none/${action}`, body, { 'if-match': tag })).toMatchObject({ status: 404 })
      const wrong = await ask('PUT', `${one}/${action}`, body)
      expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, action === 'drain' ? 'GET, POST' : 'POST'])
      expect((await must('GET', one)).body).toMatchObject({ generation: 1 })
    },
  )

  it('is for endpoints alone, and there are no others', async () => {
    expect((await act('explode', { reason: 'x' })).status).toBe(404)
    expect((await ask('POST', '/admin/v1/regions/fra/drain', { reason: 'x' })).status).toBe(404)
  })
})

/** One request to a core whose control loop says this. */
async function askWith(status: () => Promise<unknown>, method: string, path: string, body?: Json): Promise<Told> {
  const controller = { status, nudge: () => Promise.resolve() }
  const env = { ...testEnv, CONTROLLER: { idFromName: () => 'id', get: () => controller } } as unknown as CoreEnv
  const ctx = createExecutionContext()
  const headers = { authorization: `Bearer ${operatorToken}`, 'if-match': '*' }
  const init = { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) }
  const response = await worker.fetch(new Request(`http://core.test${path}`, init) as never, env, ctx)
  await waitOnExecutionContext(ctx)
  return { status: response.status, headers: response.headers, body: await response.json<Json>() }
}

describe('a drain', () => {
  const told = (state: string, inFlight: number, answeredAtMs: number) => ({
    generation: 3,
    endpoints: [{ id: 'e1', cell: 'atlas@fra', state, lastProbe: null }],
    ledgers: [{ name: 'atlas@fra', generation: 3, inFlight: { e1: inFlight }, answeredAtMs, error: null }],
  })
  const progress = (status: object) => askWith(() => Promise.resolve(status), 'GET', `${one}/drain`)

  it('is followed to its end', async () => {
    const laterMs = Date.now() + limits.obeyedMs + 1_000
    expect((await progress(told('healthy', 3, laterMs))).body).toEqual({
      endpoint: 'e1',
      state: 'enabled',
      draining: false,
      sinceMs: null,
      inFlight: 3,
      done: false,
    })
    const { body } = await act('drain', { reason: 'x' })
    const sinceMs = (body['after'] as Json)['updatedAtMs']
    // A later write of something else does not begin the drain anew.
    await must('PATCH', one, { slots: 9 }, { 'if-match': '"2"' })
    const draining = { state: 'draining', draining: true, sinceMs }
    expect((await progress(told('draining', 3, laterMs))).body).toMatchObject({ ...draining, inFlight: 3, done: false })
    expect((await progress(told('healthy', 0, laterMs))).body).toMatchObject({ ...draining, inFlight: 0, done: false })
    expect((await progress(told('draining', 0, laterMs))).body).toMatchObject({ ...draining, inFlight: 0, done: true })
  })

  it('is unknown while the control loop is away; operating goes on without it', async () => {
    const away = () => Promise.reject(new Error('away'))
    expect(await askWith(away, 'GET', `${one}/drain`)).toMatchObject({ status: 503, body: { code: 'controller_unreachable' } })
    const drained = await askWith(away, 'POST', `${one}/drain`, { reason: 'x' })
    expect(drained).toMatchObject({ status: 200, body: { after: { state: 'draining' } } })
    expect(drained.body['warnings']).toContainEqual(expect.stringContaining('gave no answer'))
  })

  it('counts no capacity where the control loop holds an endpoint to be unhealthy', async () => {
    const sick = () => Promise.resolve({ ...told('unhealthy', 0, 0), ledgers: [] })
    expect((await askWith(sick, 'POST', `${one}/weight?dry_run=true`, { reason: 'x', weight: 2 })).body).toMatchObject({
      capacity: { cell: { before: 0, after: 0 }, all: { before: 8, after: 8 } },
    })
  })

  it('has no parameters, and an endpoint', async () => {
    expect(await ask('GET', `${one}/drain?verbose=1`)).toMatchObject({ status: 422, body: { pointer: '?verbose' } })
    expect((await ask('GET', '/admin/v1/endpoints/none/drain')).status).toBe(404)
  })
})

describe('events', () => {
  const event = (id: string, atMs: number): EndpointEvent =>
    ({
      atMs,
      endpoint: id,
      cell: 'atlas@fra',
      from: 'healthy',
      to: 'ejected',
      metric: 'failures in a row',
      value: 5,
      threshold: 5,
      reason: 'HTTP 500',
    }) as unknown as EndpointEvent

  it('are listed newest first, page by page, of all endpoints or of one', async () => {
    const nowMs = Date.now()
    await eventStore(testEnv.DB).append(Array.from({ length: 7 }, (_, i) => event(i % 2 === 0 ? 'a' : 'b', nowMs + i)))
    const page = async (query: string) => {
      const { body } = await must('GET', `/admin/v1/events?${query}`)
      return {
        ats: (body['items'] as readonly Json[]).map((row) => Number(row['atMs']) - nowMs),
        next: body['nextCursor'] as string | null,
      }
    }
    const first = await page('limit=3&endpoint=a')
    expect(first.ats).toEqual([6, 4, 2])
    expect(await page(`limit=3&endpoint=a&cursor=${String(first.next)}`)).toEqual({ ats: [0], next: null })
    expect((await page('endpoint=b')).ats).toEqual([5, 3, 1])
    expect((await page('endpoint=none')).ats).toEqual([])
    // The control loop of other tests adds events of its own endpoints meanwhile.
    const all = (await must('GET', '/admin/v1/events?limit=200')).body['items'] as readonly Json[]
    const ours = all.filter((row) => row['endpoint'] === 'a' || row['endpoint'] === 'b')
    expect(ours.map((row) => Number(row['atMs']) - nowMs)).toEqual([6, 5, 4, 3, 2, 1, 0])
    expect(ours[0]).toEqual({ ...event('a', nowMs + 6), seq: expect.any(Number) as number })
  })

  it.each(['limit=0', 'cursor=x', 'endpoints=a', 'endpoint=a&endpoint=b'])('refuses ?%s', async (query) => {
    expect(await ask('GET', `/admin/v1/events?${query}`)).toMatchObject({ status: 422, body: { code: 'invalid_field' } })
  })

  it('are read only', async () => {
    expect(await ask('DELETE', '/admin/v1/events')).toMatchObject({ status: 405, body: { code: 'wrong_method' } })
  })
})
