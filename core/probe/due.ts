// Which endpoints are probed now, and when next. Pure: the time and the draw are arguments.

import { limits } from '../../shared/limits.ts'
import type { EndpointId } from '../../shared/ids.ts'
import type { ProbeRecord } from '../facts.ts'

/** Ids whose time has come and whose last probe has ended, the longest overdue first, at most `room` of them. */
export function due(probes: ReadonlyMap<EndpointId, ProbeRecord>, nowMs: number, room: number): readonly EndpointId[] {
  return [...probes]
    .filter(([, record]) => !record.underway && record.nextAtMs <= nowMs)
    .toSorted(([idA, a], [idB, b]) => a.nextAtMs - b.nextAtMs || (idA < idB ? -1 : 1))
    .slice(0, Math.max(0, room))
    .map(([id]) => id)
}

/** The next probe's time: never later than the interval, and spread over its last part so that probes drift apart. `draw` is in [0, 1). */
export const nextProbeAtMs = (startedAtMs: number, draw: number): number =>
  startedAtMs + Math.round(limits.livenessEveryMs * (1 - limits.livenessJitter * draw))
