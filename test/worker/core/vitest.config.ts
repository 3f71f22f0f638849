// Core's tests inside workerd: D1 with the migrations applied, KV, the control loop's object, and beside them a small Worker
// that stands for the edge's ledgers. What core fetches goes to `outside`, which stands for all model servers.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { Response, type Request } from 'miniflare'
import { defineConfig } from 'vitest/config'

const root = path.resolve(import.meta.dirname, '../../..')

/** Model servers by host: `live…` is healthy, `dead…` is not, `hang…` never answers; `switch…` does as it was last told. */
const switches = new Map<string, string>()

async function outside(request: Request): Promise<Response> {
  const url = new URL(request.url)
  if (url.hostname.startsWith('switch') && request.method === 'PUT') {
    switches.set(url.hostname, await request.text())
    return new Response(null, { status: 204 })
  }
  const mood = url.hostname.startsWith('switch') ? (switches.get(url.hostname) ?? 'live') : url.hostname
  if (mood.startsWith('hang')) return new Promise<Response>(() => undefined)
  if (mood.startsWith('moved')) return new Response(null, { status: 302, headers: { location: 'http://live.test/health' } })
  return mood.startsWith('live') ? new Response('{"status":"ok"}') : new Response('down', { status: 503 })
}

export default defineConfig(async () => ({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: path.join(root, 'core/wrangler.toml') },
      miniflare: {
        bindings: {
          OPERATOR_TOKEN: 'test-operator-token',
          CREDENTIAL_KEY: 'test-credential-key-of-32-characters',
          ALLOW_PRIVATE_ENDPOINTS: 'true',
          TEST_MIGRATIONS: await readD1Migrations(path.join(root, 'migrations')),
        },
        outboundService: outside,
        workers: [
          {
            name: 'isochrone-edge',
            modules: true,
            compatibilityDate: '2026-11-01',
            script: readFileSync(path.join(import.meta.dirname, 'aux/edge.mjs'), 'utf8'),
            durableObjects: { LEDGER: { className: 'Ledger', useSQLite: true } },
          },
        ],
      },
    }),
  ],
  test: {
    name: 'core',
    root,
    include: ['test/worker/core/**/*.test.ts'],
    // Only against hanging: nothing is decided by time.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    setupFiles: [path.join(import.meta.dirname, 'migrate.ts')],
  },
}))
