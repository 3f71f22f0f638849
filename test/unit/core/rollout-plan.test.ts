// What a plan shows, and what it refuses, with the reason and the field.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelName, RegionName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { differencesOf } from '../../../core/differences.ts'
import { defaultSteps, type Step } from '../../../core/rollout/steps.ts'
import {
  planOf,
  weightBpMaxOf,
  type Asked,
  type GateNow,
  type PlannedVersion,
  type RegionNow,
  type World,
} from '../../../core/rollout/plan.ts'

const version = (id: string, more: Readonly<Record<string, unknown>> = {}): PlannedVersion => ({
  id: id as VersionId,
  model: 'atlas' as ModelName,
  digest: `sha256:${id}`,
  flags: { ctx: 4_096 },
  quantisation: null,
  ...more,
})

const region = (
  name: string,
  spareSlots: number | null,
  demandSlots: number | null,
  demandPerS: number | null = demandSlots,
): RegionNow => ({
  region: name as RegionName,
  demandPerS,
  demandSlots,
  spareSlots,
})

const gate = (name: string, live: boolean): GateNow => ({
  gate: name,
  live,
  result: 'no_data',
  value: null,
  reference: null,
  threshold: 0.99,
})

const weight = (weightBp: number): Step => ({ kind: 'weight', weightBp, bakeMs: 60_000, minRequests: 100, proof: false })

const asked = (more: Partial<Asked> = {}): Asked => ({
  environment: 'production',
  model: 'atlas' as ModelName,
  from: null,
  to: version('v2'),
  steps: defaultSteps,
  gates: [{ gate: 'accuracy', mode: 'abort' }],
  ...more,
})

const world = (more: Partial<World> = {}): World => ({
  atMs: 1_000,
  alias: { stable: version('v1'), canary: null },
  active: null,
  approval: { expiresAtMs: null },
  gates: [gate('accuracy', false), gate('errors', true)],
  regions: [region('fra', 24, 20), region('iad', 12, 10)],
  ...more,
})

const refusals = (a: Partial<Asked>, w: Partial<World>) =>
  planOf(asked(a), world(w)).refusals.map(({ reason, pointer }) => [reason, pointer])

it('a plan with nothing against it has no refusals', () => {
  expect(planOf(asked(), world()).refusals).toEqual([])
})

describe('refused at start, with the reason and the field', () => {
  const after = (first: Step): readonly Step[] => [first, weight(100)]
  it.each<[string, Partial<Asked>, Partial<World>, readonly (readonly [string, string])[]]>([
    ['weights that fall', { steps: [weight(500), weight(100)] }, {}, [['steps_invalid', '#/steps/1/weightBp']]],
    ['no weight at all', { steps: [{ kind: 'approval' }] }, {}, [['steps_invalid', '#/steps']]],
    ['no alias', {}, { alias: null }, [['unknown_alias', '#/model']]],
    ['the same version', { to: version('v1') }, {}, [['same_version', '#/to']]],
    ['a version of another model', { to: version('v2', { model: 'other' }) }, {}, [['another_model', '#/to']]],
    ['a stable version that is no longer', { from: 'v0' as VersionId }, {}, [['stable_moved', '#/from']]],
    ['another rollout on the alias', {}, { active: 'r7' as RolloutId }, [['rollout_active', '#/model']]],
    ['a canary that was set by hand', {}, { alias: { stable: version('v1'), canary: 'v9' as VersionId } }, [['canary_set', '#/model']]],
    ['no approval for the environment', {}, { approval: null }, [['not_approved', '#/to']]],
    ['an approval that has expired', {}, { approval: { expiresAtMs: 1_000 } }, [['not_approved', '#/to']]],
    ['an unknown gate', { gates: [{ gate: 'vibes', mode: 'pause' }] }, {}, [['unknown_gate', '#/gates/0/gate']]],
    [
      'an unknown gate in an analysis',
      { steps: [weight(100), { kind: 'analysis', gates: ['accuracy', 'vibes'], withinMs: 1_000 }] },
      {},
      [['unknown_gate', '#/steps/1/gates/1']],
    ],
    [
      'analysis before traffic: a gate that judges traffic before there is any',
      { steps: after({ kind: 'analysis', gates: ['accuracy', 'errors'], withinMs: 1_000 }) },
      {},
      [['gate_without_traffic', '#/steps/0/gates/1']],
    ],
    [
      'a pause of a month',
      { steps: after({ kind: 'pause', untilMs: 1_001 + limits.rolloutPauseAheadMsMax }) },
      {},
      [['pause_too_long', '#/steps/0/untilMs']],
    ],
    ['no room for a weight', {}, { regions: [region('fra', 24, 20), region('iad', 2, 10)] }, [['capacity_missing', '#/steps/3/weightBp']]],
    [
      'no room for all of traffic at the end',
      { steps: [weight(100)] },
      { regions: [region('fra', 23, 20)] },
      [['capacity_missing', '#/steps']],
    ],
    ['no slot anywhere, without traffic', {}, { regions: [region('fra', 0, 0)] }, [['capacity_missing', '#/to']]],
    ['no region', {}, { regions: [] }, [['capacity_missing', '#/to']]],
    ['traffic that is not known', {}, { regions: [region('fra', 24, null)] }, [['capacity_unknown', '#/steps']]],
    ['slots that are not known', {}, { regions: [region('fra', null, 20)] }, [['capacity_unknown', '#/steps']]],
    [
      'several things at once',
      { to: version('v1'), gates: [{ gate: 'vibes', mode: 'pause' }] },
      { approval: null },
      [
        ['same_version', '#/to'],
        ['not_approved', '#/to'],
        ['unknown_gate', '#/gates/0/gate'],
      ],
    ],
  ])('%s', (_, a, w, expected) => {
    expect(refusals(a, w)).toEqual(expected)
  })

  it.each<[string, Partial<Asked>, Partial<World>]>([
    ['the stable version that is', { from: 'v1' as VersionId }, {}],
    ['an approval that is still good', {}, { approval: { expiresAtMs: 1_001 } }],
    ['a live gate after the first weight', { steps: [weight(100), { kind: 'analysis', gates: ['errors'], withinMs: 1_000 }] }, {}],
    ['room that is just enough', {}, { regions: [region('fra', 12, 10)] }],
    ['a region without traffic and without slots beside one with both', {}, { regions: [region('fra', 12, 10), region('sin', 0, 0)] }],
  ])('not refused: %s', (_, a, w) => {
    expect(refusals(a, w)).toEqual([])
  })

  it('missing room is told in slots', () => {
    const { refusals: told } = planOf(asked(), world({ regions: [region('iad', 2, 10)] }))
    expect(told.map(({ detail }) => detail)).toEqual(['in "iad" a weight of 2500 needs 3 free slots of the new version, and there are 2'])
  })
})

