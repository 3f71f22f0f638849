// Engines that answer, and answer with errors. One of the two in the nearest region gets one fault at a time, under a steady load; what is
// counted is what clients saw, what reached the engine, and what core's events say.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Scene, sibling } from '../../support/fault-scene.ts'
import { expectServed } from '../../support/fault-expect.ts'
import { plainMix } from '../../support/requests.ts'
import { shareOf } from '../../support/samples.ts'
import { until } from '../../support/platform.ts'

const bad = sibling
const quiet = 'local-ap-south'
let scene: Scene
let wedgedAtMs = 0

beforeAll(async () => {
  scene = await Scene.open({ mix: plainMix, perS: 8, seed: 1, timeoutMs: 8_000 })
  // Nobody asks it, so it costs nothing to let it be found out while the others are tried. See the last test.
  wedgedAtMs = await scene.setFaults(quiet, { hangBeforeFirstToken: 1 })
})
afterAll(() => scene.close())

/** Waits until the endpoint has served so many more requests. */
const untilServing = async (id: string, requests: number) => {
  const before = await scene.attempts(id)
  await until(async () => (await scene.attempts(id)) >= before + requests, 250)
}

/** In a row the breaker opens at five; of twenty requests at more than a fifth. Both within this time (routing reference, test 8). */
const ejectMsMax = 15_000
/** Its breaker tries it after 10 s at most; where no request comes to try it, the next probe for a token does, within 30 s. */
const returnMsMax = 45_000

describe('an engine of the nearest region', () => {
  it('that fails every request at once (500) is out before a client notices, and comes back', async () => {
    const before = await scene.watch(4_000)
    expect(shareOf(before, bad)).toBeGreaterThan(0.15)

    const brokenAtMs = await scene.setFaults(bad, { errorShare: 1 })
    const { atMs: ejectedAtMs } = await scene.untilHealth(bad, 'ejected', brokenAtMs)
    expect(ejectedAtMs - brokenAtMs).toBeLessThan(ejectMsMax)

    const attempts = await scene.attempts(bad)
    const without = await scene.watch(5_000)
    expect(shareOf(without, bad)).toBe(0)
    // Trials of its breaker, which are requests, and a probe for one token.
    expect((await scene.attempts(bad)) - attempts).toBeLessThanOrEqual(0.1 * without.length)
    // Each of the first failures was followed by a second attempt elsewhere: the budget has room for five.
    expectServed(await scene.since(brokenAtMs), 0.99)

    const healedAtMs = await scene.heal(bad)
    const { atMs: backAtMs } = await scene.untilHealth(bad, 'healthy', healedAtMs)
    expect(backAtMs - healedAtMs).toBeLessThan(returnMsMax)
    await untilServing(bad, 10)
  }, 120_000)

  it('that fails four of ten, never five in a row, is taken out by the ratio, and comes back', async () => {
    const before = await scene.watch(4_000)
    expect(shareOf(before, bad)).toBeGreaterThan(0.15)

    // Three in a row at most: an answer that took longer than the errors after it must not make five of them.
    const brokenAtMs = await scene.setFaults(bad, { errorShare: 0.4, errorsInARowMax: 3 })
    const ejected = await scene.untilHealth(bad, 'ejected', brokenAtMs)
    expect(ejected.atMs - brokenAtMs).toBeLessThan(ejectMsMax)
    expect(ejected.reason).not.toMatch(/in a row/)
    const without = await scene.watch(4_000)
    expect(shareOf(without, bad)).toBeLessThanOrEqual(0.05)
    // A tenth of the requests, and three more, may be asked again within ten seconds; four tenths of a half fail before it is out.
    expectServed(await scene.since(brokenAtMs), 0.95)

    const healedAtMs = await scene.heal(bad)
    const { atMs: backAtMs } = await scene.untilHealth(bad, 'healthy', healedAtMs)
    expect(backAtMs - healedAtMs).toBeLessThan(returnMsMax)
    await untilServing(bad, 10)
  }, 120_000)

  it('that says 429 to all is asked less and never taken for dead', async () => {
    await scene.watch(1_000)
    const brokenAtMs = await scene.setFaults(bad, { errorShare: 1, errorStatus: 429, retryAfterS: 1 })
    await scene.watch(4_000)
    const attempts = await scene.attempts(bad)
    const during = await scene.watch(8_000)
    expect(shareOf(during, bad)).toBe(0)
    // Half would be its part; it is asked now and then, for it may have room again.
    expect((await scene.attempts(bad)) - attempts).toBeLessThanOrEqual(0.2 * during.length)
    expectServed(await scene.since(brokenAtMs), 0.97)
    const events = await scene.events(brokenAtMs, bad)
    expect(events.map(({ to }) => to)).not.toContain('ejected')

    await scene.heal(bad)
    await untilServing(bad, 10)
  }, 120_000)
})

it('a wedged engine that nobody asks is found out by a probe for one token, though its health path answers', async () => {
  const ejected = await scene.untilHealth(quiet, 'ejected', wedgedAtMs)
  expect(ejected.metric).toBe('generation_failures')
  expect(ejected.atMs - wedgedAtMs).toBeLessThan(45_000)
  const healedAtMs = await scene.heal(quiet)
  const back = await scene.untilHealth(quiet, 'healthy', healedAtMs)
  expect(back.atMs - healedAtMs).toBeLessThan(returnMsMax)
}, 120_000)
