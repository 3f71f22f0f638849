// The steps of a rollout: what may be written, where each fault is, and what a list asks of time and traffic.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import { samplesNeeded } from '../../../core/rollout/confidence.ts'
import { defaultSteps, faultsOf, needsOf, readSteps, type Step } from '../../../core/rollout/steps.ts'

const weight = (weightBp: number, bakeMs = 60_000) => ({ kind: 'weight', weightBp, bakeMs })
const minute = 60_000

/** The pointers of all faults. */
const pointersOf = (value: unknown): readonly string[] => {
  const read = readSteps(value)
  return read.ok ? [] : read.error.map(({ pointer }) => pointer)
}

describe('reading', () => {
  it('nothing said gives the default steps: copies, 1, 5, 25 and 50 %, a person, all', () => {
    const read = readSteps(undefined)
    expect(read.ok && read.value.map((step) => ('weightBp' in step ? step.weightBp : step.kind))).toEqual([
      'shadow',
      100,
      500,
      2_500,
      5_000,
      'approval',
      10_000,
    ])
  })

  it('the default steps pass their own reader, as they are', () => {
    expect(readSteps(defaultSteps)).toEqual({ ok: true, value: defaultSteps })
  })

  it('of the default steps the one of 50 % alone asks for a proof, by as many requests as nine of ten sound versions need', () => {
    const proofs = defaultSteps.filter((step) => step.kind === 'weight' && step.proof)
    expect(proofs).toEqual([expect.objectContaining({ weightBp: 5_000, minRequests: limits.rolloutProofRequests })])
    expect(samplesNeeded(0)).toBeLessThanOrEqual(limits.rolloutProofRequests)
    // What the other steps want would not do.
    expect(samplesNeeded(0)).toBeGreaterThan(limits.rolloutRequestsDefault)
  })

  it('every kind of step is read, and what is left out gets its default', () => {
    const read = readSteps([
      { kind: 'shadow', shareBp: 1_000, forMs: minute },
      { kind: 'analysis', gates: ['accuracy'] },
      { kind: 'pause' },
      { kind: 'pause', untilMs: 5 },
      { kind: 'approval' },
      weight(100),
      { ...weight(200), minRequests: 2_000, proof: true },
    ])
    expect(read).toEqual({
      ok: true,
      value: [
        { kind: 'shadow', shareBp: 1_000, forMs: minute },
        { kind: 'analysis', gates: ['accuracy'], withinMs: limits.rolloutAnalysisMsDefault },
        { kind: 'pause', untilMs: null },
        { kind: 'pause', untilMs: 5 },
        { kind: 'approval' },
        { ...weight(100), minRequests: limits.rolloutRequestsDefault, proof: false },
        { ...weight(200), minRequests: 2_000, proof: true },
      ],
    })
  })

  it.each<[unknown, string]>([
    [7, '#/steps'],
    [[], '#/steps'],
    [[5], '#/steps/0'],
    [[{}], '#/steps/0/kind'],
    [[{ kind: 'wait' }], '#/steps/0/kind'],
    [[weight(0)], '#/steps/0/weightBp'],
    [[weight(10_001)], '#/steps/0/weightBp'],
    [[weight(12.5)], '#/steps/0/weightBp'],
    [[weight(1, 0)], '#/steps/0/bakeMs'],
    [[weight(1, limits.rolloutBakeMsMax + 1)], '#/steps/0/bakeMs'],
    [[{ kind: 'weight', weightBp: 5 }], '#/steps/0/bakeMs'],
    [[{ ...weight(1), minRequests: limits.rolloutFirstRequests - 1 }], '#/steps/0/minRequests'],
    [[{ ...weight(1), 'a/b': 1 }], '#/steps/0/a~1b'],
    [[{ ...weight(1), proof: 'yes' }], '#/steps/0/proof'],
    [[weight(1), { kind: 'shadow', shareBp: 0, forMs: minute }], '#/steps/1/shareBp'],
    [[weight(1), { kind: 'pause', untilMs: -1 }], '#/steps/1/untilMs'],
    [[weight(1), { kind: 'analysis', gates: [] }], '#/steps/1/gates'],
    [[weight(1), { kind: 'analysis', gates: ['a', 5] }], '#/steps/1/gates/1'],
    [[weight(1), { kind: 'approval', by: 'me' }], '#/steps/1/by'],
    [[weight(500), weight(100)], '#/steps/1/weightBp'],
    [[weight(500), { kind: 'approval' }, weight(500)], '#/steps/2/weightBp'],
    [[{ kind: 'approval' }], '#/steps'],
    [Array.from({ length: limits.rolloutStepsMax + 1 }, (_, index) => weight(index + 1)), '#/steps'],
  ])('%j is refused at %s', (value, pointer) => {
    expect(pointersOf(value)).toEqual([pointer])
  })

  it('tells all faults at once, each at its place', () => {
    expect(pointersOf([weight(0), { kind: 'no' }, weight(5, 1)])).toEqual(['#/steps/0/weightBp', '#/steps/1/kind', '#/steps/2/bakeMs'])
  })

  it('weights that fall are named with the step that they fall below', () => {
    expect(faultsOf([weight(500), weight(400), weight(450)] as Step[]).map(({ detail }) => detail)).toEqual([
      'must be above the 500 of step 0: weights only rise',
      'must be above the 500 of step 0: weights only rise',
    ])
  })

  it('non-multiple step: any rising weights are good, whatever the last one is', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 9_999 }), { minLength: 1, maxLength: limits.rolloutStepsMax - 1 }),
        fc.boolean(),
        (some, endsAtAll) => {
          const weights = [...some.toSorted((a, b) => a - b), ...(endsAtAll ? [10_000] : [])]
          expect(pointersOf(weights.map((each) => weight(each)))).toEqual([])
        },
      ),
      { numRuns: 500 },
    )
  })

  it('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => readSteps(value)).not.toThrow()
      }),
    )
  })
})

