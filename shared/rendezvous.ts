// Which of several places a key belongs to, the same for everybody who asks and with nothing to agree on: weighted rendezvous hashing
// (Thaler and Ravishankar; the weights by the logarithmic method of Schindler). Taking a place away moves only the keys that it had.

/**
 * The items for a key, best first. Each gets a share of all keys in proportion to its weight; those without a positive weight come last.
 * Raising one weight moves keys only to that item.
 */
export function rendezvousOrder<T>(
  key: string,
  items: readonly T[],
  idOf: (item: T) => string,
  weightOf: (item: T) => number,
): readonly T[] {
  const scored = items.map((item) => {
    const id = idOf(item)
    return { item, id, score: scoreOf(`${key}\0${id}`, weightOf(item)) }
  })
  return scored.toSorted((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1)).map(({ item }) => item)
}

/** -w / ln h: the first of exponential clocks with rates w rings first in proportion to w. */
function scoreOf(text: string, weight: number): number {
  if (!(weight > 0) || !Number.isFinite(weight)) return 0
  return -weight / Math.log(Math.max(1, hash53(text)) / 2 ** 53)
}

/**
 * A number in [0, 2^53) from a text, evenly spread and the same everywhere. For spreading, not against somebody who wants collisions.
 * Two FNV-1a lanes over UTF-16 code units with different multipliers, each through the finaliser of MurmurHash3.
 */
export function hash53(text: string): number {
  let low = 0x811c9dc5
  let high = 0x9e3779b9
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    low = Math.imul(low ^ unit, 0x01000193)
    high = Math.imul(high ^ unit, 0x85ebca6b)
  }
  const mixedLow = mix(low ^ (high >>> 15))
  const mixedHigh = mix(high ^ mixedLow)
  return (mixedHigh & 0x1f_ffff) * 2 ** 32 + mixedLow
}

/** MurmurHash3's 32-bit finaliser: each bit of the input turns each bit of the output over with a chance of one half. */
function mix(bits: number): number {
  let mixed = bits
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
