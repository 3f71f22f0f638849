// Time that stands still until a test moves it.

import type { Clock, Timer } from '../../shared/time.ts'

export type HeldTime = {
  readonly clock: Clock
  readonly timer: Timer
  /** Moves time on and wakes, in order, whoever slept until then. */
  readonly advance: (byMs: number) => Promise<void>
}

/** Lets everything go on that waits for nothing but its turn. */
export const idle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** `rest` is waited for before time moves on; more than a turn where something waits for another thread. */
export function heldTime(startMs = 1_000_000, rest = idle): HeldTime {
  let nowMs = startMs
  let sleepers: { readonly atMs: number; readonly wake: () => void }[] = []
  return {
    clock: { nowMs: () => nowMs },
    timer: {
      sleep: (forMs, signal) =>
        new Promise((resolve) => {
          const sleeper = { atMs: nowMs + forMs, wake: resolve }
          const awake = () => {
            sleepers = sleepers.filter((each) => each !== sleeper)
            resolve()
          }
          if (signal?.aborted) resolve()
          else {
            sleepers.push(sleeper)
            signal?.addEventListener('abort', awake, { once: true })
          }
        }),
    },
    advance: async (byMs) => {
      const untilMs = nowMs + byMs
      await rest()
      for (;;) {
        const next = sleepers.filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0]
        if (!next) break
        nowMs = Math.max(nowMs, next.atMs)
        sleepers = sleepers.filter((each) => each !== next)
        next.wake()
        await rest()
      }
      nowMs = untilMs
      await rest()
    },
  }
}
