import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeReadiness, type Demand, type Target } from '../../../core/gate/readiness.ts'
import { limits } from '../../../shared/limits.ts'
import { answerOf, gateAnswers, type Check, type GateAnswer } from '../../../shared/wire/gate.ts'

const target = (more: Partial<Target> = {}): Target => ({
  load: 'loaded',
  warm: { good: limits.warmRequestsMin, failed: 0 },
  capacityPerS: 10,
  busyPerS: 4,
  ...more,
})
/** A part of 10 requests a second, which takes 12 to spare: two targets have them. */
const demand: Demand = { trafficPerS: 100, weightBp: 1_000 }
const judged = (targets: readonly Target[], of: Demand = demand) => judgeReadiness(targets, of, 'abort')
const cold = { good: limits.warmRequestsMin - 1, failed: 0 }

describe('readiness', () => {
  it.each<[string, readonly Target[], Demand, readonly GateAnswer[], GateAnswer]>([
    ['two that are ready', [target(), target()], demand, ['pass', 'pass', 'pass'], 'pass'],
    ['one still loads', [target(), target({ load: 'loading' })], demand, ['inconclusive', 'pass', 'inconclusive'], 'inconclusive'],
    ['one failed to load', [target(), target({ load: 'failed' })], demand, ['fail', 'pass', 'inconclusive'], 'fail'],
    ['of one nothing is known', [target(), target({ load: 'unknown' })], demand, ['no_data', 'pass', 'inconclusive'], 'no_data'],
    ['one is cold', [target(), target({ warm: cold })], demand, ['pass', 'inconclusive', 'pass'], 'inconclusive'],
    ['one fails what it is asked', [target(), target({ warm: { good: 0, failed: 3 } })], demand, ['pass', 'fail', 'pass'], 'fail'],
    ['one failed, and then answered', [target(), target({ warm: { good: 3, failed: 3 } })], demand, ['pass', 'pass', 'pass'], 'pass'],
    ['too few', [target()], demand, ['pass', 'pass', 'fail'], 'fail'],
    ['too busy', [target(), target({ busyPerS: 5 })], demand, ['pass', 'pass', 'fail'], 'fail'],
    ['a busier one lends nothing', [target(), target({ busyPerS: 40 })], { ...demand, weightBp: 500 }, ['pass', 'pass', 'pass'], 'pass'],
    ['a smaller weight', [target()], { ...demand, weightBp: 500 }, ['pass', 'pass', 'pass'], 'pass'],
    ['traffic nobody measured', [target()], { ...demand, trafficPerS: null }, ['pass', 'pass', 'no_data'], 'no_data'],
    ['a service nobody measured', [target({ capacityPerS: null })], demand, ['pass', 'pass', 'no_data'], 'no_data'],
    ['enough without it', [target(), target(), target({ capacityPerS: null })], demand, ['pass', 'pass', 'pass'], 'pass'],
    ['no traffic', [target()], { ...demand, trafficPerS: 0 }, ['pass', 'pass', 'pass'], 'pass'],
    ['no traffic and no room', [target({ busyPerS: 10 })], { ...demand, trafficPerS: 0 }, ['pass', 'pass', 'fail'], 'fail'],
    ['no endpoints', [], demand, [], 'no_data'],
  ])('%s', (_, targets, of, answers, answer) => {
    const result = judged(targets, of)
    expect(result.checks.map((check) => check.answer)).toEqual(answers)
    expect(result).toMatchObject({ gate: 'readiness', mode: 'abort', answer })
  })

  it('the factor is exact: 12 for 10 pass, a hair less does not', () => {
    const [, , check] = judged([target({ capacityPerS: 12, busyPerS: 0 })]).checks
    expect(check).toMatchObject({
      metric: 'spare_capacity_per_s',
      answer: 'pass',
      measured: 12,
      reference: 10,
      threshold: 12,
      bound: 'least',
    })
    expect(judged([target({ capacityPerS: 11.999, busyPerS: 0 })]).answer).toBe('fail')
  })

  it('for all: one more endpoint that is ready never turns a pass, and a pass has all of them ready', () => {
    const targets = fc.array(
      fc.record({
        load: fc.constantFrom('loaded', 'loading', 'failed', 'unknown'),
        warm: fc.record({ good: fc.nat(5), failed: fc.nat(5) }),
        capacityPerS: fc.option(fc.double({ min: 0, max: 50, noNaN: true })),
        busyPerS: fc.double({ min: 0, max: 50, noNaN: true }),
      }),
      { maxLength: 6 },
    )
    fc.assert(
      fc.property(targets, fc.nat(10_000), (all, weightBp) => {
        const before = judged(all, { trafficPerS: 20, weightBp })
        const after = judged([...all, target()], { trafficPerS: 20, weightBp })
        const isReady = all.length > 0 && all.every(({ load, warm }) => load === 'loaded' && warm.good >= limits.warmRequestsMin)
        expect(before.answer === 'pass' && after.answer !== 'pass').toBe(false)
        expect(before.answer === 'pass' && !isReady).toBe(false)
      }),
    )
  })
})

describe('one answer for several checks', () => {
  const check = (answer: GateAnswer): Check => ({
    metric: 'm',
    answer,
    measured: null,
    reference: null,
    threshold: null,
    bound: 'most',
    samples: 0,
    interval: null,
    reason: '',
  })

  it('for all: it passes only when there is a check and each passes, and one failure fails it', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...gateAnswers)), (answers) => {
        const one = answerOf(answers.map(check))
        expect(one === 'pass').toBe(answers.length > 0 && answers.every((each) => each === 'pass'))
        expect(one === 'fail').toBe(answers.includes('fail'))
      }),
    )
  })
})
