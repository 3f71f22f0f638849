// Stands in for Amazon SageMaker on loopback: the runtime's two invocations and the control plane's DescribeEndpoint, on one port, signatures
// verified by AWS's own code, streams framed by it.
// The endpoint's name is the scenario: those of the upstream contract, and faults that only SageMaker has (below). What the API reference
// of InvokeEndpoint, InvokeEndpointWithResponseStream and DescribeEndpoint says of headers, statuses and bodies is what is played here.

import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sha256 } from '@aws-crypto/sha256-js'
import { EventStreamCodec } from '@smithy/eventstream-codec'
import { SignatureV4 } from '@smithy/signature-v4'
import { chunks, errorBody, wholeBody, type Scenario } from './upstream-scenarios.ts'
import { cutAfter, serve, writeApart, type LocalServer, type Recording } from './http-server.ts'

export type Keys = { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }

/** `model-stream-error-<n>`, `internal-stream-failure-<n>`: after n parts; `half-frame`: ends inside a frame, without a cut. */
type OwnScenario =
  | `model-stream-error-${number}`
  | `internal-stream-failure-${number}`
  | 'half-frame'
  | 'bad-frame'
  | 'validation'
  | 'unavailable'
  | 'not-ready'
  | 'not-ready-503'
  | 'internal'
  | 'dependency'
  | 'expired'
  | 'model-error-200'
  | 'model-error-text'
  | 'new-session'
  | 'no-json'
  | 'many'
  | 'late-first'

export type SageMakerScenario = Scenario | OwnScenario

const codec = new EventStreamCodec(
  (bytes) => new TextDecoder().decode(bytes as Uint8Array),
  (text) => new TextEncoder().encode(text),
)
const encoder = new TextEncoder()

type FrameHeaders = Readonly<Record<string, string>>
const frame = (headers: FrameHeaders, body: string): Uint8Array =>
  codec.encode({
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, { type: 'string' as const, value }])),
    body: encoder.encode(body),
  })

/** A part of the container's answer. */
export const payloadPart = (text: string): Uint8Array =>
  frame({ ':event-type': 'PayloadPart', ':content-type': 'application/octet-stream', ':message-type': 'event' }, text)

const exception = (type: string, body: object): Uint8Array =>
  frame({ ':exception-type': type, ':content-type': 'application/json', ':message-type': 'exception' }, JSON.stringify(body))

/**
 * Starts the service for one set of keys in one region. A request that comes through a forwarder is verified against the host it was
 * signed for, which the forwarder gives as `x-forwarded-host`.
 */
export function sageMakerServer(keys: Keys, region: string): Promise<LocalServer> {
  return serve(async (asked, response, bytes) => {
    const fault = await signatureFault({ ...asked, bytes }, keys, region)
    const target = asked.headers['x-amz-target']
    if (target !== undefined) return describe({ ...asked, target }, response, fault)
    if (fault) {
      // As AWS does: the message repeats what was signed, session token included.
      return refuse(response, 403, fault, { message: `${fault}: ${JSON.stringify(asked.headers)}` })
    }
    const route = /^\/endpoints\/([^/]+)\/invocations(-response-stream)?$/.exec(asked.path)
    if (!route || asked.method !== 'POST') return refuse(response, 404, 'UnknownOperationException', {})
    await play(route[1] as SageMakerScenario, route[2] !== undefined, asked, { response, keys })
  })
}

type Stage = { readonly response: ServerResponse; readonly keys: Keys }

