// The rollout part of a turn: every rollout that is open is looked at, told what is so, and moved by one change at most. A change is stored,
// with all that follows from it, before anybody hears of it; what was not stored is found again by looking. Never throws for one rollout's
// sake: what fails is noted and met again next turn.

import { limits } from '../shared/limits.ts'
import type { RolloutId } from '../shared/ids.ts'
import { within } from '../shared/time.ts'
import { earlyGates, type Verdict } from '../shared/wire/gate.ts'
import { aliasNameOf, writeNameOf } from '../shared/wire/trial.ts'
import type { Catalogue, LoopState, OpenRollout, Stamp } from './facts.ts'
import type { LoopPorts } from './ports.ts'
import { askEarly } from './rollout-gates.ts'
import {
  canaryInFlight,
  isCanaryHeard,
  isReadable,
  isWhole,
  ledgersBpOf,
  regionsNow,
  regionsOf,
  troubleNow,
  type Around,
} from './rollout-world.ts'
import type { Moved } from './rollout/change.ts'
import { failureOf, jointOf, modeOf, saidBy, storedOf, type Said } from './rollout/joint.ts'
import type { Trouble } from './rollout/judgement.ts'
import { bakeOf, look, noLook, sayNow, type KeptLook, type Seen } from './rollout/look.ts'
import { dueOf, next } from './rollout/machine.ts'
import { weightBpMaxOf } from './rollout/plan.ts'
import { controller, isOver, type Event, type Now, type Rollout } from './rollout/record.ts'
import { arrivalsPerSOf, isMature, judgedSince, trafficBpOf, type Pairing } from './rollout/trials.ts'
import type { Verdict as LiveVerdict } from './rollout/verdict.ts'

/** Something to tell the machine, and the verdicts it rests on. */
type Telling = { readonly event: Event; readonly verdicts: (generation: number) => readonly Verdict[] }

const nothing = (): readonly Verdict[] => []

/** One rollout's part of a turn. */
type Advanced = { readonly isMoved: boolean; readonly look: KeptLook }

/** What a rollout is looked at in. `askedAtMs`: when its early gates were last asked. */
type Scene = Around & { readonly published: LoopState['published']; readonly trouble: Trouble; readonly asked: LoopState['gatesAskedAtMs'] }

export function sceneOf(rollout: Rollout, catalogue: Catalogue, state: LoopState, nowMs: number): Scene {
  const around = { ...state, catalogue, nowMs }
  return { ...around, trouble: troubleNow(around, rollout), asked: state.gatesAskedAtMs }
}

/**
 * Looks at every open rollout. True when something was stored that others must hear of. Where the database is away the last known ones are
 * looked at, so that nothing is missed, and none is moved; once it was silent nobody waits for it again in this turn.
 */
export async function rollOut(catalogue: Catalogue, state: LoopState, ports: LoopPorts): Promise<boolean> {
  const { open, fault } = await readOpen(catalogue, state, ports)
  const looks = new Map<RolloutId, KeptLook>()
  const errors = new Map<RolloutId, string>()
  let [isMoved, away] = [false, fault]
  for (const each of open) {
    const { id } = each.rollout
    const before = state.looks.get(id) ?? noLook
    looks.set(id, before)
    try {
      const scene = sceneOf(each.rollout, catalogue, state, ports.clock.nowMs())
      const looked = lookAt(each, before, scene)
      looks.set(id, looked)
      if (away) throw away
      // What the gates said stands, and is not stored again, also where the change that follows from it could not be stored.
      const kept = await withEarly(each, looked, scene, ports)
      looks.set(id, kept)
      const after = await advance(each.rollout, kept, scene, ports)
      looks.set(id, after.look)
      isMoved = isMoved || after.isMoved
    } catch (cause) {
      errors.set(id, cause instanceof Error ? cause.message : String(cause))
      if (cause instanceof Silence) away = cause
    }
  }
  state.looks = looks
  state.rolloutErrors = errors
  for (const id of state.gatesAskedAtMs.keys()) if (!looks.has(id)) state.gatesAskedAtMs.delete(id)
  // What was asked of the database may have happened.
  if (isMoved || errors.size > 0) state.rollouts = { seq: neverSeq, open }
  await keepLooks(state, ports)
  return isMoved
}

