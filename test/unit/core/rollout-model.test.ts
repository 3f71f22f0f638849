// Random commands and events against an independent model, written from the rules of the design and not from the machine's table; and the
// same ways with crashes at every effect. In both, whatever happened, each way comes to an end.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import type { VersionId } from '../../../shared/ids.ts'
import { gateModes } from '../../../shared/wire/gate.ts'
import type { Moved } from '../../../core/rollout/change.ts'
import { dueOf } from '../../../core/rollout/machine.ts'
import { isOver, isRunning, type Effect, type Input, type Phase, type Rollout } from '../../../core/rollout/record.ts'
import type { Step } from '../../../core/rollout/steps.ts'
import {
  analysis,
  approval,
  gates,
  minute,
  passed,
  pauseUntil,
  promoteFull,
  r1,
  r2,
  retry,
  Ride,
  rollback,
  say,
  shadow,
  supersede,
  unmeasured,
  v1,
  v2,
  verdict,
  weight,
} from './rollout-ride.ts'

// ---- What may happen ----

/** An input as it is drawn: made for the rollout as it is at that moment. */
type Drawn = (ride: Ride) => Input
type Turn = { readonly passMs: number | 'due'; readonly roomBp: number | null; readonly input: Drawn; readonly name: string }

const drawn = (name: string, input: Drawn) => ({ name, input })
const fixed = (input: Input, name: string = input.kind) => drawn(name, () => input)

const inputs: fc.Arbitrary<{ readonly name: string; readonly input: Drawn }> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...(['submit', 'approve', 'start', 'resume', 'promote', 'pause'] as const).map((kind) => fixed(say(kind))),
      fixed(say('approve', 'ada'), 'approve by its maker'),
      fixed({ kind: 'warmed' }),
      fixed({ kind: 'pause_over' }),
      fixed({ kind: 'hold_over' }),
      fixed(unmeasured),
      fixed({ kind: 'measured', ok: true, detail: '' }, 'measured well'),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      fixed(say('abort')),
      fixed(say('reject')),
      fixed(supersede),
      fixed(promoteFull()),
      fixed(promoteFull(null), 'promote_full alone'),
      fixed(retry()),
      fixed(rollback()),
    ),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({
        trafficBp: fc.constantFrom(0, 9_899, 9_900, 10_000),
        canaryRequests: fc.constantFrom(0, 29, 30, 99, 100, 5_000),
        old: fc.boolean(),
      })
      .map(({ trafficBp, canaryRequests, old }) =>
        drawn(`settled ${trafficBp} ${canaryRequests} ${old}`, (ride) =>
          ride.settled({ trafficBp, canaryRequests, ...(old ? { generation: ride.rollout.aliasGeneration - 1 } : {}) }),
        ),
      ),
  },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(0, 99, 100, 1_999, 2_000)
      .map((many) => fixed({ kind: 'bake_over', canaryRequests: many }, `bake_over ${many}`)),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom('pass', 'pass', 'fail', 'inconclusive', 'no_data'), fc.constantFrom('observe', 'pause', 'abort'))
      .map(([result, mode]) => fixed(verdict(result as never, mode as never), `${result} ${mode}`)),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ trafficBp: fc.constantFrom(0, 9_900), canaryInFlight: fc.nat(1), stableWhole: fc.boolean() })
      .map((seen) => drawn(`drained ${JSON.stringify(seen)}`, (ride) => ride.drained(seen))),
  },
  { weight: 1, arbitrary: fc.constantFrom(0, 9_900).map((trafficBp) => fixed({ kind: 'timeout', trafficBp }, `timeout ${trafficBp}`)) },
  // What the way through needs next, so that ways get far.
  { weight: 30, arbitrary: fc.constant(drawn('what is next', forward)) },
)

