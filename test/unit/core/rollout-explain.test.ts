// Why a rollout is where it is: in each phase what it waits for and what may be said to it, and the same numbers as in the verdicts that are
// stored.

import { describe, expect, it, vi } from 'vitest'
import type { Explained } from '../../../core/rollout-explain.ts'
import { trafficNow } from '../../../core/rollouts.ts'
import { promoteFullScope } from '../../../core/rollout/record.ts'
import type { Check } from '../../../shared/wire/gate.ts'
import { RolloutWorld, shadow, sound, v1, v2, weight } from '../../support/rollout-world.ts'

// Thousands of turns of virtual time: a busy machine must not decide.
vi.setConfig({ testTimeout: 60_000 })

const seen = async (perS: RolloutWorld['perS'] = { fra: 20 }): Promise<RolloutWorld> => {
  const world = await RolloutWorld.open({ seed: 31 })
  world.perS = perS
  await world.turns(70)
  return world
}

const gateOf = ({ gates }: Explained, name: string) => gates.find(({ gate }) => gate === name)

/** What a check says, without the sentence that counts seconds. */
const numbersOf = ({ metric, answer, measured, threshold, samples, samplesOfStable, rates, interval }: Check) => ({
  metric,
  answer,
  measured,
  threshold,
  samples,
  samplesOfStable,
  rates,
  interval,
})

