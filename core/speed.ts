// How many requests per second endpoints complete, by their ledgers' measurements. Pure.
// An endpoint that has not been measured counts as the mean of the others: not knowing must neither attract nor deter.

import { limits } from '../shared/limits.ts'
import type { EndpointId } from '../shared/ids.ts'
import type { EndpointLoad } from '../shared/wire/ledger.ts'
import { mayServe, type Endpoint } from '../shared/wire/snapshot.ts'

/** An endpoint and its ledger's word on it; null while the ledger is silent. */
export type Known = { readonly endpoint: Endpoint; readonly load: EndpointLoad | null }

export type Speed = {
  /** Mean service in milliseconds over the requests of all, each endpoint as busy as it can be: slots / rates. */
  readonly serviceMs: number
  /** Mean service of one endpoint in milliseconds. */
  readonly serviceMsOf: (endpoint: EndpointId) => number
  /** What it may be given now, as a part of what it completes per second when full: less while throttled, starting slowly or degraded. */
  readonly factorOf: (endpoint: EndpointId) => number
  /** Requests per second that it completes when it has all it may be given. */
  readonly perS: (endpoint: EndpointId) => number
}

export function speedOf(all: readonly Known[]): Speed {
  const known = new Map(all.map((each) => [each.endpoint.id, each]))
  const isMeasured = ({ load }: Known): boolean => measuredMs(load) !== null
  // Failures count as long services: one that is out must not make those look slow of which nothing is known yet.
  const serving = all.filter((each) => isMeasured(each) && mayServe(each.endpoint))
  const measured = (serving.length > 0 ? serving : all.filter(isMeasured)).map(({ endpoint: { slots }, load }) => ({
    slots,
    perMs: slots / (measuredMs(load) ?? limits.serviceUnmeasuredMs),
  }))
  const rates = measured.reduce((sum, { perMs }) => sum + perMs, 0)
  const serviceMs = rates > 0 ? measured.reduce((sum, { slots }) => sum + slots, 0) / rates : limits.serviceUnmeasuredMs
  const serviceMsOf = (id: EndpointId): number => measuredMs(known.get(id)?.load ?? null) ?? serviceMs
  const factorOf = (id: EndpointId): number => {
    const each = known.get(id)
    if (!each) return 0
    const { slots, health } = each.endpoint
    const cap = Math.max(0, Math.min(slots, each.load?.cap ?? slots))
    return (cap / slots) * (health === 'degraded' ? limits.degradedFactor : 1)
  }
  const perS = (id: EndpointId): number => ((known.get(id)?.endpoint.slots ?? 0) * factorOf(id) * 1_000) / serviceMsOf(id)
  return { serviceMs, serviceMsOf, factorOf, perS }
}

/** Below a millisecond it was no service; the floor keeps a broken number from being an infinite rate. */
const measuredMs = (load: EndpointLoad | null): number | null =>
  load?.serviceMs === null || load?.serviceMs === undefined || !Number.isFinite(load.serviceMs) ? null : Math.max(1, load.serviceMs)
