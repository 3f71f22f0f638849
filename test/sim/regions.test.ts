// Four regions: fractions and one spill against a router that knows every slot of the world.

import { describe, expect, it } from 'vitest'
import { memoryOf } from './harness/play.ts'
import { regions } from './scenarios/regions.ts'

const at = memoryOf(regions, { seeds: [1, 2, 3], requests: 30_000 })

const bounds = [
  { load: 0.7, times: 1.3 },
  { load: 0.85, times: 1.1 },
  { load: 0.95, times: 1.3 },
]

describe.each(bounds)('at load $load', ({ load, times }) => {
  const bound = times * at('omniscient', load).meanTtftS

  it(`the mean time to the first token is at most ${times} times that of knowing everything`, () => {
    expect(at('isochrone', load).meanTtftS).toBeLessThanOrEqual(bound)
  })

  it.each(['nearest', 'argmin-stale', 'weighted-random'])('where %s does not keep it', (policy) => {
    expect(at(policy, load).meanTtftS).toBeGreaterThan(bound)
  })
})
