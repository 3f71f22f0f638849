// Which beginnings of prompts an endpoint has seen lately, as the ledger guesses it: what was sent there, not what its cache holds.
// A guess may be wrong and costs a prefill then; it must never cost memory without bound.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'

/** Hashes of blocks by endpoint, least recently used first. */
export type PrefixIndex = Map<EndpointId, Set<number>>

export const newPrefixIndex = (): PrefixIndex => new Map()

/** Notes that a prompt of these blocks went to the endpoint. */
export function remember(index: PrefixIndex, endpoint: EndpointId, blocks: readonly number[]): void {
  if (blocks.length === 0) return
  const held = index.get(endpoint) ?? new Set()
  index.set(endpoint, held)
  // From the end, so that of one prompt the beginning is forgotten last: later blocks are worth nothing without it.
  for (const block of blocks.slice(0, limits.prefixBlocksMax).toReversed()) {
    held.delete(block)
    held.add(block)
  }
  const most = Math.min(limits.prefixIndexBlocksMax, Math.floor(limits.prefixIndexTotalMax / index.size))
  for (const oldest of held) {
    if (held.size <= most) break
    held.delete(oldest)
  }
}

/** How many blocks from the beginning the endpoint has seen. A block's hash is over all before it, so the first that is missing ends it. */
export function matchedBlocks(index: PrefixIndex, endpoint: EndpointId, blocks: readonly number[]): number {
  const held = index.get(endpoint)
  if (!held) return 0
  const missing = blocks.findIndex((block) => !held.has(block))
  return missing === -1 ? blocks.length : missing
}

/** For an endpoint that is gone, or whose engine has restarted with an empty cache. */
export function forget(index: PrefixIndex, endpoint: EndpointId): void {
  index.delete(endpoint)
}
