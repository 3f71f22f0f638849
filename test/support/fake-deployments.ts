// The store of deployments in memory, part of test/support/rollout-stores.ts.

import type { Deployment, Stamp } from '../../core/facts.ts'
import type { DeploymentStore, DeployTarget, DeployedVersion } from '../../core/ports.ts'
import { isOpen } from '../../core/adapters/rollout-record.ts'
import type { Rollout } from '../../core/rollout/record.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import type { TargetId, VersionId } from '../../shared/ids.ts'
import { compareKeys, type FakeCatalogue } from './fake-rows.ts'

type Held = {
  readonly catalogue: FakeCatalogue
  readonly deployments: Map<string, Deployment>
  readonly rollouts: () => readonly Rollout[]
}

const deploymentKey = ({ target, version }: Pick<Deployment, 'target' | 'version'>): string => `${target}/${version}`

/** Not as it is wanted. What failed is left alone until it is wanted anew. */
const isUnfinished = ({ isWanted, state, endpoint }: Deployment): boolean =>
  state !== 'failed' && (state !== (isWanted ? 'ready' : 'gone') || (endpoint === null) === isWanted)

export function deploymentsOf(held: Held): DeploymentStore {
  const all = (): readonly Deployment[] =>
    [...held.deployments.values()].toSorted((a, b) => compareKeys([a.target, a.version], [b.target, b.version]))
  return {
    list: async ({ version, afterKey, limit }) =>
      all()
        .filter((each) => version === null || each.version === version)
        .filter((each) => afterKey === null || compareKeys([each.target, each.version], afterKey) > 0)
        .slice(0, limit),
    get: async (target, version) => held.deployments.get(deploymentKey({ target, version })) ?? null,
    due: async (nowMs, limit) =>
      all()
        .filter((each) => isUnfinished(each) && each.nextAtMs <= nowMs)
        .toSorted((a, b) => a.nextAtMs - b.nextAtMs)
        .slice(0, limit)
        .map((deployment) => ({ deployment, target: targetOf(held, deployment.target), version: versionOf(held, deployment.version) })),
    want: async (version, isWanted, targets, stamp) => want(held, { version, isWanted, targets }, stamp),
    step: async (before, change, rows, stamp) => step(held, before, change, rows, stamp),
    targetsOf: async (model) => held.catalogue.all('target').filter((each) => each.model === model),
    uses: async (version) => ({
      aliases: held.catalogue
        .all('alias')
        .filter(({ stable, canary }) => stable === version || canary === version)
        .map(({ stable, canary }) => ({ stable, canary })),
      rollouts: held.rollouts().filter((each) => isOpen(each) && (each.from === version || each.to === version)),
    }),
  }
}

function targetOf(held: Held, id: TargetId): DeployTarget {
  const target = held.catalogue.all('target').find((each) => each.id === id)
  if (!target) throw new Error(`no target ${id}`)
  return { ...target, credential: (held.catalogue.whole('target', id)?.['credential'] as string | undefined) ?? null }
}

function versionOf(held: Held, id: VersionId): DeployedVersion {
  const version = held.catalogue.all('version').find((each) => each.id === id)
  if (!version) throw new Error(`no version ${id}`)
  const { model, artifact, digest, flags } = version
  return { id, model, artifact, digest, flags }
}

type Want = { readonly version: VersionId; readonly isWanted: boolean; readonly targets: readonly TargetId[] | null }

function want(held: Held, { version, isWanted, targets }: Want, stamp: Stamp): readonly Deployment[] {
  const { atMs } = stamp
  const model = held.catalogue.all('version').find(({ id }) => id === version)?.model
  const named = held.catalogue.all('target').filter((each) => each.model === model && (targets === null || targets.includes(each.id)))
  const anew = { isWanted, state: 'waiting', detail: '', attempts: 0, nextAtMs: atMs, sinceMs: atMs, updatedAtMs: atMs } as const
  return named.flatMap(({ id: target }) => {
    const before = held.deployments.get(deploymentKey({ target, version })) ?? null
    if (before ? before.isWanted === isWanted && before.state !== 'failed' : !isWanted) return []
    const after: Deployment = before
      ? { ...before, ...anew, generation: before.generation + 1 }
      : { target, version, endpoint: null, ...anew, generation: 1, createdAtMs: atMs }
    held.deployments.set(deploymentKey(after), after)
    held.catalogue.note(before ? 'update' : 'create', 'deployment', deploymentKey(after), { before, after }, stamp)
    return [after]
  })
}

function step(
  held: Held,
  before: Deployment,
  change: Parameters<DeploymentStore['step']>[1],
  { endpoint, endpointGone }: Parameters<DeploymentStore['step']>[2],
  stamp: Stamp,
): Result<Deployment, AdminRefusal> {
  const id = deploymentKey(before)
  const now = held.deployments.get(id)
  if (!now) return err({ reason: 'not_found', what: 'deployment', id })
  if (now.generation !== before.generation) return err({ reason: 'generation_mismatch', current: now.generation })
  const refusal = endpoint ? held.catalogue.whyNotCreate('endpoint', endpoint) : null
  if (refusal) return err(refusal)
  const after: Deployment = { ...before, ...change, generation: before.generation + 1, updatedAtMs: stamp.atMs }
  const isThere = after.endpoint === null || after.endpoint === endpoint?.id || held.catalogue.whole('endpoint', after.endpoint)
  if (!isThere) return err({ reason: 'missing_reference', what: 'endpoint', detail: `the endpoint "${after.endpoint}" does not exist` })
  held.deployments.set(id, after)
  const used = endpointGone && held.catalogue.use('endpoint', endpointGone)
  if (used) {
    held.deployments.set(id, now)
    return err(used)
  }
  const isTold = after.state !== before.state || after.endpoint !== before.endpoint
  if (isTold) held.catalogue.note('update', 'deployment', id, { before, after }, stamp)
  const gone = endpointGone && held.catalogue.all('endpoint').find((each) => each.id === endpointGone)
  if (gone) held.catalogue.remove('endpoint', gone, stamp)
  if (endpoint) held.catalogue.create('endpoint', endpoint, stamp)
  return ok(after)
}
