// What the judge of a canary says, with the numbers it rests on, and what that asks of the rollout. Pure.
// No data never passes, nor does the want of evidence where a proof is asked for. Trouble that is not the canary's holds everything but
// an abort, for which evidence from elsewhere is enough.

import { limits } from '../../shared/limits.ts'
import type { GateAnswer } from '../../shared/wire/gate.ts'
import type { Arm, Metric, Pair } from './blocks.ts'
import { differenceOf, type Difference } from './confidence.ts'
import { harmBar, logE } from './evidence.ts'
import { fastGuard } from './guard.ts'
import type { Judgement, MetricSums, Trouble } from './judgement.ts'

/** fast_guard: hard errors beyond bearing. no_harm: no evidence that it does harm. not_worse: proof that it does none beyond the margin. */
export type CanaryGate = 'fast_guard' | 'no_harm' | 'not_worse'

export type Verdict = {
  readonly gate: CanaryGate
  readonly metric: Metric
  readonly answer: GateAnswer
  /** Rates of bad answers, in [0, 1]; null without requests. */
  readonly stable: number | null
  readonly canary: number | null
  /** What the gate compares, and with what: the guard a lower bound of the canary's rate, no_harm log E, not_worse the interval's upper end. */
  readonly measured: number | null
  readonly threshold: number
  readonly window: { readonly fromMs: number; readonly untilMs: number }
  readonly samples: { readonly stable: number; readonly canary: number }
  /** Of canary minus stable, true at all looks together. */
  readonly interval: { readonly low: number; readonly high: number } | null
  readonly atMs: number
  /** One sentence for people. */
  readonly reason: string
}

/** A step's bake. With `proof` it passes by not_worse, without it by no_harm. */
export type Bake = { readonly minRequests: number; readonly endsAtMs: number; readonly proof: boolean }

/** One verdict for each metric, in the order in which metrics were named. */
export function verdictsOf(judgement: Judgement, bake: Bake, nowMs: number): readonly Verdict[] {
  return (Object.entries(judgement.sums) as [Metric, MetricSums][]).map(([metric, sums]) => {
    const base = baseOf(judgement, metric, sums, nowMs)
    return (
      (metric === 'hard_error' ? byGuard(judgement, base) : null) ??
      byHarm(judgement, base, metric) ??
      tooEarly(base, bake, sums, nowMs) ??
      (bake.proof ? byProof(base) : { ...base.verdict, answer: 'pass', reason: `no evidence of harm: ${inWords(base)}` })
    )
  })
}

/** What all gates say alike of one metric, as no_harm, still without an answer. */
type Base = { readonly verdict: Omit<Verdict, 'answer' | 'reason'>; readonly difference: Difference | null }

function baseOf(
  { evidence, startedAtMs, plannedRequests }: Judgement,
  metric: Metric,
  { contrast, total }: MetricSums,
  nowMs: number,
): Base {
  const difference = differenceOf(contrast, plannedRequests)
  const harm = evidence.metrics[metric]
  return {
    difference,
    verdict: {
      gate: 'no_harm',
      metric,
      stable: difference?.stableRate ?? rateOf(total.stable),
      canary: difference?.canaryRate ?? rateOf(total.canary),
      measured: harm ? logE(harm) : null,
      threshold: harmBar(evidence, metric),
      window: { fromMs: startedAtMs, untilMs: nowMs },
      samples: samplesOf(total),
      interval: difference && { low: difference.low, high: difference.high },
      atMs: nowMs,
    },
  }
}

const rateOf = ({ requests, bad }: Arm): number | null => (requests > 0 ? bad / requests : null)
const samplesOf = ({ stable, canary }: Pair) => ({ stable: stable.requests, canary: canary.requests })

function byGuard({ guard }: Judgement, { verdict }: Base): Verdict | null {
  const guarded = fastGuard(guard, verdict.atMs)
  if (!guarded?.fails) return null
  const { sums, lowest, threshold, fromMs } = guarded
  const { stable, canary } = sums
  const failed = {
    ...verdict,
    gate: 'fast_guard' as const,
    stable: rateOf(stable),
    canary: rateOf(canary),
    measured: lowest,
    threshold,
    window: { fromMs, untilMs: verdict.atMs },
    samples: samplesOf(sums),
  }
  const reason = `${canary.bad} of ${canary.requests} canary requests failed, at least ${percent(lowest)} beyond doubt; ${percent(threshold)} is too much`
  return { ...failed, answer: 'fail', reason }
}

