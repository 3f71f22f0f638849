// Whether the fleet, or a region's way to it, is in trouble that is not the canary's: then judgement is held. Pure. It must not be concluded
// from the canary's own failures: the canary's endpoints are left out of everything here.

import { limits } from '../../shared/limits.ts'
import type { RegionName, VersionId } from '../../shared/ids.ts'
import type { EndpointHealth } from '../../shared/wire/snapshot.ts'
import type { Trouble } from './judgement.ts'

/** An endpoint of the model, of any version. */
export type Standing = {
  readonly region: RegionName
  readonly version: VersionId
  readonly slots: number
  readonly health: EndpointHealth
}

/** Regions whose ledger has not answered for too long. */
export type Silence = ReadonlySet<RegionName>

const outHealths: readonly EndpointHealth[] = ['ejected', 'gone', 'probing']
/** Taken out by people, or asleep: no trouble, and no capacity. */
const restingHealths: readonly EndpointHealth[] = ['draining', 'disabled', 'sleeping']

/** A region is in trouble when its ledger is silent, or more of the other versions' slots there are out than may be; the fleet when half of its regions are. */
export function troubleOf(endpoints: readonly Standing[], canary: VersionId, silent: Silence): Trouble {
  const others = endpoints.filter(({ version, health }) => version !== canary && !restingHealths.includes(health))
  const byRegion = Map.groupBy(others, ({ region }) => region)
  const regions = [...new Set(endpoints.map(({ region }) => region))].filter((region) => {
    const members = byRegion.get(region) ?? []
    const slots = (list: readonly Standing[]): number => list.reduce((sum, each) => sum + each.slots, 0)
    const out = slots(members.filter(({ health }) => outHealths.includes(health)))
    return silent.has(region) || (members.length > 0 && out > limits.ejectionShareMax * slots(members))
  })
  const all = new Set(endpoints.map(({ region }) => region)).size
  return { fleet: all > 1 && regions.length * 2 >= all, regions: regions.toSorted() }
}
