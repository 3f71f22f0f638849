// The endpoint that stands for a version at a target: its id, and the row that is made when the version is there. Pure.

import type { EndpointId, TargetId, VersionId } from '../../shared/ids.ts'
import type { Draft } from '../facts.ts'
import type { DeployedVersion, DeployTarget } from '../ports.ts'

/** The longest id (core/api/fields.ts, slug), and the digits of a digest that tell shortened ones apart: 64 bits. */
const idCharsMax = 64
const digestDigits = 16

/**
 * `<target>.<version>`. Where that is too long, or could be read in two ways because the target's own id has a full stop, it is shortened as
 * far as needed and told apart by a digest. `digest`: SHA-256 of both ids, in hexadecimal digits.
 */
export function endpointIdOf(target: TargetId, version: VersionId, digest: string): EndpointId {
  const plain = `${target}.${version}`
  if (plain.length <= idCharsMax && !target.includes('.')) return plain as EndpointId
  const mark = digest.slice(0, digestDigits)
  return `${plain.slice(0, idCharsMax - 1 - mark.length)}-${mark}` as EndpointId
}

/** The text whose digest tells ids apart: no id has the character between. */
export const idTextOf = (target: TargetId, version: VersionId): string => `${target}\n${version}`

/** The row, ready for requests: what the target's own row says of servers that stand there. */
export function endpointDraft(
  at: { readonly id: EndpointId; readonly target: DeployTarget; readonly version: DeployedVersion },
  servedName: string,
  credential: string | null,
): Draft<'endpoint'> {
  const { region, kind, url, slots, operations, options } = at.target
  return {
    id: at.id,
    region,
    version: at.version.id,
    kind,
    url,
    servedName,
    slots,
    weight: 1,
    state: 'enabled',
    operations,
    options,
    maintenance: null,
    hasCredential: credential !== null,
    credential,
  }
}
