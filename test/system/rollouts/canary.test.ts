// A canary under load: one that answers errors is stopped in seconds, an operator's word is obeyed at once, and the way back is instant.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startEngine, type EngineProcess } from '../../engine/engine-process.ts'
import { shareOf, VersionScene, type Load } from '../../support/version-scene.ts'

const stable = 'atlas-2.q8_0'
const canary = 'atlas-2.q4_0'
const perS = 20

let scene: VersionScene
let load: Load
let engine: EngineProcess

beforeAll(async () => {
  scene = await VersionScene.open()
  // The canary's own server: only so can it fail while stable does not.
  engine = await startEngine(['--model', canary, '--slots', '16'])
  await engine.ready
  for (const region of scene.platform.dev.regions) await scene.ask('DELETE', `targets/local-${region.name}`)
  const place = { id: 'canary-1', region: 'us-east', version: canary, kind: 'openai', url: engine.url, servedName: canary, slots: 16 }
  await scene.ask('POST', 'endpoints', place)
  await scene.must(['version', 'approve', canary, '--env', 'development', '--note', 'a test'])
  await scene.listen()
  load = scene.load({ perS })
  await sleep(3_000)
}, 120_000)
afterAll(async () => {
  await scene.close()
  await engine.stop()
})

/** Accuracy is not what is tried here: it is only noted. */
const start = async (...steps: readonly string[]): Promise<string> => {
  const asked = ['rollout', 'start', '--env', 'development', '--model', 'atlas', '--to', canary, '--reason', 'a test']
  await scene.must([...asked, '--gate', 'accuracy=observe', ...steps.flatMap((step) => ['--step', step])])
  return scene.newest()
}

it('that answers errors is aborted in seconds by the guard, and everybody is told the same reason', async () => {
  const id = await start('weight=25%,bake=10m,min=30')
  await scene.untilIn(id, 'baking')
  const sound = load.sent(Date.now() - 5_000, Date.now())
  expect(shareOf(sound, canary)).toBeGreaterThan(0.05)
  const brokenAtMs = Date.now()
  await engine.setFaults({ errorShare: 1 })
  await scene.untilIn(id, 'aborting', 'rolled_back')
  const tookS = (Date.now() - brokenAtMs) / 1_000
  console.log(`a canary of 25 % at ${perS} requests/s that answers errors: aborted after ${tookS.toFixed(1)} s`)
  // 30 canary requests come in six seconds; the rest is far away from that.
  expect(tookS).toBeLessThan(40)
  const waited = await scene.cli(['rollout', 'status', id, '--wait', '--timeout', '60s'])
  expect(waited.code).toBe(3)
  expect(waited.out).toContain('rolled_back')
  await engine.clearFaults()

  const { items } = (await scene.ask('GET', `verdicts?rollout=${id}`)) as { readonly items: readonly Record<string, unknown>[] }
  const { seq: _, ...verdict } = items.find(({ gate, answer }) => gate === 'fast_guard' && answer === 'fail') ?? {}
  expect(verdict).toMatchObject({ environment: 'development', version: canary, reference: stable, mode: 'abort', step: 0 })
  const [check] = verdict['checks'] as readonly {
    readonly rates: { readonly canary: number; readonly stable: number }
    readonly samples: number
  }[]
  expect(check?.rates.canary).toBeGreaterThan(0.1)
  expect(check?.rates.stable).toBe(0)
  expect(check?.samples).toBeGreaterThanOrEqual(30)

  // The same words everywhere: audit log, CLI, webhook.
  const audit = (await scene.ask('GET', 'audit?limit=200')) as {
    readonly items: readonly { readonly resource: string; readonly after: unknown }[]
  }
  expect(audit.items.filter(({ resource }) => resource === 'verdict').map(({ after }) => after)).toContainEqual(verdict)
  const { data } = await scene.told('rollout.aborting', id)
  expect(data.verdicts?.map(({ seq: _seq, ...each }) => each)).toContainEqual(verdict)
  expect(waited.out).toContain('fast_guard: fail')
  const said = await scene.cli(['rollout', 'explain', id])
  expect(said.out).toContain('rolled_back')
  expect(said.out).toMatch(/^stopped +while baking, by controller: fast_guard: /m)
}, 180_000)

