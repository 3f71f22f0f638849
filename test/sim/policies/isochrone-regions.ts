// Ours between regions: the isolate draws a cell from the published fractions of its origin, the cell's real ledger keeps, queues or
// spills once. Asking is either free (the request travels with its question, as with leases held in advance) or takes its round trip.

import { cellsFor, rowOf, servingEndpoints } from '../../../edge/route/cell.ts'
import { drawBlind } from '../../../edge/route/fallback.ts'
import { whyAsk } from '../../../edge/route/worth-asking.ts'
import { limits } from '../../../shared/limits.ts'
import type { LeaseId } from '../../../shared/ids.ts'
import type { AskAnswer, Granted, OutcomeKind } from '../../../shared/wire/ledger.ts'
import type { Policy, PolicyMaker, Visit, World } from '../harness/world.ts'
import { Core } from './core.ts'
import { Isolate } from './isolates.ts'
import { chargeOf, Ledger, leaseOf, settledOf } from './ledger.ts'
import { cellName, endpointName, model, originName, regionOfCell, snapshotOf, stationOf, version } from './names.ts'

export type Asking = 'free' | 'always' | 'when it pays' | 'never'

type Span = { readonly fromMs: number; readonly untilMs: number }

export type RegionsOptions = {
  readonly asking: Asking
  /** While core takes no turns. */
  readonly coreDown?: Span
  /** While no ledger answers; afterwards each is another life, with what the one before had stored. */
  readonly ledgersDown?: Span
  /** What an isolate does then; refusing is what must not be done. */
  readonly withoutLedger?: 'draw' | 'refuse'
}

const need = { version, operation: 'chat', avoid: [], residency: null } as const

/** An attempt that was sent: its lease, when, and to which region. */
type Attempt = { readonly leaseId: LeaseId; readonly atMs: number; readonly region: number }

export const isochroneRegions =
  (options: RegionsOptions): PolicyMaker =>
  (world) =>
    new Regions(world, options)

class Regions implements Policy {
  readonly #world: World
  readonly #options: RegionsOptions
  readonly #ledgers: readonly Ledger[]
  readonly #core: Core
  readonly #isolates = new Map<number, Isolate>()
  readonly #attempts = new Map<Visit, Attempt>()
  /** Who waits in a ledger's queue, and where. */
  readonly #queued = new Map<Visit, number>()
  /** With free asking the request travels with its question: whoever decides on it has it before him. */
  readonly #free: boolean

