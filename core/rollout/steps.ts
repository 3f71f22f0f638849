// The steps of a rollout as an operator writes them: what each kind may say, which lists make sense, and what a list asks of time and
// traffic. Pure. It must never accept a list by which weights fall or stand still, or by which no canary is ever seen.

import * as v from 'valibot'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'

const whole = (least: number, most: number) =>
  v.pipe(
    v.number('must be a number'),
    v.integer('must be a whole number'),
    v.minValue(least, `must be at least ${least}`),
    v.maxValue(most, `must be at most ${most}`),
  )

/** A share of traffic in 1/10,000. Any whole number is good: no weight has to be a multiple of another. */
const shareBp = whole(1, 10_000)
const bakeMs = whole(limits.rolloutBakeMsMin, limits.rolloutBakeMsMax)
const gateName = v.pipe(v.string('must be the name of a gate'), v.minLength(1, 'must be the name of a gate'), v.maxLength(64, 'is no gate'))

/** Copies of this share of requests go to the canary for a time; its answers reach nobody. */
const shadow = v.strictObject({ kind: v.literal('shadow'), shareBp, forMs: bakeMs })

/** The canary answers this share of traffic. Its bake ends when both time and requests are there. With `proof` it must be shown to be no worse. */
const weight = v.strictObject({
  kind: v.literal('weight'),
  weightBp: shareBp,
  bakeMs,
  minRequests: v.optional(whole(limits.rolloutFirstRequests, limits.rolloutRequestsMax), limits.rolloutRequestsDefault),
  proof: v.optional(v.boolean('must be true or false'), false),
})

/** Wait until this time, epoch milliseconds; null: until a person says to go on. */
const pause = v.strictObject({ kind: v.literal('pause'), untilMs: v.optional(v.nullable(whole(0, 8.64e15)), null) })

/** All these gates must pass. */
const analysis = v.strictObject({
  kind: v.literal('analysis'),
  gates: v.pipe(
    v.array(gateName, 'must be a list of gates'),
    v.minLength(1, 'must name a gate'),
    v.maxLength(limits.rolloutGatesMax, `must name at most ${limits.rolloutGatesMax} gates`),
  ),
  withinMs: v.optional(whole(limits.rolloutBakeMsMin, limits.rolloutAnalysisMsMax), limits.rolloutAnalysisMsDefault),
})

/** A person approves, or it goes no further. */
const approval = v.strictObject({ kind: v.literal('approval') })

const kinds = ['shadow', 'weight', 'pause', 'analysis', 'approval'] as const
const stepSchema = v.variant('kind', [shadow, weight, pause, analysis, approval], (issue) =>
  issue.path ? `must be one of ${kinds.join(', ')}` : 'must be an object',
)
const listSchema = v.pipe(
  v.array(stepSchema, 'must be a list of steps'),
  v.maxLength(limits.rolloutStepsMax, `must have at most ${limits.rolloutStepsMax} steps`),
)

export type Step = Readonly<v.InferOutput<typeof stepSchema>>
export type StepKind = Step['kind']

/** One fault of a body: where it is, as a JSON Pointer in a fragment (RFC 6901), and what is wrong there. */
export type FieldFault = { readonly pointer: string; readonly detail: string }

const minutes = (count: number): number => count * 60_000
const weightOf = (weightBp: number, bakeMs: number) => ({
  kind: 'weight' as const,
  weightBp,
  bakeMs,
  minRequests: limits.rolloutRequestsDefault,
  proof: false,
})

/** What a rollout does that names no steps: an hour and three quarters, a proof over two thousand requests, and one person's word. */
export const defaultSteps: readonly Step[] = [
  { kind: 'shadow', shareBp: 1_000, forMs: minutes(10) },
  weightOf(100, minutes(10)),
  weightOf(500, minutes(15)),
  weightOf(2_500, minutes(20)),
  // The last step with two sides to compare. Without a bad answer 1,843 requests let nine of ten sound versions pass (samplesNeeded).
  { ...weightOf(5_000, minutes(20)), minRequests: limits.rolloutProofRequests, proof: true },
  { kind: 'approval' },
  weightOf(10_000, minutes(30)),
]

