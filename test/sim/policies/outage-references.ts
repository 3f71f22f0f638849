// A router that fails closed: metrics older than it trusts count as full, and nothing is sent to a full fleet (llm-d's flow control).

import type { PolicyMaker } from '../harness/world.ts'
import { CentralQueue } from './central-queue.ts'

/** While metrics are gone it refuses; else it is the best router there can be. */
export const staleIsFull =
  (gone: { readonly fromMs: number; readonly untilMs: number }): PolicyMaker =>
  (world) => {
    const staleMs = 200
    const queue = new CentralQueue(world, 0)
    return {
      arrive: (visit) => {
        const isStale = world.nowMs > gone.fromMs + staleMs && world.nowMs < gone.untilMs
        if (isStale) world.refuse(visit)
        else queue.take(visit, 0)
      },
      ended: (_, station) => {
        queue.freed(station)
        return false
      },
    }
  }
