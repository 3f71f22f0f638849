// What others do between regions. Within a region each of them has one exact queue before all its slots, so that what is compared is the
// choice of the region alone.

import { drawWeighted } from '../../../shared/random.ts'
import type { PolicyMaker, World } from '../harness/world.ts'
import { CentralQueue } from './central-queue.ts'

/** A policy that is one choice of a region for an origin. */
function choosing(choose: (world: World, queues: readonly CentralQueue[]) => (origin: number) => number): PolicyMaker {
  return (world) => {
    const queues = world.layout.regions.map((_, region) => new CentralQueue(world, region))
    const regionFor = choose(world, queues)
    return {
      arrive: (visit) => {
        const { origin } = visit.request
        const region = regionFor(origin)
        const halfMs = world.roundTripMs(origin, region) / 2
        world.travel(visit, halfMs, () => queues[region]!.take(visit, halfMs))
      },
      ended: (_, station) => {
        queues[world.regionOf[station]!]!.freed(station)
        return false
      },
    }
  }
}

const slotsIn = (world: World, region: number): number => world.layout.regions[region]!.reduce((sum, slots) => sum + slots, 0)

/** The smallest of what `costOf` says; the first of equals. */
const cheapest = (world: World, costOf: (region: number) => number): number =>
  world.layout.regions.reduce((best, _, region) => (costOf(region) < costOf(best) ? region : best), 0)

/** Always the callers' own region. */
export const nearest: PolicyMaker = choosing((world) => (origin) => cheapest(world, (region) => world.roundTripMs(origin, region)))

/** By capacity, wherever the caller is. */
export const weightedRandomRegion: PolicyMaker = choosing((world) => {
  const regions = world.layout.regions.map((_, region) => region)
  return () => drawWeighted(regions, (region) => slotsIn(world, region), world.random) ?? 0
})

/** The smallest round trip plus predicted wait, by numbers up to a second old: (requests beyond the slots + 1) x service / slots. */
export const argminStale = (serviceTimeS: number): PolicyMaker =>
  choosing((world, queues) => {
    let waitsMs: readonly number[] = []
    world.every(1_000, 0, () => {
      waitsMs = queues.map((queue, region) => {
        const slots = slotsIn(world, region)
        const over = queue.inFlight - slots
        return over < 0 ? 0 : ((over + 1) * serviceTimeS * 1_000) / slots
      })
    })
    return (origin) => cheapest(world, (region) => world.roundTripMs(origin, region) + (waitsMs[region] ?? 0))
  })

/**
 * Knows every slot of the world and how long each request in it, and on its way to it, will still take: the smallest round trip plus the
 * wait that the request will really have. Greedy: it does not think of those that come after.
 */
export const omniscient: PolicyMaker = (world) => {
  const queues = world.layout.regions.map((_, region) => new CentralQueue(world, region))
  // When each slot will be free of everything sent so far.
  const freeAtMs = world.layout.regions.map((_, region) => Array.from({ length: slotsIn(world, region) }, () => 0))
  const soonestSlot = (region: number): number => freeAtMs[region]!.reduce((best, atMs, slot, all) => (atMs < all[best]! ? slot : best), 0)
  const startMs = (origin: number, region: number): number =>
    Math.max(world.nowMs + world.roundTripMs(origin, region) / 2, freeAtMs[region]![soonestSlot(region)]!)
  return {
    arrive: (visit) => {
      const { origin, serviceMs } = visit.request
      const region = cheapest(world, (each) => startMs(origin, each) + world.roundTripMs(origin, each) / 2)
      freeAtMs[region]![soonestSlot(region)] = startMs(origin, region) + serviceMs
      const halfMs = world.roundTripMs(origin, region) / 2
      world.travel(visit, halfMs, () => queues[region]!.take(visit, halfMs))
    },
    ended: (_, station) => {
      queues[world.regionOf[station]!]!.freed(station)
      return false
    },
  }
}

/** The same greed, but by counts alone: it knows how many are in each region, or on their way there, not how long they will take. */
export const omniscientCounts = (serviceTimeS: number): PolicyMaker =>
  choosing((world, queues) => {
    return (origin) =>
      cheapest(world, (region) => {
        const slots = slotsIn(world, region)
        const over = queues[region]!.inFlight - slots
        return world.roundTripMs(origin, region) + (over < 0 ? 0 : ((over + 1) * serviceTimeS * 1_000) / slots)
      })
  })
