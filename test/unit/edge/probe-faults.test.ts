// Servers that answer nonsense, too much, or nothing, probed over real connections: each is told apart by its state and reason, in bounded
// time and memory, and none holds up another. What runs out of time does so when the test says, so no clock decides anything here.

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endpointProber } from '../../../edge/adapters/endpoint-prober.ts'
import { emptyOpenedMemory, upstreams } from '../../../edge/adapters/upstreams.ts'
import { Probes } from '../../../edge/ledger/probes.ts'
import { limits } from '../../../shared/limits.ts'
import { err } from '../../../shared/result.ts'
import type { ProbeKind, ProbeResult } from '../../../shared/wire/probe.ts'
import { serve, type LocalServer } from '../../support/http-server.ts'
import { endpoint } from '../../support/snapshot.ts'

type Fault = (response: ServerResponse) => void | Promise<void>

const sentBytes = new Map<string, number>()

/** The same bytes until the reader goes away, never more than he takes. */
async function forever(name: string, response: ServerResponse, status: number, piece: string): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.writeHead(status, { 'content-type': 'text/plain' })
  while (!response.destroyed) {
    sentBytes.set(name, (sentBytes.get(name) ?? 0) + piece.length)
    if (!response.write(piece)) await once(response, 'drain', { signal: gone.signal }).catch(() => undefined)
  }
}

const page =
  (text: string): Fault =>
  (response) =>
    void response.writeHead(200, { 'content-type': 'text/plain' }).end(text)

