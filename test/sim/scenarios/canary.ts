// Two versions under seeded traffic, told in blocks as core's judge gets them, and the judge's own functions run over them.

import type { RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { Random } from '../../../shared/random.ts'
import { metrics, type Arm, type ArmBlock, type Metric, type Pair } from '../../../core/rollout/blocks.ts'
import { addEvidence, beginEvidence, harmBar, logE, type Evidence } from '../../../core/rollout/evidence.ts'
import { addToGuard, fastGuard, type GuardWindow } from '../../../core/rollout/guard.ts'

export const looksPerMin = 60_000 / limits.rolloutBlockMs

/** How many of n go bad at this rate: jumps from one to the next by the geometric law, so that few bad ones cost little. */
export function badOf(requests: number, rate: number, random: Random): number {
  const step = Math.log1p(-rate)
  let bad = -1
  for (let at = 0; at <= requests; at += Math.floor(Math.log(1 - random()) / step) + 1) bad += 1
  return bad
}

/** Poisson, by counting arrivals; of many by the normal law, which is close and costs nothing. */
export function arrivals(mean: number, random: Random): number {
  if (mean > 100) return Math.round(mean + Math.sqrt(-2 * mean * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()))
  let count = -1
  for (let at = 0; at <= mean; at -= Math.log(1 - random())) count += 1
  return count
}

export const armOf = (requests: number, rate: number, random: Random): Arm => ({ requests, bad: badOf(requests, rate, random) })

/** What happens in one minute of a rollout, which may depend on the minute. */
export type Traffic = {
  readonly minutes: number
  readonly perMin: number
  readonly share: (minute: number) => number
  readonly rate: (minute: number) => number
  /** The canary's hard errors are so many times stable's. */
  readonly factor: number
  readonly judged: readonly Metric[]
}

/** The hour of most of these simulations: 150 canary requests a minute, a twentieth of all; one in a hundred is bad. */
export const hour: Traffic = { minutes: 60, perMin: 3_000, share: () => 0.05, rate: () => 0.01, factor: 1, judged: metrics }
/** Both versions get worse together while the canary's share grows. */
export const driftingRamp: Traffic = {
  ...hour,
  share: (minute) => (minute < 20 ? 0.05 : minute < 40 ? 0.25 : 0.5),
  rate: (minute) => 0.005 + (0.025 * minute) / 60,
}

/** One block of each metric. */
export function blockOf(traffic: Traffic, look: number, region: RegionName, random: Random): ArmBlock {
  const minute = look / looksPerMin
  const canary = arrivals((traffic.perMin * traffic.share(minute)) / looksPerMin, random)
  const stable = arrivals((traffic.perMin * (1 - traffic.share(minute))) / looksPerMin, random)
  const rate = traffic.rate(minute)
  const pairOf = (metric: Metric): Pair => ({
    stable: armOf(stable, rate, random),
    canary: armOf(canary, metric === 'hard_error' ? rate * traffic.factor : rate, random),
  })
  const pairs = traffic.judged.map((metric) => [metric, pairOf(metric)])
  return { region, fromMs: look * limits.rolloutBlockMs, metrics: Object.fromEntries(pairs) }
}

/** Looks at block after block, and says whether it would abort now. */
export type Judge = (block: ArmBlock) => boolean

/** The judge's own evidence and guard. */
export function ownJudge(judged: readonly Metric[], regions: readonly RegionName[], gamma?: number): Judge {
  let evidence: Evidence = beginEvidence(judged, regions, gamma)
  let guard: GuardWindow = {}
  return (block) => {
    evidence = addEvidence(evidence, [block])
    if (judged.some((metric) => isHarm(evidence, metric))) return true
    if (!block.metrics.hard_error) return false
    guard = addToGuard(guard, block.region, block.fromMs, block.metrics.hard_error)
    return fastGuard(guard, block.fromMs + limits.rolloutBlockMs)?.fails ?? false
  }
}

export const isHarm = (evidence: Evidence, metric: Metric): boolean => {
  const of = evidence.metrics[metric]
  return of !== undefined && logE(of) >= harmBar(evidence, metric)
}

/** A one-sided z-test of all hard errors so far at each look: what a comparison of two dashboards does. */
export function cumulativeZ(z: number): Judge {
  const sum = { stable: { requests: 0, bad: 0 }, canary: { requests: 0, bad: 0 } }
  return ({ metrics: { hard_error: pair } }) => {
    if (!pair) return false
    for (const arm of ['stable', 'canary'] as const) {
      sum[arm].requests += pair[arm].requests
      sum[arm].bad += pair[arm].bad
    }
    const { stable, canary } = sum
    const pooled = (stable.bad + canary.bad) / (stable.requests + canary.requests)
    const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / stable.requests + 1 / canary.requests))
    return canary.requests >= limits.guardRequestsMin && canary.bad / canary.requests - stable.bad / stable.requests > z * deviation
  }
}

/** Minutes until the first abort; infinite without one. */
export function minutesToAbort(judge: Judge, traffic: Traffic, region: RegionName, random: Random): number {
  for (let look = 0; look < traffic.minutes * looksPerMin; look++) {
    if (judge(blockOf(traffic, look, region, random))) return (look + 1) / looksPerMin
  }
  return Infinity
}

/** The part of the times that is at most this long, and the quantile of them. */
export const shareWithin = (times: readonly number[], minutes: number): number =>
  times.filter((each) => each <= minutes).length / times.length
export const quantile = (times: readonly number[], part: number): number =>
  times.toSorted((a, b) => a - b)[Math.ceil(part * times.length) - 1] ?? Infinity
