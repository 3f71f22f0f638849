// The contract of the stores of new versions against the real D1, and what only the real one has: triggers, indexes, purges, old rows.

import { applyD1Migrations, reset } from 'cloudflare:test'
import { beforeEach, describe, expect, it } from 'vitest'
import { catalogueReader } from '../../../core/adapters/catalogue.ts'
import { deliveryStore } from '../../../core/adapters/deliveries.ts'
import { deploymentStore } from '../../../core/adapters/deployments.ts'
import { loadRunStore } from '../../../core/adapters/load-runs.ts'
import { outboxStore } from '../../../core/adapters/outbox.ts'
import { reportStore } from '../../../core/adapters/reports.ts'
import { rolloutStore } from '../../../core/adapters/rollouts.ts'
import { rowStore } from '../../../core/adapters/rows.ts'
import { verdictStore } from '../../../core/adapters/verdicts.ts'
import type { RolloutId, WebhookId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { deploymentStoreContract } from '../../contract/core/deployment-store.ts'
import { recordStoresContract } from '../../contract/core/record-stores.ts'
import { draft, furnish, move, ride, stamp, toWarming, v2, verdict, type Stores } from '../../contract/core/rollout-scene.ts'
import { rolloutStoreContract } from '../../contract/core/rollout-store.ts'
import { testEnv } from './world.ts'

const { DB } = testEnv
const stores: Stores = {
  rows: rowStore(DB),
  catalogue: catalogueReader(DB),
  rollouts: rolloutStore(DB),
  verdicts: verdictStore(DB),
  reports: reportStore(DB),
  loadRuns: loadRunStore(DB),
  outbox: outboxStore(DB),
  deployments: deploymentStore(DB),
  deliveries: deliveryStore(DB),
}

beforeEach(async () => {
  await reset()
  await applyD1Migrations(DB, testEnv.TEST_MIGRATIONS)
})

describe('rollouts', () => {
  rolloutStoreContract(() => stores)
})
describe('deployments', () => {
  deploymentStoreContract(() => stores)
})
describe('records', () => {
  recordStoresContract(() => stores)
})

describe('D1', () => {
  const count = async (table: string) => (await DB.prepare(`SELECT count(*) AS n FROM ${table}`).first<{ n: number }>())?.n ?? -1

  it.each(
    ['rollout_transitions', 'verdicts', 'reports', 'load_runs'].flatMap((table) => [
      `UPDATE ${table} SET ${table === 'rollout_transitions' ? 'actor' : 'version'} = 'v1'`,
      `DELETE FROM ${table}`,
    ]),
  )('itself refuses %s', async (sql) => {
    await furnish(stores)
    await ride(stores, draft('r1'), ['submit'])
    await stores.verdicts.add([verdict('a')])
    const measured = { version: v2, environment: 'staging', actor: 'a', createdAtMs: 1, text: '{}' } as const
    await stores.reports.add({ ...measured, id: 'a', setName: 's', setDigest: 'd', items: 1, answered: 1, scores: {} }, stamp)
    await stores.loadRuns.add({ ...measured, id: 'a', requestsPerS: 1, samples: 1 }, stamp)
    await expect(DB.prepare(sql).run()).rejects.toThrow(/append-only/)
  })

  it('itself refuses to lose a rollout', async () => {
    await furnish(stores)
    await stores.rollouts.create(draft('r1'), stamp)
    await expect(DB.prepare('DELETE FROM rollouts').run()).rejects.toThrow(/kept for ever/)
  })

  it('keeps no guard, whether batches are taken or broken', async () => {
    await furnish(stores)
    const live = await ride(stores, draft('r1'), toWarming)
    await stores.rollouts.commit(draft('r1'), move(draft('r1'), 'submit'), { verdicts: [] }, stamp)
    await stores.deployments.want(v2, true, null, stamp)
    expect(live.generation).toBe(4)
    expect(await count('guards')).toBe(0)
  })

  it('a change of which a late part cannot be written leaves no early part either', async () => {
    await furnish(stores)
    const ready = await ride(stores, draft('r1'), ['submit', 'approve'])
    const moved = move(ready, 'start')
    // The last of its rows is there already: what no change of a rollout should ever meet.
    const key = moved.effects.at(-1)?.key ?? ''
    await DB.prepare(`INSERT INTO outbox (id, rollout, kind, payload, at_ms) VALUES (?, 'r1', 'outbox', '{}', 0)`).bind(key).run()
    const tables = ['rollouts', 'rollout_transitions', 'audit_log', 'outbox', 'verdicts', 'guards']
    const before = await Promise.all(tables.map(count))
    await expect(stores.rollouts.commit(ready, moved, { verdicts: [verdict('a')] }, stamp)).rejects.toThrow('r1/4 could not be stored')
    expect(await Promise.all(tables.map(count))).toEqual(before)
    expect(await stores.rollouts.get(ready.id)).toEqual(ready)
    expect(await stores.rows.get('alias', ['production', 'atlas'])).toMatchObject({ canary: null, generation: 1 })
  })

  it('reads a rollout of before some of its fields were', async () => {
    await furnish(stores)
    const made = draft('r1')
    await stores.rollouts.create(made, stamp)
    const old = [
      'gates',
      'plannedRequests',
      'shadowBp',
      'extended',
      'unmeasured',
      'stableHeldUntilMs',
      'retryOf',
      'rollbackOf',
      'successor',
    ]
    const paths = [...old.map((name) => `'$.${name}'`), `'$.steps[0].proof'`].join(', ')
    await DB.prepare(`UPDATE rollouts SET record = json_remove(record, ${paths})`).run()
    expect(await stores.rollouts.get(made.id)).toEqual({ ...made, gates: [], plannedRequests: limits.rolloutProofRequests })
    await DB.prepare(`UPDATE rollouts SET record = '{"id":"r1"}'`).run()
    await expect(stores.rollouts.get(made.id)).rejects.toThrow('a stored record cannot be read: environment')
  })

  it('looks at live rollouts before drafts when there are too many', async () => {
    await furnish(stores)
    const most = limits.rolloutsOpenMax
    await stores.rollouts.create(draft('first'), stamp)
    // As many drafts as one turn looks at, each with an id of its own.
    await DB.prepare(
      `INSERT INTO rollouts SELECT NULL, 'd' || value, environment, model, from_version, to_version, phase, is_live, is_open,
         json_set(record, '$.id', 'd' || value), generation, created_at_ms, updated_at_ms
       FROM rollouts, json_each(?)`,
    )
      .bind(JSON.stringify(Array.from({ length: most }, (_, index) => index)))
      .run()
    await ride(stores, draft('live'), toWarming)
    const open = (await stores.rollouts.open()).map(({ rollout }) => rollout.id)
    expect(open).toHaveLength(most)
    expect([open[0], open.at(-2), open.at(-1)]).toEqual(['first', `d${most - 3}`, 'live'])
  })

  it.each<readonly [string, (d1: D1Database) => Promise<unknown>]>([
    ['deployments_unfinished', (d1) => deploymentStore(d1).due(1_000, 5)],
    ['outbox_undone', (d1) => outboxStore(d1).undone(['deploy'], 5)],
    ['webhook_deliveries_due', (d1) => deliveryStore(d1).due(1_000, 5)],
    ['rollouts_open', (d1) => rolloutStore(d1).open()],
  ])('finds what is to be done by the index %s', async (index, ask) => {
    const asked: { sql: string; values: unknown[] }[] = []
    await ask(spy(asked))
    expect(asked).toHaveLength(1)
    const plan = await DB.prepare(`EXPLAIN QUERY PLAN ${asked[0]?.sql}`)
      .bind(...(asked[0]?.values ?? []))
      .all<{ detail: string }>()
    expect(plan.results.map(({ detail }) => detail).join(', ')).toContain(index)
  })

  it('lets go of what was done, and of deliveries that ended, a month ago, a bounded piece at a time', async () => {
    await furnish(stores)
    const [most, extra] = [limits.rolloutRowsPurgedMax, 5]
    const nowMs = stamp.atMs + limits.rolloutRowsKeptMs + 10_000
    const old = JSON.stringify(Array.from({ length: most + extra }, (_, index) => index))
    await DB.prepare(
      `INSERT INTO outbox (id, rollout, kind, payload, at_ms, done_at_ms) SELECT 'old' || value, 'r0', 'outbox', '{}', 0, 1 FROM json_each(?)`,
    )
      .bind(old)
      .run()
    await ride(stores, draft('r1'), ['submit'])
    await stores.outbox.done(['r1/2/outbox'], nowMs)
    expect(await count('outbox')).toBe(extra + 2)
    // What is undone stays, however old, and so does what was done lately.
    await stores.outbox.done(['r1/2/notify'], nowMs)
    expect(await count('outbox')).toBe(2)

    const webhook = 'w1' as WebhookId
    const begun = (id: string) => ({ id, webhook, type: 't', payload: '{}', createdAtMs: 1 })
    const many = Array.from({ length: most + extra }, (_, index) => begun(`old${index}`))
    await stores.deliveries.begin(many, [], 1)
    await DB.prepare('UPDATE webhook_deliveries SET ended_at_ms = 1').run()
    await stores.deliveries.begin([begun('new')], [], nowMs)
    expect(await count('webhook_deliveries')).toBe(extra + 1)
    await stores.deliveries.begin([begun('newer')], [], nowMs)
    expect(await count('webhook_deliveries')).toBe(2)
  })

  it('is never given a text larger than its 2 MB, however much begins at once', async () => {
    const payload = 'é'.repeat(100_000)
    const many = Array.from({ length: 40 }, (_, index) => ({
      id: `d${index}`,
      webhook: 'w1' as WebhookId,
      type: 't',
      payload,
      createdAtMs: 1,
    }))
    const asked: { sql: string; values: unknown[] }[] = []
    await deliveryStore(spy(asked)).begin(many, [], 1_000)
    const bytes = asked.flatMap(({ values }) => values.map((value) => new TextEncoder().encode(String(value)).length))
    expect(Math.max(...bytes)).toBeGreaterThan(500_000)
    expect(Math.max(...bytes)).toBeLessThan(2_000_000)
    expect(await count('webhook_deliveries')).toBe(40)
  })

  it('refuses an alias a version of another model, in a change too', async () => {
    await furnish(stores)
    const ready = await ride(stores, draft('r1', { to: 'o1' as typeof v2 }), ['submit', 'approve'])
    expect(await stores.rollouts.commit(ready, move(ready, 'start'), { verdicts: [] }, stamp)).toMatchObject({
      error: { reason: 'missing_reference', detail: 'one of the versions is not of the model "atlas"' },
    })
    expect(await stores.rollouts.get('r1' as RolloutId)).toEqual(ready)
  })
})

/** D1 that notes what it is asked. */
function spy(asked: { sql: string; values: unknown[] }[]): D1Database {
  const noted = (statement: D1PreparedStatement, sql: string): D1PreparedStatement =>
    new Proxy(statement, {
      get(target, name) {
        if (name !== 'bind') return Reflect.get(target, name, target) as unknown
        return (...values: unknown[]) => {
          asked.push({ sql, values })
          return target.bind(...values)
        }
      },
    })
  return new Proxy(DB, {
    get(target, name) {
      if (name === 'prepare') return (sql: string) => noted(target.prepare(sql), sql)
      const member = Reflect.get(target, name, target) as unknown
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}
