// What people ask of rollouts: what is refused and why, what a dry run leaves alone, and what comes of two who ask at once.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { rolloutCommands, type RolloutCommandName } from '../../../core/facts.ts'
import type { RolloutStore } from '../../../core/ports.ts'
import { promoteFullScope } from '../../../core/rollout/record.ts'
import type { ModelName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { readReport } from '../../../shared/wire/report.ts'
import { versionDraft } from '../../support/deploy-world.ts'
import { atlas, RolloutWorld, v1, v2, weight } from '../../support/rollout-world.ts'

// Thousands of turns of virtual time: a busy machine must not decide.
vi.setConfig({ testTimeout: 60_000 })

const golden = (name: string) => {
  const read = readReport(readFileSync(path.join(import.meta.dirname, `../../golden/reports/${name}.json`), 'utf8'))
  if (!read.ok) throw new Error(read.error.detail)
  return read.value
}

const all = { environment: null, model: null, live: false, beforeSeq: null, limit: 100 } as const

/** Everything that is stored of rollouts, to see that nothing was. */
async function stored(world: RolloutWorld) {
  const rollouts = await world.stores.rollouts.list(all)
  const audit = await world.stores.rows.audit({ beforeSeq: null, limit: 1_000 })
  return JSON.stringify([
    rollouts,
    audit.length,
    await world.alias(),
    await world.stores.outbox.undone(['deploy', 'notify', 'outbox'], 100),
  ])
}

const faultsOf = (answer: Awaited<ReturnType<RolloutWorld['create']>>): readonly string[] =>
  !answer.ok && answer.error.reason === 'plan_refused'
    ? answer.error.faults.map(({ reason, pointer }) => `${reason} ${pointer}`)
    : [JSON.stringify(answer)]

/** The alias as a person writes it. */
async function byHand(
  world: RolloutWorld,
  change: { readonly stable?: VersionId; readonly canary?: VersionId | null; readonly weightBp?: number },
) {
  const updated = await world.stores.rows.update('alias', await world.alias(), change, world.by('hand'))
  if (!updated.ok) throw new Error(JSON.stringify(updated.error))
}

describe('a plan', () => {
  it('writes nothing, whatever it says', async () => {
    const world = await RolloutWorld.open()
    const before = await stored(world)
    expect(await world.plan()).toMatchObject({ ok: true, value: { from: v1, to: v2, refusals: [] } })
    expect(await world.plan({ to: v1 })).toMatchObject({ ok: true })
    expect(await world.plan({ steps: [weight(5_000, 60), weight(1_000, 60)] })).toMatchObject({ ok: false })
    expect(await stored(world)).toBe(before)
  })

  it('shows gates with their values now, the differences, the least time, and the room that deploying it would bring', async () => {
    const world = await RolloutWorld.open()
    await world.turns(70)
    await world.report(v1, golden('atlas-2.f16'))
    await world.report(v2, golden('atlas-2.q4_0'))
    const planned = await world.plan({ steps: [weight(5_000, 60)], gates: null })
    if (!planned.ok) throw new Error(JSON.stringify(planned.error))
    const { gates, regions, needs, expectedMs, weightBpMax } = planned.value
    expect(gates.find(({ gate }) => gate === 'accuracy')).toMatchObject({ result: 'pass', value: 0.907, reference: 0.915, mode: 'abort' })
    expect(gates.find(({ gate }) => gate === 'no_harm')).toMatchObject({ result: 'no_data', live: true })
    expect(regions.map(({ region, spareSlots }) => [region, spareSlots])).toEqual([
      ['bom', 64],
      ['fra', 64],
      ['iad', 64],
    ])
    expect(regions.find(({ region }) => region === 'fra')).toMatchObject({ demandPerS: 8, weightBpMax: 10_000 })
    expect([needs.minimumMs, weightBpMax]).toEqual([60_000, 10_000])
    expect(expectedMs).toBeGreaterThan(needs.minimumMs)
  })

  it('of a model, or a version, that nobody knows is refused by its field', async () => {
    const world = await RolloutWorld.open()
    expect(await world.plan({ model: 'other' as ModelName })).toMatchObject({
      ok: false,
      error: { reason: 'missing_reference', what: 'model' },
    })
    expect(await world.plan({ to: 'atlas-9' as VersionId })).toMatchObject({
      ok: false,
      error: { reason: 'missing_reference', what: 'to' },
    })
  })

  it('faults of steps and of gates are told at once', async () => {
    const world = await RolloutWorld.open()
    const planned = await world.plan({ steps: [{ kind: 'weight', weightBp: 0, bakeMs: 1 }], gates: [{ gate: 'luck', mode: 'abort' }] })
    expect(planned.ok ? [] : faultsOf(planned as never)).toEqual([
      'steps_invalid #/steps/0/weightBp',
      'steps_invalid #/steps/0/bakeMs',
      'unknown_gate #/gates/0/gate',
    ])
  })
})

describe('a start is refused, with the reason and the field', () => {
  it.each<readonly [string, (world: RolloutWorld) => Promise<unknown>, Parameters<RolloutWorld['create']>[0], string]>([
    ['there is no alias', () => Promise.resolve(), { environment: 'staging' }, 'unknown_alias #/model'],
    ['a canary was set by hand', (world) => byHand(world, { canary: v2, weightBp: 100 }), {}, 'canary_set #/model'],
    ['another version is stable than thought', (world) => byHand(world, { stable: v2 }), { from: v1 }, 'stable_moved #/from'],
    ['it is stable already', (world) => byHand(world, { stable: v2 }), {}, 'same_version #/to'],
    [
      'a live gate is asked before there is traffic',
      () => Promise.resolve(),
      { steps: [{ kind: 'analysis', gates: ['no_harm'] }, weight(5_000, 60)] },
      'gate_without_traffic #/steps/0/gates/0',
    ],
    [
      'a gate of an analysis is unknown',
      () => Promise.resolve(),
      { steps: [weight(5_000, 60), { kind: 'analysis', gates: ['accuracy', 'luck'] }] },
      'unknown_gate #/steps/1/gates/1',
    ],
    [
      'a pause is for ever ahead',
      () => Promise.resolve(),
      { steps: [{ kind: 'pause', untilMs: 1_800_000_000_000 }, weight(5_000, 60)] },
      'pause_too_long #/steps/0/untilMs',
    ],
  ])('%s', async (_, prepare, more, fault) => {
    const world = await RolloutWorld.open()
    await prepare(world)
    const before = await stored(world)
    expect(faultsOf(await world.create(more))).toContain(fault)
    expect(await stored(world)).toBe(before)
  })

  it('traffic is not known: nobody has told of a whole slot since core woke', async () => {
    const world = await RolloutWorld.open()
    world.wake()
    await world.turns(1)
    world.silent.add('fra')
    await world.turns(15)
    expect(faultsOf(await world.create())).toContain('capacity_unknown #/steps')
  })
})

describe('a draft', () => {
  it.each<readonly [string, Parameters<RolloutWorld['create']>[0], string]>([
    ['steps that fall', { steps: [weight(5_000, 60), weight(1_000, 60)] }, 'steps_invalid #/steps/1/weightBp'],
    ['the version that is stable', { to: v1 }, 'same_version #/to'],
    ['an alias that is not there', { environment: 'staging' }, 'unknown_alias #/model'],
  ])('of what will never work is refused: %s', async (_, more, fault) => {
    const world = await RolloutWorld.open()
    expect(faultsOf(await world.create({ start: false, ...more }))).toEqual([fault])
    expect(await world.stores.rollouts.list(all)).toEqual([])
  })

  it('of what may work later is made, and refused when it starts', async () => {
    const world = await RolloutWorld.open()
    const approval = await world.stores.rows.get('approval', ['production', v2])
    if (approval) await world.stores.rows.update('approval', approval, { expiresAtMs: world.nowMs + 5_000 }, world.by('ada'))
    const id = await world.start({ start: false })
    await world.turns(10)
    const answer = await world.say(id, 'start')
    expect(faultsOf(answer)).toEqual(['not_approved #/to'])
    expect(await world.rollout(id)).toMatchObject({ phase: 'draft', generation: 1 })
  })

  it('of a version that is not approved yet is made, and starts once it is', async () => {
    const world = await RolloutWorld.open()
    const approval = await world.stores.rows.get('approval', ['production', v2])
    if (!approval) throw new Error('no approval')
    await world.stores.rows.remove('approval', approval, world.by('ada'))
    const id = await world.start({ start: false })
    expect(faultsOf(await world.say(id, 'start'))).toEqual(['not_approved #/to'])
    const { environment, version, approvedBy, evidence, expiresAtMs } = approval
    await world.stores.make('approval', { environment, version, approvedBy, evidence, expiresAtMs })
    expect(await world.say(id, 'start')).toMatchObject({ ok: true, value: { phase: 'warming' } })
  })

  it('rests on what was stable when it was made: where the alias has moved since, it is not started', async () => {
    const world = await RolloutWorld.open()
    const v0 = 'atlas-0' as VersionId
    await world.stores.make('version', versionDraft(v0))
    const id = await world.start({ start: false })
    await byHand(world, { stable: v0 })
    expect(faultsOf(await world.say(id, 'start'))).toContain('stable_moved #/from')
    expect((await world.rollout(id)).phase).toBe('draft')
  })

  it('is made of the usual steps and gates where none are named', async () => {
    const world = await RolloutWorld.open()
    const { steps, gates, fourEyes } = await world.rollout(await world.start({ start: false, steps: null, gates: null, fourEyes: null }))
    expect(steps).toHaveLength(7)
    expect(gates.map(({ gate }) => gate)).toEqual(['accuracy', 'readiness', 'fast_guard', 'no_harm', 'not_worse'])
    expect(fourEyes).toBe(true)
  })

  it('of a stable with bad answers is planned with more requests', async () => {
    const world = await RolloutWorld.open()
    const usual = await world.rollout(await world.start({ start: false }))
    world.behaviours.set(v1, { errors: 0.05, empty: 0, ttftMs: 100 })
    await world.turns(60)
    const bad = await world.rollout(await world.start({ start: false }))
    expect(bad.plannedRequests).toBeGreaterThan(usual.plannedRequests)
  })
})

describe('gates before traffic, at the start of a draft', () => {
  it('that fail in mode abort keep it where it is, and their verdict is of this rollout', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ start: false, gates: [{ gate: 'accuracy', mode: 'abort' }] })
    await world.report(v1, golden('atlas-2.f16'))
    await world.report(v2, golden('atlas-2.q2_k'))
    expect(await world.say(id, 'start', { dryRun: true })).toMatchObject({ ok: false, error: { reason: 'gate_failed' } })
    expect([await world.verdicts(id), await world.stores.outbox.undone(['notify'], 10)]).toEqual([[], []])
    expect(await world.say(id, 'start')).toMatchObject({ ok: false, error: { reason: 'gate_failed', verdicts: [{ gate: 'accuracy' }] } })
    expect(await world.verdicts(id)).toMatchObject([{ gate: 'accuracy', answer: 'fail', rollout: id, mode: 'abort' }])
    expect((await world.rollout(id)).phase).toBe('draft')
    const [told] = (await world.stores.outbox.undone(['notify'], 10)).map(({ payload }) => JSON.parse(payload) as unknown)
    expect(told).toEqual({
      kind: 'start_refused',
      refused: {
        rollout: { id, environment: 'production', model: atlas, from: v1, to: v2 },
        actor: expect.any(String),
        reason: expect.any(String),
        verdicts: (await world.verdicts(id)).map(({ seq: _seq, ...verdict }) => verdict),
      },
    })
  })

  it.each(['observe', 'pause'])('that fail in mode %s do not refuse it', async (mode) => {
    const world = await RolloutWorld.open()
    await world.report(v1, golden('atlas-2.f16'))
    await world.report(v2, golden('atlas-2.q2_k'))
    const id = await world.start({ gates: [{ gate: 'accuracy', mode }] })
    await world.untilIn(id, 'shifting', 'paused')
    expect((await world.rollout(id)).phase).toBe(mode === 'observe' ? 'shifting' : 'paused')
    expect(await world.verdicts(id)).toContainEqual(expect.objectContaining({ gate: 'accuracy', answer: 'fail', mode }))
    expect(world.published.weightBp).toBe(mode === 'observe' ? 5_000 : 0)
  })
})

