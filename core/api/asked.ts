// What the routes have in common: who writes and why, the row that a path names, whether it is the one that is meant, and the answer.

import type { Context, Hono } from 'hono'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { limits } from '../../shared/limits.ts'
import { within } from '../../shared/time.ts'
import type { Kind, Row, Stamp, Status } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { etagOf } from './if-match.ts'
import { actorOf, reasonOf } from './operator.ts'
import { problem } from './problem.ts'
import type { Resource } from './resource.ts'

export type AdminEnv = { Variables: { requestId: string } }
export type Asked = Context<AdminEnv>
export type Answer = Result<Response, AdminRefusal>

/** Refusal: invalid_header. */
export function stampOf(c: Asked, ports: AdminPorts): Result<Stamp, AdminRefusal> {
  const actor = actorOf(c.req.header('isochrone-actor'))
  if (!actor.ok) return actor
  const reason = reasonOf(c.req.header('isochrone-reason'))
  if (!reason.ok) return reason
  return ok({ atMs: ports.clock.nowMs(), actor: actor.value, requestId: c.get('requestId'), reason: reason.value })
}

/** The row that the path names. Refusal: not_found. */
export async function find<K extends Kind>(c: Asked, resource: Resource<K>, ports: AdminPorts): Promise<Result<Row<K>, AdminRefusal>> {
  const key = resource.params.map((name) => c.req.param(name) ?? '')
  const row = await ports.rows.get(resource.kind, key)
  return row ? ok(row) : err({ reason: 'not_found', what: resource.kind, id: key.join('/') })
}

/**
 * What a plan or a command brought, from the control loop's object. Refusals: its own, and controller_unreachable when it is silent or fails:
 * whether a command was carried out is then not known.
 */
export async function fromController<T>(called: Promise<Result<T, AdminRefusal>>, ports: AdminPorts): Promise<Result<T, AdminRefusal>> {
  const unreachable = err({ reason: 'controller_unreachable', afterMs: limits.commandWaitMsMax } as const)
  const asked = called.catch((cause: unknown) => {
    ports.log({ message: 'rollouts: the control loop failed to answer', error: String(cause) })
    return unreachable
  })
  return within(asked, limits.commandWaitMsMax, unreachable, ports.timer)
}

/** What the control loop has in memory; null when it does not answer in time. */
export async function statusOf(ports: AdminPorts): Promise<Status | null> {
  const asked = ports.controller.status().catch((cause: unknown) => {
    ports.log({ message: 'status: the control loop failed to answer', error: String(cause) })
    return null
  })
  return within(asked, limits.statusWaitMsMax, null, ports.timer)
}

/** The control loop publishes a write at once, not at its next turn. Should the call be lost, that turn finds it. */
export function hearOfIt(c: Asked, ports: AdminPorts): void {
  c.executionCtx.waitUntil(ports.controller.nudge().catch(() => undefined))
}

/** A page of a list: one row more than shown tells whether there is a next one. */
export function pageOf<R>(rows: readonly R[], limit: number, cursorOf: (row: R) => string): Response {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return Response.json({ items, nextCursor: rows.length > limit && last !== undefined ? cursorOf(last) : null })
}

/** What was created, and where it is. `path` is below /admin/v1. */
export const created = (row: object, path: string, generation: number): Response =>
  Response.json(row, { status: 201, headers: { location: `/admin/v1/${path}`, etag: etagOf(generation) } })

/** A row, with the ETag of what is stored: in a dry run that is the row as it was. */
export const shown = (row: object, generation: number): Response => Response.json(row, { headers: { etag: etagOf(generation) } })

export const wrongMethod = (c: Asked, allowed: string): AdminRefusal => ({
  reason: 'wrong_method',
  method: c.req.method,
  path: c.req.path,
  allowed,
})

export const refuse = (c: Asked, refusal: AdminRefusal): Response => problem(refusal, c.get('requestId'))

export async function answer(c: Asked, answered: Promise<Answer>): Promise<Response> {
  const result = await answered
  return result.ok ? result.value : refuse(c, result.error)
}

/** A path that answers one method alone. */
export function only(method: 'GET' | 'POST', app: Hono<AdminEnv>, path: string, reply: (c: Asked) => Promise<Answer>): void {
  app.on(method, path, (c) => answer(c, reply(c)))
  app.all(path, (c) => refuse(c, wrongMethod(c, method)))
}