/** The catalogue never has this number: what is known is read again next turn. */
const neverSeq = -1

/** `fault`: they could not be read, and these are the last known. */
async function readOpen(
  catalogue: Catalogue,
  state: LoopState,
  ports: LoopPorts,
): Promise<{ readonly open: readonly OpenRollout[]; readonly fault: Error | null }> {
  if (state.rollouts?.seq === catalogue.seq) return { open: state.rollouts.open, fault: null }
  try {
    const open = await answered(ports.rollouts.open(), ports)
    state.rollouts = { seq: catalogue.seq, open }
    return { open, fault: null }
  } catch (cause) {
    if (!state.rollouts) throw cause
    return { open: state.rollouts.open, fault: cause instanceof Error ? cause : new Error(String(cause)) }
  }
}

/** The database said nothing in time. */
class Silence extends Error {}

/** What the database says. Throws Silence: then what was asked may have happened. */
async function answered<T>(asked: Promise<T>, { timer }: Pick<LoopPorts, 'timer'>): Promise<T> {
  const late = Symbol('late')
  const said = await within<T, typeof late>(asked, limits.rolloutCommitMsMax, late, timer)
  if (said === late) throw new Silence(`the database gave no answer in ${limits.rolloutCommitMsMax} ms`)
  return said
}

/** Stores what judges remember, when it changed. */
async function keepLooks(state: LoopState, ports: LoopPorts): Promise<void> {
  const { looks, keptLooks } = state
  const isSame = looks.size === keptLooks.size && [...looks].every(([id, each]) => keptLooks.get(id) === each)
  if (isSame) return
  await ports.memory.keepRollouts({ looks: [...looks] })
  state.keptLooks = looks
}

export const pairingOf = ({ id, environment, model, from, to }: Rollout): Pairing => ({
  rollout: id,
  alias: aliasNameOf(environment, model),
  stable: from,
  canary: to,
})

/** The time, and the room for the canary. */
export function nowOf(rollout: Rollout, around: Around): Now {
  const regions = regionsNow(around, rollout, { stable: rollout.from, canary: rollout.to, weightBp: rollout.weightBp })
  // After a restart nobody has told yet how much traffic there is: that is no room.
  const isTold =
    regions.length === 0 ||
    regions.some(({ region }) => arrivalsPerSOf(around.trials, pairingOf(rollout).alias, region, around.nowMs) !== null)
  return { atMs: around.nowMs, weightBpMax: isTold ? weightBpMaxOf(regions) : null }
}

const lookAt = (open: OpenRollout, before: KeptLook, scene: Scene): KeptLook =>
  look(before, open.rollout, pairingOf(open.rollout), seenBy(open, scene))

async function advance(rollout: Rollout, kept: KeptLook, scene: Scene, ports: LoopPorts): Promise<Advanced> {
  for (const telling of tellingsOf(rollout, kept, scene)) {
    const moved = next(rollout, telling.event, nowOf(rollout, scene))
    if (!moved.ok) continue
    const isStored = await store(rollout, moved.value, telling, ports)
    return { isMoved: true, look: isStored ? withTold(kept, telling.event) : kept }
  }
  return { isMoved: false, look: kept }
}

const seenBy = ({ rollout, objectives }: OpenRollout, scene: Scene): Seen => ({
  trials: scene.trials,
  trouble: scene.trouble,
  isReadable: isReadable(scene, rollout.model),
  regions: regionsOf(scene, rollout.model),
  objectives,
  nowMs: scene.nowMs,
})