/** The steps that `value` says, or every fault in it. Nothing said: the default steps. `at` is where the value stands in its body. */
export function readSteps(value: unknown, at = '#/steps'): Result<readonly Step[], readonly FieldFault[]> {
  if (value === undefined) return ok(defaultSteps)
  const parsed = v.safeParse(listSchema, value)
  if (!parsed.success) return err(parsed.issues.map((issue) => ({ pointer: at + pathOf(issue), detail: wordsOf(issue) })))
  const faults = faultsOf(parsed.output, at)
  return faults.length > 0 ? err(faults) : ok(parsed.output)
}

function pathOf(issue: v.BaseIssue<unknown>): string {
  const escaped = (key: unknown) => encodeURIComponent(String(key).replaceAll('~', '~0').replaceAll('/', '~1'))
  return (issue.path ?? []).map(({ key }) => `/${escaped(key)}`).join('')
}

function wordsOf(issue: v.BaseIssue<unknown>): string {
  if (issue.type !== 'strict_object') return issue.message
  return issue.expected === 'never' ? 'is not a field of this kind of step' : 'is required'
}

/** What is wrong with a list whose steps are each well formed: weights that do not rise, or none at all. */
export function faultsOf(steps: readonly Step[], at = '#/steps'): readonly FieldFault[] {
  const faults: FieldFault[] = []
  let highest = { weightBp: 0, index: -1 }
  for (const [index, step] of steps.entries()) {
    if (step.kind !== 'weight') continue
    if (step.weightBp === 10_000 && (highest.index < 0 || step.proof)) {
      const detail = step.proof ? 'cannot be had at 10,000' : 'must be below 10,000 the first time'
      faults.push({
        pointer: `${at}/${index}/${step.proof ? 'proof' : 'weightBp'}`,
        detail: `${detail}: the canary is judged beside stable, which has no traffic then`,
      })
    }
    if (step.weightBp <= highest.weightBp) {
      const detail = `must be above the ${highest.weightBp} of step ${highest.index}: weights only rise`
      faults.push({ pointer: `${at}/${index}/weightBp`, detail })
    } else highest = { weightBp: step.weightBp, index }
  }
  if (highest.index < 0)
    faults.push({ pointer: at, detail: 'must have a step of kind weight: without one nobody would see the canary work' })
  return faults
}

/** What a list asks of time and traffic. */
export type Needs = {
  /** From the canary being warm until all of production is on it, if every person answers at once and traffic is plenty. */
  readonly minimumMs: number
  /** Canary requests, those of all steps together. */
  readonly samples: number
  readonly steps: readonly StepNeeds[]
}

/** `startsMs`: the earliest it begins, counted from the first step. Samples of a shadow step are copies. */
export type StepNeeds = { readonly index: number; readonly startsMs: number; readonly minimumMs: number; readonly samples: number }

/** The least time and the least requests that the steps take, from this time on: pauses may end at an hour. */
export function needsOf(steps: readonly Step[], nowMs: number): Needs {
  let startsMs = 0
  const needs = steps.map((step, index): StepNeeds => {
    const minimumMs = leastMs(step, nowMs + startsMs)
    const need = { index, startsMs, minimumMs, samples: samplesOf(step) }
    startsMs += minimumMs
    return need
  })
  return { minimumMs: startsMs, samples: needs.reduce((sum, { samples }) => sum + samples, 0), steps: needs }
}

function leastMs(step: Step, fromMs: number): number {
  switch (step.kind) {
    case 'shadow':
      return step.forMs
    case 'weight':
      return step.bakeMs
    case 'pause':
      return Math.max(0, (step.untilMs ?? fromMs) - fromMs)
    case 'analysis':
    case 'approval':
      return 0
  }
}

/** The bake's requests come after the first ones, which only show that traffic has arrived. */
export function samplesOf(step: Step): number {
  if (step.kind === 'weight') return limits.rolloutFirstRequests + step.minRequests
  return step.kind === 'shadow' ? limits.rolloutFirstRequests : 0
}
