// The judgement, once a turn: joins what is known of each endpoint, lets the rules speak, applies the ceiling, and notes every change.
// Evidence is gathered here and nowhere else; what it means is said in health.ts and ejection.ts.

import { limits } from '../../shared/limits.ts'
import { cellIdOf, type EndpointId } from '../../shared/ids.ts'
import type { Block } from '../../shared/wire/ledger.ts'
import type { AdminState, CatalogueEndpoint, EndpointEvent, JudgedAt, LedgerRecord, ProbeRecord, Traffic } from '../facts.ts'
import { withCeiling } from './ejection.ts'
import { judgeOne, unjudged, type Evidence, type Verdict } from './health.ts'
import { addBlock, noTraffic } from './traffic.ts'

export type World = {
  readonly endpoints: readonly CatalogueEndpoint[]
  readonly probes: ReadonlyMap<EndpointId, ProbeRecord>
  readonly traffic: ReadonlyMap<EndpointId, Traffic>
  readonly ledgers: ReadonlyMap<string, LedgerRecord>
  readonly before: ReadonlyMap<EndpointId, JudgedAt>
  readonly nowMs: number
}

export type Judgement = { readonly judged: ReadonlyMap<EndpointId, JudgedAt>; readonly events: readonly EndpointEvent[] }

/** The health of every endpoint, and what changed. One whose address changed is another server: it is judged anew. */
export function judge(world: World): Judgement {
  const { endpoints, nowMs } = world
  const before = new Map(endpoints.map((endpoint) => [endpoint.id, beforeOf(endpoint, world)]))
  const verdicts = withCeiling(
    endpoints.map((endpoint) => {
      const { id, version, slots } = endpoint
      const last = before.get(id) ?? unjudged
      return {
        id,
        version,
        slots: endpoint.weight > 0 ? slots : 0,
        before: last,
        verdict: judgeOne(evidenceOf(endpoint, world), last, nowMs),
      }
    }),
  )
  const events: EndpointEvent[] = []
  const judged = new Map<EndpointId, JudgedAt>()
  for (const endpoint of endpoints) {
    const last = before.get(endpoint.id)
    const verdict = verdicts.get(endpoint.id)
    if (!last || !verdict) continue
    const next = after(last, verdict, nowMs)
    judged.set(endpoint.id, next)
    if (isNews(last, next)) events.push(eventOf(endpoint, last, next, nowMs))
  }
  return { judged, events }
}

/** The windows after more blocks. Those of endpoints that are no longer there, or are disabled, go: they start anew. */
export function foldTraffic(
  before: ReadonlyMap<EndpointId, Traffic>,
  blocks: readonly Block[],
  nowMs: number,
): ReadonlyMap<EndpointId, Traffic> {
  if (blocks.length === 0) return before
  const traffic = new Map(before)
  for (const block of blocks) {
    for (const [name, counts] of Object.entries(block.endpoints)) {
      const id = name as EndpointId
      traffic.set(id, addBlock(traffic.get(id) ?? noTraffic, counts, Math.min(nowMs, block.untilMs)))
    }
  }
  return traffic
}

/** Only the windows of endpoints that are there and not disabled. */
export function relevantTraffic(
  traffic: ReadonlyMap<EndpointId, Traffic>,
  judged: ReadonlyMap<EndpointId, JudgedAt>,
): ReadonlyMap<EndpointId, Traffic> {
  return new Map([...traffic].filter(([id]) => (judged.get(id)?.health ?? 'disabled') !== 'disabled'))
}

function beforeOf({ id, url }: CatalogueEndpoint, { before, nowMs }: World): JudgedAt {
  const known = before.get(id)
  if (known?.url !== url) return { ...unjudged, sinceMs: nowMs, url }
  // A clock that stepped back would otherwise leave out what is told from now on.
  return known.sinceMs > nowMs ? { ...known, sinceMs: nowMs } : known
}

