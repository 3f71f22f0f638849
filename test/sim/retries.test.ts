// Everything fails. Second attempts must not make that worse: at most 13 % more than was asked, however many isolates there are.

import { describe, expect, it } from 'vitest'
import { runOnce } from './harness/runs.ts'
import type { PolicyMaker, World } from './harness/world.ts'
import { isochroneCellOf } from './policies/isochrone-cell.ts'
import { retryFloor } from './policies/failure-references.ts'
import { oneCell } from './scenarios/layouts.ts'

const requests = 20_000

/** Attempts that reached an endpoint, per request. */
function amplification(make: PolicyMaker, isolates: number): number {
  let attempts = 0
  const prepare = (world: World) => {
    for (const station of world.stations) station.fault = () => ({ outcome: 'hard_failure', afterMs: 10 })
    world.observe = () => void attempts++
  }
  runOnce(make, { layout: { ...oneCell, isolates }, load: 0.6, serviceTimeS: 1, requests, seed: 1, prepare })
  return attempts / requests
}

describe.each([1, 4_000])('with %s isolates and every attempt failing', (isolates) => {
  it('there are at most 1.13 attempts for each request', () => {
    expect(amplification(isochroneCellOf({ retries: true }), isolates)).toBeLessThanOrEqual(1.13)
  })
})

it('where a floor of ten retries a second in each of 4,000 isolates doubles the load', () => {
  expect(amplification(retryFloor, 4_000)).toBeGreaterThan(1.9)
})
