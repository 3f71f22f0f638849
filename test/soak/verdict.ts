// What a soak proves, from what was seen: every failed request is explained by a fault that was on, each fault costs no more than it may,
// nothing is left in flight, memory is flat. Pure.

import type { Sample } from '../support/load.ts'
import { failed, tally } from '../support/samples.ts'
import type { Fault } from './faults.ts'
import { slopeOf, type MemoryLook } from './memory.ts'

/** A fault as it was really on, by the clock of the samples. */
export type Spell = { readonly fault: Pick<Fault, 'name' | 'explains' | 'servedMin'>; readonly onAtMs: number; readonly offAtMs: number }

/** What a fault did may come to light this much later: requests have their time, and answers that were held back theirs. */
export const graceMs = 3_000

/** The fault that explains a failure: it was on while the request was under way, and such a failure can come of it. */
export const explanationOf = (sample: Sample, spells: readonly Spell[]): Spell | null =>
  spells.find(
    ({ fault, onAtMs, offAtMs }) =>
      sample.failure !== null &&
      fault.explains.includes(sample.failure) &&
      sample.sentAtMs <= offAtMs + graceMs &&
      sample.endAtMs >= onAtMs,
  ) ?? null

export type SpellRow = {
  readonly fault: string
  readonly onAtMs: number
  readonly offAtMs: number
  readonly requests: number
  readonly failures: Readonly<Record<string, number>>
  readonly served: number
  readonly servedMin: number
}

/** One fault's stretch of the load. */
export function rowOf({ fault, onAtMs, offAtMs }: Spell, samples: readonly Sample[]): SpellRow {
  const during = samples.filter(({ sentAtMs }) => sentAtMs >= onAtMs && sentAtMs < offAtMs)
  const failures = failed(during)
  return {
    fault: fault.name,
    onAtMs,
    offAtMs,
    requests: during.length,
    failures: tally(failures.map(({ failure }) => failure ?? '')),
    served: during.length === 0 ? 1 : 1 - failures.length / during.length,
    servedMin: fault.servedMin,
  }
}

/** Memory over the second half of the soak. Units: bytes; growth over the whole of that half. */
export type MemoryRow = { readonly of: string; readonly mean: number; readonly growth: number; readonly growthMax: number }

const mb = 1024 * 1024
/** Of a process: what is collected once a minute comes and goes by about a twentieth. */
const growthShareMax = 0.1
/**
 * Of a heap, by what is alive in it: the runtime keeps the last thousand log lines for whoever looks at it, a kilobyte each, and they may all
 * be of the second half. A leak of that size for each request would come on top of it.
 */
const heapGrowthMax = 1.5 * mb

/** A process by the slope of its resident set. */
export function processRow(of: string, looks: readonly MemoryLook[]): MemoryRow {
  const mean = looks.reduce((sum, { rss }) => sum + rss, 0) / Math.max(1, looks.length)
  const overMs = (looks.at(-1)?.atMs ?? 0) - (looks[0]?.atMs ?? 0)
  return {
    of,
    mean: Math.round(mean),
    growth: Math.round((slopeOf(looks) * overMs) / 60_000),
    growthMax: Math.round(growthShareMax * mean),
  }
}

/** A heap by its first and last look: what was alive after a collection is exact. */
export function heapRow(of: string, bytes: readonly number[]): MemoryRow {
  const mean = bytes.reduce((sum, each) => sum + each, 0) / Math.max(1, bytes.length)
  return { of, mean: Math.round(mean), growth: (bytes.at(-1) ?? 0) - (bytes[0] ?? 0), growthMax: heapGrowthMax }
}

export type Seen = {
  readonly samples: readonly Sample[]
  readonly spells: readonly Spell[]
  /** Requests in flight by ledger after the load, those of more than none. */
  readonly left: Readonly<Record<string, number>>
  readonly memory: readonly MemoryRow[]
}

/** What is wrong, a sentence each; empty when all is well. */
export function faultsFound({ samples, spells, left, memory }: Seen): readonly string[] {
  const unexplained = failed(samples).filter((sample) => explanationOf(sample, spells) === null)
  const costly = spells.map((spell) => rowOf(spell, samples)).filter(({ served, servedMin }) => served < servedMin)
  return [
    ...unexplained
      .slice(0, 20)
      .map(
        ({ sentAtMs, kind, failure, endpoint }) => `unexplained at ${new Date(sentAtMs).toISOString()}: ${kind} ${failure} (${endpoint})`,
      ),
    ...(unexplained.length > 20 ? [`... and ${unexplained.length - 20} more that nothing explains`] : []),
    ...costly.map(
      ({ fault, served, servedMin }) => `${fault}: only ${percent(served)} served, at least ${percent(servedMin)} are expected`,
    ),
    ...Object.entries(left).map(([ledger, count]) => `${ledger} still counts ${count} in flight`),
    ...memory
      .filter(({ growth, growthMax }) => growth > growthMax)
      .map(({ of, growth, growthMax }) => `${of} grew by ${megabytes(growth)}, at most ${megabytes(growthMax)} are noise`),
  ]
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
export const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`
