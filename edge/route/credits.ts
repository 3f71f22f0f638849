// Leases held ahead by a busy isolate: how many it wants, and which one a request may use. No clock: the time is given.
// A credit serves requests like the one it was granted with, and one of them only.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { Credit } from '../../shared/wire/ledger.ts'
import type { CreditKind } from '../ports.ts'

/** Requests of one kind: those of the second under way, those of the one before, the credits held, and until when those asked for may come. */
type Held = { secondMs: number; now: number; before: number; credits: Credit[]; awaitedUntilMs: number }

/** One per isolate, bounded by limits.creditKindsMax; the kinds seen longest ago go first. */
export type CreditMemory = Map<string, Held>

const nameOf = ({ cell, version, operation, residency }: CreditKind): string => JSON.stringify([cell, version, operation, residency])

/** How long one bucket of the count lasts: the rate is per second. */
const secondMs = 1_000

/** Counts a request of this kind. */
export function countRequest(memory: CreditMemory, kind: CreditKind, nowMs: number): void {
  const name = nameOf(kind)
  const held = memory.get(name) ?? { secondMs: nowMs, now: 0, before: 0, credits: [], awaitedUntilMs: 0 }
  const seconds = Math.floor((nowMs - held.secondMs) / secondMs)
  if (seconds > 0) {
    held.before = seconds === 1 ? held.now : 0
    held.now = 0
    held.secondMs += seconds * secondMs
  }
  held.now++
  memory.delete(name)
  memory.set(name, held)
  const oldest = memory.size > limits.creditKindsMax ? memory.keys().next().value : undefined
  if (oldest !== undefined) memory.delete(oldest)
}

/**
 * Credits to ask for with a question of this kind: what half a second of such requests needs (rate x limits.creditMs), less what is held;
 * none below the rate from which on it pays, nor while others are on their way. The rate is the larger of the last whole second's and the one
 * under way.
 */
export function creditsWanted(memory: CreditMemory, kind: CreditKind, nowMs: number): number {
  const held = memory.get(nameOf(kind))
  if (!held || held.awaitedUntilMs > nowMs) return 0
  const perS = Math.max(held.now, nowMs - held.secondMs < 2 * secondMs ? held.before : 0)
  if (perS <= limits.creditMinPerS) return 0
  const left = held.credits.filter(({ expiresAtMs }) => expiresAtMs > nowMs).length
  return Math.max(0, Math.min(limits.creditsMax, Math.ceil((perS * limits.creditMs) / 1_000)) - left)
}

/** How many to ask for now. Questions sent together would each ask for as many, and what nobody keeps would hold its places all the same. */
export function askForCredits(memory: CreditMemory, kind: CreditKind, nowMs: number): number {
  const wanted = creditsWanted(memory, kind, nowMs)
  const held = memory.get(nameOf(kind))
  // A question whose answer is lost must not end it for ever.
  if (held && wanted > 0) held.awaitedUntilMs = nowMs + limits.creditMs
  return wanted
}

/** Keeps what the answer to a question for credits brought, at most limits.creditsMax in all; the rest ends by itself. */
export function keepCredits(memory: CreditMemory, kind: CreditKind, credits: readonly Credit[], nowMs: number): void {
  const held = memory.get(nameOf(kind))
  if (!held) return
  held.awaitedUntilMs = 0
  const live = [...held.credits, ...credits].filter(({ expiresAtMs }) => expiresAtMs > nowMs)
  held.credits = live.slice(0, limits.creditsMax)
}

/** Takes out the first credit that is still good, for an endpoint that the request may use; those passed over are dropped, they end soon. */
export function takeCredit(
  memory: CreditMemory,
  kind: CreditKind,
  isUsable: (endpoint: EndpointId) => boolean,
  nowMs: number,
): Credit | null {
  const held = memory.get(nameOf(kind))
  for (;;) {
    const credit = held?.credits.shift()
    if (!credit) return null
    if (credit.expiresAtMs > nowMs && isUsable(credit.endpoint)) return credit
  }
}
