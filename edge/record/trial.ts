// What a request tells of the version that it was assigned to: that it left, and what had become of it at its end, or when so long had passed
// since then that it counts as it stands. In every arm by the same rule, or the faster version would be judged by other requests than the
// slower. A caller who leaves, asks for what cannot be, or sets a deadline of his own says nothing against the version. Pure.

import { limits } from '../../shared/limits.ts'
import type { InferenceRefusal } from '../../shared/refusal.ts'
import { noPart, timeClassOf, type Part, type Times, type TrialTally } from '../../shared/wire/trial.ts'
import type { Admitted, Attempt, Ended } from '../facts.ts'

/** A request and the assignment that it is counted for. */
export type Trial = {
  /** When it left for an endpoint, or was refused for want of one. */
  readonly leftAtMs: number
  readonly assigned: Pick<Admitted, 'assignment' | 'version'>
}

/** What is known of a request at the moment at which it is judged. */
export type Judged = {
  /** Whether a stream was asked for. */
  readonly stream: boolean
  readonly failed: readonly Pick<Attempt, 'outcome'>[]
  /** Why it got no answer, by a refusal's reason or a bug of ours; null when it has one, or none yet. */
  readonly refused: InferenceRefusal['reason'] | 'bug' | null
  /** The answer; null when there is none, or none yet. */
  readonly served: {
    /** From when it left to the first token of a stream, or to the whole of an answer in one piece; until now while there is none. */
    readonly ttfbMs: number
    /** From when it left until now. */
    readonly tookMs: number
    /** null while it still flows. */
    readonly ended: Ended | null
  } | null
}

/** The request has left for an endpoint, or was refused for want of one. */
export const arrivalOf = (trial: Trial): TrialTally => ({ ...blank(trial), arrived: 1 })

/** What became of it. */
export function judgementOf(trial: Trial, judged: Judged): TrialTally {
  const ended = judged.served?.ended ?? null
  // A piece that the caller, or his deadline, broke off says nothing.
  const sense = ended?.how === 'complete' || ended?.how === 'upstream_failed' ? ended.sense : null
  return {
    ...blank(trial),
    judged: 1,
    hardErrors: isHardError(judged) ? 1 : 0,
    empty: sense ? one(sense.empty) : noPart,
    schema: sense && sense.schema !== null ? one(!sense.schema) : noPart,
    earlyAborts: judged.stream ? one(leftEarly(judged)) : noPart,
    ttft: times(ttftMs(judged)),
    tpot: times(tpotMs(judged)),
  }
}

const blank = ({ leftAtMs, assigned }: Trial): TrialTally => ({
  alias: assigned.assignment.alias,
  version: assigned.version,
  write: assigned.assignment.write,
  slotMs: Math.floor(leftAtMs / limits.rolloutBlockMs) * limits.rolloutBlockMs,
  shadow: false,
  arrived: 0,
  judged: 0,
  hardErrors: 0,
  empty: noPart,
  schema: noPart,
  earlyAborts: noPart,
  ttft: {},
  tpot: {},
  compared: null,
})

const one = (bad: boolean): Part => ({ of: 1, bad: bad ? 1 : 0 })

const times = (ms: number | null): Times => (ms === null ? {} : { [timeClassOf(ms)]: 1 })

/** Refusals that are the version's failing, or the platform's. */
const failings: ReadonlySet<Judged['refused']> = new Set<InferenceRefusal['reason']>([
  'no_endpoint',
  'no_healthy_endpoint',
  'no_capacity',
  'upstream_unreachable',
  'upstream_timeout',
  'upstream_failed',
  'upstream_busy',
  'upstream_stalled',
])

/** Also where another attempt saved the request: the version has failed it once. */
const isHardError = ({ failed, refused, served }: Judged): boolean =>
  failed.some(({ outcome }) => outcome === 'hard_failure') || failings.has(refused) || served?.ended?.how === 'upstream_failed'

/** A stream in which no token was seen knows of no gap between two. */
const leftEarly = ({ refused, served }: Judged): boolean =>
  refused === 'client_gone' || (served?.ended?.how === 'client_gone' && !sawToken(served.ended))

const sawToken = ({ slowestGapMs, pacedMs }: Ended): boolean => slowestGapMs !== null || (pacedMs ?? null) !== null

/**
 * The time to the first token, or to the whole answer, of a request that has not failed; null where there is none to speak of. One that has
 * neither failed nor come by now took so long at least: left out, a version that hangs would look as quick as those it does answer.
 */
function ttftMs({ stream, refused, served }: Judged): number | null {
  if (refused !== null) return null
  if (served === null) return limits.trialJudgeMs
  const { ended, ttfbMs } = served
  if (ended === null) return ttfbMs
  if (!stream) return ended.how === 'complete' ? ttfbMs : null
  return ended.how !== 'upstream_failed' && sawToken(ended) ? ttfbMs : null
}

/** The mean time between two tokens of a stream that came whole; null where there were no two, or nobody counted them. */
function tpotMs({ stream, served }: Judged): number | null {
  const tokens = served?.ended?.usage?.outputTokens ?? 0
  if (!stream || !served || served.ended?.how !== 'complete' || tokens < 2) return null
  // Not until the end: a client who reads slowly, or lets go late, is not the version's pace.
  return (served.ended.pacedMs ?? Math.max(0, served.tookMs - served.ttfbMs)) / (tokens - 1)
}
