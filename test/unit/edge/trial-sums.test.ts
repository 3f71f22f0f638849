// From isolates over a ledger to core: whatever calls and answers are lost, each request arrives once and is judged once, and never before.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { close, confirm, countTrial, newBlocks, unconfirmed, type Blocks } from '../../../edge/ledger/blocks.ts'
import { arrived, emptyOutbox, putBack, putTrial, takeReport, type Outbox } from '../../../edge/route/outbox.ts'
import { limits } from '../../../shared/limits.ts'
import type { VersionId } from '../../../shared/ids.ts'
import type { Report } from '../../../shared/wire/ledger.ts'
import { sumUp, type TrialSums } from '../../../shared/wire/tally.ts'
import type { TrialTally } from '../../../shared/wire/trial.ts'
import { trialTally } from '../../support/trial.ts'

const nowMs = 1_000_000
const slotMs = limits.rolloutBlockMs
const nobody = () => false

/** Two isolates, a ledger, and core, with the calls between them on their way. */
class Line {
  readonly outboxes: readonly Outbox[] = [emptyOutbox(), emptyOutbox()]
  readonly underway: { readonly outbox: Outbox; readonly report: Report }[] = []
  readonly running: { readonly outbox: Outbox; readonly tally: TrialTally }[] = []
  readonly blocks: Blocks = newBlocks(nowMs)
  readonly ledger: TrialSums = new Map()
  readonly core: TrialSums = new Map()
  coreSeq = 0
  turns = 0

  outbox(which: number): Outbox {
    return this.outboxes[which % this.outboxes.length] ?? emptyOutbox()
  }

  arrive(which: number, kind: number): void {
    const outbox = this.outbox(which)
    const tally = trialTally({ version: `v${kind % 2}` as VersionId, slotMs: nowMs - slotMs * (kind % 3) })
    putTrial(outbox, { ...tally, arrived: 1 })
    this.running.push({ outbox, tally })
  }

  judge(which: number): void {
    const [ended] = this.running.splice(which % Math.max(1, this.running.length), 1)
    if (ended) putTrial(ended.outbox, { ...ended.tally, judged: 1, ttft: { 20: 1 } })
  }

  send(which: number): void {
    const outbox = this.outbox(which)
    const report = takeReport(outbox)
    if (report) this.underway.push({ outbox, report })
  }

  end(which: number, isLost: boolean): void {
    const [call] = this.underway.splice(which % Math.max(1, this.underway.length), 1)
    if (!call) return
    if (isLost) return putBack(call.outbox, call.report, nobody)
    for (const tally of call.report.trials ?? []) {
      countTrial(this.blocks, structuredClone(tally), nowMs)
      sumUp(this.ledger, tally, 1_000)
    }
    arrived(call.outbox, call.report)
  }

  exchange(turns: number, isLost: boolean): void {
    // Something else happens in each turn, so that each has a block and old ones are summed.
    for (let turn = 0; turn < turns; turn++) {
      countTrial(this.blocks, trialTally({ alias: 'development/other', arrived: 1, judged: 1 }), nowMs)
      close(this.blocks, nowMs + ++this.turns)
    }
    close(this.blocks, nowMs + this.turns)
    confirm(this.blocks, this.coreSeq)
    const told = unconfirmed(this.blocks)
    if (isLost) return
    for (const block of told) for (const tally of block.trials ?? []) sumUp(this.core, tally, 1_000)
    this.coreSeq = told.at(-1)?.seq ?? this.coreSeq
  }
}

const count = (sums: TrialSums) => {
  const ours = [...sums.values()].filter(({ alias }) => alias !== 'development/other')
  return {
    arrived: ours.reduce((sum, tally) => sum + tally.arrived, 0),
    judged: ours.reduce((sum, tally) => sum + tally.judged, 0),
    firstTokens: ours.reduce((sum, tally) => sum + (tally.ttft[20] ?? 0), 0),
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('arrive' as const), which: fc.nat(), kind: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('judge' as const), which: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('send' as const), which: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(), isLost: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('exchange' as const), turns: fc.constantFrom(0, 1, 2, 80), isLost: fc.boolean() }),
  },
)

describe('what versions did', () => {
  it('is told of each request once, and never that it was judged before it is told that it came (property)', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: 'max' }), (steps) => {
        const line = new Line()
        let requests = 0
        const check = (): void => {
          for (const sums of [line.ledger, line.core])
            for (const tally of sums.values()) expect(tally.judged).toBeLessThanOrEqual(tally.arrived)
        }
        for (const each of steps) {
          if (each.do === 'arrive') {
            line.arrive(each.which, each.kind)
            requests++
          } else if (each.do === 'judge') line.judge(each.which)
          else if (each.do === 'send') line.send(each.which)
          else if (each.do === 'end') line.end(each.which, each.isLost)
          else line.exchange(each.turns, each.isLost)
          check()
        }
        // All that runs ends; what is under way is lost; then everything is told.
        while (line.running.length > 0) line.judge(0)
        while (line.underway.length > 0) line.end(0, true)
        for (const which of [0, 1]) line.send(which)
        while (line.underway.length > 0) line.end(0, false)
        line.exchange(1, false)
        check()
        const all = { arrived: requests, judged: requests, firstTokens: requests }
        expect(count(line.ledger)).toEqual(all)
        expect(count(line.core)).toEqual(all)
      }),
      { numRuns: 300 },
    )
  })
})
