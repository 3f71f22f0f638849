// The ceiling on ejections: what health checks alone take out of a version is bounded, for they may be wrong about everything at once.
// Pure. An endpoint that is held back from ejection stays in as degraded, and its reason says panic, which is the alarm.

import { limits } from '../../shared/limits.ts'
import type { EndpointId, VersionId } from '../../shared/ids.ts'
import type { EndpointHealth } from '../../shared/wire/snapshot.ts'
import type { Judged } from '../facts.ts'
import type { Verdict } from './health.ts'

export type Candidate = {
  readonly id: EndpointId
  readonly version: VersionId
  readonly slots: number
  readonly verdict: Verdict
  readonly before: Judged
}

/** Healths that are no part of a version's capacity, in or out. */
const uncounted: readonly EndpointHealth[] = ['warming', 'sleeping', 'gone', 'draining', 'disabled']
const isOut = ({ verdict }: Candidate): boolean => verdict.health === 'ejected' || verdict.health === 'probing'

/** Checks, from the strongest evidence to the weakest: to be asked for a token and give none is more than to be silent on a path. */
const checks: readonly (string | null)[] = ['generation_failures', 'liveness']
const isByCheck = ({ verdict }: Candidate): boolean => checks.includes(verdict.metric)

/**
 * The verdicts after the ceiling, by endpoint; those of a version are bounded together, over all its cells.
 * Failures of requests, and what a service says of its own endpoint, take out whatever else serves. Checks take out, the strongest
 * evidence first, while no more than limits.ejectionShareMax of the version's slots is out. Where nobody would serve, all are let in:
 * then the ledgers' breakers alone decide.
 */
export function withCeiling(candidates: readonly Candidate[]): ReadonlyMap<EndpointId, Verdict> {
  const verdicts = new Map(candidates.map(({ id, verdict }) => [id, verdict]))
  for (const [, ofVersion] of Map.groupBy(candidates, ({ version }) => version)) {
    for (const { id, verdict } of heldBack(ofVersion)) verdicts.set(id, panicked(verdict, shareOut(ofVersion)))
  }
  return verdicts
}

const panicked = (verdict: Verdict, share: number): Verdict => ({
  health: 'degraded',
  metric: 'ejected_share',
  reason: `panic: too much of its version would be out (${verdict.reason})`,
  value: share,
  threshold: limits.ejectionShareMax,
})

const slotsOf = (candidates: readonly Candidate[]): number => candidates.reduce((sum, { slots }) => sum + slots, 0)

const counted = (candidates: readonly Candidate[]): readonly Candidate[] =>
  candidates.filter(({ verdict }) => !uncounted.includes(verdict.health))

const shareOut = (candidates: readonly Candidate[]): number =>
  Math.round((1_000 * slotsOf(candidates.filter(isOut))) / slotsOf(counted(candidates))) / 1_000

/** Those of a version who would be out and must not be. */
function heldBack(candidates: readonly Candidate[]): readonly Candidate[] {
  const out = candidates.filter(isOut)
  const total = slotsOf(counted(candidates))
  let taken = slotsOf(out.filter((candidate) => !isByCheck(candidate)))
  const held = out
    .filter(isByCheck)
    .toSorted(byStrength)
    .filter(({ slots }) => {
      const fits = taken + slots <= limits.ejectionShareMax * total
      if (fits) taken += slots
      return !fits
    })
  const failing = out.filter((candidate) => !isByCheck(candidate))
  // What fails requests stays out as long as somebody else serves, be it one that was just held back.
  return total > 0 && slotsOf(failing) === total ? failing.filter(({ verdict }) => verdict.metric !== 'service_status') : held
}

/** Strongest evidence first; of equals those that are out already, so that nobody swaps places each turn. */
const byStrength = (a: Candidate, b: Candidate): number =>
  checks.indexOf(a.verdict.metric) - checks.indexOf(b.verdict.metric) || Number(wasOut(b)) - Number(wasOut(a)) || (a.id < b.id ? -1 : 1)

const wasOut = ({ before }: Candidate): boolean => before.health === 'ejected' || before.health === 'probing'
