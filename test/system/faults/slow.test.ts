// Engines that work, but not as they did, and a platform that cannot see them: four times slower, and no metrics from anybody.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { expectServed } from '../../support/fault-expect.ts'
import { Scene, sibling } from '../../support/fault-scene.ts'
import { until } from '../../support/platform.ts'
import { plainMix } from '../../support/requests.ts'
import { shareOf } from '../../support/samples.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open({ mix: plainMix, perS: 8, seed: 3, timeoutMs: 8_000 })
})
afterAll(() => scene.close())

it('without metrics of any engine for longer than every limit of age, requests go where they went', async () => {
  const before = await scene.watch(8_000)
  const goneAtMs = await scene.setEverywhere({ metricsStatus: 404 })
  // Numbers count for 5 s, and their loss for 30 s.
  const during = await scene.watch(40_000)
  // Not one request fails for it: neither 429 nor 503 comes of not knowing.
  expectServed(during, 1)
  // A tenth of shares from capacity alone; the rest is chance, with some sixty requests in the first count.
  for (const id of scene.endpoints) expect(Math.abs(shareOf(during, id) - shareOf(before, id)), id).toBeLessThan(0.25)
  const events = await scene.events(goneAtMs)
  expect(events.map(({ to }) => to)).not.toContain('ejected')
  await scene.setEverywhere({})
}, 120_000)

it('an engine that works four times slower than the other of its region gets less, stays in, and gets its part back', async () => {
  const before = shareOf(await scene.watch(6_000), sibling)
  const slowedAtMs = await scene.setFaults(sibling, { slowFactor: 4 })
  const during = await until(async () => {
    const share = shareOf(await scene.watch(5_000), sibling)
    return share < 0.6 * before ? { share } : null
  })
  expect(during.share).toBeLessThan(0.6 * before)
  expectServed(await scene.since(slowedAtMs), 0.99)
  expect((await scene.events(slowedAtMs, sibling)).map(({ to }) => to)).not.toContain('ejected')

  await scene.heal(sibling)
  await until(async () => shareOf(await scene.watch(5_000), sibling) > 0.7 * before)
}, 120_000)
