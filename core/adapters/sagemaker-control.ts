// Amazon SageMaker's control plane (AWS JSON 1.1): an endpoint is moved to the configuration that is a version's artefact, and the weight of
// one of its variants is set. Signed by the runtime client's own signer, for a client of the whole control plane is large. Each call begins
// by asking how the endpoint is, and asks for one change at most: a change takes minutes, and meanwhile the service refuses others.

import { secretsOf, type AwsCredential } from '../../shared/endpoint-credential.ts'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { controlPlaneOf, readSageMakerUrl, type SageMakerPlace } from '../../shared/sagemaker.ts'
import type { DeployedVersion, DeployProgress, DeployTarget } from '../ports.ts'
import { servedNameOf } from '../served-name.ts'
import { fieldsIn, fieldsOf, post, wordsOf, type Answered } from './bounded-call.ts'

export type Account = { readonly target: DeployTarget; readonly credential: AwsCredential; readonly allowPrivate: boolean }

type Control = Account & { readonly place: SageMakerPlace; readonly url: string; readonly signal: AbortSignal }

/** `config` null: there is no such endpoint. `weights`: wanted, by variant. */
type Described = {
  readonly config: string | null
  readonly status: string
  readonly reason: string
  readonly weights: ReadonlyMap<string, number>
}

/** Moves the endpoint to the version's configuration, and gives its variant weight. Never throws. */
export async function moveTo(of: Account, version: DeployedVersion): Promise<DeployProgress> {
  const control = controlOf(of)
  if (!control.ok) return control.error
  const found = await describe(control.value)
  if (!found.ok) return found.error
  const { config, status, reason, weights } = found.value
  if (config === null) return final(`there is no endpoint ${control.value.place.name}`)
  if (isMoving(status)) return { state: 'loading', detail: `the endpoint is ${status}` }
  if (status !== 'InService') return final(`the endpoint is ${status}${reason === '' ? '' : `: ${reason}`}`)
  const wanted = configOf(version)
  if (config !== wanted) {
    // What autoscaling and people have set of variants that stay is theirs.
    const body = { EndpointConfigName: wanted, RetainAllVariantProperties: true }
    return change(control.value, 'UpdateEndpoint', body, `the endpoint moves from ${config} to ${wanted}`)
  }
  const variant = of.target.deploy['variant']
  const weight = variant === undefined ? null : (weights.get(variant) ?? 'missing')
  if (weight === 'missing') return final(`the configuration ${wanted} has no variant ${variant}`)
  if (variant !== undefined && weight === 0) return setWeight(control.value, variant, 1)
  return { state: 'ready', detail: `InService with ${wanted}`, servedName: servedNameOf(version, 'sagemaker') }
}

/** Takes the variant's weight away. The endpoint itself stays: it is a person's, and so is what it costs. Never throws. */
export async function moveAway(of: Account, version: DeployedVersion): Promise<DeployProgress> {
  const control = controlOf(of)
  if (!control.ok) return control.error
  const found = await describe(control.value)
  if (!found.ok) return found.error
  const { config, status, weights } = found.value
  if (config === null) return { state: 'gone', detail: 'there is no such endpoint' }
  if (isMoving(status)) return { state: 'loading', detail: `the endpoint is ${status}` }
  // Another version's configuration is not ours to change.
  if (config !== configOf(version)) return { state: 'gone', detail: `the endpoint has another configuration, ${config}` }
  const variant = of.target.deploy['variant']
  if (variant === undefined) return { state: 'gone', detail: 'the target names no variant: the endpoint is left as it is' }
  const weight = weights.get(variant) ?? 0
  if (status !== 'InService' || weight === 0)
    return { state: 'gone', detail: `the variant ${variant} has no weight; the endpoint is ${status}` }
  return setWeight(control.value, variant, 0)
}

const configOf = ({ artifact, id }: DeployedVersion): string => artifact ?? id

/** What passes by itself. `SystemUpdating` is the service's own maintenance. */
const isMoving = (status: string): boolean => ['Creating', 'Updating', 'SystemUpdating', 'RollingBack'].includes(status)

const final = (detail: string): DeployProgress => ({ state: 'failed', detail, mayRetry: false })

function controlOf(of: Account): Result<Control, DeployProgress> {
  const { deploy, options, url } = of.target
  const place = readSageMakerUrl(url, deploy['region'] ?? options['region'])
  if (!place.ok) return err(final(`the target's url names no SageMaker endpoint (${place.error})`))
  const named = { ...place.value, name: deploy['endpointName'] ?? place.value.name }
  const own = deploy['url']
  return ok({
    ...of,
    place: named,
    url: own === undefined ? controlPlaneOf(named) : `${own}/`,
    signal: AbortSignal.timeout(limits.deployCallMsMax),
  })
}

