// What others do with one cell, and the limit nobody can pass. Every one of them sees the cell's endpoints alone.

import { drawWeighted } from '../../../shared/random.ts'
import type { PolicyMaker, World } from '../harness/world.ts'
import { CentralQueue } from './central-queue.ts'

const indexes = (world: World): readonly number[] => world.stations.map((_, station) => station)

/** In flight by station as of the last look, taken each `everyMs`. */
function snapshots(world: World, everyMs: number): () => readonly Look[] {
  let looks: readonly Look[] = []
  world.every(everyMs, 0, () => {
    looks = world.stations.map(({ running, waiting }) => ({ running, waiting }))
  })
  return () => looks
}

type Look = { readonly running: number; readonly waiting: number }

/** One queue before all slots, known exactly and at once: no decision can do better. */
export const omniscientQueue: PolicyMaker = (world) => {
  const queue = new CentralQueue(world, 0)
  return {
    arrive: (visit) => queue.take(visit, 0),
    ended: (_, station) => {
      queue.freed(station)
      return false
    },
  }
}

/** A draw by capacity. */
export const weightedRandom: PolicyMaker = (world) => {
  const all = indexes(world)
  return { arrive: (visit) => world.enter(visit, drawWeighted(all, (each) => world.stations[each]!.slots, world.random) ?? 0) }
}

/** Each isolate in turn through all endpoints, from a place of its own, as a list is walked that carries no capacities. */
export const roundRobin: PolicyMaker = (world) => {
  const next = Array.from({ length: world.layout.isolates }, () => Math.floor(world.random() * world.stations.length))
  return {
    arrive: (visit) => {
      const station = next[visit.request.isolate]! % world.stations.length
      next[visit.request.isolate] = station + 1
      world.enter(visit, station)
    },
  }
}

/** vLLM production-stack's fallback everywhere: the endpoint with the fewest requests that this router sent in the last minute. */
export const leastQps: PolicyMaker = (world) => {
  const windowMs = 60_000
  const sent = Array.from({ length: world.layout.isolates }, () => world.stations.map((): number[] => []))
  return {
    arrive: (visit) => {
      const mine = sent[visit.request.isolate]!
      let best = 0
      for (const [station, times] of mine.entries()) {
        while (times.length > 0 && times[0]! <= world.nowMs - windowMs) times.shift()
        if (times.length < mine[best]!.length) best = station
      }
      mine[best]!.push(world.nowMs)
      world.enter(visit, best)
    },
  }
}

/**
 * llm-d's default profile over metrics up to 200 ms old: queue depth (weight 2, best 1 and worst 0), KV-cache use (weight 2), prefix
 * (weight 3, but nothing is shared here); the highest score, equals by chance. KV use stands for the slots in use.
 */
export const maxScoreStale: PolicyMaker = (world) => {
  const looks = snapshots(world, 200)
  return {
    arrive: (visit) => {
      const now = looks()
      const waits = now.map((look) => look.waiting)
      const most = Math.max(...waits)
      const least = Math.min(...waits)
      const scores = now.map(({ running, waiting }, station) => {
        const queue = most === least ? 1 : (most - waiting) / (most - least)
        return 2 * queue + 2 * (1 - running / world.stations[station]!.slots)
      })
      const top = Math.max(...scores)
      const best = scores.flatMap((score, station) => (score === top ? [station] : []))
      world.enter(visit, best[Math.floor(world.random() * best.length)] ?? 0)
    },
  }
}

/** Two draws by capacity, the less used of them by numbers up to a second old. */
export const p2cStale = p2cOf(1_000)

export function p2cOf(everyMs: number): PolicyMaker {
  return (world) => {
    const looks = snapshots(world, everyMs)
    const all = indexes(world)
    const slots = (station: number) => world.stations[station]!.slots
    return {
      arrive: (visit) => {
        const now = looks()
        const use = (station: number) => ((now[station]?.running ?? 0) + (now[station]?.waiting ?? 0)) / slots(station)
        const one = drawWeighted(all, slots, world.random) ?? 0
        const other = drawWeighted(all, (station) => (station === one ? 0 : slots(station)), world.random) ?? one
        world.enter(visit, use(other) < use(one) ? other : one)
      },
    }
  }
}

/** The least used by the last look, taken each `everyMs`: every isolate finds the same one. */
export function argminOf(everyMs: number): PolicyMaker {
  return (world) => {
    const looks = snapshots(world, everyMs)
    return {
      arrive: (visit) => {
        const now = looks()
        const use = (station: number) => ((now[station]?.running ?? 0) + (now[station]?.waiting ?? 0)) / world.stations[station]!.slots
        const best = world.stations.reduce((least, _, station) => (use(station) < use(least) ? station : least), 0)
        world.enter(visit, best)
      },
    }
  }
}
