// Whether an endpoint gets requests, and how many at once, by what became of those it had. It only ever judges by outcomes: a probe
// that answers does not close what traffic opened. Exact counts in one-second buckets, because a burst of failures must weigh what it is.
// Half-open, a place is given like any other: one in flight at most, so a request that its client cancelled frees the trial by itself.
// Then only requests sent since count: what was on its way when it opened has been answered for.

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { BreakerState, OutcomeKind } from '../../shared/wire/ledger.ts'
import { add, clear, newWindow, sums, type Window } from './window.ts'

export type Breaker = {
  readonly window: Window<'good' | 'soft' | 'hard'>
  /** Hard failures since the last good answer. */
  hardRun: number
  /** Out until then and half-open from then on; null: closed. */
  openUntilMs: number | null
  /** Good answers since it is half-open. */
  trialsGood: number
  /** Openings without a long good time between them. */
  openings: number
  /** When it last closed: the begin of the slow start; null: it never was open. */
  closedAtMs: number | null
  /**
   * Its part of the places at `fromMs`, growing from then on; before then (the engine named a time to come back) one place.
   * `cutAtMs`: when it was last cut; null: never.
   */
  throttle: { readonly share: number; readonly fromMs: number; readonly cutAtMs: number | null }
  reason: string | null
  seenMs: number
}

export const newBreaker = (): Breaker => ({
  window: newWindow(['good', 'soft', 'hard'], limits.breakerBuckets, limits.breakerBucketMs),
  hardRun: 0,
  openUntilMs: null,
  trialsGood: 0,
  openings: 0,
  closedAtMs: null,
  throttle: { share: 1, fromMs: 0, cutAtMs: null },
  reason: null,
  seenMs: 0,
})

export type Observed = {
  readonly nowMs: number
  readonly random: Random
  /** When the request was sent, or its lease was granted. */
  readonly sentAtMs: number
  /** Whether one more endpoint may be taken out (ejection ceiling). Until it may, this one stays in, however bad. Asked only when it matters. */
  readonly mayOpen: () => boolean
  /** Of a soft failure: when the engine wants to be asked again. */
  readonly retryAfterMs?: number | null
}

/** Takes an outcome in. A client that left says nothing about the endpoint. */
export function observe(breaker: Breaker, outcome: OutcomeKind, at: Observed): void {
  followClock(breaker, at.nowMs)
  switch (outcome) {
    case 'good':
      observeGood(breaker, at)
      return
    case 'soft_failure':
      observeSoft(breaker, at)
      return
    case 'hard_failure':
      observeHard(breaker, at)
      return
    case 'cancelled':
      return
    default: {
      const never: never = outcome
      throw new Error(`breaker: unknown outcome ${String(never)}`)
    }
  }
}

function observeGood(breaker: Breaker, at: Observed): void {
  const { nowMs } = at
  add(breaker.window, 'good', nowMs)
  breaker.hardRun = 0
  const { throttle } = breaker
  if (nowMs >= throttle.fromMs) {
    const share = Math.min(1, throttledShare(throttle, nowMs) + limits.throttleGoodStep)
    // Whole again, it has no time any more: a clock that steps back must not make that one yet to come.
    breaker.throttle = { ...throttle, share, fromMs: share < 1 ? nowMs : 0 }
  }
  switch (stateOf(breaker, nowMs)) {
    case 'open':
      // Sent before it opened.
      return
    case 'half_open':
      if (!isTrial(breaker, at)) return
      breaker.trialsGood++
      if (breaker.trialsGood >= limits.breakerGoodMin) close(breaker, nowMs)
      return
    default:
      openIfBad(breaker, at)
  }
}

function observeSoft(breaker: Breaker, at: Observed): void {
  const { nowMs } = at
  add(breaker.window, 'soft', nowMs)
  const waitMs = boundedWaitMs(at.retryAfterMs)
  throttleBack(breaker, at, nowMs + waitMs)
  if (breaker.openUntilMs === null) return
  if (isTrial(breaker, at)) breaker.trialsGood = 0
  // No trial before the time that the engine named; it does not count as an opening.
  if (waitMs > 0) breaker.openUntilMs = Math.max(breaker.openUntilMs, nowMs + waitMs)
}

