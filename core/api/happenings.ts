// Lists of what happened, the newest first: writes, changes of health, verdicts of gates, webhooks' deliveries. They only read.

import type { Hono } from 'hono'
import type { EndpointId, RolloutId, VersionId } from '../../shared/ids.ts'
import { ok } from '../../shared/result.ts'
import type { AdminPorts } from '../ports.ts'
import { find, only, type AdminEnv, type Answer, type Asked } from './asked.ts'
import { newestFirst } from './newest-first.ts'
import { resources } from './resources.ts'

export function addHappenings(app: Hono<AdminEnv>, ports: AdminPorts): void {
  only('GET', app, '/audit', (c) => listAudit(c, ports))
  only('GET', app, '/events', (c) => listEvents(c, ports))
  only('GET', app, '/verdicts', (c) => listVerdicts(c, ports))
  only('GET', app, '/webhooks/:id/deliveries', (c) => listDeliveries(c, ports))
}

const listAudit = (c: Asked, ports: AdminPorts): Promise<Answer> =>
  newestFirst(c, { kind: 'audit', parameters: [] }, async (_query, page) => ok(await ports.rows.audit(page)))

/** Of an endpoint that is gone too: its events outlive it. */
const listEvents = (c: Asked, ports: AdminPorts): Promise<Answer> =>
  newestFirst(c, { kind: 'events', parameters: ['endpoint'] }, async (query, page) =>
    ok(await ports.events.list({ ...page, endpoint: (query['endpoint'] ?? null) as EndpointId | null })),
  )

/** Of a rollout or version that is gone too. */
const listVerdicts = (c: Asked, ports: AdminPorts): Promise<Answer> =>
  newestFirst(c, { kind: 'verdicts', parameters: ['rollout', 'version'] }, async (query, page) => {
    const rollout = (query['rollout'] ?? null) as RolloutId | null
    return ok(await ports.verdicts.list({ ...page, rollout, version: (query['version'] ?? null) as VersionId | null }))
  })

const listDeliveries = (c: Asked, ports: AdminPorts): Promise<Answer> =>
  newestFirst(c, { kind: 'deliveries', parameters: [] }, async (_query, page) => {
    const webhook = await find(c, resources.webhook, ports)
    return webhook.ok ? ok(await ports.deliveries.list({ ...page, webhook: webhook.value.id })) : webhook
  })
