// What one isolate does on its own account: endpoints it leaves aside for a moment after they failed a request here, and the retries it may
// make without a ledger. Plain data, bounded by limits.reflexesHeldMax endpoints.

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import type { Clock } from '../../shared/time.ts'
import type { EndpointId } from '../../shared/ids.ts'
import { deposit, withdraw } from '../call/retry.ts'
import type { Reflexes } from '../ports.ts'

/** One per isolate, shared by its requests. */
export type ReflexMemory = { readonly asideUntilMs: Map<EndpointId, number>; retries: number }

export const emptyReflexMemory = (): ReflexMemory => ({ asideUntilMs: new Map(), retries: 0 })

export const reflexes = (memory: ReflexMemory, { clock, random }: { readonly clock: Clock; readonly random: Random }): Reflexes => ({
  failed: (endpoint) => {
    const { asideUntilMs } = memory
    asideUntilMs.delete(endpoint)
    // By chance, so that isolates do not all come back at once.
    asideUntilMs.set(endpoint, clock.nowMs() + limits.reflexMsMin + random() * (limits.reflexMsMax - limits.reflexMsMin))
    const oldest = asideUntilMs.size > limits.reflexesHeldMax ? asideUntilMs.keys().next().value : undefined
    if (oldest !== undefined) asideUntilMs.delete(oldest)
  },
  isAside: (endpoint) => (memory.asideUntilMs.get(endpoint) ?? 0) > clock.nowMs(),
  depositRetry: () => void (memory.retries = deposit(memory.retries)),
  takeRetry: () => {
    const left = withdraw(memory.retries)
    if (left === null) return false
    memory.retries = left
    return true
  },
})
