// Evidence that a canary does harm: a two-sample Bernoulli e-process for each metric, fed block by block. Decides nothing by itself;
// what reaches its bar is harm. Pure.
//
// If in each block both versions go bad at one common rate, whatever it is and however it drifts, or the canary at a lower one, then
// each factor is expected to be at most one given all before it. Products of factors, and averages of such products with weights fixed
// in advance, keep that property, so that by Ville's inequality E ever reaches 1 / alpha with probability alpha at most, at any look.
// It never pools rates over time as a cumulative comparison does, which a drift during a ramp of weights deceives.

import { limits } from '../../shared/limits.ts'
import type { RegionName } from '../../shared/ids.ts'
import { addPairs, noPair, type Arm, type ArmBlock, type Metric, type Pair } from './blocks.ts'

/** What predictions rest on: sums that fade, as of a time. */
export type Tally = Pair & { readonly asOfMs: number }

/** A region's part. All are natural logarithms. */
export type RegionEvidence = {
  /** Its blocks' part in the bet that harm is everywhere: predicted from all regions. */
  readonly sharedLogE: number
  /** The bet that harm is in this region: predicted from its own blocks. */
  readonly ownLogE: number
  readonly tally: Tally
}

export type MetricEvidence = { readonly tally: Tally; readonly regions: Readonly<Record<RegionName, RegionEvidence>> }

export type Evidence = { readonly gamma: number; readonly metrics: Readonly<Partial<Record<Metric, MetricEvidence>>> }

const nothing: Tally = { ...noPair, asOfMs: 0 }

/**
 * No evidence yet. Metrics and regions are fixed here, for the bars and the averages rest on their number; a region without traffic
 * only makes its neighbours' bets smaller. `gamma` in (0, 1] is the brake (limits.rolloutEvidenceGamma).
 */
export function beginEvidence(
  metrics: readonly Metric[],
  regions: readonly RegionName[],
  gamma: number = limits.rolloutEvidenceGamma,
): Evidence {
  const region: RegionEvidence = { sharedLogE: 0, ownLogE: 0, tally: nothing }
  const metric: MetricEvidence = { tally: nothing, regions: Object.fromEntries(regions.map((name) => [name, region])) }
  return { gamma, metrics: Object.fromEntries(metrics.map((name) => [name, metric])) }
}

/** The evidence with these blocks, each of which must be new (`unseen`). They are taken in the order given. */
export function addEvidence(before: Evidence, blocks: readonly ArmBlock[]): Evidence {
  const metrics = { ...before.metrics }
  for (const { region, fromMs, metrics: pairs } of blocks) {
    for (const [name, pair] of Object.entries(pairs) as [Metric, Pair][]) {
      const known = metrics[name]
      const of = known?.regions[region]
      if (!known || !of) continue
      const after: RegionEvidence = {
        sharedLogE: of.sharedLogE + before.gamma * logFactor(known.tally, pair),
        ownLogE: of.ownLogE + before.gamma * logFactor(of.tally, pair),
        tally: learnt(of.tally, pair, fromMs),
      }
      metrics[name] = { tally: learnt(known.tally, pair, fromMs), regions: { ...known.regions, [region]: after } }
    }
  }
  return { ...before, metrics }
}

/**
 * The evidence without what these regions said against the canary, because they are in trouble of their own.
 * What they said for it stays: E only gets smaller, so the promise holds whenever this is called.
 */
export function withoutRegions(before: Evidence, regions: readonly RegionName[]): Evidence {
  const forgiven = (metric: MetricEvidence): MetricEvidence => ({
    ...metric,
    regions: Object.fromEntries(
      Object.entries(metric.regions).map(([name, of]) => [
        name,
        regions.includes(name as RegionName) ? { ...of, sharedLogE: Math.min(0, of.sharedLogE), ownLogE: Math.min(0, of.ownLogE) } : of,
      ]),
    ),
  })
  return { ...before, metrics: Object.fromEntries(Object.entries(before.metrics).map(([name, metric]) => [name, forgiven(metric)])) }
}

