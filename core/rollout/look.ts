// A rollout's judge between turns: what it remembers, when it begins, and how each turn's slots are taken in. Pure. What it says is verdict.ts.

import { limits } from '../../shared/limits.ts'
import type { RegionName } from '../../shared/ids.ts'
import type { Verdict as StoredVerdict } from '../../shared/wire/gate.ts'
import { blockOf, guardNow, judgeableOf, type Bounds, type Judgeable } from './arms.ts'
import type { Metric } from './blocks.ts'
import { bakeMsOf, stepOf } from './change.ts'
import { beginBake, beginJudgement, observe, type Judgement, type Trouble } from './judgement.ts'
import type { Rollout } from './record.ts'
import { isWhole, slotsOf, usualOf, type Pairing, type Trials } from './trials.ts'
import { verdictsOf, type Bake, type Verdict } from './verdict.ts'

/** What is stored of it between turns, as plain data. */
export type KeptLook = {
  /** null: the canary has had no traffic yet. */
  readonly judgement: Judgement | null
  readonly bounds: Bounds
  readonly skipped: Judgeable['skipped']
  /** The entry into the bake that was counted from (Rollout.enteredAtMs). */
  readonly bakeEnteredAtMs: number | null
  /** The last ten seconds of which it was said whether they could be measured. */
  readonly measuredBlock: number
  /** Failures in mode pause that the machine was told: once each, or nobody could go on against them. */
  readonly toldFailures: readonly string[]
  /** The last stored verdict of each early gate, and of each live one that is only observed: its signature. */
  readonly stored: Readonly<Record<string, string>>
  /** The last early verdicts. */
  readonly early: readonly StoredVerdict[]
}

export const noLook: KeptLook = {
  judgement: null,
  bounds: { ttftClass: null, tpotClass: null },
  skipped: {},
  bakeEnteredAtMs: null,
  measuredBlock: 0,
  toldFailures: [],
  stored: {},
  early: [],
}

/** What a turn sees beside the tallies. */
export type Seen = {
  readonly trials: Trials
  readonly trouble: Trouble
  /** Whether any ledger of the model could be read lately. */
  readonly isReadable: boolean
  readonly regions: readonly RegionName[]
  readonly objectives: { readonly tpotP95MsMax: number | null }
  readonly nowMs: number
}

const judgedPhases: readonly Rollout['phase'][] = ['shifting', 'baking', 'judging', 'paused', 'promoting']

/** Whether the canary has traffic, or may still have, so that there is something to judge. */
const isJudged = ({ phase, stepIndex }: Rollout): boolean => judgedPhases.includes(phase) && stepIndex >= 0

/** The memory after this turn; the same object where nothing changed. */
export function look(before: KeptLook, rollout: Rollout, pairing: Pairing, seen: Seen): KeptLook {
  if (!isJudged(rollout) || rollout.steps.length === 0) return before
  const begun = isUntouched(before.judgement) ? begin(before, rollout, pairing, seen) : before
  return takeIn(counted(begun, rollout), pairing, seen)
}

/** No request of the canary has counted yet. */
const isUntouched = (judgement: Judgement | null): boolean => (judgement?.sums.hard_error?.total.canary.requests ?? 0) === 0

/**
 * Metrics, limits and regions: fixed with the canary's first request that counts. Until then what stable does may still be learnt, as after
 * a restart, in which all that it did before was forgotten.
 */
function begin(before: KeptLook, rollout: Rollout, { alias, stable }: Pairing, seen: Seen): KeptLook {
  const usual = usualOf(seen.trials, alias, stable)
  const { metrics, bounds, skipped } = judgeableOf(usual, seen.objectives, rollout.steps)
  if (seen.regions.length === 0) return before
  const known = before.judgement
  const fixed = (judged: readonly string[], by: Bounds, regions: readonly string[]): string => JSON.stringify([judged, by, regions])
  const now = fixed(metrics, bounds, seen.regions)
  if (known && fixed(Object.keys(known.sums), before.bounds, known.regions) === now) return before
  const fresh = beginJudgement({ metrics, regions: seen.regions, plannedRequests: rollout.plannedRequests }, seen.nowMs)
  const judgement = known ? { ...fresh, clearFromMs: known.clearFromMs, unmeasured: known.unmeasured } : fresh
  return { ...before, judgement, bounds, skipped }
}

