// Rollouts in the real loop, over stores in memory and seeded traffic: whole rides, what stops them, and what holds them.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { promoteFullScope } from '../../../core/rollout/record.ts'
import { limits } from '../../../shared/limits.ts'
import { readReport } from '../../../shared/wire/report.ts'
import { RolloutWorld, shadow, sound, v1, v2, weight } from '../../support/rollout-world.ts'

const golden = (name: string) => {
  const read = readReport(readFileSync(path.join(import.meta.dirname, `../../golden/reports/${name}.json`), 'utf8'))
  if (!read.ok) throw new Error(read.error.detail)
  return read.value
}

describe('a sound version', () => {
  it('goes through copies and weights to all of traffic, and each step is published', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ steps: [shadow(5_000, 20), weight(2_000, 30), weight(10_000, 30)] })
    const seen = new Set<string>()
    await world.until(async () => {
      const { canary, weightBp, shadowBp, stable } = world.published
      seen.add(`${stable} ${canary ?? '-'} ${weightBp} ${shadowBp}`)
      return (await world.rollout(id)).phase === 'succeeded'
    })
    await world.turns(1)
    const { canary, weightBp, stable } = world.published
    expect([...seen]).toEqual([
      `${v1} - 0 0`,
      `${v1} ${v2} 0 0`,
      `${v1} ${v2} 0 5000`,
      `${v1} ${v2} 2000 0`,
      `${v1} ${v2} 10000 0`,
      `${v2} - 0 0`,
    ])
    expect({ stable, canary, weightBp }).toEqual({ stable: v2, canary: null, weightBp: 0 })
    const words =
      'pending_approval approved warming shifting baking judging shifting baking judging shifting baking judging promoting succeeded'
    expect(await world.phases(id)).toEqual(words.split(' '))
    expect((await world.deployments(v2)).map(({ state }) => state)).toEqual(['ready', 'ready', 'ready'])
    expect(world.removed).toEqual([])
  })

  it('leaves the old one its endpoints while it is held, and lets go of what nobody uses', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start()
    await world.untilIn(id, 'succeeded')
    world.perS = {}
    await world.turns(limits.rolloutStableHoldMs / 1_000 - 10)
    expect((await world.rollout(id)).stableHeldUntilMs).not.toBeNull()
    await world.turns(60)
    expect((await world.rollout(id)).stableHeldUntilMs).toBeNull()
    // Stable's endpoints were made by a person, not by a deployment: there is nothing to take away.
    expect(world.removed).toEqual([])
    expect(await world.stores.rows.get('endpoint', ['fra-stable'])).not.toBeNull()
  }, 30_000)

  it('is taken back at once within the hold, and later with a warm-up', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start()
    await world.untilIn(id, 'succeeded')
    const back = await world.say(id, 'rollback')
    const other = back.ok ? back.value.successor : null
    expect(other).not.toBeNull()
    // In the same change, before any turn.
    expect(await world.alias()).toMatchObject({ stable: v2, canary: v1, weightBp: 10_000, rollout: other })
    await world.turns(1)
    expect(world.published).toMatchObject({ stable: v2, canary: v1, weightBp: 10_000 })
    if (other) await world.untilIn(other, 'succeeded')
    expect(await world.alias()).toMatchObject({ stable: v1, canary: null, weightBp: 0 })
  })

  it('waits for a person where a step says so, and goes on, by steps or in full', async () => {
    const world = await RolloutWorld.open()
    world.perS = { fra: 60 }
    const id = await world.start({
      steps: [weight(1_000, 10), { kind: 'approval' }, weight(2_000, 10), { kind: 'pause' }, weight(5_000, 600)],
    })
    await world.untilIn(id, 'paused')
    expect(await world.say(id, 'resume')).toMatchObject({ ok: false, error: { reason: 'rollout_refused', why: 'approval_wanted' } })
    expect(await world.say(id, 'approve')).toMatchObject({ ok: true })
    await world.untilIn(id, 'baking')
    await world.untilIn(id, 'paused')
    await world.say(id, 'resume')
    await world.untilIn(id, 'baking')
    expect(await world.say(id, 'promote_full', { approver: 'ada' })).toMatchObject({ ok: false, error: { reason: 'scope_missing' } })
    const full = { approver: 'ada', scopes: [promoteFullScope] }
    expect(await world.say(id, 'promote_full', { ...full, dryRun: true })).toMatchObject({ ok: true, value: { phase: 'promoting' } })
    expect((await world.rollout(id)).phase).toBe('baking')
    expect(await world.say(id, 'promote_full', full)).toMatchObject({ ok: true, value: { phase: 'promoting' } })
    await world.untilIn(id, 'succeeded')
  })

  it('needs two people where it was made so', async () => {
    const world = await RolloutWorld.open()
    const made = await world.create({ fourEyes: null })
    if (!made.ok) throw new Error(JSON.stringify(made.error))
    const { id } = made.value
    expect(made.value.phase).toBe('pending_approval')
    expect(await world.say(id, 'approve', { actor: 'ada' })).toMatchObject({ ok: false, error: { why: 'second_approver_missing' } })
    await world.say(id, 'approve', { actor: 'grace' })
    expect(await world.say(id, 'start')).toMatchObject({ ok: true, value: { phase: 'warming' } })
  })
})

