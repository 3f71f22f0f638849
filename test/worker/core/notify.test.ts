// Telling inside workerd: over D1, and to a receiver that workerd itself posts to.

import { expect, it } from 'vitest'
import { deliveryStore } from '../../../core/adapters/deliveries.ts'
import { outboxStore } from '../../../core/adapters/outbox.ts'
import { poster } from '../../../core/adapters/poster.ts'
import { rolloutStore } from '../../../core/adapters/rollouts.ts'
import { rowStore } from '../../../core/adapters/rows.ts'
import { verdictStore } from '../../../core/adapters/verdicts.ts'
import { notify } from '../../../core/notify/notify.ts'
import type { WebhookId } from '../../../shared/ids.ts'
import { NotifyWorld, taken } from '../../unit/core/notify-world.ts'
import { pauseUntil, say } from '../../unit/core/rollout-ride.ts'
import { testEnv } from './world.ts'

it('tells what happened, whatever crashes at whichever call, and notes down how each delivery ended', async () => {
  const { DB } = testEnv
  const stores = {
    rows: rowStore(DB),
    rollouts: rolloutStore(DB),
    verdicts: verdictStore(DB),
    outbox: outboxStore(DB),
    deliveries: deliveryStore(DB),
  }
  const here = await new NotifyWorld([pauseUntil(null)], stores).furnish()
  await here.webhook('all')
  await here.webhook('slack', { format: 'slack', events: ['rollout.paused'] })
  await here.webhook('real', { url: 'http://receiver.test/empty-204', events: ['rollout.pending_approval'] })
  await here.webhook('busy', { url: 'http://receiver.test/busy-60', events: ['rollout.pending_approval'] })
  for (const input of [say('submit', 'ada'), say('approve'), say('start'), { kind: 'warmed' } as const]) await here.take(input)
  here.receive = () => ({ status: 503, error: 'answered 503', retryAfterMs: null })
  for (const when of ['before', 'after'] as const) {
    for (const call of [5, 12, 17]) {
      await expect(here.round({ call, when })).rejects.toThrow('crashed')
      here.nowMs += 86_400_000
    }
  }

  // Later, to the real receivers, and the others take everything.
  here.receive = () => taken
  const real = poster(true)
  const ports = () => {
    const made = here.ports()
    return {
      ...made,
      poster: { post: (asked: Parameters<typeof real.post>[0]) => (asked.url.includes('receiver') ? real : made.poster).post(asked) },
    }
  }
  for (let round = 0; round < 8; round++) await notify(ports(), here.nowMs)

  expect(await stores.outbox.undone(['outbox', 'notify'], 10)).toEqual([])
  const listed = (webhook: string) => stores.deliveries.list({ webhook: webhook as WebhookId, beforeSeq: null, limit: 20 })
  expect(await listed('all')).toHaveLength(6)
  for (const row of [...(await listed('all')), ...(await listed('slack'))]) expect(row).toMatchObject({ ok: true, lastStatus: 200 })
  expect(await listed('slack')).toMatchObject([{ id: 'r1/5/notify/slack', type: 'rollout.paused' }])
  expect(await listed('real')).toMatchObject([{ ok: true, lastStatus: 204, endedAtMs: here.nowMs, nextAtMs: null }])
  expect(await listed('busy')).toMatchObject([{ ok: null, endedAtMs: null, lastStatus: 429, lastError: 'answered 429' }])
  expect(here.begun).toHaveLength(9)
  expect(new Set(here.begun).size).toBe(9)
})
