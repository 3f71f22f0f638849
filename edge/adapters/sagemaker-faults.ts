// What SageMaker's refusals mean, as the answer of a plain server would say it. Pure, but for the shapes of the SDK's errors.

import type { UpstreamAnswer } from '../ports.ts'
import { redactedText } from './redact.ts'

/** An answer that is none: what the connection saw of it, its text already without secrets. */
export type Refused = { readonly status: number; readonly retryAfter: string | null; readonly text: string }

/** The SDK's errors, read without trust: any field may be missing. */
type SdkError = {
  readonly name?: unknown
  readonly message?: unknown
  readonly Message?: unknown
  readonly OriginalStatusCode?: unknown
  readonly OriginalMessage?: unknown
}

const throttles = new Set(['ThrottlingException', 'Throttling', 'TooManyRequestsException', 'RequestLimitExceeded', 'SlowDown'])

/** Whatever their status: it is us whom the service does not accept, and the caller must not doubt his own key. */
const credentialFaults = new Set([
  'AccessDeniedException',
  'ExpiredTokenException',
  'IncompleteSignatureException',
  'IncompleteSignature',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'MissingAuthenticationTokenException',
  'OptInRequired',
  'SignatureDoesNotMatch',
  'UnrecognizedClientException',
])

/**
 * The answer that a refusal stands for. A model's error is the container's own answer; throttling is 429; a model that is not ready says
 * when to come back, which makes it a soft failure; a rejected credential is 403 with words of ours, for AWS's repeat what was signed.
 */
export function faultAnswer(cause: unknown, refused: Refused, secrets: readonly string[]): UpstreamAnswer {
  const error: SdkError = typeof cause === 'object' && cause !== null ? cause : {}
  const name = typeof error.name === 'string' ? error.name : ''
  const told = textOf(error.Message) ?? textOf(error.message) ?? refused.text
  const answer = (status: number, message: string, retryAfter = refused.retryAfter): UpstreamAnswer => ({
    status,
    contentType: 'application/json',
    retryAfter,
    body: bodyOf(redactedText(JSON.stringify({ error: { message, type: name, code: null, param: null } }), secrets)),
  })
  if (name === 'ModelError') return containerAnswer(error, refused, secrets)
  if (throttles.has(name)) return answer(429, told)
  if (name === 'ModelNotReadyException') return answer(refused.status === 503 ? 503 : 429, told, refused.retryAfter ?? '1')
  if (name === 'ServiceUnavailable') return answer(503, told)
  if (name === 'ValidationError') return answer(400, told)
  if (credentialFaults.has(name)) return answer(403, `SageMaker does not accept this endpoint's credential (${name}).`)
  return answer(refused.status, told)
}

/** The container's status and words. A ModelError without a status of failure is one all the same. */
function containerAnswer(error: SdkError, refused: Refused, secrets: readonly string[]): UpstreamAnswer {
  const status = typeof error.OriginalStatusCode === 'number' && error.OriginalStatusCode >= 400 ? error.OriginalStatusCode : 502
  const text = redactedText(textOf(error.OriginalMessage) ?? textOf(error.Message) ?? refused.text, secrets)
  return { status, contentType: isJson(text) ? 'application/json' : 'text/plain', retryAfter: refused.retryAfter, body: bodyOf(text) }
}

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function bodyOf(text: string): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(new TextEncoder().encode(text))
      controller.close()
    },
  })
}
