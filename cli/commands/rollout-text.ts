// A rollout, its transitions and its plan as text. Pure: the hour is an argument.

import type { PlanRow, RolloutRow, Transition } from '../api/shapes.ts'
import { spokenAge, spokenBp, spokenMs, spokenNumber, spokenTime } from './amounts.ts'
import { spokenStep } from './steps.ts'
import { fields, plain, table, valueText } from './table.ts'

/** Phases in which a rollout is over for good (core/rollout/record.ts). */
const ends: readonly string[] = ['succeeded', 'rolled_back', 'superseded', 'rejected']
export const isOver = ({ phase }: Pick<RolloutRow, 'phase'>): boolean => ends.includes(phase)

export function rolloutTable(rows: readonly RolloutRow[], nowMs: number): string {
  if (rows.length === 0) return 'There are no rollouts.'
  return table(
    ['ROLLOUT', 'ENVIRONMENT', 'MODEL', 'FROM', 'TO', 'PHASE', 'WEIGHT', 'SINCE'],
    rows.map((row) => [
      row.id,
      row.environment,
      row.model,
      row.from,
      row.to,
      row.phase,
      spokenBp(row.weightBp),
      spokenAge(row.enteredAtMs, nowMs),
    ]),
  )
}

/** One rollout: where it is, what it waits for, and its steps. */
export function rolloutText(rollout: RolloutRow, nowMs: number): string {
  const { stepIndex, steps, last } = rollout
  const step = steps[stepIndex]
  return [
    `${rollout.id}  ${rollout.model} in ${rollout.environment}: ${rollout.from} -> ${rollout.to}`,
    fields([
      ['phase', step && !isOver(rollout) ? `${rollout.phase}, step ${stepIndex}: ${spokenStep(step)}` : rollout.phase],
      ['waits', waitsFor(rollout, nowMs)],
      [
        'weight',
        rollout.shadowBp > 0 ? `${spokenBp(rollout.weightBp)}, copies of ${spokenBp(rollout.shadowBp)}` : spokenBp(rollout.weightBp),
      ],
      ['since', rollout.enteredAtMs > 0 ? spokenAge(rollout.enteredAtMs, nowMs) : null],
      ['deadline', rollout.deadlineMs === null ? null : spokenAge(rollout.deadlineMs, nowMs)],
      ['held', rollout.stableHeldUntilMs === null ? null : `${rollout.from}, ${spokenAge(rollout.stableHeldUntilMs, nowMs)}`],
      ['gates', rollout.gates.length === 0 ? null : rollout.gates.map(({ gate, mode }) => `${gate}=${mode}`).join(' ')],
      ['made by', rollout.createdBy === '' ? null : `${rollout.createdBy}${rollout.fourEyes ? ', another must approve' : ''}`],
      ['retry of', rollout.retryOf],
      ['rollback of', rollout.rollbackOf],
      ['followed by', rollout.successor],
      ['last', last ? transitionText(last) : null],
    ]),
    ...(steps.length === 0 ? [] : ['', stepsTable(rollout)]),
  ].join('\n')
}

/** What it waits for, in words; null when it goes on by itself. */
export function waitsFor({ phase, pause, bakeEndsAtMs, id }: RolloutRow, nowMs: number): string | null {
  if (phase === 'draft') return `to be submitted: isochrone rollout submit ${id} --reason …`
  if (phase === 'pending_approval') return `for approval: isochrone rollout approve ${id} --reason …`
  if (phase === 'approved') return `to be started: isochrone rollout start ${id} --reason …`
  if (phase === 'baking' && bakeEndsAtMs !== null) return `for the end of the bake, ${spokenAge(bakeEndsAtMs, nowMs)}`
  if (phase !== 'paused' || !pause) return null
  const how = pause.awaits === 'approval' ? `isochrone rollout approve ${id}` : `isochrone rollout resume ${id}`
  const until = pause.untilMs === null ? '' : `, or ${spokenAge(pause.untilMs, nowMs)} by itself`
  return `paused (${pause.why}) for ${how} --reason …${until}`
}

const stepsTable = ({ steps, stepIndex, phase }: RolloutRow): string =>
  table(
    ['', 'STEP', 'WHAT'],
    steps.map((step, index) => [
      index < stepIndex || phase === 'succeeded' ? '+' : index === stepIndex ? '>' : '',
      String(index),
      spokenStep(step),
    ]),
  )

/** One transition on one line. */
export function transitionText({ atMs, from, to, input, actor, reason, detail }: Transition): string {
  // Of what came about by itself both say the same.
  const why = [...new Set([reason, detail])].filter((text) => text !== '').join('; ')
  return plain(`${spokenTime(atMs)}  ${from === to ? to : `${from} -> ${to}`}  (${input} by ${actor})${why === '' ? '' : `  ${why}`}`)
}

// ---- The plan ----

export function planText(plan: PlanRow): string {
  const { needs } = plan
  const expected = plan.expectedMs === null ? 'not known: traffic is unknown, or would never suffice' : spokenMs(plan.expectedMs)
  return [
    `${plan.from ?? '(nothing)'} -> ${plan.to}`,
    '',
    plan.differences.length === 0 ? 'The versions differ in nothing but their names.' : differences(plan),
    '',
    planSteps(plan),
    '',
    ...(plan.gates.length === 0 ? ['No gate is asked.'] : [gates(plan)]),
    '',
    ...(plan.regions.length === 0 ? [] : [room(plan), '']),
    fields([
      ['at least', spokenMs(needs.minimumMs)],
      ['at this traffic', expected],
      ['samples', `${needs.samples} requests of the canary`],
      ['room', plan.weightBpMax === null ? 'not known' : `up to ${spokenBp(plan.weightBpMax)}`],
    ]),
    '',
    plan.refusals.length === 0 ? 'It may start.' : `It may not start:\n${faultTable(plan.refusals)}`,
  ].join('\n')
}

const differences = ({ differences: all, from, to }: PlanRow): string =>
  table(
    ['FIELD', from ?? '-', to],
    all.map((each) => [each.field, valueText(each.from), valueText(each.to)]),
  )

const planSteps = ({ steps, needs }: PlanRow): string =>
  table(
    ['STEP', 'WHAT', 'FROM', 'SAMPLES'],
    steps.map((step, index) => {
      const need = needs.steps[index]
      return [String(index), spokenStep(step), need ? `+${spokenMs(need.startsMs)}` : '-', need ? String(need.samples) : '-']
    }),
  )

const gates = ({ gates: all }: PlanRow): string =>
  table(
    ['GATE', 'MODE', 'NOW', 'VALUE', 'REFERENCE', 'THRESHOLD'],
    all.map((each) => [
      each.gate,
      each.mode,
      each.live ? 'by its traffic' : each.result,
      spokenNumber(each.value),
      spokenNumber(each.reference),
      spokenNumber(each.threshold),
    ]),
  )

const room = ({ regions }: PlanRow): string =>
  table(
    ['REGION', 'REQUESTS/S', 'SLOTS NEEDED', 'SLOTS FREE', 'ROOM'],
    regions.map((each) => [
      each.region,
      spokenNumber(each.demandPerS),
      spokenNumber(each.neededSlots),
      spokenNumber(each.spareSlots),
      each.weightBpMax === null ? '-' : spokenBp(each.weightBpMax),
    ]),
  )

export const faultTable = (faults: readonly { readonly pointer: string; readonly reason: string; readonly detail: string }[]): string =>
  table(
    ['FIELD', 'WHY', 'DETAIL'],
    faults.map(({ pointer, reason, detail }) => [pointer, reason, detail]),
  )
