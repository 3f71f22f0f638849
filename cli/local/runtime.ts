// One Worker on the local runtime, as a process of its own: `runtime.ts <edge|core|ledgers> <port>`. Started by start.ts, ends with it.
// Processes apart, so that core can go away and come back while edge serves. Bindings come from the toml files. The ledger objects are in
// the edge's process, or, asked for apart, those of a second Worker of the same bundle in a third one. ISOLATE_PORTS names ports of further
// isolates of the edge, which are Workers of the same bundle too: between them they share nothing but ledgers and KV, as on the real platform.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { convertV4MiniflareOptions, Miniflare, type V4MiniflareOptions } from 'miniflare'
import { unstable_getMiniflareWorkerOptions as workerOptionsOf } from 'wrangler'
import { bundlePathOf } from './bundle.ts'
import { places, root, stateOf, type Role } from './places.ts'
import { areLedgersApart } from './settings.ts'

const roles: readonly Role[] = ['edge', 'core', 'ledgers']
const role = roles.find((each) => each === process.argv[2]) ?? 'edge'
/** Which bundle and which toml file. */
const worker = role === 'core' ? 'core' : 'edge'
const port = Number(process.argv[3])
const host = '127.0.0.1'
const cronEveryMs = 60_000

const names = { edge: 'isochrone-edge', core: 'isochrone-core', ledgers: 'isochrone-ledgers', kv: 'isochrone-kv' } as const

/** KV lives in the edge's process; core reaches it through this Worker, so that it outlives core as the real one does. */
const kvBridge: WorkerOptions = {
  name: names.kv,
  compatibilityDate: '2026-11-01',
  kvNamespaces: { STATE: 'STATE' },
  modules: [
    {
      type: 'ESModule',
      path: 'kv.mjs',
      contents: `import { WorkerEntrypoint } from 'cloudflare:workers'
export class Namespace extends WorkerEntrypoint {
  get(...args) { return this.env.STATE.get(...args) }
  put(...args) { return this.env.STATE.put(...args) }
  delete(...args) { return this.env.STATE.delete(...args) }
}
export default { fetch: () => new Response(null, { status: 404 }) }`,
    },
  ],
}

const configPath = resolve(root, worker === 'edge' ? 'wrangler.toml' : 'core/wrangler.toml')

type WorkerOptions = Extract<V4MiniflareOptions, { workers: unknown }>['workers'][number]

function options(): WorkerOptions {
  const { modulesRules: _, modules: __, script: ___, ...rest } = workerOptionsOf(configPath).workerOptions
  const common: WorkerOptions = {
    ...rest,
    name: names[role],
    modules: [{ type: 'ESModule', path: `${worker}.mjs`, contents: readFileSync(bundlePathOf(worker), 'utf8') }],
    unsafeDirectSockets: role === 'ledgers' ? [] : [{ host, port }],
    ...ledgersElsewhere(rest),
  }
  // Deployments refuse addresses that are not public; here every model server stands at one.
  const bindings = { ...common.bindings, ALLOW_PRIVATE_ENDPOINTS: 'true', CREDENTIAL_KEY: process.env['CREDENTIAL_KEY'] ?? '' }
  if (role === 'edge') return { ...common, bindings }
  // It serves nobody but its objects' callers: the slow copy stays with the edge.
  if (role === 'ledgers') return { ...common, bindings, kvNamespaces: {} }
  return {
    ...common,
    kvNamespaces: {},
    bindings: {
      ...bindings,
      OPERATOR_TOKEN: process.env['OPERATOR_TOKEN'] ?? '',
      // On one's own machine there is one operator, who may do everything.
      OPERATOR_SCOPES: 'rollouts:promote-full',
      CORE_URL: `http://${host}:${port}`,
    },
    serviceBindings: { ...common.serviceBindings, STATE: { name: names.kv, entrypoint: 'Namespace' } },
  }
}

/** Where the others find the ledger objects when these have a process of their own. */
function ledgersElsewhere({ durableObjects }: Pick<WorkerOptions, 'durableObjects'>): Pick<WorkerOptions, 'durableObjects'> {
  if (role === 'ledgers' || !areLedgersApart(process.env)) return {}
  return { durableObjects: { ...durableObjects, LEDGER: { className: 'Ledger', scriptName: names.ledgers } } }
}

/** Other isolates of the edge, each at a port of its own. */
function otherIsolates(first: WorkerOptions): readonly WorkerOptions[] {
  const ports = (process.env['ISOLATE_PORTS'] ?? '').split(',').filter(Boolean).map(Number)
  const home = areLedgersApart(process.env) ? names.ledgers : names.edge
  return ports.map((each, index) => ({
    ...first,
    name: `${names.edge}-${index + 2}`,
    unsafeDirectSockets: [{ host, port: each }],
    durableObjects: { LEDGER: { className: 'Ledger', scriptName: home } },
  }))
}

const own = options()

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host,
    port: 0,
    cf: false,
    logRequests: false,
    telemetry: { enabled: false },
    // For whoever wants to know what is in their heaps; a debugger may stop a Worker, so it is not on by itself.
    ...(process.env['ISOCHRONE_INSPECT'] === '1' ? { inspectorPort: 0 } : {}),
    resourcePersistencePath: resolve(stateOf(role), 'v3'),
    unsafeDevRegistryPath: places.registry,
    workers: role === 'edge' ? [own, ...otherIsolates(own), kvBridge] : [own],
  }),
)

let ending = false
async function end(): Promise<void> {
  if (ending) return
  ending = true
  await miniflare.dispose()
  process.exit(0)
}
process.on('SIGTERM', () => void end())
process.on('disconnect', () => void end())
// A Ctrl-C in the terminal is the supervisor's to answer.
process.on('SIGINT', () => undefined)

try {
  await miniflare.ready
  if (role === 'core') {
    // Cron never fires by itself on the local runtime.
    const core = await miniflare.getWorker(names.core)
    const wake = () => void core.scheduled({ cron: '* * * * *' }).catch((cause: unknown) => console.error('cron:', cause))
    wake()
    setInterval(wake, cronEveryMs)
  }
  const inspectorUrl = process.env['ISOCHRONE_INSPECT'] === '1' ? (await miniflare.getInspectorURL()).href : null
  process.send?.({ ready: true, inspectorUrl })
} catch (cause) {
  console.error(cause)
  process.send?.({ failed: cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause) })
  process.exit(1)
}
