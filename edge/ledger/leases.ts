// The leases of a cell, as data. What is in flight is what has a live lease: counts are derived, never incremented, so they cannot leak.
// No clock here: every function that needs the time is given it.

import { limits } from '../../shared/limits.ts'
import type { EndpointId, LeaseId, VersionId } from '../../shared/ids.ts'
import type { Operation } from '../../shared/operations.ts'

export type Lease = {
  readonly endpoint: EndpointId
  readonly deadlineMs: number
  readonly version: VersionId
  readonly operation: Operation | null
  /** granted: asked for. charged: dispatched without asking. credit: granted ahead, not used yet. kept: of an earlier life, not told again yet. */
  readonly kind: 'granted' | 'charged' | 'credit' | 'kept'
  /** When it was granted on an endpoint on trial, as the one request that shows how it is. */
  readonly trialSinceMs?: number
}

/** Two views of one set: by id to find a lease, by endpoint so that a count is the size of a set. Only the functions below change them. */
export type Leases = { readonly byId: Map<LeaseId, Lease>; readonly byEndpoint: Map<EndpointId, Set<LeaseId>> }

export const noLeases = (): Leases => ({ byId: new Map(), byEndpoint: new Map() })

export const inFlight = (leases: Leases, endpoint: EndpointId): number => leases.byEndpoint.get(endpoint)?.size ?? 0

/** Requests on the endpoint that are its trial now. One that has shown nothing for so long may last, or be lost: it no longer keeps the next away. */
export function trialsOf({ byId, byEndpoint }: Leases, endpoint: EndpointId, nowMs: number): number {
  const trials = [...(byEndpoint.get(endpoint) ?? [])].map((id) => byId.get(id)?.trialSinceMs)
  return trials.filter((sinceMs) => sinceMs !== undefined && nowMs - sinceMs < limits.firstTokenMsDefault).length
}

/** A deadline as somebody else named it: later than any request may last, or no number at all, it is the latest there can be. */
export function deadlineWithin(deadlineMs: number, nowMs: number): number {
  const latestMs = nowMs + limits.deadlineMsMax + limits.leaseGraceMs
  return deadlineMs <= latestMs ? deadlineMs : latestMs
}

export const leaseCount = (leases: Leases): number => leases.byId.size

/** The live lease of that id: asking twice with one id must not take two places. */
export const findLease = (leases: Leases, id: LeaseId): Lease | null => leases.byId.get(id) ?? null

/** Takes a lease in. One id is one lease: a second with the same id replaces the first, wherever that was. */
export function grant(leases: Leases, id: LeaseId, lease: Lease): void {
  settle(leases, id)
  leases.byId.set(id, lease)
  const held = leases.byEndpoint.get(lease.endpoint)
  if (held) held.add(id)
  else leases.byEndpoint.set(lease.endpoint, new Set([id]))
}

/** Takes a lease back; null when it is not live (settled before, expired, or granted by an earlier life of the object). */
export function settle(leases: Leases, id: LeaseId): Lease | null {
  const lease = leases.byId.get(id)
  if (!lease) return null
  leases.byId.delete(id)
  const held = leases.byEndpoint.get(lease.endpoint)
  held?.delete(id)
  if (held?.size === 0) leases.byEndpoint.delete(lease.endpoint)
  return lease
}

/** Drops every lease whose deadline has come; returns how many there were. */
export function expire(leases: Leases, nowMs: number): number {
  const over = [...leases.byId].filter(([, lease]) => lease.deadlineMs <= nowMs)
  for (const [id] of over) settle(leases, id)
  return over.length
}
