// cli/engine/stop.ts — ends a text at the first stop string, and holds back what may become one. Never emits any part of a stop string that
// ends the text, and never loses a character, however the text was cut into pieces.

/** What may be shown now, what must wait for more text, and whether a stop string was met (then nothing waits). */
export type Fed = { readonly shown: string; readonly held: string; readonly isStopped: boolean }

/**
 * Feeds the next piece. `held` is what the call before left waiting ('' at first). The stop string that is complete first wins, the longest
 * when several end at the same place: so the outcome does not depend on where the pieces were cut.
 */
export function feed(held: string, piece: string, stops: readonly string[]): Fed {
  const text = held + piece
  const cut = firstStop(text, stops)
  if (cut !== null) return { shown: text.slice(0, cut), held: '', isStopped: true }
  const heldLength = Math.max(0, ...stops.map((stop) => startedLength(text, stop)))
  const from = text.length - heldLength
  return { shown: text.slice(0, from), held: text.slice(from), isStopped: false }
}

/** Where the text must be cut: the start of the stop string that ends first, or null. */
function firstStop(text: string, stops: readonly string[]): number | null {
  let best: { readonly start: number; readonly end: number } | null = null
  for (const stop of stops) {
    const start = text.indexOf(stop)
    if (start < 0 || stop === '') continue
    const end = start + stop.length
    if (best === null || end < best.end || (end === best.end && start < best.start)) best = { start, end }
  }
  return best === null ? null : best.start
}

/** The length of the longest end of `text` that is a proper beginning of `stop`. */
function startedLength(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
