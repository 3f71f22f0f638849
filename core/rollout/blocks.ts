// What stable and canary have shown, in blocks of one region and ten seconds. Decides which blocks count: each once, whatever the
// order in which they are told. Pure.
//
// A request counts in the block in which it arrived, never in that in which it ended: when the canary's weight has just risen, its
// quick failures end before its slow successes, and a sound version would look bad. A block is told once it is certain for all its
// requests, in both arms by the same rule: "failed within 30 s", not "failed so far". Likewise a limit such as stable's TTFT p95 is
// fixed before the block and the same for both arms. Of a caller's retries only the first attempt counts.

import { limits } from '../../shared/limits.ts'
import type { RegionName } from '../../shared/ids.ts'

/** What may go wrong with one request; each is a yes or no. The first is judged always, and counts all requests. */
export const metrics = ['hard_error', 'slow_first_token', 'slow_tokens', 'empty_answer', 'schema_violation', 'early_abort'] as const
export type Metric = (typeof metrics)[number]

/** Requests of one version, and how many of them were bad. */
export type Arm = { readonly requests: number; readonly bad: number }
export type Pair = { readonly stable: Arm; readonly canary: Arm }

/** Region and start are its identity. A metric that was not measured is absent; its requests are those to which it applies. */
export type ArmBlock = {
  readonly region: RegionName
  /** A multiple of limits.rolloutBlockMs. */
  readonly fromMs: number
  readonly metrics: Readonly<Partial<Record<Metric, Pair>>>
}

/** By region, the numbers of the blocks that counted lately, in ascending order. */
export type Seen = Readonly<Record<RegionName, readonly number[]>>

export const none: Arm = { requests: 0, bad: 0 }
export const noPair: Pair = { stable: none, canary: none }

export const addArms = (a: Arm, b: Arm): Arm => ({ requests: a.requests + b.requests, bad: a.bad + b.bad })
export const addPairs = (a: Pair, b: Pair): Pair => ({ stable: addArms(a.stable, b.stable), canary: addArms(a.canary, b.canary) })

/**
 * Those of the blocks that count now, oldest first, and what has been seen with them. Left out are blocks that have counted before,
 * of a time to come, later than limits.rolloutBlockLateMsMax, of regions that are not among `regions`, with impossible numbers, and
 * without any request: an empty block says nothing, and leaves room for what its requests may still tell.
 */
export function unseen(
  seen: Seen,
  blocks: readonly ArmBlock[],
  regions: readonly RegionName[],
  nowMs: number,
): { readonly seen: Seen; readonly fresh: readonly ArmBlock[] } {
  const after: Record<RegionName, readonly number[]> = { ...seen }
  const fresh: ArmBlock[] = []
  const newest = numberOf(nowMs)
  const oldest = numberOf(nowMs - limits.rolloutBlockLateMsMax)
  for (const block of blocks.toSorted(byTime)) {
    const number = numberOf(block.fromMs)
    const known = after[block.region] ?? []
    if (!regions.includes(block.region) || number > newest || number < oldest || known.includes(number) || !says(block)) continue
    after[block.region] = [...known.filter((each) => each >= oldest), number].toSorted((a, b) => a - b)
    fresh.push(block)
  }
  return { seen: after, fresh }
}

const numberOf = (atMs: number): number => Math.floor(atMs / limits.rolloutBlockMs)

const byTime = (a: ArmBlock, b: ArmBlock): number => a.fromMs - b.fromMs || (a.region < b.region ? -1 : 1)

/** Whether there is any request in it, and all numbers can be. */
function says(block: ArmBlock): boolean {
  const arms = Object.values(block.metrics).flatMap(({ stable, canary }) => [stable, canary])
  return arms.every(isPossible) && arms.some(({ requests }) => requests > 0)
}

const isPossible = ({ requests, bad }: Arm): boolean =>
  Number.isSafeInteger(requests) && Number.isSafeInteger(bad) && bad >= 0 && bad <= requests && requests <= limits.toldCountMax
