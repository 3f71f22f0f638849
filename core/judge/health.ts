// The state machine of an endpoint's health: a list of rules, the first that has something to say decides. Pure.
// What requests have shown beats what health checks say: an engine may answer its health path while it generates nothing, and an
// endpoint that answers requests is not dead because its health path is. Numbers that are missing are unknown, never zero and never full.

import { limits } from '../../shared/limits.ts'
import type { BreakerState } from '../../shared/wire/ledger.ts'
import type { ServiceStatus } from '../../shared/wire/probe.ts'
import type { EndpointHealth } from '../../shared/wire/snapshot.ts'
import type { AdminState, Judged, Liveness, Traffic } from '../facts.ts'
import { sumsOf } from './traffic.ts'

/** What is known of one endpoint. Times are epoch milliseconds. */
export type Evidence = {
  /** The operator's word, a maintenance window counted as draining, and why. */
  readonly wanted: AdminState
  readonly wantedReason: string
  readonly liveness: Liveness
  /** Its last answer said that it is still loading its model. */
  readonly loading: boolean
  /** Probes of one token: failures in a row, whether the last of them timed out, the last success, and whether there are any at all. */
  readonly generation: { readonly bad: number; readonly timedOut: boolean; readonly goodAtMs: number | null; readonly asked: boolean }
  /** What the service in front of it said of late. */
  readonly service: ServiceStatus | null
  /** Whether the engine makes tokens, by a fresh page of metrics; null when it does not tell. */
  readonly makesTokens: boolean | null
  /** Whether it has as many requests as it runs at once, by its ledger. */
  readonly full: boolean
  /** Whether the engine sleeps, by a fresh page of metrics; null when it does not tell. */
  readonly sleeping: boolean | null
  /** The last page of metrics that could be read; null where none ever could. */
  readonly scrapedAtMs: number | null
  /** By its ledger; null while that never spoke of it. */
  readonly breaker: { readonly state: BreakerState; readonly reason: string | null } | null
  readonly traffic: Traffic
  /** The last answer of its ledger; null while there was none since this loop woke. */
  readonly ledgerAtMs: number | null
}

export type Verdict = Omit<Judged, 'sinceMs'>

/** Of an endpoint that nobody has judged yet. */
export const unjudged: Judged = { health: 'unknown', sinceMs: 0, reason: 'not judged yet', value: null, threshold: null, metric: null }

type Scene = { readonly seen: Evidence; readonly before: Judged; readonly nowMs: number }
type Rule = (scene: Scene) => Verdict | null

const verdict = (
  health: EndpointHealth,
  metric: string | null,
  reason: string,
  value: number | null = null,
  threshold: number | null = null,
) => ({ health, metric, reason, value, threshold }) satisfies Verdict

const hold = ({ before }: Scene): Verdict => before

/** Out because requests, or a request of our own, failed: a passing health check is no answer to that. */
const trafficMetrics: readonly (string | null)[] = ['breaker', 'hard_failures_in_a_row', 'hard_failure_share', 'generation_failures']
const isOut = ({ before }: Scene): boolean => before.health === 'ejected' || before.health === 'probing'
const isOutByTraffic = (scene: Scene): boolean => isOut(scene) && trafficMetrics.includes(scene.before.metric)

const goodWithin = ({ seen, nowMs }: Scene, withinMs: number): boolean =>
  seen.traffic.lastGoodAtMs !== null && nowMs - seen.traffic.lastGoodAtMs < withinMs

const provenSince = ({ seen }: Scene, sinceMs: number): boolean => (seen.generation.goodAtMs ?? 0) > sinceMs

/** A request or a probe for a token has succeeded since it is what it is. */
const hasSucceeded = (scene: Scene): boolean =>
  provenSince(scene, scene.before.sinceMs) || (scene.seen.traffic.lastGoodAtMs ?? 0) > scene.before.sinceMs

/** With long answers on all its places it ends none for minutes, and the question for one token waits its turn: that is no wedge. */
const isBusy = ({ seen, nowMs }: Scene): boolean => seen.makesTokens ?? (seen.full && sumsOf(seen.traffic, nowMs).hard === 0)

/** Whether a ledger has been silent for so long that what is known of its endpoints no longer changes. */
export const isSilent = (answeredAtMs: number | null, nowMs: number): boolean =>
  answeredAtMs === null || nowMs - answeredAtMs > limits.ledgerSilentMs

