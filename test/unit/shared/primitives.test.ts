import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { distanceKm, originOf, origins, roundTripMs } from '../../../shared/geo.ts'
import { bucketOf, equalInConstantTime, sha256Hex } from '../../../shared/hash.ts'
import { drawWeighted, seededRandom } from '../../../shared/random.ts'
import { systemTimer } from '../../../shared/system.ts'
import { within } from '../../../shared/time.ts'

describe('hash', () => {
  it('is SHA-256 (FIPS 180-4, example "abc")', async () => {
    expect(await sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })

  it('compares like ===', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        expect(equalInConstantTime(a, b)).toBe(a === b)
        expect(equalInConstantTime(a, a)).toBe(true)
      }),
    )
  })

  it('puts a unit into the same bucket each time, and units evenly into buckets', async () => {
    expect(await bucketOf('salt', 'unit')).toBe(await bucketOf('salt', 'unit'))
    const buckets = await Promise.all(Array.from({ length: 20_000 }, (_, i) => bucketOf('salt', `unit-${i}`)))
    // Ten classes of 2,000 expected each; chi-square with 9 degrees of freedom stays below 33.7 but once in 10,000 (the salt is fixed, so this never flickers).
    const classes = Array.from({ length: 10 }, (_, i) => buckets.filter((bucket) => Math.floor(bucket / 1000) === i).length)
    expect(classes.reduce((sum, n) => sum + (n - 2000) ** 2 / 2000, 0)).toBeLessThan(33.7)
    expect(Math.min(...buckets)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...buckets)).toBeLessThan(10_000)
  })

  it('keeps salt and unit apart', async () => {
    expect(await bucketOf('ab', 'c')).not.toBe(await bucketOf('a', 'bc'))
  })
})

describe('drawWeighted', () => {
  it('draws in proportion to the weights', () => {
    const random = seededRandom(7)
    const drawn = Array.from({ length: 10_000 }, () => drawWeighted(['a', 'b', 'c'], (item) => ({ a: 6, b: 3, c: 1 })[item] ?? 0, random))
    const share = (item: string) => drawn.filter((each) => each === item).length / drawn.length
    expect(share('a')).toBeCloseTo(0.6, 1)
    expect(share('b')).toBeCloseTo(0.3, 1)
    expect(share('c')).toBeCloseTo(0.1, 1)
  })

  it('never draws what weighs nothing, and finds whatever weighs something', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.double(), fc.constant(Number.NaN)), { maxLength: 8 }),
        fc.double({ min: 0, max: 1, maxExcluded: true }),
        (weights, chance) => {
          const items = weights.map((weight) => ({ weight: Math.abs(weight) > 1e100 ? 1 : weight }))
          const drawn = drawWeighted(
            items,
            (item) => item.weight,
            () => chance,
          )
          if (items.some((item) => item.weight > 0)) expect(drawn?.weight).toBeGreaterThan(0)
          else expect(drawn).toBeNull()
        },
      ),
    )
  })
})

describe('geography', () => {
  it('knows the distance from Paris to New York: 5,837 km', () => {
    expect(distanceKm({ latitude: 48.8566, longitude: 2.3522 }, { latitude: 40.7128, longitude: -74.006 })).toBeCloseTo(5837, -1)
  })

  it('is symmetric, zero only at home, and never more than half the equator', () => {
    const place = fc.record({
      latitude: fc.double({ min: -90, max: 90, noNaN: true }),
      longitude: fc.double({ min: -180, max: 180, noNaN: true }),
    })
    fc.assert(
      fc.property(place, place, (a, b) => {
        expect(distanceKm(a, b)).toBeCloseTo(distanceKm(b, a), 6)
        expect(distanceKm(a, b)).toBeLessThanOrEqual(20_016)
        expect(distanceKm(a, a)).toBe(0)
        expect(roundTripMs(a, b)).toBeGreaterThanOrEqual(4)
      }),
    )
  })

  it.each([
    ['Paris', 48.9, 2.4, 'weur'],
    ['Warsaw', 52.2, 21.0, 'eeur'],
    ['Ashburn', 39.0, -77.5, 'enam'],
    ['Seattle', 47.6, -122.3, 'wnam'],
    ['Sao Paulo', -23.5, -46.6, 'sam'],
    ['Johannesburg', -26.2, 28.0, 'afr'],
    ['Dubai', 25.2, 55.3, 'me'],
    ['Singapore', 1.35, 103.8, 'apac'],
    ['Sydney', -33.9, 151.2, 'oc'],
  ])('%s belongs to %s', (_, latitude, longitude, origin) => {
    expect(originOf({ latitude, longitude })).toBe(origin)
  })

  it('every origin is its own nearest', () => {
    for (const origin of origins) expect(originOf(origin)).toBe(origin.name)
  })
})

describe('within', () => {
  const never = new Promise<string>(() => undefined)

  it('gives the value that comes in time', async () => {
    expect(await within(Promise.resolve('value'), 1_000, 'late', systemTimer)).toBe('value')
  })

  it('gives the other one when the value does not come', async () => {
    expect(await within(never, 1, 'late', systemTimer)).toBe('late')
  })

  it('passes a failure on, and swallows one that comes too late', async () => {
    await expect(within(Promise.reject(new Error('broken')), 1_000, 'late', systemTimer)).rejects.toThrow('broken')
    const slow = new Promise<string>((_, reject) => setTimeout(() => reject(new Error('too late')), 5))
    expect(await within(slow, 1, 'late', systemTimer)).toBe('late')
    // An unhandled rejection would fail the run.
    await new Promise((resolve) => setTimeout(resolve, 10))
  })
})
