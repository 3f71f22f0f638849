// The whole way of a request over fakes that keep their ports' contracts.

import { describe, expect, it } from 'vitest'
import type { Walked } from '../../../edge/facts.ts'
import { err } from '../../../shared/result.ts'
import type { CellId, VersionId } from '../../../shared/ids.ts'
import { alias, cellLoad, endpoint, loadsOf, region, snapshotOf, version } from '../../support/snapshot.ts'
import { credential } from '../../support/credential.ts'
import { answer, delta, go, json, question, sse, unreachable, world } from '../../support/edge-world.ts'
import { readAll, streamOf } from '../../support/stream.ts'

const two = snapshotOf([endpoint('near', 'near-region'), endpoint('far', 'far-region')])
const found = { found: await credential() }

const bodyOf = async (walked: Walked) => {
  if (!walked.answer.ok) throw new Error(`refused: ${walked.answer.error.reason}`)
  return (await readAll(walked.answer.value.body)).text
}
const reasonOf = (walked: Walked) => (walked.answer.ok ? 'served' : walked.answer.error.reason)

describe('a request that goes well', () => {
  it('is answered by the nearest cell, with its bytes untouched, and its lease comes back with the outcome', async () => {
    const at = await world(two, { credential: found })
    const body = '{"messages":[{"role":"user","content":"hi"}],  "seed": 12345678901234567890, "model":"atlas","new_field":{}}'
    const walked = await go(at, body)
    expect(await bodyOf(walked)).toBe(JSON.stringify(answer()))
    expect(walked.trail).toMatchObject({ version, region: 'near-region', endpoint: 'near' })
    expect(at.sent[0]?.endpoint.url).toBe('http://near.test')
    expect(at.sent[0]?.path).toBe('/v1/chat/completions')
    expect(new TextDecoder().decode(at.sent[0]?.body)).toBe(body)
    await at.settle()
    expect(at.ledger.settled).toEqual([expect.objectContaining({ outcome: 'good' })])
    expect(at.ledger.live()).toBe(0)
    expect(at.log).toEqual([expect.objectContaining({ event: 'request', status: 200, refused: null, ended: 'complete', way: 'leased' })])
  })

  it('never sends the caller’s key upstream', async () => {
    const at = await world(two, { credential: found })
    await go(at)
    expect(JSON.stringify(at.sent[0]?.headers)).not.toContain('iso_')
  })

  it('names the model as the engine does, and changes nothing else', async () => {
    const at = await world(snapshotOf([endpoint('a', 'x', { servedName: 'atlas-2.q8_0' })]), { credential: found })
    await go(at, '{ "model": "atlas", "messages": [{"role":"user","content":"model: atlas"}] }')
    expect(new TextDecoder().decode(at.sent[0]?.body)).toBe(
      '{ "model": "atlas-2.q8_0", "messages": [{"role":"user","content":"model: atlas"}] }',
    )
  })

  it('holds its lease until the last byte of a stream', async () => {
    const at = await world(two, { credential: found, upstream: () => Promise.resolve(sse(delta('a'), '[DONE]')) })
    const walked = await go(at, { ...question, stream: true })
    expect(at.ledger.live()).toBe(1)
    expect(await bodyOf(walked)).toBe(`data: ${delta('a')}\n\ndata: [DONE]\n\n`)
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })
})

describe('a bug', () => {
  it('while an answer is passed on gives the lease back, and leaves nobody waiting', async () => {
    // What no connection gives: the reader of events fails on it.
    const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(null as never) })
    const value = { status: 200, contentType: 'text/event-stream', retryAfter: null, body }
    const at = await world(two, { credential: found, upstream: () => Promise.resolve({ ok: true, value }) })
    await expect(go(at, { ...question, stream: true })).rejects.toThrow()
    await at.settle()
    expect(at.ledger.settled).toMatchObject([{ outcome: 'cancelled' }])
    expect(at.ledger.live()).toBe(0)
  })
})

