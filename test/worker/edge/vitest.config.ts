// The edge's tests inside workerd: the real ledger object, KV, and a small Worker that stands for core's entrypoint.
// What the edge fetches goes to `engines`, which stands for all model servers.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { Response, type Request } from 'miniflare'
import { defineConfig } from 'vitest/config'

const root = path.resolve(import.meta.dirname, '../../..')
const encoder = new TextEncoder()

/** An event with content. */
const token = (n: number) => JSON.stringify({ choices: [{ index: 0, delta: { content: String(n) }, finish_reason: null }] })

/** Model servers by host: `echo…` tells what it was sent, `stream…` sends three events, `down…` fails, `cut…` stops in the middle. */
async function engines(request: Request): Promise<Response> {
  const { hostname, pathname } = new URL(request.url)
  if (hostname.startsWith('down')) return Response.json({ error: { message: 'broken' } }, { status: 500 })
  if (hostname.startsWith('stream') || hostname.startsWith('cut')) {
    const events = hostname.startsWith('cut') ? [token(1)] : [token(1), token(2), '[DONE]']
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const event of events) controller.enqueue(encoder.encode(`data: ${event}\n\n`))
        controller.close()
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
  // A valid answer of every OpenAI operation, and what it was asked.
  const seen = { host: hostname, path: pathname, headers: Object.fromEntries(request.headers), body: await request.text() }
  const message = { role: 'assistant', content: 'hello', refusal: null }
  return Response.json({ choices: [{ index: 0, message, text: 'hello', logprobs: null, finish_reason: 'stop' }], data: [], seen })
}

export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: path.join(root, 'wrangler.toml') },
      miniflare: {
        bindings: { ALLOW_PRIVATE_ENDPOINTS: 'true', CREDENTIAL_KEY: 'test-credential-key-of-32-characters' },
        outboundService: engines,
        workers: [
          {
            name: 'isochrone-core',
            modules: true,
            compatibilityDate: '2026-11-01',
            script: readFileSync(path.join(import.meta.dirname, 'aux/core.mjs'), 'utf8'),
          },
        ],
      },
    }),
  ],
  test: { name: 'edge', root, include: ['test/worker/edge/**/*.test.ts'] },
})
