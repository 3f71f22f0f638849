// cli/engine/slow.ts — an engine that works at a part of its speed. It waits instead of working more, so a slow engine takes no other engine's
// processor on the same machine.
import type { Sequence } from './model.ts'
import { wait } from './wire.ts'

/** `signal` ends a wait early: its client has left. */
export type Pace = { readonly nowMs: () => number; readonly signal: AbortSignal }

/** Waits until what began at `startMs` has taken `factor` times as long as it did. */
export function stretch(factor: number, startMs: number, { nowMs, signal }: Pace): Promise<void> {
  return wait((factor - 1) * (nowMs() - startMs), signal)
}

/** The same sequence, each of its tokens `factor` times as late. */
export function slowed(sequence: Sequence, factor: number, pace: Pace): Sequence {
  if (factor === 1) return sequence
  return {
    clear: sequence.clear,
    sample: async function* (prompt, options) {
      let startMs = pace.nowMs()
      for await (const sampled of sequence.sample(prompt, options)) {
        await stretch(factor, startMs, pace)
        yield sampled
        startMs = pace.nowMs()
      }
    },
  }
}
