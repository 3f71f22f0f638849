// The accuracy gate: a version keeps its share of the reference's score on the same set under the same settings, or it is refused. Pure.
// MLPerf's rule (mlcommons/inference_policies): the point decides, on the whole set, for every metric at once, together with the length of
// what was generated. The paired statistics stand beside it and decide nothing. Reports that are not comparable are refused, never
// compared as well as it goes. The edges are exact: scores are counted in whole millionths.

import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { answerOf, type Check, type GateAnswer, type GateMode, type GateResult } from '../../shared/wire/gate.ts'
import type { Report, ReportMetric } from '../../shared/wire/report.ts'
import { around, pairedOf, pairsNeeded, type Pair, type Paired } from './paired.ts'

export type AccuracyRule = {
  readonly mode: GateMode
  /** Share of the reference's score to keep, in 1/10,000: 9,900 or 9,990 in MLPerf. */
  readonly targetBp: number
}

/** Why two reports cannot be compared: the first field that differs, with both values, or one that lacks items of its set. */
export type NotComparable =
  | { readonly reason: 'reports_differ'; readonly field: string; readonly measured: string; readonly reference: string }
  | { readonly reason: 'report_incomplete'; readonly of: 'measured' | 'reference'; readonly answered: number; readonly items: number }

export type MetricPairs = Paired & {
  readonly metric: string
  /** Items a set needs to show that the loss is within the target, at this discordance, if there truly is none. */
  readonly pairsNeeded: number | null
}

export type AccuracyResult = GateResult & { readonly paired: readonly MetricPairs[] }

/**
 * The answer for `measured` against `reference`; no_data while one of them is missing. Refusals: reports_differ, report_incomplete.
 * A reference that scores nothing, and a set of fewer than limits.accuracyItemsMin items, are inconclusive whatever was measured.
 */
export function judgeAccuracy(
  measured: Report | null,
  reference: Report | null,
  { mode, targetBp }: AccuracyRule,
): Result<AccuracyResult, NotComparable> {
  if (!measured || !reference) return ok({ gate: 'accuracy', mode, answer: 'no_data', checks: [], paired: [] })
  const unlike = differenceOf(measured, reference)
  if (unlike) return err(unlike)
  const scored = measured.metrics.map((metric, at) => {
    const pairs = pairsOf(measured, reference, ({ scores }) => scores[at] ?? 0)
    const paired = pairedOf(pairs, metric)
    return {
      check: scoreCheck(metric, pairs, paired, targetBp),
      paired: { metric: metric.name, ...paired, pairsNeeded: needed(metric, pairs, paired, targetBp) },
    }
  })
  const checks = [...scored.map(({ check }) => check), lengthCheck(pairsOf(measured, reference, ({ tokens }) => tokens))]
  return ok({ gate: 'accuracy', mode, answer: answerOf(checks), checks, paired: scored.map(({ paired }) => paired) })
}

/** Fields that must be the same, in the order in which a difference is told. The engine and the version may differ: they are what is compared. */
const settings: readonly (readonly [string, (report: Report) => unknown])[] = [
  ['set.digest', ({ set }) => set.digest],
  ['set.items', ({ set }) => set.items],
  ['template', ({ template }) => template],
  ['scorer', ({ scorer }) => scorer],
  ['sampling.temperature', ({ sampling }) => sampling.temperature],
  ['sampling.topP', ({ sampling }) => sampling.topP],
  ['sampling.tokensMax', ({ sampling }) => sampling.tokensMax],
  ['sampling.seed', ({ sampling }) => sampling.seed],
  ['sampling.stop', ({ sampling }) => sampling.stop],
  ['metrics', ({ metrics }) => metrics.map(({ name, better, top }) => [name, better, top])],
]

function differenceOf(measured: Report, reference: Report): NotComparable | null {
  for (const [field, read] of settings) {
    const [one, other] = [JSON.stringify(read(measured)), JSON.stringify(read(reference))]
    if (one !== other) return { reason: 'reports_differ', field, measured: one, reference: other }
  }
  const reports = [
    ['measured', measured],
    ['reference', reference],
  ] as const
  for (const [of, { results, set }] of reports) {
    if (results.length !== set.items) return { reason: 'report_incomplete', of, answered: results.length, items: set.items }
  }
  const known = new Set(reference.results.map(({ id }) => id))
  const strange = measured.results.find(({ id }) => !known.has(id))
  return strange ? { reason: 'reports_differ', field: 'results', measured: strange.id, reference: 'has no such item' } : null
}

/** One value of each item in both reports, whatever order they are in. */
function pairsOf(measured: Report, reference: Report, read: (item: Report['results'][number]) => number): readonly Pair[] {
  const references = new Map(reference.results.map((item) => [item.id, read(item)]))
  return measured.results.map((item) => ({ measured: read(item), reference: references.get(item.id) ?? 0 }))
}

