// HTTP to model servers. Redirects are not followed: an engine must not be able to send us, and the caller's prompt, elsewhere.

import { err, ok } from '../../shared/result.ts'
import type { Upstream } from '../ports.ts'

export const upstream: Upstream = {
  send: async (request) => {
    try {
      const response = await fetch(request.endpoint.url + request.path, {
        method: request.method,
        headers: request.headers,
        body: request.method === 'GET' ? null : request.body,
        redirect: 'manual',
        signal: request.signal,
      })
      return ok({
        status: response.status,
        contentType: response.headers.get('content-type') ?? 'application/octet-stream',
        retryAfter: response.headers.get('retry-after'),
        body: response.body,
      })
    } catch (cause) {
      return err({ detail: cause instanceof Error ? cause.message : String(cause) })
    }
  },
}