/** Throws when the change may not have been stored. False: another was quicker, and what there is now is found next turn. */
async function store(rollout: Rollout, moved: Moved, { event, verdicts }: Telling, ports: LoopPorts): Promise<boolean> {
  const { generation, last } = moved.rollout
  const stamp: Stamp = {
    atMs: ports.clock.nowMs(),
    actor: controller,
    requestId: `${rollout.id}/${generation}`,
    reason: last?.detail ?? null,
  }
  const committed = await answered(ports.rollouts.commit(rollout, moved, { verdicts: verdicts(generation) }, stamp), ports)
  if (!committed.ok && committed.error.reason !== 'generation_mismatch')
    throw new Error(`${event.kind}: ${JSON.stringify(committed.error)}`)
  return committed.ok
}

/** The early gates as they answer now, where they matter; a verdict that says something new is stored. */
async function withEarly(open: OpenRollout, kept: KeptLook, scene: Scene, ports: LoopPorts): Promise<KeptLook> {
  const { rollout } = open
  if (!asksEarly(rollout)) return kept
  if (Math.abs(scene.nowMs - (scene.asked.get(rollout.id) ?? 0)) < limits.gatesAskedEveryMs) return kept
  scene.asked.set(rollout.id, scene.nowMs)
  const asked = await answered(askEarly(open, scene, `g${rollout.generation}.${scene.nowMs}`, ports), ports)
  const news = asked.filter((verdict) => kept.stored[verdict.gate] !== signatureOf(verdict))
  if (news.length === 0) return kept
  await answered(ports.verdicts.add(news), ports)
  const stored = { ...kept.stored, ...Object.fromEntries(news.map((verdict) => [verdict.gate, signatureOf(verdict)])) }
  return { ...kept, stored, early: asked.map((verdict) => news.find(({ gate }) => gate === verdict.gate) ?? known(kept, verdict)) }
}

/** Said before in the same words: that one stands, and is what was stored. */
const known = ({ early }: KeptLook, verdict: Verdict): Verdict => early.find(({ gate }) => gate === verdict.gate) ?? verdict

/** Numbers that change with every request are no news. */
const signatureOf = ({ gate, answer, checks }: Verdict): string =>
  JSON.stringify([answer, checks.map(({ metric, answer: each, measured }) => [metric, each, gate === 'readiness' ? null : measured])])

function asksEarly({ phase, steps, stepIndex }: Rollout): boolean {
  const step = steps[stepIndex]
  return (
    phase === 'warming' ||
    (phase === 'judging' && step?.kind === 'analysis' && step.gates.some((gate) => earlyGates.some((each) => each === gate)))
  )
}

/** A failure in mode pause is told once: whoever goes on against it has seen it. */
function withTold(before: KeptLook, event: Event): KeptLook {
  if (event.kind !== 'verdict' || event.result !== 'fail' || event.mode !== 'pause') return before
  return { ...before, toldFailures: [...before.toldFailures, nameOf(event)].slice(-limits.toldFailuresMax) }
}

const nameOf = ({ gate, detail }: { readonly gate: string; readonly detail: string }): string => `${gate} ${detail.split(':')[0] ?? ''}`

// ---- What is told ----

/** What the machine is told in this turn, the gravest first. What does not fit is refused and does no harm. */
function tellingsOf(rollout: Rollout, kept: KeptLook, scene: Scene): readonly Telling[] {
  return [
    ...failures(rollout, kept, scene),
    ...measurements(rollout, kept),
    ...progress(rollout, kept, scene),
    ...due(rollout, kept, scene),
  ]
}

/** Nobody can leave a copy, and its times are not those of a request: where there are only copies, these are not asked for. */
const unseenInCopies: readonly string[] = ['early_abort', 'slow_first_token', 'slow_tokens']

function liveNow(rollout: Rollout, kept: KeptLook, { trials, nowMs }: Scene): readonly LiveVerdict[] {
  const said = sayNow(kept, bakeOf(rollout, nowMs), pairingOf(rollout), trials, nowMs)
  return rollout.steps[rollout.stepIndex]?.kind === 'shadow' ? said.filter(({ metric }) => !unseenInCopies.includes(metric)) : said
}

