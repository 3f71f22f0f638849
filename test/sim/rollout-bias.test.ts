// A canary gets its weight, whatever its speed. The version is the unit's, by its hash, before any endpoint is looked at; the ledger then picks
// the quickest among that version's own endpoints. Whoever lets the ledger pick among all of them gives a quick version more than its weight
// and a slow one less, and so judges it by the traffic that it likes best.

import { describe, expect, it } from 'vitest'
import { versionFor } from '../../edge/admit/assign.ts'
import { bucketOf } from '../../shared/hash.ts'
import type { VersionId } from '../../shared/ids.ts'
import { limits } from '../../shared/limits.ts'
import { alias } from '../support/snapshot.ts'
import { demandOf } from './harness/demand.ts'
import { World, type Layout, type PolicyMaker } from './harness/world.ts'
import { Core } from './policies/core.ts'
import { Ledger } from './policies/ledger.ts'
import { snapshotOf, stationOf, version as stable } from './policies/names.ts'

const canary = 'sim-2' as VersionId
/** A cell of two versions: 192 slots of stable, 64 of the canary. */
const layout: Layout = { regions: [[64, 64, 32, 32, 32, 32]], roundTripMs: [[0]], isolates: 1 }
const canaryStations = [4, 5]
const requests = 40_000
const weightBp = 2_500
const split = alias({ stable, canary, weightBp })

type Speed = { readonly slowness: number; readonly ratePerS: number }
/** At the same demand a canary of half the speed has 64 slots for 40 of them, and one of twice the speed for 10. */
const speeds: readonly (readonly [string, Speed])[] = [
  ['twice as fast', { slowness: 0.5, ratePerS: 80 }],
  ['as fast', { slowness: 1, ratePerS: 80 }],
  ['half as fast', { slowness: 2, ratePerS: 80 }],
  // 64 slots of two seconds serve 32 a second, and 50 come: its requests wait for it, and stay its own.
  ['half as fast, and overrun', { slowness: 2, ratePerS: 200 }],
]

/** The version by the unit's bucket; or, as a reference, none: then the ledger takes whoever it likes. */
type Assign = ((request: number) => VersionId) | null

/** One cell's real ledger over endpoints of both versions. */
const cell =
  (assign: Assign): PolicyMaker =>
  (world) => {
    const whole = snapshotOf(world)
    const versionOf = (station: number): VersionId => (assign !== null && canaryStations.includes(station) ? canary : stable)
    const endpoints = whole.endpoints.map((each) => ({ ...each, version: versionOf(stationOf(each.id)) }))
    const snapshot = { ...whole, endpoints, aliases: [split] }
    const ledger = new Ledger(world, 0, snapshot)
    const core = new Core(world, [ledger], snapshot)
    world.every(limits.turnMs, limits.turnMs, () => core.turn())
    return {
      arrive: (visit) => {
        const asked = assign ? { version: assign(visit.request.index) } : {}
        ledger.place(visit, { granted: (station) => world.enter(visit, station), refused: () => world.refuse(visit) }, asked)
      },
      ended: (visit, station, outcome) => (ledger.settle(visit, station, outcome), false),
    }
  }

type Ran = { readonly share: number; readonly refused: number; readonly moved: number }

/** The part of the requests that the canary's endpoints served, and how many left the version that they were assigned to. */
function run(assign: Assign, { slowness, ratePerS }: Speed): Ran {
  const world = new World(layout, 1)
  for (const station of canaryStations) {
    const each = world.stations[station]
    if (each) each.slowness = slowness
  }
  let [ofCanary, all, moved] = [0, 0, 0]
  world.observe = ({ request }, station) => {
    const isCanary = canaryStations.includes(station)
    all++
    if (isCanary) ofCanary++
    if (assign && isCanary !== (assign(request.index) === canary)) moved++
  }
  world.run(cell(assign), demandOf({ seed: 1, ratePerS, serviceTimeS: 1, requests }))
  return { share: ofCanary / all, refused: world.refused, moved }
}

describe('a canary of 25 %', async () => {
  const buckets = await Promise.all(Array.from({ length: requests }, (_, request) => bucketOf('salt', `session-${request}`)))
  const byHash = (request: number): VersionId => versionFor(split, buckets[request] ?? 0)
  const gap = (share: number): number => Math.abs(share - weightBp / 10_000)

  it.each(speeds.slice(0, 3))('%s gets its weight to a percent', (_, speed) => {
    const ours = run(byHash, speed)
    expect(gap(ours.share)).toBeLessThanOrEqual(0.01)
    expect([ours.moved, ours.refused]).toEqual([0, 0])
  })

  it.each(speeds.filter(([, { slowness }]) => slowness !== 1).slice(0, 2))(
    '%s gets another share where the ledger chooses the version by latency',
    (_, speed) => {
      expect(gap(run(null, speed).share)).toBeGreaterThan(0.03)
    },
  )

  it.each(speeds.slice(3))('%s loses none of its requests to stable, which has room', (_, speed) => {
    expect(run(byHash, speed).moved).toBe(0)
  })

  it('the ledger picks the quickest endpoint all the same, among those of the version', () => {
    const world = new World({ ...layout, regions: [[32, 32, 32, 32, 32, 32]] }, 1)
    const slow = world.stations[4]
    if (slow) slow.slowness = 4
    const served = new Map<number, number>()
    world.observe = (_, station) => void served.set(station, (served.get(station) ?? 0) + 1)
    world.run(cell(byHash), demandOf({ seed: 1, ratePerS: 100, serviceTimeS: 1, requests: 20_000 }))
    expect(served.get(4) ?? 0).toBeLessThan((served.get(5) ?? 0) / 2)
  })
})
