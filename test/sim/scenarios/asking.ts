// The price of asking: the same regions, but a question to the ledger takes a round trip of its own before the request leaves.

import type { Scenario } from '../harness/play.ts'
import { isochroneRegions } from '../policies/isochrone-regions.ts'
import { fourOrigins, fourRegions } from './layouts.ts'

export const asking: Scenario = {
  name: 'asking',
  layout: fourRegions(8, 15),
  origins: fourOrigins,
  cases: [0.3, 0.5, 0.7, 0.85].map((load) => ({ load, serviceTimeS: 1 })),
  policies: {
    isochrone: () => isochroneRegions({ asking: 'when it pays' }),
    'always-ask': () => isochroneRegions({ asking: 'always' }),
    'never-ask': () => isochroneRegions({ asking: 'never' }),
    'exact-and-free': () => isochroneRegions({ asking: 'free' }),
  },
}
