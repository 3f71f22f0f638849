// Core's tests inside workerd: D1 with the migrations applied, KV, the control loop's object, and beside them a small Worker
// that stands for the edge's ledgers and the servers near them.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { Response, type Request } from 'miniflare'
import { defineConfig } from 'vitest/config'

const root = path.resolve(import.meta.dirname, '../../..')

/** Core asks no server itself: probes are the ledgers'. */
const outside = (request: Request): Response => new Response(`core fetched ${request.url}`, { status: 500 })

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
