// What becomes of endpoints when a rollout is over: they go when nobody uses the version any more, and never before. Endpoints are shared
// between environments, so another alias, or another rollout, keeps them.

import { describe, expect, it, vi } from 'vitest'
import type { Environment, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { versionDraft } from '../../support/deploy-world.ts'
import { atlas, RolloutWorld, sound, v1, v2, weight } from '../../support/rollout-world.ts'

// Thousands of turns of virtual time: a busy machine must not decide.
vi.setConfig({ testTimeout: 60_000 })

const v3 = 'atlas-3' as VersionId

async function approve(world: RolloutWorld, version: VersionId, environment: Environment): Promise<void> {
  const evidence = { note: '', reports: [], verdicts: [] }
  await world.stores.make('approval', { environment, version, approvedBy: 'ada', evidence, expiresAtMs: null })
}

/** Production is on atlas-2, which its own rollout deployed, and nothing of atlas-1 is held any more. */
async function onSecond(): Promise<RolloutWorld> {
  const world = await RolloutWorld.open({ seed: 51 })
  world.perS = { fra: 20 }
  await world.stores.make('version', versionDraft(v3))
  await approve(world, v3, 'production')
  const id = await world.start({ steps: [weight(5_000, 10)] })
  await world.untilIn(id, 'succeeded')
  await holdOver(world)
  return world
}

/** Past the end of the hold, and until what follows from it has been done. Nobody serves meanwhile. */
async function holdOver(world: RolloutWorld): Promise<void> {
  world.nowMs += limits.rolloutStableHoldMs
  await world.turns(120)
}

async function staging(world: RolloutWorld, stable: VersionId): Promise<void> {
  const none = { canary: null, weightBp: 0, shadowBp: 0, rollout: null, rolloutGeneration: null }
  await world.stores.make('alias', { environment: 'staging', model: atlas, stable, salt: 's', ...none })
  await world.turns(3)
}

const statesOf = async (world: RolloutWorld, version: VersionId): Promise<readonly string[]> => [
  ...new Set((await world.deployments(version)).map(({ state }) => state)),
]
const removedOf = (world: RolloutWorld, version: VersionId): number => world.removed.filter((each) => each.endsWith(` ${version}`)).length

describe('the old version', () => {
  it('goes when its hold is over', async () => {
    const world = await onSecond()
    const id = await world.start({ to: v3, steps: [weight(5_000, 10)] })
    await world.untilIn(id, 'succeeded')
    await world.turns(60)
    expect([removedOf(world, v2), await statesOf(world, v2)]).toEqual([0, ['ready']])
    await holdOver(world)
    expect(removedOf(world, v2)).toBe(3)
    expect(removedOf(world, v3)).toBe(0)
    expect(world.published).toMatchObject({ stable: v3, canary: null })
  })

  it('stays where another environment is on it', async () => {
    const world = await onSecond()
    await staging(world, v2)
    const id = await world.start({ to: v3, steps: [weight(5_000, 10)] })
    await world.untilIn(id, 'succeeded')
    await holdOver(world)
    expect([removedOf(world, v2), await statesOf(world, v2)]).toEqual([0, ['ready']])
  })

  it('taken back within the hold stays, and the newer one goes when that is over', async () => {
    const world = await onSecond()
    const id = await world.start({ to: v3, steps: [weight(5_000, 10)] })
    await world.untilIn(id, 'succeeded')
    const back = await world.say(id, 'rollback')
    const other = back.ok ? back.value.successor : null
    if (!other) throw new Error(JSON.stringify(back))
    await world.untilIn(other, 'succeeded')
    await holdOver(world)
    expect([removedOf(world, v2), removedOf(world, v3)]).toEqual([0, 3])
    expect(world.published.stable).toBe(v2)
  })
})

describe('a canary that was aborted', () => {
  it('goes, and not before its last request is over', async () => {
    const world = await RolloutWorld.open({ seed: 52 })
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    world.held.set(v2, 3)
    await world.say(id, 'abort')
    await world.turns(120)
    expect((await world.rollout(id)).phase).toBe('aborting')
    expect([world.published.weightBp, removedOf(world, v2)]).toEqual([0, 0])
    expect((await world.explain(id)).canaryInFlight).toBe(9)
    world.held.clear()
    await world.untilIn(id, 'rolled_back')
    await world.turns(90)
    expect(removedOf(world, v2)).toBe(3)
  })

  it('stays while a ledger is silent: nobody knows what it still holds there', async () => {
    const world = await RolloutWorld.open({ seed: 57 })
    world.perS = { fra: 20, iad: 20 }
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    await world.say(id, 'abort')
    world.silent.add('bom')
    await world.turns(300)
    expect([(await world.rollout(id)).phase, removedOf(world, v2)]).toEqual(['aborting', 0])
    world.silent.clear()
    await world.untilIn(id, 'rolled_back')
    await world.turns(90)
    expect(removedOf(world, v2)).toBe(3)
  })

  it('that never drains stays, and a person is told to take it away', async () => {
    const world = await RolloutWorld.open({ seed: 53 })
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    world.held.set(v2, 1)
    await world.say(id, 'abort')
    await world.turns(10)
    world.nowMs += limits.rolloutAbortingMsMax
    await world.untilIn(id, 'rolled_back')
    await world.turns(90)
    expect(removedOf(world, v2)).toBe(0)
    expect((await world.rollout(id)).last?.detail).toContain('its endpoints stay')
  })

  it('stays where another environment’s rollout moves to it', async () => {
    const world = await RolloutWorld.open({ seed: 54 })
    await staging(world, v1)
    await approve(world, v2, 'staging')
    const ids: RolloutId[] = []
    for (const environment of ['production', 'staging'] as const) ids.push(await world.start({ environment, steps: [weight(5_000, 600)] }))
    const [production, other] = ids
    if (!production || !other) throw new Error('not started')
    await world.untilIn(production, 'baking')
    world.behaviours.set(v2, { ...sound, errors: 0.6 })
    await world.untilIn(production, 'rolled_back')
    await world.turns(90)
    expect(removedOf(world, v2)).toBe(0)
    // Each alias is moved by its own rollout alone.
    expect(await world.stores.rows.get('alias', ['staging', atlas])).toMatchObject({ canary: v2, rollout: other })
    await world.say(other, 'abort')
    await world.untilIn(other, 'rolled_back')
    await world.turns(90)
    expect(removedOf(world, v2)).toBe(3)
  })
})

describe('where nobody asks for anything', () => {
  it('a rollout moves by what people say, and by the ledgers that know of it', async () => {
    const world = await RolloutWorld.open({ seed: 55 })
    world.perS = {}
    await staging(world, v1)
    await approve(world, v2, 'staging')
    const id = await world.start({ environment: 'staging', steps: [weight(5_000, 60)] })
    await world.untilIn(id, 'shifting')
    await world.turns(120)
    expect((await world.rollout(id)).phase).toBe('shifting')
    expect(await world.say(id, 'promote')).toMatchObject({ ok: true, value: { phase: 'promoting' } })
    await world.untilIn(id, 'succeeded')
    expect(await world.stores.rows.get('alias', ['staging', atlas])).toMatchObject({ stable: v2, canary: null })
    expect(await world.alias()).toMatchObject({ stable: v1, canary: null })
  })

  it('by itself it ends paused for want of data, not succeeded', async () => {
    const world = await RolloutWorld.open({ seed: 56 })
    world.perS = {}
    const id = await world.start({ steps: [weight(5_000, 60)] })
    const { phase, pause } = await world.untilIn(id, 'paused', 'succeeded', 'rolled_back')
    expect([phase, pause?.why]).toEqual(['paused', 'low_data'])
  })
})
