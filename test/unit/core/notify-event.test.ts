// Events made of the effects that the state machine itself gives.

import { describe, expect, it } from 'vitest'
import { eventIdOf, eventOf } from '../../../core/notify/event.ts'
import type { DeliveryRow } from '../../../core/facts.ts'
import { isOver, phases, type Effect, type Rollout, type Transition } from '../../../core/rollout/record.ts'
import { toldPhases, webhookEventTypes } from '../../../core/webhook-events.ts'
import type { Check, Verdict } from '../../../shared/wire/gate.ts'
import { pauseUntil, Ride, say, supersede, v1, v2, weight } from './rollout-ride.ts'

/** A ride that keeps all its changes, as the store does. */
class Kept extends Ride {
  readonly transitions: Transition[] = []
  readonly all: Effect[] = []

  override hold(moved: Parameters<Ride['hold']>[0]): void {
    super.hold(moved)
    if (moved.rollout.last) this.transitions.push(moved.rollout.last)
    this.all.push(...moved.effects)
  }

  event(kind: 'outbox' | 'notify', verdicts: readonly Verdict[] = []) {
    const { rollout, transitions } = this
    return eventOf({ payload: JSON.stringify(this.effect(kind)), atMs: this.atMs }, { rollout, transitions, verdicts })
  }
}

const failedCheck: Check = {
  metric: 'hard_error',
  answer: 'fail',
  measured: 0.2,
  reference: 0.01,
  threshold: 0.05,
  bound: 'most',
  samples: 300,
  interval: { low: 0.1, high: 0.3 },
  reason: '60 of 300 canary requests failed',
}

const verdictAt = (at: Rollout, atMs: number, more: Partial<Verdict> = {}): Verdict => ({
  id: `${more.gate ?? 'no_harm'}/${atMs}`,
  rollout: at.id,
  environment: at.environment,
  model: at.model,
  version: v2,
  reference: v1,
  gate: 'no_harm',
  mode: 'abort',
  answer: 'fail',
  step: at.stepIndex,
  checks: [failedCheck],
  window: { fromMs: 0, untilMs: atMs },
  atMs,
  ...more,
})

const failed = { kind: 'verdict', result: 'fail', mode: 'abort', gate: 'no_harm', detail: 'too many errors' } as const

