// Rollouts as operators read and make them. What a rollout may do, and whether a plan works, is the rollout stage's word; it comes from the
// control loop's object, the only writer of rollouts.

import type { Hono } from 'hono'
import * as v from 'valibot'
import { environments, type ModelName, type RolloutId, type VersionId } from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { RolloutRequest } from '../facts.ts'
import type { AdminPorts, RolloutRow } from '../ports.ts'
import {
  answer,
  created,
  fromController,
  hearOfIt,
  only,
  refuse,
  shown,
  stampOf,
  wrongMethod,
  type AdminEnv,
  type Answer,
  type Asked,
} from './asked.ts'
import { readFields, readJson } from './body.ts'
import { flag, modelName, oneOf, reason, slug } from './fields.ts'
import { newestFirst } from './newest-first.ts'
import { readDryRun, readOneOf, readQuery } from './query.ts'

export type Rollout = RolloutRow['rollout']

export function addRollouts(app: Hono<AdminEnv>, ports: AdminPorts): void {
  app.get('/rollouts', (c) => answer(c, list(c, ports)))
  app.post('/rollouts', (c) => answer(c, create(c, ports)))
  app.all('/rollouts', (c) => refuse(c, wrongMethod(c, 'GET, POST')))
  only('GET', app, '/rollouts/:id', (c) => read(c, ports))
  only('GET', app, '/rollouts/:id/transitions', (c) => transitions(c, ports))
  only('GET', app, '/rollouts/:id/verdicts', (c) => verdicts(c, ports))
  only('GET', app, '/rollouts/:id/explain', (c) => explain(c, ports))
}

/** The rollout that the path names. Refusal: not_found. */
export async function findRollout(c: Asked, ports: AdminPorts): Promise<Result<Rollout, AdminRefusal>> {
  const id = c.req.param('id') ?? ''
  const rollout = await ports.rollouts.get(id as RolloutId)
  return rollout ? ok(rollout) : err({ reason: 'not_found', what: 'rollout', id })
}

const list = async (c: Asked, ports: AdminPorts): Promise<Answer> => {
  const parameters = ['environment', 'model', 'live']
  return newestFirst(c, { kind: 'rollouts', parameters }, async (query, page) => {
    const environment = readOneOf(query, 'environment', environments)
    if (!environment.ok) return environment
    const live = readOneOf(query, 'live', ['true', 'false'])
    if (!live.ok) return live
    const model = (query['model'] ?? null) as ModelName | null
    const rows = await ports.rollouts.list({ ...page, environment: environment.value, model, live: live.value === 'true' })
    return ok(rows.map(({ seq, rollout }) => ({ seq, ...rollout })))
  })
}

/** Steps and gates are read by the rollout stage, which says all that is wrong in them at once. */
const body = v.strictObject({
  environment: oneOf(environments),
  model: modelName,
  to: slug,
  from: v.optional(v.nullable(slug), null),
  steps: v.optional(v.unknown()),
  gates: v.optional(v.unknown()),
  fourEyes: v.optional(v.nullable(flag), null),
  start: v.optional(flag, false),
  reason,
})

/** A dry run answers the plan, also one that cannot start: it says why. */
async function create(c: Asked, ports: AdminPorts): Promise<Answer> {
  const by = stampOf(c, ports)
  if (!by.ok) return by
  const dryRun = readDryRun(c.req.url)
  if (!dryRun.ok) return dryRun
  const json = await readJson(c.req.raw)
  if (!json.ok) return json
  const fields = readFields(body, json.value)
  if (!fields.ok) return fields
  const asked = requestOf(fields.value as v.InferOutput<typeof body>)
  if (dryRun.value) {
    const plan = await fromController(ports.controller.planRollout(asked), ports)
    return plan.ok ? ok(Response.json(plan.value)) : plan
  }
  const made = await fromController(ports.controller.createRollout(asked, { ...by.value, reason: asked.reason }), ports)
  if (!made.ok) return made
  hearOfIt(c, ports)
  return ok(created(made.value, `rollouts/${made.value.id}`, made.value.generation))
}

const requestOf = ({ model, to, from, steps, gates, ...asked }: v.InferOutput<typeof body>): RolloutRequest => ({
  ...asked,
  model: model as ModelName,
  to: to as VersionId,
  from: from as VersionId | null,
  steps,
  gates,
})

async function read(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const rollout = await findRollout(c, ports)
  if (!rollout.ok) return rollout
  const happened = await ports.rollouts.transitions(rollout.value.id)
  return ok(shown({ ...rollout.value, transitions: happened }, rollout.value.generation))
}

/** In order, and all of them: a rollout has some tens. */
async function transitions(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const rollout = await findRollout(c, ports)
  if (!rollout.ok) return rollout
  return ok(Response.json({ items: await ports.rollouts.transitions(rollout.value.id), nextCursor: null }))
}

const verdicts = (c: Asked, ports: AdminPorts): Promise<Answer> =>
  newestFirst(c, { kind: 'verdicts', parameters: [] }, async (_query, page) => {
    const rollout = await findRollout(c, ports)
    return rollout.ok ? ok(await ports.verdicts.list({ ...page, rollout: rollout.value.id, version: null })) : rollout
  })

async function explain(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const rollout = await findRollout(c, ports)
  if (!rollout.ok) return rollout
  const explained = await fromController(ports.controller.explainRollout(rollout.value.id), ports)
  return explained.ok ? ok(Response.json(explained.value)) : explained
}
