// Whose trouble it is: a region's, the fleet's, or the canary's own, which never counts as either.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RegionName, VersionId } from '../../../shared/ids.ts'
import { endpointHealths, type EndpointHealth } from '../../../shared/wire/snapshot.ts'
import { troubleOf, type Standing } from '../../../core/rollout/trouble.ts'

const v1 = 'atlas-1' as VersionId
const v2 = 'atlas-2' as VersionId
const regionNames = ['fra', 'iad', 'bom', 'gru'] as const
const at = (region: string, health: EndpointHealth, so: { readonly version?: VersionId; readonly slots?: number } = {}): Standing => ({
  region: region as RegionName,
  version: v1,
  slots: 4,
  health,
  ...so,
})
const nobody = new Set<RegionName>()
const silent = (...regions: readonly string[]) => new Set(regions as readonly RegionName[])
const healthy = regionNames.map((region) => at(region, 'healthy'))

describe('a region is in trouble', () => {
  it.each<readonly [string, readonly Standing[], ReadonlySet<RegionName>, readonly string[]]>([
    ['nowhere, where all serve', healthy, nobody, []],
    ['where its ledger is silent', healthy, silent('iad'), ['iad']],
    ['not where a ledger of another model’s region is silent', healthy, silent('sin'), []],
    ['where more than half of its slots are out', [...healthy, at('iad', 'gone', { slots: 5 })], nobody, ['iad']],
    ['not where half of them are', [...healthy, at('iad', 'gone')], nobody, []],
    ['where all are out', [at('fra', 'healthy'), at('iad', 'ejected'), at('bom', 'healthy')], nobody, ['iad']],
    ['where they are only tried again', [at('fra', 'healthy'), at('iad', 'probing'), at('bom', 'healthy')], nobody, ['iad']],
    ['not where they are slow, warming or unknown', [at('fra', 'degraded'), at('iad', 'warming'), at('bom', 'unknown')], nobody, []],
    ['not where people took them out, or they sleep', [at('fra', 'healthy'), at('iad', 'disabled'), at('bom', 'sleeping')], nobody, []],
    [
      'where what people have left in is out',
      [...healthy, at('iad', 'draining', { slots: 90 }), at('iad', 'gone', { slots: 5 })],
      nobody,
      ['iad'],
    ],
  ])('%s', (_, endpoints, quiet, regions) => {
    expect(troubleOf(endpoints, v2, quiet).regions).toEqual(regions)
  })

  it('never by the canary’s own endpoints: that all of them fail is no excuse', () => {
    const canaries = regionNames.map((region) => at(region, 'ejected', { version: v2, slots: 400 }))
    expect(troubleOf([...healthy, ...canaries], v2, nobody)).toEqual({ fleet: false, regions: [] })
  })
})

describe('the fleet is in trouble', () => {
  it.each<readonly [string, readonly Standing[], ReadonlySet<RegionName>, boolean]>([
    ['not with one region of four', healthy, silent('fra'), false],
    ['with two of four', healthy, silent('fra', 'bom'), true],
    ['with one of two', healthy.slice(0, 2), silent('fra'), true],
    ['not with one of three', healthy.slice(0, 3), silent('fra'), false],
    ['not with the only one: that is the region’s', healthy.slice(0, 1), silent('fra'), false],
    ['not without endpoints', [], silent('fra'), false],
  ])('%s', (_, endpoints, quiet, fleet) => {
    expect(troubleOf(endpoints, v2, quiet).fleet).toBe(fleet)
  })
})

it('whatever the canary does changes nothing, in any fleet', () => {
  const health = fc.constantFrom(...endpointHealths)
  const other = fc.record({ region: fc.constantFrom(...regionNames), health, slots: fc.integer({ min: 1, max: 64 }) })
  fc.assert(
    fc.property(
      fc.array(other, { maxLength: 12 }),
      fc.array(health, { minLength: 4, maxLength: 4 }),
      fc.subarray([...regionNames]),
      (others, own, quiet) => {
        const standing = others.map(({ region, health: each, slots }) => at(region, each, { slots }))
        const canaries = (healths: readonly EndpointHealth[]): readonly Standing[] =>
          regionNames.map((region, number) => at(region, healths[number] ?? 'healthy', { version: v2 }))
        const fine = troubleOf([...standing, ...canaries([])], v2, silent(...quiet))
        expect(troubleOf([...standing, ...canaries(own)], v2, silent(...quiet))).toEqual(fine)
      },
    ),
  )
})