async function describe(control: Control): Promise<Result<Described, DeployProgress>> {
  const answered = await call(control, 'DescribeEndpoint', {})
  if (!answered.ok) return answered
  const { status, text } = answered.value
  if (status !== 200 && isAbsent(text)) return ok({ config: null, status: 'NotFound', reason: '', weights: new Map() })
  if (status !== 200) return err(refusal(answered.value, 'DescribeEndpoint'))
  const { EndpointConfigName, EndpointStatus, FailureReason, ProductionVariants } = fieldsOf(text)
  if (typeof EndpointConfigName !== 'string' || typeof EndpointStatus !== 'string') {
    return err({ state: 'failed', detail: "the service's answer is not an endpoint's description", mayRetry: true })
  }
  return ok({
    config: EndpointConfigName,
    status: EndpointStatus.slice(0, 40),
    reason: typeof FailureReason === 'string' ? FailureReason.slice(0, 300) : '',
    weights: weightsOf(ProductionVariants),
  })
}

function weightsOf(variants: unknown): ReadonlyMap<string, number> {
  const all: readonly unknown[] = Array.isArray(variants) ? variants : []
  return new Map(
    all.map(fieldsIn).flatMap(({ VariantName: name, DesiredWeight: desired, CurrentWeight: current }) => {
      const weight = typeof desired === 'number' ? desired : current
      return typeof name === 'string' && typeof weight === 'number' ? [[name, weight] as const] : []
    }),
  )
}

const setWeight = (control: Control, variant: string, weight: number): Promise<DeployProgress> =>
  change(
    control,
    'UpdateEndpointWeightsAndCapacities',
    { DesiredWeightsAndCapacities: [{ VariantName: variant, DesiredWeight: weight }] },
    `the variant ${variant} gets weight ${weight}`,
  )

type Operation = 'DescribeEndpoint' | 'UpdateEndpoint' | 'UpdateEndpointWeightsAndCapacities'

/** Asks for a change. That it came about only the next description tells. */
async function change(control: Control, operation: Operation, body: object, detail: string): Promise<DeployProgress> {
  const answered = await call(control, operation, body)
  if (!answered.ok) return answered.error
  return answered.value.status === 200 ? { state: 'loading', detail } : refusal(answered.value, operation)
}

async function call(control: Control, operation: Operation, more: object): Promise<Result<Answered, DeployProgress>> {
  const { url, signal, credential, allowPrivate, place } = control
  const body = JSON.stringify({ EndpointName: place.name, ...more })
  const headers = await signed(control, operation, body)
  const answered = await post({ url, headers, body, signal, secrets: secretsOf(credential), allowPrivate })
  if (answered.ok) return answered
  const { detail, mayRetry } = answered.error
  return err({ state: 'failed', detail: `${operation}: ${detail}`, mayRetry })
}

async function signed({ place, url, credential }: Control, operation: Operation, body: string): Promise<Record<string, string>> {
  // Loaded by the first call that needs it: most deployments never evaluate the SDK.
  const { SageMakerRuntimeClient } = await import('@aws-sdk/client-sagemaker-runtime')
  const client = new SageMakerRuntimeClient({
    region: place.region,
    endpoint: place.base,
    credentials: credential as { accessKeyId: string; secretAccessKey: string; sessionToken?: string },
  })
  const signer = await client.config.signer()
  const { host, hostname, port, protocol, pathname } = new URL(url)
  const { headers } = await signer.sign({
    method: 'POST',
    protocol,
    hostname,
    ...(port === '' ? {} : { port: Number(port) }),
    path: pathname,
    query: {},
    headers: { host, 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `SageMaker.${operation}` },
    body,
  })
  return headers
}

/** DescribeEndpoint has no fault of its own for it: only its words tell it from other bad questions. */
const isAbsent = (text: string): boolean => /^Could not find endpoint "/i.test(wordsOf(text))

/** Refusals that pass: throttles, limits that others' instances take up, and a change that is under way. */
const passing =
  /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|ResourceLimitExceeded|ResourceInUse|ServiceUnavailable|InternalFailure/
const underWay = /in[- ]progress|is (?:being )?(?:updating|updated)|status .*Updating/i

/** AWS repeats what was signed where a signature is wrong: then its words are left out. */
function refusal({ status, text }: Answered, operation: Operation): DeployProgress {
  const { __type } = fieldsOf(text)
  // `com.amazon.coral.validate#ValidationException` in some services.
  const type = typeof __type === 'string' ? (/([A-Za-z]+)$/.exec(__type)?.[1] ?? '').slice(0, 60) : ''
  const words = type === '' || type.includes('Signature') ? '' : wordsOf(text)
  const detail = `${operation}: the service answers ${status}${type === '' ? '' : ` ${type}`}${words === '' ? '' : `: ${words}`}`
  if (operation !== 'DescribeEndpoint' && underWay.test(words)) return { state: 'loading', detail }
  return { state: 'failed', detail, mayRetry: status >= 500 || status === 429 || passing.test(type) }
}
