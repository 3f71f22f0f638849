// Rollouts in the real loop, whatever happens: a crash at any call outside, and people who say anything at any time. The result is that of a
// loop that never crashed, what must always hold holds in every turn, and everything ends.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { promoteFullScope, type Rollout } from '../../../core/rollout/record.ts'
import type { RolloutCommandName } from '../../../core/facts.ts'
import type { RolloutId } from '../../../shared/ids.ts'
import { RolloutWorld, shadow, sound, v1, v2, weight } from '../../support/rollout-world.ts'

const ends: readonly Rollout['phase'][] = ['succeeded', 'rolled_back', 'superseded', 'rejected']

/** What must hold at every moment, of the rollout, its alias, and what is published. */
async function mustHold(world: RolloutWorld, id: RolloutId): Promise<void> {
  const rollout = await world.rollout(id)
  const alias = await world.alias()
  const transitions = await world.stores.rollouts.transitions(id)
  const generations = transitions.map(({ generation }) => generation)
  expect(generations).toEqual([...new Set(generations)].toSorted((a, b) => a - b))
  expect(rollout.generation).toBeGreaterThanOrEqual(generations.at(-1) ?? 1)
  if (alias.weightBp > 0 || alias.shadowBp > 0) expect(rollout.warm).toBe(true)
  if (alias.rollout === id) {
    expect(alias.rolloutGeneration).toBe(rollout.aliasGeneration)
    expect({ weightBp: alias.weightBp, shadowBp: alias.shadowBp }).toEqual({ weightBp: rollout.weightBp, shadowBp: rollout.shadowBp })
  }
  // No endpoint of the canary goes before it is without traffic.
  if (world.removed.length > 0) expect(ends).toContain(rollout.phase)
  const verdicts = await world.verdicts(id)
  expect(new Set(verdicts.map((verdict) => verdict.id)).size).toBe(verdicts.length)
}

describe('a crash at any call outside, and another life', () => {
  type Crash = { readonly call: number; readonly after: boolean }
  const open = async () => {
    const world = await RolloutWorld.open({ seed: 2 })
    world.perS = { fra: 24 }
    return world
  }
  const ride = async (isBad: boolean, crashes: readonly Crash[]) => {
    const world = await open()
    if (isBad) world.behaviours.set(v2, { ...sound, errors: 0.6 })
    const id = await world.start({ steps: [shadow(10_000, 5), weight(5_000, 5)] })
    const left = [...crashes]
    const arm = (): void => {
      const next = left.shift()
      if (next) world.dieAt(next.call, next.after)
    }
    arm()
    await world.until(async () => {
      if (world.isDead) {
        world.wake()
        arm()
      }
      await mustHold(world, id)
      const { phase } = await world.rollout(id)
      // What began before a crash is not judged: so short a bake may be left with too little, and then a person is asked.
      if (phase === 'paused' && world.state.catalogue) await world.hear(world.say(id, 'resume'))
      return ends.includes(phase)
    }, 600)
    for (let seconds = 0; seconds < 90; seconds++) {
      if (world.isDead) world.wake()
      await world.turns(1)
    }
    await mustHold(world, id)
    const alias = await world.alias()
    return {
      phase: (await world.rollout(id)).phase,
      // The way may differ, for the guard's last minutes are forgotten; not where it leads.
      alias: { stable: alias.stable, canary: alias.canary, weightBp: alias.weightBp, shadowBp: alias.shadowBp },
      removed: [...new Set(world.removed)].toSorted(),
      undone: (await world.stores.outbox.undone(['deploy', 'undeploy', 'notify', 'outbox'], 100)).length,
    }
  }

  it.each([
    ['a sound version', false, 'succeeded'],
    ['a bad version', true, 'rolled_back'],
  ] as const)(
    '%s',
    async (_, isBad, phase) => {
      const usual = await ride(isBad, [])
      expect(usual).toMatchObject({ phase, undone: 0, alias: { stable: isBad ? v1 : v2, canary: null, weightBp: 0, shadowBp: 0 } })
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.record({ call: fc.integer({ min: 1, max: 500 }), after: fc.boolean() }), { minLength: 1, maxLength: 5 }),
          async (crashes) => {
            expect(await ride(isBad, crashes)).toEqual(usual)
          },
        ),
        { numRuns: 25, seed: 7 },
      )
    },
    90_000,
  )
})

describe('people who say anything at any time', () => {
  const said = fc.constantFrom<RolloutCommandName>(
    ...(['submit', 'approve', 'reject', 'start', 'pause', 'resume', 'promote', 'promote_full', 'abort', 'retry', 'rollback'] as const),
  )
  const step = fc.oneof(
    fc.record({ do: fc.constant('say' as const), command: said }),
    fc.record({ do: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ do: fc.constant('crash' as const), call: fc.integer({ min: 1, max: 60 }), after: fc.boolean() }),
    fc.record({ do: fc.constant('go bad' as const) }),
  )

  it('hold nothing up for ever, and break nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), fc.integer({ min: 1, max: 1_000 }), async (script, seed) => {
        const world = await RolloutWorld.open({ seed })
        world.perS = { fra: 40 }
        const made = await world.create({ start: false, steps: [weight(3_000, 5), { kind: 'approval' }, weight(6_000, 5)] })
        if (!made.ok) throw new Error(JSON.stringify(made.error))
        const { id } = made.value
        const turn = async (): Promise<void> => {
          if (world.isDead) world.wake()
          await world.turns(1)
          await mustHold(world, id)
        }
        for (const each of script) {
          if (each.do === 'wait') for (let seconds = 0; seconds < each.seconds; seconds++) await turn()
          if (each.do === 'crash') world.dieAt(each.call, each.after)
          if (each.do === 'go bad') world.behaviours.set(v2, { ...sound, errors: 0.7 })
          if (each.do === 'say') {
            if (world.isDead) world.wake()
            if (!world.state.catalogue) await turn()
            // A call that dies on the way is one of which nobody hears the answer.
            await world.hear(world.say(id, each.command, { approver: 'ada', scopes: [promoteFullScope] }))
            await mustHold(world, id)
          }
        }
        // Then nobody says anything but what it waits for, and it ends.
        await world.until(async () => {
          if (world.isDead) world.wake()
          await mustHold(world, id)
          const { phase, pause } = await world.rollout(id)
          if (ends.includes(phase)) return true
          if (!world.state.catalogue) return false
          if (phase === 'draft' || phase === 'pending_approval' || phase === 'approved') await world.hear(world.say(id, 'start'))
          if (phase === 'paused') await world.hear(world.say(id, pause?.awaits === 'approval' ? 'approve' : 'resume'))
          return false
        }, 900)
        const { phase } = await world.rollout(id)
        expect(ends).toContain(phase)
        if (phase === 'succeeded') expect((await world.alias()).stable).not.toBe(v1)
      }),
      { numRuns: 40, seed: 11 },
    )
  }, 120_000)
})