describe('before the first byte', () => {
  it.each([
    ['cannot be reached', () => Promise.resolve(unreachable), 'hard_failure'],
    ['answers 500', () => Promise.resolve(json({ error: 'x' }, 500)), 'hard_failure'],
    ['is busy', () => Promise.resolve(json({ error: 'x' }, 429)), 'soft_failure'],
    [
      'breaks off in the middle of a JSON answer',
      () =>
        Promise.resolve({
          ok: true as const,
          value: { status: 200, contentType: 'application/json', retryAfter: null, body: streamOf(['{"a'], new Error('reset')) },
        }),
      'hard_failure',
    ],
    [
      'closes without a byte',
      () =>
        Promise.resolve({
          ok: true as const,
          value: { status: 200, contentType: 'text/event-stream', retryAfter: null, body: streamOf([]) },
        }),
      'hard_failure',
    ],
  ])('an endpoint that %s is followed by another one', async (_, first, outcome) => {
    const at = await world(two, {
      credential: found,
      upstream: (_request, call) => (call === 1 ? first() : Promise.resolve(json(answer('second')))),
    })
    const walked = await go(at)
    expect(await bodyOf(walked)).toBe(JSON.stringify(answer('second')))
    expect(at.sent.map(({ endpoint: each }) => each.id)).toEqual(['near', 'far'])
    expect(walked.trail.endpoint).toBe('far')
    await at.settle()
    expect(at.ledger.settled.map((each) => each.outcome)).toEqual([outcome, 'good'])
    expect(at.ledger.live()).toBe(0)
  })

  it('at most one other endpoint is tried', async () => {
    const three = snapshotOf(['a', 'b', 'c'].map((name) => endpoint(name, `region-${name}`)))
    const at = await world(three, { credential: found, upstream: () => Promise.resolve(unreachable) })
    expect(reasonOf(await go(at))).toBe('upstream_unreachable')
    expect(at.sent).toHaveLength(2)
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })

  it('what the caller did wrong is not tried again, and told in the engine’s words', async () => {
    const overflow = { error: { message: 'too long', type: 'exceed_context_size_error', code: 400 } }
    const at = await world(two, { credential: found, upstream: () => Promise.resolve(json(overflow, 400)) })
    const walked = await go(at)
    expect(walked.answer).toEqual(
      err({ reason: 'upstream_refused', status: 400, message: 'too long', code: 'context_length_exceeded', param: null }),
    )
    expect(at.sent).toHaveLength(1)
    await at.settle()
    expect(at.ledger.settled.map((each) => each.outcome)).toEqual(['good'])
  })

  it('a hung endpoint ends at the deadline, and its lease comes back', async () => {
    const at = await world(two, { credential: found, upstream: () => new Promise(() => undefined) })
    expect(reasonOf(await go(at, question, { timeoutMs: '60' }))).toBe('deadline_exceeded')
    await at.settle()
    expect(at.ledger.live()).toBe(0)
    expect(at.sent[0]?.signal.aborted).toBe(true)
  })

  it('a client that goes away stops the call', async () => {
    const gone = new AbortController()
    const at = await world(two, {
      credential: found,
      upstream: (request) =>
        new Promise((resolve) => {
          request.signal.addEventListener('abort', () => resolve(err({ detail: 'aborted' })))
          gone.abort()
        }),
    })
    expect(reasonOf(await go(at, question, { gone: gone.signal }))).toBe('client_gone')
    await at.settle()
    expect(at.ledger.settled.map((each) => each.outcome)).toEqual(['cancelled'])
  })
})

describe('room', () => {
  const small = snapshotOf([endpoint('near', 'near-region', { slots: 1 }), endpoint('far', 'far-region', { slots: 1 })])
  const streaming = { ...question, stream: true }
  const world2 = () => world(small, { credential: found, upstream: () => Promise.resolve(sse(delta('x'), '[DONE]')) })

  it('a full cell sends the request on to one that has room, and both leases come back', async () => {
    const at = await world2()
    at.ledger.book('atlas@near-region' as CellId)
    await at.ledger.exchange({
      snapshot: null,
      cell: null,
      loads: loadsOf([cellLoad('near-region', { slots: 1, free: 0 }), cellLoad('far-region', { slots: 1, free: 1 })]),
    })
    const streams = [await go(at, streaming), await go(at, streaming)]
    expect(streams.map((walked) => walked.trail.endpoint)).toEqual(['near', 'far'])
    expect(at.ledger.asked.at(-1)).toMatchObject({ cell: 'atlas@far-region', spilledFrom: 'atlas@near-region' })
    for (const walked of streams) await bodyOf(walked)
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })

  it('without another cell the request waits its turn', async () => {
    const at = await world2()
    const first = await go(at, streaming)
    const second = go(at, streaming)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(at.sent).toHaveLength(1)
    await bodyOf(first)
    expect((await second).trail.endpoint).toBe('near')
  })

  it('the caller is told when to come back where the wait would be too long', async () => {
    const at = await world2()
    at.ledger.ask = () => Promise.resolve({ generation: 1, snapshot: null, lease: null, denied: 'no_room', retryAfterMs: 2_300 })
    expect((await go(at)).answer).toEqual(err({ reason: 'no_capacity', model: 'atlas', retryAfterMs: 2_300 }))
  })
})

