// Operating an endpoint: drain, disable, enable, weight, maintenance; and how far a drain has come. A write of one row like any other
// (If-Match, audit), but with a reason, and with an answer that says what it does to the version's capacity. Never a call to the endpoint.

import type { Hono } from 'hono'
import * as v from 'valibot'
import { err, ok, type Result } from '../../shared/result.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { limits } from '../../shared/limits.ts'
import type { ModelName } from '../../shared/ids.ts'
import type { Amendment, Row, Stamp } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { answer, find, hearOfIt, refuse, shown, stampOf, statusOf, wrongMethod, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { readFields, readJson } from './body.ts'
import { capacityOf, warningsOf } from './capacity.ts'
import { drainOf } from './drain.ts'
import { checkMaintenance } from './endpoint.ts'
import { reason, timeMs } from './fields.ts'
import { matches } from './if-match.ts'
import { readDryRun, readQuery } from './query.ts'
import { endpointWeight, resources } from './resources.ts'

type Change = Amendment<'endpoint'>
type Action = {
  readonly body: v.StrictObjectSchema<v.ObjectEntries, undefined>
  /** What a body that passed `body` changes in the row. */
  change(body: object, nowMs: number): Result<Change, AdminRefusal>
}

const justReason = v.strictObject({ reason })
const to = (state: Row<'endpoint'>['state']): Action => ({ body: justReason, change: () => ok({ state }) })

const actions: Readonly<Record<string, Action>> = {
  drain: to('draining'),
  disable: to('disabled'),
  enable: to('enabled'),
  weight: {
    body: v.strictObject({ reason, weight: endpointWeight }),
    change: (body) => ok({ weight: (body as { readonly weight: number }).weight }),
  },
  maintenance: {
    body: v.strictObject({ reason, fromMs: v.optional(v.nullable(timeMs), null), untilMs: v.nullable(timeMs) }),
    change: maintain,
  },
}

/** `untilMs` null ends the window; `fromMs` null: from now. */
function maintain(body: object, nowMs: number): Result<Change, AdminRefusal> {
  const asked = body as { readonly reason: string; readonly fromMs: number | null; readonly untilMs: number | null }
  if (asked.untilMs === null) {
    if (asked.fromMs === null) return ok({ maintenance: null })
    return err({ reason: 'invalid_field', param: 'fromMs', detail: 'must be left out where untilMs is null, which ends the window' })
  }
  const maintenance = { fromMs: asked.fromMs ?? nowMs, untilMs: asked.untilMs, reason: asked.reason }
  const inTime = checkMaintenance(maintenance, nowMs, '')
  return inTime.ok ? ok({ maintenance }) : inTime
}

export function addOperations(app: Hono<AdminEnv>, ports: AdminPorts): void {
  for (const [name, action] of Object.entries(actions)) {
    const path = `/endpoints/:id/${name}`
    const methods = name === 'drain' ? 'GET, POST' : 'POST'
    app.post(path, (c) => answer(c, operate(c, action, ports)))
    if (name === 'drain') app.get(path, (c) => answer(c, progress(c, ports)))
    app.all(path, (c) => refuse(c, wrongMethod(c, methods)))
  }
}

async function operate(c: Asked, action: Action, ports: AdminPorts): Promise<Answer> {
  const by = stampOf(c, ports)
  if (!by.ok) return by
  const dryRun = readDryRun(c.req.url)
  if (!dryRun.ok) return dryRun
  const body = await readJson(c.req.raw)
  if (!body.ok) return body
  const fields = readFields(action.body, body.value)
  if (!fields.ok) return fields
  const before = await find(c, resources.endpoint, ports)
  if (!before.ok) return before
  const matched = matches(c.req.header('if-match'), before.value.generation, true)
  if (!matched.ok) return matched
  const change = action.change(fields.value, by.value.atMs)
  if (!change.ok) return change

  // Looked at before the write, so that `before` is what the operator had.
  const around = await surroundings(before.value, ports)
  const stamp: Stamp = { ...by.value, reason: (fields.value as { readonly reason: string }).reason }
  const after = dryRun.value
    ? await ports.rows.previewUpdate('endpoint', before.value, change.value, stamp.atMs)
    : await ports.rows.update('endpoint', before.value, change.value, stamp)
  if (!after.ok) return after
  if (!dryRun.value) hearOfIt(c, ports)

  const move = { before: before.value, after: after.value, ...around, nowMs: stamp.atMs }
  const capacity = capacityOf(move)
  const told = { dryRun: dryRun.value, before: move.before, after: move.after, capacity, warnings: warningsOf(move, capacity) }
  return ok(shown(told, dryRun.value ? move.before.generation : move.after.generation))
}

async function surroundings(endpoint: Row<'endpoint'>, ports: AdminPorts) {
  const [version, among, status] = await Promise.all([
    ports.rows.get('version', [endpoint.version]),
    ports.rows.endpointsOf(endpoint.version),
    statusOf(ports),
  ])
  // The database keeps a version as long as an endpoint refers to it; this endpoint may have gone a moment ago.
  const model = version?.model ?? ('' as ModelName)
  return { model, among, status }
}

async function progress(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const endpoint = await find(c, resources.endpoint, ports)
  if (!endpoint.ok) return endpoint
  const [sinceMs, status] = await Promise.all([ports.rows.drainingSince(endpoint.value.id), statusOf(ports)])
  if (!status) return err({ reason: 'controller_unreachable', afterMs: limits.statusWaitMsMax })
  return ok(Response.json(drainOf(endpoint.value, { sinceMs, status, nowMs: ports.clock.nowMs() })))
}
