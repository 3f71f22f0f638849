// What can be asked of one version beyond its row: how it differs from another, and a signed word by which requests are served by it.

import type { Hono } from 'hono'
import * as v from 'valibot'
import { environments, type Environment } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { err, ok } from '../../shared/result.ts'
import { overrideHeader, writeOverride } from '../../shared/wire/override.ts'
import { differencesOf } from '../differences.ts'
import type { AdminPorts } from '../ports.ts'
import { find, only, stampOf, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { readFields, readJson } from './body.ts'
import { oneOf, wholeBetween } from './fields.ts'
import { readNeeded, readQuery, refuseParameter } from './query.ts'
import { resources } from './resources.ts'

export function addVersions(app: Hono<AdminEnv>, ports: AdminPorts): void {
  only('GET', app, '/versions/:id/diff', (c) => diff(c, ports))
  only('POST', app, '/versions/:id/override', (c) => override(c, ports))
}

/** From the one in `against` to the one in the path. */
async function diff(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, ['against'])
  if (!query.ok) return query
  const against = readNeeded(query.value, 'against')
  if (!against.ok) return against
  const to = await find(c, resources.version, ports)
  if (!to.ok) return to
  const from = await ports.rows.get('version', [against.value])
  if (!from) return refuseParameter('against', `must be a version: there is no "${against.value}"`)
  if (from.model !== to.value.model) {
    return refuseParameter('against', `must be a version of "${to.value.model}": "${from.id}" is one of "${from.model}"`)
  }
  return ok(Response.json({ from: from.id, to: to.value.id, differences: differencesOf(from, to.value) }))
}

const overrideBody = v.strictObject({
  environment: oneOf(environments),
  forMs: v.optional(wholeBetween(limits.overrideMsMin, limits.overrideMsMax), limits.overrideMsDefault),
})

/** It is written nowhere: whoever has it may use it until it is over, with a key of that environment. The log notes who asked. */
async function override(c: Asked, ports: AdminPorts): Promise<Answer> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const body = await readJson(c.req.raw)
  if (!body.ok) return body
  const fields = readFields(overrideBody, body.value)
  if (!fields.ok) return fields
  const version = await find(c, resources.version, ports)
  if (!version.ok) return version
  if (!ports.overrideSigner) return err({ reason: 'credential_key_unset' })
  const { environment, forMs } = fields.value as { readonly environment: Environment; readonly forMs: number }
  const { atMs, actor, requestId } = stamp.value
  const expiresAtMs = atMs + forMs
  const value = await writeOverride({ environment, version: version.value.id, expiresAtMs }, ports.overrideSigner)
  ports.log({ message: 'versions: an override was signed', requestId, actor, version: version.value.id, environment, expiresAtMs })
  return ok(Response.json({ header: overrideHeader, value, expiresAtMs }))
}
