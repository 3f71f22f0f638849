// cli/engine/flags.ts — the command line: every flag, its bounds and its default. Pure; a bad flag is a sentence, not an exit.
import { parseArgs } from 'node:util'
import { readFaults, type Faults } from './faults.ts'

export type Flags = {
  /** Null: the folder of the model's file, or the models that come with the engine. */
  readonly repository: string | null
  /** A name in the repository, or a path to a .gguf file. */
  readonly model: string
  readonly port: number
  readonly controlPort: number | null
  readonly slots: number
  readonly contextTokensMax: number
  readonly queueMax: number
  readonly modelsMax: number
  readonly unloadWaitMs: number
  readonly temperature: number
  readonly faultSeed: number
  readonly faults: Faults
}

export type ReadFlags =
  | { readonly kind: 'flags'; readonly flags: Flags }
  | { readonly kind: 'help' }
  | { readonly kind: 'usage'; readonly message: string }

export const usage = `usage: node cli/engine/main.ts [flags]

  --repository <folder>           folder of .gguf files (default: the folder of --model, else cli/engine/atlas)
  --model <name or path.gguf>     loaded first, and used when a request names none (default: atlas-2.q8_0)
  --port <port>                   0 lets the system choose (default: 9001)
  --control-port <port>           opens the control port; 0 lets the system choose (default: none)
  --slots <1-64>                  sequences decoded together, per model (default: 4)
  --context <tokens>              most tokens per sequence; never above what the model was trained on (default: 4096)
  --queue-max <0-10000>           requests that may wait, per model (default: 64)
  --models-max <1-16>             models in memory at once (default: 3)
  --unload-wait-ms <ms>           how long an unload waits for running requests (default: 10000)
  --temperature <0-2>             for requests that give none (default: 0, greedy)

faults, also set on the control port:
  --latency-ms, --error-share, --error-status, --errors-in-a-row-max, --retry-after-s, --slow-factor,
  --hang-before-first-token, --stall-after-tokens, --cut-after-tokens, --health-status, --health-latency-ms,
  --metrics-status, --closed, --hang-load, --fault-seed`

/** Flags of faults that take a number; --closed and --hang-load take none. The field's name is the flag's in camel case. */
const faultFlags = [
  'latency-ms',
  'error-share',
  'error-status',
  'errors-in-a-row-max',
  'retry-after-s',
  'slow-factor',
  'hang-before-first-token',
  'stall-after-tokens',
  'cut-after-tokens',
  'health-status',
  'health-latency-ms',
  'metrics-status',
] as const

const text = { type: 'string' } as const
const options = {
  repository: text,
  model: text,
  port: text,
  'control-port': text,
  slots: text,
  context: text,
  'queue-max': text,
  'models-max': text,
  'unload-wait-ms': text,
  temperature: text,
  'fault-seed': text,
  closed: { type: 'boolean' },
  'hang-load': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  ...(Object.fromEntries(faultFlags.map((name) => [name, text])) as Record<(typeof faultFlags)[number], typeof text>),
} as const

type Values = ReturnType<typeof parse>
const parse = (args: readonly string[]) => parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values

/** A flag whose value cannot be used; caught in this file. */
class UsageError extends Error {}

/** Reads the arguments that follow the script's name. */
export function readFlags(args: readonly string[]): ReadFlags {
  try {
    const values = parse(args)
    return values.help === true ? { kind: 'help' } : { kind: 'flags', flags: flagsOf(values) }
  } catch (error) {
    const isUsage = error instanceof UsageError || (error instanceof TypeError && 'code' in error)
    if (!isUsage) throw error
    return { kind: 'usage', message: error.message.split('\n')[0] ?? '' }
  }
}

function flagsOf(values: Values): Flags {
  const whole = (name: Exclude<keyof Values, number | symbol>, least: number, most: number, otherwise: number): number => {
    const value = numberOf(name, values[name]) ?? otherwise
    if (Number.isInteger(value) && value >= least && value <= most) return value
    throw new UsageError(`--${name} must be a whole number from ${least} to ${most}`)
  }
  const temperature = numberOf('temperature', values.temperature) ?? 0
  if (temperature < 0 || temperature > 2) throw new UsageError('--temperature must be from 0 to 2')
  return {
    repository: values.repository ?? null,
    model: values.model ?? 'atlas-2.q8_0',
    port: whole('port', 0, 65_535, 9001),
    controlPort: values['control-port'] === undefined ? null : whole('control-port', 0, 65_535, 0),
    slots: whole('slots', 1, 64, 4),
    contextTokensMax: whole('context', 16, 1_048_576, 4096),
    queueMax: whole('queue-max', 0, 10_000, 64),
    modelsMax: whole('models-max', 1, 16, 3),
    unloadWaitMs: whole('unload-wait-ms', 0, 600_000, 10_000),
    temperature,
    faultSeed: whole('fault-seed', 0, 4_294_967_295, 1),
    faults: faultsOf(values),
  }
}

function faultsOf(values: Values): Faults {
  const given = faultFlags.map((name) => [camelCase(name), numberOf(name, values[name])] as const).filter(([, value]) => value !== null)
  const flags = { closed: values.closed ?? false, hangLoad: values['hang-load'] ?? false }
  const read = readFaults({ ...Object.fromEntries(given), ...flags })
  if (read.ok) return read.value
  const { message, param } = read.problem
  throw new UsageError(param === null ? message : message.replace(`Invalid '${param}':`, `--${kebabCase(param)}`))
}

function numberOf(name: string, value: string | boolean | undefined): number | null {
  if (typeof value !== 'string') return null
  const number = value.trim() === '' ? Number.NaN : Number(value)
  if (Number.isFinite(number)) return number
  throw new UsageError(`--${name} must be a number`)
}

const camelCase = (name: string): string => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
