// A platform under a steady load whose versions change, driven as an operator would: through the CLI, as a process of its own. What every
// request of the load met is kept: when it was sent, which version answered, and how.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { verifyWebhook } from '../../shared/webhook-signature.ts'
import { serve, type LocalServer } from './http-server.ts'
import { admin, forgetHome, startPlatform, until, type Platform } from './platform.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** One request of the load. `version` and `status` null: nobody answered, with the reason in `failure`. */
export type Met = {
  readonly sentAtMs: number
  readonly version: string | null
  readonly status: number | null
  readonly failure: string | null
}

export type Told = { readonly code: number | null; readonly out: string; readonly err: string }

/** One event as a webhook's receiver got it, its signature verified. */
export type Event = {
  readonly type: string
  readonly data: { readonly rollout: { readonly id: string | null }; readonly verdicts?: readonly Readonly<Record<string, unknown>>[] }
}

export type Transition = { readonly atMs: number; readonly from: string; readonly to: string }

const questions = ['What is the capital of Peru?', 'Which countries border Germany?', 'What is the currency of Japan?', 'Where is Kenya?']
/** Each learns of a change by itself. */
const isolates = 4

export class VersionScene {
  readonly platform: Platform
  readonly #loads: Load[] = []
  #hooks: { readonly server: LocalServer; readonly secret: string } | null = null

  private constructor(platform: Platform) {
    this.platform = platform
  }

  static async open(): Promise<VersionScene> {
    return new VersionScene(await startPlatform({ env: { ISOCHRONE_ISOLATES: String(isolates) } }))
  }

