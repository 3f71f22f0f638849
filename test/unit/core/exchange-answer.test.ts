import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readAnswer } from '../../../core/adapters/exchange-answer.ts'
import { addBlock, noFlow } from '../../../core/flow.ts'
import { weightsOf } from '../../../core/judge/weights.ts'
import { nextLoads } from '../../../core/publish/loads.ts'
import { contentOf } from '../../../core/publish/snapshot.ts'
import { newLedgerRecord } from '../../../core/publish/tell.ts'
import type { CellId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { trialTally } from '../../support/trial.ts'
import { snapshotFormat, type Snapshot } from '../../../shared/wire/snapshot.ts'
import { endpointRow, idle, outcomes, regionAt } from './loop-world.ts'

const nowMs = 1_700_000_000_000
const cell = 'atlas@fra' as CellId
const block = (more: object = {}) => ({
  seq: 1,
  fromMs: nowMs - 1_000,
  untilMs: nowMs,
  endpoints: { a: outcomes({ good: 3 }) },
  arrivals: { weur: 3 },
  roundTrips: { weur: { count: 1, msSum: 20 } },
  ways: { leased: 3 },
  ...more,
})
const sound = {
  generation: 7,
  life: 'first',
  endpoints: { a: idle(4, { serviceMs: 900, ttftMs: 100, lastGoodAtMs: nowMs }) },
  blocks: [block()],
  queued: 0,
  load: { cell, slots: 4, free: -2, waitMs: 10, blindWaitMs: 20, ttftMs: null },
  probes: [{ id: 'p', endpoint: 'a', kind: 'liveness', atMs: nowMs, tookMs: 3, ok: true, detail: '' }],
}

describe('the answer of a ledger', () => {
  it('that is sound is taken as it is', () => {
    expect(readAnswer(structuredClone(sound), { cell })).toEqual(sound)
  })

  it('tells what versions did', () => {
    const told = { ...sound, blocks: [block({ trials: [trialTally({ arrived: 2, judged: 1, ttft: { 9: 1 } })] })] }
    expect(readAnswer(structuredClone(told), { cell })).toEqual(told)
  })

  it.each([
    { name: 'null', answer: null },
    { name: 'no generation', answer: {} },
    { name: 'one that is no number', answer: { ...sound, generation: '7' } },
    { name: 'one that is negative', answer: { ...sound, generation: -1 } },
    { name: 'one after which there would be no other', answer: { ...sound, generation: Number.MAX_SAFE_INTEGER } },
  ])('is none: $name', ({ answer }) => {
    expect(readAnswer(answer, { cell })).toBeNull()
  })

  it.each([
    {
      name: 'an endpoint with a load that is none',
      part: { endpoints: { a: idle(4, { inFlight: Number.NaN }) } },
      left: { endpoints: {} },
    },
    { name: 'an endpoint that serves in no time at all', part: { endpoints: { a: idle(4, { serviceMs: -1 }) } }, left: { endpoints: {} } },
    { name: 'a cell that is not its own', part: { load: { ...sound.load, cell: 'atlas@iad' } }, left: { load: null } },
    { name: 'a wait without end', part: { load: { ...sound.load, waitMs: Number.POSITIVE_INFINITY } }, left: { load: null } },
    {
      name: 'what a version did that cannot be',
      part: { blocks: [block({ trials: [trialTally({ arrived: 2 }), trialTally({ arrived: -2 }), null] })] },
      left: { blocks: [block({ trials: [trialTally({ arrived: 2 })] })] },
    },
    { name: 'what versions did that is no list', part: { blocks: [block({ trials: 7 })] }, left: { blocks: [block({ trials: [] })] } },
    {
      name: 'more of versions than a block has',
      part: { blocks: [block({ trials: Array.from({ length: limits.trialsHeldMax + 1 }, (_, n) => trialTally({ arrived: n })) })] },
      left: { blocks: [block({ trials: Array.from({ length: limits.trialsHeldMax }, (_, n) => trialTally({ arrived: n + 1 })) })] },
    },
    { name: 'arrivals that left', part: { blocks: [block({ arrivals: { weur: -5 } })] }, left: { blocks: [block({ arrivals: {} })] } },
    { name: 'a block of no time', part: { blocks: [block({ untilMs: Number.NaN })] }, left: { blocks: [] } },
    { name: 'a block that is none', part: { blocks: [null, 'block', block()] }, left: { blocks: [block()] } },
    { name: 'a probe without words', part: { probes: [{ ...sound.probes[0], detail: undefined }] }, left: { probes: [] } },
  ])('leaves out $name', ({ part, left }) => {
    expect(readAnswer({ ...sound, ...part }, { cell })).toEqual({ ...sound, ...left })
  })

  it('is bounded, however much it holds', () => {
    const blocks = Array.from({ length: 500 }, (_, seq) => block({ seq: seq + 1 }))
    const endpoints = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`e${n}`, idle(4)]))
    const answer = readAnswer({ ...sound, blocks, endpoints }, { cell })
    expect(answer?.blocks).toHaveLength(limits.blocksKeptMax + 1)
    expect(answer?.blocks.at(-1)?.seq).toBe(500)
    expect(Object.keys(answer?.endpoints ?? {})).toHaveLength(limits.blockEndpointsMax)
  })
})

