// What a run is judged by, over the requests after its warm-up. Times in seconds.

export type Figures = {
  readonly requests: number
  readonly meanWaitS: number
  readonly meanTtftS: number
  readonly p99TtftS: number
  /** Part of the requests that waited more than a second for a slot. */
  readonly slowShare: number
}

const slowMs = 1_000

export class Meter {
  readonly #ttftMs: number[] = []
  #waitMsSum = 0
  #slow = 0

  /** `waitMs`: for a slot, in ledger and engine together. `ttftMs`: that and every way. */
  add(waitMs: number, ttftMs: number): void {
    // Sums of ways and times differ by rounding from what they add up to.
    this.#waitMsSum += Math.max(0, waitMs)
    if (waitMs > slowMs) this.#slow++
    this.#ttftMs.push(ttftMs)
  }

  figures(): Figures {
    const sorted = Float64Array.from(this.#ttftMs).toSorted()
    const requests = sorted.length
    const sum = sorted.reduce((total, each) => total + each, 0)
    return {
      requests,
      meanWaitS: this.#waitMsSum / requests / 1_000,
      meanTtftS: sum / requests / 1_000,
      p99TtftS: (sorted[Math.floor(0.99 * requests)] ?? 0) / 1_000,
      slowShare: this.#slow / requests,
    }
  }
}

export const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
