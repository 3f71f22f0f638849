// Which version of a model answers a request. Pure: the bucket is computed by the shell (hashing waits).
// Unit = session, else the dialect's user, else the API key (docs/design/overview.md); raising the weight never moves anybody back.

import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { ModelName, VersionId } from '../../shared/ids.ts'
import type { Credential } from '../../shared/wire/credential.ts'
import type { Alias, Snapshot } from '../../shared/wire/snapshot.ts'

/** The alias a key's request for a model goes through. Refuses `unknown_model` and `model_not_allowed`. */
export function aliasFor(snapshot: Snapshot, credential: Credential, model: ModelName): Result<Alias, InferenceRefusal> {
  const alias = snapshot.aliases.find((each) => each.model === model && each.environment === credential.environment)
  if (!alias) return err({ reason: 'unknown_model', model, environment: credential.environment })
  if (credential.models !== null && !credential.models.includes(model)) return err({ reason: 'model_not_allowed', model })
  return ok(alias)
}

/** The text that keeps its version: tenants are kept apart, so that equal session names of two tenants are two units. */
export function unitOf(credential: Credential, session: string | null, user: string | null): string {
  if (session !== null) return `session:${credential.tenant}:${session}`
  if (user !== null) return `user:${credential.tenant}:${user}`
  return `key:${credential.id}`
}

/** Whether the alias splits its traffic at all; when not, no bucket is needed. */
export const splits = (alias: Alias): boolean => alias.canary !== null && alias.weightBp > 0

/** The version for a bucket of 0 to 9,999: the canary if it lies below the weight. */
export function versionFor(alias: Alias, bucket: number): VersionId {
  return alias.canary !== null && bucket < alias.weightBp ? alias.canary : alias.stable
}

/** The version named in the request, where its protocol allows that: one of the alias's two. Refuses `unknown_version`. */
export function chosen(alias: Alias, named: string | null, assigned: VersionId): Result<VersionId, InferenceRefusal> {
  if (named === null) return ok(assigned)
  const found = [alias.stable, alias.canary].find((version) => version === named)
  return found ? ok(found) : err({ reason: 'unknown_version', model: alias.model, version: named, environment: alias.environment })
}