const region = regionAt('fra', 50.1, 8.7)
const snapshot: Snapshot = {
  format: snapshotFormat,
  generation: 1,
  publishedAtMs: nowMs,
  changed: [],
  ...contentOf({ regions: [region], endpoints: [endpointRow('a'), endpointRow('b')], aliases: [], models: [] }, new Map()),
}

describe('for all answers', () => {
  const broken = fc.oneof(
    fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -1, -1e300, 1e300, null, undefined, '7', {}),
    fc.double(),
    fc.nat(),
  )
  const load = fc.record({
    inFlight: broken,
    cap: broken,
    breaker: fc.constantFrom('closed', 'ajar'),
    serviceMs: broken,
    lastGoodAtMs: broken,
  })
  const counts = fc.record({ good: broken, soft_failure: broken, hard_failure: broken, cancelled: broken })
  const blocks = fc.record({
    seq: broken,
    fromMs: broken,
    untilMs: broken,
    endpoints: fc.dictionary(fc.constantFrom('a', 'b', 'other'), counts),
    arrivals: fc.dictionary(fc.constantFrom('weur', 'atlantis'), broken),
    roundTrips: fc.dictionary(fc.constantFrom('weur', 'oc'), fc.record({ count: broken, msSum: broken })),
  })
  const answers = fc.record({
    generation: fc.nat(),
    endpoints: fc.dictionary(fc.constantFrom('a', 'b'), load),
    blocks: fc.array(blocks, { maxLength: 4 }),
    load: fc.record({ cell: fc.constantFrom(cell, 'x'), slots: broken, free: broken, waitMs: broken, blindWaitMs: broken, ttftMs: broken }),
  })

  it('what is published of them is numbers, rows that sum to one, and weights that do', () => {
    fc.assert(
      fc.property(fc.oneof(answers, answers, fc.anything()), (raw) => {
        const answer = readAnswer(raw, { cell })
        if (!answer) return
        const flow = answer.blocks.reduce((sum, each) => addBlock(sum, each, nowMs), noFlow)
        const record = { ...newLedgerRecord(), answeredAtMs: nowMs, endpoints: answer.endpoints, load: answer.load, flow }
        const ledgers = new Map([[cell, record]])
        const weights = weightsOf(snapshot.endpoints, ledgers, nowMs)
        expect([...weights.values()].reduce((sum, each) => sum + each, 0)).toBeOneOf([0, expect.closeTo(1, 6)])
        for (const { cells, rows } of nextLoads(new Map(), { snapshot, ledgers, weights, nowMs }).values()) {
          for (const told of cells) expect(JSON.stringify(told)).toBe(JSON.stringify(answer.load && { ...told, cell }))
          for (const row of Object.values(rows)) {
            expect(row.reduce((sum, { fraction }) => sum + fraction, 0)).toBeOneOf([0, expect.closeTo(1, 6)])
            for (const { roundTripMs } of row) expect(roundTripMs).toSatisfy(Number.isFinite)
          }
        }
      }),
    )
  })
})