  constructor(world: World, options: RegionsOptions) {
    const snapshot = snapshotOf(world)
    this.#world = world
    this.#options = options
    this.#free = options.asking === 'free'
    this.#ledgers = world.layout.regions.map((_, region) => new Ledger(world, region, snapshot))
    this.#core = new Core(world, this.#ledgers, snapshot)
    const isDuring = (span?: Span) => span !== undefined && world.nowMs >= span.fromMs && world.nowMs < span.untilMs
    world.every(limits.turnMs, limits.turnMs, () => {
      if (!isDuring(options.coreDown) && !isDuring(options.ledgersDown)) this.#core.turn()
    })
    if (options.ledgersDown) {
      world.timeline.at(options.ledgersDown.fromMs, () => this.#loseLedgers())
      world.timeline.at(options.ledgersDown.untilMs, () => this.#ledgers.forEach((ledger) => ledger.restart()))
    }
  }

  arrive(visit: Visit): void {
    const { snapshot } = this.#core
    const row = rowOf(snapshot, this.#isolateOf(visit).loads.latest(model), model, originName(visit.request.origin))
    const candidates = cellsFor(snapshot, row, need, null, this.#world.random)
    if ('none' in candidates) return this.#world.refuse(visit)
    const region = regionOfCell(candidates.first)
    if (!this.#mustAsk(visit, region)) return this.#dispatchBlind(visit, region, 'blind')
    this.#world.count('asked')
    this.#ask(visit, region, null)
  }

  ended(visit: Visit, station: number, outcome: OutcomeKind): boolean {
    const attempt = this.#attempts.get(visit)
    this.#attempts.delete(visit)
    if (!attempt) return false
    const { leaseId, region } = attempt
    const tell = () => {
      const took = this.#world.nowMs - attempt.atMs
      const settled = settledOf(leaseId, station, outcome, { ttfb: took - visit.request.serviceMs, took })
      if (this.#free) this.#ledgers[region]!.tell({ settled: [settled] })
      else this.#isolateOf(visit).tellSettled(region, settled)
    }
    if (this.#free) tell()
    else this.#world.timeline.after(this.#halfTo(visit, region), tell)
    return false
  }

  #isolateOf({ request }: Visit): Isolate {
    const known = this.#isolates.get(request.isolate) ?? new Isolate(this.#world, this.#ledgers, request.origin)
    this.#isolates.set(request.isolate, known)
    return known
  }

  #halfTo(visit: Visit, region: number): number {
    return this.#world.roundTripMs(visit.request.origin, region) / 2
  }

  #mustAsk(visit: Visit, region: number): boolean {
    const { asking } = this.#options
    if (asking !== 'when it pays') return asking !== 'never'
    const isolate = this.#isolateOf(visit)
    const told = isolate.loads.cell(model, cellName(region))
    const why = whyAsk({
      purpose: 'first',
      strategy: 'least-latency',
      affinity: null,
      mayHedge: false,
      onTrial: false,
      load: told?.load ?? null,
      roundTripMs: this.#world.roundTripMs(visit.request.origin, region),
      ownBurst: told ? isolate.begunSince(region, told.atMs - limits.reportEveryMs) : 0,
    })
    return why !== null
  }

  #ask(visit: Visit, region: number, spilledFrom: number | null): void {
    const world = this.#world
    const ledger = this.#ledgers[region]!
    const isolate = this.#isolateOf(visit)
    const report = isolate.takeWithRoundTrip(region)
    const halfMs = this.#halfTo(visit, region)
    world.travel(visit, halfMs, () => {
      if (ledger.isDown) {
        if (report) isolate.putBack(region, report)
        return world.travel(visit, halfMs + limits.ledgerWaitMs, () => this.#withoutLedger(visit, region))
      }
      const answer = ledger.ask(visit, {
        origin: originName(visit.request.origin),
        loadsSeq: isolate.loads.seqOf(ledger.book.cell),
        spilledFrom: spilledFrom === null ? null : cellName(spilledFrom),
        ...(report ? { report } : {}),
      })
      world.timeline.after(halfMs, () => isolate.learn(region, answer))
      this.#answered(visit, region, answer, spilledFrom)
    })
  }

  #answered(visit: Visit, region: number, { lease, queued, spill }: AskAnswer, spilledFrom: number | null): void {
    const world = this.#world
    const halfMs = this.#halfTo(visit, region)
    if (lease) return this.#granted(visit, region, lease)
    if (queued) {
      this.#queued.set(visit, region)
      // With its own way to pay, the question for the end of the wait is another call.
      return this.#free ? this.#claim(visit, region) : world.travel(visit, 2 * halfMs, () => this.#claim(visit, region))
    }
    // The ledger's word comes back to the isolate, which asks another; a second that is full sends it back to wait at the first.
    if (spill) {
      world.count('spilled')
      return world.travel(visit, halfMs, () => this.#ask(visit, regionOfCell(spill.cell), region))
    }
    if (spilledFrom === null || spilledFrom === region) return world.refuse(visit)
    world.travel(visit, halfMs, () => this.#ask(visit, spilledFrom, spilledFrom))
  }

  #claim(visit: Visit, region: number): void {
    if (!this.#queued.has(visit)) return
    this.#ledgers[region]!.wait(leaseOf(visit), ({ lease }) => {
      this.#queued.delete(visit)
      if (lease) this.#granted(visit, region, lease)
      else this.#world.refuse(visit)
    })
  }

  /** The lease's way back, and then the request's way there. */
  #granted(visit: Visit, region: number, lease: Granted): void {
    this.#world.travel(visit, this.#free ? 0 : this.#halfTo(visit, region), () => this.#send(visit, region, stationOf(lease.endpoint)))
  }

  #send(visit: Visit, region: number, station: number): void {
    const leaseId = leaseOf(visit)
    const halfMs = this.#halfTo(visit, region)
    this.#attempts.set(visit, { leaseId, atMs: this.#world.nowMs, region })
    this.#isolateOf(visit).begin(region, chargeOf(this.#world, leaseId, endpointName(station), 'again'))
    this.#world.travel(visit, this.#free ? 0 : halfMs, () => this.#world.enter(visit, station, halfMs))
  }

  #dispatchBlind(visit: Visit, region: number, way: string): void {
    const isolate = this.#isolateOf(visit)
    const endpoints = servingEndpoints(this.#core.snapshot, need).filter(({ cell }) => cell === cellName(region))
    const draw = { endpoints, loads: isolate.loads.fresh(model), isAside: () => false, key: null }
    const endpoint = drawBlind(draw, this.#world.random)
    if (!endpoint) return this.#world.refuse(visit)
    isolate.tellCharge(region, chargeOf(this.#world, leaseOf(visit), endpoint.id, 'blind'), way)
    this.#send(visit, region, stationOf(endpoint.id))
  }

  #withoutLedger(visit: Visit, region: number): void {
    if (this.#options.withoutLedger === 'refuse') return this.#world.refuse(visit)
    const way = this.#isolateOf(visit).loads.fresh(model) ? 'headroom' : 'capacity'
    this.#world.count(way)
    this.#dispatchBlind(visit, region, way)
  }

  /** Whoever waited in a queue sees the call fail, and asks again. */
  #loseLedgers(): void {
    for (const ledger of this.#ledgers) ledger.fail()
    for (const [visit, region] of this.#queued) this.#ask(visit, region, null)
    this.#queued.clear()
  }
}
