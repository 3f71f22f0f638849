// Engines that answer, and answer with errors: the nearest region's gets one fault at a time, under a steady load. What is counted is what
// clients saw, what reached the engine, and what core's events say.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectServed } from '../../support/fault-expect.ts'
import { nearest, Scene } from '../../support/fault-scene.ts'
import { plainMix } from '../../support/requests.ts'
import { shareOf } from '../../support/samples.ts'

const quiet = 'local-ap-south'
let scene: Scene
let wedgedAtMs = 0

beforeAll(async () => {
  scene = await Scene.open({ mix: plainMix, perS: 10, seed: 1, timeoutMs: 8_000 })
  // Nobody asks it, so it costs nothing to let it be found out while the other is tried: see the last test.
  wedgedAtMs = await scene.setFaults(quiet, { hangBeforeFirstToken: 1 })
})
afterAll(() => scene.close())

/** Five failures in a row, or a fifth of twenty within ten seconds. */
const ejectMsMax = 15_000
/** Promised is a minute. Mostly it is the back-off of a breaker that opened once or twice, 5 to 10 s, and the next trial. */
const returnMsMax = 60_000

/** Healed, it is healthy in time and has its traffic again, and hardly a request is lost on the way. */
async function comesBack(): Promise<void> {
  const healedAtMs = await scene.heal(nearest)
  const { atMs: backAtMs } = await scene.untilHealth(nearest, 'healthy', healedAtMs)
  expect(backAtMs - healedAtMs).toBeLessThan(returnMsMax)
  await scene.untilServing(nearest)
  expectServed(await scene.since(healedAtMs), 0.99)
}

describe('the nearest engine', () => {
  it('that fails every request at once (500) is left before clients notice, and comes back', async () => {
    expect(shareOf(await scene.watch(4_000), nearest)).toBeGreaterThan(0.9)
    const brokenAtMs = await scene.setFaults(nearest, { errorShare: 1 })
    const { atMs: ejectedAtMs } = await scene.untilHealth(nearest, 'ejected', brokenAtMs)
    expect(ejectedAtMs - brokenAtMs).toBeLessThan(ejectMsMax)

    const attempts = await scene.attempts(nearest)
    const without = await scene.watch(4_000)
    expect(shareOf(without, nearest)).toBe(0)
    // One is a probe for a token; what else was under way when it was ejected has come by now.
    expect((await scene.attempts(nearest)) - attempts).toBeLessThanOrEqual(2)
    // The first five fail; the next region's budget has second attempts for three of them, and a tenth.
    expectServed(await scene.since(brokenAtMs), 0.93)

    await comesBack()
  }, 150_000)

  it('that fails four of ten, never five in a row, is taken out by their part, and comes back', async () => {
    // Three in a row at most: an answer that took longer than the errors after it must not make five of them.
    const brokenAtMs = await scene.setFaults(nearest, { errorShare: 0.4, errorsInARowMax: 3 })
    const ejected = await scene.untilHealth(nearest, 'ejected', brokenAtMs)
    expect(ejected.atMs - brokenAtMs).toBeLessThan(ejectMsMax)
    expect(ejected.reason).not.toMatch(/in a row/)
    await scene.watch(1_000)
    expect(shareOf(await scene.watch(3_000), nearest)).toBe(0)
    // Each failure was followed by a second attempt elsewhere, but for those that the budget had no room for.
    expectServed(await scene.since(brokenAtMs), 0.95)

    await comesBack()
  }, 150_000)

  it('that says 429 to all is asked now and then, is never taken for dead, and gets its traffic back', async () => {
    const brokenAtMs = await scene.setFaults(nearest, { errorShare: 1, errorStatus: 429, retryAfterS: 1 })
    await scene.watch(3_000)
    const attempts = await scene.attempts(nearest)
    const during = await scene.watch(8_000)
    expect(shareOf(during, nearest)).toBe(0)
    // It had all of them; now each isolate tries it when its moment of leaving it aside is over.
    expect((await scene.attempts(nearest)) - attempts).toBeLessThanOrEqual(0.3 * during.length)
    expectServed(await scene.since(brokenAtMs), 0.95)

    const healedAtMs = await scene.heal(nearest)
    await scene.untilServing(nearest)
    expectServed(await scene.since(healedAtMs), 0.99)
    expect((await scene.events(brokenAtMs, nearest)).map(({ to }) => to)).not.toContain('ejected')
  }, 150_000)
})

it('a wedged engine that nobody asks is found out by a probe for one token, though its health path answers', async () => {
  const ejected = await scene.untilHealth(quiet, 'ejected', wedgedAtMs)
  expect(ejected.metric).toBe('generation_failures')
  expect(ejected.atMs - wedgedAtMs).toBeLessThan(45_000)
}, 60_000)
