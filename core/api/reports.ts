// Reports of evaluations: handed in whole, kept as they came, listed, and laid beside each other. A report is never changed or taken away.

import type { Hono } from 'hono'
import type { VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import { readReport, type Report } from '../../shared/wire/report.ts'
import type { ReportRow } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { answer, hearOfIt, only, refuse, wrongMethod, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { checkDigest, readHanded } from './handed-in.ts'
import { newestFirst } from './newest-first.ts'
import { readNeeded, readQuery, readWhole, refuseParameter } from './query.ts'
import { accuracyTargetBp } from './resources.ts'

export function addReports(app: Hono<AdminEnv>, ports: AdminPorts): void {
  app.get('/reports', (c) => answer(c, list(c, ports)))
  app.post('/reports', (c) => answer(c, add(c, ports)))
  app.all('/reports', (c) => refuse(c, wrongMethod(c, 'GET, POST')))
  only('GET', app, '/reports/:id', (c) => read(c, ports))
  only('GET', app, '/reports/:id/compare', (c) => compare(c, ports))
}

const list = (c: Asked, ports: AdminPorts): Promise<Answer> =>
  newestFirst(c, { kind: 'reports', parameters: ['version'] }, async (query, page) =>
    ok(await ports.reports.list({ ...page, version: (query['version'] ?? null) as VersionId | null })),
  )

/** Handed in again it is the row that is there already. */
async function add(c: Asked, ports: AdminPorts): Promise<Answer> {
  const handed = await readHanded(c, [], ports)
  if (!handed.ok) return handed
  const { stamp, environment, text, id } = handed.value
  const report = readReport(text)
  if (!report.ok) return err({ ...report.error, what: 'report' })
  const version = await ports.rows.get('version', [report.value.version.id])
  if (!version) {
    return err({ reason: 'missing_reference', what: 'version.id', detail: `the version "${report.value.version.id}" does not exist` })
  }
  const registered = checkDigest(version, report.value.version.digest, 'version.digest')
  if (!registered.ok) return registered
  const { set, results } = report.value
  const counted = { setName: set.name, setDigest: set.digest, items: set.items, answered: results.length, scores: scoresOf(report.value) }
  const row = { id, version: version.id, environment, ...counted, actor: stamp.actor, createdAtMs: stamp.atMs }
  const added = await ports.reports.add({ ...row, text }, stamp)
  if (!added.ok) return added
  hearOfIt(c, ports)
  return ok(Response.json(added.value, { status: 201, headers: { location: `/admin/v1/reports/${id}` } }))
}

/** Mean of each metric over the answered items; none without an item. Summed in whole millionths, so that shares come out even. */
export function scoresOf({ metrics, results }: Report): Readonly<Record<string, number>> {
  if (results.length === 0) return {}
  const mean = (at: number): number =>
    results.reduce((sum, { scores }) => sum + Math.round((scores[at] ?? 0) * 1e6), 0) / results.length / 1e6
  return Object.fromEntries(metrics.map(({ name }, at) => [name, mean(at)]))
}

async function read(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const stored = await find(c.req.param('id') ?? '', ports)
  if (!stored.ok) return stored
  return ok(Response.json({ ...stored.value.row, report: stored.value.report }))
}

/** Against another, of the same set under the same settings. Without a target, the one of the version's model. */
async function compare(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, ['reference', 'targetBp'])
  if (!query.ok) return query
  const id = readNeeded(query.value, 'reference')
  if (!id.ok) return id
  const asked = readWhole(query.value, 'targetBp', accuracyTargetBp)
  if (!asked.ok) return asked
  const measured = await find(c.req.param('id') ?? '', ports)
  if (!measured.ok) return measured
  const reference = await find(id.value, ports)
  if (!reference.ok) {
    return reference.error.reason === 'not_found' ? refuseParameter('reference', `must be a report: there is no "${id.value}"`) : reference
  }
  const targetBp = asked.value ?? (await targetOf(measured.value.row, ports))
  const compared = ports.compareReports(measured.value.report, reference.value.report, targetBp)
  if (!compared.ok) return compared
  return ok(Response.json({ measured: measured.value.row, reference: reference.value.row, targetBp, ...compared.value }))
}

async function targetOf({ version }: ReportRow, ports: AdminPorts): Promise<number> {
  const row = await ports.rows.get('version', [version])
  const model = row && (await ports.rows.get('model', [row.model]))
  return model?.accuracyTargetBp ?? limits.accuracyTargetBpDefault
}

/** A stored report and its row. Refusals: not_found, broken_report where a later reader takes less than an earlier one did. */
async function find(id: string, ports: AdminPorts): Promise<Result<{ readonly row: ReportRow; readonly report: Report }, AdminRefusal>> {
  const stored = await ports.reports.get(id)
  if (!stored) return err({ reason: 'not_found', what: 'report', id })
  const { text, ...row } = stored
  const report = readReport(text)
  return report.ok ? ok({ row, report: report.value }) : err({ ...report.error, what: 'report' })
}
