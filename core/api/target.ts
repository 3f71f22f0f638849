// What is particular about targets: the options of the endpoints that will stand there, of the deployer that makes them, and the credential,
// which is sealed before it is written and never goes out again.

import * as v from 'valibot'
import { refusedRange } from '../../shared/address.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { Amendment, Draft, Fields, Row } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { checkAddresses, readOptions, sealCredential } from './endpoint.ts'
import { baseUrl, line, pageUrl } from './fields.ts'

/**
 * url: where the deployer is told: the model repository, AWS's control plane, the address of a webhook; absent: the target's own url, or
 * AWS's own. variant: the production variant that is moved on SageMaker.
 */
export const deployOptions = v.strictObject({
  url: v.optional(baseUrl),
  webhookUrl: v.optional(pageUrl),
  region: v.optional(line(1, 64)),
  endpointName: v.optional(line(1, 63)),
  variant: v.optional(line(1, 63)),
})

/** Seals bind a text to one row: targets and endpoints never share an id in that sense. */
export const sealNameOf = (target: string): EndpointId => `target:${target}` as EndpointId

type Given = Omit<Fields['target'], 'hasCredential'> & { readonly credential?: unknown }
type Said<T> = Result<T, AdminRefusal>
type Making = Pick<AdminPorts, 'seal' | 'allowPrivateEndpoints'>

export async function makeTarget(body: object, making: Making): Promise<Said<{ draft: Draft<'target'>; shownOnce: {} }>> {
  const { credential, ...fields } = body as Given
  const options = readOptions(fields.kind, fields.options)
  if (!options.ok) return options
  const allowed = addresses({ ...fields, options: options.value }, making)
  if (!allowed.ok) return allowed
  const sealed = await sealCredential(credential ?? null, { id: sealNameOf(fields.id), kind: fields.kind }, making)
  if (!sealed.ok) return sealed
  return ok({
    draft: { ...fields, options: options.value, credential: sealed.value, hasCredential: sealed.value !== null },
    shownOnce: {},
  })
}

export async function amendTarget(body: object, before: Row<'target'>, making: Making): Promise<Said<Amendment<'target'>>> {
  const { credential, ...fields } = body as Partial<Given>
  const options = fields.options === undefined ? null : readOptions(before.kind, fields.options)
  if (options && !options.ok) return options
  const amendment = options ? { ...fields, options: options.value } : fields
  const allowed = addresses(amendment, making)
  if (!allowed.ok) return allowed
  if (credential === undefined) return ok(amendment)
  const sealed = await sealCredential(credential, { id: sealNameOf(before.id), kind: before.kind }, making)
  return sealed.ok ? ok({ ...amendment, credential: sealed.value, hasCredential: sealed.value !== null }) : sealed
}

function addresses(fields: Partial<Pick<Fields['target'], 'url' | 'options' | 'deploy'>>, making: Making): Said<null> {
  const ofServers = checkAddresses(fields, making)
  if (!ofServers.ok) return ofServers
  for (const name of ['url', 'webhookUrl'] as const) {
    const address = fields.deploy?.[name]
    const range = address === undefined ? null : refusedRange(address, making.allowPrivateEndpoints)
    if (range) return err({ reason: 'private_address', param: `deploy.${name}`, range })
  }
  return ok(null)
}
