// Engines that do not answer: dead, wedged, cut off, or stopped in the middle. The nearest region's, under a steady load. Streams are given one
// second for their first token, as by an operator who knows that this model takes a fraction of it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectServed } from '../../support/fault-expect.ts'
import { nearest, Scene } from '../../support/fault-scene.ts'
import { plainMix } from '../../support/requests.ts'
import { shareOf } from '../../support/samples.ts'

let scene: Scene

beforeAll(async () => {
  scene = await Scene.open({ mix: plainMix, perS: 10, seed: 2, timeoutMs: 5_000 })
  await scene.changeModel({ firstTokenMsMax: 1_000 })
})
afterAll(() => scene.close())

/** Five failures in a row; where nobody fails in time, three probes of the health path: 3 x 5 s and their 2 s. */
const ejectMsMax = 20_000
/** Promised is a minute; one that was taken for dead answers two probes of its health path first. */
const returnMsMax = 60_000

/** Until it is out, and then that nobody is sent there. Returns the event's time. */
async function isLeft(sinceMs: number): Promise<number> {
  const { atMs } = await scene.untilHealth(nearest, 'ejected', sinceMs)
  await scene.watch(1_000)
  const without = await scene.watch(2_000)
  expect(shareOf(without, nearest)).toBe(0)
  expectServed(without, 0.99)
  return atMs
}

/** Until it is back, and has its traffic. */
async function isBack(sinceMs: number): Promise<void> {
  const { atMs } = await scene.untilHealth(nearest, 'healthy', sinceMs)
  expect(atMs - sinceMs).toBeLessThan(returnMsMax)
  await scene.untilServing(nearest)
}

describe('the nearest engine', () => {
  it('killed under load costs a few requests, and is used again when it was started again', async () => {
    expect(shareOf(await scene.watch(3_000), nearest)).toBeGreaterThan(0.9)
    const killedAtMs = scene.signal(nearest, 'SIGKILL')
    expect((await isLeft(killedAtMs)) - killedAtMs).toBeLessThan(ejectMsMax)
    // Lost: what it was answering, and of the first five what the next region's budget has no second attempt for.
    expectServed(await scene.since(killedAtMs), 0.93)
    await isBack(await scene.restart(nearest))
  }, 150_000)

  it('wedged (healthy to look at, and no token comes) is out by the streams that failed, and comes back', async () => {
    const wedgedAtMs = await scene.setFaults(nearest, { hangBeforeFirstToken: 1 })
    expect((await isLeft(wedgedAtMs)) - wedgedAtMs).toBeLessThan(45_000)
    // Lost: what was asked in the first second or two. Streams get a second attempt as far as the budget goes; of an answer in one piece
    // nobody can tell whether it hangs or is being worked on.
    expectServed(await scene.since(wedgedAtMs), 0.6)
    await isBack(await scene.heal(nearest))
  }, 150_000)
})

describe('the nearest region', () => {
  it('cut off (connections refused): the next one serves, and it gets its traffic back', async () => {
    const cutAtMs = await scene.setFaults(nearest, { closed: true })
    expect((await isLeft(cutAtMs)) - cutAtMs).toBeLessThan(ejectMsMax)
    expectServed(await scene.since(cutAtMs), 0.93)
    await isBack(await scene.heal(nearest))
  }, 150_000)

  it('stopped in the middle (connections hang): the next one serves, and it gets its traffic back', async () => {
    const stoppedAtMs = scene.signal(nearest, 'SIGSTOP')
    try {
      expect((await isLeft(stoppedAtMs)) - stoppedAtMs).toBeLessThan(ejectMsMax)
      expectServed(await scene.since(stoppedAtMs), 0.6)
    } finally {
      scene.signal(nearest, 'SIGCONT')
    }
    await isBack(Date.now())
  }, 150_000)
})
