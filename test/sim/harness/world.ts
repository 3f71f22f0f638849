// Endpoints in regions, requests on their way to them, and the measuring of their waits. A policy decides where each request goes; the
// world moves it, serves it and counts. What a policy knows, and how old that is, is the policy's own matter.

import { seededRandom, type Random } from '../../../shared/random.ts'
import type { OutcomeKind } from '../../../shared/wire/ledger.ts'
import { Meter, type Figures } from './figures.ts'
import type { Request } from './demand.ts'
import { Station } from './station.ts'
import { Timeline, type Action } from './timeline.ts'

/** A place as the scenario lays it out: endpoints by their slots, and the round trip from each region's callers. */
export type Layout = {
  /** Slots of the endpoints, by region. */
  readonly regions: readonly (readonly number[])[]
  /** Round trip in milliseconds from the callers of one region to the endpoints of another. */
  readonly roundTripMs: readonly (readonly number[])[]
  readonly isolates: number
}

/** A request under way. */
export type Visit = {
  readonly request: Request
  /** What it has spent on ways so far; the rest of its time was waiting. */
  travelMs: number
  attempts: number
  /** When the last attempt got its slot; 0 before. */
  startedAtMs: number
}

export type Policy = {
  readonly arrive: (visit: Visit) => void
  /** It has its slot. */
  readonly started?: (visit: Visit, station: number) => void
  /** An attempt ended at its endpoint. True: the policy sends the request on, so it is not over. */
  readonly ended?: (visit: Visit, station: number, outcome: OutcomeKind) => boolean
}

export type PolicyMaker = (world: World) => Policy

/** Sees each attempt that ended. */
export type Observer = (visit: Visit, station: number, outcome: OutcomeKind) => void

export class World {
  readonly timeline = new Timeline()
  /** Chance of the policy and of faults; the demand has its own. */
  readonly random: Random
  readonly layout: Layout
  readonly stations: readonly Station[]
  /** Region of each station, and stations of each region. */
  readonly regionOf: readonly number[]
  readonly stationsIn: readonly (readonly number[])[]
  observe: Observer | null = null
  refused = 0
  /** What the policy counts of its own accord. */
  readonly counts = new Map<string, number>()
  readonly #meter = new Meter()
  #policy: Policy | null = null
  #open = 0
  #measuredFromMs = 0

  constructor(layout: Layout, seed: number) {
    this.layout = layout
    this.random = seededRandom(seed * 1_000 + 5)
    this.regionOf = layout.regions.flatMap((endpoints, region) => endpoints.map(() => region))
    this.stations = layout.regions.flat().map((slots) => new Station(this.timeline, slots))
    this.stationsIn = layout.regions.map((_, region) => this.regionOf.flatMap((each, station) => (each === region ? [station] : [])))
  }

  get nowMs(): number {
    return this.timeline.nowMs
  }

  roundTripMs(origin: number, region: number): number {
    return this.layout.roundTripMs[origin]?.[region] ?? 0
  }

  /** Does `action` each period for as long as requests are under way or to come. */
  every(periodMs: number, firstMs: number, action: Action): void {
    this.timeline.every(periodMs, firstMs, () => {
      action()
      return this.#open > 0
    })
  }

  /** Moves a request: `action` happens when it is there. */
  travel(visit: Visit, ms: number, action: Action): void {
    visit.travelMs += ms
    if (ms <= 0) action()
    else this.timeline.after(ms, action)
  }

  /** The request is at the endpoint's door. Its answer takes `backMs` to the caller. */
  enter(visit: Visit, station: number, backMs = 0): void {
    const { request } = visit
    visit.attempts++
    this.stations[station]!.take({
      serviceMs: request.serviceMs,
      onStart: () => {
        const gone = this.nowMs - request.atMs
        visit.startedAtMs = this.nowMs
        if (request.atMs >= this.#measuredFromMs) this.#meter.add(gone - visit.travelMs, gone + backMs)
        this.#policy?.started?.(visit, station)
      },
      onEnd: (outcome) => {
        this.observe?.(visit, station, outcome)
        if (!this.#policy?.ended?.(visit, station, outcome)) this.#open--
      },
    })
  }

  count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }

  /** An attempt has failed, and nothing is tried any more. */
  giveUp(_visit: Visit): void {
    this.#open--
  }

  /** The caller is told that there is no place; the wait until then counts. */
  refuse(visit: Visit): void {
    const gone = this.nowMs - visit.request.atMs
    this.refused++
    this.#open--
    if (visit.request.atMs >= this.#measuredFromMs) this.#meter.add(gone - visit.travelMs, gone)
  }

  /** Runs the whole demand; requests that arrive before `warmUpShare` of its span are served but not measured. */
  run(make: PolicyMaker, demand: readonly Request[], warmUpShare = 0.1): Figures {
    this.#measuredFromMs = (demand.at(-1)?.atMs ?? 0) * warmUpShare
    // Counted as open from the start, so that what repeats does not stop in a quiet moment.
    this.#open = demand.length
    const policy = make(this)
    this.#policy = policy
    const arrive = (index: number) => {
      const request = demand[index]
      if (!request) return
      this.timeline.at(request.atMs, () => {
        policy.arrive({ request, travelMs: 0, attempts: 0, startedAtMs: 0 })
        arrive(index + 1)
      })
    }
    arrive(0)
    this.timeline.run()
    return this.#meter.figures()
  }
}

export const slotsOf = (layout: Layout): number => layout.regions.flat().reduce((sum, slots) => sum + slots, 0)
