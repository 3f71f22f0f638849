// Whether a caller is who the key says. Pure: the record and the digest are handed in.

import { err, ok, type Result } from '../../shared/result.ts'
import { equalInConstantTime } from '../../shared/hash.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import { readApiKey, type ApiKey } from '../../shared/ids.ts'
import type { Credential } from '../../shared/wire/credential.ts'

/** Reads `Authorization: Bearer <key>` (the scheme is case-insensitive, RFC 9110 section 11.1). Refuses `missing_key` or `malformed_key`. */
export function readAuthorization(header: string | null): Result<ApiKey, InferenceRefusal> {
  const match = /^bearer +(\S+) *$/i.exec(header ?? '')
  if (!match) return err(header && header.trim() !== '' ? { reason: 'malformed_key' } : { reason: 'missing_key' })
  const key = readApiKey(match[1] ?? '')
  return key ? ok(key) : err({ reason: 'malformed_key' })
}

/**
 * Checks a key against its record: the secret first, so that nobody learns the state of a key he does not hold.
 * Refuses `unknown_key` (wrong secret or environment too), `disabled_key`, `expired_key`.
 */
export function verify(key: ApiKey, secretSha256: string, record: Credential, nowMs: number): Result<Credential, InferenceRefusal> {
  if (!equalInConstantTime(secretSha256, record.secretSha256)) return err({ reason: 'unknown_key' })
  if (key.environment !== record.environment) return err({ reason: 'unknown_key' })
  if (record.disabled) return err({ reason: 'disabled_key' })
  if (record.expiresAtMs !== null && record.expiresAtMs <= nowMs) return err({ reason: 'expired_key', expiredAtMs: record.expiresAtMs })
  return ok(record)
}