it('a sound version whose copies are slow, for they meet the next requests of those who were answered, is not condemned', async () => {
  const world = await RolloutWorld.open({ seed: 3 })
  world.perS = { fra: 30 }
  await world.turns(60)
  world.behaviours.set(v2, { ...sound, ttftMs: 400 })
  const id = await world.start({ steps: [shadow(5_000, 60), weight(2_000, 30, { minRequests: 100 })] })
  await world.until(async () => world.published.weightBp > 0 || (await world.rollout(id)).phase === 'aborting', 300)
  expect((await world.rollout(id)).phase).not.toBe('aborting')
  // Served, and not copied, it is as quick as stable.
  world.behaviours.set(v2, sound)
  await world.untilIn(id, 'succeeded', 'rolled_back', 'paused')
  expect((await world.rollout(id)).phase).toBe('succeeded')
})

describe('a bad version', () => {
  it('that fails half of its requests is gone within seconds of its thirtieth, and the verdict has the numbers', async () => {
    const world = await RolloutWorld.open()
    world.behaviours.set(v2, { ...sound, errors: 0.5 })
    const id = await world.start({ steps: [weight(2_500, 600)] })
    await world.untilIn(id, 'shifting')
    const beganMs = world.nowMs
    await world.untilIn(id, 'aborting')
    // Two requests a second.
    expect(world.nowMs - beganMs).toBeLessThan(40_000)
    const { seq: _, ...verdict } = (await world.verdicts(id)).find(({ gate }) => gate === 'fast_guard') ?? { seq: 0 }
    expect(verdict).toMatchObject({ rollout: id, answer: 'fail', mode: 'abort', version: v2, reference: v1, step: 0 })
    const [check] = 'checks' in verdict ? verdict.checks : []
    expect(check?.rates?.canary).toBeGreaterThan(0.2)
    expect(check?.rates?.stable).toBeLessThan(0.05)
    expect(check?.samples).toBeGreaterThanOrEqual(30)
    const audit = await world.stores.rows.audit({ beforeSeq: null, limit: 500 })
    expect(audit.filter(({ resource }) => resource === 'verdict').map(({ after }) => after)).toContainEqual(verdict)
    await world.untilIn(id, 'rolled_back')
    expect(await world.alias()).toMatchObject({ stable: v1, canary: null, weightBp: 0 })
    // Its endpoints go, for nobody else uses it; not before it was drained.
    await world.turns(60)
    expect(world.removed.toSorted()).toEqual([`bom ${v2}`, `fra ${v2}`, `iad ${v2}`])
  })

  it.each([
    ['slow', { ttftMs: 400 }, 'slow_first_token'],
    ['empty', { empty: 0.05 }, 'empty_answer'],
    ['twice as bad', { errors: 0.03 }, 'hard_error'],
  ])('that is %s is found by its metric', async (_, worse, metric) => {
    const world = await RolloutWorld.open({ seed: 3 })
    world.perS = { fra: 20 }
    await world.turns(60)
    world.behaviours.set(v2, { ...sound, ...worse })
    const id = await world.start({ steps: [weight(5_000, 3_600, { minRequests: 100 })] })
    await world.untilIn(id, 'aborting', 'promoting')
    expect((await world.rollout(id)).phase).toBe('aborting')
    const verdict = (await world.verdicts(id)).find(({ gate, answer }) => gate === 'no_harm' && answer === 'fail')
    expect(verdict?.checks.find(({ answer }) => answer === 'fail')?.metric).toBe(metric)
  })

  it('tried again is judged by its new rollout alone', async () => {
    const world = await RolloutWorld.open()
    world.behaviours.set(v2, { ...sound, errors: 0.9 })
    const first = await world.start({ steps: [weight(5_000, 60)] })
    await world.untilIn(first, 'rolled_back')
    world.behaviours.set(v2, sound)
    const again = await world.say(first, 'retry')
    const id = again.ok ? again.value.successor : null
    if (!id) throw new Error('no rollout followed')
    expect(await world.rollout(id)).toMatchObject({ retryOf: first, phase: 'draft', to: v2 })
    await world.say(id, 'start')
    await world.untilIn(id, 'succeeded', 'rolled_back')
    expect((await world.rollout(id)).phase).toBe('succeeded')
    expect(await world.say(first, 'retry')).toMatchObject({ ok: false, error: { why: 'followed_already' } })
  })

  it('whose gate is only noted goes on, and is on record', async () => {
    const world = await RolloutWorld.open({ seed: 5 })
    await world.turns(60)
    world.behaviours.set(v2, { ...sound, empty: 0.2 })
    const gates = [
      { gate: 'accuracy', mode: 'observe' },
      { gate: 'no_harm', mode: 'observe' },
    ]
    const id = await world.start({ gates, steps: [weight(5_000, 60)] })
    await world.untilIn(id, 'succeeded', 'rolled_back', 'paused')
    expect((await world.rollout(id)).phase).toBe('succeeded')
    expect(await world.verdicts(id)).toContainEqual(expect.objectContaining({ gate: 'no_harm', mode: 'observe', answer: 'fail' }))
  })

  it('whose gate asks a person pauses once, and goes on when he says so', async () => {
    const world = await RolloutWorld.open({ seed: 5 })
    await world.turns(60)
    world.behaviours.set(v2, { ...sound, empty: 0.2 })
    const gates = [
      { gate: 'accuracy', mode: 'observe' },
      { gate: 'no_harm', mode: 'pause' },
    ]
    const id = await world.start({ gates, steps: [weight(5_000, 120)] })
    await world.untilIn(id, 'paused')
    expect(await world.rollout(id)).toMatchObject({ pause: { why: 'manual' }, weightBp: 5_000 })
    await world.say(id, 'resume')
    await world.turns(60)
    expect((await world.rollout(id)).phase).toBe('baking')
    await world.say(id, 'promote')
    await world.untilIn(id, 'succeeded')
  })
})