async function play(scenario: SageMakerScenario, streamed: boolean, asked: Recording, { response, keys }: Stage): Promise<void> {
  const json = { 'content-type': 'application/json' }
  // The container's content type travels in a header of its own where the body is framed.
  const framed = { 'content-type': 'application/vnd.amazon.eventstream', 'x-amzn-sagemaker-content-type': 'text/event-stream' }
  const whole = (body: string, more: Readonly<Record<string, string>> = {}) => {
    if (!streamed) return void response.writeHead(200, { ...json, ...more }).end(body)
    response.writeHead(200, { ...framed, 'x-amzn-sagemaker-content-type': 'application/json', ...more })
    return void response.end(body === '' ? undefined : payloadPart(body))
  }
  const start = () => response.writeHead(200, framed)

  switch (scenario) {
    case 'whole':
      return whole(wholeBody)
    case 'empty':
      return whole('')
    case 'new-session':
      return whole(wholeBody, { 'x-amzn-sagemaker-new-session-id': 'session-7; Expires=2030-01-01T00:00:00Z' })
    case 'stream':
      start()
      return writeApart(response, chunks.map(payloadPart))
    case 'many':
      start()
      for (let i = 0; i < 5_000 && !response.destroyed; i++) {
        if (!response.write(payloadPart('x'.repeat(10_000))))
          await Promise.race([new Promise((r) => response.once('drain', r)), sleep(10_000)])
        asked.headers['parts-written'] = String(i + 1)
      }
      return void response.end()
    case 'busy':
      response.setHeader('retry-after', '7')
      return refuse(response, 429, 'ThrottlingException', { message: 'too many requests' })
    case 'redirect':
      return void response.writeHead(302, { location: '/stolen' }).end()
    case 'echo':
      return modelError(response, 500, JSON.stringify({ headers: asked.headers, known: keys }))
    case 'slow-head':
      return undefined
    case 'slow-body':
      start()
      return void response.write(streamed ? payloadPart(chunks[0] ?? '') : chunks[0])
    case 'cut-stream':
      start()
      return cutAfter(response, Buffer.concat([payloadPart(chunks[0] ?? ''), payloadPart(chunks[1] ?? '').subarray(0, 20)]))
    case 'cut-whole':
      response.writeHead(200, streamed ? framed : { ...json, 'content-length': String(Buffer.byteLength(wholeBody)) })
      return cutAfter(response, streamed ? payloadPart(wholeBody).subarray(0, 30) : wholeBody.slice(0, 10))
    case 'late-first':
      start()
      response.flushHeaders()
      await sleep(1_000)
      return void response.end(payloadPart(chunks[0] ?? ''))
    case 'half-frame':
      start()
      return void response.end(Buffer.concat([payloadPart(chunks[0] ?? ''), payloadPart(chunks[1] ?? '').subarray(0, 20)]))
    case 'bad-frame': {
      const bad = payloadPart(chunks[0] ?? '')
      bad[bad.length - 6] = (bad.at(-6) ?? 0) ^ 1
      start()
      return void response.end(bad)
    }
    case 'validation':
      return refuse(response, 400, 'ValidationError', { Message: 'the variant does not exist' })
    case 'unavailable':
      return refuse(response, 503, 'ServiceUnavailable', { Message: 'the service is unavailable' })
    case 'not-ready':
      return refuse(response, 429, 'ModelNotReadyException', { Message: 'the model is being loaded' })
    case 'not-ready-503':
      return refuse(response, 503, 'ModelNotReadyException', { Message: 'the model is being loaded' })
    case 'internal':
      return refuse(response, 500, 'InternalFailure', { Message: 'something failed' })
    case 'dependency':
      return refuse(response, 530, 'InternalDependencyException', { Message: 'a dependency failed' })
    case 'expired':
      return refuse(response, 400, 'ExpiredTokenException', { message: `the token ${keys.sessionToken ?? ''} has expired` })
    case 'no-json':
      return void response.writeHead(502, { 'content-type': 'text/html' }).end('<html>bad gateway</html>')
    case 'model-error-200':
      return modelError(response, 200, 'said 200 and failed')
    case 'model-error-text':
      return modelError(response, 500, 'CUDA out of memory')
    default:
      return playNumbered(/^(.*)-(\d+)$/.exec(scenario)?.[1] ?? '', Number(/\d+$/.exec(scenario)?.[0] ?? 0), response, start)
  }
}

function playNumbered(scenario: string, number: number, response: ServerResponse, start: () => void): void {
  if (scenario === 'status') return modelError(response, number, errorBody(number))
  start()
  const failure =
    scenario === 'model-stream-error'
      ? exception('ModelStreamError', { Message: 'the model timed out', ErrorCode: 'ModelInvocationTimeExceeded' })
      : exception('InternalStreamFailure', { Message: 'the platform failed' })
  response.end(Buffer.concat([...chunks.slice(0, number).map(payloadPart), failure]))
}

function refuse(response: ServerResponse, status: number, type: string, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-amzn-errortype': type }).end(JSON.stringify(body))
}

/** 424, as the service says that the container, not itself, has failed. */
function modelError(response: ServerResponse, status: number, text: string): void {
  refuse(response, 424, 'ModelError', {
    ErrorCode: 'CLIENT_ERROR_FROM_MODEL',
    LogStreamArn: 'arn:aws:logs:eu-central-1:1:log-group:/aws/sagemaker/Endpoints/x',
    Message: `Received an error (${status}) from primary with message "${text}".`,
    OriginalMessage: text,
    OriginalStatusCode: status,
  })
}

const variant = (name: string, current: number, wanted: number) => ({
  VariantName: name,
  CurrentWeight: 1,
  DesiredWeight: 1,
  CurrentInstanceCount: current,
  DesiredInstanceCount: wanted,
  DeployedImages: [{ SpecifiedImage: 'vllm:latest', ResolvedImage: 'vllm@sha256:0123', ResolutionTime: 1.7633e9 }],
})

const descriptions: Readonly<Record<string, object>> = {
  InService: { ProductionVariants: [variant('blue', 3, 3), variant('green', 1, 1)] },
  Creating: {},
  Updating: { ProductionVariants: [variant('blue', 3, 1), variant('green', 1, 4)] },
  SystemUpdating: { ProductionVariants: [variant('blue', 2, 2)] },
  RollingBack: { ProductionVariants: [variant('blue', 2, 2)] },
  Failed: { FailureReason: 'The primary container did not pass the ping health check.' },
  OutOfService: { ProductionVariants: [variant('blue', 0, 1)] },
  Deleting: { ProductionVariants: [variant('blue', 1, 0)] },
}

