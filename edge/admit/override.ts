// What a signed override means for a request: which version it is served, or why the override is refused. It is never left aside in silence,
// or somebody would measure another version than he believes. Pure: the shell has read and verified the header.

import { err, ok, type Result } from '../../shared/result.ts'
import type { VersionId } from '../../shared/ids.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Credential } from '../../shared/wire/credential.ts'
import type { Override, OverrideFailure } from '../../shared/wire/override.ts'
import type { Alias, Snapshot } from '../../shared/wire/snapshot.ts'

/** `no_secret`: a deployment that has none can verify nothing. */
export type Unread = OverrideFailure | 'no_secret'

const reasons: Readonly<Record<Unread, string>> = {
  no_secret: 'this deployment has no secret, and so takes no overrides.',
  malformed: 'it is none. Ask the admin API for one, and send it as it is.',
  not_authentic: 'it was not signed here, or was changed since. Ask the admin API for another.',
  expired: 'it has expired. Ask the admin API for another.',
}

const refused = (detail: string): Result<never, InferenceRefusal> => err({ reason: 'override_refused', detail })

/** The version that an override names for this caller. Refuses `override_refused` where it does not hold, or is of another environment. */
export function forcedBy(read: Result<Override, Unread>, { environment }: Credential): Result<VersionId, InferenceRefusal> {
  if (!read.ok) return refused(reasons[read.error])
  if (read.value.environment === environment) return ok(read.value.version)
  return refused(`it is for ${read.value.environment}, and this API key is for ${environment}.`)
}

/**
 * The forced version, which need not be one of the alias's two. Refuses `unknown_version` where no endpoint of the model serves it, and
 * `override_refused` where the path names another one.
 */
export function forcedVersion(
  snapshot: Snapshot,
  alias: Alias,
  asked: { readonly forced: VersionId; readonly named: string | null },
): Result<VersionId, InferenceRefusal> {
  const { forced, named } = asked
  if (named !== null && named !== forced) return refused(`it is for version ${forced}, and the path names ${named}.`)
  const isServed = snapshot.endpoints.some((endpoint) => endpoint.model === alias.model && endpoint.version === forced)
  if (isServed) return ok(forced)
  return err({ reason: 'unknown_version', model: alias.model, version: forced, environment: alias.environment })
}
