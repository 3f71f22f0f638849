// cli/engine/batch.ts — who gets how many tokens of the next decode call. Running answers first, one token each, so that a long prompt
// delays nobody's next token by more than one call; prompts share what is left in the order they came.

/** How many of each item's tokens go into this call; items and result have the same order, and the sum is at most `batchTokens`. */
export function shareBatch(itemTokens: readonly number[], batchTokens: number): readonly number[] {
  let left = batchTokens
  const shares = itemTokens.map(() => 0)
  const give = (index: number, tokens: number): void => {
    const most = Math.min(tokens, left)
    shares[index] = most
    left -= most
  }
  itemTokens.forEach((tokens, index) => {
    if (tokens === 1) give(index, 1)
  })
  itemTokens.forEach((tokens, index) => {
    if (tokens !== 1) give(index, tokens)
  })
  return shares
}
