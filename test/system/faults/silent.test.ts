// Engines that do not answer: dead, cut off, stopped in the middle, or wedged. The nearest region's, under a steady load. Streams are given one
// second for their first token, as an operator would who knows that this model takes a fraction of it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectServed } from '../../support/fault-expect.ts'
import { Scene, sibling } from '../../support/fault-scene.ts'
import { admin, until } from '../../support/platform.ts'
import { plainMix } from '../../support/requests.ts'
import { shareOf } from '../../support/samples.ts'

const first = 'local-us-east'
const region = [first, sibling]
const timeoutMs = 6_000
let scene: Scene

beforeAll(async () => {
  scene = await Scene.open({ mix: plainMix, perS: 8, seed: 2, timeoutMs })
  const changed = await admin(scene.platform.dev, 'PATCH', 'models/atlas', { firstTokenMsMax: 1_000 }, { 'if-match': '*' })
  if (!changed.ok) throw new Error(await changed.text())
})
afterAll(() => scene.close())

const untilServing = async (id: string, requests: number) => {
  const before = await scene.attempts(id)
  await until(async () => (await scene.attempts(id)) >= before + requests, 250)
}
const shareOfRegion = (samples: Awaited<ReturnType<Scene['watch']>>) => region.reduce((sum, id) => sum + shareOf(samples, id), 0)
const untilAll = async (health: string, sinceMs: number) =>
  Math.max(...(await Promise.all(region.map((id) => scene.untilHealth(id, health, sinceMs)))).map(({ atMs }) => atMs))

/** Five failures in a row, or three probes that bring nothing: 3 x 5 s and their 2 s. */
const ejectMsMax = 20_000
const returnMsMax = 45_000

describe('an engine of the nearest region', () => {
  it('killed under load costs hardly a request, and is used again when it was started again', async () => {
    expect(shareOf(await scene.watch(4_000), first)).toBeGreaterThan(0.15)
    const killedAtMs = scene.signal(first, 'SIGKILL')
    const { atMs: ejectedAtMs } = await scene.untilHealth(first, 'ejected', killedAtMs)
    expect(ejectedAtMs - killedAtMs).toBeLessThan(ejectMsMax)
    expect(shareOf(await scene.watch(4_000), first)).toBe(0)
    // Lost: what it was answering, and no more than the budget for second attempts leaves over.
    expectServed(await scene.since(killedAtMs), 0.98)

    const backAtMs = await scene.restart(first)
    expect((await scene.untilHealth(first, 'healthy', killedAtMs)).atMs - backAtMs).toBeLessThan(returnMsMax)
    await untilServing(first, 10)
  }, 120_000)

  it('wedged (healthy to look at, and no token comes) is out by the streams that failed, and comes back', async () => {
    expect(shareOf(await scene.watch(2_000), first)).toBeGreaterThan(0.1)
    const wedgedAtMs = await scene.setFaults(first, { hangBeforeFirstToken: 1 })
    const { atMs: ejectedAtMs } = await scene.untilHealth(first, 'ejected', wedgedAtMs)
    expect(ejectedAtMs - wedgedAtMs).toBeLessThan(45_000)
    expect(shareOf(await scene.watch(4_000), first)).toBe(0)
    const during = await scene.since(wedgedAtMs)
    // Streams are answered by another engine after their second. Answers in one piece that were under way are lost: nobody can tell waiting from work.
    expectServed(
      during.filter(({ isStream }) => isStream),
      0.9,
    )
    expectServed(during, 0.8)

    const healedAtMs = await scene.heal(first)
    expect((await scene.untilHealth(first, 'healthy', healedAtMs)).atMs - healedAtMs).toBeLessThan(returnMsMax)
    await untilServing(first, 10)
  }, 120_000)
})

describe('the nearest region', () => {
  it('cut off (connections refused): the next one serves, and it gets its traffic back', async () => {
    expect(shareOfRegion(await scene.watch(3_000))).toBeGreaterThan(0.8)
    const cutAtMs = Date.now()
    for (const id of region) await scene.setFaults(id, { closed: true })
    expect((await untilAll('ejected', cutAtMs)) - cutAtMs).toBeLessThan(ejectMsMax)
    expect(shareOfRegion(await scene.watch(4_000))).toBe(0)
    // Every request of the first moments fails once; the budget has second attempts for a tenth and three.
    expectServed(await scene.since(cutAtMs), 0.85)

    const openedAtMs = Date.now()
    for (const id of region) await scene.heal(id)
    expect((await untilAll('healthy', openedAtMs)) - openedAtMs).toBeLessThan(returnMsMax)
    await until(async () => shareOfRegion(await scene.watch(2_000)) > 0.5)
  }, 120_000)

  it('stopped in the middle (connections hang): the next one serves, and it gets its traffic back', async () => {
    const stoppedAtMs = Date.now()
    for (const id of region) scene.signal(id, 'SIGSTOP')
    try {
      expect((await untilAll('ejected', stoppedAtMs)) - stoppedAtMs).toBeLessThan(ejectMsMax)
      expect(shareOfRegion(await scene.watch(4_000))).toBe(0)
      expectServed(await scene.watch(2_000), 0.99)
    } finally {
      for (const id of region) scene.signal(id, 'SIGCONT')
    }
    const continuedAtMs = Date.now()
    expect((await untilAll('healthy', continuedAtMs)) - continuedAtMs).toBeLessThan(returnMsMax)
    await until(async () => shareOfRegion(await scene.watch(2_000)) > 0.5)
  }, 120_000)
})
