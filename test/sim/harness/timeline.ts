// Virtual time: actions in the order of their times, equal times in the order in which they were asked for. Nothing here knows what an
// action does, and nothing reads a real clock: the same seed gives the same run on every machine.

export type Action = () => void

export class Timeline {
  nowMs = 0
  /** A binary heap in three columns; the second settles equal times. */
  readonly #times: number[] = []
  readonly #orders: number[] = []
  readonly #actions: Action[] = []
  #asked = 0

  get length(): number {
    return this.#times.length
  }

  /** Does `action` at that time; a time that has passed means now. */
  at(timeMs: number, action: Action): void {
    const time = Math.max(this.nowMs, timeMs)
    const order = this.#asked++
    let hole = this.#times.length
    while (hole > 0) {
      const parent = (hole - 1) >> 1
      if (!this.#isBefore(time, order, parent)) break
      this.#move(parent, hole)
      hole = parent
    }
    this.#put(hole, time, order, action)
  }

  after(delayMs: number, action: Action): void {
    this.at(this.nowMs + delayMs, action)
  }

  /** Does `action` each period from `firstMs` on, for as long as it answers true. */
  every(periodMs: number, firstMs: number, action: () => boolean): void {
    const turn = () => {
      if (action()) this.after(periodMs, turn)
    }
    this.at(firstMs, turn)
  }

  /** Runs until nothing is left to do. */
  run(): void {
    for (let action = this.#next(); action; action = this.#next()) action()
  }

  /** Takes the earliest action out and sets the time to its own. */
  #next(): Action | null {
    const action = this.#actions[0]
    if (!action) return null
    this.nowMs = this.#times[0]!
    const time = this.#times.pop()!
    const order = this.#orders.pop()!
    const last = this.#actions.pop()!
    const size = this.#times.length
    if (size === 0) return action
    let hole = 0
    for (;;) {
      let child = 2 * hole + 1
      if (child >= size) break
      if (child + 1 < size && this.#isBefore(this.#times[child + 1]!, this.#orders[child + 1]!, child)) child++
      if (this.#isBefore(time, order, child)) break
      this.#move(child, hole)
      hole = child
    }
    this.#put(hole, time, order, last)
    return action
  }

  #isBefore(time: number, order: number, index: number): boolean {
    const other = this.#times[index]!
    return time < other || (time === other && order < this.#orders[index]!)
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#times[from]!, this.#orders[from]!, this.#actions[from]!)
  }

  #put(index: number, time: number, order: number, action: Action): void {
    this.#times[index] = time
    this.#orders[index] = order
    this.#actions[index] = action
  }
}
