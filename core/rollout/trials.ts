// What ledgers have told of versions (shared/wire/trial.ts), kept for ten minutes by alias, region and slot, and for an hour by version.
// Decides which slots are whole: only those are judged. Kept in memory alone: after a restart the slots of before are gone, and those that
// had begun are never whole, for a part of their requests was told to the life before. Pure but for the maps it is given.

import { limits } from '../../shared/limits.ts'
import type { RegionName, RolloutId, VersionId } from '../../shared/ids.ts'
import {
  addCompared,
  addPart,
  addTally,
  addTimes,
  noPart,
  type AliasName,
  type Compared,
  type Part,
  type Times,
  type TrialTally,
  type WriteName,
} from '../../shared/wire/trial.ts'

/**
 * Tallies of one slot and region, by what tells arms apart: version, whether its requests were copies, and the rollout that sent them. A
 * version that failed in one rollout is tried again in another, and must not be judged by what it did in the first.
 */
type Slot = Map<string, TrialTally>

/** Requests that left for an endpoint, by the write that assigned them, as told at this time. */
type Told = { readonly atMs: number; readonly byWrite: Map<WriteName, number> }

/** What one version did within a minute, or an hour: for what stable's usual values are. */
export type Usual = {
  readonly judged: number
  readonly hardErrors: number
  readonly empty: Part
  readonly schema: Part
  readonly earlyAborts: Part
  readonly ttft: Times
  readonly tpot: Times
}
type Minute = Usual & { readonly fromMs: number }

export type AliasTrials = {
  readonly regions: Map<RegionName, Map<number, Slot>>
  told: Told[]
  /** Requests of a version that were judged, by the write that assigned them: newest writes last. */
  readonly since: Map<WriteName, Map<VersionId, number>>
  readonly minutes: Map<VersionId, Minute[]>
  /** Copies whose answers were compared with stable's, by the write that sent them. */
  readonly compared: Map<WriteName, Compared>
}

/** `sinceMs`: slots that began earlier are not whole. */
export type Trials = { readonly sinceMs: number; readonly aliases: Map<AliasName, AliasTrials> }

export const newTrials = (nowMs: number): Trials => ({ sinceMs: nowMs, aliases: new Map() })

const noUsual: Usual = { judged: 0, hardErrors: 0, empty: noPart, schema: noPart, earlyAborts: noPart, ttft: {}, tpot: {} }

/** Writes whose requests are counted; the oldest go. A rollout has one for each of its steps, and only the newest matters. */
const writesMax = 8
const minuteMs = 60_000

/** Takes in what a ledger of this region has told, each tally once. */
export function foldTrials(trials: Trials, region: RegionName, tallies: readonly TrialTally[], nowMs: number): void {
  for (const tally of tallies) {
    const alias = aliasOf(trials, tally.alias)
    noteTold(alias, tally, nowMs)
    noteSince(alias, tally)
    noteMinute(alias, tally)
    noteCompared(alias, tally)
    const slots = alias.regions.get(region) ?? new Map<number, Slot>()
    alias.regions.set(region, slots)
    const slot: Slot = slots.get(tally.slotMs) ?? new Map<string, TrialTally>()
    slots.set(tally.slotMs, slot)
    const arm = armOf(tally)
    const known = slot.get(arm)
    slot.set(arm, known ? addTally(known, tally) : tally)
  }
}

/** Lets go of what is too old, and of aliases that are gone. */
export function forgetTrials(trials: Trials, aliases: ReadonlySet<AliasName>, nowMs: number): void {
  for (const [name, alias] of trials.aliases) {
    if (!aliases.has(name)) trials.aliases.delete(name)
    alias.told = alias.told.filter(({ atMs }) => nowMs - atMs <= limits.trialTrafficMs && atMs <= nowMs)
    for (const slots of alias.regions.values()) {
      for (const slotMs of slots.keys()) if (Math.abs(nowMs - slotMs) > limits.rolloutBlockLateMsMax) slots.delete(slotMs)
    }
    for (const [version, minutes] of alias.minutes) {
      const young = minutes.filter(({ fromMs }) => Math.abs(nowMs - fromMs) <= limits.trialUsualMs)
      if (young.length > 0) alias.minutes.set(version, young)
      else alias.minutes.delete(version)
    }
  }
}