/**
 * log E of one metric. A version that is bad everywhere shows in the product over regions, one that is bad in a single region in that
 * region's own: E is the average of the product, with limits.rolloutEverywhereShare, and of the R regions, each with a like part of the rest.
 */
export function logE({ regions }: MetricEvidence): number {
  const each = Object.values(regions)
  const shared = each.reduce((sum, { sharedLogE }) => sum + sharedLogE, 0)
  const largest = Math.max(shared, ...each.map(({ ownLogE }) => ownLogE))
  const own = each.reduce((sum, { ownLogE }) => sum + Math.exp(ownLogE - largest), 0)
  const weighed = limits.rolloutEverywhereShare * Math.exp(shared - largest) + ((1 - limits.rolloutEverywhereShare) * own) / each.length
  return largest + Math.log(weighed)
}

/**
 * What log E must reach to be harm: -log of the metric's part of alpha. With M metrics of equal parts that were log(M / alpha); hard
 * errors have limits.rolloutAlphaHardErrorShare and the others like parts of the rest, which sum to alpha as well.
 */
export function harmBar({ metrics }: Evidence, metric: Metric): number {
  const others = Object.keys(metrics).filter((name) => name !== 'hard_error').length
  if (others === 0) return -Math.log(limits.rolloutAlpha)
  const share = metric === 'hard_error' ? limits.rolloutAlphaHardErrorShare : (1 - limits.rolloutAlphaHardErrorShare) / others
  return -Math.log(limits.rolloutAlpha * share)
}

/**
 * log of a block's factor. With a and b the rates predicted from before the block and m = (n_a a + n_b b) / (n_a + n_b), it is the
 * likelihood of the block under a and b over that under m for both. Zero where an arm has no request, or b = a.
 */
function logFactor(tally: Tally, { stable, canary }: Pair): number {
  if (stable.requests === 0 || canary.requests === 0) return 0
  const { a, b } = predicted(tally)
  const m = (stable.requests * a + canary.requests * b) / (stable.requests + canary.requests)
  return logRatio(stable, a, m) + logRatio(canary, b, m)
}

/** log of an arm's likelihood under `rate` over that under `mean`. The rates lie close together, hence log1p. */
const logRatio = ({ requests, bad }: Arm, rate: number, mean: number): number =>
  bad * Math.log1p((rate - mean) / mean) + (requests - bad) * Math.log1p((mean - rate) / (1 - mean))

/**
 * Stable's rate: its tally after a Beta prior. The canary's: its tally after a prior of limits.rolloutHarmFactor times stable's rate
 * that weighs as many requests as promise limits.rolloutHarmBad bad ones at stable's rate; never below stable's. Both lie in (0, 1).
 */
function predicted({ stable, canary }: Tally): { readonly a: number; readonly b: number } {
  const a = (limits.rolloutPriorBad + stable.bad) / (limits.rolloutPriorRequests + stable.requests)
  const supposed = Math.min(limits.rolloutHarmFactor * a, (1 + a) / 2)
  const weight = limits.rolloutHarmBad / a
  return { a, b: Math.max(a, (weight * supposed + canary.bad) / (weight + canary.requests)) }
}

/** The tally faded to the block's time, and the block. One that is told late adds to what has faded already. */
function learnt(tally: Tally, pair: Pair, fromMs: number): Tally {
  const asOfMs = Math.max(tally.asOfMs, fromMs)
  const left = 0.5 ** ((asOfMs - tally.asOfMs) / limits.rolloutTallyHalfLifeMs)
  const faded = ({ requests, bad }: Arm): Arm => ({ requests: requests * left, bad: bad * left })
  return { ...addPairs({ stable: faded(tally.stable), canary: faded(tally.canary) }, pair), asOfMs }
}
