// When a request is counted for its version: once as it leaves and once as it is judged, whatever becomes of it.

import { describe, expect, it } from 'vitest'
import { counterOf, record } from '../../../edge/record/record.ts'
import type { Admitted, Asked, Attempt, Ended, Walked } from '../../../edge/facts.ts'
import { chat } from '../../../edge/http/openai.ts'
import { limits } from '../../../shared/limits.ts'
import { err, ok } from '../../../shared/result.ts'
import type { CellId, EndpointId, LeaseId, OriginName, RegionName, RequestId, VersionId } from '../../../shared/ids.ts'
import type { InferenceRefusal } from '../../../shared/refusal.ts'
import type { Settled } from '../../../shared/wire/ledger.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import { timeClassOf, type TrialTally } from '../../../shared/wire/trial.ts'
import { heldTime } from '../../support/held-time.ts'
import { endpoint, model, snapshotOf, version } from '../../support/snapshot.ts'

const near = 'atlas@near' as CellId
const at = endpoint('a', 'near')
const sense = { empty: false, schema: null, textHash: null }
const whole: Ended = { how: 'complete', detail: null, bytes: 9, usage: null, slowestGapMs: 0, sense }

const admitted = (so: Partial<Admitted> = {}): Admitted => ({
  credential: { id: 'k', tenant: 't' } as Admitted['credential'],
  wish: { model, version: null, stream: true, user: null, json: null },
  bytes: new Uint8Array(0),
  version,
  deadlineMs: 9_000_000,
  priority: 'standard',
  explain: false,
  assignment: { alias: 'development/atlas', write: '', forced: false, counts: true, shadow: null },
  ...so,
})
const notCounted = admitted({ assignment: { ...admitted().assignment, counts: false } })

const attempt = (outcome: Attempt['outcome'], region = 'near'): Attempt => ({
  endpoint: 'b' as EndpointId,
  region: region as RegionName,
  lease: 'l0' as LeaseId,
  outcome,
  tookMs: 5,
  detail: null,
})

/** One request, and everything that is told of it. */
function request(snapshot: Snapshot | null = snapshotOf([at])) {
  const time = heldTime()
  const told: { readonly cell: CellId; readonly tally: TrialTally }[] = []
  const settled: Settled[] = []
  const returned: LeaseId[] = []
  const pending: Promise<unknown>[] = []
  const ports = {
    ...time,
    ledgers: {
      tally: (cell: CellId, tally: TrialTally) => void told.push({ cell, tally }),
      settle: (_: CellId, each: Settled) => void settled.push(each),
      giveBack: (_: CellId, lease: LeaseId) => void returned.push(lease),
    },
    snapshots: { current: () => Promise.resolve(snapshot) },
    cadences: { of: () => null, learn: () => undefined },
    log: () => undefined,
    afterResponse: (work: Promise<unknown>) => void pending.push(work),
  } as unknown as Parameters<typeof record>[2]
  const asked = {
    requestId: 'req_1' as RequestId,
    receivedAtMs: time.clock.nowMs(),
    dialect: chat,
    origin: 'enam' as OriginName,
    authorization: null,
  } as Asked
  const trail = { requestId: asked.requestId, version, region: null, endpoint: null, overheadMs: 0 }
  const walked = (so: Partial<Walked>): Walked => ({
    answer: err({ reason: 'client_gone' }),
    trail,
    admitted: admitted(),
    failed: [],
    serving: null,
    explained: null,
    ...so,
  })
  const served = (ended: Promise<Ended>, so: Partial<Walked> = {}): Walked =>
    walked({
      answer: ok({ status: 200, contentType: '', headers: {}, body: new Uint8Array(0), ttfbMs: 300, ended }),
      serving: {
        routed: { endpoint: at, lease: 'l1' as LeaseId, way: 'leased', roundTripMs: null, hedgeAfterMs: null },
        ttfbMs: 300,
        sentAtMs: asked.receivedAtMs,
      },
      ...so,
    })
  const refused = (error: InferenceRefusal, so: Partial<Walked> = {}): Walked => walked({ answer: err(error), ...so })
  const sum = () => ({
    arrived: told.reduce((all, { tally }) => all + tally.arrived, 0),
    judged: told.reduce((all, { tally }) => all + tally.judged, 0),
    hardErrors: told.reduce((all, { tally }) => all + tally.hardErrors, 0),
  })
  return { time, told, settled, returned, pending, ports, asked, counter: counterOf(asked, ports), served, refused, sum }
}

