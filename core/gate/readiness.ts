// The readiness gate: before a version is given weight, each of its endpoints has the model in memory and has answered real requests, and
// together they have room for what the weight will bring. Pure. What is not yet so is inconclusive, for it may become so: only what has
// failed, or cannot fit, fails. What nobody has measured is no data, never zero.

import { limits } from '../../shared/limits.ts'
import { answerOf, type Check, type GateAnswer, type GateMode, type GateResult } from '../../shared/wire/gate.ts'

/** One endpoint of the version, as its engine and ledger tell. */
export type Target = {
  readonly load: 'loaded' | 'loading' | 'failed' | 'unknown'
  /** Real requests since it was loaded, such as copies of production's or those of an evaluation; health checks are none. */
  readonly warm: { readonly good: number; readonly failed: number }
  /** Requests it completes per second with all its slots busy; null while no service was measured. */
  readonly capacityPerS: number | null
  /** Requests per second that it has already. */
  readonly busyPerS: number
}

export type Demand = {
  /** All the traffic of which the version will get a part; null while nobody has measured it. */
  readonly trafficPerS: number | null
  /** The part, in 1/10,000. */
  readonly weightBp: number
}

/** The answer for a version's endpoints in one place: a region, or an environment as a whole. Without endpoints there is no data. */
export function judgeReadiness(targets: readonly Target[], demand: Demand, mode: GateMode): GateResult {
  const checks = targets.length === 0 ? [] : [loadedCheck(targets), warmedCheck(targets), capacityCheck(targets, demand)]
  return { gate: 'readiness', mode, answer: answerOf(checks), checks }
}

const count = (targets: readonly Target[], isSo: (target: Target) => boolean): number => targets.filter(isSo).length

function loadedCheck(targets: readonly Target[]): Check {
  const loaded = count(targets, ({ load }) => load === 'loaded')
  const failed = count(targets, ({ load }) => load === 'failed')
  const unknown = count(targets, ({ load }) => load === 'unknown')
  const answer = failed > 0 ? 'fail' : unknown > 0 ? 'no_data' : loaded < targets.length ? 'inconclusive' : 'pass'
  const rest = failed > 0 ? `, ${failed} failed to load` : unknown > 0 ? `, of ${unknown} nothing is known` : ''
  return ofAll('endpoints_loaded', answer, loaded, targets, `${loaded} of ${targets.length} endpoints have it loaded${rest}`)
}

function warmedCheck(targets: readonly Target[]): Check {
  const isWarm = ({ warm }: Target): boolean => warm.good >= limits.warmRequestsMin
  const isFailing = (target: Target): boolean => !isWarm(target) && target.warm.failed >= limits.warmRequestsMin
  const [warm, failing] = [count(targets, isWarm), count(targets, isFailing)]
  const answer = failing > 0 ? 'fail' : warm < targets.length ? 'inconclusive' : 'pass'
  const rest = failing > 0 ? `, ${failing} answer with failures` : ''
  return ofAll(
    'endpoints_warmed',
    answer,
    warm,
    targets,
    `${warm} of ${targets.length} endpoints have answered ${limits.warmRequestsMin} requests${rest}`,
  )
}

const ofAll = (metric: string, answer: GateAnswer, measured: number, targets: readonly Target[], reason: string): Check => ({
  metric,
  answer,
  measured,
  reference: null,
  threshold: targets.length,
  bound: 'least',
  samples: targets.length,
  interval: null,
  reason,
})

/** Spare capacity >= weight x traffic x limits.rolloutSpareFactor. Endpoints that are not loaded have none. */
function capacityCheck(targets: readonly Target[], { trafficPerS, weightBp }: Demand): Check {
  const loaded = targets.filter(({ load }) => load === 'loaded')
  const unmeasured = count(loaded, ({ capacityPerS }) => capacityPerS === null)
  const sparePerS = loaded.reduce((sum, { capacityPerS, busyPerS }) => sum + Math.max(0, (capacityPerS ?? 0) - busyPerS), 0)
  const bringsPerS = trafficPerS === null ? null : (trafficPerS * weightBp) / 10_000
  const neededPerS = bringsPerS === null ? null : bringsPerS * limits.rolloutSpareFactor
  const hasRoom = neededPerS !== null && sparePerS > 0 && sparePerS >= neededPerS
  const isWaiting = loaded.length < targets.length
  return {
    metric: 'spare_capacity_per_s',
    answer: hasRoom ? 'pass' : neededPerS === null || unmeasured > 0 ? 'no_data' : isWaiting ? 'inconclusive' : 'fail',
    measured: loaded.length > 0 && unmeasured === loaded.length ? null : sparePerS,
    reference: bringsPerS,
    threshold: neededPerS,
    bound: 'least',
    samples: loaded.length,
    interval: null,
    reason: reason(),
  }

  function reason(): string {
    if (neededPerS === null) return 'the traffic has not been measured'
    const said = `room for ${rounded(sparePerS)} requests a second, where the weight needs ${rounded(neededPerS)}`
    return unmeasured > 0 ? `${said}; ${unmeasured} endpoints have not been measured` : said
  }
}

const rounded = (value: number): number => Math.round(value * 100) / 100
