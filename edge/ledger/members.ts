// The endpoints of the cell as the ledger knows them: what core published, and what their own requests have shown. Pure.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'
import { servedAs } from '../../shared/operations.ts'
import type { Ask, EndpointLoad } from '../../shared/wire/ledger.ts'
import type { Endpoint, Snapshot } from '../../shared/wire/snapshot.ts'
import { capOf, isOut, newBreaker, reasonOf, stateOf, type Breaker } from './breaker.ts'
import { inFlight, trialsOf, type Leases } from './leases.ts'
import type { Candidate } from './pick.ts'
import { isStale, lastGoodAtMs, newSpeed, prefillMs, serviceMs, ttftMs, type Speed } from './speed.ts'

export type Member = { endpoint: Endpoint; readonly breaker: Breaker; readonly speed: Speed }
export type Members = Map<EndpointId, Member>

/** Takes over a snapshot's endpoints of the cell. What was learnt of one stays with its address: behind another stands another server. */
export function renew(members: Members, endpoints: readonly Endpoint[]): void {
  const present = new Set(endpoints.map(({ id }) => id))
  for (const id of members.keys()) if (!present.has(id)) members.delete(id)
  for (const endpoint of endpoints) {
    const known = members.get(endpoint.id)
    if (known?.endpoint.url === endpoint.url) known.endpoint = endpoint
    else members.set(endpoint.id, { endpoint, breaker: newBreaker(), speed: newSpeed() })
  }
}

/** What a request needs of an endpoint. */
export type Need = Pick<Ask, 'version' | 'operation'>

export const canServe = ({ endpoint }: Pick<Member, 'endpoint'>, { version, operation }: Need): boolean =>
  endpoint.version === version && (operation === undefined || servedAs(endpoint.operations, operation) !== null)

/** The members that can serve a request, in whatever state they are. */
export const membersFor = (members: Members, need: Need): readonly Member[] =>
  [...members.values()].filter((member) => canServe(member, need))

/** Endpoints that an operator or their own state withholds are none of the ledger's choices, not even in a panic. */
export function isWithheld({ endpoint }: Member): boolean {
  if (endpoint.weight <= 0 || endpoint.state === 'draining' || endpoint.state === 'disabled') return true
  return endpoint.health === 'warming' || endpoint.health === 'sleeping' || endpoint.health === 'gone'
}

/**
 * Whether core's word on it still holds. It does until requests show otherwise: with core gone, an endpoint that answers again must not
 * stay out, nor on trial, because of an old page.
 */
const isCoresWord = ({ breaker, speed }: Member, { publishedAtMs }: Snapshot, nowMs: number): boolean =>
  stateOf(breaker, nowMs) === 'closed' && (lastGoodAtMs(speed) ?? 0) <= publishedAtMs

/** Whether it is out because core says so, and not by its breaker. */
export const isOutByCore = (member: Member, snapshot: Snapshot, nowMs: number): boolean =>
  member.endpoint.state === 'unhealthy' && member.endpoint.health !== 'probing' && isCoresWord(member, snapshot, nowMs)

export const isOutNow = (member: Member, snapshot: Snapshot, nowMs: number): boolean =>
  isOut(member.breaker, nowMs) || isOutByCore(member, snapshot, nowMs)

const isOnTrial = (member: Member, snapshot: Snapshot, nowMs: number): boolean =>
  stateOf(member.breaker, nowMs) === 'half_open' || (member.endpoint.health === 'probing' && isCoresWord(member, snapshot, nowMs))

/** How many requests it may have in flight now; while it is on trial one, beside those that still run from before: a long answer must not put the trial off. */
export function capNow(member: Member, { snapshot, leases }: Pick<View, 'snapshot' | 'leases'>, nowMs: number): number {
  const { breaker, endpoint } = member
  if (!isOnTrial(member, snapshot, nowMs)) return capOf(breaker, endpoint.slots, nowMs)
  return Math.min(endpoint.slots, inFlight(leases, endpoint.id) - trialsOf(leases, endpoint.id, nowMs) + 1)
}

/** Mean service time in milliseconds of those measured of late, else of those ever measured, else a plausible one. */
export function meanServiceMs(members: readonly Member[], nowMs: number): number {
  const ofLate = members.filter(({ speed }) => !isStale(speed, nowMs))
  const timesOf = (among: readonly Member[]) => among.map(({ speed }) => serviceMs(speed, nowMs))
  return meanOf(timesOf(ofLate)) ?? meanOf(timesOf(members)) ?? limits.serviceUnmeasuredMs
}

/** The mean of those that are known; null when none is. */
export function meanOf(times: readonly (number | null)[]): number | null {
  const known = times.filter((ms) => ms !== null)
  return known.length > 0 ? known.reduce((sum, ms) => sum + ms, 0) / known.length : null
}

export const weightOf = ({ endpoint }: Member): number => endpoint.weight * (endpoint.health === 'degraded' ? limits.degradedFactor : 1)

export type View = {
  readonly snapshot: Snapshot
  readonly leases: Leases
  /** Prompt tokens that an endpoint would have to work through; null: not known. */
  readonly promptTokensOf: (endpoint: EndpointId) => number | null
}

/**
 * The candidates as they are now, those out included. One not measured, or not of late, is given the mean service time and the best time
 * to the first token of the others, so that it gets measured.
 */
export function candidatesOf(members: readonly Member[], view: View, nowMs: number): readonly Candidate[] {
  const prefills = members.map(({ endpoint, speed }) => (isStale(speed, nowMs) ? null : prefillMs(speed, view.promptTokensOf(endpoint.id))))
  const services = members.map(({ speed }) => (isStale(speed, nowMs) ? null : serviceMs(speed, nowMs)))
  // Those that are out lend their times to nobody: they would make one that was never measured look quick, or slow (vllm-project/router#254).
  const isIn = members.map((member) => !isOutNow(member, view.snapshot, nowMs))
  const known = prefills.filter((ms, index): ms is number => ms !== null && isIn[index] === true)
  const bestMs = known.length > 0 ? Math.min(...known) : 0
  const meanMs = meanOf(services.filter((_, index) => isIn[index])) ?? meanServiceMs(members, nowMs)
  return members.map((member, index) => {
    const { endpoint, speed } = member
    const weight = weightOf(member)
    return {
      id: endpoint.id,
      version: endpoint.version,
      slots: endpoint.slots,
      weight,
      inFlight: inFlight(view.leases, endpoint.id),
      cap: capNow(member, view, nowMs),
      rate: (endpoint.slots * weight * 1_000) / (services[index] ?? meanMs),
      prefillMs: prefills[index] ?? bestMs,
      onTrial: isOnTrial(member, view.snapshot, nowMs),
      unproven: endpoint.state === 'unknown' && lastGoodAtMs(speed) === null,
      out: isOutNow(member, view.snapshot, nowMs),
    }
  })
}

/** What core is told of an endpoint. */
export const loadOf = (member: Member, view: Pick<View, 'snapshot' | 'leases'>, nowMs: number): EndpointLoad => ({
  inFlight: inFlight(view.leases, member.endpoint.id),
  cap: capNow(member, view, nowMs),
  breaker: stateOf(member.breaker, nowMs),
  serviceMs: serviceMs(member.speed, nowMs),
  ttftMs: ttftMs(member.speed),
  lastGoodAtMs: lastGoodAtMs(member.speed),
  reason: reasonOf(member.breaker),
})
