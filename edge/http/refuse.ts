// The one place where a refusal becomes what a caller is told: status, type, stable code, and a sentence that says what to do.
// The dialect's voice gives it its shape.

import { limits } from '../../shared/limits.ts'
import { unreachable } from '../../shared/result.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import { overrideHeader } from '../../shared/wire/override.ts'
import type { Told, Voice } from '../facts.ts'

const invalid = (status: number, code: string, message: string, param: string | null = null): Told => ({
  status,
  type: 'invalid_request_error',
  code,
  message,
  param,
  retryAfterMs: null,
})

const unauthorized = (code: string, message: string): Told => invalid(401, code, message)

const unavailable = (code: string, message: string, retryAfterMs: number, status = 503): Told => ({
  status,
  type: 'server_error',
  code,
  message,
  param: null,
  retryAfterMs: Math.min(Math.max(0, Math.ceil(retryAfterMs)), limits.retryAfterMsMax),
})

const failed = (status: number, code: string, message: string): Told => ({
  status,
  type: 'server_error',
  code,
  message,
  param: null,
  retryAfterMs: null,
})

/** Clients tell this case apart by OpenAI's phrase (LangChain's ContextOverflowError does). */
const overflowMessage = (message: string): string =>
  message.includes('maximum context length') ? message : `The prompt exceeds the model's maximum context length: ${message}`

/** Whose fault it is, in OpenAI's words: the caller's below 500, the server's above. */
const typeOf = (status: number): string => {
  if (status === 429) return 'rate_limit_error'
  return status < 500 ? 'invalid_request_error' : 'server_error'
}

