// The progress of an evaluation, on stderr: a bar on a terminal, now and then a line elsewhere.

import { Presets, SingleBar } from 'cli-progress'
import type { Screen } from '../api/world.ts'

export type Bar = { readonly done: (right: number) => void; readonly stop: () => void }

/** How often a line is written where there is no terminal. */
const linesEveryMs = 5_000

export function startBar(stream: Screen, total: number, isShown: boolean): Bar {
  if (!isShown) return { done: () => undefined, stop: () => undefined }
  const bar = new SingleBar(
    {
      stream,
      noTTYOutput: stream.isTTY !== true,
      notTTYSchedule: linesEveryMs,
      format: '{bar} {percentage} %  {value} of {total}, {right} right  {eta_formatted} left',
      // Ctrl-C is the caller's: the bar must neither swallow it nor leave a terminal without a cursor.
      gracefulExit: false,
      hideCursor: false,
    },
    Presets.shades_classic,
  )
  bar.start(total, 0, { right: 0 })
  return { done: (right) => bar.increment(1, { right }), stop: () => bar.stop() }
}
