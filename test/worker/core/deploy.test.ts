// Deploying inside workerd: the real stores in D1, and servers outside that speak as Triton, as SageMaker's control plane (signatures are
// verified) and as whoever is told by a webhook.

import { applyD1Migrations, reset } from 'cloudflare:test'
import { beforeEach, expect, it } from 'vitest'
import { deployers } from '../../../core/adapters/deployers.ts'
import { deploymentStore } from '../../../core/adapters/deployments.ts'
import { outboxStore } from '../../../core/adapters/outbox.ts'
import { poster } from '../../../core/adapters/poster.ts'
import { rowStore } from '../../../core/adapters/rows.ts'
import { carryOut, type DeployPorts } from '../../../core/deploy/deploy.ts'
import type { Deployment, Draft } from '../../../core/facts.ts'
import { sealNameOf } from '../../../core/seal-names.ts'
import { readEndpointCredential } from '../../../shared/endpoint-credential.ts'
import type { EndpointId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { open, seal, sealKeyOf } from '../../../shared/sealed.ts'
import { freshId } from '../../../shared/system.ts'
import { furnish, stamp, versionDraft } from '../../support/deploy-world.ts'
import { sageMakerKeys, sageMakerRegion } from '../../support/upstream-scenarios.ts'
import { testEnv } from './world.ts'

beforeEach(async () => {
  await reset()
  await applyD1Migrations(testEnv.DB, testEnv.TEST_MIGRATIONS)
})

const rows = rowStore(testEnv.DB)
const deployments = deploymentStore(testEnv.DB)
const secretKey = testEnv.CREDENTIAL_KEY ?? ''
const canary = 'atlas-2' as VersionId

async function keyNow() {
  const key = await sealKeyOf(secretKey)
  if (!key.ok) throw new Error('the key is too short')
  return key.value
}

async function scene(target: Partial<Draft<'target'>>, artifact: string) {
  await furnish(rows, {
    regions: ['fra'],
    versions: [versionDraft('atlas-1'), versionDraft(canary, { artifact })],
    target: { hasCredential: false, credential: null, ...target },
  })
  let nowMs = Date.now()
  const clock = { nowMs: () => nowMs }
  const ports: DeployPorts = {
    clock,
    outbox: outboxStore(testEnv.DB),
    deployments,
    rows,
    deployers: deployers({ credentialKey: secretKey, allowPrivate: true, poster: poster(true), clock, freshId, coreUrl: null }),
    freshId,
  }
  const rowNow = async (): Promise<Deployment> => {
    const [row] = await deployments.list({ version: canary, afterKey: null, limit: 1 })
    if (!row) throw new Error('the version is wanted nowhere')
    return row
  }
  /** Passes until the deployment is in this state, the clock set forward to what is due. */
  async function until(state: Deployment['state']): Promise<Deployment> {
    for (let passes = 0; passes < 30; passes++) {
      const row = await rowNow()
      if (row.state === state) return row
      nowMs = Math.max(nowMs + 1, row.nextAtMs)
      await carryOut(ports, nowMs)
    }
    throw new Error(`it never is ${state}: ${JSON.stringify(await rowNow())}`)
  }
  return { ports, rowNow, until, now: () => nowMs }
}

const sealed = async (credential: object) => ({
  hasCredential: true,
  credential: await seal(JSON.stringify(credential), sealNameOf('fra'), await keyNow()),
})
const wanted = (isWanted: boolean, atMs: number) => deployments.want(canary, isWanted, null, { ...stamp, atMs })
const credentialOf = async (id: EndpointId): Promise<string> => {
  const row = await testEnv.DB.prepare('SELECT credential FROM endpoints WHERE id = ?').bind(id).first<{ credential: string }>()
  return row?.credential ?? ''
}
const auditedOf = async (resource: string) =>
  (await rows.audit({ beforeSeq: null, limit: 100 })).filter((each) => each.resource === resource).map(({ action }) => action)

it('a model repository: the endpoint comes with the version, with the target’s credential sealed for it, and goes before it', async () => {
  const credential = { bearer: 'a-bearer-token' }
  const at = await scene({ url: 'http://repository.test', ...(await sealed(credential)) }, 'atlas-2.q4_0')
  await wanted(true, at.now())
  const ready = await at.until('ready')
  const id = 'fra.atlas-2' as EndpointId
  expect(ready.endpoint).toBe(id)
  expect(await rows.get('endpoint', [id])).toMatchObject({ servedName: 'atlas-2.q4_0', url: 'http://repository.test', hasCredential: true })
  const opened = await open(await credentialOf(id), id, await keyNow())
  expect(opened.ok && readEndpointCredential('openai', JSON.parse(opened.value))).toEqual({ ok: true, value: credential })

  await wanted(false, at.now())
  expect(await at.until('unloading')).toMatchObject({ endpoint: null })
  expect(await rows.get('endpoint', [id])).toBeNull()
  expect(await at.until('gone')).toMatchObject({ detail: 'the server does not have it in memory' })
  // Asking again and again is no news.
  expect(await auditedOf('endpoint')).toEqual(['delete', 'create'])
})

it('a version that the repository does not have fails, and again when it is wanted again', async () => {
  const at = await scene({ url: 'http://repository.test' }, 'atlas-9')
  await wanted(true, at.now())
  expect((await at.until('failed')).detail).toMatch(/answers 400: failed to load 'atlas-9', failed to poll/)
  await carryOut(at.ports, at.now() + 3_600_000)
  expect(await at.rowNow()).toMatchObject({ state: 'failed', attempts: 1 })
  await wanted(true, at.now())
  expect(await at.rowNow()).toMatchObject({ state: 'waiting', attempts: 0 })
  await at.until('failed')
})

it('SageMaker: calls are signed as its control plane wants them, and the endpoint comes to the version’s configuration', async () => {
  const target = {
    deployer: 'sagemaker',
    kind: 'sagemaker',
    url: 'https://sagemaker.test/endpoints/atlas',
    options: { region: sageMakerRegion },
    deploy: { variant: 'green' },
    ...(await sealed(sageMakerKeys)),
  } as const
  const at = await scene(target, 'atlas-2')
  await wanted(true, at.now())
  expect(await at.until('ready')).toMatchObject({ endpoint: 'fra.atlas-2', detail: 'InService with atlas-2' })
  expect(await rows.get('endpoint', ['fra.atlas-2'])).toMatchObject({ kind: 'sagemaker', servedName: 'atlas' })
  await wanted(false, at.now())
  expect(await at.until('gone')).toMatchObject({ detail: 'the variant green has no weight; the endpoint is InService' })
})

it('a webhook: told once, and its report makes the endpoint', async () => {
  const target = {
    deployer: 'webhook',
    deploy: { webhookUrl: 'http://receiver.test/empty-204' },
    ...(await sealed({ bearer: 'whsec_c2VjcmV0IG9mIHRoZSB0YXJnZXQ=' })),
  } as const
  const at = await scene(target, 's3://models/atlas-2')
  await wanted(true, at.now())
  const told = await at.until('loading')
  expect(told.nextAtMs - at.now()).toBe(limits.deployToldAgainMs)
  const reported = { state: 'ready', detail: 'by kubectl', nextAtMs: at.now() } as const
  await deployments.step(told, reported, { endpoint: null, endpointGone: null }, { ...stamp, atMs: at.now() })
  await carryOut(at.ports, at.now())
  expect(await at.rowNow()).toMatchObject({ state: 'ready', endpoint: 'fra.atlas-2', detail: 'by kubectl' })
})
