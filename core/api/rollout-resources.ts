// The resources of new versions: approvals, the targets where versions are made to exist, and the webhooks that tell what happened.

import * as v from 'valibot'
import { environments } from '../../shared/ids.ts'
import { endpointKinds } from '../../shared/operations.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { deployers, type Amendment, type Fields } from '../facts.ts'
import { anyOptions, operationList } from './endpoint.ts'
import { baseUrl, flag, line, oneOf, timeMs, wholeBetween } from './fields.ts'
import { model, noCheck, regionName, targetId, versionId, webhookId, type Resource } from './resource.ts'
import { amendTarget, checkTarget, makeTarget } from './target.ts'
import { amendWebhook, makeWebhook, webhookOptions } from './webhook.ts'

const targetFields = {
  url: baseUrl,
  slots: wholeBetween(1, 10_000),
  operations: operationList,
  options: anyOptions,
  deploy: anyOptions,
}

export const target: Resource<'target'> = {
  kind: 'target',
  path: 'targets',
  params: ['id'],
  create: v.strictObject({
    id: targetId,
    model,
    region: regionName,
    deployer: oneOf(deployers),
    kind: v.optional(oneOf(endpointKinds), 'openai'),
    url: targetFields.url,
    slots: targetFields.slots,
    operations: v.optional(targetFields.operations, null),
    options: v.optional(targetFields.options, {}),
    deploy: v.optional(targetFields.deploy, {}),
    credential: v.optional(v.unknown(), null),
  }),
  // As a server does not move, nor does the place where it stands.
  change: v.partial(v.strictObject({ ...targetFields, credential: v.unknown() })),
  make: makeTarget,
  amend: amendTarget,
  check: checkTarget,
}

export const webhook: Resource<'webhook'> = {
  kind: 'webhook',
  path: 'webhooks',
  params: ['id'],
  create: v.strictObject({
    id: webhookId,
    url: webhookOptions.url,
    format: v.optional(webhookOptions.format, 'standard'),
    events: v.optional(webhookOptions.events, null),
    disabled: v.optional(flag, false),
  }),
  change: v.partial(v.strictObject({ ...webhookOptions, disabled: flag })),
  make: makeWebhook,
  amend: amendWebhook,
  check: noCheck,
}

const evidence = v.strictObject({
  note: v.optional(line(0, 2_000), ''),
  reports: v.optional(v.pipe(v.array(line(1, 128)), v.maxLength(64, 'must name at most 64 reports')), []),
  verdicts: v.optional(v.pipe(v.array(line(1, 256)), v.maxLength(64, 'must name at most 64 verdicts')), []),
})
const approvalOptions = { evidence, expiresAtMs: v.nullable(timeMs) }

export const approval: Resource<'approval'> = {
  kind: 'approval',
  path: 'approvals',
  params: ['environment', 'version'],
  create: v.strictObject({
    environment: oneOf(environments),
    version: versionId,
    evidence: v.optional(approvalOptions.evidence, { note: '', reports: [], verdicts: [] }),
    expiresAtMs: v.optional(approvalOptions.expiresAtMs, null),
  }),
  change: v.partial(v.strictObject(approvalOptions)),
  async make(body, { actor, clock }) {
    const fields = body as Omit<Fields['approval'], 'approvedBy'>
    const timely = checkExpiry(fields.expiresAtMs, clock.nowMs())
    return timely.ok ? ok({ draft: { ...fields, approvedBy: actor }, shownOnce: {} }) : timely
  },
  // Whoever changes it says so anew.
  async amend(body, _, { actor, clock }) {
    const change = body as Amendment<'approval'>
    const timely = checkExpiry(change.expiresAtMs ?? null, clock.nowMs())
    return timely.ok ? ok({ ...change, approvedBy: actor }) : timely
  },
  check: noCheck,
}

/** Refusal: invalid_field. To end an approval, delete it. */
function checkExpiry(expiresAtMs: number | null, nowMs: number): Result<null, AdminRefusal> {
  if (expiresAtMs === null || expiresAtMs > nowMs) return ok(null)
  return err({ reason: 'invalid_field', param: 'expiresAtMs', detail: 'must lie in the future: to take an approval back, delete it' })
}
