// What people ask of rollouts: a plan, a new one, a command, an explanation. Runs in the control loop's object, where traffic and room are
// known; stores before it answers. The next turn, which follows at once, does what comes of it.

import { limits } from '../shared/limits.ts'
import type { RolloutId, VersionId } from '../shared/ids.ts'
import type { AdminRefusal } from '../shared/refusal.ts'
import { err, ok, type Result } from '../shared/result.ts'
import { gateNames, isLive, type GateName, type Verdict } from '../shared/wire/gate.ts'
import {
  rolloutCommands,
  type Catalogue,
  type LoopState,
  type OpenRollout,
  type RolloutCommand,
  type RolloutRequest,
  type Row,
  type Stamp,
} from './facts.ts'
import type { LoopPorts } from './ports.ts'
import { explain, isHistory, type Explained, type History } from './rollout-explain.ts'
import { askEarly } from './rollout-gates.ts'
import { regionsNow, type PlannedPlace } from './rollout-world.ts'
import { nowOf, sceneOf } from './rollouts.ts'
import { draftOf, type Moved } from './rollout/change.ts'
import { samplesNeeded } from './rollout/confidence.ts'
import { readGates, type AskedGate } from './rollout/gates.ts'
import { next } from './rollout/machine.ts'
import { planOf, refusalsOf, type Asked, type GateNow, type Plan, type World } from './rollout/plan.ts'
import type { Command, Objectives, Rollout, RolloutRefusal } from './rollout/record.ts'
import { readSteps, type Step } from './rollout/steps.ts'
import { usualOf } from './rollout/trials.ts'
import type { StartRefused } from './webhook-events.ts'
import { aliasNameOf } from '../shared/wire/trial.ts'

type Said<T> = Promise<Result<T, AdminRefusal>>
/** What a request is answered in. */
export type Room = { readonly catalogue: Catalogue; readonly state: LoopState; readonly ports: LoopPorts }

/** Tries of a command that was overtaken, for whoever did not say which generation it is about. */
const triesMax = 3

// ---- Plans ----

type Read = {
  readonly steps: readonly Step[]
  readonly gates: readonly AskedGate[]
  readonly to: Row<'version'>
  readonly model: Row<'model'>
}

/** The request with its references. Refusals: plan_refused where steps or gates cannot be read, missing_reference. */
async function readRequest(asked: RolloutRequest, { ports }: Room): Said<Read> {
  const [model, to] = await Promise.all([ports.rows.get('model', [asked.model]), ports.rows.get('version', [asked.to])])
  if (!model) return err({ reason: 'missing_reference', what: 'model', detail: `the model "${asked.model}" does not exist` })
  if (!to) return err({ reason: 'missing_reference', what: 'to', detail: `the version "${asked.to}" does not exist` })
  const steps = readSteps(asked.steps ?? undefined)
  const gates = readGates(asked.gates, model.operatingPerS !== null)
  const faults = [
    ...(steps.ok ? [] : steps.error.map((fault) => ({ reason: 'steps_invalid', ...fault }))),
    ...(gates.ok ? [] : gates.error),
  ]
  if (!steps.ok || !gates.ok) return err({ reason: 'plan_refused', faults })
  return ok({ steps: steps.value, gates: gates.value, to, model })
}

const objectivesOf = ({ ttftP95MsMax, tpotP95MsMax, accuracyTargetBp, operatingPerS }: Row<'model'>): Objectives => ({
  ttftP95MsMax,
  tpotP95MsMax,
  accuracyTargetBp,
  operatingPerS,
})

/** What would be started, and the world it would be started in. */
type Prospect = { readonly asked: Asked; readonly world: World; readonly early: readonly Verdict[]; readonly draft: Rollout }

async function prospectOf(
  request: RolloutRequest,
  read: Read,
  room: Room,
  by: { readonly actor: string; readonly id: RolloutId; readonly salt: string },
): Promise<Prospect> {
  const { ports, state, catalogue } = room
  const { environment, model } = request
  const nowMs = ports.clock.nowMs()
  const alias = await ports.rows.get('alias', [environment, model])
  const [stable, approval, live] = await Promise.all([
    alias ? ports.rows.get('version', [alias.stable]) : null,
    ports.rows.get('approval', [environment, request.to]),
    ports.rollouts.list({ environment, model, live: true, beforeSeq: null, limit: 1 }),
  ])
  const asked: Asked = { environment, model, from: request.from, to: read.to, steps: read.steps, gates: read.gates }
  const draft = draftFor(request, read, { stable: alias?.stable ?? request.to, nowMs, state, ...by })
  const scene = sceneOf(draft, catalogue, state, nowMs)
  const places = await placesOf(draft, room)
  const open: OpenRollout = { rollout: draft, objectives: objectivesOf(read.model) }
  const early = await askEarly(open, scene, `p${nowMs}`, ports)
  const world: World = {
    atMs: nowMs,
    alias: alias && stable ? { stable, canary: alias.canary } : null,
    active: live[0]?.rollout.id ?? null,
    approval: approval && { expiresAtMs: approval.expiresAtMs },
    gates: gateNames.map((gate) => gateNow(gate, early)),
    regions: regionsNow(scene, draft, { stable: alias?.stable ?? null, canary: request.to, weightBp: 0 }, places),
  }
  return { asked, world, early, draft }
}

