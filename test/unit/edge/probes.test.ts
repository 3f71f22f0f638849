// The queue of probes in a ledger, under a clock that moves only when told.

import { describe, expect, it } from 'vitest'
import type { Probed } from '../../../edge/ledger/ports.ts'
import { Probes } from '../../../edge/ledger/probes.ts'
import { limits } from '../../../shared/limits.ts'
import type { ProbeKind, ProbeOrder, ProbeResult } from '../../../shared/wire/probe.ts'
import type { Endpoint } from '../../../shared/wire/snapshot.ts'
import { endpoint } from '../../support/snapshot.ts'

type Call = {
  readonly name: string
  readonly notes: unknown
  readonly signal: AbortSignal
  readonly end: (probed: Probed) => Promise<void>
  readonly fail: () => Promise<void>
}

const settle = async (): Promise<void> => {
  for (let round = 0; round < 20; round++) await Promise.resolve()
}

/** A ledger's probes with a prober that answers when the test says so. */
function bench() {
  let nowMs = 1_000
  let sleepers: { readonly atMs: number; readonly wake: () => void }[] = []
  const calls: Call[] = []
  const probes = new Probes({
    clock: { nowMs: () => nowMs },
    timer: {
      sleep: (forMs, signal) =>
        new Promise((resolve) => {
          sleepers.push({ atMs: nowMs + forMs, wake: resolve })
          signal?.addEventListener('abort', () => resolve())
        }),
    },
    prober: {
      probe: (order, _endpoint, notes, signal) =>
        new Promise((resolve, reject) => {
          const done = (): Promise<void> => settle()
          calls.push({
            name: order.id,
            notes,
            signal,
            end: (probed) => {
              resolve(probed)
              return done()
            },
            fail: () => {
              reject(new Error('a bug'))
              return done()
            },
          })
        }),
    },
  })
  return {
    probes,
    calls,
    /** The ids of what was started, in order. */
    started: () => calls.map(({ name }) => name),
    call: (name: string): Call => {
      const found = calls.findLast((each) => each.name === name)
      if (!found) throw new Error(`${name} was not started`)
      return found
    },
    pass: async (ms: number): Promise<void> => {
      nowMs += ms
      for (const { wake } of sleepers.filter(({ atMs }) => atMs <= nowMs)) wake()
      sleepers = sleepers.filter(({ atMs }) => atMs > nowMs)
      await settle()
    },
  }
}

const ok: Probed = { ok: true, detail: 'HTTP 200' }
const [a, b, c] = [endpoint('a', 'fra'), endpoint('b', 'fra'), endpoint('c', 'fra')]
const orderOf = (of: Endpoint, kind: ProbeKind = 'liveness', round = 1): ProbeOrder => ({
  id: `${of.id} ${kind} ${round}`,
  endpoint: of.id,
  kind,
  timeoutMs: kind === 'generation' ? limits.generationTimeoutMs : limits.livenessTimeoutMs,
})
const idsOf = (results: readonly ProbeResult[]): readonly string[] => results.map(({ id }) => id)
const many = (count: number): readonly Endpoint[] => Array.from({ length: count }, (_, index) => endpoint(`e${index}`, 'fra'))

