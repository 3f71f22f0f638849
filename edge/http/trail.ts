// The headers that every response carries: which way the request took. Pure.

import type { Trail } from '../facts.ts'

/** Stands for "not decided on this request's way". */
const none = 'none'

export function trailHeaders(trail: Trail): Record<string, string> {
  return {
    'x-request-id': trail.requestId,
    // Anthropic's clients look for it under this name.
    'request-id': trail.requestId,
    'isochrone-model-version': trail.version ?? none,
    'isochrone-region': trail.region ?? none,
    'isochrone-endpoint': trail.endpoint ?? none,
    'isochrone-overhead-ms': String(trail.overheadMs),
    // Answers belong to one caller: no cache on the way may keep them.
    'cache-control': 'no-store',
  }
}
