// What stands above the request's way goes away: core, and the ledgers. Requests go on as before. The ledger objects have a process of their own
// here (ISOCHRONE_LEDGERS=apart), so that they can be ended while edge and core live.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { expectServed } from '../../support/fault-expect.ts'
import { nearest, Scene } from '../../support/fault-scene.ts'
import { admin, until } from '../../support/platform.ts'
import { plainMix } from '../../support/requests.ts'
import { shareOf } from '../../support/samples.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open({ mix: plainMix, perS: 10, seed: 4, timeoutMs: 8_000, env: { ISOCHRONE_LEDGERS: 'apart' } })
})
afterAll(() => scene.close())

/** Requests by the way they found their endpoint, over all cells, as their ledgers were told. */
const ways = async (): Promise<Readonly<Record<string, number>>> => {
  const sums: Record<string, number> = {}
  for (const { ways } of (await scene.status()).ledgers) {
    for (const [way, count] of Object.entries(ways)) sums[way] = (sums[way] ?? 0) + count
  }
  return sums
}
const turnsAgain = (sinceMs: number) =>
  until(async () => {
    const status = await scene.status().catch(() => null)
    return status?.lastTurn && status.lastTurn.atMs > sinceMs && status.lastTurn.error === null && status
  }, 250)

it('without core requests are served as before, and a failing engine is left all the same', async () => {
  // Every isolate has met the key, and its slow copy is written.
  expectServed(await scene.watch(5_000), 1)
  const { generation } = await scene.status()
  const goneAtMs = scene.hold('core')
  // Longer than the published loads are believed.
  const during = await scene.watch(32_000)
  expectServed(during, 1)
  expect(shareOf(during, nearest)).toBeGreaterThan(0.9)

  // Its ledger takes it out alone, and the isolates, which cannot know that from a snapshot any more, ask it.
  await scene.setFaults(nearest, { errorShare: 1 })
  await scene.watch(5_000)
  const attempts = await scene.attempts(nearest)
  const without = await scene.watch(4_000)
  expect(shareOf(without, nearest)).toBe(0)
  expect((await scene.attempts(nearest)) - attempts).toBeLessThanOrEqual(0.2 * without.length)
  await scene.heal(nearest)
  expectServed(await scene.since(goneAtMs), 0.98)

  const backAtMs = scene.release('core')
  const status = await turnsAgain(backAtMs)
  expect(status.generation).toBeGreaterThanOrEqual(generation)
  expect((await admin(scene.platform.dev, 'POST', 'tenants', { id: 'after', name: 'After' })).status).toBe(201)
  expectServed(await scene.watch(3_000), 1)
}, 120_000)

it('without ledgers the last weights decide, and is counted; with them back, counts are exact again', async () => {
  // A draw by weight needs no ledger, and at this load nothing else is done: with this strategy every request asks.
  await scene.changeModel({ strategy: 'least-connections' })
  await scene.untilServing(nearest)
  const before = await ways()
  const goneAtMs = scene.hold('ledgers')
  const during = await scene.watch(10_000)
  expectServed(during, 0.99)
  // By capacity alone it would be a third; on a busy machine some are sent on.
  expect(shareOf(during, nearest)).toBeGreaterThan(0.6)

  const backAtMs = scene.release('ledgers')
  await turnsAgain(backAtMs)
  const alone = await until(async () => {
    const now = await ways()
    const more = (way: string) => (now[way] ?? 0) - (before[way] ?? 0)
    return more('headroom') + more('capacity')
  }, 250)
  expect(alone).toBeGreaterThan(0)
  expectServed(await scene.since(goneAtMs), 0.99)

  // Exact: what hangs in the engines is what the ledgers count, and nothing is left when it is over.
  await scene.load.stop()
  const inFlight = async () =>
    (await scene.status()).ledgers.flatMap((ledger) => Object.values(ledger.inFlight)).reduce((sum, n) => sum + n, 0)
  await until(async () => (await inFlight()) === 0, 250)
  for (const id of scene.endpoints) await scene.setFaults(id, { hangBeforeFirstToken: 1 })
  const leaving = new AbortController()
  const { edgeUrl, apiKey, model } = scene.platform.dev
  const held = Array.from({ length: 7 }, () =>
    fetch(`${edgeUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] }),
      signal: leaving.signal,
    }).catch(() => null),
  )
  await until(async () => (await inFlight()) === 7, 250)
  await sleep(1_500)
  expect(await inFlight()).toBe(7)
  leaving.abort()
  for (const id of scene.endpoints) await scene.heal(id)
  await Promise.all(held)
}, 120_000)
