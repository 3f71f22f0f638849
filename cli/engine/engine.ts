// cli/engine/engine.ts — the state that the main port, the control port and main.ts share, and the figures read off it.
import type { FaultBox } from './fault-box.ts'
import type { Gauges, Tally } from './metrics.ts'
import { modelVersion, type Loaded, type Models } from './models.ts'
import { modelNotFound, no, ok, versionNotFound, type Result } from './refuse.ts'
import type { ModelVersion } from './routes.ts'

export type Engine = {
  readonly models: Models
  readonly faults: FaultBox
  readonly tally: Tally
  /** What a request without a `model` field gets, and what health waits for. */
  readonly firstModel: string
  readonly temperature: number
  /** Clock and chance come in from main.ts. */
  readonly nowMs: () => number
  /** Seconds since 1970, for `created`. */
  readonly timeS: () => number
  readonly newSeed: () => number
  /** Fresh and unguessable, hexadecimal. */
  readonly newNonce: () => string
  readonly log: (line: string) => void
  /** Inference requests that have been accepted and are not over. */
  inFlight: number
  /** Whether the first model has been in memory. */
  isReady: boolean
}

/** As llama.cpp counts them: slots in use, and choices that wait for one. */
export function gauges({ models }: Engine): Gauges {
  const slots = models.loaded().map(({ model }) => model.slots)
  return {
    processing: slots.flatMap((one) => one.busy()).filter((isBusy) => isBusy).length,
    deferred: slots.reduce((sum, one) => sum + one.waiting(), 0),
  }
}

/** A model by name and version, when the path gives one. Refused (404) when it is not in memory, or has another version. */
export function findVersion(engine: Engine, { name, version }: ModelVersion): Result<Loaded> {
  const found = findModel(engine, name)
  return found.ok && version !== null && version !== modelVersion ? no(versionNotFound(name, version)) : found
}

/** The model a request names, or the first one when it names none. Refused (404) when it is not in memory. */
export function findModel({ models, firstModel }: Engine, name: string | null): Result<Loaded> {
  const wanted = name ?? firstModel
  const loaded = models.find(wanted)
  return loaded === null ? no(modelNotFound(wanted)) : ok(loaded)
}
