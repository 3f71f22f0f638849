import { describe, expect, it } from 'vitest'
import { readSteps } from '../../../core/rollout/steps.ts'
import { readStep, readStepsFile, spokenStep, stepExamples } from '../../../cli/commands/steps.ts'

describe('a typed step', () => {
  it.each([
    ['weight=5%,bake=15m,min=100', { kind: 'weight', weightBp: 500, bakeMs: 900_000, minRequests: 100 }],
    ['weight=0.25%,bake=10s', { kind: 'weight', weightBp: 25, bakeMs: 10_000 }],
    ['weight=50%,bake=2h,min=2000,proof', { kind: 'weight', weightBp: 5_000, bakeMs: 7_200_000, minRequests: 2_000, proof: true }],
    ['shadow=10%,for=10m', { kind: 'shadow', shareBp: 1_000, forMs: 600_000 }],
    ['pause', { kind: 'pause' }],
    ['pause=2026-12-24T18:00:00Z', { kind: 'pause', untilMs: Date.parse('2026-12-24T18:00:00Z') }],
    ['analysis=accuracy', { kind: 'analysis', gates: ['accuracy'] }],
    ['analysis=accuracy+load,within=1h', { kind: 'analysis', gates: ['accuracy', 'load'], withinMs: 3_600_000 }],
    ['approval', { kind: 'approval' }],
    ['weight=5%, bake=15m', { kind: 'weight', weightBp: 500, bakeMs: 900_000 }],
  ])('%s', (text, step) => expect(readStep(text)).toEqual({ ok: true, value: step }))

  it.each([
    ['weigth=5%', 'begins with none of'],
    ['constructor', 'begins with none of'],
    ['', 'begins with none of'],
    ['weight', 'must be a share'],
    ['weight=5', 'must be a share'],
    ['weight=5%,bake=15', 'must be a duration'],
    ['weight=5%,bake=15m,min=many', 'must be a number of requests'],
    ['weight=5%,bake=15m,bake=16m', 'said twice'],
    ['weight=5%,for=15m', '"for" is no part of weight; those are bake, min, proof'],
    ['weight=5%,bake=15m,proof=yes', 'without a value'],
    ['shadow=10%,toString=1', 'is no part'],
    ['pause=2h', 'must be a date'],
    ['pause=', 'must be a date'],
    ['approval=ann', 'takes no value'],
    ['approval,by=ann', 'which has none'],
    ['analysis', 'must be gates'],
  ])('%j is refused', (text, why) => {
    const read = readStep(text)
    expect(read.ok).toBe(false)
    expect(read.ok ? '' : read.error).toContain(why)
  })

  it('each example is a step that core takes', () => {
    const steps = stepExamples.map((text) => readStep(text))
    const typed = steps.map((step) => (step.ok ? step.value : null))
    expect(readSteps(typed).ok).toBe(true)
  })
})

describe('a file of steps', () => {
  it('holds steps as core takes them, and as they are typed', () => {
    const file = readStepsFile('["weight=5%,bake=15m", {"kind": "approval"}]')
    expect(file).toEqual({ ok: true, value: [{ kind: 'weight', weightBp: 500, bakeMs: 900_000 }, { kind: 'approval' }] })
  })

  it.each([
    ['{', 'is not JSON'],
    ['{"steps": []}', 'must be a list'],
    ['["approval", "weight=x"]', 'entry 1: weight=x'],
  ])('%j is refused', (text, why) => {
    const read = readStepsFile(text)
    expect(read.ok ? '' : read.error).toContain(why)
  })
})

it.each([
  [{ kind: 'weight', weightBp: 25, bakeMs: 900_000, minRequests: 100, proof: true }, '0.25 % for 15 min, 100 requests, with proof'],
  [{ kind: 'shadow', shareBp: 1_000, forMs: 600_000 }, 'copies of 10 % for 10 min'],
  [{ kind: 'pause', untilMs: null }, 'pause until a person goes on'],
  [{ kind: 'analysis', gates: ['accuracy', 'load'], withinMs: 60_000 }, 'analysis: accuracy,load, within 1 min'],
  [{ kind: 'of-tomorrow' }, 'of-tomorrow'],
])('%j in words', (step, text) => expect(spokenStep(step)).toBe(text))
