// One word for several verdicts, what each mode makes of it, and how live verdicts are stored.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RolloutId } from '../../../shared/ids.ts'
import { gateAnswers, gateModes, gateNames, type GateAnswer, type GateMode, type GateName } from '../../../shared/wire/gate.ts'
import { checkOf, failureOf, jointOf, modeOf, saidBy, storedOf, type Said } from '../../../core/rollout/joint.ts'
import type { Verdict } from '../../../core/rollout/verdict.ts'
import { Ride, weight } from './rollout-ride.ts'

const said = (gate: GateName, answer: GateAnswer, mode: GateMode = 'abort'): Said => ({ gate, mode, answer, reason: `${gate} ${answer}` })

describe('the joint word', () => {
  it.each<readonly [string, readonly Said[], readonly [GateAnswer, GateMode, string] | null]>([
    ['of no gate there is none', [], null],
    ['all pass', [said('no_harm', 'pass'), said('readiness', 'pass', 'pause')], ['pass', 'abort', 'no_harm, readiness']],
    ['a failure decides', [said('no_harm', 'pass'), said('not_worse', 'fail')], ['fail', 'abort', 'not_worse']],
    ['of failures the one that aborts', [said('load', 'fail', 'pause'), said('no_harm', 'fail')], ['fail', 'abort', 'no_harm']],
    ['a failure that asks a person', [said('load', 'fail', 'pause'), said('no_harm', 'no_data')], ['fail', 'pause', 'load']],
    ['what is missing, before what is open', [said('no_harm', 'inconclusive'), said('load', 'no_data')], ['no_data', 'abort', 'load']],
    ['what is open, before a pass', [said('no_harm', 'pass'), said('load', 'inconclusive', 'pause')], ['inconclusive', 'pause', 'load']],
    ['what is only observed has no say', [said('no_harm', 'fail', 'observe'), said('load', 'pass')], ['pass', 'abort', 'load']],
    ['nor is it waited for', [said('no_harm', 'no_data', 'observe'), said('load', 'pass')], ['pass', 'abort', 'load']],
    ['where all are only observed it goes on as a note', [said('no_harm', 'fail', 'observe')], ['pass', 'observe', 'observed']],
  ])('%s', (_, all, expected) => {
    const word = jointOf(all)
    expect(word && [word.result, word.mode, word.gate]).toEqual(expected)
  })

  it('says what was observed, for the record', () => {
    const word = jointOf([said('no_harm', 'fail', 'observe'), said('accuracy', 'pass', 'observe'), said('load', 'pass')])
    expect(word?.detail).toBe('no_harm (observed): fail, no_harm fail')
    expect(jointOf([said('no_harm', 'pass', 'observe')])?.detail).toBe('all gates are only observed')
  })

  it('passes only when every gate with a say does, whatever there is', () => {
    const any = fc.record({
      gate: fc.constantFrom(...gateNames),
      mode: fc.constantFrom(...gateModes),
      answer: fc.constantFrom(...gateAnswers),
      reason: fc.constant(''),
    })
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 8 }), (all) => {
        const heard = all.filter(({ mode }) => mode !== 'observe')
        expect(jointOf(all)?.result === 'pass').toBe(heard.every(({ answer }) => answer === 'pass'))
        expect(failureOf(all) !== null).toBe(heard.some(({ answer }) => answer === 'fail'))
      }),
    )
  })
})

describe('modes', () => {
  it.each<readonly [GateName, GateMode]>([
    ['accuracy', 'pause'],
    ['no_harm', 'abort'],
    ['not_worse', 'observe'],
    ['fast_guard', 'abort'],
  ])('%s is in mode %s: as named; of those that are not, the guard alone has a say', (gate, mode) => {
    expect(
      modeOf(
        {
          gates: [
            { gate: 'accuracy', mode: 'pause' },
            { gate: 'no_harm', mode: 'abort' },
          ],
        },
        gate,
      ),
    ).toBe(mode)
  })

  it('the guard that is named is in the mode that was said', () => {
    expect(modeOf({ gates: [{ gate: 'fast_guard', mode: 'observe' }] }, 'fast_guard')).toBe('observe')
  })
})

const live = (so: Partial<Verdict> = {}): Verdict => ({
  gate: 'no_harm',
  metric: 'hard_error',
  answer: 'pass',
  stable: 0.01,
  canary: 0.02,
  measured: 1.5,
  threshold: 3,
  window: { fromMs: 100, untilMs: 900 },
  samples: { stable: 400, canary: 50 },
  interval: { low: -0.1, high: 0.1 },
  atMs: 900,
  reason: 'no evidence of harm',
  ...so,
})

describe('what is stored', () => {
  const { rollout } = new Ride([weight(100)]).begin()
  it('a check has both rates, both samples, the threshold and the interval', () => {
    expect(checkOf(live())).toEqual({
      metric: 'hard_error',
      answer: 'pass',
      measured: 1.5,
      reference: null,
      threshold: 3,
      bound: 'most',
      samples: 50,
      interval: { low: -0.1, high: 0.1 },
      reason: 'no evidence of harm',
      rates: { stable: 0.01, canary: 0.02 },
      samplesOfStable: 400,
    })
  })

  it('one verdict of each gate, with the worst of its answers and the window of all its checks', () => {
    const stored = storedOf(
      rollout,
      [
        live(),
        live({ metric: 'empty_answer', answer: 'inconclusive', window: { fromMs: 50, untilMs: 950 } }),
        live({ gate: 'fast_guard', answer: 'fail', window: { fromMs: 800, untilMs: 900 } }),
      ],
      '7',
    )
    expect(
      stored.map(({ id, gate, answer, mode, window, checks }) => [id, gate, answer, mode, window?.fromMs, window?.untilMs, checks.length]),
    ).toEqual([
      ['r1/7/no_harm', 'no_harm', 'inconclusive', 'abort', 50, 950, 2],
      ['r1/7/fast_guard', 'fast_guard', 'fail', 'abort', 800, 900, 1],
    ])
    expect(stored[0]).toMatchObject({ rollout: 'r1', version: 'v2', reference: 'v1', environment: 'production', model: 'atlas', atMs: 950 })
  })

  it('names the step, and none before the first', () => {
    expect(storedOf({ ...rollout, stepIndex: 3 }, [live()], '7')[0]?.step).toBe(3)
    expect(storedOf({ ...rollout, stepIndex: -1 }, [live()], '7')[0]?.step).toBeNull()
  })

  it('another moment is another verdict, and another rollout too', () => {
    const ids = [
      storedOf(rollout, [live()], '7'),
      storedOf(rollout, [live()], '8'),
      storedOf({ ...rollout, id: 'r2' as RolloutId }, [live()], '7'),
    ]
    expect(new Set(ids.flat().map(({ id }) => id)).size).toBe(3)
  })

  it('what a gate said is told with the metric it rests on', () => {
    expect(saidBy(rollout, [live({ answer: 'fail', reason: 'too many' })])).toEqual([
      { gate: 'no_harm', mode: 'abort', answer: 'fail', reason: 'hard_error: too many' },
    ])
  })
})
