// How the assignment spreads units over versions: evenly to one part in a hundred, by its weight at every step of a rollout, and for each
// rollout's salt anew. Each bound is one of chance at fixed names, so it never flickers; each stands beside an assignment that breaks it.

import { beforeAll, describe, expect, it } from 'vitest'
import { shadowSaltOf, unitOf, versionFor } from '../../edge/admit/assign.ts'
import { bucketOf } from '../../shared/hash.ts'
import type { VersionId } from '../../shared/ids.ts'
import { seededRandom } from '../../shared/random.ts'
import { credential } from '../support/credential.ts'
import { alias } from '../support/snapshot.ts'

const canary = 'atlas-3' as VersionId
const many = 1_000_000
const some = 200_000

/** Names as callers make them: half counted up, which is hardest for a weak hash, and half at random. */
async function units(count: number): Promise<readonly string[]> {
  const caller = await credential()
  const random = seededRandom(1)
  const named = (number: number): string => (number % 2 === 0 ? `user-${number}` : Math.floor(random() * 2 ** 48).toString(36))
  return Array.from({ length: count }, (_, number) => unitOf(caller, named(number), null))
}

type Bucket = (unit: string) => Promise<number>

/** The buckets of the units, so many at a time: a million promises at once would be a gigabyte. */
async function bucketsOf(named: readonly string[], bucket: Bucket): Promise<Uint16Array> {
  const found = new Uint16Array(named.length)
  const atOnce = 5_000
  for (let from = 0; from < named.length; from += atOnce) {
    found.set(await Promise.all(named.slice(from, from + atOnce).map(bucket)), from)
  }
  return found
}

/** Pearson's chi-square of counts against the same number everywhere. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

function tally(length: number, places: Iterable<number>): readonly number[] {
  const counts = Array.from({ length }, () => 0)
  for (const place of places) counts[place] = (counts[place] ?? 0) + 1
  return counts
}

/** The part of the buckets that the assignment gives to the canary. */
function shareOf(buckets: Uint16Array, weightBp: number): number {
  const split = alias({ canary, weightBp })
  return buckets.reduce((sum, bucket) => sum + (versionFor(split, bucket) === canary ? 1 : 0), 0) / buckets.length
}

const inHundred = (buckets: Uint16Array): readonly number[] =>
  tally(
    100,
    buckets.map((bucket) => Math.floor(bucket / 100)),
  )

/** Of a hundred classes, and so 99 degrees of freedom: exceeded by chance once in ten thousand. */
const bound = 160.1
/** Four deviations of chance at a half: 0.5 / sqrt(1,000,000) each. */
const shareBound = 0.002

/** By the sum of its letters, as a hash written in a hurry does. */
const byLetters: Bucket = (unit) => {
  let sum = 0
  for (let place = 0; place < unit.length; place++) sum += unit.charCodeAt(place)
  return Promise.resolve(sum % 10_000)
}

describe('a million units', async () => {
  const named = await units(many)
  let buckets = new Uint16Array(0)
  beforeAll(async () => void (buckets = (await bucketsOf(named, (unit) => bucketOf('salt-1', unit))) as Uint16Array<ArrayBuffer>), 120_000)

  it('fall evenly into a hundred classes (chi-square)', () => {
    expect(buckets).toHaveLength(many)
    expect(chiSquare(inHundred(buckets))).toBeLessThan(bound)
  })

  it('where a sum of letters, or a byte modulo a hundred, does not', async () => {
    expect(chiSquare(inHundred(await bucketsOf(named.slice(0, some), byLetters)))).toBeGreaterThan(bound)
    // 256 is no multiple of 100: the first 56 classes get three bytes each, the others two.
    const byByte = tally(
      100,
      buckets.slice(0, some).map((bucket) => (bucket % 256) % 100),
    )
    expect(chiSquare(byByte)).toBeGreaterThan(bound)
  })

  it.each([1, 100, 500, 2_500, 5_000, 9_999])('the canary gets %i of 10,000 of them, within 0.2 percentage points', (weightBp) => {
    expect(Math.abs(shareOf(buckets, weightBp) - weightBp / 10_000)).toBeLessThan(shareBound)
  })

  it('where a sum of letters gives it nothing at 5 %', async () => {
    expect(Math.abs(shareOf(await bucketsOf(named.slice(0, some), byLetters), 500) - 0.05)).toBeGreaterThan(shareBound)
  })
})

describe('another rollout’s salt', async () => {
  const named = await units(some)
  /** Pairs of classes, ten by ten: what the one bucket says of the other. */
  const pairs = (a: Uint16Array, b: Uint16Array): readonly number[] =>
    tally(
      100,
      a.map((bucket, index) => Math.floor(bucket / 1_000) * 10 + Math.floor((b[index] ?? 0) / 1_000)),
    )

  it('draws anew: of two rollouts’ buckets neither says anything of the other', async () => {
    const first = await bucketsOf(named, (unit) => bucketOf('salt-1', unit))
    // That of another rollout, of the copies of this one, and two that a careless join would take for the same.
    for (const salt of ['salt-2', shadowSaltOf(alias({ salt: 'salt-1' })), 'salt-1 ', '']) {
      const second = await bucketsOf(named, (unit) => bucketOf(salt, unit))
      expect(chiSquare(pairs(first, second))).toBeLessThan(bound)
      // Whoever was a canary of the one at 5 % is one of the other as often as anybody.
      const both = first.filter((bucket, index) => bucket < 500 && (second[index] ?? 0) < 500).length
      expect(Math.abs(both - some * 0.05 ** 2)).toBeLessThan(4 * Math.sqrt(some * 0.05 ** 2))
    }
  })

  it('where a salt that only shifts the buckets makes the same units guinea pigs again, or never', async () => {
    const first = await bucketsOf(named, (unit) => bucketOf('', unit))
    const shifted = first.map((bucket) => (bucket + 37) % 10_000)
    expect(chiSquare(pairs(first, shifted))).toBeGreaterThan(bound)
  })
})