describe('what is nobody’s fault', () => {
  it('too little traffic: the bake is extended once, and then a person is asked', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ steps: [weight(2_000, 120, { minRequests: 200 })] })
    await world.untilIn(id, 'baking')
    world.perS = { fra: 0.2 }
    const paused = await world.untilIn(id, 'paused', 'succeeded')
    expect(paused).toMatchObject({ phase: 'paused', pause: { why: 'low_data', awaits: 'resume' } })
    expect((await world.phases(id)).filter((phase) => phase === 'baking')).toHaveLength(2)
  })

  it('a region in trouble: its failures condemn nobody, and judgement goes on when it is over', async () => {
    const world = await RolloutWorld.open({ seed: 8 })
    world.perS = { fra: 6, iad: 6, bom: 2 }
    const id = await world.start({ steps: [weight(3_000, 240)] })
    await world.untilIn(id, 'baking')
    // Its own endpoints there die, and with them whoever goes there by this region's way.
    world.dead.add('iad-stable')
    world.behaviours.set(`iad ${v1}`, { ...sound, errors: 0.05 })
    await world.until(async () => (await world.explain(id)).trouble.regions.length > 0, 120)
    world.behaviours.set(`iad ${v2}`, { ...sound, errors: 0.9 })
    await world.turns(60)
    const explained = await world.explain(id)
    expect(explained.trouble).toEqual({ fleet: false, regions: ['iad'] })
    expect(explained.waitsFor).toContain('trouble in iad')
    expect((await world.rollout(id)).phase).toBe('baking')
    world.dead.clear()
    world.behaviours.delete(`iad ${v1}`)
    world.behaviours.delete(`iad ${v2}`)
    await world.untilIn(id, 'succeeded', 'rolled_back', 'paused')
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })

  it('nobody can measure: five looks, and a person is asked', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ steps: [weight(3_000, 900)] })
    await world.untilIn(id, 'baking')
    for (const region of ['fra', 'iad', 'bom']) world.silent.add(region)
    const silentMs = world.nowMs
    const paused = await world.untilIn(id, 'paused')
    expect(paused).toMatchObject({ pause: { why: 'dependency' } })
    expect(world.nowMs - silentMs).toBeGreaterThan(40_000)
    expect(world.nowMs - silentMs).toBeLessThan(120_000)
  })

  it('core was away in a bake: what it had seen is kept, and nothing that began before is half counted', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ steps: [weight(5_000, 60)] })
    await world.untilIn(id, 'baking')
    await world.turns(30)
    const before = (await world.explain(id)).traffic.canaryRequestsInBake
    expect(before).toBeGreaterThan(0)
    world.wake()
    world.nowMs += 15_000
    await world.turns(2)
    expect((await world.explain(id)).traffic.canaryRequestsInBake).toBeGreaterThanOrEqual(before)
    await world.untilIn(id, 'succeeded', 'rolled_back', 'paused')
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })
})

