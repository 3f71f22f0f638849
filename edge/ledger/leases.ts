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
  /**
   * granted: asked for. charged: dispatched without asking. credit: granted ahead, not used yet. kept: of an earlier life, not told again yet.
   * moved: on the server that its endpoint stood for before its address changed; it takes no place on the new one.
   */
  readonly kind: 'granted' | 'charged' | 'credit' | 'kept' | 'moved'
  /** When it was granted, or its charge was heard. */
  readonly sinceMs: number
  /** Whether it was granted on an endpoint on trial, as the one request that shows how it is. */
  readonly trial?: boolean
}

/** Views of one set: by id to find a lease, by endpoint so that a count is the size of a set. Only the functions below change them. */
export type Leases = {
  readonly byId: Map<LeaseId, Lease>
  /** Without those that have moved. */
  readonly byEndpoint: Map<EndpointId, Set<LeaseId>>
  /** Ends of unused credits, in the order in which they were granted: all last equally long, so the first ends first. */
  readonly creditEndsMs: Map<LeaseId, number>
}

export const noLeases = (): Leases => ({ byId: new Map(), byEndpoint: new Map(), creditEndsMs: new Map() })

export const inFlight = (leases: Leases, endpoint: EndpointId): number => leases.byEndpoint.get(endpoint)?.size ?? 0

/** Requests on the endpoint that are its trial now. One that has shown nothing for so long may last, or be lost: it no longer keeps the next away. */
export function trialsOf({ byId, byEndpoint }: Leases, endpoint: EndpointId, nowMs: number): number {
  const held = [...(byEndpoint.get(endpoint) ?? [])].map((id) => byId.get(id))
  return held.filter((lease) => lease?.trial === true && Math.abs(nowMs - lease.sinceMs) < limits.firstTokenMsDefault).length
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
  if (lease.kind === 'moved') return
  if (lease.kind === 'credit') leases.creditEndsMs.set(id, lease.deadlineMs)
  const held = leases.byEndpoint.get(lease.endpoint)
  if (held) held.add(id)
  else leases.byEndpoint.set(lease.endpoint, new Set([id]))
}

/** Takes a lease back; null when it is not live (settled before, expired, or granted by an earlier life of the object). */
export function settle(leases: Leases, id: LeaseId): Lease | null {
  const lease = leases.byId.get(id)
  if (!lease) return null
  leases.byId.delete(id)
  leases.creditEndsMs.delete(id)
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

/** Drops every unused credit whose time has come; returns how many there were. Looks at no more than those. */
export function expireCredits(leases: Leases, nowMs: number): number {
  let over = 0
  for (const [id, endMs] of leases.creditEndsMs) {
    if (endMs > nowMs) break
    settle(leases, id)
    over++
  }
  return over
}

/** The endpoint stands for another server now: what runs on the one before is counted there no more, and what was granted ahead ends. */
export function moveAway(leases: Leases, endpoint: EndpointId): void {
  for (const id of leases.byEndpoint.get(endpoint) ?? []) {
    const lease = settle(leases, id)
    if (lease && lease.kind !== 'credit') grant(leases, id, { ...lease, kind: 'moved' })
  }
}