function forward(ride: Ride): Input {
  const { phase, pause } = ride.rollout
  const inputOf: Readonly<Partial<Record<Phase, Input>>> = {
    draft: say('submit', 'ada'),
    pending_approval: say('approve'),
    approved: say('start'),
    warming: { kind: 'warmed' },
    shifting: ride.settled(),
    baking: { kind: 'bake_over', canaryRequests: 2_000 },
    judging: passed,
    paused: say(pause?.awaits === 'approval' ? 'approve' : 'resume'),
    promoting: ride.settled(),
    aborting: ride.drained(),
  }
  return inputOf[phase] ?? { kind: 'hold_over' }
}

const turns: fc.Arbitrary<readonly Turn[]> = fc.array(
  fc
    .record({
      passMs: fc.constantFrom<number | 'due'>(0, 1_000, minute, 'due', 'due', 'due'),
      roomBp: fc.constantFrom(10_000, 10_000, 10_000, 10_000, 3_000, 0, null),
      drawnInput: inputs,
    })
    .map(({ passMs, roomBp, drawnInput }) => ({ passMs, roomBp, ...drawnInput })),
  { minLength: 1, maxLength: 60, size: 'max' },
)

/** A step that asks for a proof, and so for many requests. */
const proved = (weightBp: number): Step => ({ kind: 'weight', weightBp, bakeMs: 10 * minute, minRequests: 2_000, proof: true })

/** Steps with rising weights, and others between them. */
const plans: fc.Arbitrary<readonly Step[]> = fc
  .tuple(
    fc.uniqueArray(fc.constantFrom(1, 77, 2_500, 3_333, 9_999, 10_000), { minLength: 1, maxLength: 3 }),
    fc.array(fc.constantFrom<Step>(shadow(500), approval, analysis, pauseUntil(null), pauseUntil(1_000_000 + 30 * minute)), {
      maxLength: 3,
    }),
    fc.infiniteStream(fc.boolean()),
    fc.infiniteStream(fc.boolean()),
  )
  .map(([weights, others, first, proofs]) => {
    const rising = weights.toSorted((a, b) => a - b).map((each) => (proofs.next().value ? proved(each) : weight(each)))
    const rest = [...others]
    return [...rising.flatMap((step) => (first.next().value && rest.length > 0 ? [rest.shift() as Step, step] : [step])), ...rest]
  })

/** Time passes, at most to the next thing that the hour asks for, so that deadlines and ends are met exactly. */
function pass(ride: Ride, passMs: number | 'due'): void {
  const { bakeEndsAtMs, pause, stableHeldUntilMs, deadlineMs } = ride.rollout
  const due = [bakeEndsAtMs, pause?.untilMs, stableHeldUntilMs, deadlineMs].filter((ms) => typeof ms === 'number')
  ride.atMs = passMs === 'due' ? Math.max(ride.atMs, Math.min(...due, ride.atMs + 100 * 24 * 60 * minute)) : ride.atMs + passMs
}

// ---- The model ----

/** What the design says of a rollout, as little as it takes. `at`: the step under way; `back`: the phase, or the step, after a pause. */
type Model = {
  phase: Phase
  at: number
  weightBp: number
  shadowBp: number
  written: number
  generation: number
  warm: boolean
  extended: boolean
  bad: number
  sinceMs: number
  bakeUntilMs: number
  why: string | null
  back: Phase | number
  leftMs: number
  superseded: boolean
  heldUntilMs: number | null
  followed: boolean
}

const newModel = (): Model => ({
  phase: 'draft',
  at: -1,
  weightBp: 0,
  shadowBp: 0,
  written: 0,
  generation: 1,
  warm: false,
  extended: false,
  bad: 0,
  sinceMs: 1_000_000,
  bakeUntilMs: 0,
  why: null,
  back: 'draft',
  leftMs: 0,
  superseded: false,
  heldUntilMs: null,
  followed: false,
})

const no = (reason: string) => reason
const bakeOf = (step: Step | undefined): number => (step?.kind === 'weight' ? step.bakeMs : step?.kind === 'shadow' ? step.forMs : 0)
const wantedOf = (step: Step | undefined): number => (step?.kind === 'weight' ? (step.proof ? 2_000 : 100) : 0)
const moving = (m: Model): boolean => ['shifting', 'baking', 'judging'].includes(m.phase)
const abortable = (m: Model): boolean => moving(m) || ['warming', 'paused', 'promoting'].includes(m.phase)

