// Chance as a parameter, and the draws made with it.

/** A uniform number in [0, 1). */
export type Random = () => number

/**
 * Draws one item with probability proportional to its weight; null when no weight is positive.
 * Negative and non-finite weights count as zero: a broken weight must not capture the draw.
 */
export function drawWeighted<T>(items: readonly T[], weightOf: (item: T) => number, random: Random): T | null {
  const weights = items.map((item) => {
    const weight = weightOf(item)
    return Number.isFinite(weight) && weight > 0 ? weight : 0
  })
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  if (total <= 0) return null
  let left = random() * total
  let last: T | null = null
  for (const [index, item] of items.entries()) {
    const weight = weights[index] ?? 0
    if (weight === 0) continue
    last = item
    left -= weight
    if (left < 0) return item
  }
  // Rounding may leave a hair's breadth over: it belongs to the last item that could be drawn.
  return last
}

/** A seeded generator for tests and simulations (mulberry32, Tommy Ettinger's public-domain mixer): the same seed gives the same run. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