describe('a probe', () => {
  it('is made when it is ordered, and its result is handed over once', async () => {
    const { probes, pass, call } = bench()
    expect(probes.exchange([orderOf(a)], [a])).toEqual([])
    await pass(30)
    await call('a liveness 1').end({ ...ok, notes: 'not for core' })
    expect(probes.exchange([], [a])).toEqual([
      { id: 'a liveness 1', endpoint: 'a', kind: 'liveness', atMs: 1_000, tookMs: 30, ok: true, detail: 'HTTP 200' },
    ])
    expect(probes.exchange([], [a])).toEqual([])
  })

  it('that is ordered again while it waits, is under way or has ended is not made again', async () => {
    const { probes, started, call } = bench()
    probes.exchange([orderOf(a), orderOf(a)], [a])
    probes.exchange([orderOf(a)], [a])
    await call('a liveness 1').end(ok)
    expect(idsOf(probes.exchange([orderOf(a)], [a]))).toEqual(['a liveness 1'])
    expect(started()).toEqual(['a liveness 1'])
    // Core, not having had the result, asks again: then it is made again.
    probes.exchange([orderOf(a)], [a])
    expect(started()).toEqual(['a liveness 1', 'a liveness 1'])
  })

  it('of an endpoint of another cell is not made, and core is told so', () => {
    const { probes, started } = bench()
    expect(probes.exchange([orderOf(b)], [a])).toMatchObject([{ id: 'b liveness 1', ok: false, notDone: true }])
    expect(started()).toEqual([])
  })

  it('ends within its timeout, whatever the prober does, and the connection with it', async () => {
    const { probes, pass, call } = bench()
    probes.exchange([orderOf(a)], [a])
    await pass(limits.livenessTimeoutMs)
    expect(call('a liveness 1').signal.aborted).toBe(true)
    expect(probes.exchange([], [a])).toMatchObject([
      { ok: false, timedOut: true, tookMs: limits.livenessTimeoutMs, detail: 'no whole answer in 2000 ms' },
    ])
    // Too late to matter.
    await call('a liveness 1').end(ok)
    expect(probes.exchange([], [a])).toEqual([])
  })

  it('has no more time than any probe may have, whatever the order says', async () => {
    const { probes, pass } = bench()
    probes.exchange([{ ...orderOf(a), timeoutMs: 3_600_000 }], [a])
    await pass(limits.generationTimeoutMs)
    expect(probes.exchange([], [a])).toMatchObject([{ timedOut: true }])
  })

  it('whose prober throws is a failed probe, and its place is free again', async () => {
    const { probes, call } = bench()
    probes.exchange([orderOf(a)], [a])
    await call('a liveness 1').fail()
    expect(probes.exchange([], [a])).toMatchObject([{ ok: false, detail: 'the probe itself failed' }])
    probes.exchange([orderOf(a, 'liveness', 2)], [a])
    expect(call('a liveness 2').signal.aborted).toBe(false)
  })

  it('finds what the last of its kind noted, until the endpoint is another server', async () => {
    const { probes, call } = bench()
    const next = async (kind: ProbeKind, round: number, of: Endpoint, probed: Probed): Promise<unknown> => {
      probes.exchange([orderOf(of, kind, round)], [of])
      const made = call(`a ${kind} ${round}`)
      await made.end(probed)
      return made.notes
    }
    expect(await next('metrics', 1, a, { ...ok, notes: 'first' })).toBeUndefined()
    expect(await next('liveness', 2, a, ok)).toBeUndefined()
    // A probe that notes nothing leaves what there was.
    expect(await next('metrics', 3, a, { ok: false, detail: 'HTTP 404' })).toBe('first')
    expect(await next('metrics', 4, a, { ...ok, notes: 'second' })).toBe('first')
    expect(await next('metrics', 5, { ...a, url: 'http://elsewhere.test' }, ok)).toBeUndefined()
    expect(await next('metrics', 6, a, ok)).toBeUndefined()
  })
})

