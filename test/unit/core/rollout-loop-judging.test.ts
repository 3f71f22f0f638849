// What the joined loop finds, and what it does not condemn: canaries that are worse in ways that traffic shows, and sound ones in bad company.

import { describe, expect, it, vi } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import { RolloutWorld, shadow, sound, v1, v2, weight, type Behaviour } from '../../support/rollout-world.ts'

// Thousands of turns of virtual time: a busy machine must not decide.
vi.setConfig({ testTimeout: 60_000 })

const minute = 60

/** A world in which stable has been seen for a while, so that all of it is known. */
async function usual(seed: number, perS: RolloutWorld['perS'], stable: Behaviour = sound): Promise<RolloutWorld> {
  const world = await RolloutWorld.open({ seed })
  world.perS = perS
  world.behaviours.set(v1, stable)
  world.behaviours.set(v2, stable)
  await world.turns(90)
  return world
}

const ends = ['succeeded', 'rolled_back', 'paused'] as const

describe('a worse canary', () => {
  it.each([1, 2, 3])(
    'twice the hard errors, 150 requests a minute: found within 20 min (seed %d)',
    async (seed) => {
      const world = await usual(seed, { fra: 25 })
      world.behaviours.set(v2, { ...sound, errors: 2 * sound.errors })
      const id = await world.start({ steps: [weight(1_000, 3 * 3_600)] })
      await world.untilIn(id, 'baking', 'aborting')
      const beganMs = world.nowMs
      await world.until(async () => (await world.rollout(id)).phase === 'aborting', 20 * minute)
      expect(world.nowMs - beganMs).toBeLessThanOrEqual(20 * minute * 1_000)
      const failed = (await world.verdicts(id)).find(({ answer }) => answer === 'fail')
      const check = failed?.checks.find(({ answer }) => answer === 'fail')
      expect(check).toMatchObject({ metric: 'hard_error', samples: expect.any(Number), threshold: expect.any(Number) })
      expect(check?.rates?.canary).toBeGreaterThan(check?.rates?.stable ?? 1)
    },
    30_000,
  )

  it('that breaks schemas is found by it, where callers ask for schemas', async () => {
    const world = await usual(4, { fra: 20 }, { ...sound, broken: 0.01 })
    world.behaviours.set(v2, { ...sound, broken: 0.1 })
    const id = await world.start({ steps: [weight(5_000, 3_600, { minRequests: 100 })] })
    await world.untilIn(id, 'aborting', 'promoting')
    const failed = (await world.verdicts(id)).find(({ answer }) => answer === 'fail')
    expect(failed?.checks.filter(({ answer }) => answer === 'fail').map(({ metric }) => metric)).toEqual(['schema_violation'])
  })

  it('whose answers to copies fail never gets a caller', async () => {
    const world = await usual(5, { fra: 20 })
    world.behaviours.set(v2, { ...sound, errors: 0.6 })
    const id = await world.start({ steps: [shadow(5_000, 120), weight(5_000, 60)] })
    let weightBpMax = 0
    await world.until(async () => {
      weightBpMax = Math.max(weightBpMax, world.published.weightBp)
      return ['aborting', ...ends].includes((await world.rollout(id)).phase)
    })
    expect((await world.rollout(id)).phase).toBe('aborting')
    expect(weightBpMax).toBe(0)
  })

  it('whose callers leave before the first token is found by it', async () => {
    const world = await usual(8, { fra: 20 }, { ...sound, leaves: 0.02 })
    world.behaviours.set(v2, { ...sound, leaves: 0.15 })
    const id = await world.start({ steps: [weight(5_000, 3_600, { minRequests: 100 })] })
    await world.untilIn(id, 'aborting', 'promoting')
    const failed = (await world.verdicts(id)).find(({ answer }) => answer === 'fail')
    expect(failed?.checks.filter(({ answer }) => answer === 'fail').map(({ metric }) => metric)).toEqual(['early_abort'])
  })

  it('that is worse in one region alone is found, and the region named', async () => {
    const world = await usual(6, { fra: 12, iad: 12, bom: 12 })
    world.behaviours.set(`bom ${v2}`, { ...sound, errors: 0.04 })
    const id = await world.start({ steps: [weight(5_000, 3_600)] })
    await world.untilIn(id, 'aborting', 'promoting')
    const check = (await world.verdicts(id))
      .flatMap(({ gate, checks }) => (gate === 'no_harm' ? checks : []))
      .find(({ answer }) => answer === 'fail')
    expect(check?.reason).toContain('most of it from bom')
  })

  it('that goes bad at the last step, with all of traffic, is taken back', async () => {
    const world = await usual(7, { fra: 20 })
    const id = await world.start({ steps: [weight(5_000, 20), weight(10_000, 3_600)] })
    await world.until(async () => world.published.weightBp === 10_000)
    await world.turns(30)
    world.behaviours.set(v2, { ...sound, errors: 0.5 })
    const badMs = world.nowMs
    await world.untilIn(id, 'aborting')
    expect(world.nowMs - badMs).toBeLessThan(60_000)
    await world.untilIn(id, 'rolled_back')
    expect(await world.alias()).toMatchObject({ stable: v1, canary: null })
  })
})

