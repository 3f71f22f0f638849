// The contract of what is kept beside rollouts: verdicts, reports, load runs, outbox and deliveries. The fake must pass it, and D1.

import { beforeEach, describe, expect, it } from 'vitest'
import type { DeliveryRow, LoadRunRow, ReportRow } from '../../../core/facts.ts'
import { limits } from '../../../shared/limits.ts'
import type { RolloutId, VersionId, WebhookId } from '../../../shared/ids.ts'
import { atlas, draft, furnish, production, put, ride, stamp, toWarming, v1, v2, v3, verdict } from './rollout-scene.ts'
import type { Stores } from './rollout-scene.ts'

type Whole<T> = Omit<T, 'seq'> & { readonly text: string }
const report = (id: string, more: Partial<Whole<ReportRow>> = {}): Whole<ReportRow> => ({
  id,
  version: v2,
  environment: 'staging',
  setName: 'held-out',
  setDigest: 'sha256:aa',
  items: 1_000,
  answered: 998,
  scores: { accuracy: 0.915, 'bleu 4': 31.5 },
  actor: 'ada',
  createdAtMs: 1_000,
  text: `{"the text of":"${id}"}`,
  ...more,
})
const loadRun = (id: string, more: Partial<Whole<LoadRunRow>> = {}): Whole<LoadRunRow> => ({
  id,
  version: v2,
  environment: 'staging',
  requestsPerS: 2.5,
  samples: 300,
  actor: 'ada',
  createdAtMs: 1_000,
  text: `{"the run":"${id}"}`,
  ...more,
})
const listed = <T extends { readonly text: string }>({ text: _text, ...row }: T) => row