describe('commands', () => {
  const full = { approver: 'ada', scopes: [promoteFullScope] }

  it('of a rollout that is not there, or of another generation of it, are refused', async () => {
    const world = await RolloutWorld.open()
    expect(await world.say('r-none' as RolloutId, 'abort')).toMatchObject({ ok: false, error: { reason: 'not_found', what: 'rollout' } })
    const id = await world.start()
    const { generation } = await world.rollout(id)
    expect(await world.say(id, 'pause', { generation: generation + 1 })).toEqual({
      ok: false,
      error: { reason: 'generation_mismatch', current: generation },
    })
    expect(await world.say(id, 'pause', { generation })).toMatchObject({ ok: true, value: { phase: 'paused' } })
  })

  it('without a reason are refused', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start()
    expect(await world.say(id, 'abort', { reason: ' ' })).toMatchObject({ ok: false, error: { why: 'reason_missing', detail: 'say why' } })
  })

  it('that a phase does not take are refused in words, with those it takes', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start()
    const refused = await world.say(id, 'retry')
    expect(refused).toMatchObject({
      ok: false,
      error: { reason: 'rollout_refused', why: 'illegal_transition', allowed: ['pause', 'abort'] },
    })
    expect(refused).toMatchObject({ error: { detail: 'a rollout in "warming" does not take "retry"; it takes pause, abort' } })
  })

  it('an abort is taken in every live phase', async () => {
    const seen: string[] = []
    for (const phase of ['warming', 'shifting', 'baking', 'judging', 'paused', 'promoting'] as const) {
      const world = await RolloutWorld.open()
      world.perS = { fra: 40 }
      const id = await world.start({ steps: [weight(5_000, 20)] })
      if (phase === 'paused') await world.say(id, 'pause')
      else await world.untilIn(id, phase)
      expect(await world.say(id, 'abort')).toMatchObject({ ok: true, value: { phase: 'aborting', weightBp: 0 } })
      // In the same change, before any turn.
      expect(await world.alias()).toMatchObject({ stable: v1, weightBp: 0, shadowBp: 0 })
      seen.push((await world.untilIn(id, 'rolled_back')).phase)
    }
    expect(seen).toHaveLength(6)
  })

  it.each<readonly [RolloutCommandName, string]>(rolloutCommands.map((each) => [each, each]))(
    'a dry run of %s changes nothing',
    async (name) => {
      const world = await RolloutWorld.open()
      const draft = await world.start({ start: false })
      const id = await world.start()
      await world.untilIn(id, 'baking')
      const over = ['retry', 'rollback'].includes(name)
      if (over) await world.untilIn(id, 'succeeded')
      const before = await stored(world)
      for (const each of [draft, id]) await world.say(each, name, { ...full, dryRun: true })
      expect(await stored(world)).toBe(before)
    },
  )

  it('a dry run says what would come of it, and what would refuse it', async () => {
    const world = await RolloutWorld.open()
    const draft = await world.start({ start: false })
    expect(await world.say(draft, 'start', { dryRun: true })).toMatchObject({ ok: true, value: { phase: 'warming' } })
    await world.start()
    expect(faultsOf(await world.say(draft, 'start', { dryRun: true }))).toContain('rollout_active #/model')
  })

  it('all of traffic at once asks for a scope, and for another person', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    const say = (more: object) => world.say(id, 'promote_full', { ...full, ...more })
    expect(await say({ scopes: [] })).toEqual({ ok: false, error: { reason: 'scope_missing', scope: promoteFullScope } })
    expect(await say({ approver: null })).toMatchObject({ ok: false, error: { why: 'second_approver_missing' } })
    expect(await say({ approver: 'Grace ' })).toMatchObject({ ok: false, error: { why: 'second_approver_missing' } })
    expect(await say({})).toMatchObject({ ok: true, value: { phase: 'promoting', weightBp: 10_000 } })
  })

  it('a pause holds the weight, and going on takes the rest of the bake', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ steps: [weight(5_000, 60)] })
    await world.untilIn(id, 'baking')
    await world.turns(20)
    await world.say(id, 'pause')
    await world.turns(300)
    expect(world.published).toMatchObject({ canary: v2, weightBp: 5_000 })
    await world.say(id, 'resume')
    const { bakeEndsAtMs } = await world.rollout(id)
    expect((bakeEndsAtMs ?? 0) - world.nowMs).toBeGreaterThan(30_000)
    expect((bakeEndsAtMs ?? 0) - world.nowMs).toBeLessThanOrEqual(41_000)
    await world.untilIn(id, 'succeeded')
  })

  it('to a weight without room are refused, with the room there is', async () => {
    const world = await RolloutWorld.open({ slots: 2 })
    world.perS = { fra: 8 }
    await world.turns(70)
    const id = await world.start({ steps: [weight(1_000, 600), weight(9_000, 60)] })
    await world.untilIn(id, 'baking')
    world.perS = { fra: 60 }
    await world.turns(90)
    const refused = await world.say(id, 'promote')
    expect(refused).toMatchObject({ ok: false, error: { why: 'capacity_missing' } })
    expect(JSON.stringify(refused)).toMatch(/9000 of 10,000 need more room than there is: the canary has room for \d+/)
    expect(await world.say(id, 'abort')).toMatchObject({ ok: true })
  })
})

