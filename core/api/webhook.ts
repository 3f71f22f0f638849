// What is particular about webhooks: the secret is made here, shown once, and kept sealed; the address must be a public one; and only events
// that there are can be asked for.

import * as v from 'valibot'
import { refusedRange } from '../../shared/address.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { webhookFormats, type Amendment, type Draft, type Fields, type Row } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { webhookEventTypes } from '../webhook-events.ts'
import { oneOf, pageUrl } from './fields.ts'

export const webhookOptions = {
  url: pageUrl,
  format: oneOf(webhookFormats),
  /** Types of events; null: all. */
  events: v.nullable(
    v.pipe(
      v.array(oneOf(webhookEventTypes), 'must be a list of types of events, or null for all'),
      v.minLength(1, 'must name a type of event, or be null for all'),
      v.check((list) => new Set(list).size === list.length, 'must name each type once'),
    ),
  ),
}

export const webhookSealName = (webhook: string): EndpointId => `webhook:${webhook}` as EndpointId

type Making = Pick<AdminPorts, 'seal' | 'allowPrivateEndpoints'>

/** The secret as Standard Webhooks writes it: `whsec_` and 24 random bytes or more in base64. Refusals: private_address, credential_key_unset. */
export async function makeWebhook(
  body: object,
  { seal, allowPrivateEndpoints }: Making,
): Promise<Result<{ draft: Draft<'webhook'>; shownOnce: Readonly<Record<string, string>> }, AdminRefusal>> {
  const fields = body as Fields['webhook']
  const refused = checkUrl(fields.url, allowPrivateEndpoints)
  if (refused) return err(refused)
  if (!seal) return err({ reason: 'credential_key_unset' })
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  const secret = `whsec_${btoa(String.fromCharCode(...bytes))}`
  return ok({ draft: { ...fields, secret: await seal(secret, webhookSealName(fields.id)) }, shownOnce: { secret } })
}

/** The secret stays: whoever wants another one makes another webhook, and deletes this one when its receiver knows the new secret. */
export function amendWebhook(
  body: object,
  _before: Row<'webhook'>,
  { allowPrivateEndpoints }: Making,
): Promise<Result<Amendment<'webhook'>, AdminRefusal>> {
  const change = body as Amendment<'webhook'>
  const refused = change.url === undefined ? null : checkUrl(change.url, allowPrivateEndpoints)
  return Promise.resolve(refused ? err(refused) : ok(change))
}

function checkUrl(url: string, allowPrivate: boolean): AdminRefusal | null {
  const range = refusedRange(url, allowPrivate)
  return range && { reason: 'private_address', param: 'url', range }
}
