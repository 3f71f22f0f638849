// What was measured, and how it compares, as text. Pure.

import type { Report } from '../../shared/wire/report.ts'
import type { Comparison, ReportRow } from '../api/shapes.ts'
import { spokenMs, spokenNumber } from './amounts.ts'
import { fields, table } from './table.ts'
import { scoresText } from './version-text.ts'

export type Told = {
  readonly report: Report
  readonly scores: Readonly<Record<string, number>>
  readonly stored: ReportRow | null
  readonly failed: readonly { readonly id: string; readonly why: string }[]
  readonly reference: ReportRow | null
  readonly comparison: Comparison | null
}

/** Failed items that are named; the rest are counted. */
const failedShownMax = 5

export function evaluatedText({ report, scores, stored, failed, reference, comparison }: Told): string {
  const { set, results, startedAtMs, endedAtMs, version } = report
  const tokens = results.reduce((sum, item) => sum + item.tokens, 0)
  return [
    fields([
      ['version', version.id],
      ['set', `${set.name}, ${results.length === set.items ? '' : `${results.length} of `}${set.items} items`],
      ['scores', scoresText(scores)],
      ['tokens', `${tokens}, ${spokenNumber(tokens / Math.max(1, results.length))} an answer`],
      ['took', spokenMs(endedAtMs - startedAtMs)],
      ['report', stored ? stored.id : 'not kept: items are missing'],
    ]),
    ...failedLines(failed),
    ...(comparison && reference && stored ? ['', comparisonText(stored, reference, comparison)] : []),
    ...(reference && !comparison ? ['', `It was not compared with ${reference.version}: only whole reports are.`] : []),
  ].join('\n')
}

function failedLines(failed: Told['failed']): readonly string[] {
  if (failed.length === 0) return []
  const more = failed.length - failedShownMax
  return [
    '',
    `${failed.length} items have no answer:`,
    ...failed.slice(0, failedShownMax).map(({ id, why }) => `  ${id}: ${why}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ]
}

/** The accuracy gate's word on two reports. */
export function comparisonText(measured: ReportRow, reference: ReportRow, { answer, checks, paired }: Comparison): string {
  return [
    `${measured.version} against ${reference.version}: ${answer}`,
    table(
      ['METRIC', 'ANSWER', 'MEASURED', 'REFERENCE', 'THRESHOLD', 'WHY'],
      checks.map((each) => [
        each.metric,
        each.answer,
        spokenNumber(each.measured),
        spokenNumber(each.reference),
        spokenNumber(each.threshold),
        each.reason,
      ]),
    ),
    ...paired.map(({ metric, lost, gained, pValue, pairsNeeded }) => {
      const needed = pairsNeeded === null ? '' : `; ${Math.ceil(pairsNeeded)} items would prove the target`
      return `${metric}: ${lost} lost, ${gained} gained, p ${spokenNumber(pValue)}${needed}`
    }),
  ].join('\n')
}
