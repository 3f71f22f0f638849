// Core inside the simulated world: each second it hears what every ledger has to say, judges, and tells them who may serve, how full the
// others are, how demand is to be spread, and the weights of blind draws. What it says is made by the project's own functions; here it
// only keeps the turn.

import type { EndpointEvent, JudgedAt, LedgerRecord, ProbeRecord, Traffic } from '../../../core/facts.ts'
import { addBlock } from '../../../core/flow.ts'
import { foldTraffic, judge } from '../../../core/judge/judge.ts'
import { weightsOf } from '../../../core/judge/weights.ts'
import { foldResults, ordersFor } from '../../../core/probe/probe.ts'
import { nextLoads } from '../../../core/publish/loads.ts'
import { contentOf } from '../../../core/publish/snapshot.ts'
import { newLedgerRecord } from '../../../core/publish/tell.ts'
import type { CellId, EndpointId, ModelName } from '../../../shared/ids.ts'
import type { Block } from '../../../shared/wire/ledger.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import type { ProbeOrder, ProbeResult } from '../../../shared/wire/probe.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import type { World } from '../harness/world.ts'
import type { Ledger } from './ledger.ts'
import { catalogueOf, model, stationOf } from './names.ts'

/** How a server answers a probe: after so many milliseconds; one that does not answer in time has timed out. */
export type ProbeAnswer = Pick<ProbeResult, 'ok'> & Partial<ProbeResult> & { readonly afterMs: number }
export type Probed = (station: number, order: ProbeOrder) => ProbeAnswer

export class Core {
  snapshot: Snapshot
  /** Every change of health so far. */
  readonly events: EndpointEvent[] = []
  judged: ReadonlyMap<EndpointId, JudgedAt> = new Map()
  readonly #world: World
  readonly #ledgers: readonly Ledger[]
  readonly #probed: Probed | null
  readonly #records = new Map<string, LedgerRecord>()
  #loads: ReadonlyMap<ModelName, ModelLoads> = new Map()
  #probes: ReadonlyMap<EndpointId, ProbeRecord> = new Map()
  #traffic: ReadonlyMap<EndpointId, Traffic> = new Map()
  readonly #underWay = new Set<string>()
  #results: ProbeResult[] = []

  /** Without `probed` nothing is probed or judged, and the snapshot stays as it is. */
  constructor(world: World, ledgers: readonly Ledger[], snapshot: Snapshot, probed: Probed | null = null) {
    this.#world = world
    this.#ledgers = ledgers
    this.#probed = probed
    this.snapshot = snapshot
  }

  /** Exchange, judge, publish: what is published goes down in the same turn in which its numbers came up. */
  turn(): void {
    const { nowMs } = this.#world
    const blocks = this.#ledgers.flatMap((ledger) => this.#hear(ledger, nowMs))
    if (this.#probed) this.#judge(blocks, this.#probed, nowMs)
    const weights = weightsOf(this.snapshot.endpoints, this.#records, nowMs)
    this.#loads = nextLoads(this.#loads, { snapshot: this.snapshot, ledgers: this.#records, weights, nowMs })
    const loads = this.#loads.get(model)
    for (const ledger of this.#ledgers) ledger.take(this.snapshot, loads ?? null)
  }

  #hear(ledger: Ledger, nowMs: number): readonly Block[] {
    const record = this.#records.get(ledger.book.cell) ?? newLedgerRecord()
    this.#records.set(ledger.book.cell, record)
    const known = record.folded.find(({ life }) => life === ledger.book.life)
    const answer = ledger.exchange({ confirmed: known ?? null })
    const blocks = answer.blocks.filter(({ seq }) => seq > (known?.seq ?? 0))
    for (const block of blocks) record.flow = addBlock(record.flow, block, nowMs)
    const last = blocks.at(-1)
    if (last) record.folded = [{ life: answer.life, seq: last.seq }]
    record.endpoints = answer.endpoints
    record.load = answer.load
    record.aliveSinceMs ??= nowMs
    record.answeredAtMs = nowMs
    return blocks
  }

  #judge(blocks: readonly Block[], probed: Probed, nowMs: number): void {
    const catalogue = catalogueOf(this.#world)
    this.#traffic = foldTraffic(this.#traffic, blocks, nowMs)
    this.#probes = foldResults(this.#probes, this.#results, nowMs)
    this.#results = []
    const alive = new Map<CellId, { sinceMs: number; answeredAtMs: number }>()
    const lastGoodAtMs = new Map<EndpointId, number | null>()
    for (const [cell, { aliveSinceMs, answeredAtMs, endpoints }] of this.#records) {
      alive.set(cell as CellId, { sinceMs: aliveSinceMs ?? nowMs, answeredAtMs: answeredAtMs ?? nowMs })
      for (const [id, load] of Object.entries(endpoints)) lastGoodAtMs.set(id as EndpointId, load.lastGoodAtMs)
    }
    const { endpoints } = catalogue
    const ordered = ordersFor({ endpoints, records: this.#probes, keptLiveness: {}, alive, lastGoodAtMs, nowMs }, this.#world.random)
    this.#probes = ordered.records
    for (const orders of ordered.orders.values()) for (const order of orders) this.#probe(order, probed)
    const world = { endpoints, probes: this.#probes, traffic: this.#traffic, ledgers: this.#records, before: this.judged, nowMs }
    const { judged, events } = judge(world)
    this.judged = judged
    this.events.push(...events)
    const content = contentOf(catalogue, judged)
    const isNew = JSON.stringify(content.endpoints) !== JSON.stringify(this.snapshot.endpoints)
    if (isNew) this.snapshot = { ...this.snapshot, ...content, generation: this.snapshot.generation + 1, publishedAtMs: nowMs }
  }

  #probe(order: ProbeOrder, probed: Probed): void {
    if (this.#underWay.has(order.id)) return
    this.#underWay.add(order.id)
    const atMs = this.#world.nowMs
    const { afterMs, ...answer } = probed(stationOf(order.endpoint), order)
    const timedOut = afterMs > order.timeoutMs
    const tookMs = Math.min(afterMs, order.timeoutMs)
    const shape = { id: order.id, endpoint: order.endpoint, kind: order.kind, atMs, tookMs }
    this.#world.timeline.after(tookMs, () => {
      this.#underWay.delete(order.id)
      this.#results.push({ ...shape, detail: '', ...answer, ...(timedOut ? { ok: false, timedOut } : {}) })
    })
  }
}
