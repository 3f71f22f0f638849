// What a load run sends and when, fixed before it begins. Pure: the same rate, time and seed give the same trace in every environment, which
// is what makes two runs comparable (traceDigest).

import { seededRandom } from '../../shared/random.ts'

export type Planned = { readonly dueMs: number; readonly prompt: string }
export type Trace = { readonly requestsPerS: number; readonly durationMs: number; readonly seed: number; readonly tokensMax: number }

/** Of different lengths and subjects, so that answers are too. */
const prompts: readonly string[] = [
  'What is the capital of Kenya?',
  'Which countries border Germany?',
  'Say in two sentences how a compass works.',
  'What is the currency of Japan?',
  'Name three rivers in South America and say where each one ends.',
  'Which languages are spoken in Switzerland?',
  'What is the highest point of Nepal, and how high is it?',
  'Explain to a child why the sky is blue.',
]

/**
 * Poisson arrivals, given their number: as many as the rate says, at times drawn evenly over the whole time and sorted. That is how Poisson
 * arrivals lie when their number is known; with a number left to chance one run of twenty would not offer the load it declares.
 */
export function plannedOf({ requestsPerS, durationMs, seed }: Trace): readonly Planned[] {
  const random = seededRandom(seed)
  const count = Math.round((requestsPerS * durationMs) / 1_000)
  const dueMs = Array.from({ length: count }, () => random() * durationMs).toSorted((a, b) => a - b)
  return dueMs.map((due) => ({ dueMs: due, prompt: prompts[Math.floor(random() * prompts.length)] ?? '' }))
}

/** What of the trace its digest covers: the requests and their times, to the microsecond. */
export const traceText = (planned: readonly Planned[], { tokensMax }: Trace): string =>
  JSON.stringify([tokensMax, planned.map(({ dueMs, prompt }) => [Math.round(dueMs * 1_000), prompt])])
