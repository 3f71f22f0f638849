// What is particular about endpoints: where they may stand, what their kind wants to be told, and their credential, which comes in once,
// is sealed before it is written, and never goes out again. No refusal here repeats a part of a credential.

import * as v from 'valibot'
import { refusedRange } from '../../shared/address.ts'
import { readEndpointCredential } from '../../shared/endpoint-credential.ts'
import type { EndpointId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { operations, type EndpointKind } from '../../shared/operations.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { awsRegion, readSageMakerUrl, sageMakerName } from '../../shared/sagemaker.ts'
import type { Fields, Maintenance, Options } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { readWithin } from './body.ts'
import { oneOf, pageUrl, reason, timeMs } from './fields.ts'

type Said<T> = Result<T, AdminRefusal>

/** What it can be asked to do; null: what its kind does (shared/operations.ts). */
export const operationList = v.nullable(
  v.pipe(
    v.array(oneOf(operations), 'must be a list of operations, or null for those of its kind'),
    v.minLength(1, 'must name an operation, or be null for those of its kind'),
    v.check((list) => new Set(list).size === list.length, 'must name each operation once'),
  ),
)

/** Read by kind below: the kind is another field. */
export const anyOptions = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
)

export const awsName = v.pipe(v.string('must be a text'), v.regex(sageMakerName, 'must be 1 to 63 letters, digits and "-"'))
export const awsRegionName = v.pipe(v.string('must be a text'), v.regex(awsRegion, 'must be a region of AWS, such as eu-central-1'))

/** Servers with a Prometheus page may have it elsewhere; the others have none. */
const onOrOff = v.optional(oneOf(['on', 'off']))
/** A token costs money where somebody else runs the model, and a page that does not exist need not be asked for. */
const generationOption = { generationProbe: onOrOff }
const metricsOptions = v.strictObject({ ...generationOption, metricsProbe: onOrOff, metricsUrl: v.optional(pageUrl) })

const optionsByKind = {
  openai: metricsOptions,
  anthropic: v.strictObject(generationOption),
  open_inference: metricsOptions,
  sagemaker: v.strictObject({
    ...generationOption,
    targetVariant: v.optional(awsName),
    inferenceComponent: v.optional(awsName),
    region: v.optional(awsRegionName),
  }),
} as const satisfies Readonly<Record<EndpointKind, v.StrictObjectSchema<v.ObjectEntries, undefined>>>

/** The options as this kind takes them. Refusal: invalid_field. */
export function readOptions(kind: EndpointKind, options: object): Said<Options> {
  const read = readWithin('options', optionsByKind[kind], options, `kind ${kind}`)
  return read.ok ? ok(read.value as Options) : read
}

/** Every address that is named must be one that may be called. Refusal: private_address. */
export function checkAddresses(
  { url, options }: { readonly url?: string; readonly options?: Options },
  { allowPrivateEndpoints }: Pick<AdminPorts, 'allowPrivateEndpoints'>,
): Said<null> {
  for (const [param, address] of [['url', url] as const, ['options.metricsUrl', options?.['metricsUrl']] as const]) {
    const range = address === undefined ? null : refusedRange(address, allowPrivateEndpoints)
    if (range) return err({ reason: 'private_address', param, range })
  }
  return ok(null)
}

/** A time in which the endpoint counts as draining; null: none. What it must hold beside its form is in checkMaintenance. */
export const maintenanceWindow = v.nullable(v.strictObject({ fromMs: timeMs, untilMs: timeMs, reason }))

/** The rules of a window that is written at this time. Refusal: invalid_field, naming the field below `param`. */
export function checkMaintenance(window: Omit<Maintenance, 'reason'> | null, nowMs: number, param: string): Said<null> {
  const refuse = (detail: string) => err({ reason: 'invalid_field', param: `${param}untilMs`, detail } as const)
  if (!window) return ok(null)
  if (window.untilMs <= window.fromMs) return refuse('must be later than fromMs')
  if (window.untilMs <= nowMs) return refuse('must lie in the future: a window that has ended would do nothing')
  const daysMax = limits.maintenanceMsMax / 86_400_000
  if (window.untilMs - window.fromMs > limits.maintenanceMsMax) return refuse(`must be at most ${daysMax} days after fromMs`)
  return ok(null)
}

/** The credential as it is written; null takes it away. Refusals: invalid_field, credential_key_unset. */
export async function sealCredential(
  given: unknown,
  of: { readonly id: EndpointId; readonly kind: EndpointKind },
  { seal }: Pick<AdminPorts, 'seal'>,
): Promise<Said<string | null>> {
  if (given === null) return ok(null)
  const read = readEndpointCredential(of.kind, given)
  if (!read.ok) {
    const { param, detail } = read.error
    return err({ reason: 'invalid_field', param: param === '' ? 'credential' : `credential.${param}`, detail })
  }
  if (!seal) return err({ reason: 'credential_key_unset' })
  return ok(await seal(JSON.stringify(read.value), of.id))
}

/** Rules that span fields: a SageMaker endpoint's url must say what is to be invoked, and url or options where. */
export function checkEndpoint({ kind, url, options }: Pick<Fields['endpoint'], 'kind' | 'url' | 'options'>): AdminRefusal | null {
  if (kind !== 'sagemaker') return null
  const place = readSageMakerUrl(url, options['region'])
  if (place.ok) return null
  if (place.error === 'no_region') {
    return { reason: 'invalid_field', param: 'options.region', detail: 'is required, for the host of the url does not tell the region' }
  }
  return {
    reason: 'invalid_field',
    param: 'url',
    detail: 'must end in /endpoints/<name>, as in https://runtime.sagemaker.<region>.amazonaws.com/endpoints/<name>',
  }
}
