// One queue before all slots of a region, known exactly and at once: within a region no decision can do better.

import type { Visit, World } from '../harness/world.ts'

export class CentralQueue {
  readonly #world: World
  readonly #stations: readonly number[]
  /** Oldest first, from `#head` on. */
  #queue: { readonly visit: Visit; readonly backMs: number }[] = []
  #head = 0

  constructor(world: World, region: number, without: readonly number[] = []) {
    this.#world = world
    this.#stations = (world.stationsIn[region] ?? []).filter((station) => !without.includes(station))
  }

  get waiting(): number {
    return this.#queue.length - this.#head
  }

  get inFlight(): number {
    return this.#stations.reduce((sum, station) => sum + this.#world.stations[station]!.running, this.waiting)
  }

  /** The request is there. Its answer takes `backMs`. */
  take(visit: Visit, backMs: number): void {
    const roomy = this.#stations.find((station) => this.#world.stations[station]!.running < this.#world.stations[station]!.slots)
    if (roomy === undefined) this.#queue.push({ visit, backMs })
    else this.#world.enter(visit, roomy, backMs)
  }

  /** A slot of this station came free. */
  freed(station: number): void {
    const next = this.#queue[this.#head]
    if (!next) return
    this.#head++
    if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    this.#world.enter(next.visit, station, next.backMs)
  }
}
