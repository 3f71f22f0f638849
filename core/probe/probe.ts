// Probing: liveness of every endpoint that is not disabled and whose protocol has a place to ask. Started by the turn and never awaited by it: a dead address takes
// two seconds to be recognised, and an operator's write must not wait for that. Results are found in the records next turn.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'
import { within } from '../../shared/time.ts'
import type { CatalogueEndpoint, LoopState, ProbeRecord } from '../facts.ts'
import type { LoopPorts } from '../ports.ts'
import { due, nextProbeAtMs } from './due.ts'
import { healthPathOf } from './health-path.ts'
import { observe, unprobed } from './liveness.ts'

type Probes = Pick<LoopState, 'probes' | 'keptLiveness'>
type ProbePorts = Pick<LoopPorts, 'clock' | 'timer' | 'random' | 'prober'>

/** Takes up new endpoints, forgets those gone, disabled or moved to another address, and starts the probes that are due. */
export function probe(endpoints: readonly CatalogueEndpoint[], state: Probes, ports: ProbePorts): void {
  const probed = new Map(endpoints.flatMap((endpoint) => addressesOf(endpoint)))
  for (const [id, record] of state.probes) if (probed.get(id)?.url !== record.url) state.probes.delete(id)
  for (const [id, where] of probed) if (!state.probes.has(id)) state.probes.set(id, newRecord(id, where, state))
  startDue(state, ports)
}

type Where = Pick<ProbeRecord, 'url' | 'address'>

function addressesOf({ id, kind, url, state }: CatalogueEndpoint): readonly (readonly [EndpointId, Where])[] {
  const path = healthPathOf[kind]
  return state === 'disabled' || path === null ? [] : [[id, { url, address: url + path }]]
}

function newRecord(id: EndpointId, where: Where, state: Probes): ProbeRecord {
  const kept = state.keptLiveness[id]
  const liveness = kept?.url === where.url ? { ...unprobed, state: kept.state } : unprobed
  return { ...where, liveness, last: null, nextAtMs: 0, underway: false }
}

function startDue(state: Probes, ports: ProbePorts): void {
  const underway = [...state.probes.values()].filter((record) => record.underway).length
  for (const id of due(state.probes, ports.clock.nowMs(), limits.probesAtOnceMax - underway)) {
    const record = state.probes.get(id)
    // The next starts as one ends: with more endpoints than places a turn's second must not be the pace.
    if (record) void probeOne(record, ports).then(() => startDue(state, ports))
  }
}

/** Folds one probe into its record. A record that left the map meanwhile is folded too, and nobody sees it. */
async function probeOne(record: ProbeRecord, ports: ProbePorts): Promise<void> {
  const atMs = ports.clock.nowMs()
  record.underway = true
  record.nextAtMs = nextProbeAtMs(atMs, ports.random())
  const patience = new AbortController()
  const silent = { ok: false, detail: `no answer in ${limits.livenessTimeoutMs} ms` }
  const seen = await within(ports.prober.check(record.address, patience.signal), limits.livenessTimeoutMs, silent, ports.timer)
  patience.abort()
  record.underway = false
  record.last = { atMs, ...seen, ms: ports.clock.nowMs() - atMs }
  record.liveness = observe(record.liveness, seen.ok)
}
