// Core inside the simulated world: each second it hears what every ledger has to say, and tells them how full the others are and how
// demand is to be spread. What it says is made by the project's own functions; here it only keeps the turn.

import { fillFractions } from '../../../core/publish/fractions.ts'
import type { CellLoad, ModelLoads } from '../../../shared/wire/loads.ts'
import type { World } from '../harness/world.ts'
import type { Ledger } from './ledger.ts'
import { cellName, endpointName, model, originName } from './names.ts'

export class Core {
  loads: ModelLoads | null = null
  readonly #world: World
  readonly #ledgers: readonly Ledger[]
  readonly #perS = new Map<string, number>()
  readonly #confirmed: { life: string; seq: number }[] = []
  #seq = 0

  constructor(world: World, ledgers: readonly Ledger[]) {
    this.#world = world
    this.#ledgers = ledgers
  }

  turn(): void {
    const nowMs = this.#world.nowMs
    const arrived = new Map<string, number>()
    const cells: CellLoad[] = []
    for (const [index, ledger] of this.#ledgers.entries()) {
      const answer = ledger.exchange({ loads: this.loads, confirmed: this.#confirmed[index] ?? null })
      for (const block of answer.blocks) {
        for (const [origin, count] of Object.entries(block.arrivals)) arrived.set(origin, (arrived.get(origin) ?? 0) + count)
        this.#confirmed[index] = { life: answer.life, seq: block.seq }
      }
      if (answer.load) cells.push(answer.load)
    }
    const origins = this.#world.layout.roundTripMs.map((_, origin) => originName(origin))
    for (const origin of origins) {
      const before = this.#perS.get(origin)
      const now = arrived.get(origin) ?? 0
      this.#perS.set(origin, before === undefined ? now : before + 0.1 * (now - before))
    }
    const trip = (origin: string, cell: string) => this.#world.roundTripMs(Number(origin.slice(1)), Number(cell.slice(cell.indexOf('@') + 2)))
    const services = this.#ledgers.flatMap(({ book }) => [...book.members.values()].map((m) => m.speed.service)).filter((s) => s.samples > 0)
    const serviceS = services.length > 0 ? services.reduce((sum, s) => sum + s.value, 0) / services.length / 1_000 : 1
    const rows = fillFractions(
      origins.map((name) => ({ name, demand: (this.#perS.get(name) ?? 0) * serviceS })),
      cells.map(({ cell, slots }) => ({ id: cell, capacity: slots })),
      trip,
    )
    this.loads = {
      model,
      seq: ++this.#seq,
      atMs: nowMs,
      cells,
      rows: Object.fromEntries(
        [...rows].map(([origin, row]) => [origin, row.map(({ cell, fraction }) => ({ cell, fraction, roundTripMs: trip(origin, cell) }))]),
      ),
      weights: Object.fromEntries(this.#world.stations.map((station, index) => [endpointName(index), station.slots])),
    }
    if (process.env['SAME']) for (const ledger of this.#ledgers) ledger.exchange({ loads: this.loads })
  }
}

export const cellsOf = (world: World) => world.layout.regions.map((_, region) => cellName(region))
