// Liveness over HTTP: GET of an endpoint's health address. Any 2xx is life. An operator's address is fetched here too, so it is judged
// here too: a row may be older than the check at the door.

import { refusedRange } from '../../shared/address.ts'
import type { Prober } from '../ports.ts'

const detailCharsMax = 200

export function prober(allowPrivate: boolean): Prober {
  return {
    async check(address, signal) {
      const range = refusedRange(address, allowPrivate)
      if (range) return { ok: false, detail: `not asked: the address is not public (${range})` }
      try {
        // A redirect is not an answer: following it could find another server's health.
        const response = await fetch(address, { signal, redirect: 'manual', headers: { 'user-agent': 'isochrone-core' } })
        await response.body?.cancel()
        return { ok: response.ok, detail: `HTTP ${response.status}` }
      } catch (cause) {
        return { ok: false, detail: (cause instanceof Error ? cause.message : String(cause)).slice(0, detailCharsMax) }
      }
    },
  }
}
