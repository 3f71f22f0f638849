import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  close,
  confirm,
  countArrival,
  countOutcome,
  countRoundTrip,
  countTrial,
  countWay,
  newBlocks,
  unconfirmed,
  type Blocks,
} from '../../../edge/ledger/blocks.ts'
import { limits } from '../../../shared/limits.ts'
import type { EndpointId, OriginName, VersionId } from '../../../shared/ids.ts'
import type { Block } from '../../../shared/wire/ledger.ts'
import type { TrialTally } from '../../../shared/wire/trial.ts'
import { trialTally } from '../../support/trial.ts'

const a = 'a' as EndpointId
const weur = 'weur' as OriginName
const none = { good: 0, soft_failure: 0, hard_failure: 0, cancelled: 0, timed: 0, tookMsSum: 0, ttfbTimed: 0, ttfbMsSum: 0 }

function closed(fill: (blocks: Blocks) => void): Block | undefined {
  const blocks = newBlocks(1_000)
  fill(blocks)
  close(blocks, 2_000)
  return unconfirmed(blocks)[0]
}

describe('a block', () => {
  it('holds what was counted since the one before', () => {
    const block = closed((blocks) => {
      countOutcome(blocks, a, { outcome: 'good', ttfbMs: 50, tookMs: 400 })
      countOutcome(blocks, a, { outcome: 'good', ttfbMs: 70, tookMs: 600 })
      countOutcome(blocks, a, { outcome: 'good', ttfbMs: null, tookMs: 200 })
      countOutcome(blocks, a, { outcome: 'good', ttfbMs: null })
      countOutcome(blocks, a, { outcome: 'hard_failure', ttfbMs: null, tookMs: 5 })
      countOutcome(blocks, a, { outcome: 'soft_failure', ttfbMs: 1, tookMs: 1 })
      countOutcome(blocks, a, { outcome: 'cancelled', ttfbMs: null })
      countArrival(blocks, weur, 3)
      countArrival(blocks, weur, 4)
      countRoundTrip(blocks, weur, 12)
      countRoundTrip(blocks, weur, 14)
      countWay(blocks, 'blind', 2)
    })
    expect(block).toEqual({
      seq: 1,
      fromMs: 1_000,
      untilMs: 2_000,
      endpoints: {
        a: { good: 4, soft_failure: 1, hard_failure: 1, cancelled: 1, timed: 3, tookMsSum: 1_200, ttfbTimed: 2, ttfbMsSum: 120 },
      },
      arrivals: { weur: 7 },
      roundTrips: { weur: { count: 2, msSum: 26 } },
      ways: { blind: 2 },
    })
  })

  it('is not made of nothing', () => {
    expect(closed(() => {})).toBeUndefined()
  })

  it.each([Number.NaN, -1, Number.POSITIVE_INFINITY, 1e12])('takes no time of %s ms', (ms) => {
    const block = closed((blocks) => {
      countRoundTrip(blocks, weur, ms)
      countOutcome(blocks, a, { outcome: 'good', ttfbMs: ms, tookMs: 5 })
      countOutcome(blocks, a, { outcome: 'good', ttfbMs: 5, tookMs: ms })
    })
    expect(block).toMatchObject({ roundTrips: {}, endpoints: { a: { good: 2, timed: 1, tookMsSum: 5, ttfbTimed: 1, ttfbMsSum: 5 } } })
  })

  it.each([Number.NaN, -1, 0, 0.5, Number.POSITIVE_INFINITY])('takes no count of %s', (n) => {
    expect(
      closed((blocks) => {
        countArrival(blocks, weur, n)
        countWay(blocks, 'blind', n)
      }),
    ).toBeUndefined()
  })

  it('tells a bounded number of names apart, and goes on counting those it knows', () => {
    const block = closed((blocks) => {
      for (let i = 0; i < 100; i++) {
        countArrival(blocks, `o${i}` as OriginName, 1)
        countRoundTrip(blocks, `o${i}` as OriginName, 1)
        countWay(blocks, `w${i}`, 1)
      }
      for (let i = 0; i < 2_000; i++) countOutcome(blocks, `e${i}` as EndpointId, { outcome: 'good', ttfbMs: null })
      countArrival(blocks, 'o3' as OriginName, 1)
    })
    const sizes = [block?.arrivals, block?.roundTrips, block?.ways, block?.endpoints].map((each) => Object.keys(each ?? {}).length)
    expect(sizes).toEqual([32, 32, 32, 1_000])
    expect(block?.arrivals).toMatchObject({ o3: 2 })
  })

  it('keeps names apart that an object has of its own', () => {
    const block = closed((blocks) => {
      for (const name of ['__proto__', 'constructor']) countArrival(blocks, name as OriginName, 2)
    })
    expect(Object.entries(block?.arrivals ?? {})).toEqual([
      ['__proto__', 2],
      ['constructor', 2],
    ])
  })

  const nowMs = 2_000_000
  const trialsOf = (...told: unknown[]): readonly TrialTally[] =>
    closed((blocks) => told.forEach((each) => countTrial(blocks, each, nowMs)))?.trials ?? []

  it('sums what versions did, one for each identity', () => {
    const told = [trialTally({ slotMs: nowMs, arrived: 1 }), trialTally({ slotMs: nowMs, judged: 1, hardErrors: 1 })]
    expect(trialsOf(...told, trialTally({ slotMs: nowMs, write: 'r:2', arrived: 4 }))).toEqual([
      trialTally({ slotMs: nowMs, arrived: 1, judged: 1, hardErrors: 1 }),
      trialTally({ slotMs: nowMs, write: 'r:2', arrived: 4 }),
    ])
  })

  it.each([
    { name: 'the slot that begins in a moment', slotMs: nowMs + limits.rolloutBlockMs, taken: 1 },
    { name: 'one after it', slotMs: nowMs + 2 * limits.rolloutBlockMs, taken: 0 },
    { name: 'the oldest that is judged', slotMs: nowMs - limits.rolloutBlockLateMsMax, taken: 1 },
    { name: 'one before it', slotMs: nowMs - limits.rolloutBlockLateMsMax - limits.rolloutBlockMs, taken: 0 },
  ])('of versions takes $name: $taken', ({ slotMs, taken }) => {
    expect(trialsOf(trialTally({ slotMs, arrived: 1 }))).toHaveLength(taken)
  })

  it('takes nothing of versions that cannot be true', () => {
    expect(trialsOf(null, {}, trialTally({ slotMs: nowMs, judged: Number.NaN }), trialTally({ slotMs: nowMs, hardErrors: 1 }))).toEqual([])
  })

  it('tells a bounded number of identities apart, the newest slots', () => {
    const many = Array.from({ length: limits.trialsHeldMax }, (_, n) =>
      trialTally({ slotMs: nowMs, version: `v${n}` as VersionId, arrived: 1 }),
    )
    const kept = trialsOf(trialTally({ slotMs: nowMs - limits.rolloutBlockMs, arrived: 1 }), ...many)
    expect(kept).toHaveLength(limits.trialsHeldMax)
    expect(new Set(kept.map(({ slotMs }) => slotMs))).toEqual(new Set([nowMs]))
  })

  it('never ends before it begins', () => {
    const blocks = newBlocks(1_000)
    countArrival(blocks, weur, 1)
    close(blocks, 500)
    expect(unconfirmed(blocks)).toMatchObject([{ fromMs: 1_000, untilMs: 1_000 }])
  })
})