/** What fails, in any phase in which the canary may do harm or is about to get traffic. */
function failures(rollout: Rollout, kept: KeptLook, scene: Scene): readonly Telling[] {
  if (isOver(rollout)) return []
  const live = liveNow(rollout, kept, scene)
  const early = rollout.phase === 'warming' ? kept.early : []
  const failed = failureOf([...saidOf(early), ...saidBy(rollout, live)])
  if (!failed) return []
  if (failed.mode === 'pause' && (rollout.phase === 'judging' || kept.toldFailures.includes(nameOf(failed)))) return []
  return [{ event: { kind: 'verdict', ...failed }, verdicts: (generation) => [...early, ...storedOf(rollout, live, String(generation))] }]
}

const saidOf = (verdicts: readonly Verdict[]): readonly Said[] =>
  verdicts.map(({ gate, mode, answer, checks }) => ({
    gate,
    mode,
    answer,
    reason: (checks.find((check) => check.answer === answer) ?? checks[0])?.reason ?? '',
  }))

/** Whether the last ten seconds could be measured: said once for each. */
function measurements(rollout: Rollout, { judgement }: KeptLook): readonly Telling[] {
  if (!judgement) return []
  const ok = judgement.unmeasured === 0
  // Once for each look: the machine counts them, and what it has counted is not told again.
  if (!ok && judgement.unmeasured <= rollout.unmeasured) return []
  return [{ event: { kind: 'measured', ok, detail: ok ? 'measured again' : 'no ledger of the model answers' }, verdicts: nothing }]
}

function progress(rollout: Rollout, kept: KeptLook, scene: Scene): readonly Telling[] {
  switch (rollout.phase) {
    case 'warming':
      return warmed(rollout, kept)
    case 'shifting':
    case 'promoting':
      return [{ event: settledBy(rollout, scene), verdicts: nothing }]
    case 'judging':
      return judging(rollout, kept, scene)
    case 'aborting':
      // Of a silent ledger nobody knows what the canary still holds there.
      return isCanaryHeard(scene, rollout, scene.published?.snapshot.generation ?? Infinity)
        ? [{ event: drainedBy(rollout, scene), verdicts: nothing }]
        : []
    default:
      return []
  }
}

/** All gates before traffic pass, or are only observed. */
function warmed(rollout: Rollout, { early }: KeptLook): readonly Telling[] {
  const named = rollout.gates.filter(({ gate }) => gate === 'accuracy' || gate === 'load' || gate === 'readiness')
  const isGood = named.every(({ gate, mode }) => {
    const verdict = early.find((each) => each.gate === gate)
    return verdict !== undefined && (verdict.answer === 'pass' || mode === 'observe')
  })
  return isGood ? [{ event: { kind: 'warmed' }, verdicts: () => early }] : []
}

/** The part of traffic that is by the rollout's last write of the alias; where nobody asks for anything, of the ledgers that know of it. */
export function trafficNow(rollout: Rollout, scene: Pick<Scene, 'published' | 'trials' | 'nowMs'> & Around): number {
  const { environment, model, id, aliasGeneration } = rollout
  const snapshot = scene.published?.snapshot
  const write = snapshot?.aliases.find((each) => each.environment === environment && each.model === model)?.write
  if (!snapshot || write?.id !== id || write.generation !== aliasGeneration) return 0
  const { alias } = pairingOf(rollout)
  return trafficBpOf(scene.trials, alias, writeNameOf(write), scene.nowMs) ?? ledgersBpOf(scene, model, snapshot.generation)
}

function canaryRequests(rollout: Rollout, { trials }: Around): number {
  return judgedSince(trials, pairingOf(rollout).alias, writeNameOf({ id: rollout.id, generation: rollout.aliasGeneration }), rollout.to)
}

const settledBy = (rollout: Rollout, scene: Scene): Event => ({
  kind: 'settled',
  generation: rollout.aliasGeneration,
  trafficBp: trafficNow(rollout, scene),
  canaryRequests: canaryRequests(rollout, scene),
})

const drainedBy = (rollout: Rollout, scene: Scene): Event => ({
  kind: 'drained',
  generation: rollout.aliasGeneration,
  trafficBp: trafficNow(rollout, scene),
  canaryInFlight: canaryInFlight(scene, rollout),
  stableWhole: isWhole(scene, rollout.from),
})

