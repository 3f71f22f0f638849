// Turns one after another: never two at once, and a call during a turn makes exactly one follow it.

export class Turns {
  readonly #take: (hurry: AbortSignal) => Promise<void>
  #running: { readonly ended: Promise<void>; readonly hurry: AbortController } | null = null
  #next: Promise<void> | null = null

  /** `take` is one turn; its signal aborts when another is wanted at once. */
  constructor(take: (hurry: AbortSignal) => Promise<void>) {
    this.#take = take
  }

  /** Resolves when a turn that began after this call has ended. A turn under way is hurried, for it may have read the old state. */
  nudge(): Promise<void> {
    // Queued already: that one begins after this call. Asked first, because the running turn is forgotten a moment before the queued one starts.
    if (this.#next) {
      this.#running?.hurry.abort()
      return this.#next
    }
    if (!this.#running) return this.#start()
    this.#running.hurry.abort()
    const follow = (): Promise<void> => {
      this.#next = null
      return this.#start()
    }
    // One that failed is followed like any other.
    this.#next = this.#running.ended.then(follow, follow)
    return this.#next
  }

  /** Resolves when the turn under way, or else one begun now, has ended. */
  tick(): Promise<void> {
    return this.#next ?? this.#running?.ended ?? this.#start()
  }

  #start(): Promise<void> {
    const hurry = new AbortController()
    const ended = this.#take(hurry.signal).finally(() => {
      this.#running = null
    })
    this.#running = { ended, hurry }
    return ended
  }
}