const once = { arrived: 1, judged: 1, hardErrors: 0 }

describe('a request that is counted', () => {
  it('has arrived as it leaves, and is judged at its end', async () => {
    const { counter, ports, asked, served, told, time, sum, settled } = request()
    counter.left(admitted(), near, [])
    expect(told).toEqual([{ cell: near, tally: expect.objectContaining({ arrived: 1, judged: 0, version, slotMs: 1_000_000 }) }])
    await time.advance(700)
    const { promise, resolve } = Promise.withResolvers<Ended>()
    const recorded = record(asked, served(promise), ports, counter)
    await time.advance(700)
    expect(sum()).toEqual({ ...once, judged: 0 })
    resolve(whole)
    await recorded
    expect(sum()).toEqual(once)
    expect(told[1]).toEqual({ cell: near, tally: expect.objectContaining({ ttft: { [timeClassOf(300)]: 1 } }) })
    expect(settled).toHaveLength(1)
    await time.advance(2 * limits.trialJudgeMs)
    expect(sum()).toEqual(once)
  })

  it('is judged while it still flows when the time for that has come; its lease goes back at its real end', async () => {
    const { counter, ports, asked, served, told, time, sum, settled } = request()
    counter.left(admitted(), near, [])
    const { promise, resolve } = Promise.withResolvers<Ended>()
    const recorded = record(asked, served(promise), ports, counter)
    await time.advance(limits.trialJudgeMs - 1)
    expect(sum().judged).toBe(0)
    await time.advance(1)
    expect(sum()).toEqual(once)
    expect(told[1]?.tally.ttft).toEqual({ [timeClassOf(300)]: 1 })
    expect(settled).toEqual([])
    // What comes later changes nothing.
    resolve({ ...whole, how: 'upstream_failed' })
    await recorded
    expect(sum()).toEqual(once)
    expect(settled).toMatchObject([{ outcome: 'hard_failure' }])
  })

  it('is judged in time also while no answer has come: it took so long at least', async () => {
    const { counter, ports, asked, refused, told, time, sum } = request()
    counter.left(admitted(), near, [])
    await time.advance(limits.trialJudgeMs)
    expect(sum()).toEqual(once)
    expect(told[1]?.tally.ttft).toEqual({ [timeClassOf(limits.trialJudgeMs)]: 1 })
    await record(asked, refused({ reason: 'upstream_timeout', afterMs: 60_000 }), ports, counter)
    expect(sum()).toEqual(once)
  })

  it('has failed by the attempts that had failed when it was judged', async () => {
    const { counter, time, sum } = request()
    const failed: Attempt[] = []
    counter.left(admitted(), near, failed)
    failed.push(attempt('hard_failure'))
    await time.advance(limits.trialJudgeMs)
    expect(sum()).toEqual({ ...once, hardErrors: 1 })
  })

  it('is counted where it left first, for the version that it left to, whatever comes after', async () => {
    const { counter, ports, asked, served, told } = request()
    const failed = [attempt('hard_failure')]
    counter.left(admitted(), near, failed)
    counter.left(admitted(), 'atlas@far' as CellId, failed)
    const other = admitted({ version: 'atlas-1' as VersionId })
    await record(asked, served(Promise.resolve(whole), { admitted: other, failed }), ports, counter)
    expect(told.map(({ cell, tally }) => [cell, tally.version, tally.arrived, tally.judged, tally.hardErrors])).toEqual([
      [near, version, 1, 0, 0],
      [near, version, 0, 1, 1],
    ])
  })

  it('is counted once in all when nobody told of its leaving', async () => {
    const { ports, asked, served, told, sum } = request()
    await record(asked, served(Promise.resolve(whole), { failed: [attempt('hard_failure', 'far')] }), ports)
    expect(sum()).toEqual({ ...once, hardErrors: 1 })
    expect(told.map(({ cell }) => cell)).toEqual(['atlas@far', 'atlas@far'])
  })

  it('and refused before it left is counted in the first cell of its model', async () => {
    const { ports, asked, refused, told, sum, pending } = request()
    await record(asked, refused({ reason: 'no_healthy_endpoint', model, version }), ports)
    expect(sum()).toEqual({ ...once, hardErrors: 1 })
    expect(told.map(({ cell }) => cell)).toEqual([near])
    expect(pending).toEqual([])
  })

  it.each([
    { name: 'without a snapshot', snapshot: null },
    { name: 'without a cell of the model', snapshot: snapshotOf([at], { fractions: {} }) },
  ])('and refused where no cell is known is not counted: $name', async ({ snapshot }) => {
    const { ports, asked, refused, told } = request(snapshot)
    await record(asked, refused({ reason: 'no_endpoint', model, version }), ports)
    expect(told).toEqual([])
  })

  it('is judged once when a bug ends its answer, and its lease goes back', async () => {
    const { counter, ports, asked, served, sum, returned, time } = request()
    counter.left(admitted(), near, [])
    await expect(record(asked, served(Promise.reject(new Error('bug'))), ports, counter)).rejects.toThrow('bug')
    expect(sum()).toEqual(once)
    expect(returned).toEqual(['l1'])
    await time.advance(2 * limits.trialJudgeMs)
    expect(sum()).toEqual(once)
  })

  it('is judged at once when a bug ends it on its way, as neither failed nor slow: the bug is ours', async () => {
    const { counter, told, sum, time, pending } = request()
    counter.left(admitted(), near, [])
    counter.broken()
    await Promise.all(pending)
    expect(sum()).toEqual(once)
    expect(told[1]?.tally.ttft).toEqual({})
    await time.advance(2 * limits.trialJudgeMs)
    expect(sum()).toEqual(once)
  })

  it('is judged in time when nothing more is told of it', async () => {
    const { counter, sum, time } = request()
    counter.left(admitted(), near, [])
    await time.advance(2 * limits.trialJudgeMs)
    expect(sum()).toEqual(once)
  })

  it('keeps nothing waiting once it is over', async () => {
    const { counter, ports, asked, served, time, pending } = request()
    counter.left(admitted(), near, [])
    await record(asked, served(Promise.resolve(whole)), ports, counter)
    await Promise.all(pending)
    expect(pending).toHaveLength(1)
    expect(time.clock.nowMs()).toBe(asked.receivedAtMs)
  })

  it('that has waited long before it left counts from then on', async () => {
    const { counter, sum, told, time } = request()
    await time.advance(limits.trialJudgeMs + 5_000)
    counter.left(admitted(), near, [])
    expect(told[0]?.tally.slotMs).toBe(1_030_000)
    await time.advance(limits.trialJudgeMs - 1)
    expect(sum()).toEqual({ ...once, judged: 0 })
    await time.advance(1)
    expect(sum()).toEqual(once)
  })
})

describe('a request that is not counted', () => {
  it('tells nothing of its version: an answer, a refusal, and one before anybody was admitted', async () => {
    const { counter, ports, asked, served, refused, told, time, settled, pending } = request()
    counter.left(notCounted, near, [])
    await record(asked, served(Promise.resolve(whole), { admitted: notCounted }), ports, counter)
    await record(asked, refused({ reason: 'no_endpoint', model, version }, { admitted: notCounted }), ports)
    await record(asked, refused({ reason: 'missing_key' }, { admitted: null }), ports)
    await time.advance(2 * limits.trialJudgeMs)
    expect(told).toEqual([])
    expect(settled).toHaveLength(1)
    expect(pending).toEqual([])
  })
})
