// cli/engine/barrier.ts — hands out the tokens of one decode call together. node-llama-cpp gives each sequence its token as soon as it is
// sampled and starts the next call with whoever has asked by then: two sequences end up taking turns instead of sharing a call.

export type Barrier = {
  /** A decode call begins that will give `count` sequences a token. */
  readonly expect: (count: number) => void
  /** Called for every expected token, also when it failed to come; resolves when all have. */
  readonly arrive: () => Promise<void>
}

export function openBarrier(): Barrier {
  let outstanding = 0
  // At most one per sequence.
  let waiting: (() => void)[] = []
  return {
    expect: (count) => {
      outstanding += count
    },
    arrive: () => {
      outstanding = Math.max(0, outstanding - 1)
      if (outstanding > 0) return new Promise((resolve) => waiting.push(resolve))
      const released = waiting
      waiting = []
      for (const release of released) release()
      return Promise.resolve()
    },
  }
}
