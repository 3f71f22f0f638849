// Who may use the admin API, and under which name and for which reason a write is noted.

import { equalInConstantTime, sha256Hex } from '../../shared/hash.ts'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'

/**
 * Lets in who bears the operator's token. Digests are compared, so neither length nor prefix of the token shows in the time taken.
 * Refusals: operator_token_unset (never open), operator_unknown.
 */
export async function admit(authorization: string | undefined, tokenSha256: string | null): Promise<Result<null, AdminRefusal>> {
  if (tokenSha256 === null) return err({ reason: 'operator_token_unset' })
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
  const admitted = token !== undefined && equalInConstantTime(await sha256Hex(token), tokenSha256)
  return admitted ? ok(null) : err({ reason: 'operator_unknown' })
}

/** Why a write is made, by the operator's own word; null when none is given. Refusal: invalid_header. */
export function reasonOf(header: string | undefined): Result<string | null, AdminRefusal> {
  if (header === undefined) return ok(null)
  if (/^[\x20-\x7e]+$/.test(header) && header.length <= limits.reasonCharsMax) return ok(header)
  return err({
    reason: 'invalid_header',
    header: 'isochrone-reason',
    detail: `must be 1 to ${limits.reasonCharsMax} printable ASCII characters`,
  })
}

/** The audit log's actor: the operator, and who of them by their own word. Refusal: invalid_header. */
export function actorOf(header: string | undefined): Result<string, AdminRefusal> {
  if (header === undefined) return ok('operator')
  if (/^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$/.test(header)) return ok(`operator:${header}`)
  return err({
    reason: 'invalid_header',
    header: 'isochrone-actor',
    detail: 'must be 1 to 64 letters, digits, "@", ".", "_", "+" and "-", beginning with a letter or digit',
  })
}