function draftFor(
  { environment, model, to, fourEyes }: RolloutRequest,
  { steps, gates }: Read,
  so: {
    readonly stable: VersionId
    readonly nowMs: number
    readonly state: LoopState
    readonly actor: string
    readonly id: RolloutId
    readonly salt: string
  },
): Rollout {
  const usual = usualOf(so.state.trials, aliasNameOf(environment, model), so.stable)
  const badRate = usual.judged > 0 ? usual.hardErrors / usual.judged : 0
  return draftOf(
    {
      id: so.id,
      environment,
      model,
      from: so.stable,
      to,
      steps,
      gates,
      plannedRequests: Math.min(samplesNeeded(badRate), limits.rolloutRequestsMax),
      salt: so.salt,
      createdBy: so.actor,
      fourEyes: fourEyes ?? environment === 'production',
    },
    so.nowMs,
  )
}

/** Targets of the model where the version does not stand yet: deploying it there is the first thing a rollout does. */
async function placesOf({ model, to }: Rollout, { ports, catalogue }: Room): Promise<readonly PlannedPlace[]> {
  const targets = await ports.deployments.targetsOf(model)
  const standing = new Set(catalogue.endpoints.filter(({ version }) => version === to).map(({ id }) => id))
  const rows = await ports.deployments.list({ version: to, afterKey: null, limit: limits.deploymentsOfVersionMax })
  const made = new Set(rows.filter(({ endpoint }) => endpoint !== null && standing.has(endpoint)).map(({ target }) => target))
  return targets.filter(({ id }) => !made.has(id)).map(({ region, slots }) => ({ region, slots }))
}

function gateNow(gate: GateName, early: readonly Verdict[]): GateNow {
  const verdict = early.find((each) => each.gate === gate)
  const check = verdict?.checks.find(({ answer }) => answer === verdict.answer) ?? verdict?.checks[0]
  return {
    gate,
    live: isLive(gate),
    result: verdict?.answer ?? 'no_data',
    value: check?.measured ?? null,
    reference: check?.reference ?? null,
    threshold: check?.threshold ?? null,
  }
}

/** Nothing is written. */
export async function plan(asked: RolloutRequest, room: Room): Said<Plan> {
  const read = await readRequest(asked, room)
  if (!read.ok) return read
  const prospect = await prospectOf(asked, read.value, room, { actor: 'plan', id: 'plan' as RolloutId, salt: '' })
  return ok(planOf(prospect.asked, prospect.world))
}

// ---- New rollouts ----

/** A draft, stored whatever its plan says; or, with `start`, one that goes as far as it may at once, and then its plan must have no refusals. */
export async function create(asked: RolloutRequest, stamp: Stamp, room: Room): Said<Rollout> {
  const read = await readRequest(asked, room)
  if (!read.ok) return read
  const by = { actor: stamp.actor, id: `r-${room.ports.freshId()}` as RolloutId, salt: room.ports.freshId() }
  const prospect = await prospectOf(asked, read.value, room, by)
  const faults = refusalsOf(prospect.asked, prospect.world)
  // Which version is stable, and whether another rollout is under way, may change until it starts; what cannot work will not.
  const lasting = faults.filter(({ reason }) => lastingFaults.includes(reason))
  if (asked.start ? faults.length > 0 : lasting.length > 0) return err({ reason: 'plan_refused', faults: asked.start ? faults : lasting })
  // The rollout that it would have been has no row of its own.
  const blocked = asked.start ? refusedByGates(prospect.early) : null
  if (blocked) {
    const verdicts = blocked.verdicts.map((verdict) => ({ ...verdict, rollout: null }))
    await noteRefusal(prospect.draft, null, { verdicts, actor: stamp.actor, reason: asked.reason }, room)
    return err({ ...blocked, verdicts })
  }
  const created = await room.ports.rollouts.create(prospect.draft, stamp)
  if (!created.ok) return created
  if (!asked.start) return ok(prospect.draft)
  const started = await startAtOnce(prospect.draft, asked.reason, { stamp, room, isTried: false })
  if (!started.ok) await withdraw(prospect.draft.id, stamp, room)
  return started
}

