// Tallies from outside, as far as they can be true, and sums of them within a bound. A tally is told by code of another release and added up
// for good: one number that is none would spoil every sum after it. What cannot be true is left out, never mended. Pure.

import { limits } from '../limits.ts'
import { addTally, identityOf, timeClassOf, type AliasName, type Compared, type Part, type Times, type TrialTally } from './trial.ts'
import type { VersionId } from '../ids.ts'

type Loose = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Loose => typeof value === 'object' && value !== null && !Array.isArray(value)
const isCount = (value: unknown, most: number = limits.toldCountMax): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most
const isSum = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER
const isName = (value: unknown): value is string => typeof value === 'string' && value.length <= limits.trialNameCharsMax

/** A tally without fields that are not known here; null when it cannot be true. Marks are of requests that were judged, and never more. */
export function readTally(value: unknown): TrialTally | null {
  if (!isObject(value)) return null
  const { alias, version, write, slotMs, shadow, arrived, judged, hardErrors } = value
  if (!isName(alias) || !isName(version) || !isName(write) || typeof shadow !== 'boolean') return null
  if (alias === '' || version === '' || !isSlot(slotMs)) return null
  if (!isCount(arrived) || !isCount(judged) || !isCount(hardErrors, judged)) return null
  const [empty, schema, earlyAborts] = [value['empty'], value['schema'], value['earlyAborts']].map((each) => readPart(each, judged))
  const [ttft, tpot] = [value['ttft'], value['tpot']].map((each) => readTimes(each, judged))
  const compared = readCompared(value['compared'] ?? null)
  if (!empty || !schema || !earlyAborts || !ttft || !tpot || compared === 'broken') return null
  const who = { alias: alias as AliasName, version: version as VersionId, write, slotMs, shadow }
  return { ...who, arrived, judged, hardErrors, empty, schema, earlyAborts, ttft, tpot, compared }
}

const isSlot = (value: unknown): value is number => isCount(value, Number.MAX_SAFE_INTEGER) && value % limits.rolloutBlockMs === 0

function readPart(value: unknown, most: number): Part | null {
  if (!isObject(value)) return null
  const { of, bad } = value
  return isCount(of, most) && isCount(bad, of) ? { of, bad } : null
}

const lastClass = timeClassOf(Number.MAX_VALUE)

function readTimes(value: unknown, most: number): Times | null {
  if (!isObject(value)) return null
  const times: Record<string, number> = {}
  let all = 0
  for (const [name, count] of Object.entries(value)) {
    const timeClass = Number(name)
    if (!isCount(timeClass, lastClass) || String(timeClass) !== name || !isCount(count, most)) return null
    times[name] = count
    all += count
  }
  return all <= most ? times : null
}

function readCompared(value: unknown): Compared | null | 'broken' {
  if (value === null) return null
  if (!isObject(value)) return 'broken'
  const { of, errorsDiffer, deterministic, same, tokensStable, tokensCanary, tookMsStable, tookMsCanary } = value
  if (!isCount(of) || !isCount(errorsDiffer, of) || !isCount(deterministic, of) || !isCount(same, deterministic)) return 'broken'
  if (!isSum(tokensStable) || !isSum(tokensCanary) || !isSum(tookMsStable) || !isSum(tookMsCanary)) return 'broken'
  return { of, errorsDiffer, deterministic, same, tokensStable, tokensCanary, tookMsStable, tookMsCanary }
}

/** Tallies by identity, each the sum of those of its identity. */
export type TrialSums = Map<string, TrialTally>

/** Adds a tally to the sums. Of more identities than `most` those of the oldest slot go. */
export function sumUp(sums: TrialSums, tally: TrialTally, most: number): void {
  const identity = identityOf(tally)
  const known = sums.get(identity)
  sums.set(identity, known ? addTally(known, tally) : tally)
  while (sums.size > most) dropOldest(sums)
}

function dropOldest(sums: TrialSums): void {
  let oldest: { readonly identity: string; readonly slotMs: number } | null = null
  for (const [identity, { slotMs }] of sums) if (!oldest || slotMs < oldest.slotMs) oldest = { identity, slotMs }
  if (oldest) sums.delete(oldest.identity)
}
