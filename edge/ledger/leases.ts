// The leases of a cell, as data. What is in flight is what has a live lease: counts are derived, never incremented, so they cannot leak.
// No clock here: every function that needs the time is given it.

import type { EndpointId, LeaseId } from '../../shared/ids.ts'

export type Lease = { readonly endpoint: EndpointId; readonly deadlineMs: number }

/** Endpoint -> lease -> lease's data. Kept per endpoint so that a count is the size of a map. */
export type Leases = Map<EndpointId, Map<LeaseId, Lease>>

export const noLeases = (): Leases => new Map()

export const inFlight = (leases: Leases, endpoint: EndpointId): number => leases.get(endpoint)?.size ?? 0

export const leaseCount = (leases: Leases): number => {
  let count = 0
  for (const held of leases.values()) count += held.size
  return count
}

/** The live lease of that id, wherever it is: asking twice with one id must not take two places. */
export function findLease(leases: Leases, id: LeaseId): Lease | null {
  for (const held of leases.values()) {
    const lease = held.get(id)
    if (lease) return lease
  }
  return null
}

export function grant(leases: Leases, id: LeaseId, lease: Lease): void {
  const held = leases.get(lease.endpoint)
  if (held) held.set(id, lease)
  else leases.set(lease.endpoint, new Map([[id, lease]]))
}

/** Takes a lease back; null when it is not live (settled before, expired, or granted by an earlier life of the object). */
export function settle(leases: Leases, id: LeaseId): Lease | null {
  for (const [endpoint, held] of leases) {
    const lease = held.get(id)
    if (!lease) continue
    held.delete(id)
    if (held.size === 0) leases.delete(endpoint)
    return lease
  }
  return null
}

/** Drops every lease whose deadline has come; returns how many there were. */
export function expire(leases: Leases, nowMs: number): number {
  let expired = 0
  for (const [endpoint, held] of leases) {
    for (const [id, lease] of held) {
      if (lease.deadlineMs > nowMs) continue
      held.delete(id)
      expired++
    }
    if (held.size === 0) leases.delete(endpoint)
  }
  return expired
}
