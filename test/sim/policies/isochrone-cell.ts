// Ours in one cell: every request asks the cell's real ledger, and comes back to it at its end.

import type { PolicyMaker, Visit } from '../harness/world.ts'
import { Ledger, leaseOf, settledOf } from './ledger.ts'
import { snapshotOf, stationOf } from './names.ts'

export const isochroneCell: PolicyMaker = (world) => {
  const ledger = new Ledger(world, 0, snapshotOf(world))
  world.every(1_000, 1_000, () => ledger.sweep())
  const enter = (visit: Visit, endpoint: Parameters<typeof stationOf>[0]) => {
    sent.set(visit, { leaseId: leaseOf(visit), atMs: world.nowMs })
    world.enter(visit, stationOf(endpoint))
  }
  const sent = new Map<Visit, { readonly leaseId: ReturnType<typeof leaseOf>; readonly atMs: number }>()
  return {
    arrive: (visit) => {
      const { lease, queued } = ledger.ask(visit)
      if (lease) enter(visit, lease.endpoint)
      else if (queued) ledger.wait(leaseOf(visit), (answer) => (answer.lease ? enter(visit, answer.lease.endpoint) : world.refuse(visit)))
      else world.refuse(visit)
    },
    ended: (visit, station, outcome) => {
      const attempt = sent.get(visit)
      sent.delete(visit)
      if (attempt) ledger.tell({ settled: [settledOf(attempt.leaseId, station, outcome, { ttfb: 0, took: world.nowMs - attempt.atMs })] })
      return false
    },
  }
}