describe('a sound canary', () => {
  it.each([11, 12, 13])(
    'is not condemned while errors rise in both versions, and the weight grows (seed %d)',
    async (seed) => {
      const world = await usual(seed, { fra: 20 })
      const id = await world.start({ steps: [weight(1_000, 120), weight(3_000, 120), weight(6_000, 120)] })
      await world.until(async () => {
        const bad = { ...sound, errors: Math.min(0.2, sound.errors + (world.published.weightBp / 10_000) * 0.3) }
        world.behaviours.set(v1, bad)
        world.behaviours.set(v2, bad)
        return ['promoting', 'aborting', ...ends].includes((await world.rollout(id)).phase)
      })
      expect((await world.rollout(id)).phase).toBe('promoting')
    },
    20_000,
  )

  it('is not condemned by what its requests met in a region’s trouble, also where they alone met it', async () => {
    const world = await usual(14, { fra: 8, iad: 8, bom: 8 })
    const id = await world.start({ steps: [weight(3_000, 180)] })
    await world.untilIn(id, 'baking')
    world.dead.add('iad-stable')
    await world.until(async () => (await world.explain(id)).trouble.regions.length > 0, 120)
    world.behaviours.set(`iad ${v2}`, { ...sound, errors: 1 })
    await world.turns(90)
    world.behaviours.delete(`iad ${v2}`)
    world.dead.clear()
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })

  it('whose bake is over, with nothing against it, goes no further while a region is in trouble', async () => {
    const world = await usual(26, { fra: 8, iad: 8, bom: 8 })
    const id = await world.start({ steps: [weight(3_000, 60)] })
    await world.untilIn(id, 'baking')
    await world.turns(40)
    world.dead.add('iad-stable')
    await world.untilIn(id, 'judging', ...ends)
    await world.turns(60)
    expect([(await world.rollout(id)).phase, (await world.explain(id)).trouble.regions]).toEqual(['judging', ['iad']])
    world.dead.clear()
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })

  it('waits through a trouble of the fleet, however long, and goes on when it is over', async () => {
    const world = await usual(15, { fra: 8, iad: 8, bom: 8 })
    const id = await world.start({ steps: [weight(3_000, 60)] })
    await world.untilIn(id, 'baking')
    world.silent.add('fra').add('iad')
    await world.turns(180)
    expect((await world.explain(id)).trouble.fleet).toBe(true)
    expect(['baking', 'judging']).toContain((await world.rollout(id)).phase)
    world.silent.clear()
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).not.toBe('rolled_back')
  })

  it.each([0.02, 0.1, 0.5])('with %d requests a second is paused for want of data, and never succeeds', async (perS) => {
    const world = await usual(16, { fra: perS })
    const id = await world.start({ steps: [weight(1_000, 300, { minRequests: 100 })] })
    const { phase, pause } = await world.untilIn(id, ...ends)
    expect({ phase, why: pause?.why }).toEqual({ phase: 'paused', why: 'low_data' })
  })

  it.each([30, 300])('core is away for %d s in a bake: it is still judged by whole slots, and goes on', async (seconds) => {
    const world = await usual(17, { fra: 20 })
    const id = await world.start({ steps: [weight(5_000, 120)] })
    await world.untilIn(id, 'baking')
    await world.turns(20)
    await world.away(seconds)
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })
})

describe('copies', () => {
  it('are not held up by what nobody can do with a copy: leave before the first token', async () => {
    const world = await usual(25, { fra: 20 }, { ...sound, leaves: 0.02 })
    const id = await world.start({ steps: [shadow(5_000, 30), weight(5_000, 30, { minRequests: 100 })] })
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
    const judged = (await world.verdicts(id)).flatMap(({ gate, checks, step }) =>
      gate === 'no_harm' ? checks.map(({ metric }) => `${step} ${metric}`) : [],
    )
    expect(judged).toContain('1 early_abort')
    expect(judged).not.toContain('0 early_abort')
  })
})

