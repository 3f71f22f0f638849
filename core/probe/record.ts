// What is known of one endpoint by probing, and how one more result changes it. Pure: a record is replaced, never changed.

import { limits } from '../../shared/limits.ts'
import type { ProbeKind, ProbeResult, ServiceStatus } from '../../shared/wire/probe.ts'
import type { CatalogueEndpoint, KeptLiveness, Probe, ProbeRecord } from '../facts.ts'
import { probesOf } from './due.ts'
import { observe, unprobed } from './liveness.ts'

/** The record of an endpoint that was not probed by this life of core; what was stored of its liveness counts while it is about the same url. */
export function newRecord(endpoint: CatalogueEndpoint, keptLiveness: KeptLiveness): ProbeRecord {
  const { id, url, kind } = endpoint
  const kept = keptLiveness[id]
  const isKept = kept?.url === url && probesOf(endpoint).includes('liveness')
  return {
    url,
    kind,
    kinds: probesOf(endpoint),
    liveness: isKept ? { ...unprobed, state: kept.state } : unprobed,
    last: {},
    nextAtMs: {},
    open: {},
    engine: null,
    service: null,
    generationBad: 0,
    generationGoodAtMs: null,
    generations: { good: 0, failed: 0 },
  }
}

/** The record as its row is now: what a kind of probe told that is no longer made is forgotten, for no later one would correct it. */
export function withKinds(record: ProbeRecord, kinds: readonly ProbeKind[]): ProbeRecord {
  if (kinds.length === record.kinds.length && kinds.every((kind) => record.kinds.includes(kind))) return record
  const ofThese = <T>(all: Readonly<Partial<Record<ProbeKind, T>>>): Partial<Record<ProbeKind, T>> =>
    Object.fromEntries(Object.entries(all).filter(([kind]) => kinds.includes(kind as ProbeKind)))
  return {
    ...record,
    kinds,
    last: ofThese(record.last),
    nextAtMs: ofThese(record.nextAtMs),
    open: ofThese(record.open),
    engine: kinds.includes('metrics') ? record.engine : null,
    generationBad: kinds.includes('generation') ? record.generationBad : 0,
  }
}

/** The record without an order that came to nothing: the probe is due as before, and has lost no time to those that became due later. */
export function withoutOrder(record: ProbeRecord, kind: ProbeKind): ProbeRecord {
  const { [kind]: dropped, ...open } = record.open
  return dropped ? { ...record, open, nextAtMs: { ...record.nextAtMs, [kind]: dropped.dueAtMs } } : record
}

/** The record after an order whose ledger has answered all the while and brought no result within its time: as after a bad one. */
export function withSilence(record: ProbeRecord, kind: ProbeKind, nowMs: number): ProbeRecord {
  const waitedMs = nowMs - (record.open[kind]?.atMs ?? nowMs)
  const silence = { atMs: nowMs, ok: false, detail: 'no result from the ledger', ms: waitedMs, warming: false, timedOut: false }
  return withProbe(record, kind, silence)
}

/**
 * The record after a result. One that answers no open order changes nothing: it was folded before, or is of a server that is no more.
 * The time of the result is the ledger's; it counts as core's where it lies between order and now.
 */
export function withResult(record: ProbeRecord, result: ProbeResult, nowMs: number): ProbeRecord {
  const { kind } = result
  const open = record.open[kind]
  if (open?.order.id !== result.id) return record
  if (result.notDone === true) return withoutOrder(record, kind)
  const atMs = Math.min(nowMs, Math.max(open.atMs, result.atMs + result.tookMs))
  const probe: Probe = {
    atMs,
    ok: result.ok,
    detail: result.detail.slice(0, limits.probeDetailCharsMax),
    ms: result.tookMs,
    warming: result.warming ?? false,
    timedOut: result.timedOut ?? false,
  }
  const service = result.service ?? (kind === 'status' && isNotFound(result) ? notFound : null)
  return {
    ...withProbe(record, kind, probe),
    ...(result.engine ? { engine: { atMs, record: result.engine } } : {}),
    ...(service ? { service: { atMs, status: service } } : {}),
  }
}

/** That the service knows no such endpoint is an answer too, of DescribeEndpoint a ValidationException. It holds like any other. */
const isNotFound = ({ ok, detail }: ProbeResult): boolean => !ok && /answers 404|Could not find endpoint/.test(detail)
const notFound: ServiceStatus = { status: 'NotFound', instances: null, instancesWanted: null }

function withProbe(record: ProbeRecord, kind: ProbeKind, probe: Probe): ProbeRecord {
  const { [kind]: _answered, ...open } = record.open
  const next = { ...record, open, last: { ...record.last, [kind]: probe } }
  switch (kind) {
    case 'liveness':
      return { ...next, liveness: observe(record.liveness, probe.ok) }
    case 'generation': {
      const { good, failed } = record.generations
      return probe.ok
        ? { ...next, generationBad: 0, generationGoodAtMs: probe.atMs, generations: { good: good + 1, failed } }
        : { ...next, generationBad: record.generationBad + 1, generations: { good, failed: failed + 1 } }
    }
    case 'metrics':
    case 'status':
      return next
  }
}
