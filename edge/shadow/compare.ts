// What a copy says of the canary beside stable's answer to the same request. Pure. No text is compared, only its digest.

import type { Compared } from '../../shared/wire/trial.ts'
import type { Ended } from '../facts.ts'

/** One of the two answers. `ended` is null where there was none. */
export type Side = { readonly ended: Ended | null; readonly tookMs: number }

/** The comparison of one pair, to be summed with others. Lengths and times count only where both answered, and lengths where both were counted. */
export function compare(stable: Side, canary: Side): Compared {
  const [stableFailed, canaryFailed] = [hasFailed(stable), hasFailed(canary)]
  const both = !stableFailed && !canaryFailed
  const [left, right] = [both ? textOf(stable) : null, both ? textOf(canary) : null]
  const isDeterministic = left !== null && right !== null
  const [tokensStable, tokensCanary] = [tokensOf(stable), tokensOf(canary)]
  const areCounted = both && tokensStable !== null && tokensCanary !== null
  return {
    of: 1,
    errorsDiffer: stableFailed === canaryFailed ? 0 : 1,
    deterministic: isDeterministic ? 1 : 0,
    same: isDeterministic && left === right ? 1 : 0,
    tokensStable: areCounted ? tokensStable : 0,
    tokensCanary: areCounted ? tokensCanary : 0,
    tookMsStable: both ? stable.tookMs : 0,
    tookMsCanary: both ? canary.tookMs : 0,
  }
}

const hasFailed = ({ ended }: Side): boolean => ended?.how !== 'complete'
const textOf = ({ ended }: Side): string | null => ended?.sense?.textHash ?? null
const tokensOf = ({ ended }: Side): number | null => ended?.usage?.outputTokens ?? null
