// What the admin API shows of the control loop, from what the loop remembers. Pure.

import { limits } from '../shared/limits.ts'
import type { Endpoint } from '../shared/wire/snapshot.ts'
import type { EndpointStatus, LedgerRecord, LedgerStatus, LoopState, ModelStatus, Status } from './facts.ts'
import { perSecond } from './flow.ts'
import { isSilent } from './judge/health.ts'

export function statusOf(state: LoopState, nowMs: number): Status {
  const snapshot = state.published?.snapshot
  const endpoints = snapshot?.endpoints ?? []
  return {
    generation: snapshot?.generation ?? 0,
    publishedAtMs: snapshot?.publishedAtMs ?? null,
    catalogueSeq: state.catalogue?.seq ?? null,
    endpoints: endpoints.map((endpoint) => endpointStatus(endpoint, state, nowMs)),
    ledgers: [...state.ledgers].map(([name, record]) => ledgerStatus(name, record)),
    models: modelStatus(endpoints, state, nowMs),
    copies: { generation: state.copiedGeneration, credentialsSeq: state.copied.seq, error: state.copyError },
    eventsWaiting: state.waiting.length,
    lastTurn: state.lastTurn,
  }
}

function endpointStatus({ id, cell, state: published, health }: Endpoint, state: LoopState, nowMs: number): EndpointStatus {
  const judged = state.judged.get(id)
  const probes = state.probes.get(id)
  const ledger = state.ledgers.get(cell)
  const engine = probes?.engine
  return {
    id,
    cell,
    state: published,
    health: health ?? 'unknown',
    sinceMs: judged?.sinceMs ?? 0,
    reason: judged?.reason ?? 'not judged yet',
    value: judged?.value ?? null,
    threshold: judged?.threshold ?? null,
    metric: judged?.metric ?? null,
    held: isSilent(ledger?.answeredAtMs ?? null, nowMs),
    lastProbes: probes?.last ?? {},
    engine: engine ? { ageMs: nowMs - engine.atMs, fresh: nowMs - engine.atMs <= limits.engineFreshMs, record: engine.record } : null,
    service: probes?.service?.status ?? null,
    load: ledger?.endpoints[id] ?? null,
  }
}

const ledgerStatus = (name: string, record: LedgerRecord): LedgerStatus => ({
  name,
  generation: record.generation,
  inFlight: Object.fromEntries(Object.entries(record.endpoints).map(([id, { inFlight }]) => [id, inFlight])),
  outcomes: record.outcomes,
  queued: record.queued,
  load: record.load,
  ways: record.ways,
  roundTripsMs: Object.fromEntries([...record.flow.roundTripsMs].map(([origin, ms]) => [origin, Math.round(ms)])),
  answeredAtMs: record.answeredAtMs,
  error: record.error,
})

function modelStatus(endpoints: readonly Endpoint[], { ledgers, loads }: LoopState, nowMs: number): readonly ModelStatus[] {
  const cellsOf = Map.groupBy(endpoints, ({ model }) => model)
  return [...cellsOf].map(([name, members]) => {
    const demandPerS: Record<string, number> = {}
    for (const cell of new Set(members.map((member) => member.cell))) {
      for (const [origin, rate] of ledgers.get(cell)?.flow.arrivals ?? []) {
        demandPerS[origin] = Math.round(((demandPerS[origin] ?? 0) + perSecond(rate, nowMs)) * 100) / 100
      }
    }
    return { name, demandPerS, loads: loads.get(name) ?? null }
  })
}
