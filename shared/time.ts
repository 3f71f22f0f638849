// Time as a parameter: whoever needs the hour is given a Clock, so that a run can be repeated.

/** Milliseconds since the Unix epoch. In a Worker it stands still between I/O, so it measures waiting, not computing. */
export type Clock = { readonly nowMs: () => number }

/**
 * A promise's value, or `otherwise` when it takes longer than `withinMs`; the timer is given, so that tests can hold time.
 * The late promise's failure is swallowed: nobody is left to hear it.
 */
export async function within<T, F>(promise: Promise<T>, withinMs: number, otherwise: F, timer: Timer): Promise<T | F> {
  const abandoned = new AbortController()
  const late = timer.sleep(withinMs, abandoned.signal).then(() => otherwise)
  try {
    return await Promise.race([promise, late])
  } finally {
    abandoned.abort()
    promise.catch(() => undefined)
  }
}

/** A promise's value, or `otherwise` when it fails: for sources whose failure means no more than "ask the next one". */
export async function orElse<T, F>(promise: Promise<T>, otherwise: F): Promise<T | F> {
  try {
    return await promise
  } catch {
    return otherwise
  }
}

/** Waiting as a parameter. `sleep` resolves after `forMs`, or at once when the signal aborts. */
export type Timer = { readonly sleep: (forMs: number, signal?: AbortSignal) => Promise<void> }
