// The model servers of the local platform: one process per region, each with its round trip.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { startChild, type Child } from './children.ts'
import { regions, type LocalRegion } from './regions.ts'
import type { Settings } from './settings.ts'
import { Stop } from './stop.ts'

export type RunningEngine = {
  readonly region: LocalRegion
  readonly child: Child
  readonly engineUrl: string
  readonly controlUrl: string
  /** What the engine calls its model. */
  readonly servedName: string
}

/** Loading a model of several gigabytes takes a while on a slow disk. */
const readyMsMax = 120_000

/** The file's digest as the registry writes it. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

/** Throws Stop when the model's file is missing or no GGUF. */
export async function checkGguf(path: string): Promise<void> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new Stop(`the model ${path} cannot be read (${cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)}).`)
  })
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
    if (bytesRead < 4 || buffer.toString('latin1') !== 'GGUF') throw new Stop(`${path} is not a GGUF file.`)
  } finally {
    await file.close()
  }
}

/** Starts one engine per region and waits until all have loaded the model. Throws Stop with the engine's own reason. */
export function startEngines(settings: Settings): Promise<readonly RunningEngine[]> {
  return Promise.all(regions.map((region) => startEngine(region, settings)))
}

async function startEngine(region: LocalRegion, settings: Settings): Promise<RunningEngine> {
  const child = startChild(`engine-${region.name}`, 'cli/engine/main.ts', [
    `--repository=${dirname(settings.modelPath)}`,
    `--model=${settings.modelPath}`,
    '--port=0',
    '--control-port=0',
    `--slots=${settings.slots}`,
    `--models-max=${settings.modelsMax}`,
    `--latency-ms=${region.roundTripMs}`,
  ])
  const listening = await announced(child, region)
  return { region, child, ...listening, servedName: basename(settings.modelPath, '.gguf') }
}

/** Waits for the engine's two lines: its addresses, then that it is ready. */
function announced(child: Child, region: LocalRegion): Promise<{ readonly engineUrl: string; readonly controlUrl: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly engineUrl: string; readonly controlUrl: string }>()
  const late = setTimeout(
    () => reject(new Stop(`the engine of ${region.name} was not ready after ${readyMsMax / 1000} s. Its log: ${child.log.path}`)),
    readyMsMax,
  )
  let urls: { readonly engineUrl: string; readonly controlUrl: string } | null = null
  let said = ''
  let text = ''
  child.process.stderr?.on('data', (chunk: Buffer) => (said = chunk.toString().trim().split('\n').at(-1) ?? said))
  child.process.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const event = readEvent(line)
      if (event?.event === 'listening') urls = { engineUrl: event.url, controlUrl: event.controlUrl }
      if (event?.event === 'ready' && urls) resolve(urls)
    }
  })
  void child.exited.then((how) =>
    reject(new Stop(`the engine of ${region.name} ended while starting (${how}): ${said || 'it gave no reason'}`)),
  )
  return promise.finally(() => clearTimeout(late))
}

type EngineEvent = { readonly event: string; readonly url: string; readonly controlUrl: string }

function readEvent(line: string): EngineEvent | null {
  try {
    return JSON.parse(line) as EngineEvent
  } catch {
    return null
  }
}
