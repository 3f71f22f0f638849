// Without a ledger an isolate draws by the last published weights. However old they are, nobody may herd, and it must never be much
// worse than a draw by capacity.

import { describe, expect, it } from 'vitest'
import { runs } from './harness/runs.ts'
import { argminOf, p2cOf, weightedRandom } from './policies/cell-references.ts'
import { fallback, unclamped } from './policies/fallback.ts'
import { oneCell } from './scenarios/layouts.ts'

const seeds = [1, 2, 3, 4, 5]
const run = { layout: oneCell, load: 0.85, serviceTimeS: 1, requests: 60_000 }
const agesS = [0.25, 1, 2, 5, 15, 60]
const drawAt = (ageS: number) => () => fallback({ everyMs: ageS * 1_000 })

describe('weights that are two seconds old', () => {
  it('make at most 1 % of the requests wait for more than a second', () => {
    expect(runs(drawAt(2), run, seeds).slowShare).toBeLessThanOrEqual(0.01)
  })

  it('where choosing the least used by numbers as old makes more than half of them wait', () => {
    expect(runs(() => argminOf(2_000), run, [1, 2]).slowShare).toBeGreaterThan(0.5)
  })
})

describe('a draw by weights of any age', () => {
  const random = runs(() => weightedRandom, run, seeds)
  const bound = 1.5 * random.meanWaitS + 0.02

  it.each(agesS)('of %s s waits at most half as long again as a draw by capacity, and 20 ms', (ageS) => {
    expect(runs(drawAt(ageS), run, seeds).meanWaitS).toBeLessThanOrEqual(bound)
  })

  it('where the better of two draws by old numbers does not keep that bound', () => {
    expect(runs(() => p2cOf(5_000), run, [1, 2]).meanWaitS).toBeGreaterThan(bound)
  })
})

describe('weights that are fifteen services old', () => {
  it('still make at most 1 % wait, for a backlog that will be gone counts as none', () => {
    expect(runs(drawAt(15), run, seeds).slowShare).toBeLessThanOrEqual(0.01)
  })

  it('where without that clamp they chase the last full endpoint', () => {
    const chasing = () => fallback({ everyMs: 15_000, weightsOf: unclamped, configuredServiceMs: 1_000 })
    expect(runs(chasing, run, [1, 2]).slowShare).toBeGreaterThan(0.01)
  })
})
