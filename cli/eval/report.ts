// The report of an evaluation (shared/wire/report.ts), with all that must be the same for two of them to be compared. Pure but for digests.

import { createHash } from 'node:crypto'
import { readReport, reportFormat, writeReport, type Report } from '../../shared/wire/report.ts'
import type { VersionRow } from '../api/shapes.ts'
import { Stop } from '../local/stop.ts'
import { asks, type Evaluated, type Sampling } from './evaluate.ts'

export const sha256 = (data: string | Uint8Array): string => `sha256:${createHash('sha256').update(data).digest('hex')}`

/** cli/engine/score.ts, and which reading of it: another rule needs another number, or old reports would be compared with new ones. */
const scorer = 'cli/engine/score.ts 1'

export type Measured = {
  readonly version: VersionRow
  readonly set: Report['set']
  readonly sampling: Sampling
  readonly evaluated: Evaluated
  readonly startedAtMs: number
  readonly endedAtMs: number
}

/** The report and its text. Throws Stop where it is none that core would take, which is found before it is sent. */
export function reportOf({ version, set, sampling, evaluated, startedAtMs, endedAtMs }: Measured): {
  readonly report: Report
  readonly text: string
} {
  const report: Report = {
    format: reportFormat,
    set,
    template: sha256(JSON.stringify(asks('{prompt}'))),
    scorer,
    sampling: { ...sampling, stop: [] },
    metrics: [{ name: 'accuracy', better: 'higher', top: 1 }],
    engine: version.engine,
    version: { id: version.id, digest: version.digest },
    startedAtMs,
    endedAtMs,
    results: evaluated.results,
  }
  const text = writeReport(report)
  const read = readReport(text)
  if (!read.ok) throw new Stop(`the report cannot be written: ${read.error.field}: ${read.error.detail}`)
  return { report: read.value, text }
}

/** The mean of each metric, over the items that were answered. */
export function scoresOf({ metrics, results }: Report): Readonly<Record<string, number>> {
  const mean = (at: number): number => results.reduce((sum, { scores }) => sum + (scores[at] ?? 0), 0) / Math.max(1, results.length)
  return Object.fromEntries(metrics.map(({ name }, at) => [name, mean(at)]))
}
