// Analyses and proofs in the joined loop: what a gate that is asked for by a step must say before it goes further.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { readReport } from '../../../shared/wire/report.ts'
import { RolloutWorld, sound, v1, v2, weight } from '../../support/rollout-world.ts'

// Thousands of turns of virtual time: a busy machine must not decide.
vi.setConfig({ testTimeout: 60_000 })

const golden = (name: string) => {
  const read = readReport(readFileSync(path.join(import.meta.dirname, `../../golden/reports/${name}.json`), 'utf8'))
  if (!read.ok) throw new Error(read.error.detail)
  return read.value
}

async function seen(seed: number, perS = 30): Promise<RolloutWorld> {
  const world = await RolloutWorld.open({ seed })
  world.perS = { fra: perS }
  await world.turns(70)
  return world
}

const analysis = (gates: readonly string[], withinS = 120): object => ({ kind: 'analysis', gates, withinMs: withinS * 1_000 })
const modes = (more: Readonly<Record<string, string>>) =>
  Object.entries({ accuracy: 'observe', ...more }).map(([gate, mode]) => ({ gate, mode }))
const ends = ['succeeded', 'rolled_back', 'paused'] as const

describe('an analysis', () => {
  it.each([[['no_harm']], [['fast_guard']], [['readiness']], [['fast_guard', 'no_harm', 'readiness']]])(
    'of %j passes for a sound canary, and rests on verdicts that are stored',
    async (gates) => {
      const world = await seen(41)
      const id = await world.start({ steps: [weight(5_000, 30), analysis(gates), weight(8_000, 30)] })
      await world.untilIn(id, ...ends)
      expect((await world.rollout(id)).phase).toBe('succeeded')
      // A gate before traffic that says the same as before has said it in the verdict that stands.
      const passed = (await world.verdicts(id)).filter(({ step, answer }) => (step === 1 || step === null) && answer === 'pass')
      expect(passed.map(({ gate }) => gate)).toEqual(expect.arrayContaining(gates))
    },
  )

  it.each([
    ['pause', 'paused'],
    ['abort', 'rolled_back'],
    ['observe', 'succeeded'],
  ])('of accuracy, of which a newer report says worse, in mode %s: %s', async (mode, end) => {
    const world = await seen(42)
    await world.report(v1, golden('atlas-2.f16'))
    await world.report(v2, golden('atlas-2.q8_0'))
    const id = await world.start({
      gates: modes({ accuracy: mode }),
      steps: [weight(5_000, 20), analysis(['accuracy']), weight(8_000, 20)],
    })
    await world.untilIn(id, 'baking')
    await world.report(v2, golden('atlas-2.q2_k'))
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe(end)
    const told = (await world.verdicts(id)).filter(({ gate }) => gate === 'accuracy')
    expect(told.map(({ answer, step }) => [answer, step])).toEqual([
      ['pass', null],
      ['fail', 1],
    ])
  })

  it('fails with the canary, by the gate that it asks', async () => {
    const world = await seen(44)
    world.behaviours.set(v2, { ...sound, empty: 0.3 })
    // Only noted while it bakes.
    const gates = modes({ no_harm: 'observe' })
    const id = await world.start({ gates, steps: [weight(5_000, 30), analysis(['not_worse'], 60), weight(8_000, 30)] })
    await world.untilIn(id, ...ends)
    expect(await world.rollout(id)).toMatchObject({ phase: 'paused', stepIndex: 1, pause: { why: 'manual' } })
    const told = (await world.verdicts(id)).filter(({ step, gate }) => step === 1 && gate === 'not_worse')
    expect(told.map(({ answer }) => answer)).toContain('fail')
  })
})

describe('a proof', () => {
  it('that is asked for with too few requests is not taken for granted: a person is asked', async () => {
    const world = await seen(45)
    const id = await world.start({ steps: [weight(5_000, 30, { minRequests: 100, proof: true })] })
    await world.untilIn(id, ...ends)
    const { phase, pause } = await world.rollout(id)
    expect([phase, pause?.why]).toEqual(['paused', 'inconclusive'])
    const verdict = (await world.verdicts(id)).find(({ gate }) => gate === 'not_worse')
    expect(verdict).toMatchObject({ answer: 'inconclusive', mode: 'pause' })
  })

  it('is found with the requests that were planned for it', async () => {
    const world = await seen(46, 60)
    const quiet = { errors: 0.0005, empty: 0, ttftMs: 50 }
    world.behaviours.set(v1, quiet)
    world.behaviours.set(v2, quiet)
    await world.turns(120)
    const id = await world.start({ steps: [weight(5_000, 900, { minRequests: 2_000, proof: true })] })
    await world.untilIn(id, ...ends)
    const verdict = (await world.verdicts(id)).find(({ gate }) => gate === 'not_worse')
    expect(verdict?.checks.find(({ metric }) => metric === 'hard_error')).toMatchObject({ answer: 'pass', metric: 'hard_error' })
  })

  it('is not given to a canary that does harm, also where harm is only observed', async () => {
    const world = await seen(47)
    world.behaviours.set(v2, { ...sound, errors: 0.04, empty: 0.05 })
    const gates = modes({ no_harm: 'observe', fast_guard: 'observe' })
    const id = await world.start({ gates, steps: [weight(5_000, 300, { minRequests: 100, proof: true })] })
    await world.untilIn(id, ...ends)
    expect((await world.rollout(id)).phase).toBe('paused')
  })
})
