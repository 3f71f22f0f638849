// How fast an endpoint is, from its own completions. A failure counts as a slow answer however quickly it came, for else an endpoint
// that fails at once would look like the fastest; but it says nothing about first tokens. What failures add is forgotten with time, not only
// with good answers: an endpoint that answers in milliseconds would hardly be asked again after a single one. Numbers from outside are
// checked here.

import { limits } from '../../shared/limits.ts'
import type { Settled } from '../../shared/wire/ledger.ts'

/** Mean over the last while: each sample's weight fades with its age. `samples`: the weights' sum, as of `atMs`. */
type Mean = { samples: number; value: number; atMs: number }

/** First tokens against prompt tokens: both means, and how they vary together. */
type Slope = { samples: number; tokens: number; ttftMs: number; variance: number; covariance: number }

export type Speed = {
  /** Of good answers. */
  readonly service: Mean
  /** What failures add to it, as of the last completion. */
  penaltyMs: number
  /** Good ones and failures. */
  completions: number
  readonly ttft: Mean
  readonly prefill: Slope
  lastGoodAtMs: number | null
  seenAtMs: number
}

export const newSpeed = (): Speed => ({
  service: { samples: 0, value: 0, atMs: 0 },
  penaltyMs: 0,
  completions: 0,
  ttft: { samples: 0, value: 0, atMs: 0 },
  prefill: { samples: 0, tokens: 0, ttftMs: 0, variance: 0, covariance: 0 },
  lastGoodAtMs: null,
  seenAtMs: 0,
})

export type Completion = Pick<Settled, 'outcome' | 'ttfbMs' | 'tookMs' | 'retryAfterMs' | 'promptTokens'>

/** Begins with a service time in milliseconds as an earlier life measured it: old, but better than a guess. */
export function startFrom(speed: Speed, ms: number): void {
  if (isTime(ms)) include(speed.service, ms, speed.service.atMs)
}

/** Its failures are forgotten: it has proven itself well. */
export function forgive(speed: Speed): void {
  speed.penaltyMs = 0
}

/** Takes a completion in. A cancelled one was cut at a moment that the client chose, so it teaches nothing. */
export function learn(speed: Speed, settled: Completion, nowMs: number): void {
  if (settled.outcome === 'cancelled') return
  const penaltyMs = penaltyNow(speed, nowMs)
  speed.seenAtMs = nowMs
  speed.completions++
  // As if all completions were in one mean: a good one leaves less of what failures added, a failure moves the sum towards its record.
  const weight = weightOf(speed.completions)
  if (settled.outcome === 'good') {
    speed.penaltyMs = penaltyMs * (1 - weight)
    learnGood(speed, settled, nowMs)
  } else speed.penaltyMs = penaltyMs + weight * Math.max(0, recordedMs(settled) - speed.service.value - penaltyMs)
}

/** What failures add now. Where no good answer was ever seen there is nothing to go back to, and it stays. */
function penaltyNow({ service, penaltyMs, seenAtMs }: Speed, nowMs: number): number {
  return service.samples === 0 || penaltyMs === 0
    ? penaltyMs
    : penaltyMs * Math.exp(-Math.max(0, nowMs - seenAtMs) / limits.failureForgetMs)
}

function learnGood(speed: Speed, { ttfbMs, tookMs, promptTokens }: Completion, nowMs: number): void {
  speed.lastGoodAtMs = nowMs
  if (isTime(tookMs)) include(speed.service, tookMs, nowMs)
  if (!isTime(ttfbMs)) return
  include(speed.ttft, ttfbMs, nowMs)
  if (isCount(promptTokens)) includeSlope(speed.prefill, promptTokens, ttfbMs)
}

/** What a failure is recorded as: its own time or the one the engine asks for, within bounds. */
function recordedMs({ tookMs, retryAfterMs }: Completion): number {
  const ownMs = Math.max(isTime(tookMs) ? tookMs : 0, isTime(retryAfterMs) ? retryAfterMs : 0)
  return Math.min(limits.failureRecordedMsMax, Math.max(limits.failureRecordedMs, ownMs))
}

