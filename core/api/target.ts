// What is particular about targets: which kind of servers a deployer makes, what it must be told, the options of the endpoints that will
// stand there, and the credential, which is sealed before it is written and never goes out again.

import * as v from 'valibot'
import { refusedRange } from '../../shared/address.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { readSageMakerUrl } from '../../shared/sagemaker.ts'
import type { Amendment, Deployer, Draft, Fields, Options, Row } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { readWithin } from './body.ts'
import { awsName, awsRegionName, checkAddresses, checkEndpoint, readOptions, sealCredential } from './endpoint.ts'
import { baseUrl, pageUrl } from './fields.ts'

/**
 * What each deployer must be told, and may be. url: where it is asked instead of at the target's own url: a model repository, or AWS's control
 * plane. variant: the production variant whose weight is moved.
 */
const deployOptions = {
  model_repository: v.strictObject({ url: v.optional(baseUrl) }),
  sagemaker: v.strictObject({
    endpointName: awsName,
    url: v.optional(baseUrl),
    region: v.optional(awsRegionName),
    variant: v.optional(awsName),
  }),
  webhook: v.strictObject({ webhookUrl: pageUrl }),
} as const satisfies Readonly<Record<Deployer, v.StrictObjectSchema<v.ObjectEntries, undefined>>>

/** Seals bind a text to one row: targets and endpoints never share an id in that sense. */
export const sealNameOf = (target: string): EndpointId => `target:${target}` as EndpointId

type Given = Omit<Fields['target'], 'hasCredential'> & { readonly credential?: unknown }
type Said<T> = Result<T, AdminRefusal>
type Making = Pick<AdminPorts, 'seal' | 'allowPrivateEndpoints'>

export async function makeTarget(body: object, making: Making): Promise<Said<{ draft: Draft<'target'>; shownOnce: {} }>> {
  const { credential = null, ...given } = body as Given
  const wrong = checkKind(given)
  if (wrong) return err(wrong)
  const fields = readByKind(given, given)
  if (!fields.ok) return fields
  const allowed = addresses(fields.value, making)
  if (!allowed.ok) return allowed
  const sealed = await sealSecret(credential, given, making)
  if (!sealed.ok) return sealed
  return ok({ draft: { ...fields.value, credential: sealed.value, hasCredential: sealed.value !== null }, shownOnce: {} })
}

export async function amendTarget(body: object, before: Row<'target'>, making: Making): Promise<Said<Amendment<'target'>>> {
  const { credential, ...given } = body as Partial<Given>
  const fields = readByKind(given, before)
  if (!fields.ok) return fields
  const allowed = addresses(fields.value, making)
  if (!allowed.ok) return allowed
  if (credential === undefined) return fields
  const sealed = await sealSecret(credential, before, making)
  return sealed.ok ? ok({ ...fields.value, credential: sealed.value, hasCredential: sealed.value !== null }) : sealed
}

/** The fields that are read by the target's kind and deployer, where they are given. */
function readByKind<F extends { readonly options?: Options; readonly deploy?: Options }>(
  fields: F,
  { kind, deployer }: Pick<Fields['target'], 'kind' | 'deployer'>,
): Said<F> {
  const options = fields.options === undefined ? null : readOptions(kind, fields.options)
  if (options && !options.ok) return options
  const deploy = fields.deploy === undefined ? null : readWithin('deploy', deployOptions[deployer], fields.deploy, `deployer ${deployer}`)
  if (deploy && !deploy.ok) return deploy
  return ok({ ...fields, ...(options && { options: options.value }), ...(deploy && { deploy: deploy.value as Options }) })
}

/** What a webhook is told is signed with the target's credential, and so is what comes back: of all forms only this one is a secret as such. */
async function sealSecret(
  given: unknown,
  { id, kind, deployer }: Pick<Row<'target'>, 'id' | 'kind' | 'deployer'>,
  making: Making,
): Promise<Said<string | null>> {
  const isBearer = typeof given === 'object' && given !== null && 'bearer' in given
  if (deployer === 'webhook' && given !== null && !isBearer) {
    return err({ reason: 'invalid_field', param: 'credential', detail: 'must be {"bearer"}: the secret under which the webhook is signed' })
  }
  return sealCredential(given, { id: sealNameOf(id), kind }, making)
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

const refuse = (param: string, detail: string): AdminRefusal => ({ reason: 'invalid_field', param, detail })

/** Which servers a deployer can make. */
function checkKind({ kind, deployer }: Pick<Fields['target'], 'kind' | 'deployer'>): AdminRefusal | null {
  if ((kind === 'sagemaker') !== (deployer === 'sagemaker')) {
    return refuse('kind', 'must be sagemaker where the deployer is sagemaker, and nowhere else')
  }
  if (deployer !== 'webhook' || kind !== 'anthropic') return null
  return refuse('kind', 'must be openai or open_inference where the deployer is webhook, for the credential must be a bearer')
}

/** Rules that span fields. */
export function checkTarget(fields: Fields['target']): AdminRefusal | null {
  const { deployer, deploy, hasCredential, url, options } = fields
  const wrong = checkKind(fields) ?? checkEndpoint(fields)
  if (wrong) return wrong
  if (deployer === 'webhook' && !hasCredential) return refuse('credential', 'is required where the deployer is webhook: {"bearer":"…"}')
  if (deployer !== 'sagemaker') return null
  const place = readSageMakerUrl(url, options['region'])
  const isSame = place.ok && place.value.name === deploy['endpointName']
  return isSame ? null : refuse('deploy.endpointName', 'must be the name at the end of the url')
}
