// A platform under a steady load, with the means to break parts of it by name and to read from the admin API what became of that.
// Each region has one engine; where a ledger shall have something to choose from, the first region gets a second one.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { regions } from '../../cli/local/regions.ts'
import { startEngine, type EngineProcess } from '../engine/engine-process.ts'
import { startLoad, type Load, type LoadOptions, type Sample } from './load.ts'
import { admin, forgetHome, isAlive, startPlatform, until, type Platform } from './platform.ts'
import { sentIn, shareOf } from './samples.ts'

/** One change of an endpoint's health, as `GET /events` lists it. */
export type HealthEvent = {
  readonly atMs: number
  readonly endpoint: string
  readonly from: string
  readonly to: string
  readonly reason: string
  readonly metric: string | null
}

export type EndpointRow = {
  readonly id: string
  readonly state: string
  readonly health: string
  readonly load: { readonly inFlight: number; readonly cap: number; readonly breaker: string; readonly reason: string | null } | null
}
export type LedgerRow = {
  readonly name: string
  readonly inFlight: Readonly<Record<string, number>>
  readonly ways: Readonly<Record<string, number>>
  readonly queued: number
  readonly error: string | null
}
export type StatusRow = {
  readonly generation: number
  readonly endpoints: readonly EndpointRow[]
  readonly ledgers: readonly LedgerRow[]
  readonly lastTurn: { readonly atMs: number; readonly error: string | null } | null
}

type Engine = { readonly url: string; readonly controlUrl: string; readonly pid: number; readonly roundTripMs: number }

