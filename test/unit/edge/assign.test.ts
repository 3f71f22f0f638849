// Which version a unit gets while a rollout raises its weight: nobody who has seen the canary is moved back before it is aborted, and what one
// unit gets depends on nothing but itself, the salt and the weight. How even and how independent the hash is: test/sim/rollout-assignment.test.ts.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { splits, unitOf, versionFor } from '../../../edge/admit/assign.ts'
import { bucketOf } from '../../../shared/hash.ts'
import type { TenantId, VersionId } from '../../../shared/ids.ts'
import { defaultSteps } from '../../../core/rollout/steps.ts'
import { credential } from '../../support/credential.ts'
import { alias, version } from '../../support/snapshot.ts'

const canary = 'atlas-3' as VersionId
const at = (weightBp: number) => alias({ canary, weightBp })

const weights = fc.tuple(fc.nat(10_000), fc.nat(10_000)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
const someUnits = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 60 })

/** Those of the units that the assignment gives to the canary. */
const canaryOf = (units: readonly string[], bucket: (unit: string) => number, weightBp: number): ReadonlySet<string> =>
  new Set(units.filter((unit) => versionFor(at(weightBp), bucket(unit)) === canary))

const isWithin = (few: ReadonlySet<string>, many: ReadonlySet<string>): boolean => [...few].every((unit) => many.has(unit))

async function bucketsOf(units: readonly string[], saltOf: (unit: string) => string): Promise<(unit: string) => number> {
  const buckets = new Map(await Promise.all(units.map(async (unit) => [unit, await bucketOf(saltOf(unit), unit)] as const)))
  return (unit) => buckets.get(unit) ?? Number.NaN
}

describe('while the weight rises', () => {
  it('the canary’s units at a weight are among those at every higher one', async () => {
    await fc.assert(
      fc.asyncProperty(someUnits, fc.string(), weights, async (units, salt, [low, high]) => {
        const bucket = await bucketsOf(units, () => salt)
        const before = canaryOf(units, bucket, low)
        expect(isWithin(before, canaryOf(units, bucket, high))).toBe(true)
        expect(isWithin(before, canaryOf(units, bucket, 10_000))).toBe(true)
      }),
    )
  })

  it('where drawing anew at each weight moves units back', async () => {
    const units = Array.from({ length: 1_000 }, (_, number) => `unit-${number}`)
    const [low, high] = [await bucketsOf(units, () => 'salt 2500'), await bucketsOf(units, () => 'salt 5000')]
    expect(isWithin(canaryOf(units, low, 2_500), canaryOf(units, high, 5_000))).toBe(false)
  })

  it('through the default steps each unit changes its version once at most, and an abort takes all of them back at once', async () => {
    const units = Array.from({ length: 2_000 }, (_, number) => `unit-${number}`)
    const bucket = await bucketsOf(units, () => 'salt')
    const taken = defaultSteps.flatMap((step) => (step.kind === 'weight' ? [step.weightBp] : []))
    for (const unit of units) {
      const seen = [0, ...taken].map((weightBp) => versionFor(at(weightBp), bucket(unit)))
      expect(seen.filter((version, index) => index > 0 && version !== seen[index - 1])).toEqual([canary])
    }
    expect(canaryOf(units, bucket, 0).size).toBe(0)
    expect(splits(at(0))).toBe(false)
  })

  it('every weight counts to one in ten thousand: at the edge of a bucket and nowhere else', () => {
    fc.assert(
      fc.property(fc.nat(9_999), fc.nat(10_000), (bucket, weightBp) => {
        expect(versionFor(at(weightBp), bucket) === canary).toBe(weightBp > bucket)
        expect([versionFor(at(bucket), bucket), versionFor(at(bucket + 1), bucket)]).toEqual([version, canary])
      }),
    )
  })
})

describe('whose version it is', async () => {
  const caller = await credential()

  it('equal names of two tenants are two units, and a session, a user and a key never one', () => {
    const other = { ...caller, tenant: 'other' as TenantId }
    const units = [
      unitOf(caller, 'x', null),
      unitOf(other, 'x', null),
      unitOf(caller, null, 'x'),
      unitOf(other, null, 'x'),
      unitOf(caller, null, null),
    ]
    expect(new Set(units).size).toBe(units.length)
  })

  it('a session decides before a user, and a user before the key: what the rest of the request says changes nothing', () => {
    fc.assert(
      fc.property(fc.string(), fc.option(fc.string()), (session, user) => {
        expect(unitOf(caller, session, user)).toBe(unitOf(caller, session, null))
      }),
    )
  })
})
