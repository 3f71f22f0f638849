// `npm start`: the whole platform on one machine. Starts what is needed in the right order, waits until an answer was really served,
// says how to use it, and ends everything when told to.

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bundle } from './bundle.ts'
import { claimHome, startChild, stopChildren, type Child } from './children.ts'
import { coreApi } from './core-api.ts'
import { checkGguf, digestOf, startEngines, type RunningEngine } from './engines.ts'
import { readJson, writeJson } from './files.ts'
import { freePort, requireFree } from './free-port.ts'
import { migrate } from './migrate.ts'
import { places, type Role } from './places.ts'
import { progress } from './progress.ts'
import { seed } from './seed.ts'
import { readSettings, usage, type Settings } from './settings.ts'
import { Stop } from './stop.ts'
import { firstAnswer, welcome } from './welcome.ts'

const out = process.stdout
let ending = false
/** Whether this process is the platform of its home; what it did not start it does not end. */
let claimed = false

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env)
  if (!settings) return void out.write(`${usage}\n`)
  await checkGguf(settings.modelPath)
  claimHome()
  // From here on the home is ours, and so is what has to be tidied up in it.
  claimed = true
  await requireFree(settings.edgePort, 'EDGE_PORT')
  await requireFree(settings.corePort, 'CORE_PORT')
  rmSync(places.dev, { force: true })
  rmSync(places.registry, { recursive: true, force: true })
  rmSync(places.hold, { recursive: true, force: true })
  if (settings.fresh) {
    rmSync(places.state, { recursive: true, force: true })
    rmSync(places.secrets, { force: true })
  }
  process.on('SIGINT', () => void end(0))
  process.on('SIGTERM', () => void end(0))
  process.on('SIGHUP', () => void end(0))
  await start(settings)
}

async function start(settings: Settings): Promise<void> {
  const { step } = progress(out)
  const beganMs = performance.now()
  const secrets = readSecrets()
  out.write('Isochrone, on this machine\n')
  const [engines, digest] = await step(
    `three regions with ${settings.model}, Workers built, database up to date`,
    Promise.all([startEngines(settings), digestOf(settings.modelPath), bundle('edge'), bundle('core'), migrate()]),
  )
  const isolatePorts = await Promise.all(Array.from({ length: settings.isolates - 1 }, freePort))
  const edge = { role: 'edge', port: settings.edgePort, env: { ISOLATE_PORTS: isolatePorts.join(',') } } as const
  const core = { role: 'core', port: settings.corePort } as const
  // Nobody speaks HTTP to it.
  const ledgers = settings.ledgersApart ? [{ role: 'ledgers', port: 0 } as const] : []
  await step('edge and core', Promise.all([...ledgers, edge, core].map((runtime) => keepRuntime(runtime, secrets))))

  const edgeUrl = `http://127.0.0.1:${settings.edgePort}`
  const coreUrl = `http://127.0.0.1:${settings.corePort}`
  const seeded = await step(
    'core told what runs here',
    seed(coreApi(coreUrl, secrets.operatorToken), settings, { engines, digest, keptKey: secrets.apiKey }),
  )
  writeJson(places.secrets, { ...secrets, apiKey: seeded.apiKey })
  const first = await step('first answer served', firstAnswer(edgeUrl, seeded.apiKey, settings.model))

  tellScripts = () =>
    writeJson(places.dev, {
      edgeUrl,
      edgeUrls: [edgeUrl, ...isolatePorts.map((port) => `http://127.0.0.1:${port}`)],
      coreUrl,
      apiKey: seeded.apiKey,
      operatorToken: secrets.operatorToken,
      model: settings.model,
      regions: engines.map(({ region, engineUrl, controlUrl, child }) => ({ name: region.name, engineUrl, controlUrl, pid: child.pid })),
      processes: {
        supervisor: process.pid,
        edge: runtimes.edge?.pid ?? null,
        core: runtimes.core?.pid ?? null,
        ledgers: runtimes.ledgers?.pid ?? null,
      },
      inspectorUrls,
    })
  tellScripts()
  watchEngines(engines)
  const ready = { edgeUrl, coreUrl, apiKey: seeded.apiKey, operatorToken: secrets.operatorToken, model: settings.model, first }
  out.write(welcome(ready, (performance.now() - beganMs) / 1000))
}

/** A dead engine takes its region out, nothing else: requests go to the others, and the person at the terminal is told. */
function watchEngines(engines: readonly RunningEngine[]): void {
  for (const { region, child } of engines) {
    void child.exited.then((how) => {
      if (!ending)
        out.write(`The engine of ${region.name} is gone (${how}); the other regions serve on. To have it back: Ctrl-C, npm start\n`)
    })
  }
}

