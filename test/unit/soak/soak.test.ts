// The soak's own arithmetic: which fault is on when, what explains a failure, and whether memory grows.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../shared/random.ts'
import { soakFaults } from '../../soak/faults.ts'
import { slopeOf } from '../../soak/memory.ts'
import { schedule } from '../../soak/schedule.ts'
import { explanationOf, faultsFound, graceMs, heapRow, processRow, type Spell } from '../../soak/verdict.ts'
import type { Sample } from '../../support/load.ts'
import { planRequest, roughMix } from '../../support/requests.ts'

describe('the schedule', () => {
  it('has one fault at a time, with pauses, and calm at its ends; runtimes end in the first half (property)', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), (seed, minutes) => {
        const lengthMs = minutes * 60_000
        const stints = schedule(soakFaults, lengthMs, seededRandom(seed))
        let freeMs = 15_000
        for (const { fault, onAtMs, offAtMs } of stints) {
          expect(onAtMs).toBeGreaterThanOrEqual(freeMs)
          expect(offAtMs - onAtMs).toBeGreaterThanOrEqual(8_000)
          expect(offAtMs).toBeLessThanOrEqual(lengthMs - 40_000)
          if (fault.endsRuntime) expect(offAtMs).toBeLessThan(lengthMs / 2)
          freeMs = offAtMs + 12_000
        }
      }),
    )
  })

  it('of ten minutes has every fault, the same from the same seed', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const names = (): readonly string[] => schedule(soakFaults, 600_000, seededRandom(seed)).map(({ fault }) => fault.name)
      expect(new Set(names())).toEqual(new Set(soakFaults.map(({ name }) => name)))
      expect(names()).toEqual(names())
    }
  })
})

const sample = (so: Partial<Sample> = {}): Sample => ({
  kind: 'chat',
  isStream: false,
  sentAtMs: 10_000,
  firstByteAtMs: null,
  endAtMs: 10_100,
  status: 502,
  endpoint: 'e',
  failure: 'upstream_failed',
  ...so,
})
const spell = (so: Partial<Spell['fault']> = {}): Spell => ({
  fault: { name: 'broken', explains: ['upstream_failed'], servedMin: 0.5, ...so },
  onAtMs: 9_000,
  offAtMs: 20_000,
})

describe('a failure', () => {
  it.each<readonly [string, Partial<Sample>, boolean]>([
    ['while the fault is on', {}, true],
    ['that began before it and ended under it', { sentAtMs: 8_000, endAtMs: 9_000 }, true],
    ['that was over before it', { sentAtMs: 8_000, endAtMs: 8_999 }, false],
    ['within the grace after it', { sentAtMs: 20_000 + graceMs, endAtMs: 30_000 }, true],
    ['after the grace', { sentAtMs: 20_001 + graceMs, endAtMs: 30_000 }, false],
    ['of another kind', { failure: 'no_capacity' }, false],
    ['that is none', { failure: null }, false],
  ])('%s: explained %s', (_, so, explained) => {
    expect(explanationOf(sample(so), [spell()]) !== null).toBe(explained)
  })

  it('that nothing explains, a costly fault, a lease left and memory that grows are each told', () => {
    const memory = [{ of: 'edge', mean: 100, growth: 30, growthMax: 20 }]
    const told = faultsFound({ samples: [sample(), sample({ failure: 'odd' })], spells: [spell()], left: { 'a@b': 2 }, memory })
    expect(told).toHaveLength(4)
    expect(told.join('\n')).toMatch(/unexplained at .*odd[\s\S]*broken: only 0.0 %[\s\S]*a@b still counts 2[\s\S]*edge grew/)
    const well = sample({ failure: null, status: 200 })
    expect(faultsFound({ samples: [well, well], spells: [spell()], left: {}, memory: [] })).toEqual([])
  })
})

describe('memory', () => {
  const looks = (rssOf: (minute: number) => number) =>
    Array.from({ length: 11 }, (_, index) => ({ atMs: index * 30_000, group: 1, rss: rssOf(index / 2), anonymous: 0 }))
  const mb = 1024 * 1024

  it('has the slope of its line, whatever jumps about it', () => {
    expect(slopeOf(looks((minute) => 100 * mb + 3 * mb * minute))).toBeCloseTo(3 * mb)
    expect(slopeOf(looks(() => 7))).toBe(0)
    expect(slopeOf([])).toBe(0)
  })

  it('that grows by more than a tenth in the time is not flat', () => {
    const flat = processRow(
      'edge',
      looks((minute) => (400 + (minute % 1) * 20) * mb),
    )
    expect(flat.growth).toBeLessThan(flat.growthMax)
    const leaking = processRow(
      'edge',
      looks((minute) => (400 + 12 * minute) * mb),
    )
    expect(leaking.growth).toBeGreaterThan(leaking.growthMax)
    const held = heapRow('isochrone-edge', [5 * mb, 9 * mb, 7 * mb])
    expect(held).toMatchObject({ mean: 7 * mb, growth: 2 * mb })
    expect(held.growth).toBeGreaterThan(held.growthMax)
  })
})

it('the same seed asks the same things, and every kind that has a weight', () => {
  const plans = (seed: number) => {
    const random = seededRandom(seed)
    return Array.from({ length: 400 }, () => planRequest(roughMix, 'atlas', random))
  }
  expect(plans(3)).toEqual(plans(3))
  expect(new Set(plans(3).map(({ kind }) => kind))).toEqual(new Set(Object.keys(roughMix)))
  for (const { kind, leavesAfterMs } of plans(3)) expect(leavesAfterMs !== null).toBe(kind === 'left')
})
