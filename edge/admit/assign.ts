// Which version of a model answers a request. Pure: the bucket is computed by the shell (hashing waits).
// Unit = session, else the dialect's user, else the API key (docs/design/overview.md); raising the weight never moves anybody back.

import { err, ok, type Result } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { ModelName, VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { Operation } from '../../shared/operations.ts'
import type { Credential } from '../../shared/wire/credential.ts'
import type { Alias, Snapshot } from '../../shared/wire/snapshot.ts'
import { aliasNameOf, writeNameOf } from '../../shared/wire/trial.ts'
import type { Assignment } from '../facts.ts'

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

/** What decides what a request's outcome counts for. */
export type Assigned = {
  readonly version: VersionId
  /** Forced by a signed override. */
  readonly forced: boolean
  /** Named by the caller. */
  readonly named: boolean
  /** `x-stainless-retry-count`, which OpenAI's and Anthropic's clients send. */
  readonly retryCount: string | null
}

/** How the request got its version. Whether a copy goes to the canary is for the shell, which hashes. */
export const assignmentOf = (alias: Alias, { forced, named, retryCount }: Assigned): Assignment => ({
  alias: aliasNameOf(alias.environment, alias.model),
  write: writeNameOf(alias.write),
  forced,
  // A client that tries again does so because of an answer: its requests are no sample of what is asked.
  counts: !forced && !named && !(Number(retryCount ?? 0) > 0),
  shadow: null,
})

/** What generates; of all else there is no text to compare. */
const generating: readonly Operation[] = ['chat', 'completions', 'responses', 'messages', 'generate', 'generate_stream']

/** Whether a copy may go to the canary: of requests that stable serves as the alias says, that generate, and whose body can be kept meanwhile. */
export const mayCopy = (
  alias: Alias,
  asked: { readonly version: VersionId; readonly counts: boolean; readonly operation: Operation; readonly bodyBytes: number },
): boolean =>
  alias.canary !== null &&
  alias.shadowBp > 0 &&
  asked.counts &&
  asked.version === alias.stable &&
  generating.includes(asked.operation) &&
  asked.bodyBytes <= limits.shadowBodyBytesMax

/** The salt of the buckets that choose which requests are copied: another than the versions', or only units near the canary's would be. */
export const shadowSaltOf = ({ salt }: Alias): string => `${salt}/shadow`

/** The canary for a request in this bucket of 0 to 9,999; null: it is not copied. */
export const shadowFor = (alias: Alias, bucket: number): VersionId | null => (bucket < alias.shadowBp ? alias.canary : null)
