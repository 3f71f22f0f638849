// What core refuses, as an error with the exit code that goes with it. Pure. A refusal is never softened: unknown ones are plain errors.

import * as v from 'valibot'
import { Stop } from '../local/stop.ts'
import { exitCodes, type ExitCode } from './exit.ts'

const faultSchema = v.looseObject({ reason: v.string(), pointer: v.string(), detail: v.string() })
const verdictSchema = v.looseObject({
  gate: v.string(),
  answer: v.string(),
  checks: v.optional(v.array(v.looseObject({ metric: v.string(), answer: v.string(), reason: v.string() })), []),
})

/** A problem document (RFC 9457) as core writes it (core/api/problem.ts); members that are not named here stay in it. */
const problemSchema = v.looseObject({
  code: v.string(),
  status: v.number(),
  title: v.optional(v.string(), ''),
  detail: v.string(),
  pointer: v.optional(v.string()),
  faults: v.optional(v.array(faultSchema), []),
  verdicts: v.optional(v.array(verdictSchema), []),
  why: v.optional(v.string()),
  allowed: v.optional(v.array(v.string()), []),
})
export type Problem = v.InferOutput<typeof problemSchema>
export type Fault = Readonly<v.InferOutput<typeof faultSchema>>

/** Core said no. */
export class Refused extends Stop {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(wordsOf(problem), exitCodeOf(problem))
    this.name = 'Refused'
    this.problem = problem
  }
}

/** The problem that a body is; null when it is none. */
export function readProblem(body: unknown): Problem | null {
  const parsed = v.safeParse(problemSchema, body)
  return parsed.success ? parsed.output : null
}

/** Faults of a plan that whoever typed it can mend, and those that another's change brought about. The others are the world's. */
const usageFaults: readonly string[] = [
  'steps_invalid',
  'gates_invalid',
  'unknown_gate',
  'gate_without_traffic',
  'pause_too_long',
  'same_version',
  'another_model',
]
const conflictFaults: readonly string[] = ['rollout_active', 'canary_set', 'stable_moved']
const usageProblems: readonly string[] = ['invalid_field', 'invalid_json', 'invalid_header', 'broken_report']

/** The exit code of a plan's faults: ok without any; a conflict decides, then what was typed wrong. */
export function exitCodeOfFaults(faults: readonly Pick<Fault, 'reason'>[]): ExitCode {
  if (faults.length === 0) return exitCodes.ok
  if (faults.some(({ reason }) => conflictFaults.includes(reason))) return exitCodes.conflict
  return faults.some(({ reason }) => usageFaults.includes(reason)) ? exitCodes.usage : exitCodes.error
}

/** The exit code of a refusal. */
export function exitCodeOf({ code, status, why, faults }: Problem): ExitCode {
  if (code === 'gate_failed') return exitCodes.ended
  if (code === 'plan_refused' && faults.length > 0) return exitCodeOfFaults(faults)
  if (status === 409 || status === 412) return exitCodes.conflict
  if (usageProblems.includes(code) || why === 'reason_missing') return exitCodes.usage
  return exitCodes.error
}

/** A refusal in words: core's own sentence, or, where it has a list, every fault and every check that did not pass, one a line. */
function wordsOf({ title, detail, faults, verdicts }: Problem): string {
  const ofFaults = faults.map((fault) => `  ${fault.pointer}  ${fault.reason}: ${fault.detail}`)
  const ofVerdicts = verdicts.flatMap(({ gate, answer, checks }) => [
    `  ${gate}: ${answer}`,
    ...checks.filter((check) => check.answer !== 'pass').map((check) => `    ${check.metric}  ${check.answer}: ${check.reason}`),
  ])
  const lines = [...ofFaults, ...ofVerdicts]
  return lines.length === 0 ? detail : [title || detail, ...lines].join('\n')
}
