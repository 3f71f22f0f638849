import fc from 'fast-check'
import { expect, it } from 'vitest'
import { apply, diff } from '../../../shared/wire/delta.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import { alias, endpoint, snapshotOf } from '../../support/snapshot.ts'

/** Snapshots as core writes them: everything in order of its key. */
const snapshots = fc
  .record({
    generation: fc.integer({ min: 1, max: 1_000 }),
    endpoints: fc.uniqueArray(
      fc.record({
        id: fc.integer({ min: 10, max: 60 }),
        region: fc.constantFrom('x', 'y', 'z'),
        slots: fc.integer({ min: 1, max: 3 }),
        sick: fc.boolean(),
      }),
      { selector: ({ id }) => id, maxLength: 20 },
    ),
    models: fc.uniqueArray(fc.constantFrom('alpha', 'beta', 'gamma', 'delta'), { maxLength: 4 }),
    roundTripMs: fc.integer({ min: 1, max: 3 }),
    weightBp: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ generation, endpoints, models, roundTripMs, weightBp }): Snapshot => {
    const made = endpoints
      .toSorted((a, b) => a.id - b.id)
      .map(({ id, region, slots, sick }) => endpoint(`e${id}`, region, { slots, state: sick ? 'unhealthy' : 'healthy' }))
    const { format, publishedAtMs, regions, aliases, changed, ...rest } = snapshotOf(made, { aliases: [alias({ weightBp })] })
    const row = { enam: [{ cell: made[0]?.cell ?? ('none' as never), fraction: 1, roundTripMs }] }
    const fractions = Object.fromEntries(models.toSorted().map((model) => [model, row]))
    return { format, generation, publishedAtMs, regions, endpoints: rest.endpoints, aliases, models: rest.models, fractions, changed }
  })

it('a difference applied to the one gives the other, to the letter', () => {
  fc.assert(
    fc.property(snapshots, snapshots, (before, after) => {
      const delta = diff(before, after)
      if (!delta) throw new Error('these are in order')
      // It crosses between Workers as data.
      expect(JSON.stringify(apply(before, structuredClone(delta)))).toBe(JSON.stringify(after))
    }),
  )
})

it('says nothing of what stayed the same, and one word of what changed by one', () => {
  const before = snapshotOf(Array.from({ length: 500 }, (_, index) => endpoint(`e${1_000 + index}`, 'x')))
  const after = { ...before, generation: 2, endpoints: before.endpoints.with(77, endpoint('e1077', 'x', { state: 'unhealthy' })) }
  const delta = diff(before, after)
  expect(delta?.endpoints.map(({ id }) => id)).toEqual(['e1077'])
  expect(delta).toMatchObject({ regions: null, aliases: null, models: null, fractions: {}, gone: [] })
  expect(JSON.stringify(delta).length).toBeLessThan(JSON.stringify(after).length / 100)
})

it('does not apply to any other generation, and is not made of lists whose order it could not keep', () => {
  const before = snapshotOf([endpoint('a', 'x')])
  const after = snapshotOf([endpoint('a', 'x'), endpoint('b', 'x')], { generation: 2 })
  const delta = diff(before, after)
  expect(delta && apply({ ...before, generation: 3 }, delta)).toBeNull()
  expect(diff(before, snapshotOf([endpoint('b', 'x'), endpoint('a', 'x')]))).toBeNull()
})