/** What a server does with whatever it is asked, by the first part of the path. */
const faults = {
  well: page('vllm:num_requests_running 1\n'),
  html: (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><h1>It works!</h1>'),
  redirect: (response) => void response.writeHead(302, { location: '/well/health' }).end(),
  loop: (response) => void response.writeHead(301, { location: '/loop/health' }).end(),
  'no-answer': () => undefined,
  'no-body': (response) => response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders(),
  'no-loading-body': (response) => response.writeHead(503, { 'content-type': 'application/json' }).flushHeaders(),
  'closes-at-once': (response) => void response.socket?.destroy(),
  'cut-off': (response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': '1000' })
    response.write('vllm:num_requests_running 1\n', () => response.destroy())
  },
  endless: (response) => forever('endless', response, 200, 'vllm:num_requests_running 1\n'.repeat(1_000)),
  'endless-line': (response) => forever('endless-line', response, 200, 'x'.repeat(65_536)),
  'endless-error': (response) => forever('endless-error', response, 503, 'x'.repeat(65_536)),
  empty: page(''),
  nan: page('vllm:num_requests_running NaN\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc +Inf\n'),
  negative: page('vllm:num_requests_running -3\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc -0.5\n'),
  absurd: page('vllm:num_requests_running 1e300\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 900\n'),
  stranger: page('process_cpu_seconds_total 12\ngo_goroutines 9\n'),
  'too-many': page(Array.from({ length: limits.metricsSamplesMax + 1 }, (_, index) => `vllm:x{n="${index}"} 1\n`).join('')),
} as const satisfies Readonly<Record<string, Fault>>
type FaultName = keyof typeof faults

let server: LocalServer
beforeAll(async () => {
  server = await serve((asked, response) => faults[asked.path.split('/')[1] as FaultName](response))
})
afterAll(() => server.close())

const clock = { nowMs: () => 1_000 }

/** A ledger's probes over the network. Patience ends for all that are under way when `runOut` is called, and not before. */
function ledger(names: readonly FaultName[]) {
  let waiting: (() => void)[] = []
  const told: ProbeResult[] = []
  const probes = new Probes({
    // No order waits too long, however slow the machine is.
    clock,
    timer: {
      sleep: (_forMs, signal) =>
        new Promise((resolve) => {
          waiting.push(resolve)
          signal?.addEventListener('abort', () => resolve())
        }),
    },
    prober: endpointProber({
      upstream: upstreams({ memory: emptyOpenedMemory(), credentialKey: undefined, allowPrivate: true }),
      clock,
      describe: () => Promise.resolve(err({ detail: 'not asked' })),
    }),
  })
  const endpoints = names.map((name) => endpoint(name, 'fra', { url: `${server.url}/${name}`, operations: ['completions'] }))
  let round = 0
  return {
    order(kind: ProbeKind, of: readonly FaultName[] = names): void {
      round++
      const orders = endpoints
        .filter(({ id }) => of.includes(id as string as FaultName))
        .map(({ id }) => ({ id: `${id} ${kind} ${round}`, endpoint: id, kind, timeoutMs: 10_000 }))
      told.push(...probes.exchange(orders, endpoints))
    },
    /** Waits for so many results in all, in the order in which they came. */
    async results(count: number): Promise<readonly ProbeResult[]> {
      await expect.poll(() => told.push(...probes.exchange([], endpoints)), { timeout: 20_000, interval: 5 }).toBeGreaterThanOrEqual(count)
      return told
    },
    runOut(): void {
      for (const wake of waiting) wake()
      waiting = []
    },
  }
}

async function probeOnce(name: FaultName, kind: ProbeKind, runsOut: boolean): Promise<ProbeResult> {
  const asked = ledger([name])
  const before = server.seen.length
  asked.order(kind)
  if (runsOut) {
    await expect.poll(() => server.seen.length).toBeGreaterThan(before)
    asked.runOut()
  }
  const [result] = await asked.results(1)
  if (!result) throw new Error('no result')
  return result
}

const timedOut = 'no whole answer in 10000 ms'
const redirected = (status: number): string => `the server answers with a redirect (${status}), and redirects are not followed`
const brokeOff = /broke off|terminated|socket|fetch failed|closed/

describe('liveness', () => {
  it.each<readonly [FaultName, boolean, string | RegExp]>([
    // Any 2xx is life, whatever it says or fails to say.
    ['html', true, 'HTTP 200'],
    ['no-body', true, 'HTTP 200'],
    ['endless', true, 'HTTP 200'],
    ['redirect', false, redirected(302)],
    ['loop', false, redirected(301)],
    ['no-answer', false, timedOut],
    ['no-loading-body', false, timedOut],
    ['closes-at-once', false, brokeOff],
    ['endless-error', false, 'HTTP 503'],
  ])('%s: good %s, %s', async (name, good, detail) => {
    const result = await probeOnce(name, 'liveness', detail === timedOut)
    expect(result.ok).toBe(good)
    expect(result.detail).toMatch(detail)
    expect(result.timedOut ?? false).toBe(detail === timedOut)
  })
})

describe('metrics', () => {
  it.each<readonly [FaultName, string | RegExp]>([
    ['html', 'HTTP 200, but it is no page of metrics'],
    ['empty', 'HTTP 200, but it is no page of metrics'],
    ['stranger', 'HTTP 200, but the page has no name that a known engine uses'],
    ['too-many', 'HTTP 200, but the page has too many samples'],
    ['endless', 'HTTP 200, but the page is too large'],
    ['endless-line', 'HTTP 200, but the page is too large'],
    ['redirect', redirected(302)],
    ['no-answer', timedOut],
    ['no-body', timedOut],
    ['closes-at-once', brokeOff],
    ['cut-off', brokeOff],
  ])('%s: no record, and the reason %s', async (name, detail) => {
    const result = await probeOnce(name, 'metrics', detail === timedOut)
    expect(result.ok).toBe(false)
    expect(result.detail).toMatch(detail)
    expect(result.engine ?? null).toBeNull()
  })

  it.each<FaultName>(['nan', 'negative', 'absurd'])('%s values are not told, and the others are', async (name) => {
    const { ok, engine } = await probeOnce(name, 'metrics', false)
    expect(ok).toBe(true)
    expect(engine).toMatchObject({ running: null, waiting: 2, kvUsed: null })
  })
})

describe('a question for one token', () => {
  it.each<readonly [FaultName, string | RegExp]>([
    ['html', 'completions: the answer holds no token'],
    ['empty', 'completions: the answer holds no token'],
    ['endless', 'completions: the answer is too large for one token'],
    ['endless-error', /^completions: HTTP 503: x+/],
    ['redirect', redirected(302)],
    ['no-answer', timedOut],
    ['no-body', timedOut],
    ['closes-at-once', brokeOff],
    ['cut-off', brokeOff],
  ])('%s: failed, and the reason %s', async (name, detail) => {
    const result = await probeOnce(name, 'generation', detail === timedOut)
    expect(result.ok).toBe(false)
    expect(result.detail).toMatch(detail)
    expect(result.detail.length).toBeLessThanOrEqual(limits.probeDetailCharsMax)
  })
})

describe('bounds', () => {
  it.each<readonly [FaultName, ProbeKind, number]>([
    ['endless', 'liveness', 0],
    ['endless-line', 'metrics', limits.metricsBytesMax],
    ['endless', 'generation', limits.generationBytesMax],
    ['endless-error', 'generation', limits.errorBodyBytesMax],
  ])('of %s, asked for %s, no more is taken than what is read and what the connection holds', async (name, kind, readMax) => {
    const before = sentBytes.get(name) ?? 0
    await probeOnce(name, kind, false)
    await expect.poll(() => server.seen.at(-1)?.headers['left'], { timeout: 10_000 }).toBe('yes')
    // Buffers of both sides of a loopback connection: a few megabytes.
    expect((sentBytes.get(name) ?? 0) - before).toBeLessThan(readMax + 16 * 1024 * 1024)
  })

  it('a probe that ran out of time leaves no connection behind', async () => {
    await probeOnce('no-body', 'metrics', true)
    await expect.poll(() => server.seen.at(-1)?.headers['left'], { timeout: 10_000 }).toBe('yes')
  })
})

describe('one bad server', () => {
  it.each<FaultName>(['no-answer', 'no-body', 'endless'])(
    '%s: the probes of the others end while its own are still under way',
    async (name) => {
      const others: readonly FaultName[] = ['well', 'html', 'redirect', 'closes-at-once', 'nan', 'empty', 'stranger', 'loop']
      const asked = ledger([name, ...others])
      asked.order('metrics')
      asked.order('liveness', others)
      asked.order('generation', [name])
      const first = await asked.results(others.length * 2)
      const own = first.filter((result) => result.endpoint === (name as string))
      // What the endless one sends is too large before it ends; the others of its sort have not ended.
      if (name !== 'endless') expect(own).toEqual([])
      expect(new Set(first.filter((result) => !own.includes(result)).map(({ endpoint: of }) => of as string))).toEqual(new Set(others))
      asked.runOut()
      const all = await asked.results(others.length * 2 + 2)
      expect(all.filter((result) => result.endpoint === (name as string)).map(({ ok }) => ok)).toEqual([false, false])
    },
  )
})
