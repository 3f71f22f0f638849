// Why a rollout is where it is: every gate with its numbers now, what cannot be judged and why, what it waits for, traffic and room. Pure but
// for reading the loop's state: the same numbers that the loop acts on.

import { limits } from '../shared/limits.ts'
import { gateNames, isLive, type Check, type GateAnswer, type GateMode, type GateName, type Verdict } from '../shared/wire/gate.ts'
import { writeNameOf, type Compared } from '../shared/wire/trial.ts'
import { rolloutCommands, type Catalogue, type LoopState } from './facts.ts'
import { pairingOf, nowOf, sceneOf, trafficNow } from './rollouts.ts'
import { canaryInFlight, isWhole, regionsNow } from './rollout-world.ts'
import { checkOf, modeOf } from './rollout/joint.ts'
import { bakeOf, noLook, sayNow, type KeptLook } from './rollout/look.ts'
import { allowedIn, dueOf } from './rollout/machine.ts'
import type { Trouble } from './rollout/judgement.ts'
import { isOver, type Rollout, type Transition } from './rollout/record.ts'
import type { RegionNow } from './rollout/plan.ts'
import type { Step } from './rollout/steps.ts'
import { comparedOf, judgedSince, runningOf, usualOf } from './rollout/trials.ts'

export type GateExplained = {
  readonly gate: GateName
  readonly mode: GateMode
  readonly answer: GateAnswer
  readonly checks: readonly Check[]
}

/** What stopped it: the change that began the way back, or ended it before it had begun. */
export type Stopped = Pick<Transition, 'atMs' | 'actor' | 'input' | 'from' | 'reason' | 'detail'>

/** What is stored of one that is over, or on its way back: its changes in order, its newest verdicts newest first. */
export type History = { readonly transitions: readonly Transition[]; readonly verdicts: readonly Verdict[] }

export type Explained = {
  readonly rollout: Rollout
  readonly step: Step | null
  /** In words. */
  readonly waitsFor: string
  /** null: nothing did, so far. */
  readonly stopped: Stopped | null
  /** What may be said to it now. */
  readonly allowed: readonly string[]
  /** As they stand now; once nothing is judged any more, each one's last verdict. */
  readonly gates: readonly GateExplained[]
  /** Signals that are not judged, and why. */
  readonly notJudged: Readonly<Record<string, string>>
  readonly trouble: Trouble
  readonly traffic: {
    /** By the alias's last write, in 1/10,000. */
    readonly byLastWriteBp: number
    readonly canaryRequestsSinceWrite: number
    readonly canaryRequestsInBake: number
    readonly canaryRunning: number
    readonly stableLastHour: number
  }
  /** Answers to copies beside stable's to the same requests: ratios of the canary's sums to stable's; null: none were compared. */
  readonly copies: {
    readonly compared: number
    readonly errorsDiffer: number
    readonly deterministic: number
    readonly sameText: number
    readonly tokensRatio: number | null
    readonly tookRatio: number | null
  } | null
  readonly room: { readonly weightBpMax: number | null; readonly regions: readonly RegionNow[] }
  readonly stableWhole: boolean
  readonly canaryInFlight: number
  /** Why it could not be moved in the last turn; null: nothing was in the way. */
  readonly error: string | null
  readonly atMs: number
}

/** `history` where the rollout is not judged any more (isHistory). */
export function explain(rollout: Rollout, catalogue: Catalogue, state: LoopState, nowMs: number, history: History | null): Explained {
  const scene = sceneOf(rollout, catalogue, state, nowMs)
  const kept = state.looks.get(rollout.id) ?? noLook
  const { trials } = state
  const pairing = pairingOf(rollout)
  const write = writeNameOf({ id: rollout.id, generation: rollout.aliasGeneration })
  const now = nowOf(rollout, scene)
  const traffic = {
    byLastWriteBp: isOver(rollout) ? 0 : trafficNow(rollout, scene),
    canaryRequestsSinceWrite: judgedSince(trials, pairing.alias, write, rollout.to),
    canaryRequestsInBake: kept.judgement?.sums.hard_error?.bake.canary.requests ?? 0,
    canaryRunning: runningOf(trials, pairing.alias, rollout.to),
    stableLastHour: usualOf(trials, pairing.alias, rollout.from).judged,
  }
  const gates = history ? gatesThen(rollout, history.verdicts) : gatesNow(rollout, kept, state, nowMs)
  return {
    rollout,
    step: rollout.steps[rollout.stepIndex] ?? null,
    waitsFor: waitsFor(rollout, { gates, traffic, trouble: scene.trouble, nowMs }),
    stopped: history && stoppedBy(history),
    allowed: rolloutCommands.filter((each) => allowedIn(rollout.phase).includes(each)),
    gates,
    notJudged: kept.skipped,
    trouble: scene.trouble,
    traffic,
    copies: copiesOf(comparedOf(trials, pairing.alias, rollout.id)),
    room: {
      weightBpMax: now.weightBpMax,
      regions: regionsNow(scene, rollout, { stable: rollout.from, canary: rollout.to, weightBp: rollout.weightBp }),
    },
    stableWhole: isWhole(scene, rollout.from),
    canaryInFlight: canaryInFlight(scene, rollout),
    error: state.rolloutErrors.get(rollout.id) ?? null,
    atMs: nowMs,
  }
}

