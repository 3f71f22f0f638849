// One region, unequal endpoints, no distance: who finds the free slot?

import type { Scenario } from '../harness/play.ts'
import { leastQps, maxScoreStale, omniscientQueue, p2cStale, roundRobin, weightedRandom } from '../policies/cell-references.ts'
import { isochroneCell } from '../policies/isochrone-cell.ts'
import { oneCell } from './layouts.ts'

export const cell: Scenario = {
  name: 'cell',
  layout: oneCell,
  origins: [1],
  cases: [1, 10].flatMap((serviceTimeS) => [0.6, 0.7, 0.85, 0.95].map((load) => ({ load, serviceTimeS }))),
  policies: {
    isochrone: () => isochroneCell,
    'omniscient-queue': () => omniscientQueue,
    'weighted-random': () => weightedRandom,
    'round-robin': () => roundRobin,
    'least-qps': () => leastQps,
    'max-score-stale': () => maxScoreStale,
    'p2c-stale': () => p2cStale,
  },
}
