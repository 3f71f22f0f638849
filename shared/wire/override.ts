// A signed override: a header by which a request is served by one version, whatever its alias says. Evaluations and dark tests use it; core
// signs, the edge verifies, with a key made of the deployment's secret for this purpose alone (shared/signature.ts).
// Written as `v1.<environment>.<version>.<expiresAtMs>.<signature>`: a version's id may have dots, so it is read from both ends.

import { environments, type Environment, type VersionId } from '../ids.ts'
import { err, ok, type Result } from '../result.ts'
import type { Signer } from '../signature.ts'

export const overrideHeader = 'isochrone-version-override'
export const overridePurpose = 'isochrone/version-override/v1'

export type Override = { readonly environment: Environment; readonly version: VersionId; readonly expiresAtMs: number }

const textOf = ({ environment, version, expiresAtMs }: Override): string => `v1.${environment}.${version}.${expiresAtMs}`

/** The header's value. */
export async function writeOverride(override: Override, signer: Signer): Promise<string> {
  const text = textOf(override)
  return `${text}.${await signer.sign(text)}`
}

/** `malformed`: no override at all; `not_authentic`: changed, or signed under another secret; `expired`. */
export type OverrideFailure = 'malformed' | 'not_authentic' | 'expired'

const shape = /^v1\.([a-z]+)\.([a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?)\.(\d{1,16})\.([0-9a-f]{64})$/

/** What the header says, when it was signed here and still holds. */
export async function readOverride(text: string, signer: Signer, nowMs: number): Promise<Result<Override, OverrideFailure>> {
  const [, environment, version, expires, signature] = shape.exec(text) ?? []
  const named = environments.find((each) => each === environment)
  if (!named || version === undefined || expires === undefined || signature === undefined) return err('malformed')
  const override: Override = { environment: named, version: version as VersionId, expiresAtMs: Number(expires) }
  if (!(await signer.verify(textOf(override), signature))) return err('not_authentic')
  return nowMs < override.expiresAtMs ? ok(override) : err('expired')
}