describe('going back', () => {
  it('further than to the last stable versions is refused, with those there are', async () => {
    const world = await RolloutWorld.open()
    const v0 = 'atlas-0' as VersionId
    await world.stores.make('version', versionDraft(v0))
    const id = await world.start()
    await world.untilIn(id, 'succeeded')
    const refused = await world.say(id, 'rollback', { to: v0 })
    expect(refused).toMatchObject({
      ok: false,
      error: { why: 'rollback_too_far', detail: `"${v0}" is none of the last stable versions (${v1}): roll it out` },
    })
    expect(await world.say(id, 'rollback', { to: v2 })).toMatchObject({ ok: false, error: { why: 'same_version' } })
  })

  it('where the old version has no room for all of traffic it is not given it at once', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start()
    await world.untilIn(id, 'succeeded')
    // The only one where there is traffic.
    const row = await world.stores.rows.get('endpoint', ['fra-stable'])
    if (row) await world.stores.rows.update('endpoint', row, { state: 'disabled' }, world.by('grace'))
    let isLoaded = false
    world.bring = (_, { id: servedName }) =>
      Promise.resolve(isLoaded ? { state: 'ready', detail: 'loaded', servedName } : { state: 'loading', detail: 'fetching' })
    await world.turns(3)
    const back = await world.say(id, 'rollback')
    const other = back.ok ? back.value.successor : null
    if (!other) throw new Error(JSON.stringify(back))
    expect(await world.rollout(other)).toMatchObject({ phase: 'warming', rollbackOf: id, to: v1, warm: false })
    expect(await world.alias()).toMatchObject({ stable: v2, canary: v1, weightBp: 0 })
    await world.turns(60)
    expect(await world.rollout(other)).toMatchObject({ phase: 'warming', weightBp: 0 })
    // It is deployed again where it is missing.
    isLoaded = true
    await world.untilIn(other, 'succeeded')
    expect(await world.alias()).toMatchObject({ stable: v1, canary: null })
  })

  it('after the hold is over it warms first, and takes no steps', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start()
    await world.untilIn(id, 'succeeded')
    world.nowMs += limits.rolloutStableHoldMs
    await world.turns(20)
    const back = await world.say(id, 'rollback')
    const other = back.ok ? back.value.successor : null
    if (!other) throw new Error(JSON.stringify(back))
    expect((await world.rollout(other)).phase).toBe('warming')
    await world.untilIn(other, 'succeeded')
    expect(await world.phases(other)).toEqual(['warming', 'promoting', 'succeeded'])
  })

  it('and forth: each is a rollout of its own, linked with the one before', async () => {
    const world = await RolloutWorld.open()
    const first = await world.start()
    await world.untilIn(first, 'succeeded')
    const chain: RolloutId[] = [first]
    for (let time = 0; time < 3; time++) {
      const last = chain.at(-1) ?? first
      const back = await world.say(last, 'rollback')
      const other = back.ok ? back.value.successor : null
      if (!other) throw new Error(JSON.stringify(back))
      expect((await world.rollout(other)).rollbackOf).toBe(last)
      await world.untilIn(other, 'succeeded')
      chain.push(other)
    }
    expect((await world.alias()).stable).toBe(v1 === (await world.rollout(chain.at(-1) ?? first)).to ? v1 : v2)
    expect(world.removed).toEqual([])
  })
})

