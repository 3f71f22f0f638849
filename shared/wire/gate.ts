// What a gate says: one answer over its checks, each with the numbers it rests on. The same words go into the verdict that is stored, and
// from there to API, CLI, console, webhook and audit. Which gate says what is core's to decide (core/gate).

import type { Environment, ModelName, RolloutId, VersionId } from '../ids.ts'

/** Gates that are judged before traffic, and those that judge by it (docs/design/rollouts.md, verdicts). */
export const earlyGates = ['accuracy', 'load', 'readiness'] as const
export const liveGates = ['fast_guard', 'no_harm', 'not_worse'] as const
export const gateNames = [...earlyGates, ...liveGates] as const
export type GateName = (typeof gateNames)[number]
export type EarlyGate = (typeof earlyGates)[number]
export type LiveGate = (typeof liveGates)[number]
export const isLive = (gate: GateName): gate is LiveGate => liveGates.some((each) => each === gate)

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
  /** Of `measured`, on its scale, so that it can be laid beside the threshold. Of a live gate: of the canary's rate minus stable's. */
  readonly interval: Interval | null
  /** One sentence for people. */
  readonly reason: string
  /** Of a live gate: rates of bad answers in [0, 1], null without requests; and stable's requests (`samples` are the canary's). */
  readonly rates?: { readonly stable: number | null; readonly canary: number | null }
  readonly samplesOfStable?: number
}

/**
 * A gate's decision as it is stored, and as API, CLI, console, webhooks and audit show it: the same everywhere. `id` says what it is of, so
 * that one that is told twice is kept once.
 */
export type Verdict = {
  readonly id: string
  /** null: asked for outside any rollout. */
  readonly rollout: RolloutId | null
  readonly environment: Environment
  readonly model: ModelName
  readonly version: VersionId
  /** The version it is compared with; null where there is none. */
  readonly reference: VersionId | null
  readonly gate: GateName
  readonly mode: GateMode
  readonly answer: GateAnswer
  /** The step during which it was given; null before the first. */
  readonly step: number | null
  readonly checks: readonly Check[]
  /** The time over which it was measured; null where it is not of a time. */
  readonly window: { readonly fromMs: number; readonly untilMs: number } | null
  readonly atMs: number
}

export type GateResult = {
  readonly gate: EarlyGate
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
