// What becomes of a deployment by a deployer's word, what rollouts wish, and the endpoints' ids: the pure part of deploying.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { wishesOf } from '../../../core/deploy/effects.ts'
import { endpointIdOf, idTextOf } from '../../../core/deploy/endpoint.ts'
import { stepOf, stuck, taskOf, withdrawn } from '../../../core/deploy/step.ts'
import type { Deployer, Deployment, OutboxRow } from '../../../core/facts.ts'
import type { DeployProgress } from '../../../core/ports.ts'
import { servedNameOf } from '../../../core/served-name.ts'
import { sha256Hex } from '../../../shared/hash.ts'
import type { EndpointId, ModelName, RolloutId, TargetId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'

const nowMs = 1_700_000_000_000
const row = (so: Partial<Deployment> = {}): Deployment => ({
  target: 't' as TargetId,
  version: 'v' as VersionId,
  isWanted: true,
  state: 'waiting',
  detail: '',
  endpoint: null,
  attempts: 0,
  nextAtMs: nowMs,
  sinceMs: nowMs - 1_000,
  generation: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
  ...so,
})
const step = (so: Partial<Deployment>, progress: DeployProgress, deployer: Deployer = 'model_repository') =>
  stepOf({ deployment: row(so), deployer }, progress, nowMs)

const loading: DeployProgress = { state: 'loading', detail: 'loading' }
const failing: DeployProgress = { state: 'failed', detail: 'no', mayRetry: true }

describe('what is to be done', () => {
  it.each<readonly [Partial<Deployment>, ReturnType<typeof taskOf>]>([
    [{}, 'bring'],
    [{ state: 'loading' }, 'bring'],
    [{ state: 'gone' }, 'bring'],
    [{ state: 'ready' }, 'register'],
    [{ isWanted: false, endpoint: 'e' as EndpointId }, 'withdraw'],
    [{ isWanted: false, endpoint: 'e' as EndpointId, state: 'gone' }, 'withdraw'],
    [{ isWanted: false }, 'remove'],
    [{ isWanted: false, state: 'unloading' }, 'remove'],
  ])('with %j: %s', (so, expected) => {
    expect(taskOf(row(so))).toBe(expected)
  })
})

describe('a step', () => {
  it.each<readonly [string, Partial<Deployment>, DeployProgress, Partial<Deployment>]>([
    [
      'ready',
      { attempts: 3 },
      { state: 'ready', detail: 'ok', servedName: 'v' },
      { state: 'ready', detail: 'ok', attempts: 0, sinceMs: nowMs },
    ],
    ['begun', {}, loading, { state: 'loading', sinceMs: nowMs, nextAtMs: nowMs + limits.deployPollMs }],
    [
      'under way',
      { state: 'loading', sinceMs: nowMs - 60_000 },
      loading,
      { state: 'loading', sinceMs: nowMs - 60_000, nextAtMs: nowMs + 15_000 },
    ],
    ['long under way', { state: 'loading', sinceMs: nowMs - 3_600_000 }, loading, { nextAtMs: nowMs + limits.deployPollMsMax }],
    ['too long', { state: 'loading', sinceMs: nowMs - limits.deployLoadingMsMax - 1 }, loading, { state: 'failed' }],
    ['unloading too long', { isWanted: false, state: 'unloading', sinceMs: 0 }, loading, { state: 'failed' }],
    ['failed once', {}, failing, { state: 'waiting', attempts: 1, nextAtMs: nowMs + 2_000 }],
    ['failed four times', { attempts: 3 }, failing, { state: 'waiting', attempts: 4, nextAtMs: nowMs + 16_000 }],
    ['failed often', { attempts: 10 }, failing, { attempts: 11, nextAtMs: nowMs + limits.deployBackoffMsMax }],
    [
      'failed as often as allowed',
      { attempts: limits.deployAttemptsMax - 1 },
      failing,
      { state: 'failed', detail: 'given up after 12 attempts: no' },
    ],
    ['failed for good', {}, { ...failing, mayRetry: false }, { state: 'failed', detail: 'no', attempts: 1 }],
    ['gone', { isWanted: false, state: 'unloading' }, { state: 'gone', detail: 'unloaded' }, { state: 'gone', attempts: 0 }],
    ['not to be taken away yet', { isWanted: false }, failing, { state: 'unloading', attempts: 1, nextAtMs: nowMs + 2_000 }],
    ['ready when it should go', { isWanted: false }, { state: 'ready', detail: '', servedName: 'v' }, { state: 'unloading', attempts: 1 }],
    ['gone when it should come', {}, { state: 'gone', detail: '' }, { state: 'waiting', attempts: 1 }],
  ])('%s', (_what, so, progress, expected) => {
    expect(step(so, progress)).toMatchObject(expected)
  })

  it('of whoever was told by a webhook is not told again at once', () => {
    expect(step({}, loading, 'webhook').nextAtMs).toBe(nowMs + limits.deployToldAgainMs)
  })

  it('that nobody can go on from says so', () => {
    expect(stuck(row(), 'x'.repeat(9_999), nowMs)).toMatchObject({ state: 'failed', detail: 'x'.repeat(limits.deployDetailCharsMax) })
  })

  it('leaves requests the time to end', () => {
    expect(withdrawn(nowMs)).toMatchObject({ state: 'unloading', nextAtMs: nowMs + limits.undeployGraceMs })
  })

  it('leads to an end, whatever deployers say, and never back in time', () => {
    const words = fc.oneof(fc.constant(loading), fc.constant(failing), fc.constant<DeployProgress>({ state: 'gone', detail: '' }))
    fc.assert(
      fc.property(fc.infiniteStream(words), fc.constantFrom<Deployer>('model_repository', 'sagemaker', 'webhook'), (said, deployer) => {
        const deployment = row()
        const beganMs = deployment.nextAtMs
        for (let steps = 0; deployment.state !== 'failed'; steps++) {
          expect(steps).toBeLessThan(10_000)
          const atMs = deployment.nextAtMs
          const word: DeployProgress = said.next().value ?? loading
          const change = stepOf({ deployment, deployer }, word, atMs)
          expect(change.nextAtMs >= atMs && change.sinceMs <= atMs).toBe(true)
          expect(change.state === 'failed' || change.nextAtMs > atMs).toBe(true)
          Object.assign(deployment, change)
        }
        expect(deployment.nextAtMs - beganMs).toBeLessThanOrEqual(
          limits.deployAttemptsMax * (limits.deployLoadingMsMax + limits.deployToldAgainMs + limits.deployBackoffMsMax),
        )
      }),
      { numRuns: 30 },
    )
  })
})

describe('wishes', () => {
  const effect = (seq: number, kind: OutboxRow['kind'], version: string, payload?: string): OutboxRow => ({
    seq,
    id: `o${seq}`,
    rollout: 'r' as RolloutId,
    kind,
    payload: payload ?? JSON.stringify({ kind, version, generation: 1, key: `k${seq}` }),
    atMs: seq,
  })
  const said = (rows: readonly OutboxRow[]) =>
    wishesOf(rows).wishes.map(({ version, isWanted, rows: of }) => [version, isWanted, of.map(({ seq }) => seq)])

  it('of one version the last word counts, by the order of the outbox', () => {
    expect(said([effect(1, 'deploy', 'a'), effect(2, 'undeploy', 'b'), effect(3, 'undeploy', 'a')])).toEqual([
      ['a', false, [1, 3]],
      ['b', false, [2]],
    ])
    expect(said([effect(9, 'deploy', 'a'), effect(2, 'undeploy', 'a')])).toEqual([['a', true, [2, 9]]])
  })

  it('that nobody can read are set apart', () => {
    const rows = [effect(1, 'deploy', '', '{'), effect(2, 'deploy', '', '{}'), effect(3, 'notify', 'a'), effect(4, 'deploy', 'a')]
    expect(wishesOf(rows).unreadable.map(({ seq }) => seq)).toEqual([1, 2, 3])
    expect(said(rows)).toEqual([['a', true, [4]]])
  })
})

describe('an endpoint’s id', () => {
  const idOf = async (target: string, version: string) => {
    const [t, v] = [target as TargetId, version as VersionId]
    return endpointIdOf(t, v, await sha256Hex(idTextOf(t, v)))
  }
  const slug = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/

  it('names both where that fits', async () => {
    expect(await idOf('fra', 'atlas-2')).toBe('fra.atlas-2')
    expect(await idOf('a'.repeat(31), 'b'.repeat(32))).toHaveLength(64)
  })

  it('is a slug, and of no other pair', async () => {
    const ids = fc.stringMatching(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/)
    await fc.assert(
      fc.asyncProperty(fc.tuple(ids, ids), fc.tuple(ids, ids), async (one, other) => {
        const [a, b] = [await idOf(...one), await idOf(...other)]
        expect(a).toMatch(slug)
        expect(a === b).toBe(one[0] === other[0] && one[1] === other[1])
      }),
    )
    // Read in two ways without the digest.
    expect(await idOf('a.b', 'c')).not.toBe(await idOf('a', 'b.c'))
    expect(await idOf('a'.repeat(64), 'b')).not.toBe(await idOf('a'.repeat(64), 'c'))
  })
})

describe('what a server calls a version', () => {
  const version = { id: 'atlas-2' as VersionId, model: 'atlas' as ModelName, artifact: null, flags: {} }
  it.each<readonly [Deployer, object, string]>([
    ['model_repository', {}, 'atlas-2'],
    ['model_repository', { artifact: 'atlas.q8', flags: { 'served-model-name': 'x' } }, 'atlas.q8'],
    ['sagemaker', { artifact: 'config-7' }, 'atlas'],
    ['sagemaker', { artifact: 'config-7', flags: { 'served-model-name': 'x' } }, 'x'],
    ['webhook', {}, 'atlas-2'],
    ['webhook', { artifact: 'org/atlas' }, 'org/atlas'],
    ['webhook', { artifact: 'org/atlas', flags: { '--served-model-name': 'z' } }, 'z'],
    ['webhook', { flags: { served_model_name: 'y', tp: 2 } }, 'y'],
    ['webhook', { flags: { 'served-model-name': '' } }, 'atlas-2'],
  ])('by %s, with %j: %s', (deployer, so, expected) => {
    expect(servedNameOf({ ...version, ...so }, deployer)).toBe(expected)
  })
})
