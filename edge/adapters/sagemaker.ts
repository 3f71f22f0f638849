// Amazon SageMaker: invocations signed by AWS's own SDK. The SDK signs, frames and names the faults; the bytes of the container pass
// through as they came, and the connection is ours (fetch), so that abort, redirect and bounds are as with every other server.
// A client is made per request: it remembers promises, and a promise of one request must not be awaited by another in a Worker.

import type { ResponseStream } from '@aws-sdk/client-sagemaker-runtime'
import { secretsOf, type AwsCredential } from '../../shared/endpoint-credential.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { readSageMakerUrl, type SageMakerPlace } from '../../shared/sagemaker.ts'
import { BrokenStream, type UpstreamAnswer, type UpstreamFailure, type UpstreamRequest } from '../ports.ts'
import { detailOf, redactedError } from './redact.ts'
import { faultAnswer, type Refused } from './sagemaker-faults.ts'

type Sent = Result<UpstreamAnswer, UpstreamFailure>

/** Sends and waits for the head of the answer, as long as the request's signal allows. Never throws. */
export async function sendSageMaker(request: UpstreamRequest, credential: AwsCredential): Promise<Sent> {
  const { endpoint } = request
  if (request.method !== 'POST') return err({ detail: 'a SageMaker endpoint answers invocations only' })
  const place = readSageMakerUrl(endpoint.url, endpoint.options['region'])
  if (!place.ok) return err({ detail: `the endpoint's url names no SageMaker endpoint (${place.error})` })
  const secrets = secretsOf(credential)
  const leave = new AbortController()
  const exchange = newExchange(request, AbortSignal.any([request.signal, leave.signal]), secrets)
  try {
    return ok(await invoke(request, { place: place.value, credential, exchange, leave }))
  } catch (cause) {
    const { refused, redirected } = exchange.seen
    if (redirected !== null) return err({ detail: `the server answers with a redirect (${redirected}), and redirects are not followed` })
    return refused ? ok(faultAnswer(cause, refused, secrets)) : err({ detail: detailOf(cause, secrets) })
  }
}

type Invocation = {
  readonly place: SageMakerPlace
  readonly credential: AwsCredential
  readonly exchange: Exchange
  readonly leave: AbortController
}

async function invoke(request: UpstreamRequest, { place, credential, exchange, leave }: Invocation): Promise<UpstreamAnswer> {
  // Loaded by the first request that needs it: an isolate without such endpoints never evaluates the SDK.
  const sdk = await import('@aws-sdk/client-sagemaker-runtime')
  const client = new sdk.SageMakerRuntimeClient({
    region: place.region,
    endpoint: place.base,
    credentials: credential as { accessKeyId: string; secretAccessKey: string; sessionToken?: string },
    maxAttempts: 1,
    requestHandler: exchange.handler,
  })
  const input = inputOf(request, place)
  if (request.stream) {
    const sending = client.send(new sdk.InvokeEndpointWithResponseStreamCommand(input))
    // The SDK answers with the first event, which is the model's first token; whoever waits must know sooner that the server has answered.
    const contentType = await Promise.race([exchange.streaming, sending.then(({ ContentType }) => ContentType ?? null)])
    sending.catch(() => undefined)
    return { ...plain(contentType), body: bytesOf(sending, leave) }
  }
  const { ContentType, NewSessionId } = await client.send(new sdk.InvokeEndpointCommand(input))
  return {
    ...plain(ContentType ?? null),
    // `<id>; Expires=<time>`: the id is what the next request sends.
    headers: NewSessionId === undefined ? {} : { 'isochrone-session': NewSessionId.split(';')[0] ?? '' },
    body: exchange.seen.body,
  }
}

const plain = (contentType: string | null) => ({ status: 200, contentType: contentType ?? 'application/octet-stream', retryAfter: null })

/** SageMaker refuses other ids; one that is good elsewhere must not fail here. */
const sessionId = /^(?:NEW_SESSION|[A-Za-z0-9](?:-*[A-Za-z0-9]){0,255})$/

