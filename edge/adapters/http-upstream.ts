// Model servers that are plain HTTP: OpenAI's paths, Anthropic's, the Open Inference Protocol. What is sent is what was given, and the
// endpoint's own credential. Redirects are not followed: a server must not be able to send us, prompt and credential, elsewhere.

import { secretsOf, type HttpCredential } from '../../shared/endpoint-credential.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { UpstreamAnswer, UpstreamFailure, UpstreamRequest } from '../ports.ts'
import { detailOf, redactedErrorBody } from './redact.ts'

/** Whoever built the request cannot speak for the endpoint: these come from its row or not at all. */
const neverGiven = new Set(['authorization', 'proxy-authorization', 'x-api-key', 'api-key', 'cookie', 'host', 'user-agent'])

/** Sends and waits for the head of the answer, as long as the request's signal allows. Never throws. */
export async function sendHttp(
  request: UpstreamRequest,
  credential: HttpCredential | null,
): Promise<Result<UpstreamAnswer, UpstreamFailure>> {
  const secrets = credential ? secretsOf(credential) : []
  try {
    const response = await fetch(request.endpoint.url + request.path, {
      method: request.method,
      headers: headersOf(request.headers, credential),
      redirect: 'manual',
      signal: request.signal,
      ...(request.method === 'GET' ? {} : { body: request.body }),
    })
    const { status, body } = response
    if (status >= 300 && status < 400) {
      await body?.cancel()
      return err({ detail: `the server answers with a redirect (${status}), and redirects are not followed` })
    }
    return ok({
      status,
      contentType: response.headers.get('content-type') ?? 'application/octet-stream',
      retryAfter: response.headers.get('retry-after'),
      body: status >= 400 ? redactedErrorBody(body, secrets) : body,
    })
  } catch (cause) {
    return err({ detail: detailOf(cause, secrets) })
  }
}

function headersOf(given: Readonly<Record<string, string>>, credential: HttpCredential | null): Record<string, string> {
  const named = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value] as const)
  return {
    ...Object.fromEntries(named.filter(([name]) => !neverGiven.has(name))),
    'user-agent': 'isochrone',
    ...authorization(credential),
  }
}

function authorization(credential: HttpCredential | null): Readonly<Record<string, string>> {
  if (!credential) return {}
  if ('bearer' in credential) return { authorization: `Bearer ${credential.bearer}` }
  if ('apiKey' in credential) return { 'x-api-key': credential.apiKey }
  return { [credential.header]: credential.value }
}
