// What the versions of an alias did, as isolates count it, ledgers sum it and core judges by it: by version, by the write of the alias that
// assigned the request, and by the ten seconds in which it left for an endpoint. Sums of differences: told once, exactly (Block), and added up.
//
// A request is counted twice: when it leaves for an endpoint (`arrived`), and when what became of it is certain (`judged`): at its end, or
// when limits.trialJudgeMs have passed since it left, whichever is first, in every arm by the same rule. A slot is whole when both are equal.

import type { Environment, ModelName, RolloutId, VersionId } from '../ids.ts'

/** `<environment>/<model>`. */
export type AliasName = string & { readonly brand?: 'alias' }
export const aliasNameOf = (environment: Environment, model: ModelName): AliasName => `${environment}/${model}`

/** Which write of the alias assigned a request: that of a rollout's generation; '' where a person wrote it. */
export type WriteName = string
export const writeNameOf = (write: { readonly id: RolloutId; readonly generation: number } | null): WriteName =>
  write ? `${write.id}:${write.generation}` : ''

/** Requests to which a metric applies, and how many of them were bad. */
export type Part = { readonly of: number; readonly bad: number }

/** How many values fell into each class of time (timeClassOf), by its number as text. */
export type Times = Readonly<Record<string, number>>

/** Copies to the canary whose answers were compared with stable's. */
export type Compared = {
  readonly of: number
  /** One of the two failed, and the other did not. */
  readonly errorsDiffer: number
  /** Deterministic requests (temperature 0), and how many of them had the same text. */
  readonly deterministic: number
  readonly same: number
  /** Generated tokens of both, over all that were compared. */
  readonly tokensStable: number
  readonly tokensCanary: number
  /** Time to the whole answer of both, likewise. */
  readonly tookMsStable: number
  readonly tookMsCanary: number
}

export type TrialTally = {
  readonly alias: AliasName
  readonly version: VersionId
  readonly write: WriteName
  /**
   * Begin of the ten seconds (limits.rolloutBlockMs) in which it left for its first endpoint, or was refused for want of one, by the isolate's
   * clock. Not when it came: what has waited in a queue, or for its body, would be told when its slot is judged already.
   */
  readonly slotMs: number
  /** Copies that were sent after the answer, and reached nobody. */
  readonly shadow: boolean
  readonly arrived: number
  readonly judged: number
  /** An attempt failed hard, whether or not another saved the request; or nobody of the version could be asked. */
  readonly hardErrors: number
  /** Nothing, or a broken piece, where an answer was due. */
  readonly empty: Part
  /** Of requests that named a schema, or asked for JSON. */
  readonly schema: Part
  /** The caller left before the first token. */
  readonly earlyAborts: Part
  /** Times to the first token of streams, and of whole answers the whole time, in classes. */
  readonly ttft: Times
  /** Mean times between tokens. */
  readonly tpot: Times
  readonly compared: Compared | null
}

export const noPart: Part = { of: 0, bad: 0 }

/** Two tallies of one identity are summed. */
export const identityOf = ({ alias, version, write, slotMs, shadow }: TrialTally): string =>
  JSON.stringify([alias, version, write, slotMs, shadow])

export function addTally(a: TrialTally, b: TrialTally): TrialTally {
  return {
    ...a,
    arrived: a.arrived + b.arrived,
    judged: a.judged + b.judged,
    hardErrors: a.hardErrors + b.hardErrors,
    empty: addPart(a.empty, b.empty),
    schema: addPart(a.schema, b.schema),
    earlyAborts: addPart(a.earlyAborts, b.earlyAborts),
    ttft: addTimes(a.ttft, b.ttft),
    tpot: addTimes(a.tpot, b.tpot),
    compared: a.compared && b.compared ? addCompared(a.compared, b.compared) : (a.compared ?? b.compared),
  }
}

export const addPart = (a: Part, b: Part): Part => ({ of: a.of + b.of, bad: a.bad + b.bad })

export function addTimes(a: Times, b: Times): Times {
  const sum: Record<string, number> = { ...a }
  for (const [name, count] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + count
  return sum
}

export const addCompared = (a: Compared, b: Compared): Compared => ({
  of: a.of + b.of,
  errorsDiffer: a.errorsDiffer + b.errorsDiffer,
  deterministic: a.deterministic + b.deterministic,
  same: a.same + b.same,
  tokensStable: a.tokensStable + b.tokensStable,
  tokensCanary: a.tokensCanary + b.tokensCanary,
  tookMsStable: a.tookMsStable + b.tookMsStable,
  tookMsCanary: a.tookMsCanary + b.tookMsCanary,
})

// ---- Classes of time ----

/** Each class is a seventh wider than the one before: fine enough for a percentile, and a hundred of them reach from a millisecond to days. */
const factor = 1.15
const classes = 128

/** The class of a time in milliseconds: class n holds what is above `factor`^(n-1) and at most `factor`^n ms; 0 all up to 1 ms. */
export function timeClassOf(ms: number): number {
  if (!(ms > 1)) return 0
  return Math.min(classes - 1, Math.ceil(Math.log(ms) / Math.log(factor) - 1e-9))
}

/** The largest time of a class, in milliseconds. */
export const classMsMax = (timeClass: number): number => factor ** timeClass

/** How many values there are, and how many of them lie in classes above this one. */
export function above(times: Times, timeClass: number): Part {
  let [of, bad] = [0, 0]
  for (const [name, count] of Object.entries(times)) {
    of += count
    if (Number(name) > timeClass) bad += count
  }
  return { of, bad }
}

/** The class in which this part of the values lies (0.95: nearest rank); null without a value. */
export function classAt(times: Times, part: number): number | null {
  const sorted = Object.entries(times).toSorted(([a], [b]) => Number(a) - Number(b))
  const all = sorted.reduce((sum, [, count]) => sum + count, 0)
  if (all === 0) return null
  let seen = 0
  for (const [name, count] of sorted) {
    seen += count
    if (seen >= Math.ceil(part * all)) return Number(name)
  }
  return null
}