function inputOf({ endpoint, headers, body }: UpstreamRequest, place: SageMakerPlace) {
  const given = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const session = given.get('isochrone-session')
  return {
    EndpointName: place.name,
    Body: body,
    ContentType: given.get('content-type') ?? 'application/json',
    Accept: given.get('accept'),
    TargetVariant: endpoint.options['targetVariant'],
    InferenceComponentName: endpoint.options['inferenceComponent'],
    SessionId: session !== undefined && sessionId.test(session) ? session : undefined,
  }
}

/** The container's bytes of a framed stream: a frame is asked for only when somebody wants to read. */
function bytesOf(
  sending: Promise<{ readonly Body?: AsyncIterable<ResponseStream> | undefined }>,
  leave: AbortController,
): ReadableStream<Uint8Array> {
  let iterator: AsyncIterator<ResponseStream> | null = null
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          iterator ??= ((await sending).Body ?? nothing())[Symbol.asyncIterator]()
          for (;;) {
            const { done, value } = await iterator.next()
            if (done) return controller.close()
            const bytes = value.PayloadPart?.Bytes
            // Events that a newer service may have, and empty parts, carry nothing of the container's.
            if (bytes && bytes.length > 0) return controller.enqueue(bytes)
          }
        } catch (cause) {
          leave.abort()
          controller.error(brokenStream(cause))
        }
      },
      cancel: () => leave.abort(),
    },
    { highWaterMark: 0 },
  )
}

async function* nothing(): AsyncGenerator<ResponseStream> {
  // An answer without a body has no events.
}

function brokenStream(cause: unknown): BrokenStream {
  const name = cause instanceof Error ? cause.name : ''
  const message = cause instanceof Error ? cause.message : String(cause)
  if (name === 'ModelStreamError') return new BrokenStream('model_stream_error', `the model's stream failed: ${message}`, { cause })
  if (name === 'InternalStreamFailure')
    return new BrokenStream('service_stream_failure', `SageMaker's stream failed: ${message}`, { cause })
  return new BrokenStream('cut', `the stream broke off: ${message}`, { cause })
}

/** What the SDK hands to a connection and takes from it, as far as it is used here. */
type SdkRequest = {
  readonly method: string
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

/** One call's connection, and what it saw that the SDK does not tell. */
type Exchange = {
  readonly handler: Record<string, unknown>
  /** Resolves with the container's content type when a stream has begun, before anything of it was read. */
  readonly streaming: Promise<string | null>
  readonly seen: {
    /** The body of a good answer in one piece: passed on, where the SDK would hold it whole. */
    body: ReadableStream<Uint8Array> | null
    refused: Refused | null
    redirected: number | null
  }
}

function newExchange(request: UpstreamRequest, signal: AbortSignal, secrets: readonly string[]): Exchange {
  const seen: Exchange['seen'] = { body: null, refused: null, redirected: null }
  const { promise: streaming, resolve: begin } = Promise.withResolvers<string | null>()
  const handle = async (asked: SdkRequest) => {
    const response = await fetch(addressOf(asked), {
      method: asked.method,
      headers: { ...asked.headers, 'user-agent': 'isochrone' },
      redirect: 'manual',
      signal,
      ...(asked.body === undefined ? {} : { body: asked.body }),
    })
    const { status } = response
    const answer = (body: ReadableStream<Uint8Array> | Uint8Array | null) => ({
      response: { statusCode: status, headers: Object.fromEntries(response.headers), body: body ?? new Uint8Array(0) },
    })
    if (status < 300 && request.stream) {
      begin(response.headers.get('x-amzn-sagemaker-content-type'))
      return answer(response.body)
    }
    if (status < 300) {
      seen.body = response.body
      return answer(null)
    }
    if (status < 400) {
      seen.redirected = status
      await response.body?.cancel()
      throw new Error('redirected')
    }
    const text = await redactedError(response.body, secrets)
    seen.refused = { status, retryAfter: response.headers.get('retry-after'), text }
    return answer(new TextEncoder().encode(text))
  }
  const handler = { handle, metadata: { handlerProtocol: 'http/1.1' }, updateHttpClientConfig: noop, httpHandlerConfigs: () => ({}) }
  return { handler, seen, streaming }
}

const noop = () => undefined

function addressOf({ protocol, hostname, port, path }: SdkRequest): string {
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}`
}