/** The control plane speaks AWS JSON 1.1: one path, the call in a header, errors with their type in the body. */
function describe(asked: Recording & { readonly target: string }, response: ServerResponse, fault: string | null): void {
  const answer = (status: number, body: object) =>
    void response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body))
  const refuse = (type: string, message: string) => answer(400, { __type: type, message })
  if (fault) return refuse(fault, `${fault}: ${JSON.stringify(asked.headers)}`)
  const wellFormed = asked.method === 'POST' && asked.path === '/' && asked.headers['content-type'] === 'application/x-amz-json-1.1'
  if (!wellFormed || asked.target !== 'SageMaker.DescribeEndpoint') return refuse('UnknownOperationException', '')
  const { EndpointName: name } = JSON.parse(asked.body) as { readonly EndpointName: string }
  const more = descriptions[name]
  const description = (status: string, fields: object) => ({
    EndpointName: name,
    EndpointArn: `arn:aws:sagemaker:eu-central-1:1:endpoint/${name.toLowerCase()}`,
    EndpointConfigName: `${name}-config`,
    EndpointStatus: status,
    CreationTime: 1.7633e9,
    LastModifiedTime: 1.7634e9,
    ...fields,
  })
  if (more) return answer(200, description(name, more))
  switch (name) {
    case 'serverless':
      return answer(
        200,
        description('InService', { ProductionVariants: [{ VariantName: 'all', CurrentServerlessConfig: { MaxConcurrency: 5 } }] }),
      )
    case 'absurd':
      return answer(200, description('InService', { ProductionVariants: [variant('a', -1, 1.5), null, 'b', variant('c', 2, 2)] }))
    case 'throttled':
      return refuse('ThrottlingException', 'Rate exceeded')
    case 'denied':
      return refuse('AccessDeniedException', 'User: arn:aws:iam::1:user/edge is not authorized to perform: sagemaker:DescribeEndpoint')
    case 'html':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>InService</html>')
    case 'html-502':
      return void response.writeHead(502, { 'content-type': 'text/html' }).end('<html>bad gateway</html>')
    case 'moved':
      return void response.writeHead(302, { location: '/stolen' }).end()
    case 'giant':
      return void response.writeHead(200).end(JSON.stringify(description('InService', { Padding: 'x'.repeat(4 * 1024 * 1024) })))
    case 'silent':
      return undefined
    default:
      return refuse('ValidationException', `Could not find endpoint "${name}".`)
  }
}

const skewMsMax = 5 * 60_000

export type Signed = Omit<Recording, 'body'> & { readonly bytes: Uint8Array }

/** The name of AWS's error for what is wrong with a request's signature; null when it is right. */
export async function signatureFault({ method, path, headers, bytes }: Signed, keys: Keys, region: string): Promise<string | null> {
  const shape =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/sagemaker\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/
  const [, accessKeyId, , scopeRegion, signed] = shape.exec(headers['authorization'] ?? '') ?? []
  if (signed === undefined) return 'MissingAuthenticationTokenException'
  if (accessKeyId !== keys.accessKeyId) return 'UnrecognizedClientException'
  if ((headers['x-amz-security-token'] ?? '') !== (keys.sessionToken ?? '')) return 'UnrecognizedClientException'
  const names = signed.split(';')
  if (!names.includes('host') || !names.includes('x-amz-date')) return 'IncompleteSignatureException'
  const at = dateOf(headers['x-amz-date'] ?? '')
  if (scopeRegion !== region || Math.abs(at.getTime() - Date.now()) > skewMsMax) return 'InvalidSignatureException'
  const hash = headers['x-amz-content-sha256']
  if (hash !== undefined && hash !== createHash('sha256').update(bytes).digest('hex')) return 'InvalidSignatureException'

  const told = { ...headers, host: headers['x-forwarded-host'] ?? headers['host'] ?? '' }
  const signer = new SignatureV4({ service: 'sagemaker', region, credentials: keys, sha256: Sha256 })
  const [hostname = '', port] = told.host.split(':')
  const again = await signer.sign(
    {
      method,
      protocol: 'http:',
      hostname,
      ...(port === undefined ? {} : { port: Number(port) }),
      path,
      query: {},
      headers: Object.fromEntries(names.map((name) => [name, (told as Record<string, string>)[name] ?? ''])),
      body: bytes,
    },
    { signingDate: at, signableHeaders: new Set(names) },
  )
  const signatureOf = (authorization: string | undefined) => /Signature=([0-9a-f]{64})$/.exec(authorization ?? '')?.[1]
  return signatureOf(again.headers['authorization']) === signatureOf(headers['authorization']) ? null : 'InvalidSignatureException'
}

/** `20261125T003957Z` */
const dateOf = (text: string): Date => new Date(text.replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/, '$1-$2-$3T$4:$5:$6Z'))