describe('two who ask at once', () => {
  it('to start rollouts of one alias: one does, and nothing is left of the other that could start by itself', async () => {
    const world = await RolloutWorld.open()
    const answers = await Promise.all([world.create(), world.create()])
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1)
    const rollouts = (await world.stores.rollouts.list({ ...all, model: atlas })).map(({ rollout }) => rollout.phase)
    expect(rollouts.filter((phase) => phase === 'warming')).toHaveLength(1)
    expect(rollouts.filter((phase) => !['warming', 'rejected'].includes(phase))).toEqual([])
  })

  it('an abort and a promotion: the abort holds, whoever came first', async () => {
    for (const order of [
      ['abort', 'promote'],
      ['promote', 'abort'],
    ] as const) {
      const world = await RolloutWorld.open()
      const id = await world.start({ steps: [weight(3_000, 600), weight(6_000, 600)] })
      await world.untilIn(id, 'baking')
      const answers = await Promise.all(order.map((name) => world.say(id, name)))
      expect(answers.some(({ ok }) => ok)).toBe(true)
      expect((await world.rollout(id)).phase).toBe('aborting')
      expect((await world.alias()).weightBp).toBe(0)
    }
  })

  it('an alias that is moved while a rollout starts on it stays where it was moved to, and the rollout is withdrawn', async () => {
    const world = await RolloutWorld.open()
    const v0 = 'atlas-0' as VersionId
    await world.stores.make('version', versionDraft(v0))
    const usual = { ...world.stores.rollouts }
    const meddled: RolloutStore['create'] = async (...asked) => {
      const made = await usual.create(...asked)
      await byHand(world, { stable: v0 })
      return made
    }
    Object.assign(world.stores.rollouts, { create: meddled })
    expect(await world.create()).toMatchObject({ ok: false, error: { reason: 'alias_moved' } })
    expect(await world.alias()).toMatchObject({ stable: v0, canary: null })
    const rollouts = await world.stores.rollouts.list(all)
    expect(rollouts.map(({ rollout }) => rollout.phase)).toEqual(['rejected'])
    // Nobody is held up by it.
    Object.assign(world.stores.rollouts, usual)
    expect(await world.create()).toMatchObject({ ok: true, value: { from: v0 } })
  })
})
