// What tests of faults expect of a stretch of load, with a message that says what else happened.

import { expect } from 'vitest'
import type { Sample } from './load.ts'
import { failed, tally } from './samples.ts'

/** At least this part of the requests was served as asked. */
export function expectServed(samples: readonly Sample[], share: number): void {
  const failures = failed(samples)
  const words = tally(failures.map(({ failure, kind, endpoint }) => `${kind}: ${failure} (${endpoint})`))
  expect(samples.length, 'requests under load').toBeGreaterThan(10)
  expect(
    1 - failures.length / samples.length,
    `${failures.length} of ${samples.length} failed: ${JSON.stringify(words)}`,
  ).toBeGreaterThanOrEqual(share)
}
