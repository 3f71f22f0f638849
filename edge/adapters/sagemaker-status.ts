// What Amazon SageMaker says of an endpoint that it runs: DescribeEndpoint of its control plane (AWS JSON 1.1), signed by the runtime
// client's own signer, for a client of the whole control plane is large. It only asks, and no caller's request waits for the answer.

import { secretsOf, type AwsCredential } from '../../shared/endpoint-credential.ts'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { controlPlaneOf, readSageMakerUrl, type SageMakerPlace } from '../../shared/sagemaker.ts'
import type { ServiceStatus } from '../../shared/wire/probe.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'
import { detailOf, redactedText } from './redact.ts'

export { controlPlaneOf } from '../../shared/sagemaker.ts'

/** Why there is no status, in words without credentials; `status` is null where nothing was answered. */
export type StatusFailure = { readonly detail: string; readonly status: number | null }

/**
 * The endpoint's state, and its instances now and wanted: of all its variants, or of the one that the row's options target. The caller has
 * judged the address; `signal` is the only bound on time. Never throws.
 */
export async function describeEndpoint(
  endpoint: Pick<Endpoint, 'url' | 'options'>,
  credential: AwsCredential,
  signal: AbortSignal,
): Promise<Result<ServiceStatus, StatusFailure>> {
  const fail = (detail: string, status: number | null = null) => err({ detail, status })
  const place = readSageMakerUrl(endpoint.url, endpoint.options['region'])
  if (!place.ok) return fail(`the endpoint's url names no SageMaker endpoint (${place.error})`)
  const secrets = secretsOf(credential)
  try {
    const { status, text } = await answerOf(place.value, credential, signal)
    if (status >= 300 && status < 400)
      return fail(`the service answers with a redirect (${status}), and redirects are not followed`, status)
    if (text === null) return fail(`the service's answer has more than ${limits.statusBytesMax} bytes`, status)
    if (isAbsent(status, text)) return ok(absent)
    if (status !== 200) return fail(redactedText(refusal(status, text), secrets), status)
    const told = readStatus(text, endpoint.options['targetVariant'])
    return told ? ok(told) : fail("the service's answer is not an endpoint's description", status)
  } catch (cause) {
    return fail(detailOf(cause, secrets))
  }
}

async function answerOf(
  place: SageMakerPlace,
  credential: AwsCredential,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string | null }> {
  const { url, headers, body } = await signed(place, credential)
  const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal })
  return { status: response.status, text: await textWithin(response.body, limits.statusBytesMax) }
}

async function signed(place: SageMakerPlace, credential: AwsCredential) {
  const { SageMakerRuntimeClient } = await import('@aws-sdk/client-sagemaker-runtime')
  const client = new SageMakerRuntimeClient({
    region: place.region,
    endpoint: place.base,
    credentials: credential as { accessKeyId: string; secretAccessKey: string; sessionToken?: string },
  })
  const signer = await client.config.signer()
  const url = controlPlaneOf(place)
  const { host, hostname, port, protocol } = new URL(url)
  const body = JSON.stringify({ EndpointName: place.name })
  const { headers } = await signer.sign({
    method: 'POST',
    protocol,
    hostname,
    ...(port === '' ? {} : { port: Number(port) }),
    path: '/',
    query: {},
    headers: { host, 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'SageMaker.DescribeEndpoint' },
    body,
  })
  return { url, headers: { ...headers, 'user-agent': 'isochrone' }, body }
}

/** The body as text, or null when it is longer; then the rest is left unread. */
async function textWithin(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<string | null> {
  if (!body) return ''
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (let bytes = 0; ;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.length
    if (bytes > bytesMax) {
      await reader.cancel().catch(() => undefined)
      return null
    }
    text += decoder.decode(value, { stream: true })
  }
}

const absent: ServiceStatus = { status: 'NotFound', instances: null, instancesWanted: null }

/** That there is no such endpoint is an answer too. DescribeEndpoint has no fault of its own for it: only its words tell it from other bad questions. */
function isAbsent(status: number, text: string): boolean {
  const { message, Message } = fieldsOf(text)
  return status === 404 || (status === 400 && [message, Message].some((words) => /^Could not find endpoint/i.test(String(words))))
}

const saidMax = 120

/** What a refusal says. AWS repeats what was signed where a signature is wrong: then its words are left out. */
function refusal(status: number, text: string): string {
  const { __type, message, Message } = fieldsOf(text)
  // `com.amazon.coral.validate#ValidationException` in some services.
  const type = typeof __type === 'string' ? (/([A-Za-z]+)$/.exec(__type)?.[1] ?? '') : ''
  if (type === '') return `the service answers ${status}`
  const said = [message, Message].find((words) => typeof words === 'string')
  const words = typeof said === 'string' && !type.includes('Signature') ? `: ${said.slice(0, saidMax)}` : ''
  return `the service answers ${status} ${type.slice(0, 60)}${words}`
}

/** Null when it is not what DescribeEndpoint answers. A serverless variant has no instances: null, not none. */
function readStatus(text: string, targetVariant: string | undefined): ServiceStatus | null {
  const { EndpointStatus, ProductionVariants } = fieldsOf(text)
  if (typeof EndpointStatus !== 'string' || !/^[A-Za-z]{1,40}$/.test(EndpointStatus)) return null
  const all: readonly unknown[] = Array.isArray(ProductionVariants) ? ProductionVariants : []
  const meant = all.map(fieldsIn).filter(({ VariantName }) => targetVariant === undefined || VariantName === targetVariant)
  return {
    status: EndpointStatus,
    instances: totalOf(meant.map(({ CurrentInstanceCount }) => CurrentInstanceCount)),
    instancesWanted: totalOf(meant.map(({ DesiredInstanceCount }) => DesiredInstanceCount)),
  }
}

function totalOf(values: readonly unknown[]): number | null {
  const counts = values.filter((value): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)
  return counts.length === 0 ? null : counts.reduce((total, count) => total + count, 0)
}

type Fields = Readonly<Record<string, unknown>>
const fieldsIn = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {})

function fieldsOf(text: string): Fields {
  try {
    return fieldsIn(JSON.parse(text))
  } catch {
    return {}
  }
}
