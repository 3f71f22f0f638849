// Seeded traffic as a region's ledger tells it: requests are assigned as the alias says, go bad by chance, and are judged when they end. No
// clock of its own.

import type { VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { Block } from '../../shared/wire/ledger.ts'
import type { Alias } from '../../shared/wire/snapshot.ts'
import { sumUp } from '../../shared/wire/tally.ts'
import { aliasNameOf, noPart, timeClassOf, writeNameOf, type TrialTally } from '../../shared/wire/trial.ts'

/**
 * What becomes of a request: chances of each, and the time to its first token. `broken`: of answers to a schema; absent: nobody asks for one.
 * `leaves`: of callers who go before the first token; absent: nobody could. `endsAfterMs`: when a good one is judged; absent, and a failed one:
 * at once.
 */
export type Behaviour = {
  readonly errors: number
  readonly empty: number
  readonly ttftMs: number
  readonly broken?: number
  readonly leaves?: number
  readonly endsAfterMs?: number
}
export const sound: Behaviour = { errors: 0.01, empty: 0.002, ttftMs: 100 }

/** By version, and where a region has its own, by region and version. */
export type Behaviours = ReadonlyMap<string, Behaviour>

/** Requests that left in the second before `nowMs`. */
export type Second = { readonly alias: Alias; readonly region: string; readonly perS: number; readonly nowMs: number }

export class Traffic {
  readonly #random: Random
  readonly #behaviours: Behaviours
  #ends: { readonly atMs: number; readonly region: string; readonly tally: TrialTally }[] = []

  constructor(random: Random, behaviours: Behaviours) {
    this.#random = random
    this.#behaviours = behaviours
  }

  /** What there is to tell of a second: departures, and ends of now and before. */
  tell(second: Second): readonly TrialTally[] {
    const { region, perS, nowMs } = second
    const sums = new Map<string, TrialTally>()
    const requests = Math.floor(perS) + (this.#random() < perS % 1 ? 1 : 0)
    for (let number = 0; number < requests; number++) {
      for (const tally of this.#serve(second)) sumUp(sums, tally, limits.trialsHeldMax)
    }
    const isDue = (end: { readonly atMs: number; readonly region: string }): boolean => end.region === region && end.atMs <= nowMs
    for (const { tally } of this.#ends.filter(isDue)) sumUp(sums, tally, limits.trialsHeldMax)
    this.#ends = this.#ends.filter((end) => !isDue(end))
    return [...sums.values()]
  }

  /** One request, and its copy where one is sent. */
  #serve(second: Second): readonly TrialTally[] {
    const { alias } = second
    // As even as the hash is (test/sim/rollout-assignment.test.ts), and without waiting for one.
    const bucket = Math.floor(this.#random() * 10_000)
    const isCanary = alias.canary !== null && bucket < alias.weightBp
    const version = isCanary && alias.canary !== null ? alias.canary : alias.stable
    const own = this.#attempt(second, version, false)
    const isCopied = !isCanary && alias.canary !== null && this.#random() * 10_000 < alias.shadowBp
    return isCopied && alias.canary !== null ? [own, this.#attempt(second, alias.canary, true)] : [own]
  }

  /** The tally of its departure; with it that of its end, unless that comes later. */
  #attempt({ alias, region, nowMs }: Second, version: VersionId, shadow: boolean): TrialTally {
    const behaviour = this.#behaviours.get(`${region} ${version}`) ?? this.#behaviours.get(version) ?? sound
    const left: TrialTally = {
      alias: aliasNameOf(alias.environment, alias.model),
      version,
      write: writeNameOf(alias.write),
      slotMs: Math.floor((nowMs - 1_000) / limits.rolloutBlockMs) * limits.rolloutBlockMs,
      shadow,
      arrived: 1,
      judged: 0,
      hardErrors: 0,
      empty: noPart,
      schema: noPart,
      earlyAborts: noPart,
      ttft: {},
      tpot: {},
      compared: null,
    }
    const { endsAfterMs, leaves } = behaviour
    const earlyAborts = leaves === undefined || shadow ? noPart : { of: 1, bad: this.#random() < leaves ? 1 : 0 }
    const end = { ...this.#endOf(behaviour), earlyAborts }
    if (endsAfterMs === undefined || end.hardErrors > 0) return { ...left, ...end }
    this.#ends.push({ atMs: nowMs + endsAfterMs, region, tally: { ...left, ...end, arrived: 0 } })
    return left
  }

  #endOf({ errors, empty, ttftMs, broken }: Behaviour): Pick<TrialTally, 'judged' | 'hardErrors' | 'empty' | 'schema' | 'ttft'> {
    const isError = this.#random() < errors
    const isEmpty = this.#random() < empty
    const isBroken = broken !== undefined && this.#random() < broken
    // A tail, so that a percentile means something.
    const tookMs = ttftMs * (1 - Math.log(1 - this.#random()))
    return {
      judged: 1,
      hardErrors: isError ? 1 : 0,
      empty: { of: 1, bad: isEmpty ? 1 : 0 },
      schema: broken === undefined ? noPart : { of: 1, bad: isBroken ? 1 : 0 },
      ttft: isError ? {} : { [timeClassOf(tookMs)]: 1 },
    }
  }
}

/** A ledger's block that tells of trials alone. */
export const blockOf = (seq: number, trials: readonly TrialTally[], untilMs: number): Block => ({
  seq,
  fromMs: untilMs - 1_000,
  untilMs,
  endpoints: {},
  arrivals: {},
  roundTrips: {},
  ways: {},
  trials,
})