describe('without a ledger', () => {
  it.each([
    ['that fails', () => Promise.reject(new Error('object reset'))],
    ['that does not answer', () => new Promise<never>(() => undefined)],
  ])('%s, what was last told decides, and the request is charged for when it is back', async (_, ask) => {
    const at = await world(two, { credential: found })
    at.ledger.ask = ask
    const walked = await go(at)
    expect(reasonOf(walked)).toBe('served')
    expect(walked.serving?.routed.way).toBe('capacity')
    await at.settle()
    expect(at.ledger.charged).toEqual([expect.objectContaining({ leaseId: walked.serving?.routed.lease, endpoint: 'near', why: 'blind' })])
    // The question's own lease too: nobody knows whether it was granted.
    expect(new Map(at.ledger.settled.map(({ leaseId, outcome }) => [leaseId, outcome]))).toEqual(
      new Map<unknown, unknown>([
        [walked.serving?.routed.lease, 'good'],
        [`${walked.trail.requestId}.1.0`, 'cancelled'],
      ]),
    )
    expect(at.ledger.settled).toHaveLength(2)
    expect(at.ledger.live()).toBe(0)
  })

  it('a lease that is granted too late is given back', async () => {
    const at = await world(two, { credential: found })
    const real = at.ledger.ask.bind(at.ledger)
    at.ledger.ask = async (ask) => {
      const answer = await real(ask)
      await new Promise((resolve) => setTimeout(resolve, 100))
      return answer
    }
    const walked = await go(at)
    await at.settle()
    expect(at.ledger.live()).toBe(0)
    expect(at.ledger.settled.map(({ leaseId, outcome }) => `${leaseId} ${outcome}`).toSorted()).toEqual([
      `${walked.trail.requestId}.1.0 cancelled`,
      `${walked.trail.requestId}.1.0b good`,
    ])
  })
})

describe('an old snapshot', () => {
  it('does not refuse what a newer one allows', async () => {
    const at = await world(snapshotOf([endpoint('near', 'near-region')], { aliases: [] }), { credential: found })
    at.memory.confirmedAtMs = 0
    await at.publish({ ...two, generation: 2 })
    expect(reasonOf(await go(at))).toBe('served')
    expect(at.memory.snapshot?.generation).toBe(2)
  })

  it('is not checked again right after it was confirmed', async () => {
    const at = await world(snapshotOf([], { aliases: [] }), { credential: found })
    await at.publish({ ...two, generation: 2 })
    expect(reasonOf(await go(at))).toBe('unknown_model')
  })

  it('gives no revoked key one more answer: the ledger brings the news with the lease', async () => {
    const revoked = { found: await credential({ disabled: true }) }
    const at = await world(two, { credential: (under) => (under.generation < 2 ? found : revoked) })
    await at.publish({ ...two, generation: 2 })
    expect(reasonOf(await go(at))).toBe('disabled_key')
    expect(at.sent).toHaveLength(0)
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })

  it('keeps no request where its tenant’s residency has just been forbidden', async () => {
    const regions = [region('near-region', 'us'), region('far-region', 'eu')]
    const bound = { found: await credential({ residency: 'eu' }) }
    const at = await world({ ...two, regions }, { credential: (under) => (under.generation < 2 ? found : bound) })
    await at.publish({ ...two, regions, generation: 2 })
    expect((await go(at)).trail.region).toBe('far-region')
    expect(at.sent.map(({ endpoint: to }) => to.region)).toEqual(['far-region'])
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })

  it('moves a request to the version that the newer one names', async () => {
    const next = 'atlas-3' as VersionId
    const at = await world(two, { credential: found })
    await at.publish(
      snapshotOf([endpoint('near', 'near-region'), endpoint('new', 'near-region', { version: next })], {
        generation: 2,
        aliases: [alias({ stable: next })],
      }),
    )
    const walked = await go(at)
    expect(walked.trail).toMatchObject({ version: next, endpoint: 'new' })
    await at.settle()
    expect(at.ledger.live()).toBe(0)
  })
})

describe('refusals', () => {
  it.each([
    ['no key', { authorization: null }, question, 'missing_key'],
    ['a model that does not exist', {}, { ...question, model: 'none' }, 'unknown_model'],
    ['broken JSON', {}, '{"model":', 'invalid_json'],
    ['a wrong type', {}, { ...question, messages: 'hi' }, 'invalid_field'],
    ['a deadline in the past', { deadline: '2020-01-01T00:00:00Z' }, question, 'deadline_passed'],
    ['a session with spaces', { session: 'a b' }, question, 'invalid_header'],
  ])('%s', async (_, so, body, reason) => {
    const at = await world(two, { credential: found })
    expect(reasonOf(await go(at, body, so))).toBe(reason)
    expect(at.sent).toHaveLength(0)
    await at.settle()
    expect(at.log).toEqual([expect.objectContaining({ refused: reason, status: null })])
  })

  it.each([
    ['an unknown key', 'unknown' as const, two, 'unknown_key'],
    ['a key that cannot be checked', 'unreachable' as const, two, 'credentials_unreachable'],
    ['every endpoint down', found, snapshotOf([endpoint('a', 'x', { state: 'unhealthy' })]), 'no_healthy_endpoint'],
    ['no endpoint at all', found, snapshotOf([]), 'no_endpoint'],
  ])('%s', async (_, lookup, snapshot, reason) => {
    const at = await world(snapshot, { credential: lookup })
    expect(reasonOf(await go(at))).toBe(reason)
  })

  it('nothing is known yet', async () => {
    const at = await world(two, { credential: found })
    at.memory.snapshot = null
    at.ledger.snapshotSince = () => Promise.reject(new Error('gone'))
    expect(reasonOf(await go(at))).toBe('no_snapshot')
  })
})
