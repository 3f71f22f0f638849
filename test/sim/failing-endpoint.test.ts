// An endpoint with 22 % of the places fails: at once, now and then, or by turning everybody away. Whoever counts exactly would send it the
// most, for it is always empty.

import { describe, expect, it } from 'vitest'
import type { BreakerState } from '../../shared/wire/ledger.ts'
import { runOnce } from './harness/runs.ts'
import type { Fault } from './harness/station.ts'
import type { PolicyMaker, World } from './harness/world.ts'
import type { Core } from './policies/core.ts'
import { p2cExact } from './policies/failure-references.ts'
import { isochroneCellOf } from './policies/isochrone-cell.ts'
import type { Ledger } from './policies/ledger.ts'
import { endpointName } from './policies/names.ts'
import { oneCell } from './scenarios/layouts.ts'

const bad = 0
const capacityShare = 64 / 288

type Second = { all: number; failed: number; bad: number }

/** What every second of a minute saw, by the time at which attempts ended. */
function seconds(make: PolicyMaker, fault: (world: World) => () => Fault | null): readonly Second[] {
  const told = Array.from({ length: 60 }, (): Second => ({ all: 0, failed: 0, bad: 0 }))
  const prepare = (world: World) => {
    world.stations[bad]!.fault = fault(world)
    world.observe = (_, station, outcome) => {
      const second = told[Math.floor(world.nowMs / 1_000)]
      if (!second) return
      second.all++
      if (outcome !== 'good') second.failed++
      if (station === bad) second.bad++
    }
  }
  runOnce(make, { layout: oneCell, load: 0.6, serviceTimeS: 1, requests: 11_000, seed: 1, prepare })
  return told
}

function share(told: readonly Second[], part: 'failed' | 'bad', fromS: number, untilS: number): number {
  const within = told.slice(fromS, untilS)
  return within.reduce((sum, each) => sum + each[part], 0) / within.reduce((sum, each) => sum + each.all, 0)
}

describe('an endpoint that fails everything in 10 ms', () => {
  const fault = () => () => ({ outcome: 'hard_failure', afterMs: 10 }) as const
  const ours = seconds(isochroneCellOf({}), fault)
  const reference = seconds(p2cExact('none'), fault)

  it('fails at most 5 % of the requests of the first ten seconds, and 0.5 % from the 50th on', () => {
    expect(share(ours, 'failed', 0, 10)).toBeLessThanOrEqual(0.05)
    expect(share(ours, 'failed', 50, 60)).toBeLessThanOrEqual(0.005)
  })

  it('never gets more than its share of the capacity', () => {
    for (let second = 0; second < 60; second++) expect(share(ours, 'bad', second, second + 1)).toBeLessThanOrEqual(capacityShare)
  })

  it('where exact counts without a breaker send it twice its share', () => {
    expect(share(reference, 'failed', 0, 10)).toBeGreaterThan(0.05)
    expect(share(reference, 'bad', 50, 60)).toBeGreaterThan(1.5 * capacityShare)
  })
})

/** Watches the bad endpoint's breaker and core's word for it. */
function watched(): {
  readonly onTurn: (core: Core, ledger: Ledger) => void
  readonly breakers: BreakerState[]
  readonly healths: string[]
} {
  const breakers: BreakerState[] = []
  const healths: string[] = []
  const onTurn = (core: Core, ledger: Ledger) => {
    breakers.push(ledger.exchange({}).endpoints[endpointName(bad)]!.breaker)
    healths.push(core.judged.get(endpointName(bad))?.health ?? 'unknown')
  }
  return { onTurn, breakers, healths }
}

const alive = () => ({ ok: true, afterMs: 5 })

describe('an endpoint that fails 40 %, never five in a row', () => {
  const fault = (world: World) => {
    let inARow = 0
    return () => {
      const fails = inARow < 4 && world.random() < 0.4
      inARow = fails ? inARow + 1 : 0
      return fails ? ({ outcome: 'hard_failure', afterMs: 300 } as const) : null
    }
  }

  it('is out within fifteen seconds, by the ratio', () => {
    const watch = watched()
    const told = seconds(isochroneCellOf({ probed: alive, onTurn: watch.onTurn }), fault)
    expect(watch.breakers.slice(0, 15)).toContain('open')
    expect(watch.healths.slice(0, 15)).toContain('ejected')
    expect(share(told, 'failed', 15, 60)).toBeLessThanOrEqual(0.01)
  })

  it('where without the ratio it goes on failing', () => {
    expect(share(seconds(p2cExact('none'), fault), 'failed', 15, 60)).toBeGreaterThan(0.05)
  })
})

describe.each([null, 2_000])('an endpoint that answers nothing but 429 (Retry-After: %s ms)', (retryAfterMs) => {
  const fault = () => () => ({ outcome: 'soft_failure', afterMs: 10 }) as const
  const watch = watched()
  const asks = retryAfterMs === null ? {} : { retryAfterMs }
  const told = seconds(isochroneCellOf({ probed: alive, onTurn: watch.onTurn, ...asks }), fault)

  it('gets a small part of its share', () => {
    expect(share(told, 'bad', 10, 60)).toBeLessThan(0.25 * capacityShare)
  })

  it('and is not taken for dead', () => {
    expect(watch.breakers).not.toContain('open')
    expect(watch.healths).not.toContain('ejected')
  })

  it('where exact counts alone send it twice its share', () => {
    expect(share(seconds(p2cExact('five-in-a-row'), fault), 'bad', 10, 60)).toBeGreaterThan(1.5 * capacityShare)
  })
})