function byHarm({ evidence }: Judgement, base: Base, metric: Metric): Verdict | null {
  const { measured, threshold } = base.verdict
  if (measured === null || measured < threshold) return null
  const where = evidence.metrics[metric] && leading(evidence.metrics[metric].regions)
  const reason = `the canary does harm: ${inWords(base)}; log E ${measured.toFixed(2)} reached ${threshold.toFixed(2)}${where ? `, most of it from ${where}` : ''}`
  return { ...base.verdict, answer: 'fail', reason }
}

/** The region that speaks loudest against the canary; null where there is only one. */
function leading(regions: Readonly<Record<string, { readonly ownLogE: number }>>): string | null {
  const byWeight = Object.entries(regions).toSorted(([, a], [, b]) => b.ownLogE - a.ownLogE)
  return byWeight.length > 1 ? (byWeight[0]?.[0] ?? null) : null
}

/** What stands in the way of a pass, whichever it is: too few requests, which is no data, or too little time. */
function tooEarly({ verdict, difference }: Base, bake: Bake, sums: MetricSums, nowMs: number): Verdict | null {
  const wanted = verdict.metric === 'hard_error' ? Math.max(bake.minRequests, limits.bakeMetricRequestsMin) : limits.bakeMetricRequestsMin
  const has = sums.bake.canary.requests
  if (has < wanted) return { ...verdict, answer: 'no_data', reason: `the canary has served ${has} of ${wanted} requests in this bake` }
  if (!difference) return { ...verdict, answer: 'no_data', reason: 'stable and canary have not served at the same time' }
  if (nowMs >= bake.endsAtMs) return null
  return { ...verdict, answer: 'inconclusive', reason: `the bake goes on for ${Math.ceil((bake.endsAtMs - nowMs) / 1_000)} s` }
}

function byProof(base: Base): Verdict {
  const { verdict, difference } = base
  const { high, margin } = difference ?? { high: 1, margin: limits.promotionMargin }
  const proven = high < margin
  const most = `worse by ${percent(high)} at most, ${percent(margin)} is the margin`
  const asked = { ...verdict, gate: 'not_worse' as const, measured: high, threshold: margin }
  return {
    ...asked,
    answer: proven ? 'pass' : 'inconclusive',
    reason: `${proven ? 'not worse' : 'not decided'}: ${most}; ${inWords(base)}`,
  }
}

const percent = (rate: number): string => `${(100 * rate).toFixed(2)} %`

const inWords = ({ verdict: { stable, canary, samples } }: Base): string =>
  `${canary === null ? 'nothing' : percent(canary)} bad of ${samples.canary} canary requests, ${stable === null ? 'nothing' : percent(stable)} of ${samples.stable} stable ones`

export type Ruling =
  | { readonly act: 'abort'; readonly because: Verdict }
  | { readonly act: 'advance' }
  | { readonly act: 'extend' | 'hold'; readonly reason: string }
  | { readonly act: 'pause'; readonly why: 'low_data' | 'inconclusive' | 'dependency'; readonly reason: string }

/** What is so beside the judgement: `extended`: this bake was extended already. */
export type Standing = {
  readonly bake: Bake
  readonly extended: boolean
  readonly unmeasured: number
  readonly trouble: Trouble
  readonly nowMs: number
}

/** What the verdicts ask of the rollout. Only all of them together let it advance, and only when the last look was a measurement. */
export function rulingOf(verdicts: readonly Verdict[], { bake, extended, unmeasured, trouble, nowMs }: Standing): Ruling {
  const failed = verdicts.find(({ answer }) => answer === 'fail')
  if (failed) return { act: 'abort', because: failed }
  if (unmeasured >= limits.rolloutUnmeasuredMax)
    return { act: 'pause', why: 'dependency', reason: `not measured ${unmeasured} times in a row` }
  if (unmeasured > 0) return { act: 'hold', reason: 'not measured' }
  if (trouble.fleet) return { act: 'hold', reason: 'the fleet is in trouble' }
  if (trouble.regions.length > 0) return { act: 'hold', reason: `in trouble: ${trouble.regions.join(', ')}` }
  const open = verdicts.find(({ answer }) => answer === 'no_data') ?? verdicts.find(({ answer }) => answer !== 'pass')
  if (!open) return verdicts.length > 0 ? { act: 'advance' } : { act: 'hold', reason: 'nothing is judged' }
  const reason = `${open.metric}: ${open.reason}`
  if (nowMs < bake.endsAtMs) return { act: 'hold', reason }
  if (open.answer !== 'no_data') return { act: 'pause', why: 'inconclusive', reason }
  return extended ? { act: 'pause', why: 'low_data', reason } : { act: 'extend', reason }
}