describe('telling', () => {
  const turn = (blocks: Blocks, nowMs: number): void => {
    countArrival(blocks, weur, 1)
    countOutcome(blocks, a, { outcome: 'good', ttfbMs: 1, tookMs: 2 })
    countRoundTrip(blocks, weur, 3)
    countWay(blocks, 'leased', 1)
    close(blocks, nowMs)
  }

  it('goes on until it is confirmed', () => {
    const blocks = newBlocks(0)
    for (let i = 1; i <= 3; i++) turn(blocks, i)
    expect(unconfirmed(blocks).map(({ seq }) => seq)).toEqual([1, 2, 3])
    confirm(blocks, 2)
    expect(unconfirmed(blocks).map(({ seq }) => seq)).toEqual([3])
    confirm(blocks, 3)
    confirm(blocks, 1)
    expect(unconfirmed(blocks)).toEqual([])
  })

  it('an hour without core is sixty blocks, and nothing of it is lost', () => {
    const blocks = newBlocks(0)
    for (let i = 1; i <= 3_600; i++) turn(blocks, i)
    const kept = unconfirmed(blocks)
    expect(kept).toHaveLength(limits.blocksKeptMax)
    expect(kept[0]).toEqual({
      seq: 3_541,
      fromMs: 0,
      untilMs: 3_541,
      endpoints: { a: { ...none, good: 3_541, timed: 3_541, tookMsSum: 7_082, ttfbTimed: 3_541, ttfbMsSum: 3_541 } },
      arrivals: { weur: 3_541 },
      roundTrips: { weur: { count: 3_541, msSum: 3 * 3_541 } },
      ways: { leased: 3_541 },
    })
    expect(kept.reduce((sum, block) => sum + (block.arrivals[weur] ?? 0), 0)).toBe(3_600)
  })

  it('nothing that versions did is lost in blocks that are summed', () => {
    const blocks = newBlocks(0)
    const slots = 3
    for (let i = 0; i < 3 * limits.blocksKeptMax; i++) {
      countTrial(blocks, trialTally({ slotMs: (i % slots) * limits.rolloutBlockMs, arrived: 1, judged: 1, ttft: { 9: 1 } }), 0)
      countTrial(blocks, trialTally({ slotMs: 0, arrived: 1 }), 0)
      close(blocks, i)
    }
    const told = unconfirmed(blocks)
    expect(told).toHaveLength(limits.blocksKeptMax)
    expect(told[0]?.trials).toHaveLength(2)
    const sumOf = (of: (tally: TrialTally) => number): number =>
      told.flatMap(({ trials = [] }) => trials.map(of)).reduce((a, b) => a + b, 0)
    // The third slot has not begun by the ledger's clock.
    const inTime = 2 * limits.blocksKeptMax
    expect(sumOf(({ arrived }) => arrived)).toBe(inTime + 3 * limits.blocksKeptMax)
    expect(sumOf(({ judged }) => judged)).toBe(inTime)
    expect(sumOf(({ ttft }) => ttft[9] ?? 0)).toBe(inTime)
  })

  it('core has each request exactly once, whatever answers get lost and however long it is away (property)', () => {
    const step = fc.record({ turns: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 50, max: 150 })), lost: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const blocks = newBlocks(0)
        let counted = 0
        let core = { seq: 0, arrivals: 0 }
        const exchange = (lost: boolean): void => {
          confirm(blocks, core.seq)
          const told = unconfirmed(blocks)
          if (lost) return
          core = {
            seq: told.at(-1)?.seq ?? core.seq,
            arrivals: core.arrivals + told.reduce((sum, block) => sum + (block.arrivals[weur] ?? 0), 0),
          }
        }
        for (const { turns, lost } of steps) {
          for (let i = 0; i < turns; i++) turn(blocks, ++counted)
          expect(blocks.closed.length).toBeLessThanOrEqual(limits.blocksKeptMax)
          exchange(lost)
        }
        exchange(false)
        expect(core.arrivals).toBe(counted)
      }),
    )
  })
})