  async close(): Promise<void> {
    for (const load of this.#loads) await load.stop()
    await this.platform.stop()
    await this.#hooks?.server.close()
    forgetHome(this.platform.home)
  }

  /** Runs the CLI as this operator. */
  cli(args: readonly string[], actor = 'ada'): Promise<Told> {
    const { coreUrl, operatorToken, edgeUrl } = this.platform.dev
    const env = {
      ...process.env,
      ISOCHRONE_CORE_URL: coreUrl,
      ISOCHRONE_OPERATOR_TOKEN: operatorToken,
      ISOCHRONE_EDGE_URL: edgeUrl,
      ISOCHRONE_ACTOR: actor,
    }
    const child = spawn(process.execPath, ['cli/main.ts', ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })))
  }

  /** As `cli`, and it must end with 0; the answer as JSON. */
  async must(args: readonly string[], actor = 'ada'): Promise<unknown> {
    const told = await this.cli(['--json', ...args], actor)
    if (told.code !== 0) throw new Error(`isochrone ${args.join(' ')} ended with ${told.code}:\n${told.out}${told.err}`)
    return told.out === '' ? null : (JSON.parse(told.out) as unknown)
  }

  async ask(method: string, route: string, body?: object, headers: Record<string, string> = {}): Promise<Record<string, unknown>> {
    const response = await admin(this.platform.dev, method, route, body, { 'isochrone-actor': 'ada', ...headers })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${text}`)
    return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
  }

  /** The id of the rollout that was made last. */
  async newest(): Promise<string> {
    const { items } = (await this.ask('GET', 'rollouts?limit=1')) as { readonly items: readonly { readonly id: string }[] }
    if (!items[0]) throw new Error('there is no rollout')
    return items[0].id
  }

  async phase(id: string): Promise<string> {
    return String((await this.ask('GET', `rollouts/${id}`))['phase'])
  }

  /** What became of a rollout, oldest first. */
  async transitions(id: string): Promise<readonly Transition[]> {
    return (await this.ask('GET', `rollouts/${id}`))['transitions'] as readonly Transition[]
  }

  /** Waits until the rollout is in one of these phases. */
  untilIn(id: string, ...phases: readonly string[]): Promise<string> {
    return until(async () => {
      const now = await this.phase(id)
      return phases.includes(now) && now
    }, 250)
  }

  /** Makes a version exist at the platform's own targets, and waits until all say so. */
  async deploy(version: string): Promise<void> {
    await this.must(['version', 'deploy', version, '--reason', 'a test'])
    await until(async () => {
      const { items } = (await this.ask('GET', `deployments?version=${version}&limit=200`)) as {
        readonly items: readonly { readonly state: string; readonly endpoint: string | null }[]
      }
      return items.length > 0 && items.every(({ state, endpoint }) => state === 'ready' && endpoint !== null)
    }, 250)
  }

  /** Has a receiver of webhooks told of all events from now on. */
  async listen(): Promise<void> {
    const server = await serve((_, response) => void response.writeHead(204).end())
    const { secret } = await this.ask('POST', 'webhooks', { id: 'ops', url: server.url })
    this.#hooks = { server, secret: String(secret) }
  }

  /** Waits for an event of a rollout; one whose signature is wrong fails. */
  told(type: string, id: string | null): Promise<Event> {
    return until(async () => {
      if (!this.#hooks) throw new Error('nobody listens')
      for (const { headers, body } of this.#hooks.server.seen) {
        const event = JSON.parse(body) as Event
        if (event.type !== type || event.data.rollout.id !== id) continue
        const by = { secret: this.#hooks.secret, nowMs: Date.now(), toleranceMs: 300_000 }
        const verified = await verifyWebhook({ headers: new Headers(headers), body }, by)
        if (!verified.ok) throw new Error(`a webhook that is not signed as it should be: ${verified.error}`)
        return event
      }
      return null
    })
  }

  /** A key of an environment. */
  async key(environment: string): Promise<string> {
    return String((await this.ask('POST', 'keys', { tenant: 'demo', environment, name: environment }))['key'])
  }

  load(so: { readonly apiKey?: string; readonly perS: number }): Load {
    const { edgeUrls, apiKey, model } = this.platform.dev
    const load = new Load({ edgeUrls, model, apiKey: so.apiKey ?? apiKey, perS: so.perS })
    this.#loads.push(load)
    return load
  }
}

type LoadOf = { readonly edgeUrls: readonly string[]; readonly model: string; readonly apiKey: string; readonly perS: number }

/** Open loop: it does not wait for answers. Each request is a session of its own, so that versions are drawn for each. */
export class Load {
  readonly met: Met[] = []
  readonly #of: LoadOf
  readonly #over = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  readonly #running: Promise<void>

  constructor(of: LoadOf) {
    this.#of = of
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#over.abort()
    await this.#running
    await Promise.all(this.#underWay)
  }

  /** What was sent in [fromMs, untilMs) and has been answered. */
  sent(fromMs: number, untilMs: number): readonly Met[] {
    return this.met.filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < untilMs)
  }

  get failed(): readonly Met[] {
    return this.met.filter(({ failure }) => failure !== null)
  }

  async #run(): Promise<void> {
    const beganMs = performance.now()
    for (let number = 0; !this.#over.signal.aborted; number++) {
      const asking = this.#ask(number).finally(() => this.#underWay.delete(asking))
      this.#underWay.add(asking)
      const dueMs = beganMs + ((number + 1) * 1_000) / this.#of.perS
      await sleep(Math.max(0, dueMs - performance.now()), null, { signal: this.#over.signal }).catch(() => null)
    }
  }

  async #ask(number: number): Promise<void> {
    const { edgeUrls, apiKey, model } = this.#of
    const sentAtMs = Date.now()
    const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', 'isochrone-session': `s${sentAtMs}.${number}` }
    const messages = [{ role: 'user', content: questions[number % questions.length] }]
    // Deterministic, so that copies can be compared word by word.
    const body = JSON.stringify({ model, messages, stream: number % 2 === 0, max_tokens: 24, temperature: 0 })
    try {
      const url = `${edgeUrls[number % edgeUrls.length]}/v1/chat/completions`
      const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(20_000) })
      const text = await response.text()
      const failure = response.ok ? null : `${response.status} ${text.slice(0, 200)}`
      this.met.push({ sentAtMs, version: response.headers.get('isochrone-model-version'), status: response.status, failure })
    } catch (cause) {
      this.met.push({ sentAtMs, version: null, status: null, failure: String(cause) })
    }
  }
}

/** The part of requests that this version answered; 0 of none. */
export const shareOf = (met: readonly Met[], version: string): number =>
  met.length === 0 ? 0 : met.filter((each) => each.version === version).length / met.length
