// The contract of the store of rollouts. Whoever stands behind it must pass: the fake, and D1.

import { beforeEach, describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import type { RolloutId, VersionId } from '../../../shared/ids.ts'
import type { Rollout } from '../../../core/rollout/record.ts'
import {
  at,
  atlas,
  draft,
  furnish,
  goOn,
  move,
  production,
  put,
  ride,
  stamp,
  toSuccess,
  toWarming,
  v1,
  v2,
  v3,
  verdict,
} from './rollout-scene.ts'
import type { Stores } from './rollout-scene.ts'

const none = { verdicts: [] } as const

/** The suite; the stores are empty at the beginning of each test. */
export function rolloutStoreContract(open: () => Stores): void {
  let stores: Stores
  beforeEach(async () => {
    stores = open()
    await furnish(stores)
  })
  const seq = () => stores.catalogue.seq()
  const audit = (limit = 200) => stores.rows.audit({ beforeSeq: null, limit })
  const alias = (environment: string = production) => stores.rows.get('alias', [environment, atlas])
  const allKinds = ['deploy', 'undeploy', 'notify', 'outbox'] as const
  const undone = () => stores.outbox.undone(allKinds, 100)
  const part = ({ phase, stepIndex, weightBp, shadowBp, generation }: Rollout) => ({ phase, stepIndex, weightBp, shadowBp, generation })
  /** Everything that a commit may write. */
  const everything = async () => ({
    rollouts: await stores.rollouts.list({ environment: null, model: null, live: false, beforeSeq: null, limit: 100 }),
    transitions: await Promise.all(['r1', 'r2', 'r3'].map((id) => stores.rollouts.transitions(id as RolloutId))),
    aliases: await stores.rows.list('alias', { after: null, limit: 10 }),
    audit: await audit(),
    outbox: await undone(),
    verdicts: await stores.verdicts.list({ rollout: null, version: null, beforeSeq: null, limit: 100 }),
  })

  describe('a draft', () => {
    it('is read back as it was made, with an audit row and no transition', async () => {
      const made = draft('r1')
      expect(await stores.rollouts.create(made, stamp)).toEqual({ ok: true, value: null })
      expect(await stores.rollouts.get(made.id)).toEqual(made)
      expect(await stores.rollouts.get('none' as RolloutId)).toBeNull()
      expect(await stores.rollouts.transitions(made.id)).toEqual([])
      const objectives = { ttftP95MsMax: 800, tpotP95MsMax: null, accuracyTargetBp: 9_900, operatingPerS: 2.5 }
      expect(await stores.rollouts.open()).toEqual([{ rollout: made, objectives }])
      expect((await audit(1))[0]).toEqual({
        seq: await seq(),
        ...stamp,
        action: 'create',
        resource: 'rollout',
        resourceId: 'r1',
        before: null,
        after: part(made),
      })
    })

    it.each([
      [{ model: 'none' as Rollout['model'] }, 'model', 'the model "none" does not exist'],
      [{ from: 'none' as VersionId }, 'from', 'the version "none" does not exist'],
      [{ to: 'none' as VersionId }, 'to', 'the version "none" does not exist'],
    ])('of %j is refused, and leaves no trace', async (more, what, detail) => {
      const before = await everything()
      expect(await stores.rollouts.create(draft('r1', more), stamp)).toEqual({
        ok: false,
        error: { reason: 'missing_reference', what, detail },
      })
      expect(await everything()).toEqual(before)
    })

    it('of an id that is taken is refused', async () => {
      await stores.rollouts.create(draft('r1'), stamp)
      const before = await everything()
      expect(await stores.rollouts.create(draft('r1', { to: v3 }), stamp)).toEqual({
        ok: false,
        error: { reason: 'already_exists', what: 'rollout', id: 'r1' },
      })
      expect(await everything()).toEqual(before)
    })

    it('holds what it refers to', async () => {
      await stores.rollouts.create(draft('r1', { to: v3 }), stamp)
      const row = await stores.rows.get('version', [v3])
      expect(row && (await stores.rows.remove('version', row, stamp))).toMatchObject({
        error: { reason: 'in_use', detail: 'the rollout "r1" refers to it' },
      })
    })
  })

  describe('a change', () => {
    it('writes rollout, transition, audit and outbox together, and leaves the alias alone where it does not write it', async () => {
      await stores.rollouts.create(draft('r1'), stamp)
      const before = await alias()
      const moved = move(draft('r1'), 'submit')
      expect(await stores.rollouts.commit(draft('r1'), moved, none, at(2_000))).toEqual({ ok: true, value: null })
      expect(await stores.rollouts.get(moved.rollout.id)).toEqual(moved.rollout)
      expect(await stores.rollouts.transitions(moved.rollout.id)).toEqual([moved.rollout.last])
      expect(await undone()).toEqual(
        moved.effects.map((effect, index) => ({
          seq: index + 1,
          id: effect.key,
          rollout: 'r1',
          kind: effect.kind,
          payload: JSON.stringify(effect),
          atMs: 2_000,
        })),
      )
      expect(moved.effects.map(({ kind }) => kind)).toEqual(['notify', 'outbox'])
      expect((await audit(1))[0]).toMatchObject({
        ...at(2_000),
        action: 'update',
        resource: 'rollout',
        resourceId: 'r1',
        before: part(draft('r1')),
        after: part(moved.rollout),
        reason: 'it is time',
      })
      expect(await alias()).toEqual(before)
    })

    it('that writes the alias does so in the same breath, with an audit row of its own', async () => {
      const ready = await ride(stores, draft('r1'), ['submit', 'approve'])
      const [before, seqBefore] = [await alias(), await seq()]
      const moved = move(ready, 'start')
      expect(await stores.rollouts.commit(ready, moved, none, at(3_000))).toEqual({ ok: true, value: null })
      const after = {
        ...before,
        canary: v2,
        salt: 'salt of r1',
        rollout: 'r1',
        rolloutGeneration: moved.rollout.generation,
        generation: 2,
        updatedAtMs: 3_000,
      }
      expect(await alias()).toEqual(after)
      const told = await audit((await seq()) - seqBefore)
      expect(told.map(({ resource }) => resource).toSorted()).toEqual(['alias', 'rollout'])
      expect(told.find(({ resource }) => resource === 'alias')).toMatchObject({
        ...at(3_000),
        action: 'update',
        resourceId: 'production/atlas',
        before,
        after,
        reason: 'it is time',
      })
      // The loop's own view of it.
      const seen = (await stores.catalogue.load(0)).aliases.find(({ environment }) => environment === production)
      expect(seen).toMatchObject({ canary: v2, weightBp: 0, shadowBp: 0, write: { id: 'r1', generation: moved.rollout.generation } })
      expect(await alias('staging')).toMatchObject({ canary: null, generation: 1 })
    })

    it('keeps the verdicts that it rests on, each once', async () => {
      const ready = await ride(stores, draft('r1'), toWarming)
      await stores.verdicts.add([verdict('a', { answer: 'pass' })])
      const moved = move(ready, 'abort')
      await stores.rollouts.commit(ready, moved, { verdicts: [verdict('a'), verdict('b')] }, stamp)
      const kept = await stores.verdicts.list({ rollout: ready.id, version: null, beforeSeq: null, limit: 10 })
      expect(kept.map(({ id, answer }) => [id, answer])).toEqual([
        ['b', 'fail'],
        ['a', 'pass'],
      ])
    })

    it('made twice is made once: the second finds another generation, and changes nothing', async () => {
      const ready = await ride(stores, draft('r1'), ['submit', 'approve'])
      const moved = move(ready, 'start')
      await stores.rollouts.commit(ready, moved, { verdicts: [verdict('a')] }, stamp)
      const before = await everything()
      expect(await stores.rollouts.commit(ready, moved, { verdicts: [verdict('b')] }, stamp)).toEqual({
        ok: false,
        error: { reason: 'generation_mismatch', current: moved.rollout.generation },
      })
      expect(await everything()).toEqual(before)
    })

    it('of a rollout that is not there is refused', async () => {
      const before = await everything()
      expect(await stores.rollouts.commit(draft('r1'), move(draft('r1'), 'submit'), none, stamp)).toEqual({
        ok: false,
        error: { reason: 'not_found', what: 'rollout', id: 'r1' },
      })
      expect(await everything()).toEqual(before)
    })

    it('of twenty at once exactly one wins, with one transition and one audit row', async () => {
      await stores.rollouts.create(draft('r1'), stamp)
      const seqBefore = await seq()
      const moved = move(draft('r1'), 'submit')
      const answers = await Promise.all(Array.from({ length: 20 }, () => stores.rollouts.commit(draft('r1'), moved, none, stamp)))
      expect(answers.filter(({ ok }) => ok)).toHaveLength(1)
      expect(answers.filter((answer) => !answer.ok)).toEqual(
        Array.from({ length: 19 }, () => ({ ok: false, error: { reason: 'generation_mismatch', current: 2 } })),
      )
      expect(await stores.rollouts.transitions('r1' as RolloutId)).toHaveLength(1)
      expect(await seq()).toBe(seqBefore + 1)
      expect(await undone()).toHaveLength(2)
    })

    it('that would make a second rollout of an alias live is refused, whoever comes second', async () => {
      const [first, second] = [
        await ride(stores, draft('r1'), ['submit', 'approve']),
        await ride(stores, draft('r2', { to: v3 }), ['submit', 'approve']),
      ]
      const answers = await Promise.all([first, second].map((each) => stores.rollouts.commit(each, move(each, 'start'), none, stamp)))
      const winner = answers[0]?.ok ? 'r1' : 'r2'
      expect(answers.filter(({ ok }) => !ok)).toEqual([
        { ok: false, error: { reason: 'rollout_active', environment: production, model: atlas, rollout: winner } },
      ])
      const live = await stores.rollouts.list({ environment: production, model: atlas, live: true, beforeSeq: null, limit: 10 })
      expect(live.map(({ rollout }) => rollout.id)).toEqual([winner])
      expect(await alias()).toMatchObject({ rollout: winner, generation: 2 })
    })

    it('beside a live rollout of another environment is none of its business', async () => {
      await ride(stores, draft('r1'), toWarming)
      const staged = await ride(stores, draft('r2', { environment: 'staging' }), toWarming)
      expect(await alias('staging')).toMatchObject({ canary: v2, rollout: staged.id })
    })

    it('is refused where the alias has another stable version than the rollout began with, and nothing is written', async () => {
      const ready = await ride(stores, draft('r1'), ['submit', 'approve'])
      const row = await alias()
      if (!row) throw new Error('no alias')
      await stores.rows.update('alias', row, { stable: v3 }, stamp)
      const before = await everything()
      expect(await stores.rollouts.commit(ready, move(ready, 'start'), { verdicts: [verdict('a')] }, stamp)).toEqual({
        ok: false,
        error: { reason: 'alias_moved', environment: production, model: atlas },
      })
      expect(await everything()).toEqual(before)
    })

    it('is refused where the alias is gone', async () => {
      const ready = await ride(stores, draft('r1'), ['submit', 'approve'])
      const row = await alias()
      if (row) await stores.rows.remove('alias', row, stamp)
      const before = await everything()
      expect(await stores.rollouts.commit(ready, move(ready, 'start'), none, stamp)).toMatchObject({ error: { reason: 'alias_moved' } })
      expect(await everything()).toEqual(before)
    })

    it('goes on to success: the new version is stable, and the rollout is open while it holds the old one', async () => {
      const done = await ride(stores, draft('r1'), toSuccess)
      expect(await alias()).toMatchObject({ stable: v2, canary: null, weightBp: 0, rolloutGeneration: done.generation })
      expect((await stores.rollouts.open()).map(({ rollout }) => rollout)).toEqual([done])
      const released = await goOn(stores, done, ['hold_over'], 1_000 + limits.rolloutStableHoldMs)
      expect(await stores.rollouts.open()).toEqual([])
      expect(await stores.rollouts.get(done.id)).toEqual(released)
      const transitions = await stores.rollouts.transitions(done.id)
      expect(transitions.map(({ generation }) => generation)).toEqual([2, 3, 4, 5, 6, 7, 8])
      expect(transitions.at(-1)).toEqual(released.last)
    })

    it('that makes another rollout makes it in the same breath, with what follows from it', async () => {
      const done = await ride(stores, draft('r1'), toSuccess)
      const seqBefore = await seq()
      const id = 'r2' as RolloutId
      const back = { kind: 'rollback', id, salt: 'new', stable: v2, to: v1, recent: [v1], actor: 'grace', reason: 'v2 is bad' } as const
      const moved = move(done, back)
      expect(await stores.rollouts.commit(done, moved, none, at(5_000))).toEqual({ ok: true, value: null })
      const made = await stores.rollouts.get(id)
      expect(made).toMatchObject({ phase: 'promoting', rollbackOf: 'r1', from: v2, to: v1 })
      expect(await stores.rollouts.get(done.id)).toMatchObject({ successor: 'r2', phase: 'succeeded' })
      expect(await stores.rollouts.transitions(id)).toEqual([made?.last])
      expect(await alias()).toMatchObject({ stable: v2, canary: v1, weightBp: 10_000, salt: 'new', rollout: 'r2', rolloutGeneration: 2 })
      const told = await audit((await seq()) - seqBefore)
      expect(told.map(({ resource, action, resourceId, reason }) => [resource, action, resourceId, reason].join(' ')).toSorted()).toEqual([
        'alias update production/atlas v2 is bad',
        'rollout create r2 v2 is bad',
        'rollout update r1 v2 is bad',
      ])
      const rows = (await undone()).filter(({ atMs }) => atMs === 5_000)
      expect(rows.map(({ id: key, rollout }) => [key, rollout])).toEqual([
        ['r2/2/outbox', 'r2'],
        [`r1/${done.generation + 1}/outbox`, 'r1'],
      ])
    })

    it('that makes a rollout beside a live one is refused as a whole', async () => {
      const done = await ride(stores, draft('r1'), toSuccess)
      await ride(stores, draft('r3', { from: v2, to: v3 }), toWarming)
      const back = {
        kind: 'rollback',
        id: 'r2' as RolloutId,
        salt: 'new',
        stable: v2,
        to: v1,
        recent: [v1],
        actor: 'a',
        reason: 'b',
      } as const
      const before = await everything()
      expect(await stores.rollouts.commit(done, move(done, back), none, stamp)).toEqual({
        ok: false,
        error: { reason: 'rollout_active', environment: production, model: atlas, rollout: 'r3' },
      })
      expect(await everything()).toEqual(before)
    })

    it('that makes a draft, as a retry does, leaves the alias alone', async () => {
      const over = await ride(stores, draft('r1'), [...toWarming, 'abort', 'drained'])
      expect(over.phase).toBe('rolled_back')
      const before = await alias()
      const again = { kind: 'retry', id: 'r2' as RolloutId, salt: 'new', stable: v1, actor: 'grace', reason: 'fixed' } as const
      expect(await stores.rollouts.commit(over, move(over, again), none, stamp)).toMatchObject({ ok: true })
      expect(await stores.rollouts.get('r2' as RolloutId)).toMatchObject({ phase: 'draft', retryOf: 'r1', generation: 1 })
      expect(await stores.rollouts.transitions('r2' as RolloutId)).toEqual([])
      expect(await alias()).toEqual(before)
    })
  })

  describe('an alias that a live rollout moves', () => {
    it('is written and deleted by nobody else', async () => {
      const live = await ride(stores, draft('r1'), toWarming)
      const row = await alias()
      if (!row) throw new Error('no alias')
      const before = await everything()
      const refused = { ok: false, error: { reason: 'rollout_active', environment: production, model: atlas, rollout: 'r1' } }
      expect(await stores.rows.update('alias', row, { weightBp: 5_000 }, stamp)).toEqual(refused)
      expect(await stores.rows.previewUpdate('alias', row, { weightBp: 5_000 }, 2_000)).toEqual(refused)
      expect(await stores.rows.remove('alias', row, stamp)).toEqual(refused)
      expect(await stores.rows.previewRemove('alias', row)).toEqual(refused)
      expect(await everything()).toEqual(before)
      await goOn(stores, live, ['abort', 'drained'])
      const free = await alias()
      expect(free && (await stores.rows.update('alias', free, { salt: 'mine' }, stamp))).toMatchObject({ ok: true })
    })
  })

  describe('lists', () => {
    it('are newest first, of an alias or of all, of live ones or of all, page by page', async () => {
      await ride(stores, draft('r1'), ['submit'])
      await ride(stores, draft('r2', { environment: 'staging' }), toWarming)
      await ride(stores, draft('r3', { to: v3 }), toWarming)
      const ids = async (more: object) => {
        const page = { environment: null, model: null, live: false, beforeSeq: null, limit: 10, ...more }
        return (await stores.rollouts.list(page)).map(({ rollout }) => rollout.id)
      }
      expect(await ids({})).toEqual(['r3', 'r2', 'r1'])
      expect(await ids({ live: true })).toEqual(['r3', 'r2'])
      expect(await ids({ environment: production })).toEqual(['r3', 'r1'])
      expect(await ids({ environment: production, live: true })).toEqual(['r3'])
      expect(await ids({ model: 'other' })).toEqual([])
      const [newest] = await stores.rollouts.list({ environment: null, model: null, live: false, beforeSeq: null, limit: 1 })
      expect(newest?.rollout.id).toBe('r3')
      expect(await ids({ beforeSeq: newest?.seq, limit: 1 })).toEqual(['r2'])
      expect((await stores.rollouts.open()).map(({ rollout }) => rollout.id)).toEqual(['r1', 'r2', 'r3'])
    })
  })

  describe('versions that were stable', () => {
    const recent = (limit = 3) => stores.rollouts.recentStables(production, atlas, limit)

    it('are told by the rollouts that succeeded, the last first, each once, the present one not', async () => {
      expect(await recent()).toEqual([])
      // Made first, and successful last.
      const slow = await ride(stores, draft('r2', { from: v2, to: v3 }), ['submit', 'approve'], 1_000)
      await ride(stores, draft('r1'), toSuccess, 2_000)
      expect(await recent()).toEqual([v1])
      await ride(stores, draft('r9', { environment: 'staging', to: v3 }), toSuccess, 2_500)
      expect(await recent()).toEqual([v1])
      await goOn(stores, slow, ['start', 'warmed', 'promote', 'settled'], 3_000)
      expect(await recent()).toEqual([v2, v1])
      expect(await recent(1)).toEqual([v2])
      // Back to v2: v3 was stable before it, and then v1.
      await ride(stores, draft('r3', { from: v3, to: v2 }), toSuccess, 4_000)
      expect(await recent()).toEqual([v3, v1])
      await put(stores.rows, 'version', { ...(await stores.rows.get('version', [v1])), id: 'v4' })
      await ride(stores, draft('r4', { from: v2, to: 'v4' as VersionId }), [...toWarming, 'abort', 'drained'], 5_000)
      expect(await recent()).toEqual([v3, v1])
    })
  })
}