/** Writes dev.json; again whenever a pid in it has changed. */
let tellScripts = (): void => undefined

type Runtime = { readonly role: Role; readonly port: number; readonly env?: Readonly<Record<string, string>> }
const runtimes: Partial<Record<Role, Child>> = {}
/** Where each runtime takes a debugger; null unless it was asked to. */
const inspectorUrls: Partial<Record<Role, string | null>> = {}

/** Restarts of one Worker that are tried in a row before giving up. */
const restartsMax = 5
/** How often it is looked whether a runtime that is held back may start again. */
const holdLookMs = 100
/** A runtime that lived this long did not fail at starting. */
const settledMs = 10_000

/** Starts a Worker and starts it again whenever it ends, as the real platform would; resolves when it answers for the first time. */
async function keepRuntime(runtime: Runtime, secrets: Secrets): Promise<void> {
  await startRuntime(runtime, secrets)
  void revive(runtime, secrets)
}

async function revive(runtime: Runtime, secrets: Secrets): Promise<void> {
  for (let failures = 0; failures < restartsMax;) {
    const child = runtimes[runtime.role]
    const beganMs = performance.now()
    const how = await child?.exited
    if (ending) return
    failures = performance.now() - beganMs > settledMs ? 1 : failures + 1
    out.write(`${runtime.role} ended (${how}); starting it again\n`)
    while (existsSync(resolve(places.hold, runtime.role))) await sleep(holdLookMs)
    await startRuntime(runtime, secrets).then(tellScripts, (cause: unknown) =>
      out.write(`${cause instanceof Error ? cause.message : String(cause)}\n`),
    )
  }
  out.write(`${runtime.role} does not stay up. Its log: ${resolve(places.logs, `${runtime.role}.log`)}\n`)
  await end(1)
}

function startRuntime({ role, port, env: own = {} }: Runtime, { operatorToken, credentialKey }: Secrets): Promise<void> {
  forgetEntries(role)
  const env = { ...own, OPERATOR_TOKEN: operatorToken, CREDENTIAL_KEY: credentialKey }
  const child = startChild(role, 'cli/local/runtime.ts', [role, String(port)], env)
  runtimes[role] = child
  const { promise, resolve: done, reject } = Promise.withResolvers<void>()
  child.process.on('message', (message: { readonly ready?: boolean; readonly failed?: string; readonly inspectorUrl?: string | null }) => {
    inspectorUrls[role] = message.inspectorUrl ?? null
    if (message.ready) done()
    else reject(new Stop(`${role} did not start: ${message.failed ?? 'no reason given'}. Its log: ${child.log.path}`))
  })
  void child.exited.then((how) => reject(new Stop(`${role} ended while starting (${how}). Its log: ${child.log.path}`)))
  return promise
}

/** A killed runtime leaves its Workers' entries behind, and the registry would refuse the new ones for minutes. */
function forgetEntries(role: Role): void {
  const ofRole = role === 'edge' ? /^isochrone-(edge(-\d+)?|kv)$/ : new RegExp(`^isochrone-${role}$`)
  const entries = existsSync(places.registry) ? readdirSync(places.registry) : []
  for (const name of entries) if (ofRole.test(name)) rmSync(resolve(places.registry, name), { force: true })
}

type Secrets = { readonly operatorToken: string; readonly credentialKey: string; readonly apiKey: string | null }

function readSecrets(): Secrets {
  const kept = readJson(places.secrets)
  const { operatorToken, credentialKey, apiKey } = (typeof kept === 'object' && kept !== null ? kept : {}) as Record<string, unknown>
  const orFresh = (secret: unknown) => (typeof secret === 'string' && secret ? secret : randomBytes(32).toString('base64url'))
  return {
    operatorToken: orFresh(operatorToken),
    // Kept with the state: what was sealed under another one could not be opened.
    credentialKey: orFresh(credentialKey),
    apiKey: typeof apiKey === 'string' ? apiKey : null,
  }
}

async function end(exitCode: number): Promise<void> {
  if (ending) return
  ending = true
  if (claimed) {
    rmSync(places.dev, { force: true })
    await stopChildren()
  }
  process.exit(exitCode)
}

try {
  await main()
} catch (cause) {
  // A stop is said in one line; anything else is a bug and keeps its trace. What breaks off while we are ending is neither.
  if (!ending) console.error(cause instanceof Stop ? `npm start: ${cause.message}` : cause)
  await end(cause instanceof Stop ? cause.exitCode : 1)
}