const isTroubled = ({ trouble }: Scene): boolean => trouble.fleet || trouble.regions.length > 0

/** The joint verdict of a step's end. In trouble, or while nothing can be measured, there is none: a failure was told before. */
function judging(rollout: Rollout, kept: KeptLook, scene: Scene): readonly Telling[] {
  const step = rollout.steps[rollout.stepIndex]
  const isAnalysis = step?.kind === 'analysis'
  const live = isAnalysis ? analysed(rollout, kept, scene, step.gates) : asProof(rollout, liveNow(rollout, kept, scene))
  const early = isAnalysis ? kept.early.filter(({ gate }) => step.gates.includes(gate)) : []
  const said = [...saidOf(early), ...saidBy(rollout, live)].filter(({ gate }) => !isAnalysis || step.gates.includes(gate))
  const missing = isAnalysis ? step.gates.filter((gate) => !said.some((each) => each.gate === gate)) : []
  if (missing.length > 0) return []
  const joint = jointOf(said)
  const isHeld = isTroubled(scene) || (kept.judgement?.unmeasured ?? 0) > 0
  if (!joint || (isHeld && joint.result !== 'fail')) return []
  return [{ event: { kind: 'verdict', ...joint }, verdicts: (generation) => [...early, ...storedOf(rollout, live, String(generation))] }]
}

/**
 * Where a step asks for a proof, harm or missing data stands against it also where harm alone is only observed: a note must not take the
 * proof's place.
 */
function asProof(rollout: Rollout, said: readonly LiveVerdict[]): readonly LiveVerdict[] {
  const step = rollout.steps[rollout.stepIndex]
  const isAsked = step?.kind === 'weight' && step.proof && modeOf(rollout, 'no_harm') === 'observe'
  return isAsked ? said.map((each) => (each.gate === 'no_harm' ? { ...each, gate: 'not_worse' } : each)) : said
}

/** What live gates say in an analysis: over the whole rollout so far, each gate that is named for itself. */
function analysed(rollout: Rollout, kept: KeptLook, { trials, nowMs }: Scene, gates: readonly string[]): readonly LiveVerdict[] {
  if (kept.judgement === null) return []
  const said = (proof: boolean): readonly LiveVerdict[] =>
    sayNow(kept, { minRequests: 0, endsAtMs: nowMs, proof }, pairingOf(rollout), trials, nowMs)
  const harm = said(false)
  const failed = harm.filter(({ gate, answer }) => gate === 'fast_guard' && answer === 'fail')
  const errors = harm.find(({ metric }) => metric === 'hard_error')
  const reason = errors?.answer === 'pass' ? 'hard errors are bearable' : (errors?.reason ?? '')
  const guard = failed.length > 0 || !errors ? failed : [{ ...errors, gate: 'fast_guard' as const, reason }]
  return [
    ...(gates.includes('fast_guard') ? guard : []),
    ...(gates.includes('no_harm') ? harm.filter(({ gate }) => gate === 'no_harm') : []),
    ...(gates.includes('not_worse')
      ? said(true).map((each) => (each.gate === 'no_harm' ? { ...each, gate: 'not_worse' as const } : each))
      : []),
  ]
}

/** What the hour asks for. The end of a bake waits until it is certain what became of its requests. */
function due(rollout: Rollout, { judgement }: KeptLook, scene: Scene): readonly Telling[] {
  const { trials, nowMs } = scene
  const kind = dueOf(rollout, nowMs)
  const tell = (event: Event): readonly Telling[] => [{ event, verdicts: nothing }]
  switch (kind) {
    case null:
      return []
    case 'bake_over': {
      const endsAtMs = rollout.bakeEndsAtMs ?? nowMs
      const isCertain = isMature(trials, pairingOf(rollout), endsAtMs, nowMs)
      const requests = judgement?.sums.hard_error?.bake.canary.requests ?? 0
      return isCertain ? tell({ kind, canaryRequests: requests }) : []
    }
    case 'timeout':
      return tell({ kind, trafficBp: trafficNow(rollout, scene) })
    default:
      return tell({ kind })
  }
}
