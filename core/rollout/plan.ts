// What a rollout would be, before anything moves: how the versions differ, its steps and gates with their present values, the least time
// and requests it takes, the room for it in each region, and all that speaks against its start. Pure. A number that is missing is unknown:
// it is shown as null, and never taken for room.

import type { Environment, ModelName, RegionName, RolloutId, VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { GateAnswer, GateMode } from '../../shared/wire/gate.ts'
import { differencesOf, type Difference } from '../differences.ts'
import { faultsOf, needsOf, samplesOf, type Needs, type Step } from './steps.ts'

/** A version's row, whatever it says beside these. */
export type PlannedVersion = { readonly id: VersionId; readonly model: ModelName } & Readonly<Record<string, unknown>>

/** What is asked for. */
export type Asked = {
  readonly environment: Environment
  readonly model: ModelName
  /** The version that is to be replaced, as whoever asks knows it; null: whichever is stable. */
  readonly from: VersionId | null
  readonly to: PlannedVersion
  readonly steps: readonly Step[]
  readonly gates: readonly { readonly gate: string; readonly mode: GateMode }[]
}

/** A gate as it stands now. `live`: it judges by the canary's traffic. Values are in the gate's own unit. */
export type GateNow = {
  readonly gate: string
  readonly live: boolean
  readonly result: GateAnswer
  readonly value: number | null
  readonly reference: number | null
  readonly threshold: number | null
}

/** Traffic of the model in one region, in requests per second and in slots it takes; and the slots that the new version has free there. */
export type RegionNow = {
  readonly region: RegionName
  readonly demandPerS: number | null
  readonly demandSlots: number | null
  readonly spareSlots: number | null
}

/** The world at the moment of asking. */
export type World = {
  readonly atMs: number
  /** null: the alias does not exist. */
  readonly alias: { readonly stable: PlannedVersion; readonly canary: VersionId | null } | null
  /** A live rollout of this alias. */
  readonly active: RolloutId | null
  /** For this environment; null: none. `expiresAtMs` null: for good. */
  readonly approval: { readonly expiresAtMs: number | null } | null
  readonly gates: readonly GateNow[]
  readonly regions: readonly RegionNow[]
}

/** Why it cannot start. `pointer`: the field at fault, a JSON Pointer in a fragment (RFC 6901). */
export type PlanRefusal = { readonly reason: PlanReason; readonly pointer: string; readonly detail: string }
export type PlanReason =
  | 'steps_invalid'
  | 'unknown_alias'
  | 'another_model'
  | 'same_version'
  | 'stable_moved'
  | 'rollout_active'
  | 'canary_set'
  | 'not_approved'
  | 'unknown_gate'
  | 'gate_without_traffic'
  | 'pause_too_long'
  | 'capacity_missing'
  | 'capacity_unknown'

export type Plan = {
  readonly from: VersionId | null
  readonly to: VersionId
  readonly differences: readonly Difference[]
  readonly steps: readonly Step[]
  readonly needs: Needs
  /** The time it takes at the present traffic, if every person answers at once; null: traffic is unknown, or would never suffice. */
  readonly expectedMs: number | null
  readonly gates: readonly (GateNow & { readonly mode: GateMode })[]
  readonly regions: readonly RegionPlan[]
  /** The highest weight, in 1/10,000, that there is room for now; null: unknown. */
  readonly weightBpMax: number | null
  /** Empty: it may start. */
  readonly refusals: readonly PlanRefusal[]
}

/** `neededSlots`: for all of the region's traffic. */
export type RegionPlan = RegionNow & { readonly neededSlots: number | null; readonly weightBpMax: number | null }

/** The whole plan; it may start when it has no refusals. */
export function planOf(asked: Asked, world: World): Plan {
  const { steps, gates, to } = asked
  const regions = world.regions.map((region) => ({ ...region, neededSlots: neededSlots(region, 10_000), weightBpMax: roomOf(region) }))
  return {
    from: world.alias?.stable.id ?? null,
    to: to.id,
    differences: world.alias ? differencesOf(world.alias.stable, to) : [],
    steps,
    needs: needsOf(steps, world.atMs),
    expectedMs: expectedMs(steps, world),
    gates: gates.flatMap(({ gate, mode }) => world.gates.filter((now) => now.gate === gate).map((now) => ({ ...now, mode }))),
    regions,
    weightBpMax: weightBpMaxOf(world.regions),
    refusals: refusalsOf(asked, world),
  }
}

// ---- Room ----

/** Slots that the canary needs free in a region for a weight: spare >= weight x traffic x 1.2. null while traffic is unknown. */
const neededSlots = ({ demandSlots }: RegionNow, weightBp: number): number | null =>
  demandSlots === null ? null : (weightBp / 10_000) * demandSlots * limits.rolloutSpareFactor

/** The highest weight in 1/10,000 that one region has room for: without traffic, any. null while one of the two numbers is unknown. */
function roomOf(region: RegionNow): number | null {
  const needed = neededSlots(region, 10_000)
  if (needed === 0) return 10_000
  if (needed === null || region.spareSlots === null) return null
  // A rounding error must not cost the room that is just enough.
  return Math.max(0, Math.min(10_000, Math.floor((region.spareSlots / needed) * 10_000 + 1e-6)))
}

/**
 * The highest weight in 1/10,000 that there is room for in every region: what the machine is told (record.ts, Now). null while any of them
 * is unknown. Without a free slot anywhere it is 0, even while there is no traffic.
 */
export function weightBpMaxOf(regions: readonly RegionNow[]): number | null {
  const rooms = regions.map(roomOf)
  if (rooms.some((room) => room === null)) return null
  const isAnywhere = regions.some(({ spareSlots }) => (spareSlots ?? 0) > 0)
  return isAnywhere ? Math.min(...rooms.map((room) => room ?? 0)) : 0
}

// ---- Time ----

/** Bakes take as long as their requests do: at the present rate, those of a step's weight or share of copies. */
function expectedMs(steps: readonly Step[], { regions, atMs }: World): number | null {
  const needs = needsOf(steps, atMs)
  const perS = regions.reduce<number | null>((sum, { demandPerS }) => (sum === null || demandPerS === null ? null : sum + demandPerS), 0)
  if (perS === null) return null
  const lateMs = steps.reduce((sum, step, index) => sum + longerMs(step, needs.steps[index]?.minimumMs ?? 0, perS), 0)
  return Number.isFinite(lateMs) ? Math.round(needs.minimumMs + lateMs) : null
}

/** What a step takes beyond its least time. The first requests come before its bake. */
function longerMs(step: Step, minimumMs: number, perS: number): number {
  if (step.kind !== 'weight' && step.kind !== 'shadow') return 0
  const shareBp = step.kind === 'weight' ? step.weightBp : step.shareBp
  const canaryPerMs = (perS * shareBp) / 10_000 / 1_000
  const firstMs = limits.rolloutFirstRequests / canaryPerMs
  const restMs = (samplesOf(step) - limits.rolloutFirstRequests) / canaryPerMs
  return firstMs + Math.max(0, restMs - minimumMs)
}

// ---- What speaks against it ----

/** All that speaks against the start, the steps' own faults first. Empty: it may start. */
export function refusalsOf(asked: Asked, world: World): readonly PlanRefusal[] {
  const steps = faultsOf(asked.steps).map((fault) => ({ reason: 'steps_invalid' as const, ...fault }))
  return [
    ...steps,
    ...aliasRefusals(asked, world),
    ...gateRefusals(asked, world),
    ...pauseRefusals(asked, world),
    ...roomRefusals(asked, world),
  ]
}

function aliasRefusals({ environment, model, from, to }: Asked, { alias, active, approval, atMs }: World): readonly PlanRefusal[] {
  const refusals: PlanRefusal[] = []
  const refuse = (reason: PlanReason, pointer: string, detail: string): void => void refusals.push({ reason, pointer, detail })
  if (to.model !== model) refuse('another_model', '#/to', `"${to.id}" is a version of the model "${to.model}", not of "${model}"`)
  if (!alias) refuse('unknown_alias', '#/model', `there is no alias of "${model}" in ${environment}: create it with its first version`)
  else {
    const { stable, canary } = alias
    if (stable.id === to.id) refuse('same_version', '#/to', `"${to.id}" is the stable version already`)
    if (from !== null && stable.id !== from) refuse('stable_moved', '#/from', `"${stable.id}" is stable now, not "${from}": plan again`)
    if (canary !== null && active === null) {
      refuse('canary_set', '#/model', `the alias has the canary "${canary}", set by hand: take it away first`)
    }
  }
  if (active !== null) refuse('rollout_active', '#/model', `the rollout "${active}" is active on this alias: end or supersede it first`)
  const isExpired = approval !== null && (approval.expiresAtMs ?? Infinity) <= atMs
  if (!approval || isExpired) {
    refuse('not_approved', '#/to', `"${to.id}" ${isExpired ? 'is no longer' : 'is not'} approved for ${environment}`)
  }
  return refusals
}

/** Every gate that is named must be known; one that judges traffic must not be asked before there was any. */
function gateRefusals({ steps, gates }: Asked, world: World): readonly PlanRefusal[] {
  const known = new Map(world.gates.map((now) => [now.gate, now]))
  const names = [...known.keys()].join(', ')
  const unknown = (gate: string, pointer: string): readonly PlanRefusal[] =>
    known.has(gate) ? [] : [{ reason: 'unknown_gate', pointer, detail: `"${gate}" is not one of the gates: ${names || 'there are none'}` }]
  const firstTraffic = steps.findIndex(({ kind }) => kind === 'weight' || kind === 'shadow')
  const early = (gate: string, index: number, pointer: string): readonly PlanRefusal[] =>
    known.get(gate)?.live && (firstTraffic < 0 || index < firstTraffic)
      ? [{ reason: 'gate_without_traffic', pointer, detail: `"${gate}" judges traffic, and before this step the canary gets none` }]
      : []
  const ofSteps = steps.flatMap((step, index) =>
    step.kind === 'analysis'
      ? step.gates.flatMap((gate, at) => {
          const pointer = `#/steps/${index}/gates/${at}`
          return [...unknown(gate, pointer), ...early(gate, index, pointer)]
        })
      : [],
  )
  return [...gates.flatMap(({ gate }, index) => unknown(gate, `#/gates/${index}/gate`)), ...ofSteps]
}

function pauseRefusals({ steps }: Asked, { atMs }: World): readonly PlanRefusal[] {
  const days = limits.rolloutPauseAheadMsMax / (24 * 3_600_000)
  return steps.flatMap((step, index) => {
    if (step.kind !== 'pause' || (step.untilMs ?? 0) - atMs <= limits.rolloutPauseAheadMsMax) return []
    return [{ reason: 'pause_too_long' as const, pointer: `#/steps/${index}/untilMs`, detail: `must be within ${days} days` }]
  })
}

/** The first weight that a region has no room for; after the last step comes all of traffic. */
function roomRefusals({ steps }: Asked, { regions }: World): readonly PlanRefusal[] {
  const weights = steps.flatMap((step, index) =>
    step.kind === 'weight' ? [{ weightBp: step.weightBp, pointer: `#/steps/${index}/weightBp` }] : [],
  )
  const all = [...weights, { weightBp: 10_000, pointer: '#/steps' }]
  const short = regions.flatMap((region): readonly PlanRefusal[] => {
    const room = roomOf(region)
    const { region: name, spareSlots } = region
    if (room === null) {
      const detail = `traffic or free slots of "${name}" are not known now: try again when its ledger answers`
      return [{ reason: 'capacity_unknown', pointer: '#/steps', detail }]
    }
    const first = all.find(({ weightBp }) => weightBp > room)
    if (!first) return []
    const needed = Math.ceil(neededSlots(region, first.weightBp) ?? 0)
    const detail = `in "${name}" a weight of ${first.weightBp} needs ${needed} free slots of the new version, and there are ${spareSlots ?? 0}`
    return [{ reason: 'capacity_missing', pointer: first.pointer, detail }]
  })
  if (short.length > 0 || weightBpMaxOf(regions) !== 0) return short
  return [{ reason: 'capacity_missing', pointer: '#/to', detail: 'the new version has no free slot in any region' }]
}
