// cli/engine/main.ts — the model server's process: reads the flags, opens the ports, loads the first model, and ends when told to or when its
// parent is gone. It listens before it loads, so that /health can say 503.
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { openControl } from './control.ts'
import { openDoor } from './door.ts'
import type { Engine } from './engine.ts'
import { openFaultBox } from './fault-box.ts'
import { readFlags, usage, type Flags } from './flags.ts'
import { fileOf, nameOf } from './gguf.ts'
import { startLlama, type OpenModel } from './llama.ts'
import { newTally } from './metrics.ts'
import { checkGguf, openModels } from './models.ts'
import { openServer } from './server.ts'

const host = '127.0.0.1'
const log = (line: string): boolean => process.stderr.write(`engine: ${line}\n`)
const announce = (event: object): boolean => process.stdout.write(`${JSON.stringify(event)}\n`)

async function main(): Promise<void> {
  const startMs = performance.now()
  const read = readFlags(process.argv.slice(2))
  if (read.kind === 'help') return void process.stdout.write(`${usage}\n`)
  if (read.kind === 'usage') return stop(2, `${read.message} (--help lists the flags)`)
  const { flags } = read
  endWithParent()
  try {
    const files = await locate(flags)
    const engine = openEngine(flags, files)
    const server = openServer(engine)
    const url = await listen(server, flags.port)
    const door = openDoor(server)
    await door.setOpen(!flags.faults.closed)
    const controlUrl = flags.controlPort === null ? null : await listen(openControl(engine, door), flags.controlPort)
    announce({ event: 'listening', url, controlUrl, pid: process.pid })
    const loadStartMs = performance.now()
    const loaded = await engine.models.load(files.name)
    if (!loaded.ok) return stop(1, loadFailure(loaded.refusal.body))
    engine.isReady = true
    const models = engine.models.loaded().map((one) => one.model.name)
    const nowMs = performance.now()
    announce({ event: 'ready', models, loadMs: Math.round(nowMs - loadStartMs), startMs: Math.round(nowMs - startMs) })
  } catch (error) {
    stop(1, error instanceof Error ? error.message : String(error))
  }
}

type Files = { readonly repository: string; readonly path: string; readonly name: string }

/** Throws, in words for the person at the terminal, when the folder or the file is not there or is no model. */
async function locate(flags: Flags): Promise<Files> {
  const name = nameOf(flags.model)
  const repository = resolve(flags.repository ?? (name === null ? join(import.meta.dirname, 'atlas') : dirname(flags.model)))
  if (statSync(repository, { throwIfNoEntry: false })?.isDirectory() !== true) throw new Error(`there is no folder ${repository}`)
  if (name === null && /[/\\]/.test(flags.model)) throw new Error(`--model ${flags.model} is neither a name nor a path to a .gguf file`)
  const path = name === null ? join(repository, fileOf(flags.model)) : resolve(flags.model)
  await checkGguf(path)
  return { repository, path, name: name ?? flags.model }
}

function openEngine(flags: Flags, { repository, path, name }: Files): Engine {
  const tally = newTally()
  const faults = openFaultBox(flags.faults, flags.faultSeed)
  const { slots, contextTokensMax, queueMax: waitingMax, modelsMax, unloadWaitMs } = flags
  let llama: Promise<OpenModel> | null = null
  const openModel = (): Promise<OpenModel> => (llama ??= startLlama({ slots, contextTokensMax, waitingMax }, tally))
  return {
    models: openModels({ repository, firstPath: path, modelsMax, unloadWaitMs }, { openModel, untilLoadMayGo: faults.untilLoadMayGo }),
    faults,
    tally,
    firstModel: name,
    temperature: flags.temperature,
    nowMs: () => performance.now(),
    timeS: () => Math.floor(Date.now() / 1000),
    newSeed: () => randomInt(2 ** 32),
    newNonce: () => randomBytes(16).toString('hex'),
    log,
    inFlight: 0,
    isReady: false,
  }
}

/** Returns the server's address. Throws when the port is taken. */
async function listen(server: Server, port: number): Promise<string> {
  try {
    await once(server.listen(port, host), 'listening')
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    throw new Error(isTaken ? `port ${port} is in use` : `port ${port} cannot be opened`, { cause: error })
  }
  return `http://${host}:${(server.address() as AddressInfo).port}`
}

function loadFailure(body: unknown): string {
  return typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : 'the model cannot be loaded'
}

/** A parent that started this process with a channel ends it by going away, however it goes. */
function endWithParent(): void {
  if (process.channel !== undefined) process.on('disconnect', () => process.exit(0))
}

function stop(code: number, message: string): void {
  log(message.split('\n')[0] ?? '')
  process.exit(code)
}

// Requests in flight are cut: whoever ends a server has stopped sending to it.
process.on('SIGTERM', () => process.exit(0))
process.on('SIGINT', () => process.exit(0))
// A reader that went away must not end the server.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

await main()
