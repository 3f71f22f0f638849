// What is particular about webhooks: the secret is made here, shown once, and kept sealed.

import * as v from 'valibot'
import { refusedRange } from '../../shared/address.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { webhookFormats, type Draft, type Fields } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { line, oneOf, pageUrl } from './fields.ts'

export const webhookOptions = {
  url: pageUrl,
  format: oneOf(webhookFormats),
  /** Types of events, such as rollout.paused; null: all. */
  events: v.nullable(v.pipe(v.array(line(1, 64), 'must be a list of types of events, or null for all'), v.maxLength(64, 'must name at most 64'))),
}

export const webhookSealName = (webhook: string): EndpointId => `webhook:${webhook}` as EndpointId

type Making = Pick<AdminPorts, 'seal' | 'allowPrivateEndpoints'>

/** The secret as Standard Webhooks writes it: `whsec_` and 24 random bytes or more in base64. */
export async function makeWebhook(
  body: object,
  { seal, allowPrivateEndpoints }: Making,
): Promise<Result<{ draft: Draft<'webhook'>; shownOnce: Readonly<Record<string, string>> }, AdminRefusal>> {
  const fields = body as Fields['webhook']
  const range = refusedRange(fields.url, allowPrivateEndpoints)
  if (range) return err({ reason: 'private_address', param: 'url', range })
  if (!seal) return err({ reason: 'credential_key_unset' })
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  const secret = `whsec_${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))}`
  return ok({ draft: { ...fields, secret: await seal(secret, webhookSealName(fields.id)) }, shownOnce: { secret } })
}
