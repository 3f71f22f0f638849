// Which endpoint of the cell gets a request, by the model's strategy, over exact counts. Pure.
// Counts are exact here, so the smallest is really the smallest (docs/design/figures.md).

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { EndpointId, VersionId } from '../../shared/ids.ts'
import type { Affinity, Considered } from '../../shared/wire/ledger.ts'
import type { Strategy } from '../../shared/wire/snapshot.ts'
import { affine } from './affine.ts'
import type { PrefixIndex } from './prefix-index.ts'
import { next, type Smooth } from './smooth.ts'

/** An endpoint that could serve the request, as it is at this moment. */
export type Candidate = {
  readonly id: EndpointId
  readonly version: VersionId
  readonly slots: number
  readonly weight: number
  readonly inFlight: number
  /** What it may have in flight now. */
  readonly cap: number
  /** Requests a second that it gets through when full, as measured, times its weight. */
  readonly rate: number
  readonly prefillMs: number
  /** Back from failure and waiting for the one request that shows whether it is well. */
  readonly onTrial: boolean
  /** Not probed yet: used after those known to be well. */
  readonly unproven: boolean
  /** Out by the breaker or by health: used only in a panic, when nobody else has room. */
  readonly out: boolean
}

export type Picked = {
  readonly id: EndpointId
  /** Whether affinity decided; `left` where it was wanted and gave way. */
  readonly affinity: 'session' | 'prefix' | 'left' | null
  readonly why: string
}

export type Rule = {
  readonly strategy: Strategy
  readonly affinity: Affinity | null
  /** Whether so much of the version is out that the rest must not carry it alone. */
  readonly panic: boolean
  /** A second attempt is not made on trial: its failure would be the caller's. */
  readonly second?: boolean
}

export type Turns = { readonly smooth: Smooth; readonly prefixes: PrefixIndex }

const hasRoom = (candidate: Candidate): boolean => candidate.inFlight < candidate.cap

/**
 * Those among whom the strategy chooses: the well ones with room, else the unproven ones, else in a panic those that are out.
 * Somebody on trial comes first, for his trial is one request and nothing else brings him back; but last for a second attempt.
 */
export function eligible(
  candidates: readonly Candidate[],
  { panic, second = false }: Pick<Rule, 'panic' | 'second'>,
): readonly Candidate[] {
  const within = candidates.filter((candidate) => !candidate.out && hasRoom(candidate))
  const onTrial = within.filter((candidate) => candidate.onTrial)
  if (onTrial.length > 0 && !second) return onTrial
  const well = within.filter((candidate) => !candidate.unproven && !candidate.onTrial)
  if (well.length > 0) return well
  if (within.length > 0 || !panic) return within
  return candidates.filter((candidate) => candidate.out && candidate.inFlight < candidate.slots)
}

/** The endpoint for a request; null when nobody has room. */
export function pick(candidates: readonly Candidate[], rule: Rule, turns: Turns, random: Random): Picked | null {
  const among = eligible(candidates, rule)
  if (among.length === 0) return null
  if (rule.affinity === null) return { ...byStrategy(among, rule.strategy, turns, random), affinity: null }
  // Full ones take part: a key whose endpoint is full goes to the next in its order, and comes back.
  const kept = affine(rule.affinity, candidates.filter((each) => !each.out).map(withTimes), turns.prefixes)
  if ('id' in kept) return { id: kept.id, affinity: kept.how, why: `affinity by ${kept.how}` }
  const picked = byStrategy(among, rule.strategy, turns, random)
  return { ...picked, affinity: 'left', why: `${picked.why}; affinity left: ${kept.left}` }
}

/** Places that it may use now; at least one, for in a panic those are asked that may use none. */
const placesNow = ({ cap }: Candidate): number => Math.max(1, cap)

/** Requests a second that it gets through with these. */
const rateNow = (candidate: Candidate): number => (candidate.rate * placesNow(candidate)) / candidate.slots

const withTimes = (candidate: Candidate) => ({ ...candidate, predictedMs: candidate.prefillMs })

type Choice = Pick<Picked, 'id' | 'why'>

function byStrategy(among: readonly Candidate[], strategy: Strategy, turns: Turns, random: Random): Choice {
  switch (strategy) {
    case 'least-latency':
      return { id: soonest(among, random).id, why: 'least latency' }
    case 'least-connections':
      return { id: least(among, (each) => (each.inFlight + 1) / (placesNow(each) * each.weight), random).id, why: 'least connections' }
    case 'weighted-round-robin': {
      const id = next(
        turns.smooth,
        among.map((each) => ({ id: each.id, weight: rateNow(each) })),
      )
      return { id: id ?? least(among, () => 0, random).id, why: 'its turn' }
    }
    default: {
      const never: never = strategy
      throw new Error(`pick: unknown strategy ${String(never)}`)
    }
  }
}

/**
 * Smallest predicted time to the first token. With room there is no wait, so what remains is the prefill as measured; times that lie
 * within measurement noise of the best are equal, and of equals the one with the least work ahead of it wins: (in flight + 1) / rate
 * of the places it may use now. By all its places an endpoint that turns everybody away at once would always look empty.
 */
function soonest(among: readonly Candidate[], random: Random): Candidate {
  const bestMs = Math.min(...among.map((each) => each.prefillMs))
  const equalMs = bestMs + Math.max(limits.predictedTieMs, limits.predictedTieShare * bestMs)
  return least(
    among.filter((each) => each.prefillMs <= equalMs),
    (each) => (each.inFlight + 1) / rateNow(each),
    random,
  )
}

function least(among: readonly Candidate[], loadOf: (candidate: Candidate) => number, random: Random): Candidate {
  const loads = among.map(loadOf)
  const smallest = Math.min(...loads)
  const best = among.filter((_, index) => loads[index] === smallest)
  // NaN compares with nothing: then any one is as good as another.
  const chosen = best[Math.floor(random() * best.length)] ?? among[0]
  if (!chosen) throw new Error('pick: called without candidates')
  return chosen
}

/** What an explanation says of each candidate. */
export function considered(candidates: readonly Candidate[], picked: EndpointId | null, avoided: readonly EndpointId[]): Considered[] {
  return candidates.map((each) => ({
    endpoint: each.id,
    inFlight: each.inFlight,
    cap: each.cap,
    waitMs: 0,
    prefillMs: each.prefillMs,
    predictedMs: each.prefillMs,
    lost: each.id === picked ? null : reasonOf(each, avoided),
  }))
}

function reasonOf(candidate: Candidate, avoided: readonly EndpointId[]): string {
  if (avoided.includes(candidate.id)) return 'tried already by this request'
  if (candidate.out) return 'out: breaker or health'
  if (!hasRoom(candidate)) return `full: ${candidate.inFlight} of ${candidate.cap}`
  if (candidate.unproven) return 'not proven healthy yet'
  return 'another was predicted sooner or less loaded'
}