/** The rules in order. Each name says when it speaks. */
const rules: readonly Rule[] = [
  function operatorWantsItOut({ seen }) {
    return seen.wanted === 'enabled' ? null : verdict(seen.wanted, 'operator', seen.wantedReason)
  },

  // Without its ledger nothing new is known: probes come through it too. What was true last is the best guess there is.
  function ledgerIsSilent(scene) {
    const { seen, before, nowMs } = scene
    if (!isSilent(seen.ledgerAtMs, nowMs)) return null
    return before.health === 'draining' || before.health === 'disabled' ? null : hold(scene)
  },

  function serviceHasLostIt(scene) {
    const { seen, before } = scene
    const isOutByService = before.metric === 'service_status' && before.health !== 'healthy'
    if (!seen.service) return isOutByService && !hasSucceeded(scene) ? hold(scene) : null
    const { status } = seen.service
    if (/^(Deleting|Deleted|NotFound)$/.test(status)) return verdict('gone', 'service_status', `the service says ${status}`)
    if (/^(Failed|OutOfService)$/.test(status)) return verdict('ejected', 'service_status', `the service says ${status}`)
    return status === 'Creating' ? verdict('warming', 'service_status', `the service says ${status}`) : null
  },

  function breakerIsOpen({ seen }) {
    if (seen.breaker?.state !== 'open') return null
    return verdict('ejected', 'breaker', seen.breaker.reason ?? 'its breaker opened')
  },

  // Before the breaker's trial: the two would take turns, one turn after another.
  function generatesNothing(scene) {
    const { bad, timedOut } = scene.seen.generation
    const wedged = bad >= limits.generationBadMax || (bad > 0 && timedOut && !goodWithin(scene, limits.wedgedMs))
    if (!wedged || isBusy(scene)) return null
    return verdict('ejected', 'generation_failures', 'asked for one token, it gave none', bad, limits.generationBadMax)
  },

  // Then it is on trial, which a rule below decides. One that was let in again stays in: its breaker gives out one place at a time.
  function breakerIsHalfOpen({ seen, before }) {
    if (seen.breaker?.state !== 'half_open' || before.health !== 'ejected') return null
    return verdict('probing', 'breaker', 'its breaker lets one request through')
  },

  // Failures of before its present state were answered for.
  function failsInARow({ seen, before, nowMs }) {
    const { hardInARow } = sumsOf(seen.traffic, nowMs, before.sinceMs)
    if (hardInARow < limits.breakerConsecutive) return null
    return verdict('ejected', 'hard_failures_in_a_row', 'requests fail one after another', hardInARow, limits.breakerConsecutive)
  },

  function failsOften({ seen, before, nowMs }) {
    const { all, hard } = sumsOf(seen.traffic, nowMs, before.sinceMs)
    if (all < limits.breakerRequestsMin || hard / all <= limits.breakerRatio) return null
    return verdict('ejected', 'hard_failure_share', 'too many of its requests fail', round(hard / all), limits.breakerRatio)
  },

  function isOnTrial(scene) {
    const { seen, before, nowMs } = scene
    if (before.health !== 'probing' || !isOutByTraffic(scene)) return null
    if (hasSucceeded(scene)) return recovered('an answer proved it well')
    if (seen.breaker?.state === 'slow_start') return recovered('its breaker closed')
    if (sumsOf(seen.traffic, nowMs, before.sinceMs).hard > 0) {
      return verdict('ejected', 'hard_failures_in_a_row', 'failed the request that was to prove it', 1, 1)
    }
    if (nowMs - before.sinceMs < limits.trialMs || seen.liveness.state === 'unhealthy') return hold(scene)
    return verdict('degraded', 'trial', 'nobody came to try it: it is let in again rather than left out for ever, and its breaker watches')
  },

  function wasEjectedByTraffic(scene) {
    const { seen, before, nowMs } = scene
    if (before.health !== 'ejected' || !isOutByTraffic(scene)) return null
    if (provenSince(scene, before.sinceMs)) return recovered('a generation probe succeeded')
    // Of one that a breaker did not take out, a slow start says nothing: it may fail in the middle of it, held in by the ledger's ceiling.
    if (before.metric === 'breaker' && seen.breaker?.state === 'slow_start') return recovered('its breaker closed')
    const gaveNothing = before.metric === 'generation_failures'
    // While requests succeed it is not asked for a token, so nothing else would ever bring it back.
    if (gaveNothing && (hasSucceeded(scene) || seen.makesTokens === true)) return recovered('it generates again')
    // A breaker that is closed again was forgotten, or closed while nobody looked: one request will tell.
    const mayTry = before.metric === 'breaker' || nowMs - before.sinceMs >= limits.trialMs
    const tried = (!gaveNothing || !seen.generation.asked) && mayTry && seen.liveness.state !== 'unhealthy'
    return tried ? verdict('probing', before.metric, 'one request will show whether it is well') : hold(scene)
  },

  function isLoading({ seen }) {
    return seen.loading ? verdict('warming', 'liveness', 'it is loading its model') : null
  },

  function doesNotAnswerItsHealthPath(scene) {
    const { liveness } = scene.seen
    if (liveness.state !== 'unhealthy') return null
    if (goodWithin(scene, limits.trafficProvesMs)) {
      return verdict('degraded', 'liveness', 'its health path fails while requests succeed', liveness.bad, limits.livenessBadMax)
    }
    if (liveness.good === 0) return verdict('ejected', 'liveness', 'its health path fails', liveness.bad, limits.livenessBadMax)
    if (scene.before.health !== 'ejected') return hold(scene)
    return verdict('probing', 'liveness', 'its health path answers again', liveness.good, limits.livenessGoodMin)
  },

  // After a restart of the loop the counts begin anew, and the state does not.
  function wasEjectedByItsHealthPath(scene) {
    if (!isOut(scene) || scene.before.metric !== 'liveness') return null
    const { liveness } = scene.seen
    return liveness.good >= limits.livenessGoodMin || goodWithin(scene, limits.trafficProvesMs) ? null : hold(scene)
  },

  function sleeps(scene) {
    const { seen, before } = scene
    if (seen.sleeping === true) return verdict('sleeping', 'engine', 'the engine sleeps')
    return before.health === 'sleeping' && seen.sleeping === null && !hasSucceeded(scene) ? hold(scene) : null
  },

  function isThrottled({ seen, before, nowMs }) {
    const { all, soft } = sumsOf(seen.traffic, nowMs)
    const share = all > 0 ? soft / all : 0
    // Half of what brought it in keeps it in.
    const already = before.metric === 'soft_failure_share'
    const bound = already ? limits.breakerRatio / 2 : limits.breakerRatio
    if (share <= bound || (!already && all < limits.breakerRequestsMin)) return null
    return verdict('degraded', 'soft_failure_share', 'it turns requests away', round(share), limits.breakerRatio)
  },

  function hasLostItsMetrics(scene) {
    const { seen, nowMs } = scene
    if (seen.scrapedAtMs === null || nowMs - seen.scrapedAtMs <= limits.metricsLostMs) return null
    // A quiet one proves itself with a token each generationQuietMs, and the question takes its time: no doubt in between.
    if (goodWithin(scene, limits.wedgedMs) || provenSince(scene, nowMs - limits.wedgedMs)) return null
    return verdict(
      'degraded',
      'metrics_age_ms',
      'no metrics and no answered requests lately',
      nowMs - seen.scrapedAtMs,
      limits.metricsLostMs,
    )
  },

  function stayedDegradedTooShort(scene) {
    const { before, nowMs } = scene
    return before.health === 'degraded' && nowMs - before.sinceMs < limits.degradedMsMin ? hold(scene) : null
  },

  function isWell(scene) {
    const { seen, before } = scene
    if (seen.breaker?.state === 'slow_start') return recovered('its breaker closed, and it starts slowly')
    if (seen.liveness.state === 'healthy') return verdict('healthy', 'liveness', 'its health path answers')
    // A new beginning does not rest on what was before it.
    const began = before.health === 'unknown' || before.health === 'disabled' ? before.sinceMs : 0
    if ((seen.traffic.lastGoodAtMs ?? 0) > began) return verdict('healthy', 'traffic', 'its requests succeed')
    if (seen.generation.goodAtMs !== null) return verdict('healthy', 'generation', 'a generation probe succeeded')
    if (seen.service?.status === 'InService') return verdict('healthy', 'service_status', 'the service says InService')
    return before.health === 'healthy' ? hold(scene) : null
  },
]

const recovered = (reason: string): Verdict => verdict('healthy', 'traffic', reason)

const nothingKnown: Verdict = verdict('unknown', null, 'nothing is known of it yet')

const round = (share: number): number => Math.round(share * 1_000) / 1_000

/** What the evidence says, in the light of what was said before. */
export function judgeOne(seen: Evidence, before: Judged, nowMs: number): Verdict {
  const scene = { seen, before, nowMs }
  for (const rule of rules) {
    const told = rule(scene)
    if (told) return told
  }
  return nothingKnown
}