/** Maps every refusal; the switch is exhaustive, so a new reason does not compile until it has an answer. */
export function tell(refusal: InferenceRefusal): Told {
  switch (refusal.reason) {
    case 'missing_key':
      return unauthorized('missing_api_key', 'No API key was given. Send it as "Authorization: Bearer iso_...".')
    case 'malformed_key':
      return unauthorized('malformed_api_key', 'This is not an API key of this platform. Keys look like iso_<environment>_<id>_<secret>.')
    case 'unknown_key':
      return unauthorized('invalid_api_key', 'This API key does not exist. Check that it was copied whole, or ask for a new one.')
    case 'expired_key':
      return unauthorized('expired_api_key', `This API key expired at ${new Date(refusal.expiredAtMs).toISOString()}. Ask for a new one.`)
    case 'disabled_key':
      return unauthorized('disabled_api_key', 'This API key, or the account it belongs to, was disabled. Ask its owner.')
    case 'scope_missing':
      return invalid(403, 'scope_missing', `This API key does not have the scope "${refusal.scope}". Ask its owner for one that has.`)
    case 'unknown_route':
      return invalid(404, 'unknown_route', `There is no ${refusal.method} ${refusal.path}. See the list of paths in the documentation.`)
    case 'wrong_method':
      return invalid(405, 'method_not_allowed', `${refusal.path} answers ${refusal.allowed}, not ${refusal.method}.`)
    case 'unknown_model':
      return invalid(
        404,
        'model_not_found',
        `The model "${refusal.model}" does not exist in ${refusal.environment}. GET /v1/models lists those this key may use.`,
        'model',
      )
    case 'model_not_allowed':
      return invalid(
        403,
        'model_not_allowed',
        `This API key may not use the model "${refusal.model}". GET /v1/models lists those it may.`,
        'model',
      )
    case 'body_too_large':
      return invalid(
        413,
        'request_too_large',
        `The request body is larger than ${refusal.bytesMax} bytes. Send less, or links instead of data.`,
      )
    case 'unsupported_content_type':
      return invalid(
        415,
        'unsupported_content_type',
        `This path does not take a body of type "${refusal.contentType}". Send application/json.`,
      )
    case 'unsupported_encoding':
      return invalid(415, 'unsupported_content_encoding', `A body encoded as "${refusal.encoding}" is not taken. Send it uncompressed.`)
    case 'unsupported_operation':
      return invalid(
        400,
        'unsupported_operation',
        `No server of "${refusal.model}" can do ${refusal.operation}. Use an operation it offers, or another model.`,
        'model',
      )
    case 'unknown_version':
      return invalid(
        404,
        'version_not_found',
        `The model "${refusal.model}" has no version "${refusal.version}" in ${refusal.environment}.`,
      )
    case 'body_too_complex':
      return invalid(
        413,
        'request_too_complex',
        `The request body holds more than ${refusal.nestedMax} objects and lists. Send fewer, or several requests.`,
      )
    case 'body_too_slow':
      return invalid(408, 'request_timeout', `The request body did not arrive within ${refusal.afterMs} ms. Send it faster, or send less.`)
    case 'uploads_full':
      return unavailable(
        'uploads_full',
        'Too many large requests are arriving at this moment. Try again shortly.',
        limits.retryAfterMsDefault,
      )
    case 'body_incomplete':
      return invalid(400, 'body_incomplete', 'The request body broke off before its end. Send it again.')
    case 'invalid_json':
      return invalid(400, 'invalid_json', `The request body is not valid JSON: ${refusal.detail}`)
    case 'invalid_field':
      return invalid(400, 'invalid_field', `Invalid "${refusal.param}": ${refusal.detail}`, refusal.param)
    case 'invalid_header':
      return invalid(400, 'invalid_header', `Invalid header "${refusal.header}": ${refusal.detail}`, refusal.header)
    case 'override_refused':
      return invalid(403, 'override_refused', `The header "${overrideHeader}" was refused: ${refusal.detail}`, overrideHeader)
    case 'deadline_passed':
      return invalid(
        400,
        'deadline_passed',
        `The deadline was over ${refusal.lateByMs} ms before the request arrived. Send a deadline in the future; check your clock.`,
        'isochrone-deadline',
      )
    case 'no_snapshot':
      return unavailable(
        'not_ready',
        'The platform is starting and does not know its endpoints yet. Try again shortly.',
        limits.retryAfterMsDefault,
      )
    case 'credentials_unreachable':
      return unavailable(
        'key_check_unavailable',
        'This API key could not be checked just now. Try again shortly.',
        limits.retryAfterMsDefault,
      )
    case 'no_endpoint':
      return unavailable(
        'no_endpoint',
        `No endpoint serves version ${refusal.version} of "${refusal.model}". Its operator has to add one.`,
        limits.retryAfterMsMax,
      )
    case 'no_healthy_endpoint':
      return unavailable(
        'no_healthy_endpoint',
        `Every endpoint of "${refusal.model}" (version ${refusal.version}) is down at this moment. Try again in a few seconds.`,
        limits.livenessEveryMs,
      )
    case 'residency_unmet':
      return invalid(
        403,
        'residency_unmet',
        `No endpoint of "${refusal.model}" stands in "${refusal.residency}", which requests of this API key must not leave.`,
        'model',
      )
    case 'no_capacity':
      return unavailable(
        'no_capacity',
        `Every endpoint of "${refusal.model}" is full at this moment. Try again shortly.`,
        refusal.retryAfterMs,
      )
    case 'deadline_exceeded':
      return failed(
        504,
        'deadline_exceeded',
        `The deadline passed after ${refusal.afterMs} ms, before an answer was ready. Allow more time or ask for less.`,
      )
    case 'upstream_unreachable':
      return unavailable(
        'upstream_unreachable',
        'The endpoints that were tried could not be reached. Try again shortly.',
        limits.retryAfterMsDefault,
        502,
      )
    case 'upstream_timeout':
      return unavailable(
        'upstream_timeout',
        `The endpoints that were tried did not begin to answer within ${refusal.afterMs} ms. Try again.`,
        limits.retryAfterMsDefault,
        504,
      )
    case 'upstream_failed':
      return unavailable(
        'upstream_failed',
        `The endpoints that were tried failed (${refusal.status < 300 ? 'their answer was broken' : `status ${refusal.status}`}). Try again shortly.`,
        limits.retryAfterMsDefault,
        502,
      )
    case 'upstream_busy':
      return unavailable(
        'upstream_busy',
        'The endpoints that were tried are too busy at this moment. Try again shortly.',
        refusal.retryAfterMs,
      )
    case 'upstream_refused':
      return {
        status: refusal.status,
        type: typeOf(refusal.status),
        code: refusal.code ?? 'invalid_request',
        message: refusal.code === 'context_length_exceeded' ? overflowMessage(refusal.message) : refusal.message,
        param: refusal.param,
        retryAfterMs: null,
      }
    case 'upstream_stalled':
      return failed(502, 'upstream_stalled', `The answer stopped coming and was given up, ${refusal.afterMs} ms after it was asked for.`)
    case 'client_gone':
      // Nobody reads it; the status is the one that logs of web servers use for this.
      return failed(499, 'client_closed_request', 'The client went away before the answer began.')
    default:
      return unreachable(refusal)
  }
}

const openAiBody = (told: Told): string =>
  JSON.stringify({ error: { message: told.message, type: told.type, param: told.param, code: told.code } })

/** OpenAI's errors. Its clients all accept comments as signs of life; an event would break some (`event: ping`). */
export const openAiVoice: Voice = {
  errorBody: openAiBody,
  errorFrame: (told) => `data: ${openAiBody(told)}\n\n`,
  keepAlive: ': keep-alive\n\n',
}

/** Headers that go with an error: when to come back, and whether it is worth it (honoured by the openai client). */
export function errorHeaders(error: Told): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': 'application/json', 'isochrone-error-code': error.code }
  // RFC 9110, 15.5.2: a 401 says how to ask.
  if (error.status === 401) headers['www-authenticate'] = 'Bearer realm="isochrone"'
  if (error.retryAfterMs !== null) {
    headers['retry-after'] = String(Math.ceil(error.retryAfterMs / 1000))
    headers['retry-after-ms'] = String(error.retryAfterMs)
  } else if (error.status >= 500 || error.status === 409) {
    headers['x-should-retry'] = 'false'
  }
  return headers
}