describe('needs', () => {
  it('the default steps take an hour and three quarters at least', () => {
    expect(needsOf(defaultSteps, 0).minimumMs).toBe(105 * minute)
  })

  it('and 2,580 canary requests and copies, those of the proof among them', () => {
    const { samples, steps } = needsOf(defaultSteps, 0)
    expect(steps.map((step) => step.samples)).toEqual([30, 130, 130, 130, 2_030, 0, 130])
    expect(samples).toBe(2_580)
  })

  it('each step begins when those before it are over, and wants its first requests and its own', () => {
    const steps: readonly Step[] = [
      { kind: 'shadow', shareBp: 100, forMs: 10 },
      { kind: 'weight', weightBp: 100, bakeMs: 20, minRequests: 50, proof: false },
      { kind: 'approval' },
      { kind: 'weight', weightBp: 200, bakeMs: 30, minRequests: 70, proof: true },
    ]
    expect(needsOf(steps, 0)).toEqual({
      minimumMs: 60,
      samples: 30 + (30 + 50) + (30 + 70),
      steps: [
        { index: 0, startsMs: 0, minimumMs: 10, samples: 30 },
        { index: 1, startsMs: 10, minimumMs: 20, samples: 80 },
        { index: 2, startsMs: 30, minimumMs: 0, samples: 0 },
        { index: 3, startsMs: 30, minimumMs: 30, samples: 100 },
      ],
    })
  })

  it.each([
    [null, 100],
    [900, 100],
    [1_050, 100],
    [1_500, 500],
  ])('a pause until %j, reached at 1,100 at the earliest, makes it %i ms in all', (untilMs, minimumMs) => {
    const steps: readonly Step[] = [
      { kind: 'weight', weightBp: 1, bakeMs: 100, minRequests: 30, proof: false },
      { kind: 'pause', untilMs },
    ]
    expect(needsOf(steps, 1_000).minimumMs).toBe(minimumMs)
  })
})
