// Silence, in every place where it can fall. These tests wait for the platform's own patience, side by side; none of them measures it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { errorAtEnd, hear, isTerminated, saidIn } from '../support/scripted-client.ts'
import type { Silence } from '../support/scripted-faults.ts'
import { speeches, textOf } from '../support/scripted-upstream.ts'

const good = 'vllm/text'
const begun = speeches.text.text.slice(0, 2).join('')
/** Longer than the silence after which a sign of life is due (15 s). */
const pauseMs = 17_000

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('waiting')
  gateway.upstream.pauseMs = pauseMs
  const impatient = { firstTokenMsMax: 700 }
  await gateway.serve({
    silent: { endpoints: ['fault/silent', good], fields: impatient },
    'stall-first': { endpoints: ['fault/stall-first', good], fields: impatient },
    'stall-after-opening': { endpoints: ['fault/stall-after-opening', good], fields: impatient },
    'alone/silent': { endpoints: ['fault/silent'], fields: impatient },
    'alone/stall-first': { endpoints: ['fault/stall-first'], fields: impatient },
    'alone/stall-after-opening': { endpoints: ['fault/stall-after-opening'], fields: impatient },
    'patient/stall-first': { endpoints: ['fault/stall-first'] },
    'patient/stall-later': { endpoints: ['fault/stall-later'] },
    held: { endpoints: ['fault/slow-first'], fields: { holdMsMax: 500, firstTokenMsMax: 60_000 } },
    'held-in-vain': { endpoints: ['fault/stall-after-opening', good], fields: { holdMsMax: 300, firstTokenMsMax: 1_500 } },
    paced: { endpoints: [good] },
  })
})
afterAll(() => gateway.close())

describe('no first token in time', () => {
  const silences: readonly (Silence & ('silent' | 'stall-first' | 'stall-after-opening'))[] = [
    'silent',
    'stall-first',
    'stall-after-opening',
  ]

  it.concurrent.each(silences)('%s: another endpoint answers', async (silence) => {
    const heard = await gateway.askAndHear('chat', silence, true)
    expect(heard.status).toBe(200)
    expect(heard.headers.get('isochrone-endpoint')).toBe(gateway.endpointOf(silence, 2))
    expect(saidIn('chat', heard)).toBe(textOf('text'))
  })

  it.concurrent.each(silences)('%s, and nobody else: 504', async (silence) => {
    const heard = await gateway.askAndHear('chat', `alone/${silence}`, true)
    expect({ status: heard.status, body: heard.json }).toMatchObject({ status: 504, body: { error: { code: 'upstream_timeout' } } })
  })
})

describe('the caller’s own deadline', () => {
  const inASecond = { headers: { 'isochrone-timeout-ms': '1000' } }

  it.concurrent('before the first token: 504, once and for all', async () => {
    const heard = await gateway.askAndHear('chat', 'patient/stall-first', true, inASecond)
    expect({ status: heard.status, body: heard.json }).toMatchObject({ status: 504, body: { error: { code: 'deadline_exceeded' } } })
    expect(heard.headers.get('x-should-retry')).toBe('false')
  })

  // An answer in one piece begins when it is complete: no patience is too long for it but the caller's.
  it.concurrent.each(['alone/silent', 'alone/stall-first'])('%s, answer in one piece: 504', async (model) => {
    const heard = await gateway.askAndHear('chat', model, false, inASecond)
    expect({ status: heard.status, body: heard.json }).toMatchObject({ status: 504, body: { error: { code: 'deadline_exceeded' } } })
  })

  it.concurrent('after it: what was said, and an error frame', async () => {
    const heard = await gateway.askAndHear('chat', 'patient/stall-later', true, inASecond)
    expect(saidIn('chat', heard)).toBe(begun)
    expect(errorAtEnd('chat', heard)?.code).toBe('deadline_exceeded')
    expect(isTerminated('chat', heard)).toBe(false)
  })
})

describe('a first token that takes long', () => {
  it.concurrent('the hold ends: the stream is committed without a token, kept alive by a comment, and whole in the end', async () => {
    const response = await gateway.ask('chat', 'held', true)
    // The engine is still thinking: it ends no answer before it has paused.
    expect(gateway.upstream.tally('fault/slow-first')).toMatchObject({ asked: 1, finished: 0 })
    expect(response.status).toBe(200)
    const heard = await hear(response)
    expect(heard.comments, 'comments while nothing was said').toBeGreaterThanOrEqual(1)
    expect(heard.raw, 'named pings break the openai client').not.toContain('event:')
    expect(saidIn('chat', heard)).toBe(textOf('text'))
    expect(isTerminated('chat', heard)).toBe(true)
  })

  it.concurrent('committed by the hold, then no token at all: an error frame, and nobody else is asked', async () => {
    const heard = await gateway.askAndHear('chat', 'held-in-vain', true)
    expect({ status: heard.status, endpoint: heard.headers.get('isochrone-endpoint') }).toEqual({
      status: 200,
      endpoint: gateway.endpointOf('held-in-vain', 1),
    })
    expect(errorAtEnd('chat', heard)?.code).toBe('upstream_timeout')
    expect(isTerminated('chat', heard)).toBe(false)
  })
})

it.concurrent('a stream that stalls far beyond its model’s pace is given up with an error frame', async () => {
  // Its pace is learned from streams that went well; a model never seen gets two minutes.
  for (let n = 0; n < 3; n++) expect(isTerminated('chat', await gateway.askAndHear('chat', 'paced', true))).toBe(true)
  await gateway.replay('paced', 1, 'fault/stall-later')
  const heard = await gateway.askAndHear('chat', 'paced', true)
  expect(saidIn('chat', heard)).toBe(begun)
  expect(errorAtEnd('chat', heard)?.code).toBe('upstream_stalled')
  expect(isTerminated('chat', heard)).toBe(false)
})

describe('afterwards', () => {
  it('nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
})
