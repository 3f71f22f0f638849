// Counting what clients saw. Pure.

import type { Sample } from './load.ts'

/** Requests sent in [fromMs, untilMs). */
export const sentIn = (samples: readonly Sample[], fromMs: number, untilMs: number): readonly Sample[] =>
  samples.filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < untilMs)

export const failed = (samples: readonly Sample[]): readonly Sample[] => samples.filter(({ failure }) => failure !== null)

/** Of the requests that were served, the part that this endpoint answered; 0 of none. */
export function shareOf(samples: readonly Sample[], endpoint: string): number {
  const served = samples.filter((sample) => sample.status === 200 && sample.endpoint !== null)
  return served.length === 0 ? 0 : served.filter((sample) => sample.endpoint === endpoint).length / served.length
}

/** How many per word, most first: for messages. */
export function tally(words: readonly string[]): Readonly<Record<string, number>> {
  const groups = Map.groupBy(words, (word) => word)
  return Object.fromEntries([...groups].map(([word, { length }]) => [word, length] as const).toSorted(([, a], [, b]) => b - a))
}
