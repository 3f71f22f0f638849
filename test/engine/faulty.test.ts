// Every fault, seen from a client, and the control port that makes them.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { asks, longQuestion, startEngine, type EngineProcess } from './engine-process.ts'

let engine: EngineProcess
beforeAll(async () => {
  engine = await startEngine(['--error-share', '1', '--error-status', '429'])
  await engine.ready
})
afterAll(() => engine.stop())
afterEach(() => engine.clearFaults())

const chat = (more: object = {}, signal?: AbortSignal) =>
  fetch(`${engine.url}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ messages: asks(longQuestion), ...more }),
    ...(signal === undefined ? {} : { signal }),
  })
const get = (path: string) => fetch(engine.url + path)
const faults = (method: string, body?: string) => fetch(`${engine.controlUrl}/faults`, { method, ...(body === undefined ? {} : { body }) })

it('starts with the faults of its flags', async () => {
  const response = await chat()
  expect([response.status, await response.json()]).toEqual([429, { error: expect.objectContaining({ code: 'injected_fault' }) }])
  expect((await get('/health')).status).toBe(200)
})

/** The statuses of twelve requests, half of them failing. */
async function halfFailing(): Promise<readonly number[]> {
  await engine.setFaults({ errorShare: 0.5 })
  const statuses: number[] = []
  for (let count = 0; count < 12; count++) statuses.push((await chat({ max_tokens: 1 })).status)
  return statuses
}

it('gives a share of errors, the same ones after the same setting', async () => {
  const first = await halfFailing()
  expect(new Set(first)).toEqual(new Set([200, 500]))
  expect(await halfFailing()).toEqual(first)
})

it('adds latency to every answer, once', async () => {
  await engine.setFaults({ latencyMs: 120, healthLatencyMs: 80 })
  const startMs = performance.now()
  await get('/v1/models')
  const modelsMs = performance.now() - startMs
  await get('/health')
  // Lower bounds only: a timer may fire up to a millisecond early.
  expect(modelsMs).toBeGreaterThanOrEqual(119)
  expect(performance.now() - startMs - modelsMs).toBeGreaterThanOrEqual(199)
})

it('hangs without headers until the client leaves', async () => {
  await engine.setFaults({ hangBeforeFirstToken: 1 })
  const leaving = new AbortController()
  const request = chat({ stream: true }, leaving.signal).catch((error: unknown) => error)
  await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ inFlight: 1, processing: 1 })
  leaving.abort()
  expect(await request).toMatchObject({ name: 'AbortError' })
  await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ inFlight: 0, processing: 0 })
})

it('stalls in the middle of a stream with its connection open', async () => {
  await engine.setFaults({ stallAfterTokens: 3 })
  const leaving = new AbortController()
  const { body } = await chat({ stream: true }, leaving.signal)
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  // The role, then three tokens.
  while (text.split('\n\n').length < 5) text += (await reader?.read())?.value ?? ''
  expect(text.match(/"content":"[^"]+"/g)?.length).toBe(3)
  await expect(engine.state()).resolves.toMatchObject({ inFlight: 1, processing: 1 })
  leaving.abort()
  await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ inFlight: 0, processing: 0 })
})

it('cuts the connection in the middle of a stream, and of a whole answer', async () => {
  await engine.setFaults({ cutAfterTokens: 3 })
  const response = await chat({ stream: true })
  expect(response.status).toBe(200)
  await expect(response.text()).rejects.toThrow('terminated')
  await expect(chat()).rejects.toThrow('fetch failed')
  await expect.poll(engine.state, { timeout: 10_000 }).toMatchObject({ inFlight: 0, processing: 0 })
})

it('lets its health be told', async () => {
  await engine.setFaults({ healthStatus: 500 })
  expect([(await get('/health')).status, (await get('/v1/health')).status, (await get('/v1/models')).status]).toEqual([500, 500, 200])
})

it('says with an error when to come back, if told to', async () => {
  await engine.setFaults({ errorShare: 1, errorStatus: 429, retryAfterS: 2 })
  const response = await chat()
  expect([response.status, response.headers.get('retry-after')]).toEqual([429, '2'])
})

it('never fails more requests in a row than asked for', async () => {
  await engine.setFaults({ errorShare: 1, errorsInARowMax: 2 })
  const statuses: number[] = []
  for (let count = 0; count < 6; count++) statuses.push((await chat({ max_tokens: 1 })).status)
  expect(statuses).toEqual([500, 500, 200, 500, 500, 200])
})

it('hides its metrics and nothing else', async () => {
  await engine.setFaults({ metricsStatus: 404 })
  expect([(await get('/metrics')).status, (await get('/health')).status, (await chat({ max_tokens: 1 })).status]).toEqual([404, 200, 200])
})

it('closes its port, cutting who is connected, and opens the same one again', async () => {
  await engine.setFaults({ stallAfterTokens: 2 })
  const cut = (await chat({ stream: true })).text().catch((error: unknown) => error)
  await engine.setFaults({ closed: true })
  expect(await cut).toBeInstanceOf(TypeError)
  await expect(get('/health')).rejects.toThrow('fetch failed')
  await engine.setFaults({ closed: true })
  await engine.clearFaults()
  expect((await get('/health')).status).toBe(200)
})

describe('the control port', () => {
  it('shows, replaces and clears faults', async () => {
    const put = await (await faults('PUT', '{"latencyMs":1}')).json()
    expect(await (await faults('GET')).json()).toEqual(put)
    expect(await (await faults('PUT', '{"errorShare":0.1}')).json()).toMatchObject({ latencyMs: 0, errorShare: 0.1 })
    expect(await (await faults('DELETE')).json()).toMatchObject({ errorShare: 0 })
  })

  it.each([
    ['{', 'not valid JSON'],
    ['{"latencyMs":"1"}', "Invalid 'latencyMs'"],
    ['{"slow":1}', "Unknown field 'slow'"],
  ])('refuses %s', async (body, message) => {
    const response = await faults('PUT', body)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining(message) } })
  })

  it('knows its paths and methods', async () => {
    expect((await faults('POST')).status).toBe(405)
    expect((await fetch(`${engine.controlUrl}/v1/models`)).status).toBe(404)
    expect(await engine.state()).toMatchObject({ isReady: true, inFlight: 0, deferred: 0 })
  })
})
