// Four regions with distances between them: who finds the place where the first token comes soonest? Asking costs nothing here, the way
// to a second ledger does.

import type { Scenario } from '../harness/play.ts'
import { argminStale, nearest, omniscient, weightedRandomRegion } from '../policies/region-references.ts'
import { isochroneRegions } from '../policies/isochrone-regions.ts'
import { fourOrigins, fourRegions } from './layouts.ts'

export const regions: Scenario = {
  name: 'regions',
  layout: fourRegions(8, 10),
  origins: fourOrigins,
  cases: [
    { load: 0.7, serviceTimeS: 1 },
    { load: 0.85, serviceTimeS: 1 },
    { load: 0.95, serviceTimeS: 1 },
    { load: 0.85, serviceTimeS: 10 },
  ],
  policies: {
    isochrone: () => isochroneRegions({ asking: 'free' }),
    omniscient: () => omniscient,
    nearest: () => nearest,
    'argmin-stale': ({ serviceTimeS }) => argminStale(serviceTimeS),
    'weighted-random': () => weightedRandomRegion,
  },
}
