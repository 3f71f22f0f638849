// More than anybody should hold: what the caller does not read stays at the engine, and when he leaves, or the bound is reached, the engine stops.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { nothing, openGateway, settling, type Gateway } from '../support/gateway.ts'
import { until } from '../support/platform.ts'
import type { Flood } from '../support/scripted-faults.ts'

const megabyte = 1024 * 1024
/** What may lie between engine and caller: the bound of a held answer, and the buffers of four sockets. */
const bytesBetweenMax = 48 * megabyte

let gateway: Gateway
beforeAll(async () => {
  gateway = await openGateway('floods')
  await gateway.serve(['fault/endless-json', 'fault/endless-stream', 'fault/endless-event', 'fault/endless-error'])
})
afterAll(() => gateway.close())

const tallyOf = (flood: Flood | 'endless-error') => gateway.upstream.tally(`fault/${flood}`)
const isAbandoned = (flood: Flood | 'endless-error', before: number) =>
  until(() => Promise.resolve(tallyOf(flood).abandoned > before && tallyOf(flood).underway === 0))

/** Bytes a script has got rid of once it gets rid of no more. */
async function settledBytes(flood: Flood): Promise<number> {
  let last = -1
  return until(() => {
    const now = tallyOf(flood).sentBytes
    const isSettled = now > 0 && now === last
    last = now
    return Promise.resolve(isSettled ? now : null)
  }, 400)
}

it.each<[Flood, boolean]>([
  ['endless-json', false],
  ['endless-stream', true],
])('%s: a caller who does not read stops the engine, and one who leaves ends it', async (flood, stream) => {
  const before = tallyOf(flood).abandoned
  const leaving = new AbortController()
  const response = await gateway.ask('chat', `fault/${flood}`, stream, { signal: leaving.signal })
  if (response.ok) {
    expect(await settledBytes(flood)).toBeLessThan(bytesBetweenMax)
    leaving.abort()
  } else {
    expect(response.status).toBe(502)
    await response.body?.cancel()
  }
  await isAbandoned(flood, before)
  expect(tallyOf(flood).sentBytes).toBeLessThan(bytesBetweenMax)
})

it('endless-stream: what was not read is not lost, and the engine goes on when the caller reads on', async () => {
  const before = tallyOf('endless-stream').abandoned
  const response = await gateway.ask('chat', 'fault/endless-stream', true)
  const reader = response.body?.getReader()
  if (!reader) throw new Error('no body')
  const held = await settledBytes('endless-stream')
  let read = 0
  while (read < held + 4 * megabyte) {
    const { value, done } = await reader.read()
    if (done) throw new Error(`ended after ${read} bytes`)
    read += value.length
  }
  await reader.cancel()
  await isAbandoned('endless-stream', before)
  expect(tallyOf('endless-stream').finished).toBe(0)
})

it('endless-event: an event without an end is an error after a megabyte, and the engine is left', async () => {
  const before = tallyOf('endless-event').abandoned
  const heard = await gateway.askAndHear('chat', 'fault/endless-event', true)
  expect(heard.frames.at(-1)?.json).toMatchObject({ error: { code: 'upstream_failed' } })
  await isAbandoned('endless-event', before)
  expect(tallyOf('endless-event').sentBytes).toBeLessThan(bytesBetweenMax)
})

it('endless-error: an error body without an end is cut short', async () => {
  const before = tallyOf('endless-error').abandoned
  const heard = await gateway.askAndHear('chat', 'fault/endless-error', false)
  expect(heard.status).toBe(502)
  expect(heard.raw.length).toBeLessThan(8_192)
  await isAbandoned('endless-error', before)
})

it('afterwards nothing is in flight', () => expect.poll(gateway.inFlight, settling).toEqual(nothing))
