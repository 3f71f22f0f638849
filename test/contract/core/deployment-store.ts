// The contract of the store of deployments. Whoever stands behind it must pass: the fake, and D1.

import { beforeEach, describe, expect, it } from 'vitest'
import type { Deployment, Draft } from '../../../core/facts.ts'
import { limits } from '../../../shared/limits.ts'
import type { EndpointId, TargetId, VersionId } from '../../../shared/ids.ts'
import { at, atlas, draft, furnish, goOn, ride, stamp, t1, t2, toSuccess, toWarming, v1, v2, v3 } from './rollout-scene.ts'
import type { Stores } from './rollout-scene.ts'

const noRows = { endpoint: null, endpointGone: null }
const endpoint = (id: string, more: object = {}): Draft<'endpoint'> =>
  ({
    id,
    region: 'fra',
    version: v2,
    kind: 'openai',
    url: 'http://t',
    servedName: 'atlas',
    slots: 2,
    weight: 1,
    state: 'enabled',
    operations: ['chat'],
    options: { variant: 'a' },
    maintenance: { fromMs: 1, untilMs: 2, reason: 'disks' },
    credential: 'v1.sealed.e',
    hasCredential: true,
    ...more,
  }) as unknown as Draft<'endpoint'>

/** The suite; the stores are empty at the beginning of each test. */
export function deploymentStoreContract(open: () => Stores): void {
  let stores: Stores
  beforeEach(async () => {
    stores = open()
    await furnish(stores)
  })
  const store = () => stores.deployments
  const seq = () => stores.catalogue.seq()
  const audit = (limit: number) => stores.rows.audit({ beforeSeq: null, limit })
  const want = (isWanted: boolean, targets: readonly TargetId[] | null, atMs = 1_000) => store().want(v2, isWanted, targets, at(atMs))
  const dueAt = async (nowMs: number, limit = 10) => (await store().due(nowMs, limit)).map(({ deployment }) => deployment.target)
  async function one(target: TargetId = t1): Promise<Deployment> {
    const found = await store().get(target, v2)
    if (!found) throw new Error(`no deployment at ${target}`)
    return found
  }
  const step = async (change: Parameters<Stores['deployments']['step']>[1], rows: object = {}, atMs = 2_000) =>
    store().step(await one(), change, { ...noRows, ...rows }, at(atMs))
  const everything = async () => ({
    deployments: await store().list({ version: null, afterKey: null, limit: 50 }),
    endpoints: await stores.rows.list('endpoint', { after: null, limit: 50 }),
    audit: await audit(200),
  })
  const fresh = (target: TargetId, more: Partial<Deployment> = {}): Deployment => ({
    target,
    version: v2,
    isWanted: true,
    state: 'waiting',
    detail: '',
    endpoint: null,
    attempts: 0,
    nextAtMs: 1_000,
    sinceMs: 1_000,
    generation: 1,
    createdAtMs: 1_000,
    updatedAtMs: 1_000,
    ...more,
  })

  describe('what is wanted', () => {
    it('makes a row at each target of the model, with an audit row each, and again changes nothing', async () => {
      const before = await seq()
      const made = [fresh(t1), fresh(t2)]
      expect(await want(true, null)).toEqual(made)
      expect(await store().list({ version: v2, afterKey: null, limit: 10 })).toEqual(made)
      const told = (await audit((await seq()) - before)).toSorted((a, b) => a.seq - b.seq)
      expect(told.map(({ seq: _seq, ...row }) => row)).toEqual(
        made.map((after) => ({
          ...stamp,
          action: 'create',
          resource: 'deployment',
          resourceId: `${after.target}/v2`,
          before: null,
          after,
        })),
      )
      const state = await everything()
      expect(await want(true, null, 2_000)).toEqual([])
      expect(await everything()).toEqual(state)
    })

    it('at targets that are named is of those alone, and only of the model’s own', async () => {
      expect(await want(true, [t2, 't9' as TargetId, 'none' as TargetId])).toEqual([fresh(t2)])
      expect(await want(true, [])).toEqual([])
      expect(await want(true, null)).toEqual([fresh(t1)])
      expect(await store().want('none' as VersionId, true, null, stamp)).toEqual([])
    })

    it('at any number of targets is one call', async () => {
      const many = Array.from({ length: 150 }, (_, index) => `u${String(index).padStart(3, '0')}` as TargetId)
      const row = await stores.rows.get('target', [t1])
      for (const id of many) await stores.rows.create('target', { ...row, id, credential: null } as Draft<'target'>, at(0))
      expect((await want(true, many)).map(({ target }) => target)).toEqual(many)
    })

    it('no longer is written where it was, with the row as it was; where nobody brought it there is no row', async () => {
      expect(await want(false, null)).toEqual([])
      expect(await store().get(t1, v2)).toBeNull()
      await want(true, [t1])
      await step({ state: 'loading', detail: 'half', attempts: 2, nextAtMs: 9_000, sinceMs: 1_500 })
      const before = await one()
      const after = { ...before, isWanted: false, state: 'waiting', detail: '', attempts: 0 } as const
      const changed = { ...after, nextAtMs: 3_000, sinceMs: 3_000, updatedAtMs: 3_000, generation: 3 }
      expect(await want(false, null, 3_000)).toEqual([changed])
      expect(await one()).toEqual(changed)
      expect((await audit(1))[0]).toMatchObject({ ...at(3_000), action: 'update', resourceId: 't1/v2', before, after: changed })
      expect(await want(false, null, 4_000)).toEqual([])
    })

    it('anew begins anew where it failed, and only there', async () => {
      await want(true, null)
      await step({ state: 'failed', detail: 'no such model', attempts: 8 })
      expect(await want(true, null, 3_000)).toEqual([fresh(t1, { nextAtMs: 3_000, sinceMs: 3_000, updatedAtMs: 3_000, generation: 3 })])
    })

    it('by twenty at once is written once', async () => {
      const before = await seq()
      const answers = await Promise.all(Array.from({ length: 20 }, () => want(true, [t1])))
      expect(answers.flat()).toEqual([fresh(t1)])
      expect(await seq()).toBe(before + 1)
    })
  })

  describe('what is due', () => {
    it('is what is not as it is wanted, the longest due first, with its target, credential and version', async () => {
      await want(true, [t2], 900)
      await want(true, [t1], 1_000)
      expect(await dueAt(899)).toEqual([])
      expect(await dueAt(1_000)).toEqual([t2, t1])
      expect(await dueAt(1_000, 1)).toEqual([t2])
      const [first] = await store().due(1_000, 1)
      expect(first?.deployment).toEqual(await one(t2))
      expect(first?.target).toEqual({ ...(await stores.rows.get('target', [t2])), credential: 'v1.sealed.t' })
      const version = await stores.rows.get('version', [v2])
      expect(version && first?.version).toEqual({
        id: v2,
        model: atlas,
        artifact: version?.artifact,
        digest: version?.digest,
        flags: version?.flags,
      })
    })

    it.each<readonly [Partial<Deployment>, string | null, boolean]>([
      [{ state: 'waiting' }, null, true],
      [{ state: 'loading' }, null, true],
      [{ state: 'failed' }, null, false],
      // Reported as ready by somebody else: its endpoint is yet to be made.
      [{ state: 'ready' }, null, true],
      [{ state: 'ready' }, 'e1', false],
      [{ state: 'loading' }, 'e1', true],
      [{ isWanted: false, state: 'waiting' }, null, true],
      [{ isWanted: false, state: 'unloading' }, null, true],
      [{ isWanted: false, state: 'ready' }, null, true],
      [{ isWanted: false, state: 'failed' }, null, false],
      [{ isWanted: false, state: 'gone' }, null, false],
      // Reported as gone by somebody else: its endpoint is yet to go.
      [{ isWanted: false, state: 'gone' }, 'e1', true],
    ])('%j with the endpoint %s: %s', async ({ isWanted = true, state = 'waiting' }, id, isDue) => {
      await want(true, [t1])
      if (id !== null) await step({ endpoint: id as EndpointId }, { endpoint: endpoint(id) })
      if (!isWanted) await want(false, [t1])
      await step({ state, nextAtMs: 5_000 })
      expect(await dueAt(4_999)).toEqual([])
      expect(await dueAt(5_000)).toEqual(isDue ? [t1] : [])
    })
  })

  describe('a step', () => {
    it('changes exactly the row that was read; the audit log hears of states, not of polls', async () => {
      await want(true, null)
      const before = await one()
      const seqBefore = await seq()
      const after = { ...before, detail: 'asked', attempts: 1, nextAtMs: 4_000, generation: 2, updatedAtMs: 2_000 }
      expect(await step({ detail: 'asked', attempts: 1, nextAtMs: 4_000 })).toEqual({ ok: true, value: after })
      expect(await one()).toEqual(after)
      expect(await seq()).toBe(seqBefore)
      const loading = await step({ state: 'loading', sinceMs: 3_000 }, {}, 3_000)
      expect(await seq()).toBe(seqBefore + 1)
      expect((await audit(1))[0]).toMatchObject({
        ...at(3_000),
        action: 'update',
        resource: 'deployment',
        before: after,
        after: await one(),
      })
      expect(loading).toEqual({ ok: true, value: await one() })
      expect(await one(t2)).toEqual(fresh(t2))
    })

    it('of a row that was overtaken, or is not there, writes nothing', async () => {
      await want(true, [t1])
      const before = await one()
      await step({ detail: 'sooner' })
      const state = await everything()
      const rows = { endpoint: endpoint('e1'), endpointGone: null }
      expect(await store().step(before, { state: 'ready', endpoint: 'e1' as EndpointId }, rows, stamp)).toEqual({
        ok: false,
        error: { reason: 'generation_mismatch', current: 2 },
      })
      expect(await store().step({ ...before, target: t2 }, { state: 'ready' }, noRows, stamp)).toEqual({
        ok: false,
        error: { reason: 'not_found', what: 'deployment', id: 't2/v2' },
      })
      expect(await everything()).toEqual(state)
    })

    it('of twenty at once exactly one is taken, with one endpoint', async () => {
      await want(true, [t1])
      const before = await one()
      const change = { state: 'ready', endpoint: 'e1' as EndpointId } as const
      const rows = { endpoint: endpoint('e1'), endpointGone: null }
      const answers = await Promise.all(Array.from({ length: 20 }, () => store().step(before, change, rows, stamp)))
      expect(answers.filter(({ ok }) => ok)).toHaveLength(1)
      expect(answers.filter((answer) => !answer.ok)).toEqual(
        Array.from({ length: 19 }, () => ({ ok: false, error: { reason: 'generation_mismatch', current: 2 } })),
      )
    })

    it('makes an endpoint with it, whose credential the loop alone sees', async () => {
      await want(true, [t1])
      const seqBefore = await seq()
      await step({ state: 'ready', endpoint: 'e1' as EndpointId }, { endpoint: endpoint('e1') })
      const { credential, ...fields } = endpoint('e1')
      const row = { ...fields, generation: 1, createdAtMs: 2_000, updatedAtMs: 2_000 }
      expect(await stores.rows.get('endpoint', ['e1'])).toEqual(row)
      expect((await stores.catalogue.load(0)).endpoints).toMatchObject([{ id: 'e1', credential, model: atlas }])
      const told = await audit((await seq()) - seqBefore)
      expect(told.map(({ resource }) => resource).toSorted()).toEqual(['deployment', 'endpoint'])
      expect(told.find(({ resource }) => resource === 'endpoint')).toMatchObject({ action: 'create', before: null, after: row })
      expect(JSON.stringify(told)).not.toContain('sealed')
      expect(await stores.rows.remove('endpoint', row, stamp)).toMatchObject({
        error: { reason: 'in_use', detail: 'the deployment "t1/v2" refers to it' },
      })
    })

    it.each<readonly [string, Parameters<Stores['deployments']['step']>[1], object, object]>([
      ['an endpoint of an id that is taken', {}, { endpoint: endpoint('e1') }, { reason: 'already_exists', what: 'endpoint', id: 'e1' }],
      [
        'an endpoint of a region that is not there',
        {},
        { endpoint: endpoint('e2', { region: 'none' }) },
        { reason: 'missing_reference', what: 'region', detail: 'the region "none" does not exist' },
      ],
      [
        'the name of an endpoint that is not there',
        { endpoint: 'e2' as EndpointId },
        {},
        { reason: 'missing_reference', what: 'endpoint', detail: 'the endpoint "e2" does not exist' },
      ],
      [
        'the end of an endpoint that is named still',
        {},
        { endpointGone: 'e1' },
        { reason: 'in_use', what: 'endpoint', id: 'e1', detail: 'the deployment "t1/v2" refers to it' },
      ],
    ])('with %s is refused, and nothing is written', async (_what, change, rows, error) => {
      await want(true, [t1])
      await step({ endpoint: 'e1' as EndpointId }, { endpoint: endpoint('e1') })
      const before = await everything()
      expect(await step({ state: 'ready', ...change }, rows)).toEqual({ ok: false, error })
      expect(await everything()).toEqual(before)
    })

    it('deletes an endpoint with it, and says what it was; one that is gone already is no matter', async () => {
      await want(true, [t1])
      await step({ state: 'ready', endpoint: 'e1' as EndpointId }, { endpoint: endpoint('e1') })
      await want(false, [t1])
      const row = await stores.rows.get('endpoint', ['e1'])
      const seqBefore = await seq()
      const gone = { state: 'unloading', endpoint: null } as const
      expect(await step(gone, { endpointGone: 'e1' }, 6_000)).toMatchObject({ ok: true, value: { endpoint: null } })
      expect(await stores.rows.get('endpoint', ['e1'])).toBeNull()
      const told = await audit((await seq()) - seqBefore)
      expect(told.find(({ resource }) => resource === 'endpoint')).toMatchObject({
        ...at(6_000),
        action: 'delete',
        before: row,
        after: null,
      })
      const seqAfter = await seq()
      expect(await step({ detail: 'again' }, { endpointGone: 'e1' })).toMatchObject({ ok: true })
      expect(await seq()).toBe(seqAfter)
    })
  })

  describe('looking', () => {
    it('pages in order of target and version', async () => {
      await want(true, null)
      await store().want(v3, true, null, stamp)
      const page = async (afterKey: readonly [TargetId, VersionId] | null, limit = 10, version: VersionId | null = null) =>
        (await store().list({ version, afterKey, limit })).map((each) => `${each.target} ${each.version}`)
      expect(await page(null)).toEqual(['t1 v2', 't1 v3', 't2 v2', 't2 v3'])
      expect(await page([t1, v3], 1)).toEqual(['t2 v2'])
      expect(await page([t1, v2], 10, v3)).toEqual(['t1 v3', 't2 v3'])
      expect(await page([t2, v3])).toEqual([])
    })

    it('knows the targets of a model, without their credentials', async () => {
      const rows = await store().targetsOf(atlas)
      expect(rows).toEqual([await stores.rows.get('target', [t1]), await stores.rows.get('target', [t2])])
      expect(JSON.stringify(rows)).not.toContain('sealed')
    })

    it('tells who uses a version: aliases that name it, and rollouts that are open', async () => {
      const names = async (version: VersionId) => {
        const { aliases, rollouts } = await store().uses(version)
        return [aliases, rollouts.map(({ id }) => id)]
      }
      const untouched = { stable: v1, canary: null }
      expect(await names(v1)).toEqual([[untouched, untouched], []])
      expect(await names(v2)).toEqual([[], []])
      const live = await ride(stores, draft('r1'), toWarming)
      expect(await names(v2)).toEqual([[{ stable: v1, canary: v2 }], ['r1']])
      expect((await store().uses(v2)).rollouts).toEqual([live])
      const done = await goOn(stores, live, toSuccess.slice(toWarming.length))
      expect(await names(v1)).toEqual([[untouched], ['r1']])
      await goOn(stores, done, ['hold_over'], 1_000 + limits.rolloutStableHoldMs)
      expect(await names(v1)).toEqual([[untouched], []])
    })
  })

  it('a target and a version with a deployment are held', async () => {
    await want(true, [t1])
    for (const [kind, id] of [
      ['target', t1],
      ['version', v2],
    ] as const) {
      const row = await stores.rows.get(kind, [id])
      expect(row && (await stores.rows.remove(kind, row as never, stamp))).toMatchObject({
        error: { reason: 'in_use', detail: 'the deployment "t1/v2" refers to it' },
      })
    }
  })
}