/** Sums in whole millionths of the metric's unit: exact, and with limits.reportScoreMax and reportItemsMax far below 2^53. */
function sumsOf(pairs: readonly Pair[]): { readonly measured: number; readonly reference: number } {
  const micro = (value: number): number => Math.round(value * 1e6)
  return {
    measured: pairs.reduce((sum, pair) => sum + micro(pair.measured), 0),
    reference: pairs.reduce((sum, pair) => sum + micro(pair.reference), 0),
  }
}

const whole = 10_000

/** Whether part / of >= bp / 10,000, for whole numbers, without rounding. */
const isAtLeast = (part: number, of: number, bp: number): boolean => BigInt(part) * BigInt(whole) >= BigInt(of) * BigInt(bp)

function scoreCheck(metric: ReportMetric, pairs: readonly Pair[], paired: Paired, targetBp: number): Check {
  const sums = sumsOf(pairs)
  const [measured, reference] = [sums.measured / 1e6 / pairs.length, sums.reference / 1e6 / pairs.length]
  const isKept = keeps(metric, sums, pairs.length, targetBp)
  const answer = decided(pairs.length, isKept)
  const compared = `${rounded(measured)} against ${rounded(reference)}`
  return {
    metric: metric.name,
    answer,
    measured,
    reference,
    threshold: thresholdOf(metric, reference, targetBp / whole),
    bound: metric.better === 'higher' ? 'least' : 'most',
    samples: pairs.length,
    interval: around(reference, paired.interval, metric.top),
    reason:
      isKept === null
        ? `${compared}: the reference scores nothing`
        : reasonOf(answer, pairs.length, `${compared}, with ${targetBp / 100} % to keep`),
  }
}

/**
 * Whether the target's share is kept; null when there is nothing to keep. An error rate is turned round first, as MLPerf does: what must be
 * kept is the part without error. Without a largest value there is nothing to turn it round from: then the reference's value must be at
 * least the target's share of the measured one.
 */
function keeps({ better, top }: ReportMetric, sums: ReturnType<typeof sumsOf>, items: number, targetBp: number): boolean | null {
  if (better === 'lower' && top === null) return isAtLeast(sums.reference, sums.measured, targetBp)
  const all = Math.round((top ?? 0) * 1e6) * items
  const good = (sum: number): number => (better === 'higher' ? sum : all - sum)
  return good(sums.reference) > 0 ? isAtLeast(good(sums.measured), good(sums.reference), targetBp) : null
}

/** The measured value at which `keeps` turns. */
function thresholdOf({ better, top }: ReportMetric, reference: number, share: number): number {
  if (better === 'higher') return reference * share
  return top === null ? reference / share : top - (top - reference) * share
}

/** A much shorter or longer answer may score as well and is another product: 0.90 to 1.10 of the reference's tokens. */
function lengthCheck(pairs: readonly Pair[]): Check {
  const total = (read: (pair: Pair) => number) => pairs.reduce((sum, pair) => sum + read(pair), 0)
  const [measured, reference] = [total((pair) => pair.measured), total((pair) => pair.reference)]
  const isWithin = measured * whole >= reference * limits.lengthBpMin && measured * whole <= reference * limits.lengthBpMax
  const isShorter = measured < reference
  const mean = reference / pairs.length
  const answer = decided(pairs.length, isWithin)
  return {
    metric: 'generated_tokens',
    answer,
    measured: measured / pairs.length,
    reference: mean,
    threshold: (mean * (isShorter ? limits.lengthBpMin : limits.lengthBpMax)) / whole,
    bound: isShorter ? 'least' : 'most',
    samples: pairs.length,
    interval: around(mean, pairedOf(pairs, { better: 'higher', top: null }).interval, null),
    reason: reasonOf(
      answer,
      pairs.length,
      `${measured} tokens against ${reference}, with ${limits.lengthBpMin / 100} to ${limits.lengthBpMax / 100} % allowed`,
    ),
  }
}

/** null: the rule has no meaning for these numbers. */
function decided(items: number, isKept: boolean | null): GateAnswer {
  if (isKept === null || items < limits.accuracyItemsMin) return 'inconclusive'
  return isKept ? 'pass' : 'fail'
}

const reasonOf = (answer: GateAnswer, items: number, compared: string): string =>
  answer === 'inconclusive' ? `${compared}: ${items} items are too few, at least ${limits.accuracyItemsMin} are needed` : compared

const rounded = (value: number): number => Math.round(value * 1e6) / 1e6

/** What it would take to prove it, of right and wrong: null for graded scores, and where nothing is lost or gained. */
function needed({ better, top }: ReportMetric, pairs: readonly Pair[], paired: Paired, targetBp: number): number | null {
  if (paired.method !== 'bonett-price' || top === null || paired.lost + paired.gained === 0) return null
  const reference = sumsOf(pairs).reference / 1e6 / pairs.length / top
  const margin = (1 - targetBp / whole) * (better === 'higher' ? reference : 1 - reference)
  return margin > 0 ? pairsNeeded((paired.lost + paired.gained) / paired.pairs, margin) : null
}
