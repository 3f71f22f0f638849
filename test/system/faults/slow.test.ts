// Engines that work, but not as they did, and a platform that cannot see them: no metrics from anybody, and one of two four times slower.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { expectServed } from '../../support/fault-expect.ts'
import { nearest, Scene, sibling } from '../../support/fault-scene.ts'
import { until } from '../../support/platform.ts'
import { plainMix } from '../../support/requests.ts'
import { shareOf } from '../../support/samples.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open({ mix: plainMix, perS: 10, seed: 3, timeoutMs: 8_000, hasSibling: true })
})
afterAll(() => scene.close())

it('without metrics of any engine for longer than every limit of age, requests go where they went', async () => {
  const before = await scene.watch(6_000)
  const goneAtMs = await scene.setEverywhere({ metricsStatus: 404 })
  // Numbers count for 5 s, and their loss for 30 s.
  const during = await scene.watch(34_000)
  // Not one request fails for it: neither 429 nor 503 comes of not knowing.
  expectServed(during, 1)
  expect(shareOf(during, nearest) + shareOf(during, sibling)).toBeGreaterThan(0.95)
  // The two share as they did; what is left is chance: three standard errors of sixty requests are 0.19.
  for (const id of [nearest, sibling]) expect(Math.abs(shareOf(during, id) - shareOf(before, id)), id).toBeLessThan(0.25)
  expect((await scene.events(goneAtMs)).map(({ to }) => to)).not.toContain('ejected')
  await scene.setEverywhere({})
}, 90_000)

it('an engine that works four times slower than the other of its region gets less, stays in, and gets its part back', async () => {
  const half = 0.5
  const slowedAtMs = await scene.setFaults(sibling, { slowFactor: 4 })
  // A fifth would be its part.
  await until(async () => shareOf(await scene.watch(4_000), sibling) < 0.6 * half)
  expectServed(await scene.since(slowedAtMs), 0.99)
  expect((await scene.events(slowedAtMs, sibling)).map(({ to }) => to)).not.toContain('ejected')

  await scene.heal(sibling)
  await until(async () => shareOf(await scene.watch(4_000), sibling) > 0.7 * half)
}, 90_000)
