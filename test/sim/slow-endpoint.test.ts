// One endpoint with 22 % of the places becomes four times slower for a while. The ledger sees its places come back later; a blind draw
// must go by measured speed.

import { describe, expect, it } from 'vitest'
import { runOnce } from './harness/runs.ts'
import type { World } from './harness/world.ts'
import { fallback } from './policies/fallback.ts'
import { isochroneCell } from './policies/isochrone-cell.ts'
import { oneCell } from './scenarios/layouts.ts'

// At 173 requests a second: 100 s of slowness, then 75 s.
const fromMs = 20_000
const untilMs = 120_000
const run = { layout: oneCell, load: 0.6, serviceTimeS: 1, requests: 34_000, seed: 1, warmUpShare: 0 }

function slowed(world: World): void {
  world.timeline.at(fromMs, () => (world.stations[0]!.slowness = 4))
  world.timeline.at(untilMs, () => (world.stations[0]!.slowness = 1))
}

/** Part of the requests that waited for more than a second, of those which came from 20 s after the slowness began until it ended. */
function slowShare(make: Parameters<typeof runOnce>[0]): number {
  let slow = 0
  let all = 0
  const prepare = (world: World) => {
    slowed(world)
    world.observe = ({ request, startedAtMs }) => {
      if (request.atMs < fromMs + 20_000 || request.atMs >= untilMs) return
      all++
      if (startedAtMs - request.atMs > 1_000) slow++
    }
  }
  runOnce(make, { ...run, prepare })
  return slow / all
}

describe('an endpoint that is four times slower', () => {
  it('makes at most 1 % wait for more than a second after 20 s, with a ledger', () => {
    expect(slowShare(isochroneCell)).toBeLessThanOrEqual(0.01)
  })

  it('and without one, by weights of measured speed', () => {
    expect(slowShare(fallback({ everyMs: 2_000 }))).toBeLessThanOrEqual(0.01)
  })

  it('where weights of configured speed do not notice', () => {
    expect(slowShare(fallback({ everyMs: 2_000, configuredServiceMs: 1_000 }))).toBeGreaterThan(0.01)
  })

  it('has its weight back within a minute of its recovery', () => {
    const weights = new Map<number, number>()
    const onPublish = (all: readonly number[], nowMs: number) => void weights.set(nowMs, all[0] ?? 0)
    runOnce(fallback({ everyMs: 2_000, onPublish }), { ...run, prepare: slowed })
    const normal = 64 / 288
    expect(weights.get(untilMs - 2_000)).toBeLessThan(0.6 * normal)
    expect(weights.get(untilMs + 60_000)).toBeGreaterThan(0.8 * normal)
    expect(weights.get(untilMs + 60_000)).toBeLessThan(1.25 * normal)
  })
})
