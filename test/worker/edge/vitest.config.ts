// The edge's tests inside workerd: the real ledger object, KV, and a small Worker that stands for core's entrypoint.
// What the edge fetches goes to `engines`, which stands for all model servers; SageMaker has a stand-in of its own that verifies signatures.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { Response, type Request } from 'miniflare'
import { defineConfig } from 'vitest/config'
import { sageMakerServer } from '../../support/sagemaker-server.ts'
import { sageMakerKeys, sageMakerRegion } from '../../support/upstream-scenarios.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const encoder = new TextEncoder()
const sageMaker = await sageMakerServer(sageMakerKeys, sageMakerRegion)

/** To the stand-in on loopback, which is told the host that was signed; a GET is answered with what it was sent so far. */
async function toSageMaker(request: Request): Promise<Response> {
  if (request.method === 'GET') return Response.json(sageMaker.seen)
  const { host, pathname } = new URL(request.url)
  const headers = { ...Object.fromEntries(request.headers), 'x-forwarded-host': host }
  const body = await request.bytes()
  // A scenario that never answers must not outlive the tests.
  const signal = AbortSignal.timeout(6_000)
  const answer = await fetch(sageMaker.url + pathname, { method: request.method, headers, body, redirect: 'manual', signal })
  // Without the length, or a body that is cut would be waited for.
  const { 'content-length': _, ...told } = Object.fromEntries(answer.headers)
  return new Response(answer.body as never, { status: answer.status, headers: told })
}

/** An event with content. */
const token = (n: number) => JSON.stringify({ choices: [{ index: 0, delta: { content: String(n) }, finish_reason: null }] })

/** Model servers by host: `echo…` tells what it was sent, `stream…` sends three events, `down…` fails, `cut…` stops in the middle. */
async function engines(request: Request): Promise<Response> {
  const { hostname, pathname } = new URL(request.url)
  if (hostname.startsWith('sagemaker')) return toSageMaker(request)
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
        bindings: {
          ALLOW_PRIVATE_ENDPOINTS: 'true',
          CREDENTIAL_KEY: 'test-credential-key-of-32-characters',
          // No test is about how long this machine takes for a call.
          LEDGER_WAIT_MS: '5000',
        },
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