/** Deadlines by the table of the design. */
function deadlineOf(m: Model, steps: readonly Step[]): number {
  const step = steps[m.at]
  const until = step?.kind === 'pause' && m.back === m.at + 1 && m.why === 'manual' ? (step.untilMs ?? 0) : 0
  const table: Readonly<Partial<Record<Phase, number>>> = {
    draft: limits.rolloutDraftMsMax,
    pending_approval: limits.rolloutApprovalMsMax,
    approved: limits.rolloutApprovedMsMax,
    warming: limits.rolloutWarmingMsMax,
    shifting: Math.max(limits.rolloutShiftingMsMin, bakeOf(step)),
    baking: m.bakeUntilMs - m.sinceMs + limits.rolloutBakingGraceMs,
    judging: step?.kind === 'analysis' ? step.withinMs : limits.rolloutJudgingMsMax,
    paused: Math.max(0, until - m.sinceMs) + limits.rolloutPausedMsMax,
    promoting: limits.rolloutPromotingMsMax,
    aborting: limits.rolloutAbortingMsMax,
  }
  return m.sinceMs + (table[m.phase] ?? Infinity)
}

/** Says what the input does to the model: changes it and answers null, or answers the reason of the refusal. */
function play(m: Model, steps: readonly Step[], input: Input, nowMs: number, roomBp: number | null): string | null {
  const isCommand = 'actor' in input
  const write = (weightBp: number, shadowBp: number): void => {
    m.weightBp = weightBp
    m.shadowBp = shadowBp
    m.written = m.generation + 1
  }
  const to = (phase: Phase): null => {
    m.phase = phase
    m.sinceMs = nowMs
    m.bad = 0
    if (phase !== 'paused') m.why = null
    m.generation += 1
    return null
  }
  const pauseFor = (why: string, back: Phase | number, leftMs = 0): null => {
    m.why = why
    m.back = back
    m.leftMs = leftMs
    return to('paused')
  }
  const pauseHere = (why: string): null => pauseFor(why, m.phase, Math.max(0, m.bakeUntilMs - nowMs))
  const abort = (superseded = false): null => {
    m.superseded = superseded
    write(0, 0)
    return to('aborting')
  }
  const bake = (ms: number): null => {
    m.bakeUntilMs = nowMs + ms
    return to('baking')
  }
  const end = (phase: Phase): null => {
    write(0, 0)
    return to(phase)
  }
  const goTo = (wanted: number): string | null => {
    let index = wanted
    let step = steps[index]
    while (step?.kind === 'pause' && step.untilMs !== null && step.untilMs <= nowMs) step = steps[++index]
    const goal = step?.kind === 'weight' ? step.weightBp : step ? m.weightBp : 10_000
    if (goal > m.weightBp && (roomBp === null || roomBp < goal)) {
      if (isCommand || roomBp === null) return no('capacity_missing')
      m.warm = true
      return pauseFor('dependency', index)
    }
    m.warm = true
    m.at = index
    m.extended = false
    if (!step) {
      write(goal, 0)
      return to('promoting')
    }
    if (step.kind === 'weight' || step.kind === 'shadow') {
      write(goal, step.kind === 'shadow' ? step.shareBp : 0)
      return to('shifting')
    }
    if (m.shadowBp > 0) write(goal, 0)
    return step.kind === 'analysis' ? to('judging') : pauseFor('manual', index + 1)
  }
  const short = (): null => {
    const ms = bakeOf(steps[m.at])
    if (m.extended) {
      m.extended = false
      return pauseFor('low_data', 'baking', ms)
    }
    m.extended = true
    return bake(ms)
  }
  const awaitsApproval = (): boolean =>
    m.phase === 'paused' && steps[m.at]?.kind === 'approval' && m.back === m.at + 1 && m.why === 'manual'
  const onward = (): string | null => (typeof m.back === 'number' && m.phase === 'paused' ? goTo(m.back) : goTo(m.at + 1))
  const goBack = (): string | null => {
    if (typeof m.back === 'number') return goTo(m.back)
    return m.back === 'baking' ? bake(m.leftMs) : to(m.back)
  }
  const illegal = no('illegal_transition')
  const notYet = no('not_yet')

  switch (input.kind) {
    case 'submit':
      return m.phase === 'draft' ? to('pending_approval') : illegal
    case 'approve': {
      if (m.phase !== 'pending_approval' && m.phase !== 'paused') return illegal
      if (m.phase === 'paused' && !awaitsApproval()) return notYet
      if (input.actor === 'ada') return no('second_approver_missing')
      return m.phase === 'paused' ? onward() : to('approved')
    }
    case 'reject':
      return ['draft', 'pending_approval', 'approved'].includes(m.phase) ? to('rejected') : illegal
    case 'start':
      if (m.phase !== 'approved') return illegal
      write(0, 0)
      return to('warming')
    case 'warmed':
      return m.phase === 'warming' ? goTo(0) : illegal
    case 'pause':
      return moving(m) || m.phase === 'warming' ? pauseHere('manual') : illegal
    case 'resume':
    case 'pause_over': {
      if (m.phase !== 'paused') return illegal
      const step = steps[m.at]
      const untilMs = step?.kind === 'pause' && m.back === m.at + 1 && m.why === 'manual' ? step.untilMs : null
      if (input.kind === 'pause_over' && (untilMs === null || nowMs < untilMs)) return notYet
      return awaitsApproval() ? no('approval_wanted') : goBack()
    }
    case 'promote':
      if (!moving(m) && m.phase !== 'paused') return illegal
      if (awaitsApproval()) return no('approval_wanted')
      return m.warm ? onward() : no('not_warm')
    case 'promote_full':
      if (!moving(m) && m.phase !== 'paused') return illegal
      if (input.approver === null) return no('second_approver_missing')
      return m.warm ? goTo(steps.length) : no('not_warm')
    case 'abort':
      return abortable(m) ? abort() : illegal
    case 'supersede':
      if (['draft', 'pending_approval', 'approved'].includes(m.phase)) return to('superseded')
      return abortable(m) ? abort(true) : illegal
    case 'settled': {
      if (m.phase !== 'shifting' && m.phase !== 'promoting') return illegal
      if (input.generation !== m.written || input.trafficBp < 9_900) return notYet
      if (m.phase === 'promoting') {
        m.heldUntilMs = nowMs + limits.rolloutStableHoldMs
        return end('succeeded')
      }
      return input.canaryRequests < 30 ? notYet : bake(bakeOf(steps[m.at]))
    }
    case 'bake_over': {
      if (m.phase !== 'baking') return illegal
      if (nowMs < m.bakeUntilMs) return notYet
      return input.canaryRequests < wantedOf(steps[m.at]) ? short() : to('judging')
    }
    case 'verdict': {
      if (!abortable(m)) return illegal
      const { result, mode } = input
      if (result === 'fail' && mode === 'abort') return abort()
      if (m.phase === 'judging') {
        if (result === 'pass' || mode === 'observe') return goTo(m.at + 1)
        const isAnalysis = steps[m.at]?.kind === 'analysis'
        if (result === 'no_data') return isAnalysis ? notYet : short()
        return pauseFor(result === 'fail' ? 'manual' : 'inconclusive', isAnalysis ? 'judging' : 'baking', bakeOf(steps[m.at]))
      }
      const pauses = result === 'fail' && mode === 'pause' && (moving(m) || m.phase === 'warming')
      return pauses ? pauseHere('manual') : notYet
    }
    case 'measured':
      if (!moving(m)) return illegal
      if (input.ok && m.bad === 0) return notYet
      if (!input.ok && m.bad === 4) return pauseHere('dependency')
      m.bad = input.ok ? 0 : m.bad + 1
      m.generation += 1
      return null
    case 'drained': {
      if (m.phase !== 'aborting') return illegal
      const isThrough = input.generation === m.written && input.trafficBp >= 9_900 && input.canaryInFlight === 0 && input.stableWhole
      return isThrough ? end(m.superseded ? 'superseded' : 'rolled_back') : notYet
    }
    case 'timeout': {
      if (isOver({ phase: m.phase })) return illegal
      if (nowMs < deadlineOf(m, steps)) return notYet
      if (m.phase === 'shifting' && input.trafficBp >= 9_900) return pauseFor('low_data', 'shifting')
      if (m.phase === 'judging') return pauseFor('dependency', 'judging')
      if (m.phase === 'aborting') return end(m.superseded ? 'superseded' : 'rolled_back')
      return abortable(m) ? abort() : to('rejected')
    }
    case 'hold_over':
      if (m.phase !== 'succeeded') return illegal
      if (m.heldUntilMs === null || nowMs < m.heldUntilMs) return notYet
      m.heldUntilMs = null
      m.generation += 1
      return null
    case 'retry':
    case 'rollback': {
      const from: readonly Phase[] = input.kind === 'retry' ? ['rolled_back', 'superseded', 'rejected'] : ['succeeded']
      if (!from.includes(m.phase)) return illegal
      if (m.followed) return no('followed_already')
      m.followed = true
      m.heldUntilMs = null
      m.generation += 1
      return null
    }
  }
}

