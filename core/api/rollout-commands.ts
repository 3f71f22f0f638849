// Commands to a rollout: each says why, may say which generation it means, and may be tried. Whether it is legal is the state machine's word.

import type { Hono } from 'hono'
import * as v from 'valibot'
import type { VersionId } from '../../shared/ids.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { ok, type Result } from '../../shared/result.ts'
import type { RolloutCommand, RolloutCommandName } from '../facts.ts'
import type { AdminPorts } from '../ports.ts'
import { created, fromController, hearOfIt, only, shown, stampOf, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { readFields, readJson } from './body.ts'
import { actorName, reason, slug } from './fields.ts'
import { matches } from './if-match.ts'
import { readDryRun } from './query.ts'
import { findRollout, type Rollout } from './rollouts.ts'

const justReason = v.strictObject({ reason })
const bodies = {
  submit: justReason,
  approve: justReason,
  reject: justReason,
  start: justReason,
  pause: justReason,
  resume: justReason,
  promote: justReason,
  promote_full: v.strictObject({ reason, approver: v.optional(v.nullable(actorName), null) }),
  abort: justReason,
  retry: justReason,
  rollback: v.strictObject({ reason, to: v.optional(v.nullable(slug), null) }),
} as const satisfies Readonly<Record<RolloutCommandName, v.StrictObjectSchema<v.ObjectEntries, undefined>>>

/** What any of these bodies may say, once read. */
type Said = { readonly reason: string; readonly approver?: string | null; readonly to?: string | null }

export function addRolloutCommands(app: Hono<AdminEnv>, ports: AdminPorts): void {
  for (const command of Object.keys(bodies) as RolloutCommandName[]) {
    only('POST', app, `/rollouts/:id/${command.replace('_', '-')}`, (c) => carryOut(c, command, ports))
  }
}

async function carryOut(c: Asked, command: RolloutCommandName, ports: AdminPorts): Promise<Answer> {
  const by = stampOf(c, ports)
  if (!by.ok) return by
  const dryRun = readDryRun(c.req.url)
  if (!dryRun.ok) return dryRun
  const json = await readJson(c.req.raw)
  if (!json.ok) return json
  const fields = readFields(bodies[command], json.value)
  if (!fields.ok) return fields
  const before = await findRollout(c, ports)
  if (!before.ok) return before
  const generation = generationMeant(c.req.header('if-match'), before.value)
  if (!generation.ok) return generation

  const said = fields.value as Said
  const order = orderOf(command, said, { scopes: ports.operatorScopes, generation: generation.value, dryRun: dryRun.value })
  const after = await fromController(ports.controller.commandRollout(before.value.id, order, { ...by.value, reason: said.reason }), ports)
  if (!after.ok) return after
  if (dryRun.value) return ok(shown(after.value, before.value.generation))
  hearOfIt(c, ports)
  return ok(await outcomeOf(after.value, command, ports))
}

/** With If-Match the command is for the generation that was read here, or none: one that is overtaken meanwhile is refused. */
function generationMeant(header: string | undefined, { generation }: Rollout): Result<number | null, AdminRefusal> {
  const matched = matches(header, generation, false)
  if (!matched.ok) return matched
  return ok(header === undefined || header.trim() === '*' ? null : generation)
}

/** An approver is noted as an actor is, so that nobody approves his own command under a shorter name. */
function orderOf(command: RolloutCommandName, said: Said, meant: Pick<RolloutCommand, 'scopes' | 'generation' | 'dryRun'>): RolloutCommand {
  const approver = said.approver ? `operator:${said.approver}` : null
  return { command, reason: said.reason, approver, to: (said.to ?? null) as VersionId | null, ...meant }
}

/** A retry and a rollback are rollouts of their own: the new one is what is shown. */
async function outcomeOf(after: Rollout, command: RolloutCommandName, ports: AdminPorts): Promise<Response> {
  const isNew = (command === 'retry' || command === 'rollback') && after.successor !== null
  const made = isNew && after.successor ? await ports.rollouts.get(after.successor) : null
  return made ? created(made, `rollouts/${made.id}`, made.generation) : shown(after, after.generation)
}
