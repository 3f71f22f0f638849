// What an endpoint's own requests have shown lately: the blocks that its ledger told, as sums over a window. Pure.

import { limits } from '../../shared/limits.ts'
import type { EndpointBlock } from '../../shared/wire/ledger.ts'
import type { Traffic } from '../facts.ts'

export const noTraffic: Traffic = { told: [], lastGoodAtMs: null }

/** The window with one more block. Blocks come in order; one that was told late counts at its own time. */
export function addBlock(before: Traffic, block: EndpointBlock, atMs: number): Traffic {
  const told = { atMs, good: block.good, soft: block.soft_failure, hard: block.hard_failure }
  if (told.good + told.soft + told.hard === 0) return before
  const oldestMs = Math.max(atMs, before.told.at(-1)?.atMs ?? 0) - limits.trafficWindowMs
  return {
    told: [...before.told.filter((each) => each.atMs > oldestMs), told].slice(-limits.blocksKeptMax),
    lastGoodAtMs: told.good > 0 ? Math.max(atMs, before.lastGoodAtMs ?? 0) : before.lastGoodAtMs,
  }
}

export type Sums = {
  readonly all: number
  readonly soft: number
  readonly hard: number
  /** Hard failures since the last good answer, as far as blocks can tell: within a block the order is lost. */
  readonly hardInARow: number
}

/** Sums over the window that ends now, or over what came after `sinceMs` where that is later. */
export function sumsOf(traffic: Traffic, nowMs: number, sinceMs = 0): Sums {
  const afterMs = Math.max(sinceMs, nowMs - limits.trafficWindowMs)
  const sums = { all: 0, soft: 0, hard: 0, hardInARow: 0 }
  for (const { atMs, good, soft, hard } of traffic.told) {
    // From ahead: of before the clock stepped back.
    if (atMs <= afterMs || atMs > nowMs) continue
    sums.all += good + soft + hard
    sums.soft += soft
    sums.hard += hard
    sums.hardInARow = good > 0 ? 0 : sums.hardInARow + hard
  }
  return sums
}
