// Credentials of targets, as they lie sealed in their rows: opened for one call, or sealed anew for an endpoint. Nothing here puts one into
// a text for people; failures say what is wrong with the seal, never what is in it.

import { readEndpointCredential, type EndpointCredential } from '../../shared/endpoint-credential.ts'
import type { EndpointId } from '../../shared/ids.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { open, seal, sealKeyOf, type SealKey } from '../../shared/sealed.ts'
import type { DeployTarget } from '../ports.ts'
import { sealNameOf } from '../seal-names.ts'

type Sealed = Pick<DeployTarget, 'id' | 'kind' | 'credential'>

export type TargetCredentials = {
  /** null where the target has none. Failure: words for a person. */
  open(target: Sealed): Promise<Result<EndpointCredential | null, string>>
  /** The same credential sealed for an endpoint; null where there is none, or it cannot be opened. */
  sealFor(target: Sealed, endpoint: EndpointId): Promise<string | null>
}

/** `credentialKey`: the deployment's secret; undefined where it has none. */
export function targetCredentials(credentialKey: string | undefined): TargetCredentials {
  // The value and not its promise: one request's promise must not be awaited by another in a Worker.
  let key: SealKey | null = null
  const keyNow = async (): Promise<SealKey | null> => {
    if (key) return key
    const made = await sealKeyOf(credentialKey ?? '')
    return made.ok ? (key = made.value) : null
  }

  async function opened(target: Sealed): Promise<Result<{ readonly text: string; readonly key: SealKey } | null, string>> {
    if (target.credential === null) return ok(null)
    const keyHeld = await keyNow()
    if (!keyHeld) return err("the target's credential cannot be opened: this deployment has no CREDENTIAL_KEY")
    const text = await open(target.credential, sealNameOf(target.id), keyHeld)
    return text.ok ? ok({ text: text.value, key: keyHeld }) : err(`the target's credential cannot be opened (${text.error})`)
  }

  return {
    async open(target) {
      const found = await opened(target)
      if (!found.ok) return found
      if (found.value === null) return ok(null)
      const read = readEndpointCredential(target.kind, parsed(found.value.text))
      return read.ok ? ok(read.value) : err("the target's credential is not one of its kind")
    },

    async sealFor(target, endpoint) {
      const found = await opened(target)
      return found.ok && found.value ? seal(found.value.text, endpoint, found.value.key) : null
    },
  }
}

/**
 * What webhooks of a target are signed with: the one secret part of its credential; null for a credential of AWS, which signs in its own way.
 * A header's value may begin with a scheme, which is no secret, but belongs to the value as it was given.
 */
export function webhookSecretOf(credential: EndpointCredential): string | null {
  if ('bearer' in credential) return credential.bearer
  if ('apiKey' in credential) return credential.apiKey
  return 'value' in credential ? credential.value : null
}

/** Not JSON is no credential: the parser's own words would quote it. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