const rolloutOf = (write: WriteName): string => write.split(':')[0] ?? ''

const armOf = ({ version, shadow, write }: TrialTally): string => `${version} ${shadow ? 'copies' : ''} ${rolloutOf(write)}`

function aliasOf(trials: Trials, name: AliasName): AliasTrials {
  const known = trials.aliases.get(name)
  if (known) return known
  const fresh: AliasTrials = { regions: new Map(), told: [], since: new Map(), minutes: new Map(), compared: new Map() }
  trials.aliases.set(name, fresh)
  return fresh
}

function noteTold({ told }: AliasTrials, tally: TrialTally, nowMs: number): void {
  if (tally.arrived === 0 || tally.shadow) return
  const last = told.at(-1)
  const moment: Told = last?.atMs === nowMs ? last : { atMs: nowMs, byWrite: new Map() }
  if (moment !== last) told.push(moment)
  moment.byWrite.set(tally.write, (moment.byWrite.get(tally.write) ?? 0) + tally.arrived)
}

function noteSince({ since }: AliasTrials, { write, version, judged }: TrialTally): void {
  if (judged === 0) return
  const byVersion = since.get(write) ?? new Map<VersionId, number>()
  since.set(write, byVersion)
  byVersion.set(version, (byVersion.get(version) ?? 0) + judged)
  const oldest = since.size > writesMax ? since.keys().next().value : undefined
  if (oldest !== undefined) since.delete(oldest)
}

function noteMinute({ minutes }: AliasTrials, tally: TrialTally): void {
  if (tally.shadow || tally.judged === 0) return
  const fromMs = Math.floor(tally.slotMs / minuteMs) * minuteMs
  const all = minutes.get(tally.version) ?? []
  const known = all.find((each) => each.fromMs === fromMs)
  const sum = { ...addUsual(known ?? noUsual, tally), fromMs }
  minutes.set(tally.version, known ? all.map((each) => (each === known ? sum : each)) : [...all, sum])
}

function noteCompared({ compared }: AliasTrials, { write, compared: told }: TrialTally): void {
  if (!told) return
  const known = compared.get(write)
  compared.set(write, known ? addCompared(known, told) : told)
  const oldest = compared.size > writesMax ? compared.keys().next().value : undefined
  if (oldest !== undefined) compared.delete(oldest)
}

/** How the answers to copies compared with stable's, over all writes of a rollout; null: none were compared. */
export function comparedOf(trials: Trials, alias: AliasName, rollout: RolloutId): Compared | null {
  const own = [...(trials.aliases.get(alias)?.compared ?? [])].filter(([write]) => write.startsWith(`${rollout}:`))
  return own.reduce<Compared | null>((sum, [, each]) => (sum ? addCompared(sum, each) : each), null)
}

const addUsual = (a: Usual, b: Usual): Usual => ({
  judged: a.judged + b.judged,
  hardErrors: a.hardErrors + b.hardErrors,
  empty: addPart(a.empty, b.empty),
  schema: addPart(a.schema, b.schema),
  earlyAborts: addPart(a.earlyAborts, b.earlyAborts),
  ttft: addTimes(a.ttft, b.ttft),
  tpot: addTimes(a.tpot, b.tpot),
})

/** What a version did for an alias within the last hour. */
export function usualOf(trials: Trials, alias: AliasName, version: VersionId): Usual {
  const minutes = trials.aliases.get(alias)?.minutes.get(version) ?? []
  return minutes.reduce<Usual>(addUsual, noUsual)
}

/** The part of the requests told lately, in 1/10,000, that this write assigned; null: none were told. */
export function trafficBpOf(trials: Trials, alias: AliasName, write: WriteName, nowMs: number): number | null {
  const told = (trials.aliases.get(alias)?.told ?? []).filter(({ atMs }) => nowMs - atMs <= limits.trialTrafficMs)
  let [all, own] = [0, 0]
  for (const { byWrite } of told) {
    for (const [name, count] of byWrite) {
      all += count
      if (name === write) own += count
    }
  }
  return all === 0 ? null : Math.floor((own / all) * 10_000)
}

/** Requests that this write sent or copied to the version, and that were judged. */
export const judgedSince = (trials: Trials, alias: AliasName, write: WriteName, version: VersionId): number =>
  trials.aliases.get(alias)?.since.get(write)?.get(version) ?? 0

