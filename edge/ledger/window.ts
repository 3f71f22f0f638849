// Exact counts over the last few seconds, in buckets of equal length. An average that decays gives a short burst almost no weight;
// counts do not, and silence empties them. No clock here.

/** `newest` is the number of the bucket that `buckets` begins with; older ones follow. */
export type Window<Kind extends string> = {
  readonly kinds: readonly Kind[]
  readonly bucketMs: number
  newest: number
  readonly buckets: Record<Kind, number>[]
}

/** A window of so many buckets; `kinds` are what it counts. */
export function newWindow<Kind extends string>(kinds: readonly Kind[], buckets: number, bucketMs: number): Window<Kind> {
  return { kinds, bucketMs, newest: 0, buckets: Array.from({ length: buckets }, () => zeros(kinds)) }
}

/** Counts one. When the clock has stepped back, counts keep the age they had. */
export function add<Kind extends string>(window: Window<Kind>, kind: Kind, nowMs: number): void {
  const { buckets, kinds } = window
  const passed = Math.min(passedOf(window, nowMs), buckets.length)
  for (let i = 0; i < passed; i++) {
    buckets.pop()
    buckets.unshift(zeros(kinds))
  }
  window.newest = numberOf(window, nowMs)
  const [bucket] = buckets
  if (bucket) bucket[kind]++
}

/** What was counted in the buckets that are not yet too old, the one under way included. */
export function sums<Kind extends string>(window: Window<Kind>, nowMs: number): Record<Kind, number> {
  const total = zeros(window.kinds)
  const held = window.buckets.slice(0, Math.max(0, window.buckets.length - passedOf(window, nowMs)))
  for (const bucket of held) for (const kind of window.kinds) total[kind] += bucket[kind]
  return total
}

export function clear<Kind extends string>(window: Window<Kind>): void {
  for (const bucket of window.buckets) Object.assign(bucket, zeros(window.kinds))
}

const zeros = <Kind extends string>(kinds: readonly Kind[]): Record<Kind, number> =>
  Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<Kind, number>

const numberOf = ({ bucketMs }: { readonly bucketMs: number }, nowMs: number): number => Math.floor(nowMs / bucketMs)

const passedOf = (window: { readonly bucketMs: number; readonly newest: number }, nowMs: number): number =>
  Math.max(0, numberOf(window, nowMs) - window.newest)