/**
 * One cut for all that were under way together, as TCP has one for a window: each of them says the same thing, and a burst must not leave
 * one place of a hundred. But while they go on nothing comes back with time: an endpoint that turns everybody away would keep an eighth of
 * its places, and so a quarter of all requests.
 */
function throttleBack(breaker: Breaker, { nowMs, sentAtMs }: Observed, backMs: number): void {
  const { throttle } = breaker
  const fromMs = Math.max(throttle.fromMs, backMs)
  const wasCut = throttle.cutAtMs !== null && sentAtMs <= throttle.cutAtMs
  const share = nowMs < throttle.fromMs ? throttle.share : throttledShare(throttle, nowMs)
  breaker.throttle = wasCut ? { ...throttle, fromMs } : { share: limits.throttleShare * share, fromMs, cutAtMs: nowMs }
}

function observeHard(breaker: Breaker, at: Observed): void {
  add(breaker.window, 'hard', at.nowMs)
  breaker.hardRun++
  switch (stateOf(breaker, at.nowMs)) {
    case 'open':
      return
    case 'half_open':
      if (!isTrial(breaker, at)) return
      breaker.trialsGood = 0
      if (at.mayOpen()) open(breaker, '1 hard failure on trial (limit 0)', at)
      return
    default:
      openIfBad(breaker, at)
  }
}

function openIfBad(breaker: Breaker, at: Observed): void {
  const reason = badness(breaker, at.nowMs)
  if (reason !== null && at.mayOpen()) open(breaker, reason, at)
}

/** Whether the request was sent since it is half-open. */
const isTrial = ({ openUntilMs }: Breaker, { sentAtMs }: Observed): boolean => openUntilMs !== null && sentAtMs >= openUntilMs

function badness({ window, hardRun }: Breaker, nowMs: number): string | null {
  if (hardRun >= limits.breakerConsecutive) return `${hardRun} hard failures in a row (limit ${limits.breakerConsecutive})`
  const { good, soft, hard } = sums(window, nowMs)
  const all = good + soft + hard
  if (all < limits.breakerRequestsMin || hard <= limits.breakerRatio * all) return null
  const windowS = (limits.breakerBuckets * limits.breakerBucketMs) / 1_000
  return `hard failures ${(hard / all).toFixed(2)} of ${all} in ${windowS} s (limit ${limits.breakerRatio})`
}

/** Equal jitter: half of the back-off is fixed, so that it never comes at once; half is chance, so that endpoints do not come together. */
function open(breaker: Breaker, reason: string, { nowMs, random }: Observed): void {
  const longGood = breaker.closedAtMs !== null && breaker.openUntilMs === null && nowMs - breaker.closedAtMs >= limits.breakerForgetMs
  breaker.openings = longGood ? 1 : breaker.openings + 1
  const backoffMs = Math.min(limits.breakerBackoffMsMax, limits.breakerBackoffMs * 2 ** (breaker.openings - 1))
  breaker.openUntilMs = nowMs + backoffMs / 2 + (backoffMs / 2) * random()
  breaker.trialsGood = 0
  breaker.reason = reason
}

/** Core had taken it out and can no longer let it in: from a moment of the next `slowStartMs` on it is tried like one that opened by itself. */
export function tryOut(breaker: Breaker, nowMs: number, random: Random): void {
  followClock(breaker, nowMs)
  breaker.openUntilMs = nowMs + limits.slowStartMs * random()
  breaker.trialsGood = 0
  breaker.reason = 'called unhealthy by a core that has gone silent'
}

/** What was counted before is forgotten: it would open again at once. */
function close(breaker: Breaker, nowMs: number): void {
  breaker.openUntilMs = null
  breaker.closedAtMs = nowMs
  breaker.trialsGood = 0
  breaker.hardRun = 0
  clear(breaker.window)
}

