// Liveness over HTTP: GET <url>/health, as vLLM, SGLang, TGI, llama.cpp and the local engine have it. Any 2xx is life.

import type { Prober } from '../ports.ts'

const detailCharsMax = 200

export function prober(): Prober {
  return {
    async check(url, signal) {
      try {
        // A redirect is not an answer: following it could find another server's health.
        const response = await fetch(`${url}/health`, { signal, redirect: 'manual', headers: { 'user-agent': 'isochrone-core' } })
        await response.body?.cancel()
        return { ok: response.ok, detail: `HTTP ${response.status}` }
      } catch (cause) {
        return { ok: false, detail: (cause instanceof Error ? cause.message : String(cause)).slice(0, detailCharsMax) }
      }
    },
  }
}
