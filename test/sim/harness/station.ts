// One endpoint: so many slots, and a queue without end before them, first come first served. It knows nothing of who sends.

import type { OutcomeKind } from '../../../shared/wire/ledger.ts'
import type { Timeline } from './timeline.ts'

/** One attempt at one endpoint. */
export type Job = {
  readonly serviceMs: number
  /** It has its slot: the first token follows at once, for nothing but waits is modelled. */
  readonly onStart: () => void
  readonly onEnd: (outcome: OutcomeKind) => void
}

/** What an endpoint answers in place of serving. */
export type Fault = { readonly outcome: OutcomeKind; readonly afterMs: number }

export class Station {
  running = 0
  /** Service times are multiplied by this. */
  slowness = 1
  /** Asked at each arrival; a fault takes no slot. */
  fault: (() => Fault | null) | null = null
  readonly #timeline: Timeline
  readonly slots: number
  readonly #queue: Job[] = []
  #head = 0

  constructor(timeline: Timeline, slots: number) {
    this.#timeline = timeline
    this.slots = slots
  }

  get waiting(): number {
    return this.#queue.length - this.#head
  }

  get inFlight(): number {
    return this.running + this.waiting
  }

  take(job: Job): void {
    const fault = this.fault?.()
    if (fault) this.#timeline.after(fault.afterMs, () => job.onEnd(fault.outcome))
    else if (this.running < this.slots) this.#start(job)
    else this.#queue.push(job)
  }

  #start(job: Job): void {
    this.running++
    job.onStart()
    this.#timeline.after(job.serviceMs * this.slowness, () => {
      this.running--
      const next = this.#queue[this.#head]
      if (next) {
        this.#head++
        this.#start(next)
        this.#forgetServed()
      }
      job.onEnd('good')
    })
  }

  /** The array's served beginning is cut off now and then: shifting at each request would cost the queue's length. */
  #forgetServed(): void {
    if (this.#head < 1_024 || this.#head * 2 < this.#queue.length) return
    this.#queue.splice(0, this.#head)
    this.#head = 0
  }
}
