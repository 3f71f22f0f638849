// What the CLI reads in core's answers, and nothing beyond: fields that it does not use are left as they came, so that an older CLI reads a
// newer core. Rows are shown as they are; only what a command decides by is checked.

import * as v from 'valibot'
import { Stop } from '../local/stop.ts'

/** Reads a part of an answer. Throws Stop, with what was expected, when it is something else. */
export function read<Schema extends v.GenericSchema>(schema: Schema, value: unknown, what: string): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  throw new Stop(`core's answer is no ${what}: ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message} Is this CLI as new as core?`)
}

const timeMs = v.nullable(v.number())

export const transitionSchema = v.looseObject({
  generation: v.number(),
  atMs: v.number(),
  actor: v.string(),
  input: v.string(),
  from: v.string(),
  to: v.string(),
  reason: v.optional(v.string(), ''),
  detail: v.optional(v.string(), ''),
})
export type Transition = Readonly<v.InferOutput<typeof transitionSchema>>

const stepSchema = v.looseObject({ kind: v.string() })
export type StepRow = Readonly<v.InferOutput<typeof stepSchema>>

/** A rollout's record (core/rollout/record.ts). */
export const rolloutSchema = v.looseObject({
  id: v.string(),
  environment: v.string(),
  model: v.string(),
  from: v.string(),
  to: v.string(),
  phase: v.string(),
  generation: v.number(),
  stepIndex: v.optional(v.number(), -1),
  steps: v.optional(v.array(stepSchema), []),
  gates: v.optional(v.array(v.looseObject({ gate: v.string(), mode: v.string() })), []),
  weightBp: v.optional(v.number(), 0),
  shadowBp: v.optional(v.number(), 0),
  createdBy: v.optional(v.string(), ''),
  fourEyes: v.optional(v.boolean(), false),
  enteredAtMs: v.optional(v.number(), 0),
  deadlineMs: v.optional(timeMs, null),
  bakeEndsAtMs: v.optional(timeMs, null),
  stableHeldUntilMs: v.optional(timeMs, null),
  pause: v.optional(v.nullable(v.looseObject({ why: v.string(), awaits: v.string(), untilMs: v.optional(timeMs, null) })), null),
  retryOf: v.optional(v.nullable(v.string()), null),
  rollbackOf: v.optional(v.nullable(v.string()), null),
  successor: v.optional(v.nullable(v.string()), null),
  last: v.optional(v.nullable(transitionSchema), null),
  /** Of one rollout, not of a list of them. */
  transitions: v.optional(v.array(transitionSchema), []),
})
export type RolloutRow = Readonly<v.InferOutput<typeof rolloutSchema>>

const known = v.nullable(v.number())

/** A plan (core/rollout/plan.ts). */
export const planSchema = v.looseObject({
  from: v.nullable(v.string()),
  to: v.string(),
  differences: v.array(v.looseObject({ field: v.string(), from: v.unknown(), to: v.unknown() })),
  steps: v.array(stepSchema),
  needs: v.looseObject({
    minimumMs: v.number(),
    samples: v.number(),
    steps: v.array(v.looseObject({ startsMs: v.number(), minimumMs: v.number(), samples: v.number() })),
  }),
  expectedMs: known,
  gates: v.array(
    v.looseObject({
      gate: v.string(),
      mode: v.string(),
      live: v.boolean(),
      result: v.string(),
      value: known,
      reference: known,
      threshold: known,
    }),
  ),
  regions: v.array(v.looseObject({ region: v.string(), demandPerS: known, neededSlots: known, spareSlots: known, weightBpMax: known })),
  weightBpMax: known,
  refusals: v.array(v.looseObject({ reason: v.string(), pointer: v.string(), detail: v.string() })),
})
export type PlanRow = Readonly<v.InferOutput<typeof planSchema>>

export const versionSchema = v.looseObject({
  id: v.string(),
  model: v.string(),
  digest: v.string(),
  engine: v.string(),
  quantisation: v.optional(v.nullable(v.string()), null),
  parent: v.optional(v.nullable(v.string()), null),
  createdAtMs: v.optional(v.number(), 0),
})
export type VersionRow = Readonly<v.InferOutput<typeof versionSchema>>

export const modelSchema = v.looseObject({ name: v.string(), operatingPerS: v.optional(known, null) })

export const approvalSchema = v.looseObject({
  environment: v.string(),
  version: v.string(),
  approvedBy: v.string(),
  expiresAtMs: v.optional(timeMs, null),
  evidence: v.optional(v.looseObject({ note: v.optional(v.string(), ''), reports: v.optional(v.array(v.string()), []) }), {}),
})
export type ApprovalRow = Readonly<v.InferOutput<typeof approvalSchema>>

export const deploymentSchema = v.looseObject({
  target: v.string(),
  version: v.string(),
  isWanted: v.boolean(),
  state: v.string(),
  detail: v.optional(v.string(), ''),
  endpoint: v.optional(v.nullable(v.string()), null),
})
export type DeploymentRow = Readonly<v.InferOutput<typeof deploymentSchema>>

export const reportRowSchema = v.looseObject({
  id: v.string(),
  version: v.string(),
  environment: v.string(),
  setName: v.string(),
  setDigest: v.string(),
  items: v.number(),
  answered: v.number(),
  scores: v.record(v.string(), v.number()),
  createdAtMs: v.number(),
})
export type ReportRow = Readonly<v.InferOutput<typeof reportRowSchema>>

export const overrideSchema = v.looseObject({ header: v.string(), value: v.string(), expiresAtMs: v.number() })
export type OverrideRow = Readonly<v.InferOutput<typeof overrideSchema>>

/** What the accuracy gate says of two reports (core/gate/accuracy.ts). */
export const comparisonSchema = v.looseObject({
  answer: v.string(),
  checks: v.array(
    v.looseObject({ metric: v.string(), answer: v.string(), measured: known, reference: known, threshold: known, reason: v.string() }),
  ),
  paired: v.optional(
    v.array(
      v.looseObject({
        metric: v.string(),
        lost: v.number(),
        gained: v.number(),
        pValue: v.optional(known, null),
        pairsNeeded: v.optional(known, null),
      }),
    ),
    [],
  ),
})
export type Comparison = Readonly<v.InferOutput<typeof comparisonSchema>>
