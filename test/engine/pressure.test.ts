// One slot, a queue of one, and clients that leave. Faults hold requests in place, so nothing here depends on speed.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { asks, longQuestion, metricsOf, model, startEngine, type EngineProcess } from './engine-process.ts'

let engine: EngineProcess
beforeAll(async () => {
  engine = await startEngine(['--slots', '1', '--queue-max', '1', '--unload-wait-ms', '50'])
  await engine.ready
})
afterAll(() => engine.stop())
afterEach(async () => {
  await engine.clearFaults()
  await untilIdle()
})

const chat = (signal: AbortSignal, more: object = {}) =>
  fetch(`${engine.url}/v1/chat/completions`, {
    method: 'POST',
    signal,
    body: JSON.stringify({ messages: asks(longQuestion), stream: true, ...more }),
  })
const untilIdle = () => expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ inFlight: 0, processing: 0, deferred: 0 })

it('queues one, refuses the next, and gives the slot on when the first leaves', async () => {
  await engine.setFaults({ stallAfterTokens: 2 })
  const leaving = new AbortController()
  const first = await chat(leaving.signal)
  expect(first.status).toBe(200)
  await engine.clearFaults()

  const waiting = chat(new AbortController().signal, { stream: false })
  await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ processing: 1, deferred: 1, inFlight: 2 })
  expect(await metricsOf(engine)).toMatchObject({ requests_processing: 1, requests_deferred: 1 })
  expect((await fetch(`${engine.url}/slots?fail_on_no_slot=1`)).status).toBe(503)

  const refused = await chat(new AbortController().signal)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await refused.json()).toMatchObject({ error: { code: 'queue_full', type: 'overloaded_error' } })

  leaving.abort()
  expect((await waiting).status).toBe(200)
  await untilIdle()
})

it('takes all choices of a request or none', async () => {
  const response = await chat(new AbortController().signal, { n: 3 })
  expect(response.status).toBe(503)
  expect(await engine.state()).toMatchObject({ processing: 0, deferred: 0 })
})

it('frees the slot of a client that leaves in the middle of an answer', async () => {
  const before = await engine.state()
  const stream = await engine.openai.chat.completions.create({ model, messages: asks(longQuestion), stream: true, temperature: 2, seed: 1 })
  for await (const _ of stream) break
  await untilIdle()
  const after = await engine.state()
  // Fast machines may have said everything before the client was gone; the slot is free in any case.
  expect(after.served + after.aborted).toBe(before.served + before.aborted + 1)
  const answer = await engine.openai.chat.completions.create({ model, messages: asks('What is the capital of Kenya?') })
  expect(answer.choices[0]?.message.content).toBe('The capital of Kenya is Nairobi.')
})

it('forgets a client that leaves while it waits', async () => {
  await engine.setFaults({ hangBeforeFirstToken: true })
  const [first, second] = [new AbortController(), new AbortController()]
  const requests = [chat(first.signal), chat(second.signal)].map((request) => request.catch(() => null))
  await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ processing: 1, deferred: 1 })
  const { aborted } = await engine.state()
  second.abort()
  first.abort()
  await Promise.all(requests)
  await untilIdle()
  expect((await engine.state()).aborted).toBe(aborted + 2)
})

it('ends a stream with an error event when its model is unloaded', async () => {
  await engine.setFaults({ stallAfterTokens: 2 })
  const stream = await chat(new AbortController().signal)
  expect((await fetch(`${engine.url}/v2/repository/models/${model}/unload`, { method: 'POST' })).status).toBe(200)
  const events = (await stream.text()).trim().split('\n\n')
  expect(JSON.parse(events.at(-1)?.slice('data: '.length) ?? '')).toMatchObject({ error: { code: 'model_unloaded' } })
  await engine.clearFaults()
  expect((await fetch(`${engine.url}/v2/repository/models/${model}/load`, { method: 'POST' })).status).toBe(200)
})
