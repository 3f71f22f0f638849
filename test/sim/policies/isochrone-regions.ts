// Ours between regions: the isolate draws a cell from the published fractions of its origin, the cell's real ledger keeps, queues or
// spills once. Asking is either free (the request travels with its question, as with leases held in advance) or takes its round trip.

import { cellsFor, rowOf, servingEndpoints } from '../../../edge/route/cell.ts'
import { drawBlind } from '../../../edge/route/fallback.ts'
import { whyAsk } from '../../../edge/route/worth-asking.ts'
import { limits } from '../../../shared/limits.ts'
import type { AskAnswer, Granted } from '../../../shared/wire/ledger.ts'
import type { PolicyMaker, Visit } from '../harness/world.ts'
import { Core } from './core.ts'
import { Isolate } from './isolates.ts'
import { Ledger, leaseOf, settledOf } from './ledger.ts'
import { cellName, model, originName, regionOfCell, snapshotOf, stationOf, version } from './names.ts'

export type Asking = 'free' | 'always' | 'when it pays' | 'never'

/** An attempt that was sent: its lease, when, and to which region. */
type Attempt = { readonly leaseId: ReturnType<typeof leaseOf>; readonly atMs: number; readonly region: number }

export const isochroneRegions =
  ({ asking }: { readonly asking: Asking }): PolicyMaker =>
  (world) => {
    const snapshot = snapshotOf(world)
    const ledgers = world.layout.regions.map((_, region) => new Ledger(world, region, snapshot))
    const core = new Core(world, ledgers, snapshot)
    world.every(limits.turnMs, limits.turnMs, () => {
      for (const ledger of ledgers) ledger.sweep()
      core.turn()
    })
    const isolates = new Map<number, Isolate>()
    const attempts = new Map<Visit, Attempt>()
    const free = asking === 'free'
    const need = { version, operation: 'chat', avoid: [], residency: null } as const

    const isolateOf = ({ request }: Visit): Isolate => {
      const known = isolates.get(request.isolate) ?? new Isolate(world, ledgers, request.origin)
      isolates.set(request.isolate, known)
      return known
    }
    const halfTo = (visit: Visit, region: number): number => world.roundTripMs(visit.request.origin, region) / 2

    /** The isolate has its endpoint, and the request leaves. With free asking it stands before the endpoint already. */
    const send = (visit: Visit, region: number, station: number) => {
      attempts.set(visit, { leaseId: leaseOf(visit), atMs: world.nowMs, region })
      isolateOf(visit).begin(region)
      const halfMs = halfTo(visit, region)
      world.travel(visit, free ? 0 : halfMs, () => world.enter(visit, station, halfMs))
    }

    const granted = (visit: Visit, region: number, lease: Granted | null) => {
      if (!lease) return world.refuse(visit)
      world.travel(visit, free ? 0 : halfTo(visit, region), () => send(visit, region, stationOf(lease.endpoint)))
    }

    const answered = (visit: Visit, region: number, answer: AskAnswer) => {
      const halfMs = halfTo(visit, region)
      if (answer.lease) return granted(visit, region, answer.lease)
      if (answer.queued) {
        // With its own way to pay, the question for the end of the wait is another call.
        const claim = () => ledgers[region]!.wait(leaseOf(visit), ({ lease }) => granted(visit, region, lease))
        return free ? claim() : world.travel(visit, 2 * halfMs, claim)
      }
      const { spill } = answer
      if (!spill) return world.refuse(visit)
      world.count('spilled')
      // The first ledger's word comes back to the isolate, which asks the second.
      world.travel(visit, halfMs, () => ask(visit, regionOfCell(spill.cell), region))
    }

    const ask = (visit: Visit, region: number, spilledFrom: number | null) => {
      const halfMs = halfTo(visit, region)
      const isolate = isolateOf(visit)
      const report = isolate.takeWithRoundTrip(region)
      world.travel(visit, halfMs, () => {
        const answer = ledgers[region]!.ask(visit, {
          origin: originName(visit.request.origin),
          loadsSeq: isolate.loadsSeq,
          spilledFrom: spilledFrom === null ? null : cellName(spilledFrom),
          ...(report ? { report } : {}),
        })
        world.timeline.after(halfMs, () => isolate.learn(region, answer))
        answered(visit, region, answer)
      })
    }

    const dispatchBlind = (visit: Visit, region: number) => {
      const isolate = isolateOf(visit)
      const endpoints = servingEndpoints(snapshot, need).filter(({ cell }) => cell === cellName(region))
      const endpoint = drawBlind({ endpoints, loads: isolate.freshLoads(), isAside: () => false, key: null }, world.random)
      if (!endpoint) return world.refuse(visit)
      isolate.tellCharge(region, ledgers[region]!.charge(leaseOf(visit), endpoint.id, 'blind'))
      send(visit, region, stationOf(endpoint.id))
    }

    const mustAsk = (visit: Visit, region: number): boolean => {
      if (asking !== 'when it pays') return asking !== 'never'
      const isolate = isolateOf(visit)
      const load = isolate.freshLoads()?.cells.find(({ cell }) => cell === cellName(region)) ?? null
      const roundTripMs = world.roundTripMs(visit.request.origin, region)
      const ownBurst = isolate.live(region)
      const why = whyAsk({ purpose: 'first', strategy: 'least-latency', affinity: null, mayHedge: false, onTrial: false, load, roundTripMs, ownBurst })
      if (why) world.count(why)
      return why !== null
    }

    return {
      arrive: (visit) => {
        const row = rowOf(snapshot, isolateOf(visit).freshLoads(), model, originName(visit.request.origin))
        const candidates = cellsFor(snapshot, row, need, null, world.random)
        if ('none' in candidates) return world.refuse(visit)
        const region = regionOfCell(candidates.first)
        if (!mustAsk(visit, region)) return dispatchBlind(visit, region)
        world.count('asked')
        ask(visit, region, null)
      },
      ended: (visit, station, outcome) => {
        const attempt = attempts.get(visit)
        attempts.delete(visit)
        if (!attempt) return false
        const { leaseId, region } = attempt
        const tell = () => {
          const took = world.nowMs - attempt.atMs
          const settled = settledOf(leaseId, station, outcome, { ttfb: took - visit.request.serviceMs, took })
          isolateOf(visit).end(region)
          if (free) ledgers[region]!.tell({ settled: [settled] })
          else isolateOf(visit).tellSettled(region, settled)
        }
        if (free) tell()
        else world.timeline.after(halfTo(visit, region), tell)
        return false
      },
    }
  }
