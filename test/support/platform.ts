// The real local platform for system tests: `npm start`'s program with a home and ports of its own, ended when the tests are over.

import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePort } from '../../cli/local/free-port.ts'

const root = path.resolve(import.meta.dirname, '../..')

export type Dev = {
  readonly edgeUrl: string
  /** Of each isolate (ISOCHRONE_ISOLATES), the first one's before all. */
  readonly edgeUrls: readonly string[]
  readonly coreUrl: string
  readonly apiKey: string
  readonly operatorToken: string
  readonly model: string
  readonly regions: readonly { readonly name: string; readonly engineUrl: string; readonly controlUrl: string; readonly pid: number }[]
  /** `ledgers` is null unless they were asked for apart (ISOCHRONE_LEDGERS). */
  readonly processes: { readonly supervisor: number; readonly edge: number; readonly core: number; readonly ledgers: number | null }
  /** Null unless asked for (ISOCHRONE_INSPECT). */
  readonly inspectorUrls: Readonly<Partial<Record<'edge' | 'core' | 'ledgers', string | null>>>
}

export type Platform = {
  readonly dev: Dev
  /** As it is now: a process that was started again has another number. */
  readonly devNow: () => Dev
  readonly home: string
  readonly output: () => string
  /** Ends it as Ctrl-C does; resolves with its exit code when it is gone. */
  readonly stop: () => Promise<number | null>
}

export type Run = { readonly process: ChildProcess; readonly output: () => string; readonly exited: Promise<number | null> }

/** A home of its own, removed by `forgetHome`. */
export const newHome = (): string => mkdtempSync(path.join(tmpdir(), 'isochrone-test-'))
export const forgetHome = (home: string): void => rmSync(home, { recursive: true, force: true })

/** Runs the program of `npm start` with this environment, and collects what it prints. */
export function runStart(env: Readonly<Record<string, string>>, args: readonly string[] = []): Run {
  const child = spawn(process.execPath, ['cli/local/start.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const { promise: exited, resolve } = Promise.withResolvers<number | null>()
  // A test that fails before it stops its platform must not leave it running.
  const endWithTests = () => child.kill('SIGTERM')
  process.once('exit', endWithTests)
  child.once('exit', (code) => {
    process.off('exit', endWithTests)
    resolve(code)
  })
  return { process: child, output: () => text, exited }
}

type Start = { readonly home?: string; readonly env?: Readonly<Record<string, string>>; readonly args?: readonly string[] }

/**
 * Starts the platform and waits until it says it is ready. Fails with what it printed when it ends instead.
 * A port that was free when it was chosen may be taken a moment later by somebody else: then others are chosen, twice at most.
 */
export async function startPlatform(so: Start = {}, triesLeft = 2): Promise<Platform> {
  const home = so.home ?? newHome()
  const [edgePort, corePort] = [await freePort(), await freePort()]
  const devPath = path.join(home, 'dev.json')
  // A killed platform leaves its own behind.
  rmSync(devPath, { force: true })
  const run = runStart({ ISOCHRONE_HOME: home, EDGE_PORT: String(edgePort), CORE_PORT: String(corePort), ...so.env }, so.args)
  const ended = run.exited.then((code) => ({ code }))
  while (!existsSync(devPath)) {
    const gone = await Promise.race([ended, new Promise<null>((resolve) => setTimeout(() => resolve(null), 50))])
    if (!gone) continue
    if (triesLeft > 0 && /in use/i.test(run.output())) return startPlatform({ ...so, home }, triesLeft - 1)
    throw new Error(`the platform ended with ${gone.code} while starting:\n${run.output()}`)
  }
  const devNow = (): Dev => JSON.parse(readFileSync(devPath, 'utf8')) as Dev
  const stop = async () => {
    run.process.kill('SIGINT')
    return run.exited
  }
  return { dev: devNow(), devNow, home, output: run.output, stop }
}

/** The engine's own view, from its control port. */
export async function engineState(controlUrl: string): Promise<{ readonly inFlight: number; readonly aborted: number }> {
  const response = await fetch(`${controlUrl}/state`)
  return (await response.json()) as { inFlight: number; aborted: number }
}

/** One call of the admin API. */
export async function admin(
  dev: Dev,
  method: string,
  route: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  const init: RequestInit = { method, headers: { authorization: `Bearer ${dev.operatorToken}`, ...headers } }
  if (body) init.body = JSON.stringify(body)
  return fetch(`${dev.coreUrl}/admin/v1/${route}`, init)
}

/** Waits until something holds; the test's own timeout is the limit. */
export async function until<T>(look: () => Promise<T | null | undefined | false>, everyMs = 50): Promise<T> {
  for (;;) {
    const seen = await look()
    if (seen) return seen
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

/** Whether a process exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
