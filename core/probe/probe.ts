// Probing: what each ledger is told to probe, and what becomes of the results. Core asks no server itself: the ledgers stand near them.
// Pure: the loop hands orders and results back and forth with the exchange.

import { limits } from '../../shared/limits.ts'
import type { Random } from '../../shared/random.ts'
import { cellIdOf, type CellId, type EndpointId } from '../../shared/ids.ts'
import { probeKinds, type ProbeKind, type ProbeOrder, type ProbeResult } from '../../shared/wire/probe.ts'
import type { CatalogueEndpoint, KeptLiveness, OpenOrder, ProbeRecord } from '../facts.ts'
import { isDue, nextProbeAtMs, probesOf, timeoutMsOf, type Alive, type Hearing } from './due.ts'
import { newRecord, withKinds, withResult, withSilence } from './record.ts'

type Records = ReadonlyMap<EndpointId, ProbeRecord>

/** What a turn knows when it orders probes. */
export type Probing = {
  readonly endpoints: readonly CatalogueEndpoint[]
  readonly records: Records
  readonly keptLiveness: KeptLiveness
  /** The cells whose ledger answers. */
  readonly alive: ReadonlyMap<CellId, Alive>
  /** The last good answer of each endpoint to anybody, as its ledger knows (EndpointLoad.lastGoodAtMs). */
  readonly lastGoodAtMs: ReadonlyMap<EndpointId, number | null>
  /** Those that were out and wait to be proven well; absent: none. */
  readonly onTrial?: ReadonlySet<EndpointId>
  /** Those of a version that must be warm before it is given traffic; absent: none. */
  readonly toWarm?: ReadonlySet<EndpointId>
  readonly nowMs: number
}

export type Ordered = {
  /** Every open order, new and old, by cell: the exchange tells a ledger all of its own, for one of the two may have lost some. */
  readonly orders: ReadonlyMap<CellId, readonly ProbeOrder[]>
  readonly records: Records
}

/**
 * The orders of a turn, at most limits.probesQueuedMax for a cell, the longest overdue first, of equals health first and then by chance;
 * and the records that know of them.
 */
export function ordersFor(probing: Probing, random: Random): Ordered {
  const records = new Map<EndpointId, ProbeRecord>()
  const orders = new Map<CellId, ProbeOrder[]>()
  const due: Due[] = []
  for (const endpoint of probing.endpoints) {
    if (endpoint.state === 'disabled') continue
    const hearing = hearingOf(endpoint, probing)
    const record = currentRecord(endpoint, probing, hearing)
    records.set(endpoint.id, record)
    ordersOf(endpoint, orders).push(...Object.values(record.open).map(({ order }) => order))
    for (const kind of record.kinds) {
      if (isDue(kind, record, hearing)) due.push({ endpoint, kind, sinceMs: record.nextAtMs[kind] ?? 0, draw: random() })
    }
  }
  for (const { endpoint, kind, sinceMs, draw } of due.toSorted(longestFirst)) {
    const told = ordersOf(endpoint, orders)
    const record = records.get(endpoint.id)
    if (!record || told.length >= limits.probesQueuedMax) continue
    const opened = { order: newOrder(endpoint.id, kind, probing.nowMs), atMs: probing.nowMs, dueAtMs: sinceMs }
    told.push(opened.order)
    records.set(endpoint.id, {
      ...record,
      open: { ...record.open, [kind]: opened },
      nextAtMs: { ...record.nextAtMs, [kind]: nextProbeAtMs(kind, probing.nowMs, draw) },
    })
  }
  return { orders, records }
}

/** The records after the results of one exchange. Each result counts once; those of unknown endpoints and orders count for nothing. */
export function foldResults(records: Records, results: readonly ProbeResult[], nowMs: number): Records {
  if (results.length === 0) return records
  const folded = new Map(records)
  for (const result of results) {
    const record = folded.get(result.endpoint)
    if (record) folded.set(result.endpoint, withResult(record, result, nowMs))
  }
  return folded
}

type Due = { readonly endpoint: CatalogueEndpoint; readonly kind: ProbeKind; readonly sinceMs: number; readonly draw: number }

/** By chance, and not by name: those at the end of the alphabet must not always be those that find no place. */
const longestFirst = (a: Due, b: Due): number =>
  a.sinceMs - b.sinceMs || probeKinds.indexOf(a.kind) - probeKinds.indexOf(b.kind) || a.draw - b.draw

const cellOf = ({ model, region }: CatalogueEndpoint): CellId => cellIdOf(model, region)

function ordersOf(endpoint: CatalogueEndpoint, orders: Map<CellId, ProbeOrder[]>): ProbeOrder[] {
  const cell = cellOf(endpoint)
  const known = orders.get(cell) ?? []
  orders.set(cell, known)
  return known
}

function hearingOf(endpoint: CatalogueEndpoint, { alive, lastGoodAtMs, onTrial, toWarm, nowMs }: Probing): Hearing {
  const { id } = endpoint
  return {
    nowMs,
    alive: alive.get(cellOf(endpoint)) ?? null,
    lastGoodAtMs: lastGoodAtMs.get(id) ?? null,
    onTrial: onTrial?.has(id) ?? false,
    toWarm: toWarm?.has(id) ?? false,
  }
}

/** The endpoint's record as it is now: begun, or begun anew for another server, and with the orders that have run out of time failed. */
function currentRecord(endpoint: CatalogueEndpoint, { records, keptLiveness }: Probing, hearing: Hearing): ProbeRecord {
  const known = records.get(endpoint.id)
  const isSame = known?.url === endpoint.url && known.kind === endpoint.kind
  if (!isSame) return newRecord(endpoint, keptLiveness)
  const current = withKinds(known, probesOf(endpoint))
  return Object.values(current.open).reduce<ProbeRecord>(
    (record, open) => (isLost(open, hearing) ? withSilence(record, open.order.kind, hearing.nowMs) : record),
    current,
  )
}

/** Whether a ledger that has answered all the while ought to have brought the result. What one that was away or restarted lost is asked again. */
function isLost({ order, atMs }: OpenOrder, { alive }: Hearing): boolean {
  return alive !== null && alive.answeredAtMs - Math.max(atMs, alive.sinceMs) >= order.timeoutMs + limits.probeSlackMs
}

/** Orders of one endpoint and kind follow each other in time, so the time makes the id unique. */
function newOrder(endpoint: EndpointId, kind: ProbeKind, nowMs: number): ProbeOrder {
  return { id: `${endpoint} ${kind} ${nowMs}`, endpoint, kind, timeoutMs: timeoutMsOf[kind] }
}
