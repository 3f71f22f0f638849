// What core's own functions say is what the CLI reads: the two are written apart, and meet in JSON.

import { describe, expect, it } from 'vitest'
import type { ModelName, RegionName, RolloutId, VersionId } from '../../../shared/ids.ts'
import type { AdminRefusal } from '../../../shared/refusal.ts'
import { problem } from '../../../core/api/problem.ts'
import { rolloutCommands } from '../../../core/facts.ts'
import { draftOf } from '../../../core/rollout/change.ts'
import { next } from '../../../core/rollout/machine.ts'
import { planOf, type PlanReason, type World } from '../../../core/rollout/plan.ts'
import { phases as corePhases, type Rollout } from '../../../core/rollout/record.ts'
import { defaultSteps } from '../../../core/rollout/steps.ts'
import { exitCodeOf, exitCodeOfFaults, readProblem } from '../../../cli/api/problem.ts'
import { planSchema, read, rolloutSchema } from '../../../cli/api/shapes.ts'
import { commands, explainText } from '../../../cli/commands/explain-text.ts'
import { planText, rolloutText } from '../../../cli/commands/rollout-text.ts'
import { phases } from '../../../cli/commands/rollout.ts'

const overJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
const version = (id: string) => ({ id: id as VersionId, model: 'atlas' as ModelName, digest: `sha256:${id}` })
const gates = [{ gate: 'accuracy', mode: 'abort' }] as const

const draft = draftOf(
  {
    id: 'r-1' as RolloutId,
    environment: 'staging',
    model: 'atlas' as ModelName,
    from: 'v1' as VersionId,
    to: 'v2' as VersionId,
    steps: defaultSteps,
    gates,
    plannedRequests: 2_000,
    salt: 's',
    createdBy: 'operator',
    fourEyes: false,
  },
  1_000,
)

it('phases and commands are those of core', () => {
  expect(phases).toEqual(corePhases)
  expect(commands).toEqual(rolloutCommands)
})

describe('a rollout', () => {
  const command = { actor: 'operator', reason: 'try' }
  const at = { atMs: 2_000, weightBpMax: 10_000 }
  const after = (rollout: Rollout, kind: 'submit' | 'approve' | 'start' | 'abort'): Rollout => {
    const moved = next(rollout, { kind, ...command }, at)
    if (!moved.ok) throw new Error(moved.error.reason)
    return moved.value.rollout
  }
  const warming = (['submit', 'approve', 'start'] as const).reduce(after, draft)

  it.each([
    ['draft', draft],
    ['warming', warming],
    ['aborting', after(warming, 'abort')],
  ])('%s is read and shown', (phase, rollout) => {
    const row = read(rolloutSchema, overJson(rollout), 'rollout')
    expect(rolloutText(row, 3_000)).toMatch(new RegExp(`^phase +${phase}`, 'm'))
    expect(row).toMatchObject({ phase, generation: rollout.generation, fourEyes: false })
  })

  it('its last change is shown', () => {
    expect(rolloutText(read(rolloutSchema, overJson(warming), 'rollout'), 3_000)).toContain('approved -> warming  (start by operator)  try')
  })

  it('explained, it shows gates, what is not judged, and what is in the way', () => {
    const check = {
      metric: 'hard_error',
      answer: 'fail',
      measured: 4,
      reference: null,
      threshold: 3,
      bound: 'most',
      samples: 90,
      interval: null,
    }
    const rates = { stable: 0.01, canary: 0.2 }
    const explained = {
      rollout: warming,
      step: defaultSteps[1],
      waitsFor: 'gates before traffic: readiness (inconclusive)',
      allowed: ['timeout', 'pause', 'abort'],
      gates: [
        { gate: 'no_harm', mode: 'abort', answer: 'fail', checks: [{ ...check, rates, reason: 'far too many' }] },
        { gate: 'load', mode: 'pause', answer: 'no_data', checks: [] },
      ],
      notJudged: { schema: 'no request asks for one' },
      trouble: { fleet: false, regions: [] },
      traffic: { byLastWriteBp: 9_950, canaryRequestsInBake: 12 },
      copies: { compared: 40, errorsDiffer: 1, deterministic: 10, sameText: 9, tokensRatio: 1.05, tookRatio: null },
      room: { weightBpMax: null, regions: [] },
      error: 'the database gave no answer',
    }
    const text = explainText(overJson(explained))
    expect(text).toContain('waits for               gates before traffic: readiness (inconclusive)')
    expect(text).toMatch(/^allowed +pause, abort$/m)
    expect(text).toContain('canaryRequestsInBake  12')
    expect(text).toMatch(/no_harm +abort +fail +hard_error +20 % \/ 1 % +3 +90 +far too many/)
    expect(text).toMatch(/load +pause +no_data/)
    expect(text).toMatch(
      /^copies +40 compared, 1 where only one of the two failed, 9 of 10 deterministic ones with the same text, length 1.05 times stable's$/m,
    )
    expect(text).toContain('Not judged:\n  schema: no request asks for one')
    expect(text).toContain('the database gave no answer')
    expect(text).not.toContain('stopped')
    const change = { atMs: 1, actor: 'operator:ada', input: 'abort', from: 'baking', reason: 'too slow for me', detail: 'aborted' }
    expect(explainText(overJson({ ...explained, stopped: change }))).toMatch(
      /^stopped +while baking, by operator:ada: aborted \(too slow for me\)$/m,
    )
  })
})

