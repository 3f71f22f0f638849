// Why a rollout is where it is, as text (core/rollout-explain.ts). Pure. An answer of another shape is shown as an outline, never left out.

import * as v from 'valibot'
import { rolloutSchema } from '../api/shapes.ts'
import { spokenBp, spokenNumber } from './amounts.ts'
import { spokenStep } from './steps.ts'
import { fields, outline, table } from './table.ts'

const known = v.optional(v.nullable(v.number()), null)
const rates = v.optional(v.looseObject({ stable: known, canary: known }))

const explainedSchema = v.looseObject({
  rollout: rolloutSchema,
  step: v.nullable(v.looseObject({ kind: v.string() })),
  waitsFor: v.string(),
  stopped: v.optional(v.nullable(v.looseObject({ actor: v.string(), from: v.string(), reason: v.string(), detail: v.string() })), null),
  allowed: v.array(v.string()),
  gates: v.array(
    v.looseObject({
      gate: v.string(),
      mode: v.string(),
      answer: v.string(),
      checks: v.array(
        v.looseObject({
          metric: v.string(),
          answer: v.string(),
          measured: known,
          threshold: known,
          samples: known,
          rates,
          reason: v.string(),
        }),
      ),
    }),
  ),
  notJudged: v.record(v.string(), v.string()),
  traffic: v.looseObject({ byLastWriteBp: v.number() }),
  copies: v.optional(
    v.nullable(
      v.looseObject({
        compared: v.number(),
        errorsDiffer: v.number(),
        deterministic: v.number(),
        sameText: v.number(),
        tokensRatio: v.nullable(v.number()),
        tookRatio: v.nullable(v.number()),
      }),
    ),
  ),
  room: v.looseObject({ weightBpMax: v.nullable(v.number()) }),
  error: v.nullable(v.string()),
})
/** What core says that it waits for; null where that cannot be read. */
export function waitsForIn(body: unknown): string | null {
  const explained = v.safeParse(v.looseObject({ waitsFor: v.string() }), body)
  return explained.success ? explained.output.waitsFor : null
}

type Explained = Readonly<v.InferOutput<typeof explainedSchema>>

export function explainText(body: unknown): string {
  const explained = v.safeParse(explainedSchema, body)
  return explained.success ? explainedText(explained.output) : outline(body)
}

function explainedText({ rollout, step, waitsFor, stopped, allowed, gates, notJudged, traffic, copies, room, error }: Explained): string {
  const { byLastWriteBp, ...counts } = traffic
  const skipped = Object.entries(notJudged)
  const mayBeSaid = allowed.filter((input) => commands.includes(input))
  return [
    `${rollout.id}  ${rollout.model} in ${rollout.environment}: ${rollout.from} -> ${rollout.to}`,
    fields([
      ['phase', step ? `${rollout.phase}, step ${rollout.stepIndex}: ${spokenStep(step)}` : rollout.phase],
      ['waits for', waitsFor],
      ['stopped', stopped && stoppedText(stopped)],
      ['allowed', mayBeSaid.length > 0 ? mayBeSaid.join(', ') : null],
      ['weight', spokenBp(rollout.weightBp)],
      ['traffic', `${spokenBp(byLastWriteBp)} by the last write of the alias`],
      ...Object.entries(counts).flatMap(([name, value]) => (typeof value === 'number' ? [[`  ${name}`, String(value)] as const] : [])),
      ['copies', copies ? copiesText(copies) : null],
      ['room', room.weightBpMax === null ? 'not known' : `up to ${spokenBp(room.weightBpMax)}`],
      ['error', error],
    ]),
    ...(gates.length === 0 ? [] : ['', gateTable(gates)]),
    ...(skipped.length === 0 ? [] : ['', 'Not judged:', ...skipped.map(([name, why]) => `  ${name}: ${why}`)]),
  ].join('\n')
}

/** What people may say (core/facts.ts, rolloutCommands); core's list has also what the control loop tells the machine. */
export const commands: readonly string[] = [
  'submit',
  'approve',
  'reject',
  'start',
  'pause',
  'resume',
  'promote',
  'promote_full',
  'abort',
  'retry',
  'rollback',
]

/** A person's words beside the machine's. */
const stoppedText = ({ actor, from, reason, detail }: NonNullable<Explained['stopped']>): string =>
  `while ${from}, by ${actor}: ${reason === detail ? detail : `${detail} (${reason})`}`

/** The canary's answers to copies, beside stable's to the same requests. */
function copiesText({ compared, errorsDiffer, deterministic, sameText, tokensRatio, tookRatio }: NonNullable<Explained['copies']>): string {
  const times = (ratio: number | null, what: string): string[] => (ratio === null ? [] : [`${what} ${spokenNumber(ratio)} times stable's`])
  return [
    `${compared} compared`,
    `${errorsDiffer} where only one of the two failed`,
    `${sameText} of ${deterministic} deterministic ones with the same text`,
    ...times(tokensRatio, 'length'),
    ...times(tookRatio, 'time'),
  ].join(', ')
}

/** A line for each check, and one for a gate that has none. */
function gateTable(gates: Explained['gates']): string {
  const rows = gates.flatMap(({ gate, mode, answer, checks }) => {
    if (checks.length === 0) return [[gate, mode, answer, '-', '-', '-', '-', '']]
    return checks.map((check) => [
      gate,
      mode,
      check.answer,
      check.metric,
      check.rates ? `${percent(check.rates.canary)} / ${percent(check.rates.stable)}` : spokenNumber(check.measured),
      spokenNumber(check.threshold),
      spokenNumber(check.samples),
      check.reason,
    ])
  })
  return table(['GATE', 'MODE', 'ANSWER', 'METRIC', 'VALUE', 'THRESHOLD', 'SAMPLES', 'WHY'], rows)
}

/** A rate of bad answers, of the canary and of stable. */
const percent = (rate: number | null): string => (rate === null ? '-' : `${spokenNumber(rate * 100)} %`)