describe('an event', () => {
  it('of each change: the rollout, who, why and what came about', () => {
    const ride = new Kept([weight(1_000)]).take(say('submit', 'ada'))
    expect(ride.event('outbox')).toEqual({
      type: 'rollout.transition',
      timestamp: new Date(ride.atMs).toISOString(),
      data: {
        rollout: {
          id: 'r1',
          environment: 'production',
          model: 'atlas',
          from: 'v1',
          to: 'v2',
          phase: 'pending_approval',
          stepIndex: -1,
          weightBp: 0,
          shadowBp: 0,
          generation: 2,
        },
        transition: {
          generation: 2,
          atMs: ride.atMs,
          actor: 'ada',
          input: 'submit',
          from: 'draft',
          to: 'pending_approval',
          reason: 'ada wants it',
          detail: expect.any(String),
        },
      },
    })
  })

  it('of a phase names its own change, also when the rollout has gone on', () => {
    const ride = new Kept([pauseUntil(null), weight(1_000)]).begin()
    const paused = ride.effect('notify')
    ride.pass(5_000).take(say('resume'))
    const told = { rollout: ride.rollout, transitions: ride.transitions, verdicts: [] }
    const event = eventOf({ payload: JSON.stringify(paused), atMs: 1 }, told)
    expect(event).toMatchObject({
      type: 'rollout.paused',
      data: { rollout: { phase: ride.rollout.phase }, transition: { to: 'paused' }, text: paused?.text, verdicts: [] },
    })
    expect(ride.rollout.phase).not.toBe('paused')
  })

  it('of an abort by a gate bears the verdict as it is stored, and so does its end', () => {
    const ride = new Kept([weight(1_000)]).begin()
    const early = verdictAt(ride.rollout, ride.atMs, { gate: 'accuracy', step: null, answer: 'fail', mode: 'pause' })
    const passedBefore = verdictAt(ride.rollout, ride.atMs, { answer: 'pass' })
    ride.pass(60_000)
    const guilty = verdictAt(ride.rollout, ride.atMs)
    const undecided = verdictAt(ride.rollout, ride.atMs, { gate: 'not_worse', answer: 'inconclusive' })
    const noted = verdictAt(ride.rollout, ride.atMs, { gate: 'fast_guard', mode: 'observe' })
    const later = verdictAt(ride.rollout, ride.atMs + 1_000, { gate: 'fast_guard' })
    const newestFirst = [later, noted, undecided, guilty, passedBefore, early]
    ride.take(failed)
    expect(ride.event('notify', newestFirst)).toMatchObject({ type: 'rollout.aborting', data: { verdicts: [guilty] } })
    ride.pass(60_000).take(ride.drained())
    expect(ride.event('notify', newestFirst)).toMatchObject({ type: 'rollout.rolled_back', data: { verdicts: [guilty] } })
  })

  it('of a pause for want of evidence bears what was undecided', () => {
    const ride = new Kept([weight(1_000)]).begin().bake()
    const passed = verdictAt(ride.rollout, ride.atMs, { answer: 'pass' })
    const open = verdictAt(ride.rollout, ride.atMs, { gate: 'not_worse', mode: 'pause', answer: 'inconclusive' })
    ride.take({ kind: 'verdict', result: 'inconclusive', mode: 'pause', gate: 'not_worse', detail: 'too little' })
    expect(ride.event('notify', [open, passed])).toMatchObject({ type: 'rollout.paused', data: { verdicts: [open] } })
  })

  it.each([
    ['a person', say('abort')],
    ['another rollout', supersede],
  ])('of an abort by %s bears none, whatever gates said before', (_, input) => {
    const ride = new Kept([weight(1_000)]).begin()
    const verdicts = [verdictAt(ride.rollout, ride.atMs)]
    ride.take(input)
    expect(ride.event('notify', verdicts)).toMatchObject({ type: 'rollout.aborting', data: { verdicts: [] } })
    ride.take(ride.drained())
    expect(ride.event('notify', verdicts)).toMatchObject({ data: { verdicts: [], transition: { input: 'drained' } } })
  })

  it('has a type for every phase that the machine tells of', () => {
    const begun = () => new Kept([weight(10_000)]).begin()
    const rides = [
      new Kept([]).take(say('submit', 'ada'), say('reject')),
      begun().take(say('pause')),
      ...[say('abort'), supersede].map((end) => {
        const ride = begun().take(end)
        return ride.take(ride.drained())
      }),
      begun().step().finish(),
    ]
    const told = new Set(rides.flatMap(({ all }) => all).flatMap((effect) => (effect.kind === 'notify' ? [effect.about] : [])))
    expect([...told].toSorted()).toEqual([...toldPhases].toSorted())
    expect(phases.filter((phase) => isOver({ phase }) && !toldPhases.some((each) => each === phase))).toEqual([])
    expect(webhookEventTypes).toHaveLength(toldPhases.length + 2)
  })

  it.each([
    '',
    'null',
    '[]',
    '{}',
    '{"kind":"outbox"}',
    '{"kind":"notify"}',
    '{"kind":"deploy","version":"v"}',
    '{"kind":"notify","key":"k","about":"warming"}',
    '{"kind":"start_refused"}',
  ])('is none of %j', (payload) => {
    expect(eventOf({ payload, atMs: 0 }, null)).toBeNull()
    expect(eventOf({ payload, atMs: 0 }, { rollout: new Ride([]).rollout, transitions: [], verdicts: [] })).toBeNull()
  })

  it('has an id without a full stop, the same for all webhooks', () => {
    const idOf = (id: string, webhook: string) => eventIdOf({ id, webhook } as Pick<DeliveryRow, 'id' | 'webhook'>)
    expect(idOf('r1/4/notify/ops.team', 'ops.team')).toBe('r1/4/notify')
    expect(idOf('r1/4/notify/other', 'other')).toBe('r1/4/notify')
  })
})