/** Requests of the version that have left and are not judged yet. A lost report ages out with its slot. */
export function runningOf(trials: Trials, alias: AliasName, version: VersionId): number {
  let running = 0
  for (const slots of trials.aliases.get(alias)?.regions.values() ?? []) {
    for (const slot of slots.values()) {
      for (const tally of slot.values()) if (tally.version === version) running += Math.max(0, tally.arrived - tally.judged)
    }
  }
  return running
}

/** Requests per second of an alias in a region, over the whole slots of the last minute; null while there was not one of them. */
export function arrivalsPerSOf(trials: Trials, alias: AliasName, region: RegionName, nowMs: number): number | null {
  const newest = Math.floor(nowMs / limits.rolloutBlockMs) * limits.rolloutBlockMs
  const oldest = Math.max(newest - minuteMs, Math.ceil(trials.sinceMs / limits.rolloutBlockMs) * limits.rolloutBlockMs)
  if (oldest >= newest) return null
  let arrived = 0
  for (const [slotMs, slot] of trials.aliases.get(alias)?.regions.get(region) ?? []) {
    if (slotMs < oldest || slotMs >= newest) continue
    for (const tally of slot.values()) if (!tally.shadow) arrived += tally.arrived
  }
  return (arrived * 1_000) / (newest - oldest)
}

// ---- Slots ----

/** Stable's and the canary's part of one slot and region; copies count as the canary's. Null: that arm had no request there. */
export type SlotArms = {
  readonly region: RegionName
  readonly slotMs: number
  readonly stable: TrialTally | null
  readonly canary: TrialTally | null
}

export type Pairing = { readonly alias: AliasName; readonly stable: VersionId; readonly canary: VersionId; readonly rollout: RolloutId }

/**
 * All slots of the two that are known, whole or not, in order of time. Stable's requests count whoever wrote the alias, the canary's only
 * where this rollout sent them.
 */
export function slotsOf(trials: Trials, { alias, stable, canary, rollout }: Pairing): readonly SlotArms[] {
  const found: SlotArms[] = []
  for (const [region, slots] of trials.aliases.get(alias)?.regions ?? []) {
    for (const [slotMs, slot] of slots) {
      // Nobody can leave a copy; and it is sent just when its caller asks again, so that on shared servers its times are those of more load.
      const tallies = [...slot.values()].map((tally) => (tally.shadow ? { ...tally, earlyAborts: noPart, ttft: {}, tpot: {} } : tally))
      const arms = {
        stable: sumOf(tallies.filter(({ version, shadow }) => version === stable && !shadow)),
        canary: sumOf(tallies.filter(({ version, write }) => version === canary && rolloutOf(write) === rollout)),
      }
      if (arms.stable || arms.canary) found.push({ region, slotMs, ...arms })
    }
  }
  return found.toSorted((a, b) => a.slotMs - b.slotMs || (a.region < b.region ? -1 : 1))
}

const sumOf = (tallies: readonly TrialTally[]): TrialTally | null =>
  tallies.reduce<TrialTally | null>((sum, each) => (sum ? addTally(sum, each) : each), null)

/**
 * Whether it is certain for all requests of the slot what became of them, in both arms by the same rule. Reports are a moment on their way,
 * so a slot is not whole before that; and what is still missing when every request must have been judged will not come any more.
 */
export function isWhole(trials: Trials, { slotMs, stable, canary }: SlotArms, nowMs: number): boolean {
  const endedForMs = nowMs - slotMs - limits.rolloutBlockMs
  if (slotMs < trials.sinceMs || endedForMs < limits.trialReportMs) return false
  const isJudged = (arm: TrialTally | null): boolean => arm === null || arm.judged >= arm.arrived
  return (isJudged(stable) && isJudged(canary)) || endedForMs >= limits.trialJudgeMs + limits.trialSlackMs
}

/** Whether all slots that began before this time are whole. */
export const isMature = (trials: Trials, pairing: Pairing, beforeMs: number, nowMs: number): boolean =>
  nowMs - beforeMs >= limits.trialReportMs &&
  slotsOf(trials, pairing).every((slot) => slot.slotMs >= beforeMs || slot.slotMs < trials.sinceMs || isWhole(trials, slot, nowMs))