describe('gates before traffic', () => {
  it('a version that is really worse than what it was made of is refused at the start, and the verdict is kept', async () => {
    const world = await RolloutWorld.open()
    await world.report(v1, golden('atlas-2.f16'))
    await world.report(v2, golden('atlas-2.q2_k'))
    const gates = [{ gate: 'accuracy', mode: 'abort' }]
    const refused = await world.create({ gates })
    expect(refused).toMatchObject({ ok: false, error: { reason: 'gate_failed' } })
    const kept = await world.stores.verdicts.list({ rollout: null, version: v2, beforeSeq: null, limit: 10 })
    expect(kept).toHaveLength(1)
    expect(kept[0]).toMatchObject({ gate: 'accuracy', answer: 'fail', rollout: null, version: v2, reference: v1 })
    const told = (await world.stores.outbox.undone(['notify'], 10)).map(({ payload }) => JSON.parse(payload) as object)
    expect(told).toMatchObject([{ kind: 'start_refused', refused: { rollout: { id: null, to: v2 }, verdicts: [{ id: kept[0]?.id }] } }])
    expect(await world.alias()).toMatchObject({ canary: null })
    expect(await world.stores.rollouts.list({ environment: null, model: null, live: false, beforeSeq: null, limit: 5 })).toEqual([])
    // As good as it: nothing is in the way.
    await world.report(v2, golden('atlas-2.q4_0'))
    expect(await world.create({ gates })).toMatchObject({ ok: true, value: { phase: 'warming' } })
  })

  it('without a report it waits, for as long as there is none, and goes on when there is one', async () => {
    const world = await RolloutWorld.open()
    const id = await world.start({ gates: [{ gate: 'accuracy', mode: 'abort' }] })
    await world.turns(120)
    expect((await world.rollout(id)).phase).toBe('warming')
    expect((await world.explain(id)).waitsFor).toContain('no evaluation report')
    await world.report(v1, golden('atlas-2.f16'))
    await world.report(v2, golden('atlas-2.q8_0'))
    await world.untilIn(id, 'shifting')
    const verdicts = (await world.verdicts(id)).filter(({ gate }) => gate === 'accuracy')
    expect(verdicts.map(({ answer }) => answer)).toEqual(['no_data', 'pass'])
  })

  it('no endpoint is given traffic before all are loaded and have answered', async () => {
    const world = await RolloutWorld.open()
    let isLoaded = false
    world.bring = (_, { id }) =>
      Promise.resolve(isLoaded ? { state: 'ready', detail: 'loaded', servedName: id } : { state: 'loading', detail: 'fetching' })
    const id = await world.start()
    await world.turns(60)
    expect((await world.rollout(id)).phase).toBe('warming')
    expect(world.published).toMatchObject({ canary: v2, weightBp: 0 })
    expect((await world.explain(id)).waitsFor).toContain('readiness')
    isLoaded = true
    world.dead.add(`iad.${v2}`)
    await world.turns(60)
    expect((await world.rollout(id)).phase).not.toBe('shifting')
    world.dead.clear()
    await world.until(async () => {
      if ((await world.rollout(id)).phase === 'paused') await world.say(id, 'resume')
      return (await world.rollout(id)).phase === 'shifting'
    }, 300)
  })
})

