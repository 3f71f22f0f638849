// Runs of the load gate: handed in whole, kept as they came, listed. What they show is for the gate to say (core/gate/load.ts).

import type { Hono } from 'hono'
import type { VersionId } from '../../shared/ids.ts'
import { err, ok } from '../../shared/result.ts'
import { readLoadRun } from '../../shared/wire/load-run.ts'
import type { AdminPorts } from '../ports.ts'
import { answer, hearOfIt, refuse, wrongMethod, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { checkDigest, readHanded } from './handed-in.ts'
import { newestFirst } from './newest-first.ts'
import { readNeeded, refuseParameter } from './query.ts'

export function addLoadRuns(app: Hono<AdminEnv>, ports: AdminPorts): void {
  app.get('/load-runs', (c) => answer(c, list(c, ports)))
  app.post('/load-runs', (c) => answer(c, add(c, ports)))
  app.all('/load-runs', (c) => refuse(c, wrongMethod(c, 'GET, POST')))
}

const list = (c: Asked, ports: AdminPorts): Promise<Answer> =>
  newestFirst(c, { kind: 'load-runs', parameters: ['version'] }, async (query, page) =>
    ok(await ports.loadRuns.list({ ...page, version: (query['version'] ?? null) as VersionId | null })),
  )

/** A run names the digest alone, which several versions may share: the query says which one ran. */
async function add(c: Asked, ports: AdminPorts): Promise<Answer> {
  const handed = await readHanded(c, ['version'], ports)
  if (!handed.ok) return handed
  const { stamp, query, environment, text, id } = handed.value
  const named = readNeeded(query, 'version')
  if (!named.ok) return named
  const run = readLoadRun(text)
  if (!run.ok) return err({ ...run.error, reason: 'broken_report', what: 'load run' })
  if (run.value.environment !== environment) {
    return refuseParameter('environment', `must be that of the run, which says "${run.value.environment}"`)
  }
  const version = await ports.rows.get('version', [named.value])
  if (!version) return refuseParameter('version', `must be a version: there is no "${named.value}"`)
  const registered = checkDigest(version, run.value.versionDigest, 'versionDigest')
  if (!registered.ok) return registered
  const { requestsPerS, samples } = run.value
  const counted = { requestsPerS, samples: samples.length }
  const row = { id, version: version.id, environment, ...counted, actor: stamp.actor, createdAtMs: stamp.atMs }
  const added = await ports.loadRuns.add({ ...row, text }, stamp)
  if (!added.ok) return added
  hearOfIt(c, ports)
  return ok(Response.json(added.value, { status: 201 }))
}