describe('against the model', () => {
  it('every input does what the model says, or is refused for the reason that it says', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(plans, turns, (steps, drawnTurns) => {
        const ride = new Ride(steps)
        const model = newModel()
        for (const { passMs, roomBp, input: draw } of drawnTurns) {
          pass(ride, passMs)
          ride.weightBpMax = roomBp
          const input = draw(ride)
          const moved = ride.try(input)
          const refused = play(model, steps, input, ride.atMs, roomBp)
          expect(moved.ok ? null : moved.error.reason).toBe(refused)
          if (moved.ok) ride.hold(moved.value)
          const { rollout } = ride
          expect({
            phase: rollout.phase,
            at: rollout.stepIndex,
            weightBp: rollout.weightBp,
            shadowBp: rollout.shadowBp,
            generation: rollout.generation,
            written: rollout.aliasGeneration,
            warm: rollout.warm,
            bad: rollout.unmeasured,
            extended: rollout.extended,
            why: rollout.pause?.why ?? null,
            deadlineMs: rollout.deadlineMs ?? Infinity,
            heldUntilMs: rollout.stableHeldUntilMs,
          }).toEqual({
            phase: model.phase,
            at: model.at,
            weightBp: model.weightBp,
            shadowBp: model.shadowBp,
            generation: model.generation,
            written: model.written,
            warm: model.warm,
            bad: model.bad,
            extended: model.extended,
            why: model.why,
            deadlineMs: deadlineOf(model, steps),
            heldUntilMs: model.heldUntilMs,
          })
          seen.add(`${rollout.phase} ${refused ?? 'taken'}`)
        }
      }),
      { numRuns: 1_500 },
    )
    // The ways reach every phase: a test that stayed in the first ones would prove little.
    for (const phase of ['succeeded', 'rolled_back', 'superseded', 'rejected', 'promoting', 'paused', 'judging'] as const) {
      expect(seen).toContain(`${phase} taken`)
    }
    expect(seen).toContain('paused capacity_missing')
  })
})