describe('a plan', () => {
  const world: World = {
    atMs: 1_000,
    alias: { stable: version('v1'), canary: null },
    active: null,
    approval: { expiresAtMs: null },
    gates: [{ gate: 'accuracy', live: false, result: 'pass', value: 0.9, reference: 0.91, threshold: 0.9 }],
    regions: [{ region: 'fra' as RegionName, demandPerS: 3, demandSlots: 3, spareSlots: 24 }],
  }
  const plan = (to: string, more: Partial<World> = {}) =>
    planOf(
      { environment: 'staging', model: 'atlas' as ModelName, from: null, to: version(to), steps: defaultSteps, gates },
      { ...world, ...more },
    )

  it('is read and shown', () => {
    const row = read(planSchema, overJson(plan('v2')), 'plan')
    expect(planText(row)).toContain('It may start.')
    expect(exitCodeOfFaults(row.refusals)).toBe(0)
  })

  it.each([
    ['same_version', 2, plan('v1')],
    ['not_approved', 1, plan('v2', { approval: null })],
    ['rollout_active', 5, plan('v2', { active: 'r-0' as RolloutId })],
    ['capacity_missing', 1, plan('v2', { regions: [{ region: 'fra' as RegionName, demandPerS: 3, demandSlots: 3, spareSlots: 0 }] })],
    ['unknown_alias', 1, plan('v2', { alias: null })],
  ] satisfies readonly (readonly [PlanReason, number, unknown])[])('refused for %s it ends with %i', (reason, exitCode, refused) => {
    const row = read(planSchema, overJson(refused), 'plan')
    expect(row.refusals.map((each) => each.reason)).toContain(reason)
    expect(exitCodeOfFaults(row.refusals)).toBe(exitCode)
    expect(planText(row)).toContain(reason)
  })
})

describe('a refusal', () => {
  const fault = (reason: string) => ({ reason, pointer: '#/to', detail: 'no' })
  it.each<readonly [AdminRefusal, number]>([
    [{ reason: 'not_found', what: 'rollout', id: 'r-1' }, 1],
    [{ reason: 'invalid_field', param: 'to', detail: 'must be a text' }, 2],
    [{ reason: 'plan_refused', faults: [fault('steps_invalid')] }, 2],
    [{ reason: 'plan_refused', faults: [fault('gates_invalid')] }, 2],
    [{ reason: 'plan_refused', faults: [fault('stable_moved')] }, 5],
    [{ reason: 'plan_refused', faults: [fault('not_approved')] }, 1],
    [{ reason: 'rollout_refused', why: 'illegal_transition', detail: 'it is over', allowed: ['retry'] }, 5],
    [{ reason: 'rollout_refused', why: 'second_approver_missing', detail: 'name one', allowed: [] }, 1],
    [{ reason: 'rollout_active', environment: 'staging', model: 'atlas', rollout: null }, 5],
    [{ reason: 'alias_moved', environment: 'staging', model: 'atlas' }, 5],
    [{ reason: 'generation_mismatch', current: 3 }, 5],
    [{ reason: 'gate_failed', verdicts: [] }, 3],
    [{ reason: 'not_comparable', field: 'template', measured: 'a', reference: 'b' }, 1],
    [{ reason: 'controller_unreachable', afterMs: 3_000 }, 1],
  ])('%j ends with %i', async (refusal, exitCode) => {
    const read = readProblem(await problem(refusal, 'request-1').json())
    expect(read && exitCodeOf(read)).toBe(exitCode)
  })
})
