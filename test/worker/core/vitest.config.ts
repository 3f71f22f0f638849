// Core's tests inside workerd: D1 with the migrations applied, KV, the control loop's object, and beside them a small Worker
// that stands for the edge's ledgers and the servers near them.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { Response, type Request } from 'miniflare'
import { defineConfig } from 'vitest/config'
import { repositoryServer } from '../../support/repository-server.ts'
import { sageMakerControl } from '../../support/sagemaker-control.ts'
import { sageMakerKeys, sageMakerRegion } from '../../support/upstream-scenarios.ts'
import { receive } from '../../support/webhook-receiver.ts'

const root = path.resolve(import.meta.dirname, '../../..')

const repository = repositoryServer(['atlas-2.q4_0'], 1)
const control = await sageMakerControl(sageMakerKeys, sageMakerRegion)
control.configs.set('atlas-1', { blue: 1 }).set('atlas-2', { blue: 1, green: 0 })
control.endpoints.set('atlas', { config: 'atlas-1', status: 'InService', weights: { blue: 1 }, describesPerChange: 1 })

/** Core asks no server itself, for probes are the ledgers', but those of webhooks (`receiver.test`) and those that deploy. */
function outside(request: Request): Response | Promise<Response> {
  const { hostname, pathname } = new URL(request.url)
  if (hostname === 'receiver.test') return toReceiver(request)
  if (hostname === 'sagemaker.test') return toSageMaker(request)
  if (hostname !== 'repository.test') return new Response(`core fetched ${request.url}`, { status: 500 })
  const { status, body } = repository.reply(request.method, pathname)
  return new Response(body, { status })
}

/** To the stand-in on loopback, which is told the host that was signed. */
async function toSageMaker(request: Request): Promise<Response> {
  const { host, pathname } = new URL(request.url)
  const headers = { ...Object.fromEntries(request.headers), 'x-forwarded-host': host }
  const answer = await fetch(control.url + pathname, { method: request.method, headers, body: await request.bytes(), redirect: 'manual' })
  return new Response(await answer.text(), { status: answer.status })
}

async function toReceiver(request: Request): Promise<Response> {
  const { method, url, headers } = request
  const reply = receive({ method, url, headers: headers as never, body: await request.text() })
  if (reply) return new Response(reply.body as never, { status: reply.status, headers: reply.headers })
  // One that never answers must not outlive the tests.
  await sleep(6_000)
  return new Response(null, { status: 504 })
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
