// What reports and load runs have in common when they are handed in: who and where, and a text that is kept as it came. Nothing is kept that
// its reader refuses, or that says that it is of another version than the one that is registered.

import { environments, type Environment } from '../../shared/ids.ts'
import { sha256Hex } from '../../shared/hash.ts'
import { limits } from '../../shared/limits.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { Row, Stamp } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { stampOf, type Asked } from './asked.ts'
import { readText } from './body.ts'
import { readOneOf, readQuery, refuseParameter, type Query } from './query.ts'

export type Handed = {
  readonly stamp: Stamp
  readonly query: Query
  readonly environment: Environment
  readonly text: string
  /** SHA-256 of the text: the same text handed in again is the same row. */
  readonly id: string
}

/** `parameters`: what the query may hold beside the environment. Refusals: invalid_header, invalid_field, body_too_large. */
export async function readHanded(c: Asked, parameters: readonly string[], ports: AdminPorts): Promise<Result<Handed, AdminRefusal>> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  const query = readQuery(c.req.url, ['environment', ...parameters])
  if (!query.ok) return query
  const environment = readOneOf(query.value, 'environment', environments)
  if (!environment.ok) return environment
  if (environment.value === null) return refuseParameter('environment', `is required: one of ${environments.join(', ')}`)
  const text = await readText(c.req.raw, limits.reportCharsMax)
  if (!text.ok) return text
  return ok({ stamp: stamp.value, query: query.value, environment: environment.value, text: text.value, id: await sha256Hex(text.value) })
}

/** The digest that a text names, at `param`, must be the registered one: a name may have been given to other weights. Refusal: invalid_field. */
export function checkDigest(version: Row<'version'>, digest: string, param: string): Result<null, AdminRefusal> {
  if (version.digest === digest) return ok(null)
  return err({ reason: 'invalid_field', param, detail: `must be the digest with which "${version.id}" is registered, ${version.digest}` })
}