export type Terms = Pick<LoadOptions, 'mix' | 'perS' | 'seed' | 'timeoutMs'> & {
  readonly hasSibling?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** Each learns of failures by itself, and has its own memory: with one, half of what routing does would never happen. */
const isolates = 4

/** The nearest engine to whoever asks on this machine, and the second one beside it. */
export const nearest = 'local-us-east'
export const sibling = 'local-us-east-2'

export class Scene {
  readonly platform: Platform
  readonly load: Load
  readonly #engines: Map<string, Engine>
  /** Engines that this scene started and has to end. */
  readonly #own: EngineProcess[]
  /** Faults that all engines have beside their own. */
  #everywhere: object = {}

  private constructor(platform: Platform, load: Load, engines: Map<string, Engine>, own: EngineProcess[]) {
    this.platform = platform
    this.load = load
    this.#engines = engines
    this.#own = own
  }

  /** `hasSibling`: with a second engine in the first region. `env`: of the platform. */
  static async open({ hasSibling = false, env = {}, ...load }: Terms): Promise<Scene> {
    const platform = await startPlatform({ env: { ISOCHRONE_ISOLATES: String(isolates), ...env } })
    const { dev } = platform
    const engines = new Map(
      dev.regions.map(({ name, engineUrl, controlUrl, pid }): [string, Engine] => [
        `local-${name}`,
        { url: engineUrl, controlUrl, pid, roundTripMs: roundTripOf(name) },
      ]),
    )
    const own: EngineProcess[] = []
    try {
      if (hasSibling) await addSibling(platform, engines, own)
      return new Scene(platform, startLoad({ ...load, edgeUrls: dev.edgeUrls, apiKey: dev.apiKey, model: dev.model }), engines, own)
    } catch (cause) {
      await Promise.all(own.map((engine) => engine.stop()))
      await platform.stop()
      throw cause
    }
  }

  async close(): Promise<void> {
    await this.load.stop()
    await Promise.all(this.#own.map((engine) => engine.stop()))
    await this.platform.stop()
    forgetHome(this.platform.home)
  }

  get endpoints(): readonly string[] {
    return [...this.#engines.keys()]
  }

  // ---- Breaking things. Each says when it was done, by this machine's clock, which is core's too. ----

  /** These faults and no others, beside the round trip that its region has and what was set everywhere. */
  async setFaults(id: string, faults: object): Promise<number> {
    const { controlUrl, roundTripMs } = this.#engine(id)
    const all = { latencyMs: roundTripMs, ...this.#everywhere, ...faults }
    const response = await fetch(`${controlUrl}/faults`, { method: 'PUT', body: JSON.stringify(all) })
    if (!response.ok) throw new Error(await response.text())
    return Date.now()
  }

  heal(id: string): Promise<number> {
    return this.setFaults(id, {})
  }

  /** Replaces what was set everywhere before; every engine has no other faults then. */
  async setEverywhere(faults: object): Promise<number> {
    this.#everywhere = faults
    for (const id of this.endpoints) await this.heal(id)
    return Date.now()
  }

  signal(id: string, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): number {
    process.kill(this.#engine(id).pid, signal)
    return Date.now()
  }

  /** Another process at the same addresses, as whoever runs a dead server would start it. */
  async restart(id: string): Promise<number> {
    const { url, controlUrl, roundTripMs, pid } = this.#engine(id)
    await until(async () => !isAlive(pid))
    const engine = await startEngine([...flagsOf(roundTripMs), `--port=${new URL(url).port}`, `--control-port=${new URL(controlUrl).port}`])
    this.#own.push(engine)
    await engine.ready
    this.#engines.set(id, { url, controlUrl, roundTripMs, pid: engine.child.pid ?? 0 })
    return this.heal(id)
  }

  /** Ends a runtime process for good, until `release`. */
  hold(role: 'core' | 'ledgers'): number {
    const pid = this.platform.devNow().processes[role]
    if (pid === null) throw new Error(`the ${role} have no process of their own here`)
    mkdirSync(path.dirname(this.#holdPath(role)), { recursive: true })
    writeFileSync(this.#holdPath(role), '')
    // The whole group: workerd outlives the process that started it.
    process.kill(-pid, 'SIGKILL')
    return Date.now()
  }

  release(role: 'core' | 'ledgers'): number {
    rmSync(this.#holdPath(role))
    return Date.now()
  }

  /** Changes the model's row, such as how long a first token may take. */
  async changeModel(fields: object): Promise<void> {
    const changed = await admin(this.platform.dev, 'PATCH', `models/${this.platform.dev.model}`, fields, { 'if-match': '*' })
    if (!changed.ok) throw new Error(await changed.text())
  }

  // ---- Looking ----

  /** What clients that asked within the next `ms` saw, once they all have an answer. */
  async watch(ms: number): Promise<readonly Sample[]> {
    const fromMs = Date.now()
    await sleep(ms)
    return this.since(fromMs)
  }

  /** What clients that asked between then and now saw, once they all have an answer. */
  async since(fromMs: number): Promise<readonly Sample[]> {
    const untilMs = Date.now()
    await this.load.settled(untilMs)
    return sentIn(this.load.samples(), fromMs, untilMs)
  }

  /** Requests that ever reached an engine, by its own count. */
  async attempts(id: string): Promise<number> {
    const response = await fetch(`${this.#engine(id).controlUrl}/state`)
    const { served, refused, aborted, inFlight } = (await response.json()) as Record<'served' | 'refused' | 'aborted' | 'inFlight', number>
    return served + refused + aborted + inFlight
  }

  async status(): Promise<StatusRow> {
    const response = await admin(this.platform.dev, 'GET', 'status')
    if (!response.ok) throw new Error(`status: ${response.status} ${await response.text()}`)
    return (await response.json()) as StatusRow
  }

  async endpoint(id: string): Promise<EndpointRow> {
    const found = (await this.status()).endpoints.find((each) => each.id === id)
    if (!found) throw new Error(`core does not know ${id}`)
    return found
  }

  /** Changes of health since then, oldest first. */
  async events(sinceMs: number, id?: string): Promise<readonly HealthEvent[]> {
    const response = await admin(this.platform.dev, 'GET', `events?limit=200${id === undefined ? '' : `&endpoint=${id}`}`)
    if (!response.ok) throw new Error(`events: ${response.status} ${await response.text()}`)
    const { items } = (await response.json()) as { readonly items: readonly HealthEvent[] }
    return items.filter(({ atMs }) => atMs >= sinceMs).toReversed()
  }

  /** Waits until the endpoint serves more than half of what is asked. */
  async untilServing(id: string): Promise<void> {
    await until(async () => shareOf(await this.watch(1_500), id) > 0.5)
  }

  /** The first event by which the endpoint got this health since then; the test's own timeout is the limit. */
  untilHealth(id: string, health: string, sinceMs: number): Promise<HealthEvent> {
    return until(async () => (await this.events(sinceMs, id)).find(({ to }) => to === health), 250)
  }

  /** Times and reasons, for the message of a test that fails. */
  async story(sinceMs: number): Promise<string> {
    const events = await this.events(sinceMs)
    return events
      .map(({ atMs, endpoint, from, to, reason }) => `+${atMs - sinceMs} ms ${endpoint}: ${from} -> ${to} (${reason})`)
      .join('\n')
  }

  #engine(id: string): Engine {
    const found = this.#engines.get(id)
    if (!found) throw new Error(`no engine of ${id}`)
    return found
  }

  #holdPath(role: 'core' | 'ledgers'): string {
    return path.join(this.platform.home, 'hold', role)
  }
}

const roundTripOf = (region: string): number => regions.find(({ name }) => name === region)?.roundTripMs ?? 0
const slots = 16
const flagsOf = (roundTripMs: number): readonly string[] => [`--latency-ms=${roundTripMs}`, `--slots=${slots}`]

async function addSibling({ dev }: Platform, engines: Map<string, Engine>, own: EngineProcess[]): Promise<void> {
  const first = `local-${regions[0].name}`
  const roundTripMs = regions[0].roundTripMs
  const engine = await startEngine(flagsOf(roundTripMs))
  own.push(engine)
  await engine.ready
  engines.set(sibling, { url: engine.url, controlUrl: engine.controlUrl, pid: engine.child.pid ?? 0, roundTripMs })
  const { region, kind, version, servedName, operations } = (await (await admin(dev, 'GET', `endpoints/${first}`)).json()) as Record<
    string,
    unknown
  >
  const row = { id: sibling, region, kind, version, servedName, operations, slots, url: engine.url }
  const made = await admin(dev, 'POST', 'endpoints', row)
  if (made.status !== 201) throw new Error(`the second engine was refused: ${await made.text()}`)
  // Until it serves like the first.
  await until(async () => {
    const status = (await (await admin(dev, 'GET', 'status')).json()) as StatusRow
    return status.endpoints.length === engines.size && status.endpoints.every(({ health }) => health === 'healthy')
  }, 250)
}
