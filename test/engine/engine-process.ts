// test/engine/engine-process.ts — starts the real engine as a process on ports of the system's choice, and ends it.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import OpenAI from 'openai'

export const root = join(import.meta.dirname, '../..')
export const mainPath = join(root, 'cli/engine/main.ts')
export const atlasFolder = join(root, 'cli/engine/atlas')

export type EngineProcess = {
  readonly url: string
  readonly controlUrl: string
  readonly child: ChildProcess
  readonly openai: OpenAI
  /** Resolves with the `ready` line. */
  readonly ready: Promise<{ readonly models: readonly string[]; readonly loadMs: number }>
  readonly state: () => Promise<EngineState>
  readonly setFaults: (faults: object) => Promise<void>
  readonly clearFaults: () => Promise<void>
  readonly stop: () => Promise<void>
}

export type EngineState = {
  readonly isReady: boolean
  readonly inFlight: number
  readonly processing: number
  readonly deferred: number
  readonly served: number
  readonly refused: number
  readonly aborted: number
}

/** Resolves when the engine listens; await `ready` before asking it anything. */
export async function startEngine(flags: readonly string[] = []): Promise<EngineProcess> {
  const child = spawn(process.execPath, [mainPath, '--port', '0', '--control-port', '0', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (event: string) => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`the engine ended before it was ${event}`)
    const line = JSON.parse(value)
    if (line.event !== event) throw new Error(`expected ${event}, got ${value}`)
    return line
  }
  const { url, controlUrl } = await next('listening')
  const ready = next('ready')
  // A test that ends the engine before it is ready does not ask for it.
  ready.catch(() => {})
  return {
    url,
    controlUrl,
    child,
    openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 }),
    ready,
    state: async () => (await fetch(`${controlUrl}/state`)).json() as Promise<EngineState>,
    setFaults: async (faults) => {
      const response = await fetch(`${controlUrl}/faults`, { method: 'PUT', body: JSON.stringify(faults) })
      if (response.status !== 200) throw new Error(await response.text())
    },
    clearFaults: async () => void (await (await fetch(`${controlUrl}/faults`, { method: 'DELETE' })).text()),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    },
  }
}

export const model = 'atlas-2.q8_0'
export const asks = (content: string) => [{ role: 'user' as const, content }]
/** Its answer has some 140 tokens: long enough to leave in the middle. */
export const longQuestion = 'Which countries are in Africa?'
/** Metrics by name, without the prefix. */
export async function metricsOf(engine: EngineProcess): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`${engine.url}/metrics`)).text()
  const rows = [...text.matchAll(/^llamacpp:(\w+) (\S+)$/gm)]
  return Object.fromEntries(rows.map(([, name = '', value]) => [name, Number(value)]))
}