/** Mean service time in milliseconds with what failures add to it; null while nothing was seen. */
export function serviceMs(speed: Speed, nowMs = speed.seenAtMs): number | null {
  const { service, penaltyMs } = speed
  return service.samples > 0 || penaltyMs > 0 ? service.value + penaltyNow(speed, nowMs) : null
}

/** Mean time to the first token in milliseconds, over good answers; null while none was seen. */
export const ttftMs = ({ ttft }: Speed): number | null => (ttft.samples > 0 ? ttft.value : null)

/** Whether its times are too old to tell what it would do now, or of a time that is yet to come: the clock was put back. */
export const isStale = (speed: Speed, nowMs: number): boolean => Math.abs(nowMs - speed.seenAtMs) > limits.speedStaleMs

export const lastGoodAtMs = (speed: Speed): number | null => speed.lastGoodAtMs

/**
 * Expected time to the first token of a prompt with so many tokens that are not cached; null tokens: not known, so that of the mean prompt.
 * Least squares over the smoothed samples, with the slope held between "prompts make no difference" and "nothing but the prompt does":
 * dividing each time by its own prompt instead would let short prompts, which pay the fixed part too, speak for the long ones.
 */
export function prefillMs(speed: Speed, promptTokens: number | null): number | null {
  const { prefill } = speed
  if (!isCount(promptTokens) || prefill.samples === 0) return ttftMs(speed)
  return prefill.ttftMs + msPerToken(prefill) * (promptTokens - prefill.tokens)
}

function msPerToken({ tokens, ttftMs, variance, covariance }: Slope): number {
  if (variance <= 0) return 0
  return Math.min(Math.max(0, covariance / variance), ttftMs / tokens)
}

/** A plain average while that gives a sample more weight than smoothing would, so that it settles quickly. */
const weightOf = (samples: number): number => Math.max(limits.speedSmoothing, 1 / samples)

/**
 * Fading by age and not by count keeps as many samples as there were in that time: with a fixed share per sample the mean of a busy endpoint
 * is noise, and noise in the rates makes queues (test/sim/blind-draw.test.ts).
 */
function include(mean: Mean, value: number, nowMs: number): void {
  const ageMs = Math.max(0, nowMs - mean.atMs)
  mean.samples = 1 + mean.samples * Math.exp(-ageMs / limits.speedFadeMs)
  mean.value += (value - mean.value) / mean.samples
  mean.atMs = nowMs
}

/** Weighted covariance, updated in place (the incremental form of Welford's, with exponential weights). */
function includeSlope(slope: Slope, tokens: number, ttftMs: number): void {
  slope.samples++
  const weight = weightOf(slope.samples)
  const moreTokens = tokens - slope.tokens
  const moreMs = ttftMs - slope.ttftMs
  slope.tokens += weight * moreTokens
  slope.ttftMs += weight * moreMs
  slope.variance = (1 - weight) * (slope.variance + weight * moreTokens * moreTokens)
  slope.covariance = (1 - weight) * (slope.covariance + weight * moreTokens * moreMs)
}

const isTime = (ms: number | null | undefined): ms is number => typeof ms === 'number' && ms >= 0 && ms <= limits.deadlineMsMax

/** A token is at least a byte of the body. */
const isCount = (tokens: number | null | undefined): tokens is number =>
  typeof tokens === 'number' && tokens >= 0 && tokens <= limits.bodyBytesMax

/** The last times of a class of requests; the oldest is overwritten. */
export type ClassTimes = { readonly timesMs: number[]; oldest: number }

export const newClassTimes = (): ClassTimes => ({ timesMs: [], oldest: 0 })

export function learnClass(times: ClassTimes, tookMs: number): void {
  if (!isTime(tookMs)) return
  times.timesMs[times.oldest] = tookMs
  times.oldest = (times.oldest + 1) % limits.hedgeSamplesMax
}

/** The 95th percentile in milliseconds (nearest rank); null while too few were seen. */
export function p95Ms({ timesMs }: ClassTimes): number | null {
  if (timesMs.length < limits.hedgeSamplesMin) return null
  const sorted = timesMs.toSorted((a, b) => a - b)
  return sorted[Math.ceil(limits.hedgeQuantile * sorted.length) - 1] ?? null
}
