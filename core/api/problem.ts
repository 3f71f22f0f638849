// The one place where core's refusals become HTTP: problem documents (RFC 9457). The switch is exhaustive: a new reason does not
// compile until it has its words here. A detail says what to do next.

import type { AdminRefusal } from '../../shared/refusal.ts'
import { unreachable } from '../../shared/result.ts'
import { sealSecretCharsMin } from '../../shared/sealed.ts'
import { etagOf } from './if-match.ts'
import { tellOfRollout } from './rollout-problem.ts'

export type Told = {
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>>
  /** Further members, for programs. */
  readonly extra?: Readonly<Record<string, unknown>>
}

/** A refusal's answer. `requestId` is the `instance`: it finds the answer's line in the log. */
export function problem(refusal: AdminRefusal, requestId: string): Response {
  return document(refusal.reason, tell(refusal), requestId)
}

/** The answer to a bug. What went wrong is in the log under the same id, not here. */
export function bug(requestId: string): Response {
  const detail = 'Something failed inside core. Try again; if it stays, look for this instance in the log.'
  return document('internal', { status: 500, title: 'Internal error', detail }, requestId)
}

function document(code: string, told: Told, requestId: string): Response {
  const { status, title, detail, headers, extra } = told
  const body = { type: `/problems/${code}`, title, status, detail, instance: requestId, code, ...extra }
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/problem+json', ...headers } })
}

/** A field's place in the body, as a JSON Pointer (RFC 6901); names that need escaping come with a pointer of their own. */
const pointerOf = (param: string): string => (param === 'body' ? '#' : `#/${param.replaceAll('.', '/')}`)

function tell(refusal: AdminRefusal): Told {
  switch (refusal.reason) {
    case 'operator_unknown':
      return {
        status: 401,
        title: 'Operator unknown',
        detail: 'Send the operator token as "Authorization: Bearer <token>".',
        headers: { 'www-authenticate': 'Bearer realm="isochrone-core"' },
      }
    case 'operator_token_unset':
      return {
        status: 503,
        title: 'No operator token set',
        detail: 'This deployment has no OPERATOR_TOKEN, so nobody may enter. Set it with "wrangler secret put OPERATOR_TOKEN".',
      }
    case 'credential_key_unset':
      return {
        status: 503,
        title: 'No credential key set',
        detail: `This deployment has no CREDENTIAL_KEY of ${sealSecretCharsMin} characters or more, so no credential can be kept. Set it for both Workers with "wrangler secret put CREDENTIAL_KEY".`,
      }
    case 'private_address':
      return {
        status: 422,
        title: 'Private address',
        detail: `${refusal.param} is not a public address (${refusal.range}). Name one that is, or let this deployment reach such addresses with the variable ALLOW_PRIVATE_ENDPOINTS = "true" on both Workers.`,
        extra: { param: refusal.param, pointer: pointerOf(refusal.param), range: refusal.range },
      }
    case 'not_found':
      return { status: 404, title: 'Not found', detail: `There is no ${refusal.what} "${refusal.id}".` }
    case 'unknown_route':
      return { status: 404, title: 'Unknown route', detail: `Nothing answers ${refusal.method} ${refusal.path}.` }
    case 'wrong_method':
      return {
        status: 405,
        title: 'Wrong method',
        detail: `${refusal.path} does not answer ${refusal.method}; it answers ${refusal.allowed}.`,
        headers: { allow: refusal.allowed },
      }
    case 'immutable':
      return {
        status: 405,
        title: 'Immutable',
        detail: `A ${refusal.what} is never changed. Create another and let what refers to this one refer to that.`,
        headers: { allow: refusal.allowed },
      }
    case 'invalid_header':
      return {
        status: 400,
        title: 'Invalid header',
        detail: `The header ${refusal.header} ${refusal.detail}.`,
        extra: { header: refusal.header },
      }
    case 'invalid_json':
      return { status: 400, title: 'Invalid JSON', detail: `The body is not JSON: ${refusal.detail}.` }
    case 'invalid_field':
      return {
        status: 422,
        title: 'Invalid field',
        detail: `${refusal.param} ${refusal.detail}.`,
        extra: { param: refusal.param, pointer: refusal.pointer ?? pointerOf(refusal.param) },
      }
    case 'body_too_large':
      return { status: 413, title: 'Body too large', detail: `Send at most ${refusal.bytesMax} bytes.` }
    case 'already_exists':
      return {
        status: 409,
        title: 'Already exists',
        detail: `There is a ${refusal.what} "${refusal.id}" already. Change it with PATCH, or choose another name.`,
      }
    case 'missing_reference':
      return {
        status: 422,
        title: 'Missing reference',
        detail: `${refusal.what} cannot be taken: ${refusal.detail}. Create it first, or name another.`,
        extra: { param: refusal.what, pointer: pointerOf(refusal.what) },
      }
    case 'in_use':
      return {
        status: 409,
        title: 'In use',
        detail: `The ${refusal.what} "${refusal.id}" cannot be taken away: ${refusal.detail}. Change or delete that first.`,
      }
    case 'if_match_required':
      return {
        status: 428,
        title: 'If-Match required',
        detail: 'Read the row, and send its ETag as If-Match: a change must say what it changes.',
      }
    case 'generation_mismatch':
      return {
        status: 412,
        title: 'Generation mismatch',
        detail: `The row is at generation ${refusal.current} now. Read it again, and send If-Match: ${etagOf(refusal.current)} if the change still holds.`,
        headers: { etag: etagOf(refusal.current) },
        extra: { current: refusal.current },
      }
    case 'controller_unreachable':
      return {
        status: 503,
        title: 'Control loop unreachable',
        detail: `The control loop gave no answer in ${refusal.afterMs} ms. The catalogue can be read and written meanwhile. A command may have been carried out all the same: read again before it is repeated.`,
        headers: { 'retry-after': '1' },
      }
    case 'signature_refused':
      return {
        status: 401,
        title: 'Signature refused',
        detail: `This needs a signature by Standard Webhooks under the target's secret: ${refusal.detail}.`,
      }
    case 'plan_refused':
    case 'rollout_refused':
    case 'rollout_active':
    case 'alias_moved':
    case 'gate_failed':
    case 'broken_report':
    case 'not_comparable':
    case 'scope_missing':
      return tellOfRollout(refusal)
    default:
      return unreachable(refusal)
  }
}
