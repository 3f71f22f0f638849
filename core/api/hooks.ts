// What the other side of a webhook deployer reports back: how far a version is at its target. Not the operator's door: each report is signed
// under the target's secret (Standard Webhooks), and a stranger learns nothing, not even which targets there are.
// A report only becomes the row's state; endpoints are made and taken away by the loop (core/deploy).

import { Hono } from 'hono'
import * as v from 'valibot'
import type { TargetId, VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { verifyWebhook, webhookHeaders, type WebhookFailure } from '../../shared/webhook-signature.ts'
import type { Deployment, Row, Stamp } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { servedNameOf } from '../served-name.ts'
import { hearOfIt, only, shown, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { parseJson, readFields, readText } from './body.ts'
import { baseUrl, line, oneOf } from './fields.ts'

/** All routes under /hooks/v1. Whoever mounts them has set the request's id. */
export function hookRoutes(ports: AdminPorts): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>()
  only('POST', app, '/deployments/:target/:version', (c) => report(c, ports))
  return app
}

const body = v.strictObject({
  /** The path's: what is signed must say what it is of, or a report could be told again of another version. */
  version: line(1, 64),
  state: oneOf(['loading', 'ready', 'failed', 'gone']),
  detail: v.optional(line(0, limits.deployDetailCharsMax), ''),
  servedName: v.optional(line(1, 256)),
  url: v.optional(baseUrl),
})
type Report = v.InferOutput<typeof body>

async function report(c: Asked, ports: AdminPorts): Promise<Answer> {
  const version = (c.req.param('version') ?? '') as VersionId
  const text = await readText(c.req.raw, limits.hookBodyBytesMax)
  if (!text.ok) return text
  const target = await signerOf(c, text.value, ports)
  if (!target.ok) return target
  const json = parseJson(text.value)
  if (!json.ok) return json
  const fields = readFields(body, json.value)
  if (!fields.ok) return fields
  const { id } = target.value
  const [before, row] = await Promise.all([ports.deployments.get(id, version), ports.rows.get('version', [version])])
  if (!before || !row) return err({ reason: 'not_found', what: 'deployment', id: `${id}/${version}` })
  const fault = faultOf(fields.value as Report, { deployment: before, target: target.value, version: row })
  if (fault) return err(fault)

  const stamp: Stamp = { atMs: ports.clock.nowMs(), actor: `target:${id}`, requestId: c.get('requestId'), reason: null }
  const change = changeOf(fields.value as Report, before, stamp.atMs)
  if (!change) return ok(shown(before, before.generation))
  const after = await ports.deployments.step(before, change, { endpoint: null, endpointGone: null }, stamp)
  if (!after.ok) return after
  hearOfIt(c, ports)
  return ok(shown(after.value, after.value.generation))
}

/**
 * The target that the path names, when this was signed under its secret. Of one that is not there, has no secret, or is no webhook's (its
 * credential is for its servers), nothing can be signed. Refusal: signature_refused.
 */
async function signerOf(c: Asked, text: string, ports: AdminPorts): Promise<Result<Row<'target'>, AdminRefusal>> {
  const id = (c.req.param('target') ?? '') as TargetId
  const target = await ports.rows.get('target', [id])
  const held = target?.deployer === 'webhook' ? await ports.openTargetSecret(id) : null
  // Nobody has this one: all is checked, and all is answered, as if there were a secret.
  const by = { secret: held ?? ports.freshId(20), nowMs: ports.clock.nowMs(), toleranceMs: limits.webhookToleranceMs }
  const verified = await verifyWebhook({ headers: c.req.raw.headers, body: text }, by)
  if (target && held !== null && verified.ok) return ok(target)
  const why = verified.ok || verified.error === 'secret_missing' ? 'not_authentic' : verified.error
  return err({ reason: 'signature_refused', detail: words[why] })
}

const words: Readonly<Record<Exclude<WebhookFailure, 'secret_missing'>, string>> = {
  header_missing: `send the headers ${Object.values(webhookHeaders).join(', ')}`,
  malformed_id: 'webhook-id must have at least one character, and no full stop',
  malformed_timestamp: 'webhook-timestamp must be a time in whole seconds',
  too_old: 'webhook-timestamp lies too far back',
  too_new: 'webhook-timestamp lies too far ahead',
  not_authentic: 'it was not signed under that',
}

type Reported = { readonly deployment: Deployment; readonly target: Row<'target'>; readonly version: Row<'version'> }

/** Why a report cannot be taken: it speaks against what is wanted, or of another server than the one that requests will be sent to. */
function faultOf(said: Report, { deployment, target, version }: Reported): AdminRefusal | null {
  const fault = (param: string, detail: string): AdminRefusal => ({ reason: 'invalid_field', param, detail })
  const { isWanted } = deployment
  if (said.version !== version.id) return fault('version', `must be "${version.id}", as in the path`)
  if (isWanted && said.state === 'gone') return fault('state', 'must be loading, ready or failed: the version is wanted at this target')
  if (!isWanted && said.state === 'ready') return fault('state', 'must be gone, loading or failed: the version is no longer wanted here')
  if (said.state === 'ready' && said.servedName === undefined) return fault('servedName', 'is required where state is ready')
  const name = servedNameOf(version, target.deployer)
  if (said.servedName !== undefined && said.servedName !== name) return fault('servedName', `must be "${name}": requests will ask for that`)
  if (said.url !== undefined && said.url !== target.url) return fault('url', `must be that of the target, ${target.url}`)
  return null
}

type Change = Partial<Pick<Deployment, 'state' | 'detail' | 'attempts' | 'nextAtMs' | 'sinceMs'>>

/** null: it says what is known. What loads is asked after again as if the deployer itself had just said so. */
function changeOf({ state, detail }: Report, before: Deployment, nowMs: number): Change | null {
  const next = state === 'loading' && !before.isWanted ? 'unloading' : state
  if (next === before.state && detail === before.detail) return null
  const sinceMs = next === before.state ? before.sinceMs : nowMs
  if (state === 'loading') return { state: next, detail, sinceMs, nextAtMs: nowMs + limits.deployToldAgainMs }
  return { state: next, detail, sinceMs, attempts: 0, nextAtMs: nowMs }
}
