// Ends a call from this side, once: when the client goes away, or at the deadline.
// The watch lives as long as the answer flows; a timeout that ended at the headers would let the stream behind them hang for ever.

import type { Timer } from '../../shared/time.ts'
import type { CutReason, Watch } from '../facts.ts'

/** Watches a call until `forMs` from now or until `gone` aborts. */
export function watch(gone: AbortSignal, forMs: number, timer: Timer): Watch {
  const aborter = new AbortController()
  const over = new AbortController()
  let why: CutReason | null = null
  const end = () => {
    gone.removeEventListener('abort', onGone)
    over.abort()
  }
  const cut = (reason: CutReason) => {
    if (why !== null) return
    why = reason
    end()
    aborter.abort(new Error(reason))
  }
  const onGone = () => cut('client_gone')
  gone.addEventListener('abort', onGone)
  if (gone.aborted) onGone()
  void timer.sleep(Math.max(0, forMs), over.signal).then(() => {
    if (!over.signal.aborted) cut('deadline')
  })
  return { signal: aborter.signal, cut, why: () => why, end }
}
