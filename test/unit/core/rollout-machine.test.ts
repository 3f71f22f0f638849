// The state machine of a rollout: its ways, its refusals, and one test for each complaint that users of other systems have about theirs.

import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import type { VersionId } from '../../../shared/ids.ts'
import { allowedIn, dueOf } from '../../../core/rollout/machine.ts'
import { isInUse } from '../../../core/in-use.ts'
import { isLive, phases, type Phase } from '../../../core/rollout/record.ts'
import { defaultSteps } from '../../../core/rollout/steps.ts'
import {
  analysis,
  approval,
  failed,
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

const plain = () => new Ride([weight(100), weight(3_300)])

/** A rollout in each live phase. */
const inPhase: Readonly<Partial<Record<Phase, () => Ride>>> = {
  draft: plain,
  pending_approval: () => plain().take(say('submit')),
  approved: () => plain().take(say('submit'), say('approve')),
  warming: () => plain().take(say('submit'), say('approve'), say('start')),
  shifting: () => plain().begin(),
  baking: () => {
    const ride = plain().begin()
    return ride.take(ride.settled())
  },
  judging: () => plain().begin().bake(),
  paused: () => plain().begin().take(say('pause')),
  promoting: () => plain().begin().step().step(),
  aborting: () => plain().begin().take(say('abort')),
  succeeded: () => plain().begin().step().step().finish(),
  rolled_back: () => {
    const ride = plain().begin().take(say('abort'))
    return ride.take(ride.drained())
  },
  superseded: () => plain().take(supersede),
  rejected: () => plain().take(say('reject')),
}
const ride = (phase: Phase): Ride => {
  const made = inPhase[phase]?.() ?? plain()
  expect(made.rollout.phase).toBe(phase)
  return made
}
const live = ['warming', 'shifting', 'baking', 'judging', 'paused', 'promoting'] as const
const over = ['succeeded', 'rolled_back', 'superseded', 'rejected'] as const

describe('the way through', () => {
  it('the default steps lead from a draft to success, by the weights that they name', () => {
    const way = new Ride(defaultSteps).begin()
    const weights: (number | string)[] = []
    const note = () => weights.push(way.rollout.shadowBp > 0 ? `shadow ${way.rollout.shadowBp}` : way.rollout.weightBp)
    for (let step = 0; step < 5; step++) {
      note()
      way.step()
    }
    expect(way.rollout.pause).toMatchObject({ why: 'manual', awaits: 'approval' })
    way.take(say('approve'))
    note()
    way.step().finish()
    expect(weights).toEqual(['shadow 1000', 100, 500, 2_500, 5_000, 10_000])
    expect(way.rollout.phase).toBe('succeeded')
  })

  it('each change has an actor, a reason, and the next generation; its row for the outbox says so', () => {
    const way = plain().begin()
    expect(way.effect('outbox')?.transition).toEqual({
      generation: 5,
      atMs: way.atMs,
      actor: 'controller',
      input: 'warmed',
      from: 'warming',
      to: 'shifting',
      reason: 'the canary is ready',
      detail: 'the canary is ready',
    })
    way.take(say('pause', 'alan'))
    expect(way.rollout.last).toMatchObject({ generation: 6, actor: 'alan', reason: 'alan wants it', detail: 'paused' })
  })

  it('a command without a reason is refused', () => {
    expect(ride('approved').refuse({ ...promoteFull(), kind: 'start', reason: ' ' }, 'reason_missing').rollout.phase).toBe('approved')
  })

  it('the start deploys the canary and names it in the alias with weight 0: nobody is sent there', () => {
    const way = ride('warming')
    expect(way.effect('deploy')?.version).toBe(v2)
    expect(way.effect('alias')).toMatchObject({ stable: v1, canary: v2, weightBp: 0, shadowBp: 0, salt: 'salt' })
  })

  it('copies end with their step', () => {
    const way = new Ride([shadow(1_000), analysis, weight(100)]).begin()
    expect(way.effect('alias')).toMatchObject({ weightBp: 0, shadowBp: 1_000 })
    way.step()
    expect(way.rollout.phase).toBe('judging')
    expect(way.effect('alias')).toMatchObject({ weightBp: 0, shadowBp: 0 })
  })

  it('success makes the new version stable, and lets the old one go only when the hold is over', () => {
    const way = ride('succeeded')
    expect(way.effect('alias')).toMatchObject({ stable: v2, canary: null, weightBp: 0 })
    expect(way.effect('undeploy')).toBeUndefined()
    way.pass(limits.rolloutStableHoldMs - 1).refuse({ kind: 'hold_over' }, 'not_yet')
    way.pass(1).take({ kind: 'hold_over' })
    expect(way.effect('undeploy')?.version).toBe(v1)
    way.refuse({ kind: 'hold_over' }, 'not_yet')
  })
})

describe('a bake', () => {
  it.each<[string, Parameters<Ride['settled']>[0]]>([
    ['99 % of traffic is by the new generation', { trafficBp: 9_899 }],
    ['the canary has served its first 30 requests', { canaryRequests: 29 }],
    ['it is of the last write of the alias', { generation: 1 }],
  ])('does not begin before %s', (_, seen) => {
    const way = ride('shifting')
    way.refuse(way.settled(seen), 'not_yet')
    expect(way.take(way.settled()).rollout.phase).toBe('baking')
  })

  it('is not over before its time', () => {
    const way = ride('baking')
      .pass(10 * minute - 1)
      .refuse({ kind: 'bake_over', canaryRequests: 1_000 }, 'not_yet')
      .pass(1)
      .take({ kind: 'bake_over', canaryRequests: 1_000 })
    expect(way.rollout.phase).toBe('judging')
  })

  it('with too few requests it is extended once, and then a person is asked: it never succeeds', () => {
    const way = ride('baking').pass(10 * minute)
    way.take({ kind: 'bake_over', canaryRequests: 99 })
    expect(way.rollout).toMatchObject({ phase: 'baking', bakeEndsAtMs: way.atMs + 10 * minute })
    way.pass(10 * minute).take({ kind: 'bake_over', canaryRequests: 99 })
    expect(way.rollout).toMatchObject({ phase: 'paused', pause: { why: 'low_data' } })
    expect(way.take(say('resume')).rollout).toMatchObject({ phase: 'baking', bakeEndsAtMs: way.atMs + 10 * minute })
    way.pass(10 * minute).take({ kind: 'bake_over', canaryRequests: 99 })
    expect(way.rollout.phase).toBe('baking')
  })

  it('that is interrupted goes on with the rest of its time', () => {
    const way = ride('baking')
      .pass(4 * minute)
      .take(say('pause'))
      .pass(60 * minute)
      .take(say('resume'))
    expect(way.rollout.bakeEndsAtMs).toBe(way.atMs + 6 * minute)
  })
})

describe('a verdict', () => {
  it.each([
    ['pass', 'abort', 'shifting', null],
    ['pass', 'pause', 'shifting', null],
    ['fail', 'observe', 'shifting', null],
    ['no_data', 'observe', 'shifting', null],
    ['fail', 'pause', 'paused', 'manual'],
    ['fail', 'abort', 'aborting', null],
    ['inconclusive', 'abort', 'paused', 'inconclusive'],
    ['inconclusive', 'pause', 'paused', 'inconclusive'],
    ['no_data', 'abort', 'baking', null],
    ['no_data', 'pause', 'baking', null],
  ] as const)('%s of a gate in mode %s, after the bake, leads to %s', (result, mode, phase, why) => {
    const { rollout } = ride('judging').take(verdict(result, mode))
    expect([rollout.phase, rollout.pause?.why ?? null]).toEqual([phase, why])
  })

  it.each(['warming', 'shifting', 'baking', 'paused', 'promoting'] as const)(
    'that fails aborts in %s too, and nothing else moves it',
    (phase) => {
      const way = ride(phase)
      for (const result of ['pass', 'inconclusive', 'no_data'] as const) way.refuse(verdict(result), 'not_yet')
      way.refuse(verdict('fail', 'observe'), 'not_yet')
      expect(way.take(failed).rollout.phase).toBe('aborting')
      expect(way.effect('notify')?.text).toBe('errors: fail')
    },
  )

  it.each(['warming', 'shifting', 'baking'] as const)('that fails in mode pause pauses %s, and resuming leads back there', (phase) => {
    const way = ride(phase).take(verdict('fail', 'pause'))
    expect(way.rollout.pause?.why).toBe('manual')
    expect(way.take(say('resume')).rollout.phase).toBe(phase)
  })

  it('no data holds an analysis until its time is over, and then a person is asked', () => {
    const way = new Ride([analysis, weight(100)]).begin()
    way.refuse(verdict('no_data'), 'not_yet')
    way.expire()
    expect(way.rollout.pause).toMatchObject({ why: 'dependency', back: { to: 'judging' } })
    expect(way.take(say('resume'), passed).rollout).toMatchObject({ phase: 'shifting', weightBp: 100 })
  })

  it('what cannot be measured five times in a row pauses for a dependency, and never succeeds', () => {
    const way = ride('baking').take(unmeasured, unmeasured, unmeasured, unmeasured)
    expect(way.rollout.phase).toBe('baking')
    way.take({ kind: 'measured', ok: true, detail: '' }, unmeasured, unmeasured, unmeasured, unmeasured)
    expect(way.rollout.phase).toBe('baking')
    expect(way.take(unmeasured).rollout.pause?.why).toBe('dependency')
  })
})

describe('pauses and people', () => {
  it('a pause step ends when a person says so, or at its time', () => {
    expect(new Ride([pauseUntil(null), weight(100)]).begin().take(say('resume')).rollout.weightBp).toBe(100)
    const timed = new Ride([pauseUntil(1_005_000), weight(100)]).begin()
    expect(timed.rollout.phase).toBe('paused')
    timed.refuse({ kind: 'pause_over' }, 'not_yet').pass(5_000).take({ kind: 'pause_over' })
    expect(timed.rollout.weightBp).toBe(100)
  })

  it('a pause until a time that is over is none', () => {
    expect(new Ride([pauseUntil(1_000_000), weight(100)]).begin().rollout).toMatchObject({ phase: 'shifting', stepIndex: 1, weightBp: 100 })
  })

  it('an approval step lets nothing past but an approval by another than who made it, or a full promotion', () => {
    const way = new Ride([approval, weight(100)]).begin()
    way.refuse(say('resume'), 'approval_wanted').refuse(say('promote'), 'approval_wanted')
    way.refuse(say('approve', 'ada'), 'second_approver_missing')
    expect(way.take(say('approve')).rollout.weightBp).toBe(100)
  })

  it('who made a rollout may not approve it, unless two pairs of eyes are not asked for', () => {
    const way = ride('pending_approval').refuse(say('approve', 'ada'), 'second_approver_missing')
    const alone = new Ride([], { ...way.rollout, fourEyes: false })
    expect(alone.take(say('approve', 'ada')).rollout.phase).toBe('approved')
  })

  it.each(['shifting', 'baking', 'judging', 'paused'] as const)('promoting one step in %s goes to the next weight', (phase) => {
    expect(ride(phase).take(say('promote')).rollout).toMatchObject({ phase: 'shifting', stepIndex: 1, weightBp: 3_300 })
  })

  it('promoting one step enters a pause between two steps, and from there the one that follows', () => {
    const way = new Ride([weight(100), pauseUntil(null), weight(200)]).begin().take(say('promote'))
    expect(way.rollout.phase).toBe('paused')
    expect(way.take(say('promote')).rollout.weightBp).toBe(200)
  })

  it.each(['shifting', 'baking', 'judging', 'paused'] as const)('a full promotion in %s needs the scope and a second person', (phase) => {
    const way = ride(phase)
    way.refuse(promoteFull('ada', ['endpoints:write']), 'scope_missing')
    for (const approver of [null, '', 'grace']) way.refuse(promoteFull(approver), 'second_approver_missing')
    expect(way.take(promoteFull()).rollout).toMatchObject({ phase: 'promoting', weightBp: 10_000 })
    expect(way.rollout.last?.detail).toContain('ada')
  })

  it('nobody is promoted to a canary that is not warm', () => {
    const way = ride('warming').take(say('pause'))
    way.refuse(say('promote'), 'not_warm').refuse(promoteFull(), 'not_warm')
    expect(way.take(say('resume')).rollout.phase).toBe('warming')
  })

  it('whoever must act is told: approval wanted, paused, aborting, and each end', () => {
    for (const phase of ['pending_approval', 'paused', 'aborting', ...over] as const) {
      expect(ride(phase).effect('notify')?.about).toBe(phase)
    }
    for (const phase of ['approved', 'warming', 'shifting', 'baking', 'judging'] as const)
      expect(ride(phase).effect('notify')).toBeUndefined()
  })
})

describe('room', () => {
  it('without room for the next weight an event pauses for a dependency, and resuming takes that weight', () => {
    const way = ride('judging')
    way.weightBpMax = 3_299
    way.take(passed)
    expect(way.rollout).toMatchObject({ phase: 'paused', weightBp: 100, pause: { why: 'dependency', back: { to: 'step', index: 1 } } })
    way.refuse(say('resume'), 'capacity_missing').refuse(say('promote'), 'capacity_missing').refuse(promoteFull(), 'capacity_missing')
    way.weightBpMax = 3_300
    expect(way.take(say('resume')).rollout).toMatchObject({ phase: 'shifting', weightBp: 3_300 })
  })

  it('while the room is unknown nothing is raised, and nothing given up', () => {
    const way = ride('judging')
    way.weightBpMax = null
    way.refuse(passed, 'capacity_missing')
    way.weightBpMax = 10_000
    expect(way.take(passed).rollout.weightBp).toBe(3_300)
  })

  it('all of traffic needs room for all of it', () => {
    const way = plain().begin().step().bake()
    way.weightBpMax = 9_999
    expect(way.take(passed).rollout).toMatchObject({ phase: 'paused', weightBp: 3_300, pause: { why: 'dependency' } })
  })
})

describe('an abort', () => {
  it.each(live)('is legal in %s: weight 0 at the next generation, and the canary keeps its endpoints', (phase) => {
    const way = ride(phase)
    const { generation } = way.rollout
    way.take(say('abort'))
    expect(way.rollout).toMatchObject({ phase: 'aborting', weightBp: 0, shadowBp: 0, generation: generation + 1 })
    expect(way.effect('alias')).toMatchObject({ stable: v1, canary: v2, weightBp: 0, generation: generation + 1 })
    expect(way.effect('undeploy')).toBeUndefined()
    way.refuse(say('abort'), 'illegal_transition')
    expect(way.take(way.drained()).rollout.phase).toBe('rolled_back')
    expect(way.effect('alias')).toMatchObject({ stable: v1, canary: null, weightBp: 0 })
    expect(way.effect('undeploy')?.version).toBe(v2)
  })

  it.each(['warming', 'baking', 'paused', 'promoting'] as const)('follows when %s takes longer than it may', (phase) => {
    const way = ride(phase)
    way.refuse({ kind: 'timeout', trafficBp: 0 }, 'not_yet')
    expect(way.expire().rollout.phase).toBe('aborting')
  })

  it('of which nobody knows that it is through ends all the same, and leaves the endpoints to a person', () => {
    const way = ride('aborting').expire()
    expect(way.rollout.phase).toBe('rolled_back')
    expect(way.effect('undeploy')).toBeUndefined()
    expect(way.effect('notify')?.text).toContain('its endpoints stay')
  })
})

describe('the refusals of each phase', () => {
  it.each(phases)('%s refuses what it does not know, and says what it does', (phase) => {
    const way = ride(phase)
    const kinds = ['submit', 'approve', 'reject', 'start', 'pause', 'resume', 'promote', 'abort'] as const
    for (const command of [...kinds.map((kind) => say(kind)), promoteFull(), retry(), rollback(), supersede]) {
      if (allowedIn(phase).includes(command.kind)) continue
      expect(way.try(command)).toEqual({
        ok: false,
        error: { reason: 'illegal_transition', phase, input: command.kind, allowed: allowedIn(phase) },
      })
    }
  })

  it.each(over)('%s is an end: all that follows is another rollout', (phase) => {
    const followers = ['retry', 'rollback', 'hold_over']
    expect(allowedIn(phase).filter((kind) => !followers.includes(kind))).toEqual([])
  })

  it.each(phases)('%s has a deadline exactly if it is not over', (phase) => {
    expect(ride(phase).rollout.deadlineMs === null).toBe((over as readonly Phase[]).includes(phase))
  })

  it.each(['draft', 'pending_approval', 'approved'] as const)('%s is rejected when nobody acts on it in time', (phase) => {
    ride(phase).refuse({ kind: 'timeout', trafficBp: 0 }, 'not_yet')
    expect(ride(phase).expire().rollout.phase).toBe('rejected')
  })
})

describe('superseded', () => {
  it.each(['draft', 'pending_approval', 'approved'] as const)('%s is so at once', (phase) => {
    expect(ride(phase).take(supersede).rollout.phase).toBe('superseded')
  })

  it.each(live)('%s is so once its canary is without traffic; stable stays the old one', (phase) => {
    const way = ride(phase).take(supersede)
    expect(way.rollout.phase).toBe('aborting')
    expect(way.take(way.drained()).rollout.phase).toBe('superseded')
    expect(way.effect('alias')).toMatchObject({ stable: v1, canary: null })
  })
})

describe('rolling back', () => {
  it('within the hold is instant: all of traffic goes to the old version in the same change', () => {
    const way = ride('succeeded').take(rollback())
    expect(way.rollout).toMatchObject({ phase: 'succeeded', successor: r2, stableHeldUntilMs: null })
    expect(way.effect('create')?.rollout).toMatchObject({ id: r2, phase: 'promoting', rollbackOf: r1, from: v2, to: v1, steps: [] })
    expect(way.effect('alias')).toMatchObject({ stable: v2, canary: v1, weightBp: 10_000, salt: 'other' })
    way.refuse(rollback(), 'followed_already').pass(limits.rolloutStableHoldMs).refuse({ kind: 'hold_over' }, 'not_yet')
  })

  it('after the hold, or without room, warms the old version first, and skips the steps', () => {
    const late = ride('succeeded').pass(limits.rolloutStableHoldMs).take({ kind: 'hold_over' }, rollback())
    const roomless = ride('succeeded')
    roomless.weightBpMax = 5_000
    for (const way of [late, roomless.take(rollback())]) {
      const made = way.effect('create')?.rollout ?? way.rollout
      expect(made.phase).toBe('warming')
      expect(way.effect('deploy')?.version).toBe(v1)
      expect(new Ride([], made).take({ kind: 'warmed' }).rollout).toMatchObject({ phase: 'promoting', weightBp: 10_000 })
    }
  })

  it('is not undone because a ledger is silent', () => {
    const made = ride('succeeded').take(rollback()).effect('create')?.rollout
    const back = new Ride([], made).expire()
    expect(back.rollout.phase).toBe('succeeded')
    expect(back.effect('alias')).toMatchObject({ stable: v1, canary: null })
  })

  it('reaches three versions back, and no further; only from what is stable now', () => {
    const recent = ['v1', 'v0', 'u9', 'u8'] as VersionId[]
    expect(
      ride('succeeded')
        .take(rollback({ to: 'u9' as VersionId, recent }))
        .effect('create')?.rollout.to,
    ).toBe('u9')
    ride('succeeded')
      .refuse(rollback({ to: 'u8' as VersionId, recent }), 'rollback_too_far')
      .refuse(rollback({ stable: 'v3' as VersionId }), 'not_current')
      .refuse(rollback({ to: v2, recent: [v2] }), 'same_version')
  })
})

describe('what the hour asks for', () => {
  it.each<[Phase, ReturnType<typeof dueOf>]>([
    ['draft', 'timeout'],
    ['shifting', 'timeout'],
    ['baking', 'bake_over'],
    ['paused', 'timeout'],
    ['succeeded', 'hold_over'],
    ['rolled_back', null],
  ])('%s, after a long time: %s', (phase, due) => {
    const way = ride(phase)
    expect(dueOf(way.rollout, way.atMs)).toBeNull()
    expect(dueOf(way.rollout, way.atMs + 100 * 24 * 60 * minute)).toBe(due)
  })

  it('a pause with an end is over before it is too long', () => {
    const way = new Ride([pauseUntil(1_005_000), weight(100)]).begin()
    expect(dueOf(way.rollout, 1_005_000)).toBe('pause_over')
  })
})

describe('endpoints in use', () => {
  const aliases = [{ stable: v2, canary: null }]
  it.each<[string, Parameters<typeof isInUse>, boolean]>([
    ['stable somewhere', [v2, aliases, []], true],
    ['canary somewhere', [v1, [{ stable: v2, canary: v1 }], []], true],
    ['of a live rollout', [v1, [], [ride('paused').rollout]], true],
    ['of one that is over', [v1, aliases, [ride('rolled_back').rollout]], false],
    ['held after success', [v1, aliases, [ride('succeeded').rollout]], true],
    ['let go after success', [v1, aliases, [{ ...ride('succeeded').rollout, stableHeldUntilMs: null }]], false],
  ])('%s', (_, given, expected) => {
    expect(isInUse(...given)).toBe(expected)
  })
})

describe('complaints about other systems, none of which hold here', () => {
  it.each(['rolled_back', 'rejected', 'superseded'] as const)(
    'argo-rollouts#3120, #841, retry after abort: %s can be tried again, as a new rollout with a link',
    (phase) => {
      const way = ride(phase).take(retry())
      expect(way.rollout).toMatchObject({ phase, successor: r2 })
      const made = way.effect('create')?.rollout
      expect(made).toMatchObject({ id: r2, phase: 'draft', retryOf: r1, from: v1, to: v2, salt: 'other', generation: 1, stepIndex: -1 })
      expect(new Ride([], made).begin('alan').step().step().finish().rollout.phase).toBe('succeeded')
      way.refuse(retry(), 'followed_already')
    },
  )

  it('argo-rollouts#3120, #841, retry after abort: a retry begins from what is stable now, and not at all where that is the version itself', () => {
    const other = 'v7' as VersionId
    expect(ride('rolled_back').take(retry(other)).effect('create')?.rollout.from).toBe(other)
    ride('rolled_back').refuse(retry(v2), 'same_version')
  })

  it('argo-rollouts#3120, #841: aborted is terminal, nothing brings it back to life', () => {
    const way = ride('rolled_back')
    for (const kind of ['start', 'resume', 'promote', 'approve'] as const) way.refuse(say(kind), 'illegal_transition')
    expect(way.rollout.phase).toBe('rolled_back')
  })

  it('flagger#930, zero weight serialised: weight 0 is written, not left out', () => {
    const written = JSON.parse(JSON.stringify(ride('aborting').effect('alias'))) as object
    expect(written).toHaveProperty('weightBp', 0)
    expect(written).toHaveProperty('shadowBp', 0)
    expect(JSON.parse(JSON.stringify(ride('warming').effect('alias')))).toHaveProperty('weightBp', 0)
  })

  it('flagger#189, non-multiple step: after a last weight of 33 % all of traffic follows, and only then is it a success', () => {
    const way = new Ride([weight(700), weight(3_300)]).begin().step().step()
    expect(way.rollout).toMatchObject({ phase: 'promoting', weightBp: 10_000 })
    way.refuse(way.settled({ trafficBp: 9_899 }), 'not_yet')
    expect(way.finish().effect('alias')).toMatchObject({ stable: v2, canary: null })
  })

  it('argo-rollouts PR#4864, analysis before traffic: no verdict passes a canary that has no requests yet', () => {
    const way = ride('shifting').refuse(passed, 'not_yet')
    way.refuse(way.settled({ canaryRequests: 0 }), 'not_yet').refuse({ kind: 'bake_over', canaryRequests: 0 }, 'illegal_transition')
    expect(way.expire(10_000).rollout).toMatchObject({ phase: 'paused', pause: { why: 'low_data' } })
  })

  it('argo-rollouts PR#4864: traffic that does not follow is no want of data, it aborts', () => {
    expect(ride('shifting').expire(9_899).rollout.phase).toBe('aborting')
  })

  it('argo-rollouts#777, abort while stable is short of capacity: stable is deployed again, and the canary’s endpoints stay until it is whole', () => {
    const way = ride('aborting')
    expect(way.effect('deploy')?.version).toBe(v1)
    way.refuse(way.drained({ stableWhole: false }), 'not_yet')
    way.take(way.drained())
    expect(way.effect('undeploy')?.version).toBe(v2)
  })

  it('argo-rollouts#777: an abort removes no canary capacity before its traffic is confirmed at 0', () => {
    const way = ride('aborting')
    way.refuse(way.drained({ canaryInFlight: 1 }), 'not_yet').refuse(way.drained({ trafficBp: 9_899 }), 'not_yet')
    expect(way.take(way.drained()).effect('undeploy')?.version).toBe(v2)
  })

  it('argo-rollouts#1411: a failed analysis stops the rollout', () => {
    expect(new Ride([analysis, weight(100)]).begin().take(failed).rollout.phase).toBe('aborting')
  })

  it('background analysis ended early: one that is cut short is no success', () => {
    const way = new Ride([weight(100), analysis]).begin().step().take(say('pause')).expire()
    expect(way.take(way.drained()).rollout.phase).toBe('rolled_back')
  })

  it('argo-rollouts#941: after a failure and its abort no canary is left running', () => {
    const way = ride('judging').take(failed)
    expect(way.take(way.drained()).effects.map(({ kind }) => kind)).toEqual(['alias', 'undeploy', 'notify', 'outbox'])
  })

  it('flagger PR#1692, promotion loop: a weight once published is not published again by itself, and what settles is of its own write alone', () => {
    const way = ride('shifting')
    const old = way.settled()
    way.take(old).refuse(old, 'illegal_transition')
    way.pass(10 * minute).take({ kind: 'bake_over', canaryRequests: 100 }, passed)
    expect(way.refuse(old, 'not_yet').rollout).toMatchObject({ phase: 'shifting', weightBp: 3_300 })
  })

  it('flagger PR#1851: the status keeps its weight while promoting', () => {
    expect(ride('promoting').rollout.weightBp).toBe(10_000)
  })

  it('devantler-tech/platform#2387: a failed rollout does not wedge later ones, for it is not live', () => {
    for (const phase of over) expect(isLive(ride(phase).rollout)).toBe(false)
    for (const phase of [...live, 'aborting'] as const) expect(isLive(ride(phase).rollout)).toBe(true)
  })

  it('a newer version that takes a running one’s place waits for its canary to go, and stable stays in use', () => {
    const way = ride('baking').take(supersede)
    expect(way.rollout.endsAs).toBe('superseded')
    expect(isInUse(v1, [], [way.rollout])).toBe(true)
  })
})
