// Whether a request may be served, and by which version: who asks, for which model, how much, and until when.
// Cheap checks first; the body is read only for callers we know. Never decides where the request goes.

import { err, ok, type Result } from '../../shared/result.ts'
import { bucketOf, sha256Hex } from '../../shared/hash.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Credential } from '../../shared/wire/credential.ts'
import type { Snapshot } from '../../shared/wire/snapshot.ts'
import type { Admitted, Asked } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { aliasFor, chosen, splits, unitOf, versionFor } from './assign.ts'
import { readAuthorization, verify } from './credential.ts'
import { deadlineOf } from './deadline.ts'
import { explainOf, priorityOf } from './priority.ts'

type Ports = Pick<EdgePorts, 'clock' | 'credentials'>

/** Admits a request under a snapshot, or refuses with the reason. Can be repeated under a newer snapshot: the body is kept. */
export async function admit(asked: Asked, snapshot: Snapshot, ports: Ports): Promise<Result<Admitted, InferenceRefusal>> {
  const identified = await identify(asked.authorization, snapshot, ports)
  if (!identified.ok) return identified
  const credential = identified.value
  const deadline = deadlineOf(asked.deadline, asked.timeoutMs, asked.receivedAtMs)
  if (!deadline.ok) return deadline
  if (asked.session !== null && !sessionShape.test(asked.session)) return err(sessionRefusal)
  const priority = priorityOf(asked.header('isochrone-priority'), credential)
  if (!priority.ok) return priority
  const explain = explainOf(asked.header('isochrone-explain'), credential)
  if (!explain.ok) return explain

  const bytes = await asked.body.read(deadline.value)
  if (!bytes.ok) return bytes
  const { contentType, header, path } = asked
  const wish = asked.dialect.read({ bytes: bytes.value, contentType, header, path })
  if (!wish.ok) return wish

  const alias = aliasFor(snapshot, credential, wish.value.model)
  if (!alias.ok) return alias
  const unit = unitOf(credential, asked.session, wish.value.user)
  const assigned = splits(alias.value) ? versionFor(alias.value, await bucketOf(alias.value.salt, unit)) : alias.value.stable
  const version = chosen(alias.value, wish.value.version, assigned)
  if (!version.ok) return version
  return ok({
    credential,
    wish: wish.value,
    bytes: bytes.value,
    version: version.value,
    deadlineMs: deadline.value,
    priority: priority.value,
    explain: explain.value,
  })
}

/** Who the caller is, by his key alone. */
export async function identify(
  authorization: string | null,
  snapshot: Snapshot,
  ports: Ports,
): Promise<Result<Credential, InferenceRefusal>> {
  const key = readAuthorization(authorization)
  if (!key.ok) return key
  const [lookup, secretSha256] = await Promise.all([ports.credentials.find(key.value.id, snapshot), sha256Hex(key.value.secret)])
  if (lookup === 'unknown') return err({ reason: 'unknown_key' })
  if (lookup === 'unreachable') return err({ reason: 'credentials_unreachable' })
  return verify(key.value, secretSha256, lookup.found, ports.clock.nowMs())
}

/** Bounded, printable, without spaces: it ends up in hashes and logs. */
const sessionShape = /^[\x21-\x7e]{1,128}$/
const sessionRefusal: InferenceRefusal = {
  reason: 'invalid_header',
  header: 'isochrone-session',
  detail: 'expected 1 to 128 printable ASCII characters without spaces.',
}
