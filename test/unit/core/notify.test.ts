// Telling as a whole: from the outbox to receivers, over the stores in memory; and the last part over real HTTP.

import { createHmac } from 'node:crypto'
import * as fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { poster } from '../../../core/adapters/poster.ts'
import { notify } from '../../../core/notify/notify.ts'
import type { Verdict } from '../../../shared/wire/gate.ts'
import type { RolloutId, WebhookId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { verifyWebhook } from '../../../shared/webhook-signature.ts'
import { serve, type LocalServer } from '../../support/http-server.ts'
import { NotifyWorld, secret, taken, type Answer, type Crash, type Posted } from './notify-world.ts'
import { pauseUntil, say, v1, v2, weight } from './rollout-ride.ts'

const world = (steps = [pauseUntil(null)]) => new NotifyWorld(steps).furnish()
const listed = (from: NotifyWorld, webhook: string) =>
  from.stores.deliveries.list({ webhook: webhook as WebhookId, beforeSeq: null, limit: 200 }).then((rows) => rows.toReversed())
const typesOf = (posts: readonly Posted[]) => posts.map(({ body }) => (JSON.parse(body) as { type: string }).type)
const idOf = ({ headers }: Posted): string => headers['webhook-id'] ?? ''
const refused: Answer = { status: 500, error: 'answered 500', retryAfterMs: null }
const silent: Answer = { status: null, error: 'no answer', retryAfterMs: null }

const verdictOf = ({ ride: { rollout }, nowMs }: NotifyWorld, of: Pick<Verdict, 'id' | 'rollout' | 'gate' | 'step'>): Verdict => ({
  environment: rollout.environment,
  model: rollout.model,
  version: v2,
  reference: v1,
  mode: 'abort',
  answer: 'fail',
  checks: [],
  window: null,
  atMs: nowMs,
  ...of,
})

describe('what happened', () => {
  it('is told to every webhook that wants it, in order, signed, and once', async () => {
    const here = await world()
    await here.webhook('all')
    await here.webhook('some', { events: ['rollout.paused', 'rollout.succeeded'] })
    await here.webhook('off', { disabled: true })
    for (const input of [say('submit', 'ada'), say('approve'), say('start'), { kind: 'warmed' } as const]) await here.take(input)
    await here.finish()

    const to = (id: string) => here.posts.filter(({ url }) => url === `https://${id}.test/in`)
    expect(typesOf(to('all'))).toEqual([
      'rollout.pending_approval',
      'rollout.transition',
      'rollout.transition',
      'rollout.transition',
      'rollout.paused',
      'rollout.transition',
    ])
    expect(typesOf(to('some'))).toEqual(['rollout.paused'])
    expect(to('off')).toEqual([])
    expect(here.posts.map(idOf).toSorted()).toEqual(
      ['r1/2/notify', 'r1/2/outbox', 'r1/3/outbox', 'r1/4/outbox', 'r1/5/notify', 'r1/5/notify', 'r1/5/outbox'].toSorted(),
    )
    for (const { headers, body, withinMs } of here.posts) {
      const by = { secret, nowMs: here.nowMs, toleranceMs: 1_000 }
      expect(await verifyWebhook({ headers: new Headers(headers), body }, by)).toEqual({ ok: true, value: null })
      expect(withinMs).toBe(limits.deliveryMsMax)
    }
    expect(await listed(here, 'some')).toMatchObject([{ attempts: 1, ok: true, lastStatus: 200, lastError: null, endedAtMs: here.nowMs }])
    const before = here.posts.length
    await here.round()
    expect(here.posts.length).toBe(before)
  })

  it('is done without a delivery where there is no webhook', async () => {
    const here = await world()
    await here.take(say('submit', 'ada'))
    await here.round()
    expect(await here.stores.outbox.undone(['outbox', 'notify'], 10)).toEqual([])
    await here.webhook('late')
    await here.finish()
    expect(here.posts).toEqual([])
  })

  it('leaves effects of other kinds to others', async () => {
    const here = await world()
    await here.webhook('all')
    for (const input of [say('submit', 'ada'), say('approve'), say('start')]) await here.take(input)
    await here.finish()
    expect((await here.stores.outbox.undone(['deploy'], 10)).map(({ kind }) => kind)).toEqual(['deploy'])
  })

  it('bears the verdict that stopped the rollout, as the store has it', async () => {
    const here = await world([weight(1_000)] as never)
    await here.webhook('ops', { events: ['rollout.aborting'] })
    for (const input of [say('submit', 'ada'), say('approve'), say('start'), { kind: 'warmed' } as const]) await here.take(input)
    const { rollout } = here.ride
    const verdict = verdictOf(here, { id: 'r1/no_harm/1', rollout: rollout.id, gate: 'no_harm', step: 0 })
    await here.take({ kind: 'verdict', result: 'fail', mode: 'abort', gate: 'no_harm', detail: 'bad' }, [verdict])
    await here.finish()
    const stored = await here.stores.verdicts.list({ rollout: rollout.id, version: null, beforeSeq: null, limit: 5 })
    const told = (JSON.parse(here.posts[0]?.body ?? '{}') as { data: { verdicts: unknown } }).data.verdicts
    expect(stored).toHaveLength(1)
    expect(told).toEqual(JSON.parse(JSON.stringify(stored)))
  })

  it('that gates refused to start it is told once, with their words, also of a rollout that there is not', async () => {
    const here = await world()
    await here.webhook('ops', { events: ['rollout.start_refused'] })
    const { rollout } = here.ride
    const verdict = verdictOf(here, { id: 'r9/p1/accuracy', rollout: null, gate: 'accuracy', step: null })
    const { environment, model, from, to } = rollout
    const data = { rollout: { id: null, environment, model, from, to }, actor: 'operator:ada', reason: 'better', verdicts: [verdict] }
    for (let time = 0; time < 2; time++) await here.stores.verdicts.refuse('r9' as RolloutId, data, here.nowMs)
    await here.finish()
    expect(here.posts.map(({ body }) => JSON.parse(body) as unknown)).toEqual([
      { type: 'rollout.start_refused', timestamp: new Date(here.nowMs).toISOString(), data },
    ])
    expect(here.posts.map(idOf)).toEqual([`r9/${here.nowMs}/refused`])
  })

  it('goes to Slack as Slack takes it, unsigned', async () => {
    const here = await world()
    await here.webhook('slack', { format: 'slack', events: ['rollout.pending_approval'], secret: 'unreadable' })
    await here.take(say('submit', 'ada'))
    await here.finish()
    const [posted] = here.posts
    expect(Object.keys(posted?.headers ?? {}).toSorted()).toEqual(['content-type', 'user-agent'])
    expect(JSON.parse(posted?.body ?? '')).toMatchObject({ text: 'atlas in production: pending approval', blocks: expect.any(Array) })
  })
})

describe('a delivery', () => {
  const oneEvent = async (more: Parameters<NotifyWorld['webhook']>[1] = {}) => {
    const here = await world()
    await here.webhook('ops', { events: ['rollout.pending_approval'], ...more })
    await here.take(say('submit', 'ada'))
    return here
  }

  it('that fails is posted again by the schedule, with the same id and a new time, until it is taken', async () => {
    const here = await oneEvent()
    const answers = [refused, silent, taken]
    here.receive = () => answers.shift() ?? taken
    const startMs = here.nowMs
    await here.finish()
    expect(here.posts.map(idOf)).toEqual(Array(3).fill('r1/2/notify'))
    expect(new Set(here.posts.map(({ body }) => body)).size).toBe(1)
    const times = here.posts.map(({ headers }) => Number(headers['webhook-timestamp']) * 1_000 - startMs)
    expect(times[1]).toBeGreaterThanOrEqual(5_000)
    expect(times[2]).toBeGreaterThanOrEqual(305_000)
    expect(await listed(here, 'ops')).toMatchObject([{ attempts: 3, ok: true }])
  })

  it('is not posted before its time', async () => {
    const here = await oneEvent()
    here.receive = () => refused
    await here.round()
    here.nowMs += 4_999
    await here.round()
    expect(here.posts).toHaveLength(1)
    here.nowMs += 1_000
    await here.round()
    expect(here.posts).toHaveLength(2)
  })

  it('that is never taken ends as failed after ten attempts', async () => {
    const here = await oneEvent()
    here.receive = () => refused
    await here.finish()
    expect(here.posts).toHaveLength(10)
    expect(await listed(here, 'ops')).toMatchObject([
      { attempts: 10, ok: false, nextAtMs: null, lastStatus: 500, lastError: 'answered 500' },
    ])
  })

  it('to a webhook that was disabled meanwhile ends untried', async () => {
    const here = await oneEvent()
    here.receive = () => refused
    await here.round()
    const row = await here.stores.rows.get('webhook', ['ops'])
    if (!row) throw new Error('no webhook')
    await here.stores.rows.update('webhook', row, { disabled: true }, here.stamp())
    await here.finish()
    expect(here.posts).toHaveLength(1)
    expect(await listed(here, 'ops')).toMatchObject([{ attempts: 1, ok: false, lastError: 'the webhook is disabled or deleted' }])
  })

  it('is not made unsigned where the secret cannot be read, and is made once it can', async () => {
    const here = await oneEvent()
    const ports = { ...here.ports(), openSecret: async () => null }
    await notify(ports, here.nowMs)
    expect(here.posts).toEqual([])
    expect(await listed(here, 'ops')).toMatchObject([{ attempts: 1, ok: null, lastError: 'the secret of the webhook cannot be read' }])
    await here.finish()
    expect(here.posts).toHaveLength(1)
  })

  it('to one that is silent holds up nobody else: others are posted in the same round, and it is asked once', async () => {
    const here = await world()
    await here.webhook('dead')
    await here.webhook('live')
    for (const input of [say('submit', 'ada'), say('approve')]) await here.take(input)
    here.receive = ({ url }) => (url.includes('dead') ? silent : taken)
    await here.round()
    const counts = ['dead', 'live'].map((id) => here.posts.filter(({ url }) => url.includes(id)).length)
    expect(counts).toEqual([1, 3])
  })

  it('is one of few at a time, and of a bounded round', async () => {
    const here = await world()
    for (let each = 0; each < 9; each++) await here.webhook(`w${each}`)
    for (const input of [say('submit', 'ada'), say('approve'), say('start'), { kind: 'warmed' } as const]) await here.take(input)
    let [atOnce, most] = [0, 0]
    const full = Promise.withResolvers<null>()
    // The first posts stay until as many as may be are there, however long each takes to be signed; then a while, for one too many.
    here.receive = async () => {
      most = Math.max(most, ++atOnce)
      if (most >= limits.deliveriesAtOnceMax) full.resolve(null)
      await full.promise
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      atOnce -= 1
      return taken
    }
    await here.round()
    expect(most).toBe(limits.deliveriesAtOnceMax)
    expect(here.posts).toHaveLength(limits.deliveriesAtOnceMax * limits.deliveriesInRowMax)
    await here.finish()
    expect(here.posts).toHaveLength(9 * 6)
  })

  it('is lost by no database that gives no answer: the round ends with a reason, and the next one does the work', async () => {
    const here = await oneEvent()
    const ports = here.ports()
    const timer = { sleep: () => Promise.resolve() }
    const undone = () => new Promise<never>(() => undefined)
    await expect(notify({ ...ports, timer, outbox: { undone } }, here.nowMs)).rejects.toThrow('the database gave no answer')
    await here.finish()
    expect(here.posts).toHaveLength(1)
  })
})

describe('for all crashes', () => {
  const crash: fc.Arbitrary<Crash> = fc.record({ call: fc.integer({ min: 1, max: 40 }), when: fc.constantFrom('before', 'after') })
  const wanted = { all: 6, some: 1, slack: 1 }

  it('every event reaches every webhook, its delivery is begun once, and a repetition has the same id and text', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(crash, { maxLength: 8 }),
        fc.array(fc.constantFrom(refused, silent), { maxLength: 12 }),
        async (crashes, failures) => {
          const here = await world()
          await here.webhook('all')
          await here.webhook('some', { events: ['rollout.paused'] })
          await here.webhook('slack', { events: ['rollout.paused'], format: 'slack' })
          const got: string[] = []
          const left = [...failures]
          here.receive = ({ url, headers, body }) => {
            const answer = left.shift() ?? taken
            if (answer === taken) got.push(`${url} ${headers['webhook-id'] ?? ''} ${body}`)
            return answer
          }
          let ends = 0
          for (const input of [say('submit', 'ada'), say('approve'), say('start'), { kind: 'warmed' } as const]) {
            await here.take(input)
            const next = crashes[ends++]
            if (next) await here.round(next).catch(() => undefined)
            here.nowMs += 3_000
          }
          for (const next of crashes.slice(ends)) await here.round(next).catch(() => undefined)
          await here.finish()

          for (const [id, count] of Object.entries(wanted)) {
            const rows = await listed(here, id)
            expect(rows).toHaveLength(count)
            expect(rows.every(({ ok, endedAtMs }) => ok === true && endedAtMs !== null)).toBe(true)
            // Each once, or more often, but word for word.
            expect(new Set(got.filter((each) => each.startsWith(`https://${id}.test/`))).size).toBe(count)
          }
          expect(new Set(here.begun).size).toBe(here.begun.length)
          expect(here.begun).toHaveLength(8)
          // Without a crash nothing is told twice.
          if (crashes.length === 0) expect(got).toHaveLength(8)
          expect(got.length).toBeLessThanOrEqual(8 + crashes.length * limits.deliveriesAtOnceMax)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('at each single call before and after it: the same', async () => {
    const calls = Array.from({ length: 60 }, (_, index) => index + 1)
    for (const when of ['before', 'after'] as const) {
      for (const call of calls) {
        const here = await world()
        await here.webhook('all')
        for (const input of [say('submit', 'ada'), say('approve')]) await here.take(input)
        await here.round({ call, when }).catch(() => undefined)
        await here.finish()
        expect(new Set(here.posts.map((posted) => `${idOf(posted)} ${posted.body}`)).size).toBe(3)
        expect(here.begun).toHaveLength(3)
      }
    }
  })
})

describe('over HTTP', () => {
  let server: LocalServer | null = null
  afterEach(async () => server?.close())

  it('a receiver that fails at first gets the event again, and finds each signature good', async () => {
    let asked = 0
    server = await serve((_, response) => void response.writeHead(++asked === 1 ? 503 : 204, { 'retry-after': '60' }).end())
    const here = await world()
    await here.webhook('ops', { url: `${server.url}/in?x=1`, events: ['rollout.pending_approval'] })
    await here.take(say('submit', 'ada'))
    const ports = () => ({ ...here.ports(), poster: poster(true) })
    await notify(ports(), here.nowMs)
    here.nowMs += 59_000
    await notify(ports(), here.nowMs)
    expect(server.seen).toHaveLength(1)
    here.nowMs += 1_000
    await notify(ports(), here.nowMs)
    expect(await listed(here, 'ops')).toMatchObject([{ attempts: 2, ok: true, lastStatus: 204 }])
    expect(server.seen).toHaveLength(2)
    for (const { method, path, headers, body } of server.seen) {
      expect([method, path, headers['content-type']]).toEqual(['POST', '/in?x=1', 'application/json'])
      // Computed apart.
      const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
      const signed = `${headers['webhook-id'] ?? ''}.${headers['webhook-timestamp'] ?? ''}.${body}`
      expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`)
      expect(JSON.parse(body)).toMatchObject({ type: 'rollout.pending_approval', data: { rollout: { id: 'r1' } } })
    }
    expect(new Set(server.seen.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect(new Set(server.seen.map(({ headers }) => headers['webhook-timestamp'])).size).toBe(2)
  })
})
