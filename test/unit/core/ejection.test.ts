import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { withCeiling, type Candidate } from '../../../core/judge/ejection.ts'
import { unjudged } from '../../../core/judge/health.ts'
import { limits } from '../../../shared/limits.ts'
import type { EndpointId, VersionId } from '../../../shared/ids.ts'
import type { EndpointHealth } from '../../../shared/wire/snapshot.ts'

type Told = {
  readonly health: EndpointHealth
  readonly metric?: string | null
  readonly slots?: number
  readonly version?: string
  readonly was?: EndpointHealth
}
const candidates = (told: readonly Told[]): readonly Candidate[] =>
  told.map(({ health, metric = null, slots = 10, version = 'v', was = 'healthy' }, index) => ({
    id: `e${index}` as EndpointId,
    version: version as VersionId,
    slots,
    verdict: { health, metric, reason: 'it fails', value: null, threshold: null },
    before: { ...unjudged, health: was },
  }))
const healthsOf = (told: readonly Told[]) => [...withCeiling(candidates(told)).values()].map(({ health }) => health)

const byLiveness: Told = { health: 'ejected', metric: 'liveness' }
const byToken: Told = { health: 'ejected', metric: 'generation_failures' }
const byBreaker: Told = { health: 'ejected', metric: 'breaker' }
const well: Told = { health: 'healthy', metric: 'liveness' }

describe('the ceiling', () => {
  it.each([
    { name: 'half by checks', told: [byLiveness, well], healths: ['ejected', 'healthy'] },
    { name: 'more than half by checks', told: [byLiveness, byLiveness, well], healths: ['ejected', 'degraded', 'healthy'] },
    { name: 'the only one by a check', told: [byLiveness], healths: ['degraded'] },
    { name: 'the stronger evidence goes first', told: [byLiveness, byToken, well], healths: ['degraded', 'ejected', 'healthy'] },
    {
      name: 'who is out stays out',
      told: [byLiveness, { ...byLiveness, was: 'ejected' as const }, well],
      healths: ['degraded', 'ejected', 'healthy'],
    },
    {
      name: 'half counts slots, not endpoints',
      told: [{ ...byLiveness, slots: 30 }, well, well],
      healths: ['degraded', 'healthy', 'healthy'],
    },
    { name: 'failed requests are above it', told: [byBreaker, byBreaker, well], healths: ['ejected', 'ejected', 'healthy'] },
    { name: 'and leave no room for checks', told: [byBreaker, byLiveness, well], healths: ['ejected', 'degraded', 'healthy'] },
    { name: 'nobody would serve: all are let in', told: [byBreaker, byBreaker], healths: ['degraded', 'degraded'] },
    { name: 'a service that failed is not asked', told: [{ health: 'ejected' as const, metric: 'service_status' }], healths: ['ejected'] },
    {
      name: 'who cannot serve anyway is no capacity',
      told: [byLiveness, well, { health: 'sleeping' as const }],
      healths: ['ejected', 'healthy', 'sleeping'],
    },
    {
      name: 'on trial is out',
      told: [{ health: 'probing' as const, metric: 'liveness' }, byLiveness, well],
      healths: ['probing', 'degraded', 'healthy'],
    },
    {
      name: 'each version for itself',
      told: [byLiveness, well, { ...byLiveness, version: 'w' }],
      healths: ['ejected', 'healthy', 'degraded'],
    },
  ])('$name', ({ told, healths }) => {
    expect(healthsOf(told)).toEqual(healths)
  })

  it('says panic, with the share that would be out', () => {
    const held = withCeiling(candidates([byLiveness, byLiveness, well])).get('e1' as EndpointId)
    expect(held).toMatchObject({ metric: 'ejected_share', value: 0.667, threshold: limits.ejectionShareMax })
    expect(held?.reason).toMatch(/^panic: .*it fails/)
  })

  it('for all: checks alone never take out more than the ceiling, and somebody always serves', () => {
    const told = fc.record({
      health: fc.constantFrom<EndpointHealth>('healthy', 'degraded', 'unknown', 'ejected', 'probing'),
      metric: fc.constantFrom('liveness', 'generation_failures', 'breaker'),
      slots: fc.integer({ min: 1, max: 64 }),
      was: fc.constantFrom<EndpointHealth>('healthy', 'ejected'),
    })
    fc.assert(
      fc.property(fc.array(told, { minLength: 1, maxLength: 10 }), (all) => {
        const healths = healthsOf(all)
        const isOut = (index: number) => healths[index] === 'ejected' || healths[index] === 'probing'
        const slotsOf = (which: (index: number) => boolean) => all.reduce((sum, { slots }, index) => (which(index) ? sum + slots : sum), 0)
        const total = slotsOf(() => true)
        expect(slotsOf((index) => isOut(index) && all[index]?.metric !== 'breaker')).toBeLessThanOrEqual(limits.ejectionShareMax * total)
        expect(slotsOf((index) => !isOut(index))).toBeGreaterThan(0)
        for (const [index, { health }] of all.entries()) {
          if (health !== 'ejected' && health !== 'probing') expect(healths[index]).toBe(health)
        }
      }),
    )
  })
})
