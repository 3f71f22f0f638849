// Versions at targets: what is wanted where and how far it is, and an operator's word that a version shall be there, or no longer. The loop
// does the rest (core/deploy). A version that an alias or a rollout needs is never taken away.

import type { Hono } from 'hono'
import * as v from 'valibot'
import type { TargetId, VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import type { AdminRefusal } from '../../shared/refusal.ts'
import { err, ok, type Result } from '../../shared/result.ts'
import type { Deployment, Row } from '../facts.ts'
import { isInUse } from '../in-use.ts'
import type { AdminPorts } from '../ports.ts'
import { find, hearOfIt, only, pageOf, shown, stampOf, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { readFields, readJson } from './body.ts'
import { pageParameters, readPage, writeCursor } from './cursor.ts'
import { reason, slug } from './fields.ts'
import { readDryRun, readQuery } from './query.ts'
import { resources } from './resources.ts'

export function addDeployments(app: Hono<AdminEnv>, ports: AdminPorts): void {
  only('GET', app, '/deployments', (c) => list(c, ports))
  only('GET', app, '/deployments/:target/:version', (c) => read(c, ports))
  only('POST', app, '/versions/:id/deploy', (c) => want(c, true, ports))
  only('POST', app, '/versions/:id/undeploy', (c) => want(c, false, ports))
}

async function list(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, ['version', ...pageParameters])
  if (!query.ok) return query
  const page = readPage('deployments', 2, query.value)
  if (!page.ok) return page
  const { after, limit } = page.value
  const version = (query.value['version'] ?? null) as VersionId | null
  const afterKey = after && ([after[0] as TargetId, after[1] as VersionId] as const)
  const rows = await ports.deployments.list({ version, afterKey, limit: limit + 1 })
  return ok(pageOf(rows, limit, (row) => writeCursor('deployments', [row.target, row.version])))
}

async function read(c: Asked, ports: AdminPorts): Promise<Answer> {
  const query = readQuery(c.req.url, [])
  if (!query.ok) return query
  const { target = '', version = '' } = c.req.param()
  const found = await ports.deployments.get(target as TargetId, version as VersionId)
  if (!found) return err({ reason: 'not_found', what: 'deployment', id: `${target}/${version}` })
  return ok(shown(found, found.generation))
}

const body = v.strictObject({
  reason,
  targets: v.optional(
    v.nullable(
      v.pipe(
        v.array(slug, 'must be a list of targets, or null for all of the model'),
        v.minLength(1, 'must name a target, or be null for all of the model'),
        v.maxLength(limits.targetsNamedMax, `must name at most ${limits.targetsNamedMax} targets`),
        v.check((list) => new Set(list).size === list.length, 'must name each target once'),
      ),
    ),
    null,
  ),
})

/** Answers the deployments that are wanted otherwise than before; in a dry run those that would be. */
async function want(c: Asked, isWanted: boolean, ports: AdminPorts): Promise<Answer> {
  const by = stampOf(c, ports)
  if (!by.ok) return by
  const dryRun = readDryRun(c.req.url)
  if (!dryRun.ok) return dryRun
  const json = await readJson(c.req.raw)
  if (!json.ok) return json
  const fields = readFields(body, json.value)
  if (!fields.ok) return fields
  const said = fields.value as v.InferOutput<typeof body>
  const version = await find(c, resources.version, ports)
  if (!version.ok) return version
  const targets = await targetsOf(version.value, said.targets as readonly TargetId[] | null, ports)
  if (!targets.ok) return targets
  const free = isWanted ? ok(null) : await checkFree(version.value.id, ports)
  if (!free.ok) return free

  const { id } = version.value
  if (dryRun.value) return ok(Response.json({ dryRun: true, items: await changesOf(id, isWanted, targets.value, ports) }))
  const stamp = { ...by.value, reason: said.reason }
  const changed = await ports.deployments.want(id, isWanted, said.targets as readonly TargetId[] | null, stamp)
  hearOfIt(c, ports)
  return ok(Response.json({ dryRun: false, items: changed }))
}

/** The targets that are named, or all of the model. Refusal: invalid_field, where one is none of the model, or the model has none. */
async function targetsOf(
  { model }: Row<'version'>,
  named: readonly TargetId[] | null,
  ports: AdminPorts,
): Promise<Result<readonly TargetId[], AdminRefusal>> {
  const fault = (at: string, detail: string) =>
    err({ reason: 'invalid_field', param: `targets${at.replace('/', '.')}`, detail, pointer: `#/targets${at}` } as const)
  if (!named) {
    const all = await ports.deployments.targetsOf(model)
    return all.length > 0 ? ok(all.map(({ id }) => id)) : fault('', `must be made first: the model "${model}" has none`)
  }
  const rows = await Promise.all(named.map((id) => ports.rows.get('target', [id])))
  const wrong = rows.findIndex((row) => row?.model !== model)
  return wrong < 0 ? ok(named) : fault(`/${wrong}`, `must be a target of the model "${model}", and "${named[wrong]}" is none`)
}

/** Refusal: in_use. */
async function checkFree(version: VersionId, ports: AdminPorts): Promise<Result<null, AdminRefusal>> {
  const { aliases, rollouts } = await ports.deployments.uses(version)
  if (!isInUse(version, aliases, rollouts)) return ok(null)
  const needed = isInUse(version, aliases, []) ? 'an alias names it' : 'a rollout moves it, or holds it for the way back'
  return err({ reason: 'in_use', what: 'version', id: version, detail: `${needed}, so its endpoints stay` })
}

type Would = Pick<Deployment, 'target' | 'version' | 'isWanted'>

/** What is not there is not wanted. */
async function changesOf(
  version: VersionId,
  isWanted: boolean,
  targets: readonly TargetId[],
  ports: AdminPorts,
): Promise<readonly Would[]> {
  const rows = await ports.deployments.list({ version, afterKey: null, limit: limits.deploymentsOfVersionMax })
  const wanted = new Set(rows.filter((row) => row.isWanted).map(({ target }) => target))
  return targets.filter((target) => wanted.has(target) !== isWanted).map((target) => ({ target, version, isWanted }))
}