/** Somebody was sooner: whoever was refused would not look for what is left half way, and another might start it. */
async function withdraw(id: RolloutId, stamp: Stamp, room: Room): Promise<void> {
  const at = await room.ports.rollouts.get(id)
  // A live one does not take it.
  if (at) await move(at, { kind: 'reject', actor: stamp.actor, reason: 'it could not be started at once' }, stamp, room)
}

const lastingFaults: readonly string[] = [
  'steps_invalid',
  'unknown_alias',
  'another_model',
  'same_version',
  'unknown_gate',
  'gate_without_traffic',
  'pause_too_long',
]

/** A gate before traffic that fails in mode abort ends it before it begins: its verdict is stored, and nothing moves. */
function refusedByGates(early: readonly Verdict[]): Extract<AdminRefusal, { readonly reason: 'gate_failed' }> | null {
  const failed = early.filter(({ answer, mode }) => answer === 'fail' && mode === 'abort')
  return failed.length === 0 ? null : { reason: 'gate_failed', verdicts: failed }
}

/** As far as one person may go: where another must approve it waits for that. */
async function startAtOnce(
  from: Rollout,
  reason: string,
  { stamp, room, isTried }: { readonly stamp: Stamp; readonly room: Room; readonly isTried: boolean },
): Said<Rollout> {
  const said = { actor: stamp.actor, reason }
  let at = from
  for (let kind = nextToStart(at); kind !== null; kind = nextToStart(at)) {
    const moved = isTried ? preview(at, { kind, ...said }, room) : await move(at, { kind, ...said }, stamp, room)
    if (!moved.ok) return moved
    at = moved.value.rollout
  }
  return ok(at)
}

function nextToStart({ phase, fourEyes }: Rollout): 'submit' | 'approve' | 'start' | null {
  if (phase === 'draft') return 'submit'
  if (phase === 'pending_approval') return fourEyes ? null : 'approve'
  return phase === 'approved' ? 'start' : null
}

// ---- Commands ----

/** The rollout after the command; in a dry run as it would be. */
export async function command(id: RolloutId, asked: RolloutCommand, stamp: Stamp, room: Room): Said<Rollout> {
  for (let attempt = 1; ; attempt++) {
    const at = await room.ports.rollouts.get(id)
    if (!at) return err({ reason: 'not_found', what: 'rollout', id })
    if (asked.generation !== null && asked.generation !== at.generation)
      return err({ reason: 'generation_mismatch', current: at.generation })
    const moved = await commandOnce(at, asked, stamp, room)
    const isOvertaken = !moved.ok && moved.error.reason === 'generation_mismatch'
    if (!isOvertaken || asked.generation !== null || attempt === triesMax) return moved
  }
}

async function commandOnce(at: Rollout, asked: RolloutCommand, stamp: Stamp, room: Room): Said<Rollout> {
  const said = await inputOf(at, asked, stamp, room)
  if (!said.ok) return said
  if (said.value.kind === 'start') {
    const refusal = await startRefusal(at, asked, stamp, room)
    if (refusal) return err(refusal)
    const isEarly = at.phase === 'draft' || (at.phase === 'pending_approval' && !at.fourEyes)
    if (isEarly) return startAtOnce(at, asked.reason, { stamp, room, isTried: asked.dryRun })
  }
  const moved = asked.dryRun ? preview(at, said.value, room) : await move(at, said.value, stamp, room)
  return moved.ok ? ok(moved.value.rollout) : moved
}

/** What a start rests on is looked at when it starts, not when it was planned. */
async function startRefusal(
  at: Rollout,
  asked: Pick<RolloutCommand, 'dryRun' | 'reason'>,
  { actor }: Stamp,
  room: Room,
): Promise<AdminRefusal | null> {
  const request: RolloutRequest = { ...at, start: true, reason: '', steps: at.steps, gates: at.gates }
  const read = await readRequest(request, room)
  if (!read.ok) return read.error
  const prospect = await prospectOf(request, read.value, room, { actor: at.createdBy, id: at.id, salt: at.salt })
  const faults = refusalsOf(prospect.asked, prospect.world)
  if (faults.length > 0) return { reason: 'plan_refused', faults }
  const blocked = refusedByGates(prospect.early)
  if (blocked && !asked.dryRun) await noteRefusal(at, at.id, { verdicts: blocked.verdicts, actor, reason: asked.reason }, room)
  return blocked
}

