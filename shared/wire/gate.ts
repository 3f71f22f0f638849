// What a gate says: one answer over its checks, each with the numbers it rests on. The same words go into the verdict that is stored, and
// from there to API, CLI, console, webhook and audit. Which gate says what is core's to decide (core/gate).

export const gateNames = ['accuracy', 'load', 'readiness'] as const
export type GateName = (typeof gateNames)[number]

/** inconclusive: there is data, and it does not decide. no_data: there is too little to judge by. Neither is ever a pass. */
export const gateAnswers = ['pass', 'fail', 'inconclusive', 'no_data'] as const
export type GateAnswer = (typeof gateAnswers)[number]

/** What a failure means to the rollout: nothing but a note in the record, a wait for a person, or its end. */
export const gateModes = ['observe', 'pause', 'abort'] as const
export type GateMode = (typeof gateModes)[number]

/** At a confidence of limits.gateConfidence, unless the check says otherwise; null is an end that the data do not show. */
export type Interval = { readonly low: number | null; readonly high: number | null }

/** One number against its threshold. */
export type Check = {
  /** Such as accuracy, generated_tokens or ttft_p95_ms: the unit is in the name. */
  readonly metric: string
  readonly answer: GateAnswer
  /** null: not measured, or worse than every answer (a percentile that falls on a failed request). */
  readonly measured: number | null
  /** The value of the version, or environment, that it is compared with; null where there is none. */
  readonly reference: number | null
  readonly threshold: number | null
  /** Whether the threshold is the least or the most that passes. */
  readonly bound: 'least' | 'most'
  readonly samples: number
  /** Of `measured`, on its scale, so that it can be laid beside the threshold. */
  readonly interval: Interval | null
  /** One sentence for people. */
  readonly reason: string
}

export type GateResult = {
  readonly gate: GateName
  readonly mode: GateMode
  readonly answer: GateAnswer
  readonly checks: readonly Check[]
}

/** One answer for several checks: a failure decides, then what is missing, then what is open; without a check there is no data. */
export function answerOf(checks: readonly Check[]): GateAnswer {
  if (checks.length === 0) return 'no_data'
  const has = (answer: GateAnswer): boolean => checks.some((check) => check.answer === answer)
  if (has('fail')) return 'fail'
  if (has('no_data')) return 'no_data'
  return has('inconclusive') ? 'inconclusive' : 'pass'
}