/** Nothing of it is judged any more, so that what was is all there is to say. */
export const isHistory = (rollout: Rollout): boolean => rollout.phase === 'aborting' || isOver(rollout)

function stoppedBy({ transitions }: History): Stopped | null {
  const change = transitions.findLast(({ to }) => to === 'aborting' || to === 'rejected')
  if (!change) return null
  const { atMs, actor, input, from, reason, detail } = change
  return { atMs, actor, input, from, reason, detail }
}

const gatesThen = (rollout: Rollout, newestFirst: readonly Verdict[]): readonly GateExplained[] =>
  gatesOf(rollout).map((gate) => asStored(rollout, gate, newestFirst))

/** In the order of gateNames. */
const gatesOf = ({ gates }: Rollout): readonly GateName[] => gateNames.filter((gate) => gates.some((each) => each.gate === gate))

function asStored(rollout: Rollout, gate: GateName, newestFirst: readonly Verdict[]): GateExplained {
  const last = newestFirst.find((each) => each.gate === gate)
  return { gate, mode: modeOf(rollout, gate), answer: last?.answer ?? 'no_data', checks: last?.checks ?? [] }
}

const copiesOf = (compared: Compared | null): Explained['copies'] =>
  compared && {
    compared: compared.of,
    errorsDiffer: compared.errorsDiffer,
    deterministic: compared.deterministic,
    sameText: compared.same,
    tokensRatio: compared.tokensStable > 0 ? compared.tokensCanary / compared.tokensStable : null,
    tookRatio: compared.tookMsStable > 0 ? compared.tookMsCanary / compared.tookMsStable : null,
  }

function gatesNow(rollout: Rollout, kept: KeptLook, state: LoopState, nowMs: number): readonly GateExplained[] {
  const live = sayNow(kept, bakeOf(rollout, nowMs), pairingOf(rollout), state.trials, nowMs)
  return gatesOf(rollout).map((gate): GateExplained => {
    if (!isLive(gate)) return asStored(rollout, gate, kept.early)
    const checks = live.filter((each) => each.gate === gate).map(checkOf)
    const answers = checks.map(({ answer }) => answer)
    return { gate, mode: modeOf(rollout, gate), answer: answerNow(gate, answers, kept), checks }
  })
}

const gravity: readonly GateAnswer[] = ['fail', 'no_data', 'inconclusive', 'pass']

/** The guard speaks only when it fails. */
function answerNow(gate: GateName, answers: readonly GateAnswer[], { judgement }: KeptLook): GateAnswer {
  if (answers.length > 0) return gravity.find((each) => answers.includes(each)) ?? 'no_data'
  return gate === 'fast_guard' && judgement !== null ? 'pass' : 'no_data'
}

type Facts = Pick<Explained, 'gates' | 'traffic' | 'trouble'> & { readonly nowMs: number }

function waitsFor(rollout: Rollout, { gates, traffic, trouble, nowMs }: Facts): string {
  const seconds = (untilMs: number | null): string =>
    untilMs === null ? 'no time' : `${Math.max(0, Math.ceil((untilMs - nowMs) / 1_000))} s`
  const held = trouble.fleet
    ? '; judgement is held: the fleet is in trouble'
    : trouble.regions.length > 0
      ? `; judgement is held: trouble in ${trouble.regions.join(', ')}`
      : ''
  // Before the canary has traffic the gates that judge by it have nothing to say.
  const asked = rollout.phase === 'warming' ? gates.filter(({ gate }) => !isLive(gate)) : gates
  const open = asked.filter(({ answer, mode }) => answer !== 'pass' && mode !== 'observe')
  const named = open.map(({ gate, answer, checks }) => `${gate} (${answer}${reasonIn(checks, answer)})`).join('; ')
  switch (rollout.phase) {
    case 'draft':
      return 'somebody to submit it'
    case 'pending_approval':
      return rollout.fourEyes ? `an approval by somebody other than ${rollout.createdBy}` : 'an approval'
    case 'approved':
      return 'somebody to start it'
    case 'warming':
      return `gates before traffic: ${named || 'all pass, the next turn moves it'}`
    case 'shifting':
      return `traffic to follow: ${traffic.byLastWriteBp / 100} % of ${limits.rolloutTrafficBp / 100} %, and the canary's first requests: ${traffic.canaryRequestsSinceWrite} of ${limits.rolloutFirstRequests}${held}`
    case 'baking':
      return `the end of the bake, in ${seconds(rollout.bakeEndsAtMs)}, and until it is certain what became of its requests${held}`
    case 'judging':
      return `a verdict: ${named || 'all gates pass'}${held}`
    case 'paused':
      return `${rollout.pause?.awaits === 'approval' ? 'an approval' : 'somebody to resume it'} (${rollout.pause?.why ?? ''}: ${rollout.last?.detail ?? ''})`
    case 'promoting':
      return `all of traffic to follow: ${traffic.byLastWriteBp / 100} %`
    case 'aborting':
      return 'the canary to be without requests, and stable to be whole'
    default:
      return dueOf(rollout, nowMs) === null && rollout.stableHeldUntilMs !== null
        ? `nothing; the old version is held for ${seconds(rollout.stableHeldUntilMs)}`
        : 'nothing: it is over'
  }
}

function reasonIn(checks: readonly Check[], answer: GateAnswer): string {
  const check = checks.find((each) => each.answer === answer)
  return check ? `: ${check.metric}, ${check.reason}` : ''
}
