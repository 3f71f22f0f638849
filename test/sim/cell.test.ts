// One region: the exact ledger against the central queue that knows everything, and against what others do.

import { describe, expect, it } from 'vitest'
import { memoryOf } from './harness/play.ts'
import { cell } from './scenarios/cell.ts'

const at = memoryOf(cell, { seeds: [1, 2], requests: 30_000 })

describe('at load 0.85 with services of 1 s', () => {
  it('at most 0.1 % of the requests wait for more than a second', () => {
    expect(at('isochrone', 0.85).slowShare).toBeLessThanOrEqual(0.001)
  })

  it('the mean wait is at most 1.2 times that of one queue before all slots', () => {
    expect(at('isochrone', 0.85).meanWaitS).toBeLessThanOrEqual(1.2 * at('omniscient-queue', 0.85).meanWaitS)
  })

  it.each(['weighted-random', 'round-robin', 'least-qps', 'max-score-stale', 'p2c-stale'])('%s keeps neither bound', (policy) => {
    const { slowShare, meanWaitS } = at(policy, 0.85)
    expect(slowShare).toBeGreaterThan(0.001)
    expect(meanWaitS).toBeGreaterThan(1.2 * at('omniscient-queue', 0.85).meanWaitS)
  })
})

describe('at load 0.95', () => {
  it.each([1, 10])('with services of %s s the mean wait is at most 1.2 times that of one queue', (serviceTimeS) => {
    const limit = at('omniscient-queue', 0.95, serviceTimeS)
    expect(limit.meanWaitS).toBeGreaterThan(0)
    expect(at('isochrone', 0.95, serviceTimeS).meanWaitS).toBeLessThanOrEqual(1.2 * limit.meanWaitS)
  })
})
