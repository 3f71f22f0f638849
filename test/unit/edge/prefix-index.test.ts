import { describe, expect, it } from 'vitest'
import { forget, matchedBlocks, newPrefixIndex, remember } from '../../../edge/ledger/prefix-index.ts'
import { limits } from '../../../shared/limits.ts'
import type { EndpointId } from '../../../shared/ids.ts'

const a = 'a' as EndpointId
const b = 'b' as EndpointId

describe('matched blocks', () => {
  const index = newPrefixIndex()
  remember(index, a, [1, 2, 3, 4])

  it.each([
    [[1, 2, 3, 4], 4],
    [[1, 2, 3, 4, 5], 4],
    [[1, 2], 2],
    [[1, 9, 3, 4], 1],
    [[9, 2, 3, 4], 0],
    [[], 0],
  ])('of %j are %i', (blocks, matched) => {
    expect(matchedBlocks(index, a, blocks)).toBe(matched)
    expect(matchedBlocks(index, b, blocks)).toBe(0)
  })
})

describe('memory', () => {
  const prompt = (n: number): readonly number[] => Array.from({ length: limits.prefixBlocksMax }, (_, i) => n * 1_000 + i)

  it('holds so many blocks per endpoint, the longest unused going first', () => {
    const index = newPrefixIndex()
    const fits = Math.floor(limits.prefixIndexBlocksMax / limits.prefixBlocksMax)
    for (let n = 0; n < fits; n++) remember(index, a, prompt(n))
    remember(index, a, prompt(0))
    remember(index, a, prompt(fits))
    remember(index, a, prompt(fits + 1))
    expect(index.get(a)?.size).toBe(limits.prefixIndexBlocksMax)
    expect(matchedBlocks(index, a, prompt(0))).toBe(limits.prefixBlocksMax)
    expect(matchedBlocks(index, a, prompt(1))).toBeLessThan(limits.prefixBlocksMax)
    expect(matchedBlocks(index, a, prompt(fits + 1))).toBe(limits.prefixBlocksMax)
  })

  it('of a prompt that is half forgotten the beginning is what remains', () => {
    const index = newPrefixIndex()
    remember(index, a, prompt(0))
    const filler = limits.prefixIndexBlocksMax - limits.prefixBlocksMax / 2
    for (let n = 0; n < filler; n++) remember(index, a, [1e9 + n])
    expect(matchedBlocks(index, a, prompt(0))).toBe(limits.prefixBlocksMax / 2)
  })

  it('is shared by all endpoints of the cell: many of them hold less each', () => {
    const index = newPrefixIndex()
    for (let n = 0; n < 20_000; n++) remember(index, `e${n % 100}` as EndpointId, prompt(n))
    const held = [...index.values()].reduce((sum, blocks) => sum + blocks.size, 0)
    expect(held).toBeLessThanOrEqual(limits.prefixIndexTotalMax)
  })

  it('takes no more of one prompt than is compared', () => {
    const index = newPrefixIndex()
    remember(
      index,
      a,
      Array.from({ length: 10_000 }, (_, i) => i),
    )
    expect(index.get(a)?.size).toBe(limits.prefixBlocksMax)
  })

  it('forgets an endpoint, and keeps none for a prompt without blocks', () => {
    const index = newPrefixIndex()
    remember(index, a, [1])
    remember(index, b, [])
    forget(index, a)
    expect(index.size).toBe(0)
  })
})
