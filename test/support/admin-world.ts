// The admin API over stores in memory, with a control loop that says what a test wants it to say and remembers what it was asked.

import { adminApp } from '../../core/app.ts'
import { compareReports } from '../../core/compare.ts'
import type { RolloutCommand, RolloutRequest, Stamp } from '../../core/facts.ts'
import type { AdminPorts, ControllerCalls } from '../../core/ports.ts'
import type { Rollout } from '../../core/rollout/record.ts'
import { sha256Hex } from '../../shared/hash.ts'
import type { RolloutId } from '../../shared/ids.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { signerOf } from '../../shared/signature.ts'
import { overridePurpose } from '../../shared/wire/override.ts'
import { fakeStores, type FakeStores } from './rollout-stores.ts'

export type Json = Readonly<Record<string, unknown>>
export type Told = { readonly status: number; readonly headers: Headers; readonly body: Json }
type Said<T> = Result<T, AdminRefusal>

/** What the control loop was asked, in order. */
export type AskedOfLoop =
  | { readonly call: 'plan'; readonly asked: RolloutRequest }
  | { readonly call: 'create'; readonly asked: RolloutRequest; readonly stamp: Stamp }
  | { readonly call: 'command'; readonly id: RolloutId; readonly command: RolloutCommand; readonly stamp: Stamp }
  | { readonly call: 'explain'; readonly id: RolloutId }

/** What it answers; unset, it is silent for ever. */
export type Script = {
  plan?: Said<object>
  create?: Said<Rollout>
  command?: (id: RolloutId, command: RolloutCommand) => Promise<Said<Rollout>>
  explain?: Said<object>
}

export const overrideSecret = 'a secret of thirty-two characters'
export const operatorToken = 'test-operator-token'
export const nowMs = 1_800_000_000_000
export const stamp: Stamp = { atMs: nowMs, actor: 'test', requestId: 'scene', reason: null }

export type AdminWorld = {
  readonly stores: FakeStores
  readonly loop: AskedOfLoop[]
  readonly script: Script
  readonly logged: Json[]
  /** Turns that were asked for. */
  readonly nudges: () => number
  readonly ask: (method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<Told>
  readonly must: (method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<Told>
  /** As ask, outside /admin/v1 and without the operator's token. */
  readonly outside: (method: string, path: string, body?: string, headers?: Readonly<Record<string, string>>) => Promise<Told>
}

export async function adminWorld(more: Partial<AdminPorts> = {}): Promise<AdminWorld> {
  const stores = fakeStores()
  const loop: AskedOfLoop[] = []
  const script: Script = {}
  const logged: Json[] = []
  let nudges = 0
  let ids = 0
  const silent = new Promise<never>(() => undefined)
  const controller: ControllerCalls = {
    nudge: async () => void (nudges += 1),
    status: () => silent,
    planRollout: (asked) => (loop.push({ call: 'plan', asked }), script.plan ? Promise.resolve(script.plan) : silent),
    createRollout: (asked, by) => (
      loop.push({ call: 'create', asked, stamp: by }),
      script.create ? Promise.resolve(script.create) : silent
    ),
    commandRollout: (id, command, by) => {
      loop.push({ call: 'command', id, command, stamp: by })
      return script.command ? script.command(id, command) : silent
    },
    explainRollout: (id) => (loop.push({ call: 'explain', id }), script.explain ? Promise.resolve(script.explain) : silent),
  }
  const ports: AdminPorts = {
    ...stores,
    clock: { nowMs: () => nowMs },
    // Time stands still for the tests and passes at once for whoever waits for nothing.
    timer: { sleep: () => new Promise((resolve) => setTimeout(resolve, 5)) },
    freshId: () => `fresh${(ids += 1)}`,
    seal: async (text, name) => `sealed:${name}:${text}`,
    allowPrivateEndpoints: false,
    events: { list: async () => [] },
    compareReports,
    overrideSigner: await signerOf(overrideSecret, overridePurpose),
    openTargetSecret: async (target) => (target === 'no-secret' ? null : `secret-of-${target}`),
    operatorScopes: ['rollouts:promote-full'],
    controller,
    operatorTokenSha256: await sha256Hex(operatorToken),
    log: (line) => void logged.push(line),
    ...more,
  }
  const app = adminApp(ports)
  const fetched = async (request: Request): Promise<Told> => {
    const later: Promise<unknown>[] = []
    const context = { waitUntil: (work: Promise<unknown>) => void later.push(work), passThroughOnException: () => undefined, props: {} }
    const response = await app.fetch(request, {}, context)
    await Promise.all(later)
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? {} : (JSON.parse(text) as Json) }
  }
  const ask: AdminWorld['ask'] = (method, path, body, headers = {}) =>
    fetched(
      new Request(`http://core.test/admin/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${operatorToken}`, ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    )
  return {
    stores,
    loop,
    script,
    logged,
    nudges: () => nudges,
    ask,
    async must(method, path, body, headers) {
      const told = await ask(method, path, body, headers)
      if (told.status >= 300) throw new Error(`${method} ${path}: ${told.status} ${JSON.stringify(told.body)}`)
      return told
    },
    outside: (method, path, body, headers = {}) =>
      fetched(new Request(`http://core.test${path}`, { method, headers, ...(body === undefined ? {} : { body }) })),
  }
}

export const digestOf = (digit: string): string => `sha256:${digit.repeat(64)}`

/** A region, the model `atlas` with three versions, the model `other` with one, an alias in production, and a target with a repository. */
export async function furnished(more: Partial<AdminPorts> = {}): Promise<AdminWorld> {
  const world = await adminWorld(more)
  await world.must('POST', '/regions', { name: 'fra', latitude: 50.1, longitude: 8.7 })
  await world.must('POST', '/models', { name: 'atlas' })
  await world.must('POST', '/models', { name: 'other' })
  for (const [index, id] of ['atlas-1', 'atlas-2', 'atlas-3'].entries()) {
    await world.must('POST', '/versions', {
      id,
      model: 'atlas',
      digest: digestOf(String(index + 1)),
      engine: 'llama.cpp',
      flags: { ctx: 4_096 * (index + 1) },
    })
  }
  await world.must('POST', '/versions', { id: 'other-1', model: 'other', digest: digestOf('9'), engine: 'vllm' })
  await world.must('POST', '/aliases', { environment: 'production', model: 'atlas', stable: 'atlas-1' })
  await world.must('POST', '/targets', {
    id: 'rack',
    model: 'atlas',
    region: 'fra',
    deployer: 'model_repository',
    url: 'https://rack.example',
    slots: 4,
  })
  return world
}

export const refused = (reason: AdminRefusal): { readonly ok: false; readonly error: AdminRefusal } => err(reason)
export const granted = <T>(value: T): Said<T> => ok(value)
