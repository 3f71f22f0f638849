// What grew between two pages of an engine, and what follows from it: rates, means, quantiles. The caller keeps the counters of an earlier
// page and hands them in; which page that is decides over what time the numbers are taken. Pure: the time is part of the counters.

/** Counts by name, cumulative since the engine began. */
type Counts = Readonly<Record<string, number>>

/** A page's counters. Plain data: it can be stored as JSON. Absent is not told, which is not zero. */
export type Counters = {
  readonly atMs: number
  /** Whose counters these are: those of another engine or model are not compared with. */
  readonly of: string
  /** When the engine's process began, where the page says so (process_start_time_seconds). */
  readonly startedAtS: number | null
  readonly totals: Counts
  /** By histogram: how many were at most so much, by String of that bound; the last is `Infinity`. */
  readonly histograms: Readonly<Record<string, Counts>>
}

/** One step of a histogram: how many were at most `le`, the steps below it included. */
export type Bucket = readonly [le: number, count: number]

export type Growth = {
  /** Time between the pages; null when there is nothing to compare with, and all below is since the engine began. */
  readonly elapsedMs: number | null
  readonly totals: Counts
  /** Each in order of its bounds. */
  readonly histograms: Readonly<Record<string, readonly Bucket[]>>
}

/**
 * What `now` has more than `before`. A count lower than before means that the engine began anew: then all of its counts are new, not only
 * that one. A count that was not told before began at zero, as labelled series do.
 */
export function growthOf(now: Counters, before: Counters | null): Growth {
  const comparable = before !== null && before.of === now.of && before.atMs < now.atMs
  const since = comparable && !restarted(now, before) ? before : null
  return {
    elapsedMs: comparable ? now.atMs - before.atMs : null,
    totals: grown(now.totals, since?.totals),
    histograms: Object.fromEntries(
      Object.entries(now.histograms).map(([name, counts]) => [name, bucketsOf(grown(counts, since?.histograms[name]))]),
    ),
  }
}

function restarted(now: Counters, before: Counters): boolean {
  if (now.startedAtS !== null && before.startedAtS !== null && now.startedAtS !== before.startedAtS) return true
  const fell = (counts: Counts, earlier: Counts = {}) => Object.entries(counts).some(([name, count]) => count < (earlier[name] ?? 0))
  return fell(now.totals, before.totals) || Object.entries(now.histograms).some(([name, counts]) => fell(counts, before.histograms[name]))
}

const grown = (counts: Counts, earlier: Counts = {}): Counts =>
  Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count - (earlier[name] ?? 0)]))

const bucketsOf = (counts: Counts): readonly Bucket[] =>
  Object.entries(counts)
    .map(([le, count]): Bucket => [Number(le), count])
    .toSorted(([a], [b]) => a - b)

/** Per second; null without an earlier page, or when the count is not told. */
export function ratePerS({ elapsedMs, totals }: Growth, name: string): number | null {
  const grown = totals[name]
  return elapsedMs === null || grown === undefined ? null : (grown * 1000) / elapsedMs
}

/** One count as a part or multiple of another; null when either is not told, or nothing happened. */
export function quotient({ totals }: Growth, over: string, under: string): number | null {
  const above = totals[over]
  const below = totals[under]
  return above === undefined || below === undefined || below <= 0 ? null : above / below
}

/**
 * The value that a share `q` of the observations does not exceed, by linear interpolation inside its bucket, as Prometheus'
 * histogram_quantile does it: the first bucket begins at zero, the last one answers with its lower bound. Null without observations, without
 * a bucket that counts them all, or without any that says how long they took.
 */
export function quantile(q: number, buckets: readonly Bucket[]): number | null {
  const total = buckets.at(-1)
  if (buckets.length < 2 || !total || total[0] !== Number.POSITIVE_INFINITY || !(total[1] > 0)) return null
  const rank = q * total[1]
  let [below, counted] = [0, 0]
  for (const [le, count] of buckets) {
    // Buckets that were read one after the other may be a little out of step: a cumulative count never falls.
    const most = Math.max(count, counted)
    if (most >= rank) return le === Number.POSITIVE_INFINITY ? below : below + (le - below) * ((rank - counted) / (most - counted))
    ;[below, counted] = [Math.max(below, le), most]
  }
  return below
}
