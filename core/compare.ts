// Two stored reports laid side by side, as the admin API answers it: the accuracy gate's word, outside any rollout. It joins the gate and the
// API's refusals, and decides nothing itself. Pure.

import type { AdminRefusal } from '../shared/refusal.ts'
import { err, type Result } from '../shared/result.ts'
import type { Report } from '../shared/wire/report.ts'
import { judgeAccuracy, type AccuracyResult, type NotComparable } from './gate/accuracy.ts'

/** `targetBp`: share of the reference's score to keep, in 1/10,000. Refusal: not_comparable. */
export function compareReports(measured: Report, reference: Report, targetBp: number): Result<AccuracyResult, AdminRefusal> {
  const judged = judgeAccuracy(measured, reference, { mode: 'observe', targetBp })
  return judged.ok ? judged : err(refusalOf(judged.error, measured, reference))
}

function refusalOf(why: NotComparable, measured: Report, reference: Report): AdminRefusal {
  if (why.reason === 'report_incomplete') {
    return { reason: 'not_comparable', field: 'results', measured: answered(measured), reference: answered(reference) }
  }
  return { reason: 'not_comparable', field: why.field, measured: why.measured, reference: why.reference }
}

const answered = ({ results, set }: Report): string => `${results.length} of ${set.items} items`
