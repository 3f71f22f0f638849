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

/** A runtime process over the second half of the soak. Units: bytes; growth over the whole of that half. */
export type MemoryRow = { readonly process: string; readonly meanRss: number; readonly growth: number; readonly growthMax: number }

/** Garbage comes and goes by a tenth; a leak of a kilobyte a request would be a tenth in half an hour at most loads, and is seen by its slope. */
const growthShareMax = 0.1
/** A small heap moves by more than a tenth when one page of it is touched. */
const growthFloor = 16 * 1024 * 1024

export function memoryRow(process: string, looks: readonly MemoryLook[]): MemoryRow {
  const meanRss = looks.reduce((sum, { rss }) => sum + rss, 0) / Math.max(1, looks.length)
  const overMs = (looks.at(-1)?.atMs ?? 0) - (looks[0]?.atMs ?? 0)
  return {
    process,
    meanRss: Math.round(meanRss),
    growth: Math.round((slopeOf(looks) * overMs) / 60_000),
    growthMax: Math.round(Math.max(growthFloor, growthShareMax * meanRss)),
  }
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
      .map(({ process, growth, growthMax }) => `${process} grew by ${megabytes(growth)}, at most ${megabytes(growthMax)} are noise`),
  ]
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
export const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`
