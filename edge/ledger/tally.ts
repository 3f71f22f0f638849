// Outcomes per endpoint since core last asked. Bounded by the number of endpoints that ever answered between two exchanges.

import type { EndpointId } from '../../shared/ids.ts'
import type { OutcomeKind } from '../../shared/wire/ledger.ts'

export type Counts = Record<OutcomeKind, number>
export type Tally = Map<EndpointId, Counts>

const zero = (): Counts => ({ good: 0, soft_failure: 0, hard_failure: 0, cancelled: 0 })

export function count(tally: Tally, endpoint: EndpointId, outcome: OutcomeKind): void {
  const counts = tally.get(endpoint) ?? zero()
  counts[outcome]++
  tally.set(endpoint, counts)
}

/** The counts as plain data, and an empty tally from now on. */
export function takeTally(tally: Tally): Record<string, Counts> {
  const taken = Object.fromEntries(tally)
  tally.clear()
  return taken
}
