// From tallies to what is judged: which metrics a rollout can be judged by, with which limits, and the pairs of a slot. Limits and metrics
// are fixed when the canary gets its first traffic, from what stable did in the hour before, and are the same for both arms from then on.
// Pure. A metric that hardly any request can show is not judged, and said to be so: it would have no data for ever, and let nothing advance.

import { limits } from '../../shared/limits.ts'
import { above, classAt, classMsMax, type Part, type TrialTally } from '../../shared/wire/trial.ts'
import { metrics, none, type Arm, type ArmBlock, type Metric, type Pair } from './blocks.ts'
import { addToGuard, type GuardWindow } from './guard.ts'
import type { Step } from './steps.ts'
import type { SlotArms, Usual } from './trials.ts'

/** Classes of time above which a first token is slow, and tokens are; null: not judged. */
export type Bounds = { readonly ttftClass: number | null; readonly tpotClass: number | null }

export type Judgeable = {
  readonly metrics: readonly Metric[]
  readonly bounds: Bounds
  /** Why the others are not judged. */
  readonly skipped: Readonly<Partial<Record<Metric, string>>>
}

/** What can be judged, by what stable did, the objective for the pace, and how many canary requests the steps bring at least. */
export function judgeableOf(usual: Usual, objectives: { readonly tpotP95MsMax: number | null }, steps: readonly Step[]): Judgeable {
  const bounds: Bounds = {
    ttftClass: countOf(usual.ttft) >= limits.judgeUsualMin ? classAt(usual.ttft, 0.95) : null,
    tpotClass: objectives.tpotP95MsMax === null ? null : classOfMost(objectives.tpotP95MsMax),
  }
  const least = leastRequests(steps)
  const judged: Metric[] = ['hard_error']
  const skipped: Partial<Record<Metric, string>> = {}
  for (const metric of metrics) {
    if (metric === 'hard_error') continue
    const why = whyNot(metric, usual, { bounds, least })
    if (why === null) judged.push(metric)
    else skipped[metric] = why
  }
  return { metrics: judged, bounds, skipped }
}

const countOf = (times: TrialTally['ttft']): number => Object.values(times).reduce((sum, count) => sum + count, 0)

/** The highest class all of which is within the objective. */
function classOfMost(ms: number): number {
  let timeClass = 0
  while (classMsMax(timeClass + 1) <= ms) timeClass++
  return timeClass
}

/** Canary requests that the smallest bake brings. */
const leastRequests = (steps: readonly Step[]): number =>
  Math.min(...steps.map((step) => (step.kind === 'weight' ? step.minRequests : Number.POSITIVE_INFINITY)))

function whyNot(metric: Metric, usual: Usual, { bounds, least }: { readonly bounds: Bounds; readonly least: number }): string | null {
  if (metric === 'slow_first_token' && bounds.ttftClass === null) {
    return `stable gave ${countOf(usual.ttft)} first tokens in the last hour, and ${limits.judgeUsualMin} are needed to know what is slow`
  }
  if (metric === 'slow_tokens' && bounds.tpotClass === null) return 'the model has no objective for the time between tokens (tpotP95MsMax)'
  const applies = {
    slow_first_token: countOf(usual.ttft),
    slow_tokens: countOf(usual.tpot),
    empty_answer: usual.empty.of,
    schema_violation: usual.schema.of,
    early_abort: usual.earlyAborts.of,
    hard_error: usual.judged,
  }[metric]
  const share = usual.judged === 0 ? 0 : applies / usual.judged
  const expected = Number.isFinite(least) ? share * least : 0
  if (expected >= limits.bakeMetricRequestsMin) return null
  return `it applies to ${applies} of stable's ${usual.judged} requests of the last hour: a bake would show too few`
}

const armOf = ({ of, bad }: Part): Arm => ({ requests: of, bad })

/** Each yes or no of one arm's requests. */
const parts: Readonly<Record<Metric, (tally: TrialTally, bounds: Bounds) => Part>> = {
  hard_error: ({ judged, hardErrors }) => ({ of: judged, bad: hardErrors }),
  slow_first_token: ({ ttft }, { ttftClass }) => above(ttft, ttftClass ?? Number.POSITIVE_INFINITY),
  slow_tokens: ({ tpot }, { tpotClass }) => above(tpot, tpotClass ?? Number.POSITIVE_INFINITY),
  empty_answer: ({ empty }) => empty,
  schema_violation: ({ schema }) => schema,
  early_abort: ({ earlyAborts }) => earlyAborts,
}

/** The block that a whole slot is to the judge. */
export function blockOf({ region, slotMs, stable, canary }: SlotArms, judged: readonly Metric[], bounds: Bounds): ArmBlock {
  const arm = (tally: TrialTally | null, metric: Metric): Arm => (tally ? armOf(parts[metric](tally, bounds)) : none)
  const pairs = judged.map((metric): [Metric, Pair] => [metric, { stable: arm(stable, metric), canary: arm(canary, metric) }])
  return { region, fromMs: slotMs, metrics: Object.fromEntries(pairs) }
}

/**
 * The fast guard's window, from slots whole or not: what has left counts as good until it has failed. So a canary looks better than it is
 * while its requests run, never worse, and one that fails at once is seen at once.
 */
export function guardNow(slots: readonly SlotArms[], clearFromMs: Readonly<Record<string, number>>): GuardWindow {
  const arm = (tally: TrialTally | null): Arm => (tally ? { requests: Math.max(tally.arrived, tally.judged), bad: tally.hardErrors } : none)
  return slots.reduce<GuardWindow>((window, { region, slotMs, stable, canary }) => {
    if (slotMs < (clearFromMs[region] ?? 0)) return window
    return addToGuard(window, region, slotMs, { stable: arm(stable), canary: arm(canary) })
  }, {})
}