/** A bake counts its requests from its begin, or from where it goes on after a pause; not from where it was extended. */
function counted(before: KeptLook, rollout: Rollout): KeptLook {
  const { judgement, bakeEnteredAtMs } = before
  if (judgement === null || rollout.phase !== 'baking' || rollout.extended || bakeEnteredAtMs === rollout.enteredAtMs) return before
  return { ...before, judgement: beginBake(judgement), bakeEnteredAtMs: rollout.enteredAtMs }
}

function takeIn(before: KeptLook, pairing: Pairing, { trials, trouble, isReadable, nowMs }: Seen): KeptLook {
  const { judgement, bounds } = before
  if (judgement === null) return before
  const block = Math.floor(nowMs / limits.rolloutBlockMs)
  const isNewBlock = block !== before.measuredBlock
  if (!isReadable) {
    if (!isNewBlock) return before
    return { ...before, measuredBlock: block, judgement: observe(judgement, { blocks: null, trouble, nowMs }) }
  }
  const judged = Object.keys(judgement.sums) as Metric[]
  const whole = slotsOf(trials, pairing).filter((slot) => isFresh(judgement, slot) && isWhole(trials, slot, nowMs))
  const isTroubled = trouble.fleet || trouble.regions.length > 0
  if (whole.length === 0 && !isNewBlock && !isTroubled) return before
  const blocks = whole.map((slot) => blockOf(slot, judged, bounds))
  return { ...before, measuredBlock: block, judgement: observe(judgement, { blocks, trouble, nowMs }) }
}

/** Counted before, a slot need not be told again. */
const isFresh = ({ seen }: Judgement, { region, slotMs }: { readonly region: RegionName; readonly slotMs: number }): boolean =>
  !(seen[region] ?? []).includes(Math.floor(slotMs / limits.rolloutBlockMs))

/** The bake of the step under way, as verdicts want it; of an analysis, one that is over. */
export function bakeOf(rollout: Rollout, nowMs: number): Bake {
  const step = stepOf(rollout)
  const minRequests = step?.kind === 'weight' ? step.minRequests : 0
  return { minRequests, endsAtMs: nowMs + leftMsOf(rollout, nowMs), proof: step?.kind === 'weight' && step.proof }
}

/** What is left of a bake; of one that has not begun, or that a pause holds up, what it will have. */
function leftMsOf(rollout: Rollout, nowMs: number): number {
  const { phase, pause, bakeEndsAtMs } = rollout
  if (phase === 'baking') return (bakeEndsAtMs ?? nowMs) - nowMs
  if (phase === 'shifting' || pause?.back.to === 'shifting') return bakeMsOf(stepOf(rollout))
  return pause?.back.to === 'baking' ? pause.back.leftMs : 0
}

/**
 * What the judge says now: the guard by everything that has left, the rest by what is certain. Of a slot that had begun before a restart only
 * the late ends are known, and they are the worst. Beside a guard that fails stands what the other gates say of hard errors: it may be one
 * that is only observed.
 */
export function sayNow({ judgement }: KeptLook, bake: Bake, pairing: Pairing, trials: Trials, nowMs: number): readonly Verdict[] {
  if (judgement === null) return []
  const known = slotsOf(trials, pairing).filter(({ slotMs }) => slotMs >= trials.sinceMs)
  const guard = guardNow(known, judgement.clearFromMs)
  const guarded = verdictsOf({ ...judgement, guard }, bake, nowMs).filter(({ gate }) => gate === 'fast_guard')
  return [...guarded, ...verdictsOf({ ...judgement, guard: {} }, bake, nowMs)]
}