describe('what it shows', () => {
  it('differences of the versions, by field, without those of the row’s keeping', () => {
    const from = version('v1', { flags: { ctx: 4_096, kv: 'f16' }, generation: 3, licence: 'mit' })
    const to = version('v2', { flags: { ctx: 8_192, kv: 'f16', fast: true }, generation: 9, quantisation: 'fp8' })
    expect(differencesOf(from, to)).toEqual([
      { field: 'digest', from: 'sha256:v1', to: 'sha256:v2' },
      { field: 'flags.ctx', from: 4_096, to: 8_192 },
      { field: 'flags.fast', from: null, to: true },
      { field: 'licence', from: 'mit', to: null },
      { field: 'quantisation', from: null, to: 'fp8' },
    ])
  })

  it('gates with their mode and present value, regions with the slots they need and the weight they have room for', () => {
    const plan = planOf(asked(), world({ regions: [region('fra', 6, 20), region('iad', null, 10)] }))
    expect(plan.gates).toEqual([{ ...gate('accuracy', false), mode: 'abort' }])
    expect(plan.regions.map(({ neededSlots, weightBpMax }) => [neededSlots, weightBpMax])).toEqual([
      [24, 2_500],
      [12, null],
    ])
    expect(plan.weightBpMax).toBeNull()
  })

  it.each<[string, readonly RegionNow[], number | null]>([
    // 30 first requests at 1 a second, then 60 s in which 60 of 100 come, then 40 s.
    ['at 100 requests a second', [region('fra', 999, 50, 60), region('iad', 999, 50, 40)], 130_000],
    ['with plenty of traffic, little more than the bake', [region('fra', 999_999, 50, 3_000_000)], 60_001],
    ['unknown while a region’s traffic is', [region('fra', 999, 50, 60), region('iad', 999, 50, null)], null],
    ['never, without traffic', [region('fra', 999, 0, 0)], null],
  ])('expected time %s', (_, regions, expectedMs) => {
    const plan = planOf(asked({ steps: [weight(100)] }), world({ regions }))
    expect(plan.needs.minimumMs).toBe(60_000)
    expect(plan.expectedMs).toBe(expectedMs)
  })
})

describe('room', () => {
  const regions = fc.array(
    fc.record({ demand: fc.double({ min: 0, max: 500, noNaN: true }), spare: fc.double({ min: 0, max: 500, noNaN: true }) }),
    { minLength: 1, maxLength: 5 },
  )
  it('the highest weight keeps spare >= weight x traffic x 1.2 in every region, and one more would not', () => {
    fc.assert(
      fc.property(regions, (many) => {
        const max = weightBpMaxOf(many.map(({ demand, spare }) => region('r', spare, demand))) ?? -1
        const fits = (weightBp: number, slack: number): boolean =>
          many.every(({ demand, spare }) => spare + slack >= (weightBp / 10_000) * demand * 1.2)
        expect(max).toBeGreaterThanOrEqual(0)
        expect(fits(max, 1e-6)).toBe(true)
        const isFree = many.some(({ spare }) => spare > 0)
        expect(max === 10_000 || !isFree || !fits(max + 1, -1e-9)).toBe(true)
      }),
    )
  })

  it('one unknown number makes it unknown', () => {
    expect(weightBpMaxOf([region('fra', 99, 1), region('iad', null, 1)])).toBeNull()
    expect(weightBpMaxOf([region('fra', 99, 1), region('iad', 99, null)])).toBeNull()
  })
})