describe('places', () => {
  it('no more than so many probes are under way at once; the next starts as one ends', async () => {
    const { probes, started, call } = bench()
    const endpoints = many(limits.probesAtOnceMax + 2)
    probes.exchange(
      endpoints.map((each) => orderOf(each)),
      endpoints,
    )
    expect(started()).toHaveLength(limits.probesAtOnceMax)
    await call('e3 liveness 1').end(ok)
    expect(started().at(-1)).toBe(`e${limits.probesAtOnceMax} liveness 1`)
  })

  it('questions for a token leave places for the rest', () => {
    const { probes, started } = bench()
    const endpoints = many(20)
    probes.exchange([...endpoints.map((each) => orderOf(each, 'generation')), orderOf(endpoints[0] ?? a)], endpoints)
    expect(started()).toEqual(['e0 generation 1', 'e1 generation 1', 'e0 liveness 1'])
  })

  it('servers that do not answer have few places among them, and the living are not held up', async () => {
    const { probes, started, call, pass } = bench()
    const dead = many(30)
    let round = 0
    // Each is found out once.
    while (round < 10) {
      round++
      probes.exchange(
        dead.slice((round - 1) * 3, round * 3).map((each) => orderOf(each, 'liveness', round)),
        [...dead, a, b, c],
      )
      await pass(limits.livenessTimeoutMs)
    }
    const before = started().length
    const living = [a, b, c].map((each) => orderOf(each, 'liveness', 99))
    const deadIds = dead.map((each) => orderOf(each, 'liveness', 99).id)
    probes.exchange([...dead.map((each) => orderOf(each, 'liveness', 99)), ...living], [...dead, a, b, c])
    expect(started().slice(before)).toEqual([...deadIds.slice(0, 3), 'a liveness 99', 'b liveness 99'])
    await call('a liveness 99').end(ok)
    expect(started().at(-1)).toBe('c liveness 99')
    await call('b liveness 99').end(ok)
    await call('c liveness 99').end(ok)
    // Places are free, but not for the dead.
    expect(started().length).toBe(before + 6)
    // One that answers again is one of the living.
    await call('e0 liveness 99').end(ok)
    probes.exchange([orderOf(dead[0] ?? a, 'liveness', 100)], [...dead, a, b, c])
    expect(started().slice(before + 6)).toEqual(['e3 liveness 99', 'e0 liveness 100'])
  })

  it('a server that is slow counts as one that may not answer, until it is quick again', async () => {
    const { probes, started, call, pass } = bench()
    const endpoints = many(limits.slowProbesAtOnceMax + 1)
    const orders = (round: number) => endpoints.map((each) => orderOf(each, 'liveness', round))
    probes.exchange(orders(1), endpoints)
    await pass(limits.slowProbeMs)
    for (const { id } of orders(1)) await call(id).end(ok)
    probes.exchange(orders(2), endpoints)
    expect(started().slice(endpoints.length)).toHaveLength(limits.slowProbesAtOnceMax)
    for (const { id } of orders(2)) await call(id).end(ok)
    probes.exchange(orders(3), endpoints)
    expect(started().slice(endpoints.length * 2)).toHaveLength(endpoints.length)
  })

  it('a page of metrics that never comes does not make its server a dead one', async () => {
    const { probes, started, pass } = bench()
    const endpoints = many(limits.slowProbesAtOnceMax + 1)
    const pages = (round: number) => endpoints.map((each) => orderOf(each, 'metrics', round))
    probes.exchange(pages(1), endpoints)
    await pass(limits.metricsTimeoutMs)
    probes.exchange([...pages(2), ...endpoints.slice(0, 2).map((each) => orderOf(each))], endpoints)
    expect(started().slice(endpoints.length)).toEqual(['e0 metrics 2', 'e1 metrics 2', 'e2 metrics 2', 'e0 liveness 1', 'e1 liveness 1'])
  })
})

describe('what waits', () => {
  it('goes back undone when no place came free in time', async () => {
    const { probes, started, pass } = bench()
    const endpoints = many(limits.probesAtOnceMax + 1)
    const orders = endpoints.map((each) => orderOf(each))
    const last = orders.at(-1)?.id
    probes.exchange(orders, endpoints)
    await pass(limits.probeWaitMsMax)
    expect(probes.exchange(orders, endpoints)).toEqual([])
    await pass(1)
    expect(probes.exchange(orders, endpoints)).toMatchObject([{ id: last, ok: false, notDone: true }])
    expect(started()).not.toContain(last)
  })

  it('is bounded: what is beyond goes back at once', () => {
    const { probes } = bench()
    const most = limits.probesAtOnceMax + limits.probesQueuedMax
    const endpoints = many(1_000)
    probes.exchange([], endpoints)
    const orders = endpoints.map((each) => orderOf(each))
    const first = probes.exchange(orders.slice(0, limits.probesQueuedMax), endpoints)
    expect(first).toEqual([])
    const second = probes.exchange(orders, endpoints)
    expect(second.every(({ notDone }) => notDone === true)).toBe(true)
    expect(second.length).toBe(1_000 - most)
  })
})
