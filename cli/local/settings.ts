// What `npm start` was asked for: arguments and environment, checked before anything is started.

import { basename, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Stop } from './stop.ts'

export type Settings = {
  readonly edgePort: number
  readonly corePort: number
  /** Path of a .gguf file. */
  readonly modelPath: string
  /** What clients call the model. */
  readonly model: string
  /** Requests an engine decodes together. */
  readonly slots: number
  /** Models that an engine has in memory at once. */
  readonly modelsMax: number
  /** Forget what was stored before. */
  readonly fresh: boolean
  /** Give the ledger objects a process of their own, so that they can go away while edge and core stay. */
  readonly ledgersApart: boolean
  /** Isolates of the edge: the first has its port, each other one of its own. */
  readonly isolates: number
}

export const usage = `Runs the whole platform on this machine: edge, core, and three regions with real model servers.

  npm start                 start it (Ctrl-C ends it)
  npm start -- --fresh      forget what was stored before

  EDGE_PORT=8787            port of the public API
  CORE_PORT=8788            port of the admin API
  ISOCHRONE_MODEL=x.gguf    serve another model than atlas
  ISOCHRONE_HOME=.isochrone keep state, logs and dev.json elsewhere
  ISOCHRONE_LEDGERS=apart   ledgers in a process of their own, to try what happens without them
  ISOCHRONE_ISOLATES=1      isolates of the edge, each with what it alone knows; dev.json has their addresses
  ISOCHRONE_INSPECT=1       the runtimes take debuggers; dev.json has their addresses`

const root = resolve(import.meta.dirname, '../..')

/** Reads arguments and environment. Throws Stop with what is wrong. Returns null when only help was asked for. */
export function readSettings(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Settings | null {
  const flags = readFlags(args)
  if (flags.help) return null
  const own = env['ISOCHRONE_MODEL']
  const edgePort = readPort('EDGE_PORT', env['EDGE_PORT'], 8787)
  const corePort = readPort('CORE_PORT', env['CORE_PORT'], 8788)
  if (edgePort === corePort) throw new Stop(`EDGE_PORT and CORE_PORT are both ${edgePort}. Give them different ports.`)
  return {
    edgePort,
    corePort,
    modelPath: own ? resolve(own) : resolve(root, 'cli/engine/atlas/atlas-2.q8_0.gguf'),
    model: own ? slugOf(basename(own, '.gguf')) : 'atlas',
    // atlas needs 4 MB; a model somebody brings may need gigabytes, and each sequence its share of them.
    slots: own ? 4 : 16,
    // All files that come with the engine, so that any of them can be rolled out; of one's own, stable and canary.
    modelsMax: own ? 2 : 5,
    fresh: flags.fresh,
    ledgersApart: areLedgersApart(env),
    isolates: readIsolates(env['ISOCHRONE_ISOLATES']),
  }
}

/** Two cores have no use for more. */
const isolatesMax = 8

function readIsolates(text: string | undefined): number {
  const isolates = Number(text || 1)
  if (Number.isInteger(isolates) && isolates >= 1 && isolates <= isolatesMax) return isolates
  throw new Stop(`ISOCHRONE_ISOLATES=${text} is not a number from 1 to ${isolatesMax}.`, 2)
}

/** Throws Stop for any other word. */
export function areLedgersApart(env: Readonly<Record<string, string | undefined>>): boolean {
  const asked = env['ISOCHRONE_LEDGERS'] || 'edge'
  if (asked !== 'apart' && asked !== 'edge') throw new Stop(`ISOCHRONE_LEDGERS=${asked} is neither "edge" nor "apart".`, 2)
  return asked === 'apart'
}

function readFlags(args: readonly string[]): { readonly fresh: boolean; readonly help: boolean } {
  try {
    const { values } = parseArgs({ args: [...args], options: { fresh: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } })
    return { fresh: values.fresh ?? false, help: values.help ?? false }
  } catch (cause) {
    throw new Stop(`${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)} (npm start -- --help lists what there is)`, 2)
  }
}

function readPort(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined || text === '') return otherwise
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw new Stop(`${name}=${text} is not a port. Use a number from 1 to 65535.`, 2)
  return port
}

/** A name for the model that fits the admin API: lower case, digits, dots, dashes. */
export const slugOf = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
    .slice(0, 60) || 'model'
