// What a rollout's judge remembers, and how a look at the two versions changes it. Plain data, of a bounded size, stored as JSON between
// looks. Decides what of a look counts; what follows from it is core/rollout/verdict.ts. Pure.

import type { RegionName } from '../../shared/ids.ts'
import { assert } from '../../shared/result.ts'
import { addPairs, noPair, unseen, type ArmBlock, type Metric, type Pair, type Seen } from './blocks.ts'
import { addContrast, noContrast, type Contrast } from './confidence.ts'
import { addEvidence, beginEvidence, withoutRegions, type Evidence } from './evidence.ts'
import { addToGuard, guardWithout, type GuardWindow } from './guard.ts'

/** Why judgement is held: the fleet, or a region's way to it, is in trouble that is not the canary's. Whoever says so must not conclude it from the canary's own failures. */
export type Trouble = { readonly fleet: boolean; readonly regions: readonly RegionName[] }
export const noTrouble: Trouble = { fleet: false, regions: [] }

/** Every region of the fleet, so that one which gets its first traffic later is judged too. */
export type Judged = { readonly metrics: readonly Metric[]; readonly regions: readonly RegionName[]; readonly plannedRequests: number }

export type MetricSums = {
  readonly contrast: Contrast
  /** All requests of the rollout, and those since the step's bake began. */
  readonly total: Pair
  readonly bake: Pair
}

export type Judgement = {
  readonly regions: readonly RegionName[]
  readonly plannedRequests: number
  readonly startedAtMs: number
  readonly seen: Seen
  readonly evidence: Evidence
  readonly guard: GuardWindow
  readonly sums: Readonly<Partial<Record<Metric, MetricSums>>>
  /** By region, the start from which blocks count again after the latest trouble. */
  readonly clearFromMs: Readonly<Record<RegionName, number>>
  /** Looks in a row that could not measure. */
  readonly unmeasured: number
}

/** One look: the blocks told since the last one, again or anew; null when they could not be read, which is another thing than none. */
export type Look = { readonly blocks: readonly ArmBlock[] | null; readonly trouble: Trouble; readonly nowMs: number }

/**
 * The judgement of a rollout that begins. Hard errors are among its metrics always. `plannedRequests`: canary requests with which it
 * should be decided (samplesNeeded), fixed from here on. Stable's blocks of the time before may be told: they teach its rates.
 */
export function beginJudgement({ metrics, regions, plannedRequests }: Judged, startedAtMs: number): Judgement {
  assert(metrics.includes('hard_error') && regions.length > 0, 'hard errors are judged, somewhere')
  const sums: MetricSums = { contrast: noContrast, total: noPair, bake: noPair }
  return {
    regions,
    plannedRequests,
    startedAtMs,
    seen: {},
    evidence: beginEvidence(metrics, regions),
    guard: {},
    sums: Object.fromEntries(metrics.map((metric) => [metric, sums])),
    clearFromMs: {},
    unmeasured: 0,
  }
}

/** The same judgement when a bake begins, or goes on after a pause: evidence is of the whole rollout, requests are counted by step. */
export function beginBake(before: Judgement): Judgement {
  const sums = Object.entries(before.sums).map(([metric, of]) => [metric, { ...of, bake: noPair }])
  return { ...before, sums: Object.fromEntries(sums), unmeasured: 0 }
}

/**
 * The judgement after a look. Blocks of a region in trouble are set aside, also when they are told once it is over, and what the region
 * said against the canary before anybody noticed is taken back.
 */
export function observe(before: Judgement, { blocks, trouble, nowMs }: Look): Judgement {
  const troubled = trouble.fleet ? before.regions : trouble.regions
  const clear: Judgement['clearFromMs'] = { ...before.clearFromMs, ...Object.fromEntries(troubled.map((region) => [region, nowMs])) }
  const held: Judgement = {
    ...before,
    clearFromMs: clear,
    evidence: troubled.length > 0 ? withoutRegions(before.evidence, troubled) : before.evidence,
    guard: troubled.length > 0 ? guardWithout(before.guard, troubled) : before.guard,
  }
  if (blocks === null) return { ...held, unmeasured: before.unmeasured + 1 }
  const { seen, fresh } = unseen(before.seen, blocks, before.regions, nowMs)
  const counted = fresh.filter(({ region, fromMs }) => fromMs >= (clear[region] ?? 0))
  return { ...counted.reduce(addBlock, held), evidence: addEvidence(held.evidence, counted), seen, unmeasured: 0 }
}

/** All but the evidence, which takes blocks together. */
function addBlock(before: Judgement, { region, fromMs, metrics }: ArmBlock): Judgement {
  const sums = { ...before.sums }
  for (const [metric, pair] of Object.entries(metrics) as [Metric, Pair][]) {
    const of = sums[metric]
    if (!of) continue
    sums[metric] = { contrast: addContrast(of.contrast, pair), total: addPairs(of.total, pair), bake: addPairs(of.bake, pair) }
  }
  const errors = metrics.hard_error
  return { ...before, sums, guard: errors ? addToGuard(before.guard, region, fromMs, errors) : before.guard }
}
