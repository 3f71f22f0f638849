// Deploying to the real engine: a version that a rollout wants is loaded and answers at its endpoint, and is unloaded when it is released.

import { afterEach, expect, it } from 'vitest'
import { deployers } from '../../core/adapters/deployers.ts'
import { poster } from '../../core/adapters/poster.ts'
import { carryOut, type DeployPorts } from '../../core/deploy/deploy.ts'
import type { TargetId, VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { freshId, systemClock } from '../../shared/system.ts'
import { deployedVersion, targetAt } from '../support/deploy-targets.ts'
import { furnished, stamp, versionDraft } from '../support/deploy-world.ts'
import { asks, startEngine, type EngineProcess } from './engine-process.ts'

const running: EngineProcess[] = []
async function engineWith(flags: readonly string[] = []): Promise<EngineProcess> {
  const engine = await startEngine(flags)
  running.push(engine)
  await engine.ready
  return engine
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((engine) => engine.stop()))
})

const real = deployers({
  credentialKey: undefined,
  allowPrivate: true,
  poster: poster(true),
  clock: systemClock,
  freshId,
  coreUrl: null,
})
const stable = 'atlas-2.q8_0'
const canary = 'atlas-2.q4_0'
const statesAt = async ({ url }: EngineProcess) => {
  const index = (await (await fetch(`${url}/v2/repository/index`, { method: 'POST' })).json()) as readonly { name: string; state: string }[]
  return Object.fromEntries(index.map(({ name, state }) => [name, state]))
}

it('a version that is wanted is loaded and has an endpoint that answers; released, it is unloaded', async () => {
  const engine = await engineWith()
  const world = await furnished({
    regions: ['fra'],
    versions: [versionDraft(stable), versionDraft(canary)],
    target: { url: engine.url, hasCredential: false, credential: null },
  })
  let nowMs = Date.now()
  const { outbox, deployments, rows } = world
  const ports: DeployPorts = { clock: { nowMs: () => nowMs }, outbox, deployments, rows, deployers: real, freshId }
  const stateOf = async () => (await deployments.get('fra' as TargetId, canary as VersionId))?.state

  await deployments.want(canary as VersionId, true, null, stamp)
  for (let passes = 0; (await stateOf()) !== 'ready' && passes < 50; passes++) {
    await carryOut(ports, nowMs)
    nowMs += limits.deployPollMs
  }
  expect(await statesAt(engine)).toMatchObject({ [canary]: 'READY' })
  const endpoint = await rows.get('endpoint', [`fra.${canary}`])
  if (!endpoint) throw new Error('the version has no endpoint')
  expect(endpoint).toMatchObject({ url: engine.url, version: canary, state: 'enabled', weight: 1 })
  const answer = await engine.openai.chat.completions.create({ model: endpoint.servedName, messages: asks('Hi'), max_tokens: 4 })
  expect(answer.model).toBe(canary)

  await deployments.want(canary as VersionId, false, null, stamp)
  await carryOut(ports, nowMs)
  // Nobody is routed there any more, and who is still there may end.
  expect(await rows.get('endpoint', [endpoint.id])).toBeNull()
  expect(await statesAt(engine)).toMatchObject({ [canary]: 'READY' })
  nowMs += limits.undeployGraceMs
  for (let passes = 0; (await stateOf()) !== 'gone' && passes < 50; passes++) {
    await carryOut(ports, nowMs)
    nowMs += limits.deployPollMs
  }
  expect(await statesAt(engine)).toMatchObject({ [canary]: 'UNAVAILABLE', [stable]: 'READY' })
})

it('a version that the engine does not have, or has no room for, is said to be so', async () => {
  const engine = await engineWith(['--models-max', '1'])
  const target = targetAt(engine.url)
  expect(await real.bring(target, deployedVersion('atlas-9'))).toEqual({
    state: 'failed',
    detail: "asked to load, the server answers 400: unknown model 'atlas-9'",
    mayRetry: false,
  })
  expect(await real.bring(target, deployedVersion('mine', { artifact: canary }))).toMatchObject({ state: 'failed', mayRetry: true })
  expect(await real.remove(target, deployedVersion('atlas-9'))).toMatchObject({ state: 'gone' })
  // Room is made, and the next attempt succeeds.
  expect(await real.remove(target, deployedVersion(stable))).toMatchObject({ state: 'gone' })
  expect(await real.bring(target, deployedVersion('mine', { artifact: canary }))).toMatchObject({ state: 'ready', servedName: canary })
})

it('a load that takes longer than a call may is asked after, and not begun again', async () => {
  const engine = await engineWith()
  const target = targetAt(engine.url)
  await engine.setFaults({ hangLoad: true })
  const version = deployedVersion(canary)
  expect(await real.bring(target, version)).toMatchObject({ state: 'loading' })
  expect(await real.bring(target, version)).toMatchObject({ state: 'loading' })
  expect(await real.remove(target, version)).toMatchObject({ state: 'failed', mayRetry: true })
  await engine.clearFaults()
  await expect.poll(() => real.bring(target, version), { timeout: 30_000 }).toMatchObject({ state: 'ready' })
})
