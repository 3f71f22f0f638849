// One word for several verdicts: what the gates of a rollout together say to the state machine, and which of them are stored. Pure.
// A gate in mode observe is a note and has no say. While there is trouble, or nothing could be measured, only a failure is told: evidence
// from elsewhere is enough for that, and nothing is for going on.

import type { Check, GateAnswer, GateMode, GateName, Verdict as StoredVerdict } from '../../shared/wire/gate.ts'
import type { Rollout } from './record.ts'
import type { Verdict } from './verdict.ts'

/** What a gate says, of any kind. */
export type Said = { readonly gate: GateName; readonly mode: GateMode; readonly answer: GateAnswer; readonly reason: string }

export type Word = { readonly result: GateAnswer; readonly mode: GateMode; readonly gate: string; readonly detail: string }

/** What it means when this gate fails; a live gate that the rollout does not name is not asked, but the guard always is. */
export function modeOf({ gates }: Pick<Rollout, 'gates'>, gate: GateName): GateMode {
  return gates.find((each) => each.gate === gate)?.mode ?? (gate === 'fast_guard' ? 'abort' : 'observe')
}

export const saidBy = (rollout: Pick<Rollout, 'gates'>, verdicts: readonly Verdict[]): readonly Said[] =>
  verdicts.map(({ gate, metric, answer, reason }) => ({ gate, mode: modeOf(rollout, gate), answer, reason: `${metric}: ${reason}` }))

const wordOf = ({ answer, mode, gate, reason }: Said): Word => ({ result: answer, mode, gate, detail: reason })

/** The gravest failure, abort before pause; null: none that has a say. */
export function failureOf(said: readonly Said[]): Word | null {
  const failed = said.filter(({ answer }) => answer === 'fail')
  const gravest = failed.find(({ mode }) => mode === 'abort') ?? failed.find(({ mode }) => mode === 'pause')
  return gravest ? wordOf(gravest) : null
}

/** The joint verdict: a failure, then what is missing, then what is open, and only then a pass. Null: no gate was asked. */
export function jointOf(said: readonly Said[]): Word | null {
  const failure = failureOf(said)
  if (failure) return failure
  if (said.length === 0) return null
  const heard = said.filter(({ mode }) => mode !== 'observe')
  const open = heard.find(({ answer }) => answer === 'no_data') ?? heard.find(({ answer }) => answer === 'inconclusive')
  if (open) return wordOf(open)
  const observed = said.filter(({ answer, mode }) => mode === 'observe' && answer !== 'pass')
  const noted = observed.map(({ gate, answer, reason }) => `${gate} (observed): ${answer}, ${reason}`)
  const gates = [...new Set(heard.map(({ gate }) => gate))].join(', ')
  const detail = [gates ? '' : 'all gates are only observed', ...noted].filter((text) => text !== '').join('; ')
  return { result: 'pass', mode: gates ? 'abort' : 'observe', gate: gates || 'observed', detail }
}

/** A live verdict as a check: both rates, samples and interval are in it. */
export const checkOf = (verdict: Verdict): Check => ({
  metric: verdict.metric,
  answer: verdict.answer,
  measured: verdict.measured,
  reference: null,
  threshold: verdict.threshold,
  bound: 'most',
  samples: verdict.samples.canary,
  interval: verdict.interval,
  reason: verdict.reason,
  rates: { stable: verdict.stable, canary: verdict.canary },
  samplesOfStable: verdict.samples.stable,
})

/** What live gates said, one stored verdict each, under this name of the moment (a generation, or a time). */
export function storedOf(rollout: Rollout, verdicts: readonly Verdict[], moment: string): readonly StoredVerdict[] {
  const byGate = Map.groupBy(verdicts, ({ gate }) => gate)
  return [...byGate].map(([gate, of]): StoredVerdict => {
    const fromMs = Math.min(...of.map(({ window }) => window.fromMs))
    const untilMs = Math.max(...of.map(({ window }) => window.untilMs))
    return {
      ...frameOf(rollout, gate, moment),
      answer: worst(of.map(({ answer }) => answer)),
      checks: of.map(checkOf),
      window: { fromMs, untilMs },
      atMs: untilMs,
    }
  })
}

export const frameOf = (rollout: Rollout, gate: GateName, moment: string) => ({
  id: `${rollout.id}/${moment}/${gate}`,
  rollout: rollout.id,
  environment: rollout.environment,
  model: rollout.model,
  version: rollout.to,
  reference: rollout.from,
  gate,
  mode: modeOf(rollout, gate),
  step: rollout.stepIndex < 0 ? null : rollout.stepIndex,
})

const gravity: readonly GateAnswer[] = ['fail', 'no_data', 'inconclusive', 'pass']
const worst = (answers: readonly GateAnswer[]): GateAnswer => gravity.find((each) => answers.includes(each)) ?? 'no_data'
