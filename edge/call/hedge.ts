// A second copy beside a slow request: the first good answer wins, the other is cancelled at once. An attempt that fails while the other
// still runs is not the answer. Never decides whether there may be a second one: that is the ledger's budget.

import { orElse, within, type Timer } from '../../shared/time.ts'

/** An attempt under way. `cancel` ends it and gives its lease back, be it answered by then or not; it does nothing to one that has failed. */
export type Racer = { readonly answer: Promise<{ readonly ok: boolean }>; readonly cancel: () => void }

/**
 * Resolves with the attempt that counts, its answer there: the first alone when it answers within `afterMs`; else the winner of two.
 * `second` sends the copy, or gives null when there may be none; its signal aborts when it has come too late to send.
 */
export async function hedge<R extends Racer>(
  first: R,
  afterMs: number,
  second: (over: AbortSignal) => Promise<R | null>,
  timer: Timer,
): Promise<R> {
  const answered = await within(
    first.answer.then(() => true),
    afterMs,
    false,
    timer,
  )
  if (answered) return first
  const over = new AbortController()
  let sent: R | null = null
  let winner: R | null = null
  const sending = async (): Promise<R | null> => {
    sent = await second(over.signal)
    // Sent at the last moment, when all was over.
    if (over.signal.aborted) sent?.cancel()
    return sent
  }
  const copy = sending()
  try {
    winner = await winnerOf(first, copy)
    return winner
  } finally {
    // Whoever has not won must not go on for nobody, be it for a bug of the other.
    over.abort()
    for (const racer of [first, sent]) if (racer !== winner) racer?.cancel()
    void orElse(copy, null)
  }
}

async function winnerOf<R extends Racer>(first: R, copy: Promise<R | null>): Promise<R> {
  const ended = async (racer: R | null) => ({ racer, ok: (await racer?.answer)?.ok ?? false })
  const ofFirst = ended(first)
  const ofCopy = copy.then(ended)
  const sooner = await Promise.race([ofFirst, ofCopy])
  if (sooner.racer && sooner.ok) return sooner.racer
  const later = await (sooner.racer === first ? ofCopy : ofFirst)
  // Without a good answer the first one's failure is told: it had more time.
  return later.racer && later.ok ? later.racer : first
}
