// cli/engine/faults.ts — what is to go wrong, and whether it does for this request. Pure: chance is an argument. A fault's victim keeps its
// slot until its client leaves, as in a real engine that is stuck.
import * as v from 'valibot'
import { firstProblem, type Problem } from './problem.ts'

export type Faults = {
  /** Added once before every answer of the main port: the network's round trip. */
  readonly latencyMs: number
  /** Share of inference requests answered with `errorStatus`. */
  readonly errorShare: number
  readonly errorStatus: number
  /** After so many errors one after another the next request is spared; null: none is. */
  readonly errorsInARowMax: number | null
  /** Sent with every error as Retry-After, in seconds. */
  readonly retryAfterS: number | null
  /** Work takes this many times as long: reading the prompt, each token, each embedding. */
  readonly slowFactor: number
  /** Share of inference requests that are accepted and never answered. */
  readonly hangBeforeFirstToken: number
  /** An answer that gets this long stops there, with its connection open. */
  readonly stallAfterTokens: number | null
  /** An answer that gets this long loses its connection there. */
  readonly cutAfterTokens: number | null
  /** The health paths answer this instead of the truth. */
  readonly healthStatus: number | null
  /** Added to the health paths only, on top of `latencyMs`. */
  readonly healthLatencyMs: number
  /** The metrics path answers this instead of its page. */
  readonly metricsStatus: number | null
  /** The main port is closed: connections are destroyed and new ones refused. */
  readonly closed: boolean
  /** Models stay in the state LOADING until this is taken away. */
  readonly hangLoad: boolean
}

export const noFaults: Faults = {
  latencyMs: 0,
  errorShare: 0,
  errorStatus: 500,
  errorsInARowMax: null,
  retryAfterS: null,
  slowFactor: 1,
  hangBeforeFirstToken: 0,
  stallAfterTokens: null,
  cutAfterTokens: null,
  healthStatus: null,
  healthLatencyMs: 0,
  metricsStatus: null,
  closed: false,
  hangLoad: false,
}

/** What happens to one request. */
export type Fault =
  | { readonly kind: 'error'; readonly status: number; readonly retryAfterS: number | null }
  | { readonly kind: 'hang' }
  | ({ readonly kind: 'run' } & Pick<Faults, 'slowFactor' | 'stallAfterTokens' | 'cutAfterTokens'>)

/** A minute is longer than any timeout worth trying. */
const latencyMsMax = 60_000
/** A token of 5 ms takes half a second then. */
const slowFactorMax = 100

const range = (least: number, most: number, what: string) =>
  v.pipe(v.number(`must be ${what}`), v.minValue(least, `must be ${what}`), v.maxValue(most, `must be ${what}`))
const whole = (least: number, most: number) => {
  const what = `a whole number from ${least} to ${most}`
  return v.pipe(range(least, most, what), v.integer(`must be ${what}`))
}
const share = range(0, 1, 'a share from 0 to 1')
const flag = v.boolean('must be true or false')

const FaultsBody = v.strictObject({
  latencyMs: v.optional(whole(0, latencyMsMax), noFaults.latencyMs),
  errorShare: v.optional(share, noFaults.errorShare),
  errorStatus: v.optional(whole(400, 599), noFaults.errorStatus),
  errorsInARowMax: v.optional(v.nullable(whole(1, 1_000_000)), noFaults.errorsInARowMax),
  retryAfterS: v.optional(v.nullable(whole(0, 3_600)), noFaults.retryAfterS),
  slowFactor: v.optional(range(1, slowFactorMax, `a number from 1 to ${slowFactorMax}`), noFaults.slowFactor),
  hangBeforeFirstToken: v.optional(
    v.lazy((value) => (typeof value === 'boolean' ? v.pipe(v.boolean(), v.transform(Number)) : share)),
    noFaults.hangBeforeFirstToken,
  ),
  stallAfterTokens: v.optional(v.nullable(whole(1, 1_000_000)), noFaults.stallAfterTokens),
  cutAfterTokens: v.optional(v.nullable(whole(1, 1_000_000)), noFaults.cutAfterTokens),
  healthStatus: v.optional(v.nullable(whole(200, 599)), noFaults.healthStatus),
  healthLatencyMs: v.optional(whole(0, latencyMsMax), noFaults.healthLatencyMs),
  metricsStatus: v.optional(v.nullable(whole(400, 599)), noFaults.metricsStatus),
  closed: v.optional(flag, noFaults.closed),
  hangLoad: v.optional(flag, noFaults.hangLoad),
})

export type ReadFaults = { readonly ok: true; readonly value: Faults } | { readonly ok: false; readonly problem: Problem }

/** The whole set of faults; what `body` leaves out is off. Refused: unknown names, wrong types, values out of range. */
export function readFaults(body: unknown): ReadFaults {
  // To valibot a list is an object too.
  const read = v.safeParse(FaultsBody, Array.isArray(body) ? null : body)
  return read.success ? { ok: true, value: read.output } : { ok: false, problem: firstProblem(read.issues) }
}

/**
 * Decides for one request, `errorsInARow` errors after the last request that had none. Takes two numbers from `chance` whatever is set, so that
 * one setting does not shift another's luck.
 */
export function drawFault(faults: Faults, chance: () => number, errorsInARow = 0): Fault {
  const [errorLuck, hangLuck] = [chance(), chance()]
  const { errorStatus: status, retryAfterS, slowFactor, stallAfterTokens, cutAfterTokens } = faults
  const isSpared = errorsInARow >= (faults.errorsInARowMax ?? Infinity)
  if (errorLuck < faults.errorShare && !isSpared) return { kind: 'error', status, retryAfterS }
  if (hangLuck < faults.hangBeforeFirstToken) return { kind: 'hang' }
  return { kind: 'run', slowFactor, stallAfterTokens, cutAfterTokens }
}

/** What to do with an answer that has `tokens` tokens now. */
export function verdictAfter(fault: Fault, tokens: number): 'go-on' | 'stall' | 'cut' {
  if (fault.kind !== 'run') return 'go-on'
  if (fault.cutAfterTokens !== null && tokens >= fault.cutAfterTokens) return 'cut'
  if (fault.stallAfterTokens !== null && tokens >= fault.stallAfterTokens) return 'stall'
  return 'go-on'
}
