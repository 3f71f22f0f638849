// Deployments over the admin API, and what the other side of a webhook deployer reports back.

import { describe, expect, it } from 'vitest'
import { holds, isInUse } from '../../../core/in-use.ts'
import type { TargetId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { signWebhook } from '../../../shared/webhook-signature.ts'
import { digestOf, furnished, nowMs, stamp, type AdminWorld, type Json } from '../../support/admin-world.ts'
import { Ride, weight } from './rollout-ride.ts'

const secretOf = (target: string): string => `secret-of-${target}`

/** With a second target of the model, a third that a webhook deploys to, and one of another model. */
async function scene(): Promise<AdminWorld> {
  const world = await furnished()
  const target = { model: 'atlas', region: 'fra', url: 'https://x.example', slots: 4, deployer: 'model_repository' }
  await world.must('POST', '/targets', { ...target, id: 'shelf' })
  await world.must('POST', '/targets', { ...target, id: 'others', model: 'other' })
  const hooked = { deployer: 'webhook', deploy: { webhookUrl: 'https://ops.example/x' }, credential: { bearer: secretOf('crew') } }
  await world.must('POST', '/targets', { ...target, ...hooked, id: 'crew' })
  return world
}
const items = (body: Json) => body['items'] as readonly Json[]
const targets = (body: Json) => items(body).map(({ target }) => target)

describe('deploying', () => {
  it('wants the version at all targets of its model, once', async () => {
    const { must, nudges } = await scene()
    const before = nudges()
    const told = await must('POST', '/versions/atlas-2/deploy', { reason: 'soon' }, { 'isochrone-actor': 'ann' })
    expect(told.body['dryRun']).toBe(false)
    expect(targets(told.body)).toEqual(['crew', 'rack', 'shelf'])
    expect(items(told.body)[0]).toMatchObject({ version: 'atlas-2', isWanted: true, state: 'waiting', endpoint: null, generation: 1 })
    expect(nudges()).toBe(before + 1)
    expect(targets((await must('POST', '/versions/atlas-2/deploy', { reason: 'again' })).body)).toEqual([])
    const { body: audit } = await must('GET', '/audit?limit=1')
    expect(items(audit)[0]).toMatchObject({ resource: 'deployment', actor: 'operator:ann', reason: 'soon' })
  })

  it('or at those that are named', async () => {
    const { must } = await scene()
    expect(targets((await must('POST', '/versions/atlas-2/deploy', { reason: 'x', targets: ['rack'] })).body)).toEqual(['rack'])
    expect(targets((await must('POST', '/versions/atlas-2/deploy', { reason: 'x', targets: null })).body)).toEqual(['crew', 'shelf'])
  })

  it('tried, it says what would change, and changes nothing', async () => {
    const { must, nudges } = await scene()
    await must('POST', '/versions/atlas-2/deploy', { reason: 'x', targets: ['rack'] })
    const before = nudges()
    const dry = await must('POST', '/versions/atlas-2/deploy?dry_run=true', { reason: 'x' })
    expect(dry.body['dryRun']).toBe(true)
    expect(items(dry.body)).toEqual(['crew', 'shelf'].map((target) => ({ target, version: 'atlas-2', isWanted: true })))
    expect(targets((await must('POST', '/versions/atlas-2/undeploy?dry_run=true', { reason: 'x' })).body)).toEqual(['rack'])
    expect(nudges()).toBe(before)
    expect(targets((await must('GET', '/deployments')).body)).toEqual(['rack'])
  })

  it.each<readonly [string, Json, string]>([
    ['atlas-2', {}, '#/reason'],
    ['atlas-2', { reason: 'x', target: 'rack' }, '#/target'],
    ['atlas-2', { reason: 'x', targets: [] }, '#/targets'],
    ['atlas-2', { reason: 'x', targets: ['rack', 'rack'] }, '#/targets'],
    ['atlas-2', { reason: 'x', targets: ['rack', 'none'] }, '#/targets/1'],
    ['atlas-2', { reason: 'x', targets: ['others'] }, '#/targets/0'],
    ['atlas-2', { reason: 'x', targets: ['A B'] }, '#/targets/0'],
    ['atlas-2', { reason: 'x', targets: Array.from({ length: limits.targetsNamedMax + 1 }, (_, index) => `t${index}`) }, '#/targets'],
  ])('%s with %j is refused at %s', async (version, body, pointer) => {
    const { ask, must } = await scene()
    for (const path of ['deploy', 'undeploy?dry_run=true']) {
      expect((await ask('POST', `/versions/${version}/${path}`, body)).body).toMatchObject({ status: 422, pointer })
    }
    expect(items((await must('GET', '/deployments')).body)).toEqual([])
  })

  it('a model without a target, and a version that is not there', async () => {
    const { ask, must } = await scene()
    await must('POST', '/models', { name: 'bare' })
    await must('POST', '/versions', { id: 'bare-1', model: 'bare', digest: digestOf('a'), engine: 'vllm' })
    expect((await ask('POST', '/versions/bare-1/deploy', { reason: 'x' })).body).toMatchObject({ status: 422, pointer: '#/targets' })
    expect((await ask('POST', '/versions/none/deploy', { reason: 'x' })).status).toBe(404)
    expect((await ask('GET', '/versions/atlas-2/deploy')).headers.get('allow')).toBe('POST')
  })
})

describe('taking away', () => {
  it('a version that nobody needs', async () => {
    const { must } = await scene()
    await must('POST', '/versions/atlas-2/deploy', { reason: 'x', targets: ['rack'] })
    const told = await must('POST', '/versions/atlas-2/undeploy', { reason: 'done' })
    expect(items(told.body)).toMatchObject([{ target: 'rack', isWanted: false, generation: 2 }])
  })

  it('not one that an alias names, nor one that a rollout moves', async () => {
    const { ask, must, stores } = await scene()
    const refusedFor = async (version: string, words: string) => {
      for (const path of ['undeploy', 'undeploy?dry_run=true']) {
        const { body } = await ask('POST', `/versions/${version}/${path}`, { reason: 'x' })
        expect(body).toMatchObject({ status: 409, code: 'in_use', detail: expect.stringContaining(words) as string })
      }
    }
    await refusedFor('atlas-1', 'an alias names it')
    const rollout = { ...new Ride([weight(100)]).rollout, phase: 'warming', from: 'atlas-1', to: 'atlas-3' } as never
    expect(await stores.rollouts.create(rollout, stamp)).toMatchObject({ ok: true })
    await refusedFor('atlas-3', 'a rollout moves it')
    await must('POST', '/versions/atlas-3/deploy', { reason: 'x' })
    await must('POST', '/versions/atlas-2/undeploy', { reason: 'x' })
  })

  it.each([
    ['warming', null, true, true],
    ['approved', null, false, false],
    ['rolled_back', null, false, false],
    ['succeeded', 5, true, false],
    ['succeeded', null, false, false],
  ])('a rollout in %s (held until %s) holds the old version: %s, the new one: %s', (phase, stableHeldUntilMs, old, fresh) => {
    const rollout = { phase, from: 'a' as VersionId, to: 'b' as VersionId, stableHeldUntilMs }
    expect([holds(rollout, 'a' as VersionId), holds(rollout, 'b' as VersionId)]).toEqual([old, fresh])
    expect(isInUse('c' as VersionId, [{ stable: 'a' as VersionId, canary: null }], [rollout])).toBe(false)
  })
})

describe('reading deployments', () => {
  it('in order of target and version, of all or of one version, page by page', async () => {
    const { must } = await scene()
    await must('POST', '/versions/atlas-2/deploy', { reason: 'x' })
    await must('POST', '/versions/atlas-3/deploy', { reason: 'x', targets: ['rack'] })
    const first = await must('GET', '/deployments?limit=2')
    const second = await must('GET', `/deployments?limit=2&cursor=${String(first.body['nextCursor'])}`)
    const names = [first, second].flatMap(({ body }) => items(body).map(({ target, version }) => `${String(target)}/${String(version)}`))
    expect(names).toEqual(['crew/atlas-2', 'rack/atlas-2', 'rack/atlas-3', 'shelf/atlas-2'])
    expect(second.body['nextCursor']).toBeNull()
    expect(targets((await must('GET', '/deployments?version=atlas-3')).body)).toEqual(['rack'])
    const one = await must('GET', '/deployments/rack/atlas-3')
    expect([one.headers.get('etag'), one.body['isWanted']]).toEqual(['"1"', true])
  })

  it.each([
    ['/deployments/rack/atlas-3', 404],
    ['/deployments?target=rack', 422],
    ['/deployments?cursor=x', 422],
  ])('%s: %i', async (path, status) => {
    const { ask } = await scene()
    expect((await ask('GET', path)).status).toBe(status)
  })
})

describe('what a deployer reports back', () => {
  const path = '/hooks/v1/deployments/crew/atlas-2'
  const state = async ({ stores }: AdminWorld) => stores.deployments.get('crew' as TargetId, 'atlas-2' as VersionId)
  const signed = (body: string, more: { readonly secret?: string; readonly atMs?: number } = {}) =>
    signWebhook({ secret: secretOf('crew'), id: 'msg_1', atMs: nowMs, body, ...more })

  async function wanted(): Promise<AdminWorld & { readonly report: (body: Json, at?: string) => Promise<Json> }> {
    const world = await scene()
    await world.must('POST', '/versions/atlas-2/deploy', { reason: 'x', targets: ['crew'] })
    const report = async (body: Json, at = path) => {
      const text = JSON.stringify({ version: at.split('/').at(-1), ...body })
      return (await world.outside('POST', at, text, await signed(text))).body
    }
    return { ...world, report }
  }

  it('becomes the state, and the loop goes on from there at once', async () => {
    const world = await wanted()
    const before = world.nudges()
    const loading = await world.report({ state: 'loading', detail: 'pulling the image' })
    expect(loading).toMatchObject({
      state: 'loading',
      detail: 'pulling the image',
      nextAtMs: nowMs + limits.deployToldAgainMs,
      generation: 2,
    })
    const ready = await world.report({ state: 'ready', servedName: 'atlas-2', url: 'https://x.example/' })
    expect(ready).toMatchObject({ state: 'ready', endpoint: null, nextAtMs: nowMs, sinceMs: nowMs, generation: 3 })
    expect(world.nudges()).toBe(before + 2)
    expect(await state(world)).toEqual(ready)
    const due = await world.stores.deployments.due(nowMs, 10)
    expect(due.map(({ deployment }) => deployment.state)).toEqual(['ready'])
    const { body: audit } = await world.must('GET', '/audit?limit=1')
    expect(items(audit)[0]).toMatchObject({ resource: 'deployment', resourceId: 'crew/atlas-2', actor: 'target:crew' })
  })

  it('again is nothing new', async () => {
    const world = await wanted()
    const first = await world.report({ state: 'failed', detail: 'no GPU is free' })
    const before = world.nudges()
    expect(await world.report({ state: 'failed', detail: 'no GPU is free' })).toEqual(first)
    expect(first).toMatchObject({ state: 'failed', detail: 'no GPU is free', generation: 2 })
    expect(world.nudges()).toBe(before)
  })

  it('of a version that is no longer wanted', async () => {
    const world = await wanted()
    await world.must('POST', '/versions/atlas-2/undeploy', { reason: 'x' })
    expect(await world.report({ state: 'ready', servedName: 'atlas-2' })).toMatchObject({ status: 422, pointer: '#/state' })
    expect(await world.report({ state: 'loading', detail: 'draining' })).toMatchObject({ state: 'unloading' })
    expect(await world.report({ state: 'gone' })).toMatchObject({ state: 'gone', isWanted: false })
  })

  it.each<readonly [Json, string]>([
    [{}, '#/state'],
    [{ state: 'running' }, '#/state'],
    [{ state: 'gone' }, '#/state'],
    [{ state: 'ready' }, '#/servedName'],
    [{ state: 'ready', servedName: 'atlas' }, '#/servedName'],
    [{ state: 'ready', servedName: 'atlas-2', url: 'https://elsewhere.example' }, '#/url'],
    [{ state: 'failed', detail: 'x'.repeat(limits.deployDetailCharsMax + 1) }, '#/detail'],
    [{ state: 'failed', why: 'x' }, '#/why'],
    [{ state: 'loading', version: 'atlas-3' }, '#/version'],
  ])('%j is refused at %s', async (body, pointer) => {
    const world = await wanted()
    expect(await world.report(body)).toMatchObject({ status: 422, code: 'invalid_field', pointer })
    expect(await state(world)).toMatchObject({ state: 'waiting', generation: 1 })
  })

  it('by nobody but who holds the secret of that target, and lately', async () => {
    const world = await wanted()
    const text = JSON.stringify({ version: 'atlas-2', state: 'ready', servedName: 'atlas-2' })
    const refusedWith = async (headers: Readonly<Record<string, string>>, at = path, sent = text) =>
      expect((await world.outside('POST', at, sent, headers)).body).toMatchObject({ status: 401, code: 'signature_refused' })
    const good = await signed(text)
    await refusedWith({})
    await refusedWith({ authorization: 'Bearer test-operator-token' })
    await refusedWith(await signed(text, { secret: 'another secret' }))
    await refusedWith(await signed(text, { atMs: nowMs - limits.webhookToleranceMs - 1_000 }))
    await refusedWith(await signed(text, { atMs: nowMs + limits.webhookToleranceMs + 1_000 }))
    await refusedWith({ ...good, 'webhook-id': 'msg_2' })
    await refusedWith(good, path, text.replace('ready', 'gone'))
    // One answer for all that is not his: whether a target is there, has no secret, or has another.
    const unsigned = async (target: string) => (await world.outside('POST', `/hooks/v1/deployments/${target}/atlas-2`, text)).body['detail']
    expect(new Set([await unsigned('crew'), await unsigned('rack'), await unsigned('none')]).size).toBe(1)
    await refusedWith(good, '/hooks/v1/deployments/no-secret/atlas-2')
    await refusedWith(good, '/hooks/v1/deployments/none/atlas-2')
    // The credential of another deployer's target is for its servers: who has it may serve, and not say what is deployed.
    await refusedWith(await signed(text, { secret: secretOf('rack') }), '/hooks/v1/deployments/rack/atlas-2')
    expect(await state(world)).toMatchObject({ state: 'waiting', generation: 1 })
    expect((await world.outside('POST', path, text, good)).status).toBe(200)
  })

  it('in JSON, in bounds, by POST, and of a deployment that there is', async () => {
    const world = await wanted()
    expect((await world.outside('POST', path, '{', await signed('{'))).body).toMatchObject({ status: 400, code: 'invalid_json' })
    const long = ' '.repeat(limits.hookBodyBytesMax + 1)
    expect((await world.outside('POST', path, long, await signed(long))).body).toMatchObject({ status: 413 })
    expect((await world.outside('GET', path)).headers.get('allow')).toBe('POST')
    expect(await world.report({ state: 'loading' }, '/hooks/v1/deployments/crew/atlas-3')).toMatchObject({ status: 404, code: 'not_found' })
    expect((await world.outside('POST', '/hooks/v1/targets/crew')).body).toMatchObject({ status: 404, code: 'unknown_route' })
  })

  it('the name is the one that was told with the wish', async () => {
    const world = await wanted()
    const flags = { 'served-model-name': 'atlas-awq' }
    await world.must('POST', '/versions', { id: 'atlas-4', model: 'atlas', digest: digestOf('4'), engine: 'vllm', flags })
    await world.must('POST', '/versions/atlas-4/deploy', { reason: 'x', targets: ['crew'] })
    const at = '/hooks/v1/deployments/crew/atlas-4'
    expect(await world.report({ state: 'ready', servedName: 'atlas-4' }, at)).toMatchObject({ status: 422, pointer: '#/servedName' })
    expect(await world.report({ state: 'ready', servedName: 'atlas-awq' }, at)).toMatchObject({ state: 'ready' })
  })
})

it('deliveries of a webhook, newest first, also of one that has had none', async () => {
  const { ask, must, stores } = await scene()
  await must('POST', '/webhooks', { id: 'ops', url: 'https://hooks.example/x' })
  expect(items((await must('GET', '/webhooks/ops/deliveries')).body)).toEqual([])
  const delivery = { webhook: 'ops' as never, type: 'rollout.paused', payload: '{}', createdAtMs: nowMs }
  await stores.deliveries.begin(
    ['a', 'b'].map((id) => ({ id, ...delivery })),
    [],
    nowMs,
  )
  const { body } = await must('GET', '/webhooks/ops/deliveries?limit=1')
  expect(items(body)).toMatchObject([{ id: 'b', type: 'rollout.paused', attempts: 0, ok: null }])
  expect(items((await must('GET', `/webhooks/ops/deliveries?cursor=${String(body['nextCursor'])}`)).body)).toMatchObject([{ id: 'a' }])
  expect((await ask('GET', '/webhooks/none/deliveries')).status).toBe(404)
})
