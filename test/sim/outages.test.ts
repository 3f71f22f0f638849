// What requests rest on goes away: health checks, metrics, core, ledgers. Requests go on.

import { describe, expect, it } from 'vitest'
import { demandOf } from './harness/demand.ts'
import { runOnce } from './harness/runs.ts'
import { slotsOf, World } from './harness/world.ts'
import { CentralQueue } from './policies/central-queue.ts'
import type { Core } from './policies/core.ts'
import { isochroneCellOf } from './policies/isochrone-cell.ts'
import { isochroneRegions, type RegionsOptions } from './policies/isochrone-regions.ts'
import { staleIsFull } from './policies/outage-references.ts'
import { fourOrigins, fourRegions, oneCell } from './scenarios/layouts.ts'

describe('60 % of the capacity fails its health checks and serves all the same', () => {
  const failing = [0, 1, 2, 6]
  const probed = (station: number, { kind }: { kind: string }) => ({ ok: !(kind === 'liveness' && failing.includes(station)), afterMs: 5 })
  const run = { layout: oneCell, load: 0.85, serviceTimeS: 1, requests: 20_000, seed: 1 }

  it('everybody is served, by all of it', () => {
    const served = new Map<number, number>()
    const prepare = (world: World) => (world.observe = (_, station) => void served.set(station, (served.get(station) ?? 0) + 1))
    const { refused, slowShare } = runOnce(isochroneCellOf({ probed }), { ...run, prepare })
    expect({ refused, slowShare }).toEqual({ refused: 0, slowShare: 0 })
    for (const [station, slots] of oneCell.regions[0]!.entries()) {
      expect(served.get(station)! / run.requests).toBeGreaterThan((0.7 * slots) / 288)
    }
  })

  it('where obeying the checks makes most of them wait', () => {
    const obeying = runOnce((world) => {
      const well = new CentralQueue(world, 0, failing)
      return { arrive: (visit) => well.take(visit, 0), ended: (_, station) => (well.freed(station), false) }
    }, run)
    expect(obeying.slowShare).toBeGreaterThan(0.5)
  })
})

describe('metrics are gone for all endpoints for five minutes', () => {
  const gone = { fromMs: 60_000, untilMs: 360_000 }
  const run = { layout: oneCell, load: 0.85, serviceTimeS: 2, requests: 48_000, seed: 1 }

  it('nobody is refused, everybody keeps his share within a tenth, and no endpoint changes its state', () => {
    const served = new Map<number, number>()
    const changes = { before: 0, after: 0 }
    let nowMs = () => 0
    const probed = (_: number, { kind }: { kind: string }) => {
      const isGone = nowMs() >= gone.fromMs && nowMs() < gone.untilMs
      return { ok: !(kind === 'metrics' && isGone), afterMs: 5 }
    }
    const onTurn = (core: Core) => {
      if (nowMs() < gone.fromMs) changes.before = core.events.length
      else changes.after = core.events.length
    }
    const prepare = (world: World) => {
      nowMs = () => world.nowMs
      world.observe = ({ startedAtMs }, station) => {
        if (startedAtMs >= gone.fromMs && startedAtMs < gone.untilMs) served.set(station, (served.get(station) ?? 0) + 1)
      }
    }
    expect(runOnce(isochroneCellOf({ probed, onTurn }), { ...run, prepare }).refused).toBe(0)
    expect(changes.after).toBe(changes.before)
    const all = [...served.values()].reduce((sum, count) => sum + count, 0)
    for (const [station, slots] of oneCell.regions[0]!.entries()) {
      const share = served.get(station)! / all / (slots / 288)
      expect(share).toBeGreaterThan(0.9)
      expect(share).toBeLessThan(1.1)
    }
  })

  it('where taking old metrics for a full endpoint refuses everybody', () => {
    expect(runOnce(staleIsFull(gone), run).refused).toBeGreaterThan(0.5 * run.requests)
  })
})

const coreDown = { fromMs: 60_000, untilMs: 1_860_000 }
const ledgersDown = { fromMs: 600_000, untilMs: 900_000 }

/** Four regions for 32 minutes, services of 10 s. */
function played(load: number, options: Partial<RegionsOptions>): { readonly world: World; readonly meanTtftS: number } {
  const layout = fourRegions(16, 15)
  const serviceTimeS = 10
  const ratePerS = (load * slotsOf(layout)) / serviceTimeS
  const requests = Math.round(ratePerS * 1_950)
  const demand = demandOf({ seed: 1, ratePerS, serviceTimeS, requests, isolates: layout.isolates, origins: fourOrigins })
  const world = new World(layout, 1)
  const { meanTtftS } = world.run(isochroneRegions({ asking: 'when it pays', ...options }), demand)
  return { world, meanTtftS }
}

describe.each([0.7, 0.85])('core is gone for half an hour, at load %s', (load) => {
  it('nobody is refused, and the first token comes hardly later than with it', () => {
    const gone = played(load, { coreDown })
    expect(gone.world.refused).toBe(0)
    expect(gone.meanTtftS).toBeLessThanOrEqual(1.5 * played(load, {}).meanTtftS)
  })
})

describe('core is gone for half an hour, and the ledgers for five minutes of it', () => {
  it('nobody is refused, and it is counted how often a draw stood in', () => {
    const { world } = played(0.7, { coreDown, ledgersDown })
    expect(world.refused).toBe(0)
    expect((world.counts.get('capacity') ?? 0) + (world.counts.get('headroom') ?? 0)).toBeGreaterThan(100)
  })

  it('where needing a ledger refuses those five minutes', () => {
    expect(played(0.7, { coreDown, ledgersDown, withoutLedger: 'refuse' }).world.refused).toBeGreaterThan(100)
  })
})