describe('what it waits for, and what may be said', () => {
  it('from the draft to the end', async () => {
    const world = await seen()
    let isLoaded = false
    world.bring = (_, { id: servedName }) =>
      Promise.resolve(isLoaded ? { state: 'ready', detail: 'loaded', servedName } : { state: 'loading', detail: 'fetching' })
    const id = await world.start({ start: false, fourEyes: true, steps: [weight(5_000, 30), { kind: 'approval' }, weight(8_000, 30)] })
    const told: [string, string, readonly string[]][] = []
    const note = async (): Promise<Explained> => {
      const explained = await world.explain(id)
      told.push([explained.rollout.phase, explained.waitsFor, explained.allowed])
      return explained
    }
    await note()
    await world.say(id, 'submit', { actor: 'ada' })
    await note()
    await world.say(id, 'approve')
    await note()
    await world.say(id, 'start')
    await world.turns(10)
    await note()
    isLoaded = true
    await world.untilIn(id, 'shifting')
    await note()
    await world.untilIn(id, 'baking')
    await note()
    await world.untilIn(id, 'paused')
    await note()
    await world.say(id, 'approve')
    await world.untilIn(id, 'promoting')
    await note()
    await world.untilIn(id, 'succeeded')
    await note()

    const words = Object.fromEntries(told.map(([phase, waitsFor]) => [phase, waitsFor]))
    expect(words).toEqual({
      draft: 'somebody to submit it',
      pending_approval: 'an approval by somebody other than ada',
      approved: 'somebody to start it',
      warming: expect.stringMatching(/^gates before traffic: readiness \(inconclusive: endpoints_loaded, 0 of 3 endpoints have it loaded/),
      shifting: expect.stringMatching(/^traffic to follow: [\d.]+ % of 99 %, and the canary's first requests: \d+ of 30$/),
      baking: expect.stringMatching(/^the end of the bake, in \d+ s, and until it is certain what became of its requests$/),
      paused: 'an approval (manual: this step wants an approval)',
      promoting: expect.stringMatching(/^all of traffic to follow: [\d.]+ %$/),
      succeeded: expect.stringMatching(/^nothing; the old version is held for 1[78]\d\d s$/),
    })
    const order = ['draft', 'pending_approval', 'approved', 'warming', 'shifting', 'baking', 'paused', 'promoting', 'succeeded']
    expect(told.map(([phase]) => phase)).toEqual(order)
    const allowed = Object.fromEntries(told.map(([phase, , names]) => [phase, names]))
    expect(allowed).toMatchObject({
      draft: ['submit', 'reject'],
      pending_approval: ['approve', 'reject'],
      warming: ['pause', 'abort'],
      paused: ['approve', 'resume', 'promote', 'promote_full', 'abort'],
      promoting: ['abort'],
      succeeded: ['rollback'],
    })
  })

  it('a pause says why it is one', async () => {
    const world = await seen()
    const id = await world.start()
    await world.say(id, 'pause', { reason: 'lunch' })
    expect((await world.explain(id)).waitsFor).toBe('somebody to resume it (manual: paused)')
  })

  it('an abort says what it waits for, and who holds what', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    await world.say(id, 'abort')
    const explained = await world.explain(id)
    expect(explained).toMatchObject({ canaryInFlight: 0, stableWhole: true, allowed: [] })
    expect(explained.waitsFor).toBe('the canary to be without requests, and stable to be whole')
    await world.untilIn(id, 'rolled_back')
    expect(await world.explain(id)).toMatchObject({
      waitsFor: 'nothing: it is over',
      allowed: ['retry'],
      stopped: { actor: explained.stopped?.actor, input: 'abort', from: 'baking' },
    })
    expect(explained.stopped?.reason).toEqual(expect.any(String))
  })
})

describe('gates', () => {
  it('are shown with the numbers of the verdict that is stored', async () => {
    const world = await seen()
    world.behaviours.set(v2, { ...sound, empty: 0.2 })
    const gates = [
      { gate: 'accuracy', mode: 'observe' },
      { gate: 'no_harm', mode: 'pause' },
    ]
    const id = await world.start({ gates, steps: [weight(5_000, 600, { minRequests: 100 })] })
    await world.untilIn(id, 'paused')
    const stored = (await world.verdicts(id)).find(({ gate, answer }) => gate === 'no_harm' && answer === 'fail')
    const now = gateOf(await world.explain(id), 'no_harm')
    expect(now).toMatchObject({ mode: 'pause', answer: 'fail' })
    expect(now?.checks.map(numbersOf)).toEqual(stored?.checks.map(numbersOf))
    expect(stored?.checks.find(({ answer }) => answer === 'fail')).toMatchObject({ metric: 'empty_answer' })
  })

  it('of what was stopped by one are the verdicts that stopped it, word for word, also when it is over and core has forgotten', async () => {
    const world = await seen()
    world.behaviours.set(v2, { ...sound, errors: 0.5 })
    const id = await world.start({ steps: [weight(5_000, 600, { minRequests: 100 })] })
    await world.untilIn(id, 'rolled_back')
    world.wake()
    await world.turns(2)
    const explained = await world.explain(id)
    expect(explained.stopped).toMatchObject({ actor: 'controller', input: 'verdict' })
    const failed = explained.gates.filter(({ answer }) => answer === 'fail')
    expect(failed.length).toBeGreaterThan(0)
    for (const { gate, mode, checks } of failed) {
      const stored = (await world.verdicts(id)).findLast((each) => each.gate === gate)
      expect(stored).toMatchObject({ answer: 'fail', mode })
      expect(checks).toEqual(stored?.checks)
      expect(explained.stopped?.detail).toEqual(expect.stringMatching(/^(?:fast_guard|no_harm): /))
    }
  })

  it('of what succeeded are the last of each', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 30), weight(10_000, 30)] })
    await world.untilIn(id, 'succeeded')
    const explained = await world.explain(id)
    expect(explained.stopped).toBeNull()
    expect(gateOf(explained, 'no_harm')).toMatchObject({ answer: 'pass' })
  })

  it('before traffic are the last verdicts that were stored, word for word', async () => {
    const world = await seen()
    const id = await world.start({ gates: [{ gate: 'accuracy', mode: 'abort' }] })
    await world.turns(10)
    const stored = (await world.verdicts(id)).find(({ gate }) => gate === 'accuracy')
    expect(gateOf(await world.explain(id), 'accuracy')?.checks).toEqual(stored?.checks)
    expect(stored?.answer).toBe('no_data')
  })

  it('that judge traffic have no data before there is any', async () => {
    const world = await seen()
    const id = await world.start()
    const explained = await world.explain(id)
    for (const name of ['no_harm', 'not_worse', 'fast_guard'])
      expect(gateOf(explained, name)).toMatchObject({ answer: 'no_data', checks: [] })
  })

  it('the guard passes while it has nothing to say', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    expect(gateOf(await world.explain(id), 'fast_guard')).toMatchObject({ answer: 'pass', mode: 'abort' })
  })
})