export function stateOf(breaker: Breaker, nowMs: number): BreakerState {
  if (breaker.openUntilMs !== null) {
    const leftMs = breaker.openUntilMs - nowMs
    // More than the longest back-off can only be left when the clock has stepped back: then a trial shows how it stands.
    return leftMs > 0 && leftMs <= limits.breakerBackoffMsMax ? 'open' : 'half_open'
  }
  return slowShare(breaker, nowMs) < 1 ? 'slow_start' : 'closed'
}

/** How many requests it may have in flight at most, of the `slots` that it has. */
export function capOf(breaker: Breaker, slots: number, nowMs: number): number {
  const state = stateOf(breaker, nowMs)
  if (state === 'open') return 0
  if (state === 'half_open') return Math.min(1, slots)
  const share = slowShare(breaker, nowMs) * throttledShare(breaker.throttle, nowMs)
  return Math.min(slots, Math.max(1, Math.floor(slots * share)))
}

export const isOut = (breaker: Breaker, nowMs: number): boolean => stateOf(breaker, nowMs) === 'open'

/** Why it last opened, with value and limit; null when it never did. */
export const reasonOf = (breaker: Breaker): string | null => breaker.reason

function slowShare({ closedAtMs }: Breaker, nowMs: number): number {
  if (closedAtMs === null) return 1
  const done = Math.min(1, Math.max(0, nowMs - closedAtMs) / limits.slowStartMs)
  return limits.slowStartShare + (1 - limits.slowStartShare) * done
}

const throttledShare = ({ share, fromMs }: Breaker['throttle'], nowMs: number): number =>
  nowMs < fromMs ? 0 : Math.min(1, share + (nowMs - fromMs) / limits.throttleMs)

/** A time that an engine names is a number from outside: absurd ones are none, long ones end. */
const boundedWaitMs = (ms: number | null | undefined): number =>
  typeof ms === 'number' && ms > 0 ? Math.min(ms, limits.breakerBackoffMsMax) : 0

/** When the clock has stepped back all times step back with it: what was left to wait stays left, no more and no less. */
function followClock(breaker: Breaker, nowMs: number): void {
  const backMs = breaker.seenMs - nowMs
  breaker.seenMs = nowMs
  if (backMs <= 0) return
  if (breaker.openUntilMs !== null) breaker.openUntilMs -= backMs
  if (breaker.closedAtMs !== null) breaker.closedAtMs -= backMs
  const { share, fromMs, cutAtMs } = breaker.throttle
  breaker.throttle = { share, fromMs: fromMs - backMs, cutAtMs: cutAtMs === null ? null : cutAtMs - backMs }
}

/** What a restart needs. Counts are left out: they are gone in seconds anyway. */
export type KeptBreaker = Pick<Breaker, 'openUntilMs' | 'openings' | 'closedAtMs' | 'reason'> & {
  readonly throttle: Omit<Breaker['throttle'], 'cutAtMs'>
}

export const keep = ({ openUntilMs, openings, closedAtMs, throttle, reason }: Breaker): KeptBreaker => ({
  openUntilMs,
  openings,
  closedAtMs,
  throttle,
  reason,
})

/** The breaker as it was kept, on a clock that may be another: no wait grows beyond its longest, none is cut short. Trials begin anew. */
export function restore(kept: KeptBreaker, nowMs: number): Breaker {
  const { openUntilMs, openings, closedAtMs, throttle, reason } = kept
  const latestMs = nowMs + limits.breakerBackoffMsMax
  return {
    ...newBreaker(),
    openUntilMs: openUntilMs === null ? null : Math.min(openUntilMs, latestMs),
    openings,
    closedAtMs: closedAtMs === null ? null : Math.min(closedAtMs, nowMs),
    throttle: { share: throttle.share, fromMs: Math.min(throttle.fromMs, latestMs), cutAtMs: null },
    reason,
    seenMs: nowMs,
  }
}
