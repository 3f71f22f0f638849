// Every expected "no" of the system, each with the data needed to act on it.
// Edge turns its half into a dialect's error (edge/http/refuse.ts); core turns the other into problem+json (core/api/problem.ts).
// Nothing else may build an error response.

import type { AddressRange } from './address.ts'
import type { Verdict } from './wire/gate.ts'

/** Why the public API refuses a request. */
export type InferenceRefusal =
  // The caller's credential.
  | { readonly reason: 'missing_key' }
  | { readonly reason: 'malformed_key' }
  | { readonly reason: 'unknown_key' }
  | { readonly reason: 'expired_key'; readonly expiredAtMs: number }
  | { readonly reason: 'disabled_key' }
  | { readonly reason: 'scope_missing'; readonly scope: string }
  // What the caller asks for.
  | { readonly reason: 'unknown_route'; readonly method: string; readonly path: string }
  | { readonly reason: 'wrong_method'; readonly method: string; readonly path: string; readonly allowed: string }
  | { readonly reason: 'unknown_model'; readonly model: string; readonly environment: string }
  | { readonly reason: 'model_not_allowed'; readonly model: string }
  | { readonly reason: 'body_too_large'; readonly bytesMax: number }
  | { readonly reason: 'body_too_complex'; readonly nestedMax: number }
  | { readonly reason: 'body_incomplete' }
  | { readonly reason: 'body_too_slow'; readonly afterMs: number }
  | { readonly reason: 'uploads_full' }
  | { readonly reason: 'unsupported_content_type'; readonly contentType: string }
  | { readonly reason: 'unsupported_encoding'; readonly encoding: string }
  | { readonly reason: 'unsupported_operation'; readonly model: string; readonly operation: string }
  | { readonly reason: 'unknown_version'; readonly model: string; readonly version: string; readonly environment: string }
  | { readonly reason: 'invalid_json'; readonly detail: string }
  | { readonly reason: 'invalid_field'; readonly param: string; readonly detail: string }
  | { readonly reason: 'invalid_header'; readonly header: string; readonly detail: string }
  | { readonly reason: 'override_refused'; readonly detail: string }
  | { readonly reason: 'deadline_passed'; readonly lateByMs: number }
  // What the platform can give at this moment.
  | { readonly reason: 'no_snapshot' }
  | { readonly reason: 'credentials_unreachable' }
  | { readonly reason: 'no_endpoint'; readonly model: string; readonly version: string }
  | { readonly reason: 'no_healthy_endpoint'; readonly model: string; readonly version: string }
  | { readonly reason: 'residency_unmet'; readonly model: string; readonly residency: string }
  | { readonly reason: 'no_capacity'; readonly model: string; readonly retryAfterMs: number }
  | { readonly reason: 'deadline_exceeded'; readonly afterMs: number }
  // What became of the call.
  | { readonly reason: 'upstream_unreachable'; readonly detail: string }
  | { readonly reason: 'upstream_timeout'; readonly afterMs: number }
  | { readonly reason: 'upstream_failed'; readonly status: number; readonly detail: string }
  | { readonly reason: 'upstream_busy'; readonly status: number; readonly retryAfterMs: number }
  | {
      readonly reason: 'upstream_refused'
      readonly status: number
      readonly message: string
      readonly code: string | null
      readonly param: string | null
    }
  | { readonly reason: 'upstream_stalled'; readonly afterMs: number }
  | { readonly reason: 'client_gone' }

/** Why the admin API refuses an operator. */
export type AdminRefusal =
  | { readonly reason: 'operator_unknown' }
  | { readonly reason: 'operator_token_unset' }
  | { readonly reason: 'credential_key_unset' }
  | { readonly reason: 'private_address'; readonly param: string; readonly range: AddressRange }
  | { readonly reason: 'not_found'; readonly what: string; readonly id: string }
  | { readonly reason: 'unknown_route'; readonly method: string; readonly path: string }
  | { readonly reason: 'wrong_method'; readonly method: string; readonly path: string; readonly allowed: string }
  | { readonly reason: 'invalid_header'; readonly header: string; readonly detail: string }
  | { readonly reason: 'invalid_json'; readonly detail: string }
  /** `pointer` where it cannot be read off `param`: `#/…` into the body (RFC 6901), `?…` into the query. */
  | { readonly reason: 'invalid_field'; readonly param: string; readonly detail: string; readonly pointer?: string }
  | { readonly reason: 'body_too_large'; readonly bytesMax: number }
  | { readonly reason: 'already_exists'; readonly what: string; readonly id: string }
  | { readonly reason: 'missing_reference'; readonly what: string; readonly detail: string }
  | { readonly reason: 'in_use'; readonly what: string; readonly id: string; readonly detail: string }
  | { readonly reason: 'if_match_required' }
  | { readonly reason: 'generation_mismatch'; readonly current: number }
  | { readonly reason: 'immutable'; readonly what: string; readonly allowed: string }
  | { readonly reason: 'controller_unreachable'; readonly afterMs: number }
  // New versions.
  | {
      readonly reason: 'plan_refused'
      readonly faults: readonly { readonly reason: string; readonly pointer: string; readonly detail: string }[]
    }
  /** The state machine's word (core/rollout/record.ts, RolloutRefusal): `why` is its reason. */
  | { readonly reason: 'rollout_refused'; readonly why: string; readonly detail: string; readonly allowed: readonly string[] }
  | { readonly reason: 'rollout_active'; readonly environment: string; readonly model: string; readonly rollout: string | null }
  | { readonly reason: 'alias_moved'; readonly environment: string; readonly model: string }
  | { readonly reason: 'gate_failed'; readonly verdicts: readonly Verdict[] }
  | { readonly reason: 'broken_report'; readonly what: 'report' | 'load run'; readonly field: string; readonly detail: string }
  | { readonly reason: 'not_comparable'; readonly field: string; readonly measured: string; readonly reference: string }
  | { readonly reason: 'scope_missing'; readonly scope: string }
  /** Of what a target's deployer reports back (shared/webhook-signature.ts). */
  | { readonly reason: 'signature_refused'; readonly detail: string }

export type Refusal = InferenceRefusal | AdminRefusal
