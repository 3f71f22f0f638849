// What each isolate knows and still has to tell. It learns of loads from the ledgers' answers alone; reports ride on its next question
// to that ledger, or leave by themselves after `limits.reportEveryMs`, or at once where the ledger has said that places are scarce.

import { emptyLoadsMemory, loads, type LoadsPort } from '../../../edge/adapters/loads.ts'
import { count, emptyOutbox, noteRoundTrip, put, putBack, takeReport, type Outbox } from '../../../edge/route/outbox.ts'
import { limits } from '../../../shared/limits.ts'
import type { LeaseId } from '../../../shared/ids.ts'
import type { Charge, News, Report, Settled } from '../../../shared/wire/ledger.ts'
import type { World } from '../harness/world.ts'
import type { Ledger } from './ledger.ts'
import { originName } from './names.ts'

/** The isolate's side of one ledger. */
type Line = {
  readonly outbox: Outbox
  /** Its requests under way there, as they would be charged to another life of the ledger, and since when. */
  readonly live: Map<LeaseId, { readonly charge: Charge; readonly sinceMs: number }>
  leaving: boolean
  tight: boolean
  life: string | null
}

export class Isolate {
  readonly loads: LoadsPort
  readonly #world: World
  readonly #ledgers: readonly Ledger[]
  readonly #origin: number
  readonly #lines: readonly Line[]

  constructor(world: World, ledgers: readonly Ledger[], origin: number) {
    this.loads = loads(emptyLoadsMemory(), { nowMs: () => world.nowMs })
    this.#world = world
    this.#ledgers = ledgers
    this.#origin = origin
    this.#lines = ledgers.map(() => ({ outbox: emptyOutbox(), live: new Map(), leaving: false, tight: false, life: null }))
  }

  /** Requests that it has sent to that region since then and that still run. */
  begunSince(region: number, sinceMs: number): number {
    let begun = 0
    for (const each of this.#lines[region]!.live.values()) if (each.sinceMs >= sinceMs) begun++
    return begun
  }

  begin(region: number, charge: Charge): void {
    this.#lines[region]!.live.set(charge.leaseId, { charge, sinceMs: this.#world.nowMs })
  }

  /** Takes in what an answer of that region's ledger brought along. */
  learn(region: number, news: News): void {
    const line = this.#lines[region]!
    this.loads.learn(news)
    line.tight = news.tight ?? false
    const life = news.life ?? line.life
    if (line.life !== null && life !== line.life) {
      for (const { charge } of line.live.values()) put(line.outbox, { charge: { ...charge, why: 'again' } })
    }
    line.life = life
  }

  /** A request that set out without asking. */
  tellCharge(region: number, charge: Charge, way: string): void {
    const { outbox } = this.#lines[region]!
    put(outbox, { charge })
    count(outbox.arrivals, originName(this.#origin))
    count(outbox.ways, way)
    this.#leave(region)
  }

  tellSettled(region: number, settled: Settled): void {
    const { outbox, live } = this.#lines[region]!
    live.delete(settled.leaseId)
    put(outbox, { settled })
    this.#leave(region)
  }

  /** What waits for that ledger, to ride on a question; and what the last question took. */
  takeWithRoundTrip(region: number): Report | null {
    const { outbox } = this.#lines[region]!
    noteRoundTrip(outbox, originName(this.#origin), this.#world.roundTripMs(this.#origin, region))
    return takeReport(outbox)
  }

  /** A report that did not arrive. */
  putBack(region: number, report: Report): void {
    const { outbox, live } = this.#lines[region]!
    putBack(outbox, report, (lease) => live.has(lease))
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
    const ledger = this.#ledgers[region]!
    const halfMs = this.#world.roundTripMs(this.#origin, region) / 2
    this.#world.timeline.after(halfMs, () => {
      if (ledger.isDown) return this.putBack(region, report)
      const news = ledger.tell(report, this.loads.seqOf(ledger.book.cell))
      this.#world.timeline.after(halfMs, () => this.learn(region, news))
    })
  }
}