describe('a plan that cannot work', () => {
  const faultsOf = async (world: RolloutWorld, more: Parameters<RolloutWorld['create']>[0]) => {
    const made = await world.create(more)
    if (made.ok || made.error.reason !== 'plan_refused') throw new Error(JSON.stringify(made))
    return made.error.faults.map(({ reason, pointer }) => `${reason} ${pointer}`)
  }

  it.each<readonly [string, Parameters<RolloutWorld['create']>[0], readonly string[]]>([
    ['falling weights', { steps: [weight(2_000, 60), weight(1_000, 60)] }, ['steps_invalid #/steps/1/weightBp']],
    ['all at once', { steps: [weight(10_000, 60)] }, ['steps_invalid #/steps/0/weightBp']],
    ['no weight', { steps: [shadow(1_000, 60)] }, ['steps_invalid #/steps']],
    [
      'an unknown gate',
      {
        gates: [
          { gate: 'load', mode: 'abort' },
          { gate: 'luck', mode: 'abort' },
        ],
      },
      ['unknown_gate #/gates/1/gate'],
    ],
    ['a broken list of gates', { gates: [{ gate: 'accuracy' }] }, ['gates_invalid #/gates/0/mode']],
    ['the same version', { to: v1 }, ['same_version #/to', 'not_approved #/to']],
    ['another stable than thought', { from: v2 }, ['stable_moved #/from']],
  ])('%s', async (_, more, faults) => {
    expect(await faultsOf(await RolloutWorld.open(), more)).toEqual(expect.arrayContaining([...faults]))
  })

  it('not approved, or no longer', async () => {
    const world = await RolloutWorld.open()
    const row = await world.stores.rows.get('approval', ['production', v2])
    if (!row) throw new Error('no approval')
    await world.stores.rows.update('approval', row, { expiresAtMs: world.nowMs - 1 }, world.by('ada'))
    expect(await faultsOf(world, {})).toEqual(['not_approved #/to'])
  })

  it('too little room', async () => {
    const world = await RolloutWorld.open({ slots: 1 })
    world.perS = { fra: 40 }
    await world.turns(70)
    expect(await faultsOf(world, { steps: [weight(500, 60), weight(5_000, 60)] })).toEqual(['capacity_missing #/steps/1/weightBp'])
  })

  it('another rollout is active; and what was planned before may not start then', async () => {
    const world = await RolloutWorld.open()
    const draft = await world.create({ start: false })
    const id = await world.start()
    expect(await faultsOf(world, {})).toContain('rollout_active #/model')
    const started = await world.say(draft.ok ? draft.value.id : id, 'start')
    expect(started).toMatchObject({ ok: false, error: { reason: 'plan_refused' } })
    expect(await world.say(id, 'start', { generation: 1 })).toMatchObject({ ok: false, error: { reason: 'generation_mismatch' } })
    const planned = await world.plan()
    expect(planned.ok && planned.value.refusals.map(({ reason }) => reason)).toContain('rollout_active')
    expect(planned.ok && planned.value.from).toBe(v1)
  })
})
