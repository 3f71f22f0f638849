// What core's tests inside workerd share: the environment, an operator, a small catalogue, ledgers that tell what they heard.

import type { D1Migration } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import type { Controller } from '../../../core/controller.ts'
import type { CoreEnv } from '../../../core/deps.ts'
import type { ControllerCalls } from '../../../core/ports.ts'
import type { LedgerCalls } from '../../../shared/wire/ledger.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'

export const testEnv = env as unknown as CoreEnv & { readonly TEST_MIGRATIONS: D1Migration[] }
export const operatorToken = 'test-operator-token'

export type Json = Readonly<Record<string, unknown>>
export type Told = { readonly status: number; readonly headers: Headers; readonly body: Json }

const core = (exports as unknown as { readonly default: Fetcher }).default

/** One request as the operator. `headers` replace or add. */
export async function ask(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Told> {
  const response = await core.fetch(`http://core.test${path}`, {
    method,
    headers: { authorization: `Bearer ${operatorToken}`, ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? {} : (JSON.parse(text) as Json) }
}

/** As ask, and throws unless the answer is a success: for setting a scene. */
export async function must(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Told> {
  const told = await ask(method, path, body, headers)
  if (told.status >= 300) throw new Error(`${method} ${path}: ${told.status} ${JSON.stringify(told.body)}`)
  return told
}

export const region = (name: string, more: Json = {}): Json => ({ name, latitude: 50.1, longitude: 8.7, ...more })
export const version = (id: string, model: string, more: Json = {}): Json => ({
  id,
  model,
  digest: `sha256:${'ab'.repeat(32)}`,
  engine: 'llama.cpp',
  ...more,
})
export const endpoint = (id: string, host: string, model: string, more: Json = {}): Json => ({
  id,
  region: 'fra',
  version: `${model}-2`,
  url: `http://${host}.test/`,
  servedName: model,
  slots: 4,
  ...more,
})

/** A region and a tenant, for all tests of a file. */
export async function furnish(): Promise<void> {
  await must('POST', '/admin/v1/regions', region('fra'))
  await must('POST', '/admin/v1/tenants', { id: 'acme', name: 'Acme' })
}

/** A model of a test's own, with two versions and an alias in production. */
export async function furnishModel(model: string): Promise<void> {
  await must('POST', '/admin/v1/models', { name: model })
  await must('POST', '/admin/v1/versions', version(`${model}-1`, model))
  await must('POST', '/admin/v1/versions', version(`${model}-2`, model))
  await must('POST', '/admin/v1/aliases', { environment: 'production', model, stable: `${model}-1` })
}

const controllers = testEnv.CONTROLLER as unknown as DurableObjectNamespace<Controller>
/** A stub to the controller; a new one each time, since one that saw an eviction may be broken. */
export const controller = (): DurableObjectStub<Controller> => controllers.get(controllers.idFromName('controller'))
export const nudge = async (): Promise<void> => {
  await (controller() as unknown as ControllerCalls).nudge()
}

type TestLedger = LedgerCalls & {
  behave(behaviour: Json): Promise<void>
  recorded(): Promise<{
    readonly exchanges: readonly {
      readonly generation: number | null
      readonly cell: string | null
      readonly signature: string | null
      readonly loads: number | null
    }[]
    readonly snapshot: Snapshot | null
  }>
}
export function ledger(name: string): TestLedger {
  const ledgers = testEnv.LEDGER as DurableObjectNamespace
  return ledgers.get(ledgers.idFromName(name)) as unknown as TestLedger
}

/** Waits until something holds; the test's own timeout is the only limit. */
export async function until<T>(look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (;;) {
    const seen = await look()
    if (seen) return seen
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
