// What names the beginning of a prompt: hashes of its blocks. Pure. Engines keep the keys and values of whole blocks they have seen, so a
// request that begins like another is served sooner where that one was. Nobody has counted tokens here; characters stand for them.

import { limits } from '../../shared/limits.ts'
import type { TenantId } from '../../shared/ids.ts'
import { hash53 } from '../../shared/rendezvous.ts'

const blockChars = limits.prefixBlockTokens * limits.prefixCharsPerToken

/** No more of a prompt is looked at. */
export const prefixCharsMax = limits.prefixBlocksMax * blockChars

/** Blocks that make the key: requests which share so much are each other's like, however they go on. */
const keyBlocks = 4

/**
 * A hash for each whole block of `text`, over all that comes before it: two texts have the same hash at a place only when they are equal up to there.
 * The tenant goes in: an explanation says whether a prompt's beginning was seen before, and nobody may find out so what others ask.
 */
export function prefixBlocks(tenant: TenantId, text: string): readonly number[] {
  const hashes: number[] = []
  const end = Math.min(text.length, prefixCharsMax)
  for (let from = 0; from + blockChars <= end; from += blockChars)
    hashes.push(hash53(`${hashes.at(-1) ?? tenant}:${text.slice(from, from + blockChars)}`))
  return hashes
}

/** The key of a beginning: its first blocks, up to four; null without a whole one, for then there is nothing worth staying for. */
export const prefixKey = (blocks: readonly number[]): string | null => {
  const last = blocks.slice(0, keyBlocks).at(-1)
  return last === undefined ? null : `prefix:${last.toString(36)}`
}