function evidenceOf(endpoint: CatalogueEndpoint, { probes, traffic, ledgers, nowMs }: World): Evidence {
  const probe = probes.get(endpoint.id)
  const record = ledgers.get(cellIdOf(endpoint.model, endpoint.region))
  const load = record?.endpoints[endpoint.id]
  const shown = traffic.get(endpoint.id) ?? noTraffic
  const shownGoodAtMs = shown.lastGoodAtMs ?? 0
  // A ledger's clock may be ahead. Core's own, of before it stepped back, is no time to go by.
  const lastGoodAtMs = Math.max(shownGoodAtMs <= nowMs ? shownGoodAtMs : 0, Math.min(nowMs, load?.lastGoodAtMs ?? 0))
  return {
    ...wantedOf(endpoint, nowMs),
    liveness: probe?.liveness ?? { state: 'unknown', good: 0, bad: 0 },
    loading: probe?.last.liveness?.warming ?? false,
    generation: {
      // Requests that succeeded since are the better witness: it may be the probe that is wrong.
      bad: probe && lastGoodAtMs <= (probe.last.generation?.atMs ?? 0) ? probe.generationBad : 0,
      timedOut: probe?.last.generation?.timedOut ?? false,
      goodAtMs: probe?.generationGoodAtMs ?? null,
      asked: probe?.kinds.includes('generation') ?? true,
    },
    service: probe?.service && nowMs - probe.service.atMs <= limits.serviceToldMs ? probe.service.status : null,
    makesTokens: makesTokens(probe, nowMs),
    full: load !== undefined && load.inFlight >= endpoint.slots,
    sleeping: probe?.engine && nowMs - probe.engine.atMs <= limits.metricsLostMs ? probe.engine.record.sleeping : null,
    scrapedAtMs: probe?.engine?.atMs ?? null,
    breaker: load ? { state: load.breaker, reason: load.reason } : null,
    traffic: { told: shown.told, lastGoodAtMs: lastGoodAtMs > 0 ? lastGoodAtMs : null },
    ledgerAtMs: record?.answeredAtMs ?? null,
  }
}

/** By a fresh page: the growth of what it has made, or that there were times between tokens to tell of; null when it tells neither. */
function makesTokens(probe: ProbeRecord | undefined, nowMs: number): boolean | null {
  const engine = probe?.engine
  if (!engine || nowMs - engine.atMs > limits.engineFreshMs) return null
  const { tokensPerS = null, tpotP50Ms } = engine.record
  if (tokensPerS !== null) return tokensPerS > 0
  return tpotP50Ms === null ? null : true
}

function wantedOf(
  { state, maintenance }: CatalogueEndpoint,
  nowMs: number,
): { readonly wanted: AdminState; readonly wantedReason: string } {
  const isMaintained = maintenance !== null && maintenance.fromMs <= nowMs && nowMs < maintenance.untilMs
  if (state === 'enabled' && isMaintained) return { wanted: 'draining', wantedReason: `maintenance: ${maintenance.reason}` }
  return { wanted: state, wantedReason: `an operator wants it ${state}` }
}

/** A state that holds keeps the reason and the numbers with which it began. */
function after(last: JudgedAt, verdict: Verdict, nowMs: number): JudgedAt {
  const { health, metric, reason, value, threshold } = verdict
  if (health === last.health && metric === last.metric) return last
  return { health, metric, reason, value, threshold, url: last.url, sinceMs: health === last.health ? last.sinceMs : nowMs }
}

/** A change of health; and an alarm, where the ceiling begins to hold an endpoint that was doubtful already. */
const isNews = (last: JudgedAt, next: JudgedAt): boolean =>
  next.health !== last.health || (next.metric === 'ejected_share' && last.metric !== 'ejected_share')

const eventOf = ({ id, model, region }: CatalogueEndpoint, last: JudgedAt, next: JudgedAt, nowMs: number): EndpointEvent => ({
  atMs: nowMs,
  endpoint: id,
  cell: cellIdOf(model, region),
  from: last.health,
  to: next.health,
  reason: next.reason,
  value: next.value,
  threshold: next.threshold,
  metric: next.metric,
})
