// The real clock, chance and timers. The one file, besides adapters, that may touch them.

import { base32 } from './ids.ts'
import type { Random } from './random.ts'
import type { Clock, Timer } from './time.ts'

export const systemClock: Clock = { nowMs: () => Date.now() }

export const systemRandom: Random = () => Math.random()

export const systemTimer: Timer = {
  sleep: (forMs, signal) =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timeout)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timeout = setTimeout(done, forMs)
      if (signal?.aborted) done()
      else signal?.addEventListener('abort', done)
    }),
}

/** A fresh unguessable id from the system's cryptographic source: 10 bytes give 16 characters. */
export const freshId = (bytes = 10): string => base32(crypto.getRandomValues(new Uint8Array(bytes)))
