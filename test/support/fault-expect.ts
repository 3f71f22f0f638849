// What tests of faults expect of a stretch of load, with a message that says what else happened.

import { expect } from 'vitest'
import type { Sample } from './load.ts'
import { failed, tally } from './samples.ts'

/** At least this part of the requests was served as asked. `least`: so many requests make a part worth naming. */
export function expectServed(samples: readonly Sample[], share: number, least = 10): void {
  const failures = failed(samples)
  const words = tally(failures.map(({ failure, kind, endpoint }) => `${kind}: ${failure} (${endpoint})`))
  expect(samples.length, 'requests under load').toBeGreaterThanOrEqual(least)
  const served = 1 - failures.length / samples.length
  expect(served, `${failures.length} of ${samples.length} failed: ${JSON.stringify(words)}`).toBeGreaterThanOrEqual(share)
}