it('is left at an operator’s word: 99 % of new requests on stable within three seconds, and none fails for it', async () => {
  const id = await start('weight=50%,bake=10m,min=30')
  await scene.untilIn(id, 'baking')
  const failedBefore = load.failed.length
  const saidAtMs = Date.now()
  expect(shareOf(load.sent(saidAtMs - 3_000, saidAtMs), canary)).toBeGreaterThan(0.2)
  await scene.must(['rollout', 'abort', id, '--reason', 'a test'])
  await sleep(9_000)
  const later = load.sent(saidAtMs + 3_000, saidAtMs + 8_000)
  expect(later.length).toBeGreaterThan(50)
  expect(shareOf(later, stable)).toBeGreaterThanOrEqual(0.99)
  const last = Math.max(...load.met.filter(({ version }) => version === canary).map(({ sentAtMs }) => sentAtMs))
  console.log(
    `an operator's abort at ${perS} requests/s over four isolates: the last request on the canary ${last - saidAtMs} ms after the command began`,
  )
  expect(load.failed.slice(failedBefore)).toEqual([])
  await scene.untilIn(id, 'rolled_back')
}, 120_000)

it('that succeeded can be taken back at once while the old version is held', async () => {
  const failedBefore = load.failed.length
  const id = await start('weight=50%,bake=1s,min=30')
  const waited = await scene.cli(['rollout', 'status', id, '--wait', '--timeout', '100s'])
  expect(waited, waited.out + waited.err).toMatchObject({ code: 0 })
  await sleep(1_500)
  const saidAtMs = Date.now()
  expect(shareOf(load.sent(saidAtMs - 1_000, saidAtMs), canary)).toBe(1)
  await scene.must(['rollout', 'rollback', id, '--reason', 'a test'])
  await sleep(9_000)
  expect(shareOf(load.sent(saidAtMs + 3_000, saidAtMs + 8_000), stable)).toBeGreaterThanOrEqual(0.99)
  const last = Math.max(...load.met.filter(({ version }) => version === canary).map(({ sentAtMs }) => sentAtMs))
  console.log(`a rollback within the hold: the last request on the version before ${last - saidAtMs} ms after the command began`)
  expect(load.failed.slice(failedBefore)).toEqual([])
  expect(await scene.untilIn(await scene.newest(), 'succeeded')).toBe('succeeded')
}, 180_000)

it('without enough requests ends paused, never further, and the wait says so', async () => {
  const id = await start('weight=50%,bake=2s,min=200')
  await scene.untilIn(id, 'baking')
  await load.stop()
  const waiting = scene.cli(['rollout', 'status', id, '--wait', '--timeout', '4s'])
  expect(await waiting).toMatchObject({ code: 4 })
  await scene.untilIn(id, 'paused')
  const row = await scene.ask('GET', `rollouts/${id}`)
  expect(row).toMatchObject({ pause: { why: 'low_data', awaits: 'resume' }, weightBp: 5_000 })
  expect(await scene.cli(['rollout', 'status', id, '--wait', '--timeout', '20s', '--fail-on-pause'])).toMatchObject({ code: 3 })
  // Another one of the same alias is a conflict.
  const other = ['rollout', 'start', '--env', 'development', '--model', 'atlas', '--to', 'atlas-2.q2_k', '--reason', 'a test']
  expect(await scene.cli(other)).toMatchObject({ code: 5 })
  await scene.must(['rollout', 'abort', id, '--reason', 'a test'])
  await scene.untilIn(id, 'rolled_back')
}, 120_000)
