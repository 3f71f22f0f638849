// What makes versions exist at targets: opens a target's credential and chooses the adapter by its deployer. Never throws, and no text that
// comes from here has a part of a credential.

import { secretsOf, type EndpointCredential } from '../../shared/endpoint-credential.ts'
import { detailOf } from '../../shared/redact.ts'
import type { Clock } from '../../shared/time.ts'
import type { DeployedVersion, DeployProgress, Deployers, DeployTarget, Poster } from '../ports.ts'
import { tell, type Teller } from './deploy-webhook.ts'
import { load, unload } from './model-repository.ts'
import { moveAway, moveTo } from './sagemaker-control.ts'
import { targetCredentials, webhookSecretOf } from './target-credentials.ts'

export type DeployerSources = {
  /** The deployment's secret; undefined where it has none. */
  readonly credentialKey: string | undefined
  /** Whether addresses that are not public may be called. */
  readonly allowPrivate: boolean
  /** Sends webhooks; judges their addresses itself. */
  readonly poster: Poster
  readonly clock: Clock
  readonly freshId: () => string
  /** Where core can be reached from outside, for reports; null where nobody has said so. */
  readonly coreUrl: string | null
}

type Verb = 'bring' | 'remove'

export function deployers(sources: DeployerSources): Deployers {
  const credentials = targetCredentials(sources.credentialKey)
  const teller: Teller = { ...sources, nowMs: sources.clock.nowMs }
  const { allowPrivate } = sources

  async function ask(verb: Verb, target: DeployTarget, version: DeployedVersion): Promise<DeployProgress> {
    const opened = await credentials.open(target)
    if (!opened.ok) return unable(opened.error)
    try {
      return await askWith(opened.value, verb, target, version)
    } catch (cause) {
      const secrets = opened.value ? secretsOf(opened.value) : []
      return { state: 'failed', detail: `the deployer failed: ${detailOf(cause, secrets)}`, mayRetry: true }
    }
  }

  async function askWith(
    credential: EndpointCredential | null,
    verb: Verb,
    target: DeployTarget,
    version: DeployedVersion,
  ): Promise<DeployProgress> {
    const isAws = credential !== null && 'secretAccessKey' in credential
    switch (target.deployer) {
      case 'model_repository': {
        if (isAws) return unable('a model repository takes no credential of AWS')
        const of = { target, credential, allowPrivate }
        return verb === 'bring' ? load(of, version) : unload(of, version)
      }
      case 'sagemaker': {
        if (!isAws) return unable('SageMaker needs a credential of AWS, and the target has none')
        const of = { target, credential, allowPrivate }
        return verb === 'bring' ? moveTo(of, version) : moveAway(of, version)
      }
      case 'webhook': {
        const secret = credential && webhookSecretOf(credential)
        if (secret === null) return unable('the webhook is signed with the credential of the target, and it has none that signs')
        return tell(verb === 'bring' ? 'deployment.wanted' : 'deployment.unwanted', { target, version, secret }, teller)
      }
    }
  }

  return {
    bring: (target, version) => ask('bring', target, version),
    remove: (target, version) => ask('remove', target, version),
    // What a webhook is signed with is for those who deploy: a model server that had it could report in their name.
    credentialFor: async (target, endpoint) => (target.deployer === 'webhook' ? null : credentials.sealFor(target, endpoint)),
  }
}

/** Another time would be no better. */
const unable = (detail: string): DeployProgress => ({ state: 'failed', detail, mayRetry: false })
