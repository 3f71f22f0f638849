// The routes of the admin API: those that are the same for every resource (list, create, read, change, delete), and where the others are.

import { Hono } from 'hono'
import { limits } from '../../shared/limits.ts'
import { err, ok } from '../../shared/result.ts'
import type { Fields, Kind, Row } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import {
  answer,
  created,
  find,
  hearOfIt,
  only,
  pageOf,
  refuse,
  shown,
  stampOf,
  statusOf,
  wrongMethod,
  type AdminEnv,
  type Answer,
  type Asked,
} from './asked.ts'
import { readChange, readFields, readJson } from './body.ts'
import { pageParameters, readPage, writeCursor } from './cursor.ts'
import { addDeployments } from './deployments.ts'
import { addHappenings } from './happenings.ts'
import { matches } from './if-match.ts'
import { addLoadRuns } from './load-runs.ts'
import { addOperations } from './operate.ts'
import { readDryRun, readQuery } from './query.ts'
import { addReports } from './reports.ts'
import type { Resource } from './resource.ts'
import { resources } from './resources.ts'
import { addRolloutCommands } from './rollout-commands.ts'
import { addRollouts } from './rollouts.ts'
import { addVersions } from './versions.ts'

export type { AdminEnv } from './asked.ts'

/** All routes under /admin/v1. Whoever mounts them has let the operator in and set the request's id. */
export function adminRoutes(ports: AdminPorts): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>()
  for (const resource of Object.values(resources)) addResource(app, resource, ports)
  addOperations(app, ports)
  addVersions(app, ports)
  addReports(app, ports)
  addLoadRuns(app, ports)
  addRollouts(app, ports)
  addRolloutCommands(app, ports)
  addDeployments(app, ports)
  addHappenings(app, ports)
  only('GET', app, '/status', (c) => status(c, ports))
  return app
}

function addResource(app: Hono<AdminEnv>, resource: Resource, ports: AdminPorts): void {
  const collection = `/${resource.path}`
  const item = `${collection}/${resource.params.map((name) => `:${name}`).join('/')}`
  const itemMethods = resource.change ? 'GET, PATCH, DELETE' : 'GET, DELETE'

  app.get(collection, (c) => answer(c, list(c, resource, ports)))
  app.post(collection, (c) => answer(c, create(c, resource, ports)))
  app.all(collection, (c) => refuse(c, wrongMethod(c, 'GET, POST')))

  app.get(item, (c) => answer(c, read(c, resource, ports)))
  app.patch(item, (c) => {
    if (!resource.change) return refuse(c, { reason: 'immutable', what: resource.kind, allowed: itemMethods })
    return answer(c, change(c, resource, ports))
  })
  app.delete(item, (c) => answer(c, remove(c, resource, ports)))
  app.all(item, (c) => refuse(c, wrongMethod(c, itemMethods)))
}

async function list(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, pageParameters)
  if (!query.ok) return query
  const page = readPage(resource.kind, resource.params.length, query.value)
  if (!page.ok) return page
  // One row more than shown tells whether there is a next page.
  const rows = await ports.rows.list(resource.kind, { after: page.value.after, limit: page.value.limit + 1 })
  return ok(pageOf(rows, page.value.limit, (row) => writeCursor(resource.kind, keyOf(resource, row))))
}

async function read(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const found = await find(c, resource, ports)
  return found.ok ? ok(shown(found.value, found.value.generation)) : found
}

async function create(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const body = await readJson(c.req.raw)
  if (!body.ok) return body
  const fields = readFields(resource.create, body.value)
  if (!fields.ok) return fields
  const making = await resource.make(fields.value, { ...ports, actor: stamp.value.actor })
  if (!making.ok) return making
  const { draft, shownOnce } = making.value
  const wrong = resource.check(draft)
  if (wrong) return err(wrong)
  const made = await ports.rows.create(resource.kind, draft, stamp.value)
  if (!made.ok) return made
  hearOfIt(c, ports)
  const key = keyOf(resource, made.value).map(encodeURIComponent).join('/')
  return ok(created({ ...made.value, ...shownOnce }, `${resource.path}/${key}`, made.value.generation))
}

async function change(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  const dryRun = readDryRun(c.req.url)
  if (!dryRun.ok) return dryRun
  if (!resource.change) return err({ reason: 'immutable', what: resource.kind, allowed: 'GET, DELETE' })
  const body = await readJson(c.req.raw)
  if (!body.ok) return body
  const fields = readChange(resource.change, body.value)
  if (!fields.ok) return fields
  const before = await find(c, resource, ports)
  if (!before.ok) return before
  const matched = matches(c.req.header('if-match'), before.value.generation, true)
  if (!matched.ok) return matched
  const amended = await resource.amend(fields.value, before.value, { ...ports, actor: stamp.value.actor })
  if (!amended.ok) return amended
  const named = amended.value
  // Sound although the row may be overtaken: the update below applies to this very generation or not at all.
  const wrong = resource.check({ ...before.value, ...named } as Fields[Kind])
  if (wrong) return err(wrong)
  if (dryRun.value) {
    const wouldBe = await ports.rows.previewUpdate(resource.kind, before.value, named, stamp.value.atMs)
    return wouldBe.ok ? ok(shown(wouldBe.value, before.value.generation)) : wouldBe
  }
  const changed = await ports.rows.update(resource.kind, before.value, named, stamp.value)
  if (!changed.ok) return changed
  hearOfIt(c, ports)
  return ok(shown(changed.value, changed.value.generation))
}

async function remove(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  const dryRun = readDryRun(c.req.url)
  if (!dryRun.ok) return dryRun
  const ifMatch = c.req.header('if-match')
  // Without If-Match the row goes whatever its generation: one that changed between reading and deleting is read again.
  for (let attempt = 1; ; attempt++) {
    const before = await find(c, resource, ports)
    if (!before.ok) return before
    const matched = matches(ifMatch, before.value.generation, false)
    if (!matched.ok) return matched
    if (dryRun.value) return previewRemove(resource, before.value, ports)
    const removed = await ports.rows.remove(resource.kind, before.value, stamp.value)
    if (removed.ok) {
      hearOfIt(c, ports)
      return ok(new Response(null, { status: 204 }))
    }
    const overtaken = removed.error.reason === 'generation_mismatch'
    if (!overtaken || ifMatch !== undefined || attempt === limits.unsafeDeletesMax) return removed
  }
}

/** The row that would go. */
async function previewRemove(resource: Resource, before: Row<Kind>, ports: AdminPorts): Promise<Answer> {
  const wouldGo = await ports.rows.previewRemove(resource.kind, before)
  return wouldGo.ok ? ok(shown(before, before.generation)) : wouldGo
}

async function status(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const known = await statusOf(ports)
  return known ? ok(Response.json(known)) : err({ reason: 'controller_unreachable', afterMs: limits.statusWaitMsMax })
}

function keyOf(resource: Resource, row: Row<Kind>): readonly string[] {
  const named = row as Readonly<Record<string, unknown>>
  return resource.params.map((name) => String(named[name]))
}
