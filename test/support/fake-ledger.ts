// A ledger for tests in Node, where the object itself cannot run. test/contract/edge/ledger.contract.ts holds both to the same behaviour.

import type { LeaseId } from '../../shared/ids.ts'
import { mayServe, type Endpoint, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { Ask, AskAnswer, Denial, ExchangeAnswer, LedgerCalls, OutcomeKind, Settled } from '../../shared/wire/ledger.ts'

export type FakeLedger = LedgerCalls & { readonly settled: Settled[]; readonly live: () => number }

export function fakeLedger(nowMs: () => number = () => Date.now()): FakeLedger {
  let snapshot: Snapshot | null = null
  const leases = new Map<LeaseId, { endpoint: Endpoint; deadlineMs: number }>()
  let outcomes: Record<string, Record<OutcomeKind, number>> = {}
  const settled: Settled[] = []

  const load = (endpoint: Endpoint) => [...leases.values()].filter((held) => held.endpoint.id === endpoint.id).length
  const sweep = () => {
    for (const [id, { deadlineMs }] of leases) if (deadlineMs <= nowMs()) leases.delete(id)
  }

  const choose = (ask: Ask, known: Snapshot): Endpoint | Denial => {
    const held = leases.get(ask.leaseId)
    if (held) return held.endpoint
    const ofVersion = known.endpoints.filter((each) => each.cell === ask.cell && each.version === ask.version)
    if (ofVersion.length === 0) return 'no_endpoint'
    const serving = ofVersion.filter((each) => mayServe(each) && !ask.avoid.includes(each.id))
    if (serving.length === 0) return 'no_healthy_endpoint'
    const roomy = serving.filter((each) => load(each) < each.slots)
    return roomy.toSorted((a, b) => load(a) / a.slots - load(b) / b.slots)[0] ?? 'no_room'
  }

  return {
    settled,
    live: () => leases.size,
    ask: (ask): Promise<AskAnswer> => {
      sweep()
      if (!snapshot) return Promise.resolve({ lease: null, denied: 'no_snapshot', generation: 0, snapshot: null })
      const news = { generation: snapshot.generation, snapshot: ask.generation < snapshot.generation ? snapshot : null }
      const chosen = choose(ask, snapshot)
      if (typeof chosen === 'string') return Promise.resolve({ lease: null, denied: chosen, ...news })
      leases.set(ask.leaseId, { endpoint: chosen, deadlineMs: ask.deadlineMs })
      return Promise.resolve({ lease: { endpoint: chosen.id }, denied: null, ...news })
    },
    settle: (each) => {
      settled.push(...each)
      for (const { leaseId, outcome } of each) {
        const lease = leases.get(leaseId)
        if (!lease) continue
        leases.delete(leaseId)
        const counts = (outcomes[lease.endpoint.id] ??= { good: 0, soft_failure: 0, hard_failure: 0, cancelled: 0 })
        counts[outcome]++
      }
      return Promise.resolve()
    },
    exchange: (exchange): Promise<ExchangeAnswer> => {
      sweep()
      if (exchange.snapshot && exchange.snapshot.generation > (snapshot?.generation ?? 0)) snapshot = exchange.snapshot
      const inFlight: Record<string, number> = {}
      for (const { endpoint } of leases.values()) inFlight[endpoint.id] = load(endpoint)
      const answer = { generation: snapshot?.generation ?? 0, inFlight, outcomes }
      outcomes = {}
      return Promise.resolve(answer)
    },
    snapshotSince: (generation) => {
      const known = snapshot?.generation ?? 0
      return Promise.resolve({ generation: known, snapshot: known > generation ? snapshot : null })
    },
  }
}
