// The gates before traffic, asked for one rollout: accuracy and load from what was stored, readiness from what the loop sees. Each answer is
// a verdict. Reports that cannot be compared are no data, with the reason: they are never compared as well as it goes.

import { limits } from '../shared/limits.ts'
import { earlyGates, type Check, type EarlyGate, type GateMode, type GateResult, type Verdict } from '../shared/wire/gate.ts'
import { readLoadRun } from '../shared/wire/load-run.ts'
import { readReport, type Report } from '../shared/wire/report.ts'
import type { OpenRollout } from './facts.ts'
import { judgeAccuracy } from './gate/accuracy.ts'
import { judgeLoad, type LoadRun } from './gate/load.ts'
import { judgeReadiness } from './gate/readiness.ts'
import type { LoopPorts } from './ports.ts'
import { demandOf, readyTargetsOf, type Around } from './rollout-world.ts'
import { frameOf, modeOf } from './rollout/joint.ts'
import type { Rollout } from './rollout/record.ts'

export type GatePorts = Pick<LoopPorts, 'reports' | 'loadRuns' | 'deployments' | 'rows'>

/** The early gates that the rollout names, as they answer now. `moment` names the verdicts. */
export async function askEarly(open: OpenRollout, around: Around, moment: string, ports: GatePorts): Promise<readonly Verdict[]> {
  const named = earlyGates.filter((gate) => open.rollout.gates.some((each) => each.gate === gate))
  const results = await Promise.all(named.map(async (gate) => [gate, await ask[gate](open, around, ports)] as const))
  return results.map(([gate, { answer, checks }]) => ({
    ...frameOf(open.rollout, gate, moment),
    answer,
    checks,
    window: null,
    atMs: around.nowMs,
  }))
}

type Ask = (open: OpenRollout, around: Around, ports: GatePorts) => Promise<Pick<GateResult, 'answer' | 'checks'>>

const ask: Readonly<Record<EarlyGate, Ask>> = { accuracy, load, readiness }

const noData = (metric: string, reason: string): Pick<GateResult, 'answer' | 'checks'> => {
  const check: Check = {
    metric,
    answer: 'no_data',
    measured: null,
    reference: null,
    threshold: null,
    bound: 'least',
    samples: 0,
    interval: null,
    reason,
  }
  return { answer: 'no_data', checks: [check] }
}

const modeFor = (rollout: Rollout, gate: EarlyGate): GateMode => modeOf(rollout, gate)

/** Against the version it was made of, where it names one; else against the one it is to replace. On the set it was evaluated on last. */
async function accuracy(
  { rollout, objectives }: OpenRollout,
  _: Around,
  { reports, rows }: GatePorts,
): Promise<Pick<GateResult, 'answer' | 'checks'>> {
  const row = await rows.get('version', [rollout.to])
  const reference = row?.parent ?? rollout.from
  const measured = await reports.latest(rollout.to, null)
  if (!measured) return noData('accuracy', `"${rollout.to}" has no evaluation report: run isochrone eval ${rollout.to}`)
  const same = (await reports.latest(reference, measured.setDigest)) ?? (await reports.latest(reference, null))
  if (!same)
    return noData('accuracy', `the reference "${reference}" has no evaluation report: run isochrone eval ${reference} with the same set`)
  const [own, other] = [readReport(measured.text), readReport(same.text)]
  if (!own.ok || !other.ok) return noData('accuracy', 'a stored report cannot be read')
  return compared(own.value, other.value, { mode: modeFor(rollout, 'accuracy'), targetBp: objectives.accuracyTargetBp })
}

function compared(
  own: Report,
  other: Report,
  rule: { readonly mode: GateMode; readonly targetBp: number },
): Pick<GateResult, 'answer' | 'checks'> {
  const judged = judgeAccuracy(own, other, rule)
  if (judged.ok) return { ...judged.value, checks: withPairs(judged.value) }
  const { error } = judged
  if (error.reason === 'report_incomplete') {
    return noData('accuracy', `the ${error.of} report has ${error.answered} of ${error.items} items, and all are needed`)
  }
  return noData(
    'accuracy',
    `the reports cannot be compared: ${error.field} is ${error.measured} in one and ${error.reference} in the other`,
  )
}

/** The paired statistics stand beside the verdict, in words. */
const withPairs = ({
  checks,
  paired,
}: {
  readonly checks: readonly Check[]
  readonly paired: readonly { readonly metric: string; readonly lost: number; readonly gained: number; readonly pValue: number }[]
}): readonly Check[] =>
  checks.map((check) => {
    const pairs = paired.find(({ metric }) => metric === check.metric)
    return pairs
      ? { ...check, reason: `${check.reason}; ${pairs.lost} items lost and ${pairs.gained} gained, p ${pairs.pValue.toPrecision(2)}` }
      : check
  })

/** A run in this environment; in production it must also be like the one in staging. */
async function load(
  { rollout, objectives }: OpenRollout,
  _: Around,
  { loadRuns }: GatePorts,
): Promise<Pick<GateResult, 'answer' | 'checks'>> {
  const own = await loadRuns.latest(rollout.to, rollout.environment)
  if (!own)
    return noData('ttft_p95_ms', `there is no load run of "${rollout.to}" in ${rollout.environment}: run isochrone load ${rollout.to}`)
  const isCompared = rollout.environment === 'production'
  const staged = isCompared ? await loadRuns.latest(rollout.to, 'staging') : null
  const rule = {
    mode: modeFor(rollout, 'load'),
    ttftMsMax: objectives.ttftP95MsMax,
    tpotMsMax: objectives.tpotP95MsMax,
    parityBp: isCompared ? limits.parityBpDefault : null,
  }
  const judged = judgeLoad(runOf(own.text), staged ? runOf(staged.text) : null, rule)
  if (judged.ok) return judged.value
  const { field, measured, reference } = judged.error
  return noData('ttft_p95_ms', `the runs cannot be compared: ${field} is ${measured} in one and ${reference} in the other`)
}

function runOf(text: string): LoadRun | null {
  const read = readLoadRun(text)
  return read.ok ? read.value : null
}

async function readiness(
  { rollout }: OpenRollout,
  around: Around,
  { deployments }: GatePorts,
): Promise<Pick<GateResult, 'answer' | 'checks'>> {
  const rows = await deployments.list({ version: rollout.to, afterKey: null, limit: limits.deploymentsOfVersionMax })
  const targets = readyTargetsOf(around, rollout.to, rollout.model, rows)
  if (targets.length === 0) return noData('endpoints_loaded', `"${rollout.to}" has no endpoint, and no target where it would get one`)
  return judgeReadiness(targets, demandOf(around, rollout), modeFor(rollout, 'readiness'))
}
