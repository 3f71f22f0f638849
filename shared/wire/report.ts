// The report of one evaluation: which version answered which set under which settings, and what each item came to. Whoever compares two
// reports finds in them all that must be the same. No prompts and no answers: those may be somebody's data, and reports are kept for ever.

import * as v from 'valibot'
import { limits } from '../limits.ts'
import { err, ok, type Result } from '../result.ts'

export const reportFormat = 1

/** Printable ASCII, so that a character is a byte. */
const word = (charsMax: number) =>
  v.pipe(
    v.string('must be a text'),
    v.regex(/^[\x20-\x7e]+$/, 'must be one or more printable ASCII characters'),
    v.maxLength(charsMax, `must have at most ${charsMax} characters`),
  )
const name = word(limits.reportNameCharsMax)
const digest = v.pipe(
  v.string('must be a text'),
  v.regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 lower-case hexadecimal digits'),
)
const count = (most: number) =>
  v.pipe(
    v.number('must be a number'),
    v.integer('must be a whole number'),
    v.minValue(0, 'must not be negative'),
    v.maxValue(most, `must be at most ${most}`),
  )
const amount = (most: number) =>
  v.pipe(v.number('must be a number'), v.minValue(0, 'must not be negative'), v.maxValue(most, `must be at most ${most}`))

/** `top` is the largest value there is: 1 for a share, 100 for percent; null for a measure without one, such as perplexity. */
const metricSchema = v.strictObject({
  name,
  better: v.picklist(['higher', 'lower'], 'must be "higher" or "lower"'),
  top: v.nullable(v.pipe(amount(limits.reportScoreMax), v.gtValue(0, 'must be above 0'))),
})

const samplingSchema = v.strictObject({
  temperature: amount(2),
  topP: amount(1),
  tokensMax: count(limits.reportTokensMax),
  /** null: none was given, so that a temperature above 0 gives other texts each time. */
  seed: v.nullable(count(2 ** 32 - 1)),
  stop: v.pipe(v.array(v.pipe(v.string(), v.maxLength(limits.reportNameCharsMax))), v.maxLength(16, 'must have at most 16 entries')),
})

const itemSchema = v.strictObject({
  id: word(limits.reportItemIdCharsMax),
  /** One value per metric, in the order of `metrics`. */
  scores: v.pipe(v.array(amount(limits.reportScoreMax)), v.maxLength(limits.reportMetricsMax)),
  /** Generated length in tokens; 0 where nothing is generated, as for embeddings. */
  tokens: count(limits.reportTokensMax),
})

const reportSchema = v.strictObject({
  format: v.literal(reportFormat, `must be ${reportFormat}`),
  set: v.strictObject({
    name,
    /** Of the file with the items. */
    digest,
    /** How many the set has, whether or not all of them were answered. */
    items: v.pipe(count(limits.reportItemsMax), v.minValue(1, 'must be at least 1')),
  }),
  /** How an item becomes a request: the digest of the messages with a mark in the prompt's place, and of the chat template where the caller applies it. */
  template: digest,
  /** The rule that turns an answer into scores, with its version. */
  scorer: name,
  sampling: samplingSchema,
  metrics: v.pipe(
    v.array(metricSchema),
    v.minLength(1, 'must have at least one entry'),
    v.maxLength(limits.reportMetricsMax, `must have at most ${limits.reportMetricsMax} entries`),
    v.check((metrics) => new Set(metrics.map((metric) => metric.name)).size === metrics.length, 'must not name a metric twice'),
  ),
  /** What answered: the engine with its version, for the record. */
  engine: name,
  version: v.strictObject({ id: name, digest }),
  startedAtMs: count(8.64e15),
  endedAtMs: count(8.64e15),
  /** Items that were answered, each once; those whose request failed are missing. */
  results: v.pipe(
    v.array(itemSchema),
    v.maxLength(limits.reportItemsMax, `must have at most ${limits.reportItemsMax} entries`),
    v.check((results) => new Set(results.map(({ id }) => id)).size === results.length, 'must not hold an item twice'),
  ),
})

export type Report = DeepReadonly<v.InferOutput<typeof reportSchema>>
export type ReportMetric = Report['metrics'][number]
export type ReportItem = Report['results'][number]
type DeepReadonly<T> = { readonly [K in keyof T]: DeepReadonly<T[K]> }

/** `field` is the path of the first part that is at fault, such as "results.17.tokens"; "report" for the whole. */
export type BrokenReport = { readonly reason: 'broken_report'; readonly field: string; readonly detail: string }

const broken = (field: string, detail: string) => err({ reason: 'broken_report', field, detail } as const)

/** Reads a report from outside: an admin body or a stored row. Refusal: broken_report. */
export function readReport(text: string): Result<Report, BrokenReport> {
  if (text.length > limits.reportCharsMax) return broken('report', `must have at most ${limits.reportCharsMax} characters`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return broken('report', 'must be JSON')
  }
  const parsed = v.safeParse(reportSchema, value, { abortEarly: true })
  if (!parsed.success) return broken(v.getDotPath(parsed.issues[0]) ?? 'report', parsed.issues[0].message)
  const report = parsed.output
  const faulty = faultOf(report)
  return faulty ? broken(...faulty) : ok(report)
}

/** What no single field shows. */
function faultOf({ set, metrics, results, startedAtMs, endedAtMs }: Report): readonly [string, string] | null {
  if (results.length > set.items) return ['results', `has more items than the set's ${set.items}`]
  if (endedAtMs < startedAtMs) return ['endedAtMs', 'must not be before startedAtMs']
  for (const [index, { scores }] of results.entries()) {
    if (scores.length !== metrics.length)
      return [`results.${index}.scores`, `must have one value for each of the ${metrics.length} metrics`]
    const over = metrics.findIndex(({ top }, at) => top !== null && (scores[at] ?? 0) > top)
    if (over >= 0) return [`results.${index}.scores.${over}`, `must be at most ${metrics[over]?.top}`]
  }
  return null
}

/** A report as text, one item a line, so that two of them can be compared by eye. */
export function writeReport({ results, ...head }: Report): string {
  const items = results.map((item) => `    ${JSON.stringify(item)}`).join(',\n')
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "results": [\n${items}\n  ]\n}\n`
}