describe('slow requests', () => {
  const slow = { ...sound, endsAfterMs: 20_000 }

  it('quick failures of a sound canary end before its slow successes, and do not condemn it when the weight jumps', async () => {
    const world = await usual(18, { fra: 40 }, { ...slow, errors: 0.03 })
    const id = await world.start({ steps: [weight(300, 60), weight(6_000, 60)] })
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })

  it('a bake ends when it is certain what became of all of them, and not before', async () => {
    const world = await usual(19, { fra: 40 }, slow)
    const id = await world.start({ steps: [weight(5_000, 30)] })
    const { bakeEndsAtMs } = await world.untilIn(id, 'baking')
    const { enteredAtMs } = await world.untilIn(id, 'judging')
    expect(enteredAtMs - (bakeEndsAtMs ?? 0)).toBeGreaterThanOrEqual(18_000)
    expect(enteredAtMs - (bakeEndsAtMs ?? 0)).toBeLessThanOrEqual(40_000)
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })

  it('a canary that fails at once is seen at once, while its good requests run', async () => {
    const world = await usual(20, { fra: 40 }, slow)
    world.behaviours.set(v2, { ...slow, errors: 0.5 })
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.until(async () => world.published.weightBp === 5_000)
    const beganMs = world.nowMs
    await world.untilIn(id, 'aborting')
    expect(world.nowMs - beganMs).toBeLessThan(20_000)
  })

  it('whose end nobody ever tells hold nothing up for ever', async () => {
    const world = await usual(24, { fra: 40 }, { ...sound, endsAfterMs: 3_600_000 })
    world.behaviours.set(v2, sound)
    const id = await world.start({ steps: [weight(5_000, 30)] })
    const { bakeEndsAtMs } = await world.untilIn(id, 'baking')
    const { enteredAtMs } = await world.untilIn(id, 'judging', ...ends)
    expect(enteredAtMs - (bakeEndsAtMs ?? 0)).toBeLessThanOrEqual(limits.trialJudgeMs + limits.trialSlackMs + limits.rolloutBlockMs)
  })
})

describe('what cannot be judged', () => {
  it('is not judged, and said to be so with the reason', async () => {
    const world = await usual(21, { fra: 20 })
    const id = await world.start({ steps: [weight(5_000, 60, { minRequests: 100 })] })
    await world.untilIn(id, 'baking')
    const { notJudged, gates } = await world.explain(id)
    expect(Object.keys(notJudged).toSorted()).toEqual(['early_abort', 'schema_violation', 'slow_tokens'])
    expect(notJudged['slow_tokens']).toContain('no objective')
    const judged = gates.flatMap(({ gate, checks }) => (gate === 'no_harm' ? checks.map(({ metric }) => metric) : []))
    expect(judged).toEqual(['hard_error', 'slow_first_token', 'empty_answer'])
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
  })
})

describe('a failure', () => {
  it('in mode observe is on record, with its numbers, and the step goes on', async () => {
    const world = await usual(22, { fra: 20 })
    world.behaviours.set(v2, { ...sound, errors: 0.4 })
    const observed = ['accuracy', 'no_harm', 'fast_guard'].map((gate) => ({ gate, mode: 'observe' }))
    const id = await world.start({ gates: observed, steps: [weight(5_000, 60)] })
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('succeeded')
    const failed = (await world.verdicts(id)).filter(({ answer }) => answer === 'fail')
    expect(failed.map(({ gate, mode }) => `${gate} ${mode}`).toSorted()).toEqual(
      expect.arrayContaining(['fast_guard observe', 'no_harm observe']),
    )
  })

  it('has one verdict for each moment and gate, and each is one row of the audit log', async () => {
    const world = await usual(23, { fra: 20 })
    world.behaviours.set(v2, { ...sound, errors: 0.5 })
    const id = await world.start({ steps: [weight(5_000, 60)] })
    await world.untilIn(id, 'rolled_back')
    const verdicts = await world.verdicts(id)
    const audit = (await world.stores.rows.audit({ beforeSeq: null, limit: 1_000 })).filter(({ resource }) => resource === 'verdict')
    expect(new Set(verdicts.map((each) => each.id)).size).toBe(verdicts.length)
    expect(audit.map(({ resourceId }) => resourceId).toSorted()).toEqual(verdicts.map((each) => each.id).toSorted())
    // The record of the change says why, in the verdict's words.
    const abort = (await world.stores.rollouts.transitions(id)).find(({ to }) => to === 'aborting')
    const guard = verdicts.find(({ gate, answer }) => gate === 'fast_guard' && answer === 'fail')
    expect(abort?.detail).toContain(guard?.checks[0]?.reason)
    expect(guard?.window && guard.window.untilMs - guard.window.fromMs).toBeLessThanOrEqual(limits.guardSliceMs * limits.guardSlicesMax)
  })
})
