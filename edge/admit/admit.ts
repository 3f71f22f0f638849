// Whether a request may be served, and by which version: who asks, for which model, how much, and until when.
// Cheap checks first; the body is read only for callers we know. Never decides where the request goes.

import { err, ok, type Result } from '../../shared/result.ts'
import { bucketOf, sha256Hex } from '../../shared/hash.ts'
import type { VersionId } from '../../shared/ids.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import type { Credential } from '../../shared/wire/credential.ts'
import { overrideHeader, readOverride } from '../../shared/wire/override.ts'
import type { Alias, Snapshot } from '../../shared/wire/snapshot.ts'
import type { Admitted, Asked, Wish } from '../facts.ts'
import type { EdgePorts } from '../ports.ts'
import { aliasFor, assignmentOf, chosen, mayCopy, shadowFor, shadowSaltOf, splits, unitOf, versionFor } from './assign.ts'
import { readAuthorization, verify } from './credential.ts'
import { deadlineOf } from './deadline.ts'
import { forcedBy, forcedVersion } from './override.ts'
import { explainOf, priorityOf } from './priority.ts'
import { isRepeatable } from './repeatable.ts'

type Ports = Pick<EdgePorts, 'clock' | 'credentials' | 'overrides'>

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
  const forced = await forcedFor(asked, credential, ports)
  if (!forced.ok) return forced

  const bytes = await asked.body.read(deadline.value)
  if (!bytes.ok) return bytes
  const { contentType, header, path } = asked
  const wish = asked.dialect.read({ bytes: bytes.value, contentType, header, path })
  if (!wish.ok) return wish

  const alias = aliasFor(snapshot, credential, wish.value.model)
  if (!alias.ok) return alias
  const given = { forced: forced.value, wish: wish.value, bodyBytes: bytes.value.length }
  const assigned = await assign(asked, { snapshot, credential, alias: alias.value }, given)
  if (!assigned.ok) return assigned
  return ok({
    credential,
    wish: wish.value,
    bytes: bytes.value,
    deadlineMs: deadline.value,
    priority: priority.value,
    explain: explain.value,
    ...assigned.value,
  })
}

type Under = { readonly snapshot: Snapshot; readonly credential: Credential; readonly alias: Alias }
type Given = { readonly forced: VersionId | null; readonly wish: Wish; readonly bodyBytes: number }

/** The version, how the request got it, and whether a copy goes to the canary. */
async function assign(
  asked: Asked,
  { snapshot, credential, alias }: Under,
  { forced, wish, bodyBytes }: Given,
): Promise<Result<Pick<Admitted, 'version' | 'assignment'>, InferenceRefusal>> {
  const drawn = async (): Promise<VersionId> =>
    splits(alias) ? versionFor(alias, await bucketOf(alias.salt, unitOf(credential, asked.session, wish.user))) : alias.stable
  const served =
    forced === null ? chosen(alias, wish.version, await drawn()) : forcedVersion(snapshot, alias, { forced, named: wish.version })
  if (!served.ok) return served
  const version = served.value
  const how = { version, forced: forced !== null, named: wish.version !== null, retryCount: asked.header('x-stainless-retry-count') }
  const assignment = assignmentOf(alias, how)
  const { operation } = asked.dialect
  if (!mayCopy(alias, { version, counts: assignment.counts, operation, bodyBytes }) || !isRepeatable(operation, wish.json))
    return ok({ version, assignment })
  const shadow = shadowFor(alias, await bucketOf(shadowSaltOf(alias), asked.requestId))
  return ok({ version, assignment: { ...assignment, shadow } })
}

/** The version that the request's override names; null when it has none. What held when it arrived holds until it is answered. */
async function forcedFor(asked: Asked, credential: Credential, ports: Ports): Promise<Result<VersionId | null, InferenceRefusal>> {
  const text = asked.header(overrideHeader)
  if (text === null) return ok(null)
  const signer = await ports.overrides()
  return forcedBy(signer ? await readOverride(text, signer, asked.receivedAtMs) : err('no_secret'), credential)
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