describe('numbers', () => {
  it('of traffic, requests and room are those that the loop acts on', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 60)] })
    await world.untilIn(id, 'baking')
    await world.turns(45)
    const { traffic, room, rollout, step } = await world.explain(id)
    expect(step).toMatchObject({ kind: 'weight', weightBp: 5_000 })
    expect(traffic.byLastWriteBp).toBe(10_000)
    expect(traffic.canaryRequestsSinceWrite).toBeGreaterThan(traffic.canaryRequestsInBake)
    expect(traffic.canaryRequestsInBake).toBeGreaterThan(200)
    expect(traffic.stableLastHour).toBeGreaterThan(1_000)
    expect(room.weightBpMax).toBe(10_000)
    expect(room.regions.find(({ region }) => region === 'fra')?.demandPerS).toBeCloseTo(20, 0)
    expect(rollout.weightBp).toBe(5_000)
  })

  it('traffic counts as having followed only by the write that is published, and is the rollout’s last', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 60)] })
    const rollout = await world.untilIn(id, 'baking')
    await world.turns(10)
    const { catalogue, state } = world.room
    const scene = { ...state, catalogue, nowMs: world.nowMs }
    expect(trafficNow(rollout, scene)).toBe(10_000)
    // Its next write is stored, and not published yet.
    expect(trafficNow({ ...rollout, aliasGeneration: rollout.aliasGeneration + 1 }, scene)).toBe(0)
    expect(trafficNow({ ...rollout, id: 'r-other' as typeof id }, scene)).toBe(0)
    expect(trafficNow(rollout, { ...scene, published: null })).toBe(0)
  })

  it('copies that nobody compared are none; those of another rollout are not its own', async () => {
    const world = await seen()
    const id = await world.start({ steps: [shadow(5_000, 60), weight(5_000, 60)] })
    await world.untilIn(id, 'baking')
    expect((await world.explain(id)).copies).toBeNull()
  })

  it('trouble is named, and that judgement is held', async () => {
    const world = await seen({ fra: 8, iad: 8, bom: 8 })
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    world.silent.add('bom')
    await world.turns(15)
    const one = await world.explain(id)
    expect([one.trouble, one.waitsFor]).toEqual([
      { fleet: false, regions: ['bom'] },
      expect.stringContaining('judgement is held: trouble in bom'),
    ])
    world.silent.add('iad')
    await world.turns(15)
    expect((await world.explain(id)).waitsFor).toContain('judgement is held: the fleet is in trouble')
  })

  it('says why it could not be moved, and no more once it could', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 30)] })
    const usual = { ...world.stores.rollouts }
    Object.assign(world.stores.rollouts, { commit: () => Promise.reject(new Error('the database is full')) })
    await world.turns(30)
    expect(await world.explain(id)).toMatchObject({
      error: 'the database is full',
      rollout: { phase: 'warming' },
      waitsFor: 'gates before traffic: all pass, the next turn moves it',
    })
    // What the gate said is stored once, however often the change that follows is tried.
    const stored = (await world.verdicts(id)).filter(({ gate, answer }) => gate === 'readiness' && answer === 'pass')
    expect(stored).toHaveLength(1)
    Object.assign(world.stores.rollouts, usual)
    await world.untilIn(id, 'baking')
    expect((await world.explain(id)).error).toBeNull()
  })

  it('is the same for whoever asks twice', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 60)] })
    await world.untilIn(id, 'baking')
    expect(await world.explain(id)).toEqual(await world.explain(id))
  })

  it('of one that went past its gates by two people says so', async () => {
    const world = await seen()
    const id = await world.start({ steps: [weight(5_000, 600)] })
    await world.untilIn(id, 'baking')
    await world.say(id, 'promote_full', { approver: 'ada', scopes: [promoteFullScope] })
    await world.untilIn(id, 'succeeded')
    expect((await world.stores.rollouts.transitions(id)).map(({ detail }) => detail)).toContain('promoted in full, approved by ada')
    expect(await world.explain(id)).toMatchObject({ rollout: { from: v1, to: v2, phase: 'succeeded' } })
  })
})