describe('what always holds', () => {
  /** All changes along a way. */
  function changesOf(
    steps: readonly Step[],
    drawnTurns: readonly Turn[],
  ): readonly { before: Rollout; moved: Moved; roomBp: number | null }[] {
    const ride = new Ride(steps)
    return drawnTurns.flatMap(({ passMs, roomBp, input }) => {
      pass(ride, passMs)
      ride.weightBpMax = roomBp
      const moved = ride.try(input(ride))
      if (!moved.ok) return []
      const before = ride.rollout
      ride.hold(moved.value)
      return [{ before, moved: moved.value, roomBp }]
    })
  }

  it('weights rise by what there is room for, or fall to 0; the canary’s endpoints go only after weight 0; the alias is as the record says', () => {
    fc.assert(
      fc.property(plans, turns, (steps, drawnTurns) => {
        for (const { before, moved, roomBp } of changesOf(steps, drawnTurns)) {
          const { rollout, effects } = moved
          expect(rollout.generation).toBe(before.generation + 1)
          expect(rollout.last).toMatchObject({ generation: rollout.generation, from: before.phase, to: rollout.phase })
          if (rollout.weightBp > before.weightBp) expect(roomBp).toBeGreaterThanOrEqual(rollout.weightBp)
          if (rollout.weightBp < before.weightBp) expect(rollout.weightBp).toBe(0)
          if (rollout.weightBp > 0) expect(rollout.warm).toBe(true)
          expect(new Set(effects.map(({ key }) => key)).size).toBe(effects.length)
          for (const effect of effects) {
            if (effect.kind === 'undeploy') {
              expect(before.weightBp).toBe(0)
              expect(isOver(rollout)).toBe(true)
            }
            if (effect.kind === 'alias' && effect.key.startsWith(`${r1}/`)) {
              const { weightBp, shadowBp, generation } = effect
              expect({ weightBp, shadowBp, generation }).toEqual({
                weightBp: rollout.weightBp,
                shadowBp: rollout.shadowBp,
                generation: rollout.aliasGeneration,
              })
            }
          }
          if (before.weightBp !== rollout.weightBp) expect(effects.map(({ kind }) => kind)).toContain('alias')
        }
      }),
      { numRuns: 500 },
    )
  })

  it('what it is judged by is fixed when it is made: no change touches it, a retry takes it over, a way back asks for readiness alone', () => {
    const followed = { retry: 0, rollback: 0 }
    fc.assert(
      fc.property(plans, turns, (steps, drawnTurns) => {
        for (const { moved } of changesOf(steps, drawnTurns)) {
          const same = { gates, plannedRequests: 2_000, steps }
          expect(moved.rollout).toMatchObject(same)
          for (const effect of moved.effects) {
            if (effect.kind !== 'create') continue
            followed[effect.rollout.retryOf ? 'retry' : 'rollback'] += 1
            const { gates: asked, plannedRequests, steps: taken } = effect.rollout
            const readiness = [{ gate: 'readiness', mode: 'pause' }]
            const expected = effect.rollout.retryOf ? same : { gates: readiness, plannedRequests: 2_000, steps: [] }
            expect({ gates: asked, plannedRequests, steps: taken }).toEqual(expected)
          }
        }
      }),
      { numRuns: 500 },
    )
    expect(Math.min(followed.retry, followed.rollback)).toBeGreaterThan(0)
  })

  it('a gate that fails stops in its mode wherever the canary is watched, and one that is not asked for never does', () => {
    fc.assert(
      fc.property(plans, turns, fc.constantFrom(...gateModes), (steps, drawnTurns, mode) => {
        const ride = new Ride(steps)
        for (const { passMs, input } of drawnTurns) {
          pass(ride, passMs)
          const moved = ride.try(input(ride))
          if (moved.ok) ride.hold(moved.value)
          if (!isRunning(ride.rollout)) continue
          const failed = new Ride(steps, ride.rollout)
          failed.atMs = ride.atMs
          const after = failed.try(verdict('fail', mode))
          // Of a note nothing but the next step can follow, which may be a pause of its own.
          if (mode === 'observe') expect(after.ok && after.value.rollout.stepIndex === ride.rollout.stepIndex).toBe(false)
          else expect(after.ok && after.value.rollout.phase).toBe(mode === 'pause' ? 'paused' : 'aborting')
        }
      }),
      { numRuns: 300 },
    )
  })

  it('every way comes to an end by the hour alone: succeeded, rolled back, superseded or rejected', () => {
    const ends = new Set<Phase>()
    fc.assert(
      fc.property(plans, turns, fc.constantFrom(0, 10_000), (steps, drawnTurns, trafficBp) => {
        const ride = new Ride(steps)
        const made: Rollout[] = []
        for (const { passMs, input } of drawnTurns) {
          pass(ride, passMs)
          const moved = ride.try(input(ride))
          if (!moved.ok) continue
          ride.hold(moved.value)
          made.push(...ride.effects.flatMap((effect) => (effect.kind === 'create' ? [effect.rollout] : [])))
        }
        // The retry or rollback that followed it comes to an end as well.
        for (const rollout of [ride.rollout, ...made]) {
          const way = new Ride(rollout.steps, rollout)
          way.atMs = ride.atMs
          byTheHour(way, trafficBp)
          ends.add(way.rollout.phase)
        }
      }),
      { numRuns: 500 },
    )
    expect(ends).toEqual(new Set(['succeeded', 'rolled_back', 'superseded', 'rejected']))
  })

  /** Nothing happens but that time passes. A bake, its extension, judging, a pause, an abort: then it is over, or a timed pause came between. */
  function byTheHour(ride: Ride, trafficBp: number): void {
    for (let turn = 0; turn < 20 && !isOver(ride.rollout); turn++) {
      pass(ride, 'due')
      const due = dueOf(ride.rollout, ride.atMs)
      if (due === 'bake_over') ride.take({ kind: due, canaryRequests: 0 })
      else ride.take(due === 'pause_over' ? { kind: due } : { kind: 'timeout', trafficBp })
    }
    expect(isOver(ride.rollout)).toBe(true)
  }

  it('and from wherever it is still alive, by what is next: it is never wedged', () => {
    fc.assert(
      fc.property(plans, turns, (steps, drawnTurns) => {
        const ride = new Ride(steps)
        for (const { passMs, roomBp, input } of drawnTurns) {
          pass(ride, passMs)
          ride.weightBpMax = roomBp
          const moved = ride.try(input(ride))
          if (moved.ok) ride.hold(moved.value)
        }
        ride.weightBpMax = 10_000
        for (let turn = 0; turn < 60 && !isOver(ride.rollout); turn++) {
          if (ride.rollout.bakeEndsAtMs !== null) ride.atMs = Math.max(ride.atMs, ride.rollout.bakeEndsAtMs)
          ride.take(forward(ride))
        }
        expect(isOver(ride.rollout)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})

// ---- Crashes ----

/** The world outside: which versions have endpoints, by the newest word on each; and what people were told, by key. */
type Outside = {
  readonly endpoints: Map<VersionId, { readonly generation: number; readonly deployed: boolean }>
  readonly told: Map<string, string>
}

/** The database. A change and its effects are one batch: all of it is there, or nothing. */
class Store {
  readonly rollouts = new Map<string, Rollout>()
  alias: object | null = null
  readonly rows = new Map<string, Effect>()
  pending: readonly Effect[] = []
  readonly outside: Outside = { endpoints: new Map(), told: new Map() }

  commit({ rollout, effects }: Moved): void {
    this.rollouts.set(rollout.id, rollout)
    for (const effect of effects) {
      if (effect.kind === 'create') this.rollouts.set(effect.rollout.id, effect.rollout)
      else if (effect.kind === 'alias') this.alias = effect
      else if (effect.kind === 'outbox') this.rows.set(effect.key, effect)
      else this.pending = [...this.pending, effect]
    }
  }

  /** Carries out what is pending, in order. Crashes after so many of them, before or after it has noted the last one as done. */
  carryOut(crashAfter: number, noted: boolean): boolean {
    for (let done = 1; this.pending.length > 0; done++) {
      const [first, ...rest] = this.pending
      if (first) this.#carryOut(first)
      if (done === crashAfter && !noted) return false
      this.pending = rest
      if (done === crashAfter) return false
    }
    return true
  }

  #carryOut(effect: Effect): void {
    const { endpoints, told } = this.outside
    if (effect.kind === 'notify') told.set(effect.key, effect.text)
    if (effect.kind !== 'deploy' && effect.kind !== 'undeploy') return
    const { version, generation } = effect
    if ((endpoints.get(version)?.generation ?? 0) < generation) endpoints.set(version, { generation, deployed: effect.kind === 'deploy' })
  }
}

describe('crashes', () => {
  const anyCrash = fc.infiniteStream(fc.record({ beforeCommit: fc.boolean(), after: fc.integer({ min: 1, max: 2 }), noted: fc.boolean() }))

  /** Lives through the turns. A crash loses all that is in memory; what is told again after it is what was told before. */
  function live(
    steps: readonly Step[],
    drawnTurns: readonly Turn[],
    crash: Iterator<{ beforeCommit: boolean; after: number; noted: boolean }> | null,
  ) {
    const store = new Store()
    let ride = new Ride(steps)
    let crashes = 0
    store.commit({ rollout: ride.rollout, effects: [] })
    const restart = (): void => {
      const stored = store.rollouts.get(r1)
      const { atMs, weightBpMax } = ride
      ride = new Ride(steps, JSON.parse(JSON.stringify(stored)) as Rollout)
      ride.atMs = atMs
      ride.weightBpMax = weightBpMax
    }
    for (const { passMs, roomBp, input } of drawnTurns) {
      pass(ride, passMs)
      ride.weightBpMax = roomBp
      const told = input(ride)
      const now = crash?.next().value ?? null
      let moved = ride.try(told)
      if (!moved.ok) continue
      if (now?.beforeCommit) {
        restart()
        moved = ride.try(told)
        if (!moved.ok) throw new Error(`told again, it was refused: ${moved.error.reason}`)
      }
      store.commit(moved.value)
      restart()
      if (!store.carryOut(now?.after ?? Infinity, now?.noted ?? true)) {
        crashes += 1
        restart()
        store.carryOut(Infinity, true)
      }
    }
    return { store, crashes }
  }

  it('at any effect, before or after it was noted, leave everything as it would be without', () => {
    let crashed = 0
    fc.assert(
      fc.property(plans, turns, anyCrash, (steps, drawnTurns, crash) => {
        const { store: whole } = live(steps, drawnTurns, null)
        const { store: torn, crashes: many } = live(steps, drawnTurns, crash)
        crashed += many
        expect(torn.rollouts).toEqual(whole.rollouts)
        expect(torn.alias).toEqual(whole.alias)
        expect(torn.rows).toEqual(whole.rows)
        expect(torn.outside).toEqual(whole.outside)
      }),
      { numRuns: 500 },
    )
    expect(crashed).toBeGreaterThan(200)
  })

  it('an effect that is carried out late, after newer ones, changes nothing', () => {
    const store = new Store()
    const ride = new Ride([weight(100)])
    const late: Effect[] = []
    for (const input of [say('submit', 'ada'), say('approve'), say('start'), { kind: 'warmed' as const }, say('abort')]) {
      store.commit(ride.take(input))
      late.push(...ride.effects)
    }
    store.commit(ride.take(ride.drained()))
    store.carryOut(Infinity, true)
    const before = structuredClone(store.outside)
    expect([before.endpoints.get(v1)?.deployed, before.endpoints.get(v2)?.deployed]).toEqual([true, false])
    store.pending = late.filter(({ kind }) => kind === 'deploy' || kind === 'notify')
    expect(store.pending.length).toBeGreaterThan(2)
    store.carryOut(Infinity, true)
    expect(store.outside).toEqual(before)
  })

  it('a command that was told twice, for its answer was lost, is refused the second time', () => {
    const ride = new Ride([weight(100)]).begin().take(say('abort'))
    ride.refuse(say('abort'), 'illegal_transition')
    ride.take(ride.drained(), retry()).refuse(retry(), 'followed_already')
    expect(ride.rollout.successor).toBe(r2)
  })
})
