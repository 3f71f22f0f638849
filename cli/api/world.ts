// What a command needs of the outside, as parameters: so that tests hold the time and read what is printed.

import type { Clock, Timer } from '../../shared/time.ts'

/** Where text goes; colours and redrawing only where it is a terminal. */
export type Screen = NodeJS.WritableStream & { readonly isTTY?: boolean }

export type World = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly workingFolder: string
  /** Results. */
  readonly out: Screen
  /** Progress and errors. */
  readonly err: Screen
  readonly clock: Clock
  readonly timer: Timer
  /** Milliseconds from any beginning, never backwards: for what is measured. */
  readonly steadyMs: () => number
}
