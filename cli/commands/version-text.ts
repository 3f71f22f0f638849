// Versions, approvals, deployments and differences as text. Pure.

import type { ApprovalRow, DeploymentRow, OverrideRow, ReportRow, VersionRow } from '../api/shapes.ts'
import { spokenAge, spokenNumber } from './amounts.ts'
import { fields, table, valueText } from './table.ts'

export function versionTable(rows: readonly VersionRow[], nowMs: number): string {
  if (rows.length === 0) return 'There are no versions.'
  return table(
    ['VERSION', 'MODEL', 'ENGINE', 'QUANTISATION', 'PARENT', 'CREATED'],
    rows.map((row) => [
      row.id,
      row.model,
      row.engine,
      row.quantisation ?? '-',
      row.parent ?? '-',
      row.createdAtMs > 0 ? spokenAge(row.createdAtMs, nowMs) : '-',
    ]),
  )
}

export type WholeVersion = {
  readonly version: VersionRow
  readonly approvals: readonly ApprovalRow[]
  readonly deployments: readonly DeploymentRow[]
  readonly reports: readonly ReportRow[]
}

/** Fields of the row's keeping; the rest is shown in the order in which core gives it. */
const kept: readonly string[] = ['generation', 'createdAtMs', 'updatedAtMs']

export function versionText({ version, approvals, deployments, reports }: WholeVersion, nowMs: number): string {
  const row = Object.entries(version).filter(([name]) => !kept.includes(name))
  const written = row.map(([name, value]): readonly [string, string | null] => [
    name,
    value === null ? null : typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return [
    fields(written),
    '',
    approvals.length === 0 ? 'It is approved for no environment.' : approvals.map((each) => approvalText(each, nowMs)).join('\n'),
    '',
    deployments.length === 0 ? 'It was deployed to no target.' : deploymentTable(deployments),
    ...(reports.length === 0 ? [] : ['', reportTable(reports, nowMs)]),
  ].join('\n')
}

export function approvalText({ version, environment, approvedBy, expiresAtMs, evidence }: ApprovalRow, nowMs: number): string {
  const until = expiresAtMs === null ? 'for good' : expiresAtMs <= nowMs ? 'but it has expired' : `it ends ${spokenAge(expiresAtMs, nowMs)}`
  const reports = evidence.reports ?? []
  const on = reports.length === 0 ? '' : `; on ${reports.join(', ')}`
  const note = evidence.note ? `; "${evidence.note}"` : ''
  return `${version} is approved for ${environment} by ${approvedBy}, ${until}${on}${note}`
}

export const deploymentTable = (rows: readonly DeploymentRow[]): string =>
  table(
    ['TARGET', 'STATE', 'WANTED', 'ENDPOINT', 'DETAIL'],
    rows.map((row) => [row.target, row.state, row.isWanted ? 'yes' : 'no', row.endpoint ?? '-', row.detail]),
  )

const idCharsShown = 12

export function reportTable(rows: readonly ReportRow[], nowMs: number): string {
  if (rows.length === 0) return 'There are no reports.'
  return table(
    ['REPORT', 'VERSION', 'ENVIRONMENT', 'SET', 'ITEMS', 'SCORES', 'CREATED'],
    rows.map((row) => [
      // Enough to be told from others, and to be given to other commands; --json has the whole.
      row.id.slice(0, idCharsShown),
      row.version,
      row.environment,
      row.setName,
      row.answered === row.items ? String(row.items) : `${row.answered} of ${row.items}`,
      scoresText(row.scores),
      spokenAge(row.createdAtMs, nowMs),
    ]),
  )
}

export const scoresText = (scores: Readonly<Record<string, number>>): string =>
  Object.entries(scores)
    .map(([metric, value]) => `${metric} ${spokenNumber(value)}`)
    .join(', ')

type Differing = { readonly field: string; readonly from: unknown; readonly to: unknown }
const isDiffering = (value: unknown): value is Differing => typeof value === 'object' && value !== null && 'field' in value

/** `body`: a list of differences, or an object that holds one. */
export function differenceTable(body: unknown, from: string, to: string): string {
  const list = Array.isArray(body) ? body : typeof body === 'object' && body !== null && 'differences' in body ? body.differences : []
  const rows = (Array.isArray(list) ? list : []).filter(isDiffering)
  if (rows.length === 0) return `${from} and ${to} differ in nothing but their names.`
  return table(
    ['FIELD', from, to],
    rows.map((row) => [row.field, valueText(row.from), valueText(row.to)]),
  )
}

/** As curl takes it, and nothing else on stdout. */
export const overrideText = ({ header, value }: OverrideRow): string => `${header}: ${value}`
