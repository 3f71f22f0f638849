// How many second attempts a cell allows itself. Retries of everything, everywhere at once, are how an outage grows: the bound is a
// part of the cell's own requests, and there is no floor per isolate. Pure; a window of one-second buckets is all it holds.

import { limits } from '../../shared/limits.ts'
import type { Purpose } from '../../shared/wire/ledger.ts'
import { add, newWindow, sums, type Window } from './window.ts'

export type Budget = Window<Purpose>

export const newBudget = (): Budget =>
  newWindow(['first', 'retry', 'hedge'], limits.retryWindowMs / limits.budgetBucketMs, limits.budgetBucketMs)

/** Counts a lease that was granted, or a charge. */
export const count = (budget: Budget, purpose: Purpose, nowMs: number): void => add(budget, purpose, nowMs)

/** Whether one more retry fits: fewer than `retryShare` of the window's first attempts and `retryFloor` more. */
export function mayRetry(budget: Budget, nowMs: number): boolean {
  const { first, retry } = sums(budget, nowMs)
  return retry < limits.retryShare * first + limits.retryFloor
}

/** Whether a second copy beside a slow request fits, with this one included; `use` is the part of the cell's places that are taken, 0 to 1. */
export function mayHedge(budget: Budget, nowMs: number, use: number): boolean {
  const { first, hedge } = sums(budget, nowMs)
  return use < limits.hedgeUseMax && first >= limits.hedgeFirstsMin && hedge + 1 <= limits.hedgeShare * first
}
