// What the tests of deployers share: a target, a version, and the deployers with a key.

import { deployers, type DeployerSources } from '../../core/adapters/deployers.ts'
import { poster } from '../../core/adapters/poster.ts'
import type { DeployedVersion, DeployTarget } from '../../core/ports.ts'
import { sealNameOf } from '../../core/seal-names.ts'
import { seal, sealKeyOf } from '../../shared/sealed.ts'
import type { EndpointId, ModelName, RegionName, TargetId, VersionId } from '../../shared/ids.ts'
import { systemClock } from '../../shared/system.ts'

export const credentialKey = 'test-credential-key-of-32-characters'

export async function keyOf(secret = credentialKey) {
  const key = await sealKeyOf(secret)
  if (!key.ok) throw new Error('the key is too short')
  return key.value
}

/** A credential as it lies in a target's row. */
export const sealed = async (target: string, credential: object): Promise<string> =>
  seal(JSON.stringify(credential), sealNameOf(target), await keyOf())

export const targetAt = (url: string, so: Partial<DeployTarget> = {}): DeployTarget => ({
  id: 'fra' as TargetId,
  model: 'atlas' as ModelName,
  region: 'fra' as RegionName,
  deployer: 'model_repository',
  kind: 'openai',
  url,
  slots: 4,
  operations: null,
  options: {},
  deploy: {},
  hasCredential: false,
  credential: null,
  generation: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
  ...so,
})

export const deployedVersion = (id: string, so: Partial<DeployedVersion> = {}): DeployedVersion => ({
  id: id as VersionId,
  model: 'atlas' as ModelName,
  artifact: null,
  digest: `sha256:${'ab'.repeat(32)}`,
  flags: {},
  ...so,
})

let ids = 0
export const deployersWith = (so: Partial<DeployerSources> = {}) =>
  deployers({
    credentialKey,
    allowPrivate: true,
    poster: poster(true),
    clock: systemClock,
    freshId: () => `id${ids++}`,
    coreUrl: 'https://core.test',
    ...so,
  })

export const endpointNamed = (id: string): EndpointId => id as EndpointId
