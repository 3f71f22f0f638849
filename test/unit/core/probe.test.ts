import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ProbeRecord } from '../../../core/facts.ts'
import { probe } from '../../../core/probe/probe.ts'
import type { EndpointKind } from '../../../shared/operations.ts'
import { endpointRow } from './loop-world.ts'
import { due, nextProbeAtMs } from '../../../core/probe/due.ts'
import { livenessToKeep, observe, unprobed } from '../../../core/probe/liveness.ts'
import type { Liveness } from '../../../core/facts.ts'
import type { EndpointId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'

const record = (more: Partial<ProbeRecord>): ProbeRecord => ({
  url: 'http://e',
  address: 'http://e/health',
  liveness: unprobed,
  last: null,
  nextAtMs: 0,
  underway: false,
  ...more,
})
const records = (entries: Readonly<Record<string, Partial<ProbeRecord>>>) =>
  new Map(Object.entries(entries).map(([id, more]) => [id as EndpointId, record(more)]))

describe('due', () => {
  it.each([
    { name: 'whose time has come', probes: { a: { nextAtMs: 100 }, b: { nextAtMs: 101 } }, room: 6, expected: ['a'] },
    { name: 'not one still under way', probes: { a: { underway: true }, b: {} }, room: 6, expected: ['b'] },
    {
      name: 'the longest overdue first',
      probes: { a: { nextAtMs: 90 }, b: { nextAtMs: 10 }, c: { nextAtMs: 50 } },
      room: 2,
      expected: ['b', 'c'],
    },
    { name: 'by id where equally overdue', probes: { b: {}, a: {} }, room: 6, expected: ['a', 'b'] },
    { name: 'none without room', probes: { a: {} }, room: 0, expected: [] },
    { name: 'none with less than no room', probes: { a: {} }, room: -1, expected: [] },
  ])('takes $name', ({ probes, room, expected }) => {
    expect(due(records(probes), 100, room)).toEqual(expected)
  })

  it('the next is never later than the interval, and never in its first part', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 41 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (startedAtMs, draw) => {
          const afterMs = nextProbeAtMs(startedAtMs, draw) - startedAtMs
          expect(afterMs).toBeLessThanOrEqual(limits.livenessEveryMs)
          expect(afterMs).toBeGreaterThanOrEqual(limits.livenessEveryMs * (1 - limits.livenessJitter) - 1)
        },
      ),
    )
  })
})

const after = (probes: string) => probes.split('').reduce<Liveness>((liveness, sign) => observe(liveness, sign === '+'), unprobed).state

describe('liveness', () => {
  it.each([
    ['', 'unknown'],
    ['+', 'healthy'],
    ['-', 'unknown'],
    ['--', 'unknown'],
    ['---', 'unhealthy'],
    ['--+', 'healthy'],
    ['--+--', 'healthy'],
    ['+--', 'healthy'],
    ['+---', 'unhealthy'],
    ['+--+--', 'healthy'],
    ['---+', 'unhealthy'],
    ['---+-+', 'unhealthy'],
    ['---++', 'healthy'],
    ['---++--', 'healthy'],
    ['------------------++', 'healthy'],
  ])('after "%s" is %s', (probes, state) => {
    expect(after(probes)).toBe(state)
  })

  it('changes only by a run that is long enough, whatever came before', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (probes) => {
        let liveness = unprobed
        let run = 0
        let last: boolean | null = null
        for (const ok of probes) {
          run = ok === last ? run + 1 : 1
          last = ok
          const next = observe(liveness, ok)
          const goodNeeded = liveness.state === 'unknown' ? 1 : limits.livenessGoodMin
          const allowed =
            run >= (ok ? goodNeeded : limits.livenessBadMax) ? [liveness.state, ok ? 'healthy' : 'unhealthy'] : [liveness.state]
          expect(allowed).toContain(next.state)
          liveness = next
        }
      }),
    )
  })

  it('keeps what is known, in order of id', () => {
    const kept = livenessToKeep(
      records({ b: { liveness: observe(unprobed, true) }, c: {}, a: { liveness: { state: 'unhealthy', good: 0, bad: 3 } } }),
    )
    expect(JSON.stringify(kept)).toBe('{"a":{"url":"http://e","state":"unhealthy"},"b":{"url":"http://e","state":"healthy"}}')
  })
})

describe('where health is asked for', () => {
  it.each<readonly [EndpointKind, readonly string[]]>([
    ['openai', ['http://e1/health']],
    ['open_inference', ['http://e1/v2/health/ready']],
    // Their protocols have no such place: they stay unknown, and may serve.
    ['anthropic', []],
    ['sagemaker', []],
  ])('%s: %j', (kind, expected) => {
    const asked: string[] = []
    const state = { probes: new Map(), keptLiveness: {} }
    probe([endpointRow('e1', { kind })], state, {
      clock: { nowMs: () => 0 },
      timer: { sleep: () => new Promise(() => undefined) },
      random: () => 0,
      prober: {
        check: (address) => {
          asked.push(address)
          return new Promise(() => undefined)
        },
      },
    })
    expect(asked).toEqual(expected)
    expect(state.probes.size).toBe(expected.length)
  })
})