/** The suite; the stores are empty at the beginning of each test. */
export function recordStoresContract(open: () => Stores): void {
  let stores: Stores
  beforeEach(async () => {
    stores = open()
    await furnish(stores)
  })
  const seq = () => stores.catalogue.seq()

  describe('verdicts', () => {
    const list = (more: object = {}) => stores.verdicts.list({ rollout: null, version: null, beforeSeq: null, limit: 10, ...more })
    const ids = async (more: object = {}) => (await list(more)).map(({ id }) => id)

    it('are in the audit log, each once and whole', async () => {
      await stores.verdicts.add([verdict('a'), verdict('b')])
      await stores.verdicts.add([verdict('a', { answer: 'pass' })])
      const audit = (await stores.rows.audit({ beforeSeq: null, limit: 50 })).filter(({ resource }) => resource === 'verdict')
      expect(audit.map(({ resourceId, action, after }) => ({ resourceId, action, after })).toReversed()).toEqual([
        { resourceId: 'a', action: 'create', after: verdict('a') },
        { resourceId: 'b', action: 'create', after: verdict('b') },
      ])
    })

    it('that refused a start are kept with what tells of it, once, and no rollout need be there', async () => {
      const [a, b] = [verdict('a', { rollout: null }), verdict('b', { rollout: null })]
      const rollout = { id: null, environment: 'production', model: atlas, from: v1, to: v2 } as const
      const refused = { rollout, actor: 'operator:ada', reason: 'better', verdicts: [a, b] }
      for (let time = 0; time < 2; time++) await stores.verdicts.refuse('r9' as RolloutId, refused, 2_000)
      expect(await ids()).toEqual(['b', 'a'])
      const undone = await stores.outbox.undone(['notify'], 10)
      expect(undone).toEqual([
        { seq: expect.any(Number), id: 'r9/2000/refused', rollout: 'r9', kind: 'notify', payload: expect.any(String), atMs: 2_000 },
      ])
      expect(JSON.parse(undone[0]?.payload ?? '')).toEqual({ kind: 'start_refused', refused })
    })

    it('are read back as they were given, newest first, each once', async () => {
      const timeless = verdict('b', { rollout: null, reference: null, step: null, window: null, checks: [], answer: 'no_data' })
      await stores.verdicts.add([])
      await stores.verdicts.add([verdict('a'), timeless])
      await stores.verdicts.add([verdict('a', { answer: 'pass' }), verdict('c', { version: v3 })])
      const all = await list()
      expect(all.map(({ seq: _seq, ...told }) => told)).toEqual([verdict('c', { version: v3 }), timeless, verdict('a')])
      expect(await ids({ rollout: 'r1' })).toEqual(['c', 'a'])
      expect(await ids({ version: v2 })).toEqual(['b', 'a'])
      expect(await ids({ version: v2, rollout: 'r1' })).toEqual(['a'])
      expect(await ids({ rollout: 'none' })).toEqual([])
      expect(await ids({ limit: 1 })).toEqual(['c'])
      expect(await ids({ beforeSeq: all[0]?.seq, limit: 1 })).toEqual(['b'])
    })
  })

  describe('reports', () => {
    const page = (more: object = {}) => stores.reports.list({ version: null, beforeSeq: null, limit: 10, ...more })
    const ids = async (more: object = {}) => (await page(more)).map(({ id }) => id)

    it('are kept whole and listed without their text, with an audit row each', async () => {
      const added = await stores.reports.add(report('a'), stamp)
      const row = { ...listed(report('a')), seq: added.ok ? added.value.seq : -1 }
      expect(added).toEqual({ ok: true, value: row })
      expect(await stores.reports.get('a')).toEqual({ ...report('a'), seq: row.seq })
      expect(await stores.reports.get('none')).toBeNull()
      expect(await page()).toEqual([row])
      const [told] = await stores.rows.audit({ beforeSeq: null, limit: 1 })
      const by = { ...stamp, action: 'create', resource: 'report', resourceId: 'a', before: null }
      expect(told).toEqual({ seq: await seq(), ...by, after: listed(report('a')) })
    })

    it('told again are nothing new, whatever is said beside them', async () => {
      const first = await stores.reports.add(report('a'), stamp)
      const before = await seq()
      expect(await stores.reports.add(report('a', { actor: 'grace', createdAtMs: 5_000 }), stamp)).toEqual(first)
      expect(await seq()).toBe(before)
      expect(await ids()).toEqual(['a'])
    })

    it('of an unknown version are refused; of a known one they hold it', async () => {
      const before = await seq()
      expect(await stores.reports.add(report('a', { version: 'none' as VersionId }), stamp)).toEqual({
        ok: false,
        error: { reason: 'missing_reference', what: 'version', detail: 'the version "none" does not exist' },
      })
      expect([await ids(), await seq()]).toEqual([[], before])
      await stores.reports.add(report('a', { version: v3 }), stamp)
      const row = await stores.rows.get('version', [v3])
      expect(row && (await stores.rows.remove('version', row, stamp))).toMatchObject({
        error: { reason: 'in_use', detail: 'the report "a" refers to it' },
      })
    })

    it('are paged newest first, and the newest of a version over a set is found', async () => {
      for (const [id, more] of [
        ['a', {}],
        ['b', { setDigest: 'sha256:bb' }],
        ['c', { version: v1 }],
        ['d', {}],
      ] as const) {
        await stores.reports.add(report(id, more), stamp)
      }
      expect(await ids()).toEqual(['d', 'c', 'b', 'a'])
      expect(await ids({ version: v2 })).toEqual(['d', 'b', 'a'])
      const [newest] = await page({ limit: 1 })
      expect(await ids({ beforeSeq: newest?.seq, limit: 2 })).toEqual(['c', 'b'])
      const latest = async (version: VersionId, set: string | null) => (await stores.reports.latest(version, set))?.text
      expect(await latest(v2, null)).toBe(report('d').text)
      expect(await latest(v2, 'sha256:bb')).toBe(report('b').text)
      expect(await latest(v3, null)).toBeUndefined()
      expect(await latest(v2, 'sha256:cc')).toBeUndefined()
    })

    it('as large as they may be, in the widest characters that fit, come back whole', async () => {
      const text = 'é'.repeat(limits.reportCharsMax / 2)
      await stores.reports.add(report('wide', { text }), stamp)
      await stores.reports.add(report('long', { text: 'x'.repeat(limits.reportCharsMax) }), stamp)
      expect((await stores.reports.get('wide'))?.text === text).toBe(true)
      expect((await stores.reports.latest(v2, null))?.text.length).toBe(limits.reportCharsMax)
      expect(await ids()).toEqual(['long', 'wide'])
    })
  })

  describe('load runs', () => {
    it('are kept, told once, listed and found as reports are', async () => {
      const first = await stores.loadRuns.add(loadRun('a'), stamp)
      const before = await seq()
      expect(await stores.loadRuns.add(loadRun('a', { actor: 'grace' }), stamp)).toEqual(first)
      expect(await seq()).toBe(before)
      const [told] = await stores.rows.audit({ beforeSeq: null, limit: 1 })
      expect(told).toMatchObject({ ...stamp, action: 'create', resource: 'load_run', resourceId: 'a', after: listed(loadRun('a')) })
      await stores.loadRuns.add(loadRun('b', { environment: production }), stamp)
      await stores.loadRuns.add(loadRun('c', { version: v1 }), stamp)
      const page = async (more: object = {}) => stores.loadRuns.list({ version: null, beforeSeq: null, limit: 10, ...more })
      const all = await page()
      expect(all.map(({ id }) => id)).toEqual(['c', 'b', 'a'])
      expect(await page({ version: v2, limit: 1 })).toEqual([{ ...listed(loadRun('b', { environment: production })), seq: all[1]?.seq }])
      expect((await page({ beforeSeq: all[0]?.seq, limit: 1 })).map(({ id }) => id)).toEqual(['b'])
      expect((await stores.loadRuns.latest(v2, 'staging'))?.text).toBe(loadRun('a').text)
      expect((await stores.loadRuns.latest(v2, production))?.text).toBe(loadRun('b').text)
      expect(await stores.loadRuns.latest(v2, 'development')).toBeNull()
      expect(await stores.loadRuns.add(loadRun('d', { version: 'none' as VersionId }), stamp)).toMatchObject({
        error: { reason: 'missing_reference', what: 'version' },
      })
    })
  })

  describe('the outbox', () => {
    it('tells what is undone of some kinds, oldest first, until it is done', async () => {
      await ride(stores, draft('r1'), toWarming)
      const ids = async (kinds: Parameters<Stores['outbox']['undone']>[0], limit = 10) =>
        (await stores.outbox.undone(kinds, limit)).map(({ id }) => id)
      expect(await ids(['deploy', 'undeploy'])).toEqual(['r1/4/deploy'])
      const told = ['r1/2/notify', 'r1/2/outbox', 'r1/3/outbox', 'r1/4/outbox']
      expect(await ids(['notify', 'outbox'])).toEqual(told)
      expect(await ids(['notify', 'outbox'], 2)).toEqual(told.slice(0, 2))
      await stores.outbox.done([], 2_000)
      await stores.outbox.done(['r1/2/outbox', 'r1/4/deploy', 'none'], 2_000)
      await stores.outbox.done(['r1/2/outbox'], 3_000)
      expect(await ids(['deploy', 'notify', 'outbox'])).toEqual(['r1/2/notify', 'r1/3/outbox', 'r1/4/outbox'])
    })

    it('takes any number of ids', async () => {
      await ride(stores, draft('r1'), toWarming)
      const many = Array.from({ length: 500 }, (_, index) => `none/${index}`)
      await stores.outbox.done([...many, 'r1/4/deploy'], 2_000)
      expect(await stores.outbox.undone(['deploy'], 10)).toEqual([])
    })
  })

  describe('deliveries', () => {
    const webhook = { url: 'https://hooks.example', format: 'standard', events: null, disabled: false, secret: 'v1.sealed.w' }
    const w1 = 'w1' as WebhookId
    const begun = (id: string, more: object = {}) => ({
      id,
      webhook: w1,
      type: 'rollout.transition',
      payload: `{"it's":"${id} — \\u00e9"}`,
      createdAtMs: 900,
      ...more,
    })
    const row = (id: string, seqOf: number, more: Partial<DeliveryRow> = {}): DeliveryRow => ({
      seq: seqOf,
      ...begun(id),
      attempts: 0,
      nextAtMs: 1_000,
      endedAtMs: null,
      ok: null,
      lastStatus: null,
      lastError: null,
      ...more,
    })
    const dueAt = async (nowMs: number, limit = 10) => (await stores.deliveries.due(nowMs, limit)).map(({ id }) => id)

    it('go to webhooks that are not disabled, which are told with their secrets', async () => {
      await put(stores.rows, 'webhook', { ...webhook, id: 'w2', disabled: true })
      await put(stores.rows, 'webhook', { ...webhook, id: 'w1', events: ['rollout.paused'] })
      const shown = await stores.rows.get('webhook', ['w1'])
      expect(await stores.deliveries.webhooks()).toEqual([{ ...shown, secret: 'v1.sealed.w' }])
      expect(JSON.stringify(shown)).not.toContain('sealed')
    })

    it('begin once, together with what they are of being done', async () => {
      await ride(stores, draft('r1'), ['submit'])
      await stores.deliveries.begin([], [], 1_000)
      await stores.deliveries.begin([begun('a'), begun('b')], ['r1/2/outbox'], 1_000)
      await stores.deliveries.begin([begun('b', { payload: 'other' }), begun('c')], ['r1/2/outbox', 'r1/2/notify'], 2_000)
      expect(await stores.outbox.undone(['notify', 'outbox'], 10)).toEqual([])
      const all = await stores.deliveries.list({ webhook: w1, beforeSeq: null, limit: 10 })
      expect(all.map(({ id, payload, nextAtMs }) => [id, payload, nextAtMs])).toEqual([
        ['c', begun('c').payload, 2_000],
        ['b', begun('b').payload, 1_000],
        ['a', begun('a').payload, 1_000],
      ])
      expect(all.at(-1)).toEqual(row('a', all.at(-1)?.seq ?? 0))
    })

    it('without any webhook are none, and what they would be of is done', async () => {
      await ride(stores, draft('r1'), ['submit'])
      await stores.deliveries.begin([], ['r1/2/outbox'], 1_000)
      expect((await stores.outbox.undone(['notify', 'outbox'], 10)).map(({ id }) => id)).toEqual(['r1/2/notify'])
    })

    it('are due when their time has come and until they end, the longest due first', async () => {
      await stores.deliveries.begin(
        ['a', 'b', 'c'].map((id) => begun(id)),
        [],
        1_000,
      )
      expect([await dueAt(999), await dueAt(1_000), await dueAt(1_000, 1)]).toEqual([[], ['a', 'b', 'c'], ['a']])
      const failed = { attempts: 1, endedAtMs: null, ok: null, lastStatus: 503, lastError: 'HTTP 503' }
      await stores.deliveries.attempted('a', { ...failed, nextAtMs: 6_000 })
      const ended = { attempts: 1, nextAtMs: null, endedAtMs: 1_500, ok: true, lastStatus: 204, lastError: null }
      await stores.deliveries.attempted('b', ended)
      expect([await dueAt(5_999), await dueAt(6_000)]).toEqual([['c'], ['c', 'a']])
      const [, b, a] = await stores.deliveries.list({ webhook: w1, beforeSeq: null, limit: 10 })
      expect(a).toEqual(row('a', a?.seq ?? 0, { ...failed, nextAtMs: 6_000 }))
      expect(b).toEqual(row('b', b?.seq ?? 0, ended))
      // What has ended stays so.
      await stores.deliveries.attempted('b', { ...failed, nextAtMs: 2_000 })
      await stores.deliveries.attempted('none', ended)
      expect(await dueAt(9_000)).toEqual(['c', 'a'])
    })

    it('are listed by webhook, newest first, page by page', async () => {
      await stores.deliveries.begin([begun('a'), begun('x', { webhook: 'w2' }), begun('b')], [], 1_000)
      const first = await stores.deliveries.list({ webhook: w1, beforeSeq: null, limit: 1 })
      const second = await stores.deliveries.list({ webhook: w1, beforeSeq: first[0]?.seq ?? 0, limit: 5 })
      expect([...first, ...second].map(({ id }) => id)).toEqual(['b', 'a'])
    })

    it('of any number and size begin in one call', async () => {
      const payload = 'é'.repeat(200_000)
      const many = Array.from({ length: 120 }, (_, index) => begun(`d${index}`, index % 20 === 0 ? { payload } : {}))
      await stores.deliveries.begin(many, [], 1_000)
      expect(await dueAt(1_000, 200)).toEqual(many.map(({ id }) => id))
      const [oldest] = await stores.deliveries.due(1_000, 1)
      expect(oldest?.payload === payload).toBe(true)
    })
  })

  it('a rollout that is not there has neither transitions nor verdicts', async () => {
    expect(await stores.rollouts.transitions('none' as RolloutId)).toEqual([])
    await stores.verdicts.add([verdict('a')])
    expect(await stores.verdicts.list({ rollout: 'none' as RolloutId, version: null, beforeSeq: null, limit: 5 })).toEqual([])
    expect(await stores.verdicts.list({ rollout: null, version: null, beforeSeq: null, limit: 5 })).toHaveLength(1)
  })
}
