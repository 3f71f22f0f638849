// Sharing a decode call, and handing out its tokens together.
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openBarrier } from '../../cli/engine/barrier.ts'
import { shareBatch } from '../../cli/engine/batch.ts'

describe('shareBatch', () => {
  it.each([
    ['everything fits', [1, 20, 1], 512, [1, 20, 1]],
    ['running answers come before an older prompt', [600, 1, 1], 512, [510, 1, 1]],
    ['prompts in the order they came', [300, 300], 512, [300, 212]],
    ['no room at all', [1, 1, 5], 2, [1, 1, 0]],
  ])('%s', (_, items, size, shares) => {
    expect(shareBatch(items, size)).toEqual(shares)
  })

  it('never exceeds the batch or an item, and wastes nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 16 }),
        fc.integer({ min: 1, max: 512 }),
        (items, size) => {
          const shares = shareBatch(items, size)
          const sum = shares.reduce((total, share) => total + share, 0)
          expect(sum).toBe(
            Math.min(
              size,
              items.reduce((total, tokens) => total + tokens, 0),
            ),
          )
          shares.forEach((share, index) => expect(share).toBeLessThanOrEqual(items[index] ?? 0))
        },
      ),
    )
  })
})

describe('openBarrier', () => {
  it('releases nobody before all are there', async () => {
    const barrier = openBarrier()
    barrier.expect(2)
    const released: string[] = []
    const first = barrier.arrive().then(() => released.push('first'))
    await Promise.resolve()
    expect(released).toEqual([])
    await Promise.all([first, barrier.arrive()])
    expect(released).toEqual(['first'])
  })

  it('never waits for tokens nobody announced', async () => {
    const barrier = openBarrier()
    await barrier.arrive()
    barrier.expect(1)
    await expect(barrier.arrive()).resolves.toBeUndefined()
  })
})