/** Who is not there must hear of it too: it is stored, and told to webhooks. `id` is null where there is no such rollout. */
function noteRefusal(at: Rollout, id: RolloutId | null, refused: Omit<StartRefused, 'rollout'>, { ports }: Room): Promise<void> {
  const { environment, model, from, to } = at
  return ports.verdicts.refuse(at.id, { rollout: { id, environment, model, from, to }, ...refused }, ports.clock.nowMs())
}

async function inputOf(at: Rollout, asked: RolloutCommand, { actor }: Stamp, { ports }: Room): Said<Command> {
  const said = { actor, reason: asked.reason }
  switch (asked.command) {
    case 'promote_full':
      return ok({ kind: 'promote_full', ...said, approver: asked.approver, scopes: asked.scopes })
    case 'retry':
    case 'rollback': {
      const alias = await ports.rows.get('alias', [at.environment, at.model])
      if (!alias) return err({ reason: 'not_found', what: 'alias', id: `${at.environment}/${at.model}` })
      const other = { ...said, id: `r-${ports.freshId()}` as RolloutId, salt: ports.freshId(), stable: alias.stable }
      if (asked.command === 'retry') return ok({ kind: 'retry', ...other })
      const recent = await ports.rollouts.recentStables(at.environment, at.model, limits.rolloutRollbackVersions)
      return ok({ kind: 'rollback', ...other, to: asked.to ?? at.from, recent })
    }
    default:
      return ok({ kind: asked.command, ...said })
  }
}

function preview(at: Rollout, input: Command, { catalogue, state, ports }: Room): Result<Moved, AdminRefusal> {
  // The way back needs room on the version that it leads to.
  const about = input.kind === 'rollback' && at.phase === 'succeeded' ? { ...at, from: at.to, to: input.to } : at
  const moved = next(at, input, nowOf(about, sceneOf(at, catalogue, state, ports.clock.nowMs())))
  return moved.ok ? moved : err(refusalFor(moved.error))
}

async function move(at: Rollout, input: Command, stamp: Stamp, room: Room): Said<Moved> {
  const moved = preview(at, input, room)
  if (!moved.ok) return moved
  const committed = await room.ports.rollouts.commit(at, moved.value, { verdicts: [] }, { ...stamp, reason: input.reason })
  return committed.ok ? moved : committed
}

function refusalFor(refusal: RolloutRefusal): AdminRefusal {
  const { reason, ...data } = refusal
  if (reason === 'scope_missing') return { reason, scope: refusal.scope }
  const allowed = reason === 'illegal_transition' ? commandsOf(refusal.allowed) : []
  return { reason: 'rollout_refused', why: reason, detail: wordsOf(refusal, data), allowed }
}

/** Of what a phase takes, what people may say. */
const commandsOf = (inputs: readonly string[]): readonly string[] => rolloutCommands.filter((command) => inputs.includes(command))

function wordsOf(refusal: RolloutRefusal, data: object): string {
  switch (refusal.reason) {
    case 'illegal_transition':
      return `a rollout in "${refusal.phase}" does not take "${refusal.input}"; it takes ${commandsOf(refusal.allowed).join(', ') || 'nothing'}`
    case 'not_yet':
    case 'second_approver_missing':
      return refusal.detail
    case 'reason_missing':
      return 'say why'
    case 'approval_wanted':
      return 'it waits for an approval: approve it'
    case 'not_warm':
      return 'the canary has not shown itself ready yet'
    case 'capacity_missing':
      return refusal.weightBpMax === null
        ? 'the room for the canary is not known now: try again when the ledgers answer'
        : `${refusal.weightBp} of 10,000 need more room than there is: the canary has room for ${refusal.weightBpMax}`
    case 'followed_already':
      return `the rollout "${refusal.successor}" follows it already`
    case 'same_version':
      return `"${refusal.version}" is stable already`
    case 'not_current':
      return `"${refusal.stable}" is stable now: go back from the rollout that made it so`
    case 'rollback_too_far':
      return `"${refusal.version}" is none of the last stable versions (${refusal.recent.join(', ') || 'there is none'}): roll it out`
    default:
      return JSON.stringify(data)
  }
}

// ---- Explanations ----

/** Why it is where it is; of one that is over, how it came to that. */
export async function explanation(rollout: Rollout, { catalogue, state, ports }: Room): Promise<Explained> {
  const history = isHistory(rollout) ? await historyOf(rollout.id, ports) : null
  return explain(rollout, catalogue, state, ports.clock.nowMs(), history)
}

async function historyOf(id: RolloutId, { rollouts, verdicts }: LoopPorts): Promise<History> {
  const page = { rollout: id, version: null, beforeSeq: null, limit: limits.verdictsToldMax }
  const [changes, newest] = await Promise.all([rollouts.transitions(id), verdicts.list(page)])
  return { transitions: changes, verdicts: newest }
}
