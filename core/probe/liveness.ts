// The liveness state machine: three bad in a row make an endpoint unhealthy, two good bring it back (docs/design/figures.md).
// A new endpoint needs one good only, and until three bad it stays unknown: it must not be held back, nor condemned, by one probe.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { KeptLiveness, Liveness, ProbeRecord } from '../facts.ts'

export const unprobed: Liveness = { state: 'unknown', good: 0, bad: 0 }

/** The liveness after one more probe. Counts stop at what decides, so an unchanged state is an unchanged record. */
export function observe(before: Liveness, ok: boolean): Liveness {
  if (ok) {
    const good = Math.min(before.good + 1, limits.livenessGoodMin)
    const recovered = before.state !== 'unhealthy' || good >= limits.livenessGoodMin
    return { state: recovered ? 'healthy' : 'unhealthy', good, bad: 0 }
  }
  const bad = Math.min(before.bad + 1, limits.livenessBadMax)
  return { state: bad >= limits.livenessBadMax ? 'unhealthy' : before.state, good: 0, bad }
}

/** What is stored of the probes, so that a restart neither revives a dead endpoint nor doubts a living one. In order of id. */
export function livenessToKeep(probes: ReadonlyMap<EndpointId, ProbeRecord>): KeptLiveness {
  const kept: Record<string, { url: string; state: 'healthy' | 'unhealthy' }> = {}
  for (const id of [...probes.keys()].toSorted()) {
    const record = probes.get(id)
    if (record && record.liveness.state !== 'unknown') kept[id] = { url: record.url, state: record.liveness.state }
  }
  return kept
}
