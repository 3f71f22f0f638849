// What each isolate knows and still has to tell. It learns of loads from the ledgers' answers alone; reports ride on its next question
// to that ledger, or leave by themselves after `limits.reportEveryMs`, or at once where the ledger has said that places are scarce.

import { count, emptyOutbox, noteRoundTrip, put, takeReport, type Outbox } from '../../../edge/route/outbox.ts'
import { limits } from '../../../shared/limits.ts'
import { freshLoads, type ModelLoads } from '../../../shared/wire/loads.ts'
import type { Charge, News, Report, Settled } from '../../../shared/wire/ledger.ts'
import type { World } from '../harness/world.ts'
import type { Ledger } from './ledger.ts'
import { originName } from './names.ts'

/** The isolate's side of one ledger. */
type Line = { readonly outbox: Outbox; leaving: boolean; tight: boolean; live: number }

export class Isolate {
  #loads: ModelLoads | null = null
  readonly #world: World
  readonly #ledgers: readonly Ledger[]
  readonly #origin: number
  readonly #lines: readonly Line[]

  constructor(world: World, ledgers: readonly Ledger[], origin: number) {
    this.#world = world
    this.#ledgers = ledgers
    this.#origin = origin
    this.#lines = ledgers.map(() => ({ outbox: emptyOutbox(), leaving: false, tight: false, live: 0 }))
  }

  get loadsSeq(): number {
    return this.#loads?.seq ?? 0
  }

  freshLoads(): ModelLoads | null {
    return freshLoads(this.#loads, this.#world.nowMs, limits.loadsFreshMs)
  }

  /** Requests of this isolate under way in that region. */
  live(region: number): number {
    return this.#lines[region]!.live
  }

  begin(region: number): void {
    this.#lines[region]!.live++
  }

  end(region: number): void {
    this.#lines[region]!.live--
  }

  /** Takes in what an answer of that region's ledger brought along. */
  learn(region: number, news: News): void {
    if (news.loads && news.loads.seq > this.loadsSeq) this.#loads = news.loads
    this.#lines[region]!.tight = news.tight ?? false
  }

  tellCharge(region: number, charge: Charge): void {
    const { outbox } = this.#lines[region]!
    put(outbox, { charge })
    count(outbox.arrivals, originName(this.#origin))
    this.#leave(region)
  }

  tellSettled(region: number, settled: Settled): void {
    put(this.#lines[region]!.outbox, { settled })
    this.#leave(region)
  }

  /** What waits for that ledger, to ride on a question; and what the last question took. */
  takeWithRoundTrip(region: number): Report | null {
    const { outbox } = this.#lines[region]!
    noteRoundTrip(outbox, originName(this.#origin), this.#world.roundTripMs(this.#origin, region))
    return takeReport(outbox)
  }

  #leave(region: number): void {
    const line = this.#lines[region]!
    if (line.tight) return this.#send(region)
    if (line.leaving) return
    line.leaving = true
    this.#world.timeline.after(limits.reportEveryMs, () => {
      line.leaving = false
      this.#send(region)
    })
  }

  #send(region: number): void {
    const report = takeReport(this.#lines[region]!.outbox)
    if (!report) return
    const halfMs = this.#world.roundTripMs(this.#origin, region) / 2
    this.#world.timeline.after(halfMs, () => {
      const news = this.#ledgers[region]!.tell(report, this.loadsSeq)
      this.#world.timeline.after(halfMs, () => this.learn(region, news))
    })
  }
}
