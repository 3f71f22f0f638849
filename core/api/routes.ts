// The routes of the admin API, the same for every resource: list, create, read, change, delete.

import { Hono, type Context } from 'hono'
import { limits } from '../../shared/limits.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { within } from '../../shared/time.ts'
import type { Fields, Kind, Row, Stamp } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { readChange, readFields, readJson } from './body.ts'
import { readPage, writeCursor } from './cursor.ts'
import { etagOf, matches } from './if-match.ts'
import { actorOf } from './operator.ts'
import { problem } from './problem.ts'
import { resources, type Resource } from './resources.ts'

export type AdminEnv = { Variables: { requestId: string } }
type Asked = Context<AdminEnv>
type Answer = Result<Response, AdminRefusal>

/** All routes under /admin/v1. Whoever mounts them has let the operator in and set the request's id. */
export function adminRoutes(ports: AdminPorts): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>()
  for (const resource of Object.values(resources)) addResource(app, resource, ports)
  app.get('/audit', (c) => answer(c, listAudit(c, ports)))
  app.all('/audit', (c) => refuse(c, wrongMethod(c, 'GET')))
  app.get('/status', (c) => answer(c, status(ports)))
  app.all('/status', (c) => refuse(c, wrongMethod(c, 'GET')))
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
  const page = readPage(resource.kind, resource.params.length, c.req.query())
  if (!page.ok) return page
  // One row more than shown tells whether there is a next page.
  const rows = await ports.rows.list(resource.kind, { after: page.value.after, limit: page.value.limit + 1 })
  return ok(pageOf(rows, page.value.limit, (row) => writeCursor(resource.kind, keyOf(resource, row))))
}

async function listAudit(c: Asked, ports: AdminPorts): Promise<Answer> {
  const page = readPage('audit', 1, c.req.query())
  if (!page.ok) return page
  const beforeSeq = page.value.after && Number(page.value.after[0])
  if (beforeSeq !== null && !Number.isSafeInteger(beforeSeq)) {
    return err({ reason: 'invalid_field', param: 'cursor', detail: 'must be the nextCursor of an earlier page of this list' })
  }
  const rows = await ports.rows.audit({ beforeSeq, limit: page.value.limit + 1 })
  return ok(pageOf(rows, page.value.limit, (row) => writeCursor('audit', [String(row.seq)])))
}

function pageOf<R>(rows: readonly R[], limit: number, cursorOf: (row: R) => string): Response {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return Response.json({ items, nextCursor: rows.length > limit && last !== undefined ? cursorOf(last) : null })
}

async function read(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const found = await find(c, resource, ports)
  return found.ok ? ok(shown(found.value)) : found
}

async function create(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  const body = await readJson(c.req.raw)
  if (!body.ok) return body
  const fields = readFields(resource.create, body.value)
  if (!fields.ok) return fields
  const made = await resource.make(fields.value, ports)
  if (!made.ok) return made
  const { draft, shownOnce } = made.value
  const wrong = resource.check(draft)
  if (wrong) return err(wrong)
  const created = await ports.rows.create(resource.kind, draft, stamp.value)
  if (!created.ok) return created
  hearOfIt(c, ports)
  const path = keyOf(resource, created.value).map(encodeURIComponent).join('/')
  const headers = { location: `/admin/v1/${resource.path}/${path}`, etag: etagOf(created.value.generation) }
  return ok(Response.json({ ...created.value, ...shownOnce }, { status: 201, headers }))
}

async function change(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  if (!resource.change) return err({ reason: 'immutable', what: resource.kind, allowed: 'GET, DELETE' })
  const body = await readJson(c.req.raw)
  if (!body.ok) return body
  const fields = readChange(resource.change, body.value)
  if (!fields.ok) return fields
  const before = await find(c, resource, ports)
  if (!before.ok) return before
  const matched = matches(c.req.header('if-match'), before.value.generation, true)
  if (!matched.ok) return matched
  const amended = await resource.amend(fields.value, before.value, ports)
  if (!amended.ok) return amended
  const named = amended.value
  // Sound although the row may be overtaken: the update below applies to this very generation or not at all.
  const wrong = resource.check({ ...before.value, ...named } as Fields[Kind])
  if (wrong) return err(wrong)
  const changed = await ports.rows.update(resource.kind, before.value, named, stamp.value)
  if (!changed.ok) return changed
  hearOfIt(c, ports)
  return ok(shown(changed.value))
}

async function remove(c: Asked, resource: Resource, ports: AdminPorts): Promise<Answer> {
  const stamp = stampOf(c, ports)
  if (!stamp.ok) return stamp
  const ifMatch = c.req.header('if-match')
  // Without If-Match the row goes whatever its generation: one that changed between reading and deleting is read again.
  for (let attempt = 1; ; attempt++) {
    const before = await find(c, resource, ports)
    if (!before.ok) return before
    const matched = matches(ifMatch, before.value.generation, false)
    if (!matched.ok) return matched
    const removed = await ports.rows.remove(resource.kind, before.value, stamp.value)
    if (removed.ok) {
      hearOfIt(c, ports)
      return ok(new Response(null, { status: 204 }))
    }
    const overtaken = removed.error.reason === 'generation_mismatch'
    if (!overtaken || ifMatch !== undefined || attempt === limits.unsafeDeletesMax) return removed
  }
}

async function status(ports: AdminPorts): Promise<Answer> {
  const afterMs = limits.statusWaitMsMax
  const asked = ports.controller.status().catch((cause: unknown) => {
    ports.log({ message: 'status: the control loop failed to answer', error: String(cause) })
    return null
  })
  const known = await within(asked, afterMs, null, ports.timer)
  return known ? ok(Response.json(known)) : err({ reason: 'controller_unreachable', afterMs })
}

async function find(c: Asked, resource: Resource, ports: AdminPorts): Promise<Result<Row<Kind>, AdminRefusal>> {
  const key = resource.params.map((name) => c.req.param(name) ?? '')
  const row = await ports.rows.get(resource.kind, key)
  return row ? ok(row) : err({ reason: 'not_found', what: resource.kind, id: key.join('/') })
}

function keyOf(resource: Resource, row: Row<Kind>): readonly string[] {
  const named = row as Readonly<Record<string, unknown>>
  return resource.params.map((name) => String(named[name]))
}

const shown = (row: Row<Kind>): Response => Response.json(row, { headers: { etag: etagOf(row.generation) } })

function stampOf(c: Asked, ports: AdminPorts): Result<Stamp, AdminRefusal> {
  const actor = actorOf(c.req.header('isochrone-actor'))
  return actor.ok ? ok({ atMs: ports.clock.nowMs(), actor: actor.value, requestId: c.get('requestId') }) : actor
}

/** The control loop publishes a write at once, not at its next turn. Should the call be lost, that turn finds it. */
function hearOfIt(c: Asked, ports: AdminPorts): void {
  c.executionCtx.waitUntil(ports.controller.nudge().catch(() => undefined))
}

const wrongMethod = (c: Asked, allowed: string): AdminRefusal => ({
  reason: 'wrong_method',
  method: c.req.method,
  path: c.req.path,
  allowed,
})

const refuse = (c: Asked, refusal: AdminRefusal): Response => problem(refusal, c.get('requestId'))

async function answer(c: Asked, answered: Promise<Answer>): Promise<Response> {
  const result = await answered
  return result.ok ? result.value : refuse(c, result.error)
}
