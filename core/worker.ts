// The core Worker's entry: admin API over HTTP, the edge's entrypoint, the control loop's object, and the cron that wakes it.

import { WorkerEntrypoint } from 'cloudflare:workers'
import type { KeyId } from '../shared/ids.ts'
import type { CoreCalls, Credential } from '../shared/wire/credential.ts'
import { adminApp, type AdminApp } from './app.ts'
import { adminPorts, controllerPort, credentialsPort, type CoreEnv } from './deps.ts'

export { Controller } from './controller.ts'

/** The app is built once per environment, which in production is once per isolate. */
const apps = new WeakMap<CoreEnv, Promise<AdminApp>>()

function appOf(env: CoreEnv): Promise<AdminApp> {
  const built = apps.get(env) ?? adminPorts(env).then(adminApp)
  apps.set(env, built)
  return built
}

/** Environments whose control loop this isolate has woken: once is enough, its alarm and the cron do the rest. */
const woken = new WeakSet<CoreEnv>()

function wakeOnce(env: CoreEnv, ctx: ExecutionContext): void {
  if (woken.has(env)) return
  woken.add(env)
  // Should it fail, the cron wakes the loop within a minute.
  ctx.waitUntil(
    controllerPort(env)
      .nudge()
      .catch(() => undefined),
  )
}

/** What the edge calls. It has no other way into core. */
export class CoreEntrypoint extends WorkerEntrypoint<CoreEnv> implements CoreCalls {
  async credential(id: string): Promise<Credential | null> {
    wakeOnce(this.env, this.ctx)
    return credentialsPort(this.env).ofKey(id as KeyId)
  }
}

export default {
  async fetch(request, env, ctx): Promise<Response> {
    wakeOnce(env, ctx)
    return (await appOf(env)).fetch(request, env, ctx)
  },
  async scheduled(_event, env): Promise<void> {
    await controllerPort(env).nudge()
  },
} satisfies ExportedHandler<CoreEnv>
