// Core inside the simulated world: each second it hears what every ledger has to say, and tells them how full the others are, how demand
// is to be spread, and the weights of blind draws. What it says is made by the project's own functions; here it only keeps the turn.

import type { LedgerRecord } from '../../../core/facts.ts'
import { addBlock } from '../../../core/flow.ts'
import { weightsOf } from '../../../core/judge/weights.ts'
import { nextLoads } from '../../../core/publish/loads.ts'
import { newLedgerRecord } from '../../../core/publish/tell.ts'
import type { ModelName } from '../../../shared/ids.ts'
import type { ModelLoads } from '../../../shared/wire/loads.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import type { World } from '../harness/world.ts'
import type { Ledger } from './ledger.ts'
import { model } from './names.ts'

export class Core {
  readonly #world: World
  readonly #ledgers: readonly Ledger[]
  readonly #records = new Map<string, LedgerRecord>()
  #loads: ReadonlyMap<ModelName, ModelLoads> = new Map()

  constructor(world: World, ledgers: readonly Ledger[]) {
    this.#world = world
    this.#ledgers = ledgers
  }

  /** Exchange, then publish: the loads go down in the same turn in which their numbers came up. */
  turn(snapshot: Snapshot): void {
    const { nowMs } = this.#world
    for (const ledger of this.#ledgers) this.#hear(ledger, nowMs)
    const weights = weightsOf(snapshot.endpoints, this.#records, nowMs)
    this.#loads = nextLoads(this.#loads, { snapshot, ledgers: this.#records, weights, nowMs })
    const loads = this.#loads.get(model)
    if (loads) for (const ledger of this.#ledgers) ledger.takeLoads(loads)
  }

  #hear(ledger: Ledger, nowMs: number): void {
    const record = this.#records.get(ledger.book.cell) ?? newLedgerRecord()
    this.#records.set(ledger.book.cell, record)
    const answer = ledger.exchange({ confirmed: record.folded[0] ?? null })
    for (const block of answer.blocks) record.flow = addBlock(record.flow, block, nowMs)
    const last = answer.blocks.at(-1)
    if (last) record.folded = [{ life: answer.life, seq: last.seq }]
    record.endpoints = answer.endpoints
    record.load = answer.load
    record.answeredAtMs = nowMs
  }
}
