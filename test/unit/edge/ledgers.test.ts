// The ledgers as an isolate sees them: what rides with a question, what leaves by itself, and what becomes of answers that come too late.

import { describe, expect, it } from 'vitest'
import { emptyLedgerMemory, ledgers, type LedgerMemory } from '../../../edge/adapters/ledgers.ts'
import { emptyLoadsMemory, loads } from '../../../edge/adapters/loads.ts'
import { emptyReflexMemory, reflexes } from '../../../edge/adapters/reflexes.ts'
import type { CreditKind, Question } from '../../../edge/ports.ts'
import { limits } from '../../../shared/limits.ts'
import { err } from '../../../shared/result.ts'
import type { CellId, EndpointId, LeaseId, OriginName, VersionId } from '../../../shared/ids.ts'
import type { Ask, AskAnswer, Charge, Flush, News, WaitAnswer } from '../../../shared/wire/ledger.ts'
import { heldTime, idle } from '../../support/held-time.ts'
import { cellLoad, loadsOf, model } from '../../support/snapshot.ts'
import { trialTally } from '../../support/trial.ts'

const cell = 'atlas@near' as CellId
const version = 'v' as VersionId
const endpoint = 'e' as EndpointId
const enam = 'enam' as OriginName
const lease = (name: string | number) => `lease-${name}` as LeaseId
const kind: CreditKind = { cell, version, operation: 'chat', residency: null }
const news: News = { generation: 1, snapshot: null, life: 'first' }
const granted: AskAnswer = { ...news, lease: { endpoint }, denied: null }
const never = () => new Promise<never>(() => undefined)

const question = (name: string | number, so: Partial<Question> = {}): Question => ({
  ask: {
    cell,
    leaseId: lease(name),
    version,
    operation: 'chat',
    deadlineMs: 9_000_000,
    avoid: [],
    generation: 1,
  },
  origin: enam,
  roundTripMs: 10,
  creditsFor: null,
  ...so,
})

const charge = (name: string | number): Charge => ({ leaseId: lease(name), endpoint, version, deadlineMs: 9_000_000, why: 'blind' })
const settled = (name: string | number) => ({ leaseId: lease(name), outcome: 'good' as const, ttfbMs: 5 })

/** A ledger that answers as it is told, and remembers what it heard. */
function at(memory: LedgerMemory = emptyLedgerMemory(), waitMsMin = 0) {
  const time = heldTime()
  const asks: Ask[] = []
  const flushes: Flush[] = []
  const learnt: News[] = []
  const pending: Promise<unknown>[] = []
  const script = {
    ask: (): Promise<AskAnswer> => Promise.resolve(granted),
    report: (): Promise<News> => Promise.resolve(news),
    wait: (): Promise<WaitAnswer> => never(),
  }
  const port = ledgers(memory, {
    ledger: () => ({
      ask: (ask) => {
        asks.push(ask)
        return script.ask()
      },
      wait: () => script.wait(),
      report: (flush) => {
        flushes.push(flush)
        return script.report()
      },
    }),
    ...time,
    afterResponse: (work) => void pending.push(work),
    learn: (each) => void learnt.push(each),
    generation: () => 7,
    loadsSeqOf: () => 3,
    waitMsMin,
  })
  const told = () => [...asks.flatMap(({ report }) => (report ? [report] : [])), ...flushes.map(({ report }) => report)]
  return { port, time, asks, flushes, learnt, script, told, pending }
}

describe('what an isolate tells', () => {
  it('leaves in one report after a quarter of a second', async () => {
    const { port, time, flushes, pending } = at()
    port.charge(cell, charge(1))
    port.settle(cell, settled(1))
    await time.advance(limits.reportEveryMs - 1)
    expect(flushes).toEqual([])
    await time.advance(1)
    expect(flushes).toEqual([
      { cell, generation: 7, loadsSeq: 3, report: expect.objectContaining({ charges: [charge(1)], settled: [settled(1)] }) },
    ])
    expect(pending).toHaveLength(1)
    await time.advance(10_000)
    expect(flushes).toHaveLength(1)
  })

  it('rides on the next question instead, when one comes sooner', async () => {
    const { port, time, asks, flushes } = at()
    port.settle(cell, settled(1))
    await port.ask(question(2))
    expect(asks[0]?.report?.settled).toEqual([settled(1)])
    await time.advance(10_000)
    // What is left is the measured way.
    expect(flushes.flatMap(({ report }) => report.settled)).toEqual([])
  })

  it('leaves at once while places are scarce', async () => {
    const { port, script, flushes } = at()
    script.ask = () => Promise.resolve({ ...granted, tight: true })
    await port.ask(question(1))
    port.settle(cell, settled(1))
    await idle()
    expect(flushes[0]?.report.settled).toEqual([settled(1)])
  })

  it('of versions leaves in one report with the rest, and does not hurry while places are scarce', async () => {
    const { port, script, time, flushes } = at()
    script.ask = () => Promise.resolve({ ...granted, tight: true })
    await port.ask(question(1))
    port.tally(cell, trialTally({ arrived: 1 }))
    await idle()
    expect(flushes).toEqual([])
    port.tally(cell, trialTally({ judged: 1 }))
    port.settle(cell, settled(1))
    await idle()
    expect(flushes.map(({ report }) => [report.settled.length, report.trials])).toEqual([[1, [trialTally({ arrived: 1, judged: 1 })]]])
    await time.advance(10_000)
    expect(flushes).toHaveLength(1)
  })

  it('of versions that waited for a report on its way leaves after it, without another request', async () => {
    const { port, script, time, flushes } = at()
    const { promise, resolve } = Promise.withResolvers<News>()
    script.report = () => promise
    port.tally(cell, trialTally({ arrived: 1 }))
    await time.advance(limits.reportEveryMs)
    port.tally(cell, trialTally({ judged: 1 }))
    await time.advance(limits.reportEveryMs)
    expect(flushes.map(({ report }) => report.trials)).toEqual([[trialTally({ arrived: 1 })]])
    resolve(news)
    await time.advance(limits.reportEveryMs)
    expect(flushes.map(({ report }) => report.trials)).toEqual([[trialTally({ arrived: 1 })], [trialTally({ judged: 1 })]])
    await time.advance(10_000)
    expect(flushes).toHaveLength(2)
  })

  it('does not wait for a request whose promise to send it has grown old: the platform may have ended it', async () => {
    const memory = emptyLedgerMemory()
    const first = at(memory)
    // This request's timers never fire again.
    first.port.settle(cell, settled(1))
    const second = at(memory)
    second.port.settle(cell, settled(2))
    expect(second.pending).toHaveLength(0)
    await second.time.advance(limits.flushTrustMs)
    second.port.settle(cell, settled(3))
    await second.time.advance(limits.reportEveryMs)
    expect(second.flushes[0]?.report.settled).toEqual([settled(1), settled(2), settled(3)])
  })

  it.each([
    ['fails', () => Promise.reject(new Error('object reset'))],
    ['is not answered', never],
  ])('is kept when a call %s, and told once with the next', async (_, lost) => {
    const { port, time, script, asks, flushes } = at()
    script.report = lost
    port.charge(cell, charge(1))
    await time.advance(limits.reportEveryMs + limits.reportWaitMsMax)
    expect(flushes).toHaveLength(1)
    port.settle(cell, settled(1))
    await port.ask(question(2))
    expect(asks[0]?.report).toMatchObject({ charges: [charge(1)], settled: [settled(1)] })
  })

  it('goes on in further calls while there is more than one call takes', async () => {
    const { port, time, flushes } = at()
    for (let i = 0; i < limits.settledMax * 2 + 1; i++) port.settle(cell, settled(i))
    await time.advance(limits.reportEveryMs)
    expect(flushes.map(({ report }) => report.settled.length)).toEqual([limits.settledMax, limits.settledMax, 1])
  })

  it('counts ways, and arrivals of those who did not ask', async () => {
    const { port, time, flushes } = at()
    port.count(cell, { way: 'leased', origin: enam })
    port.count(cell, { way: 'blind', origin: enam })
    port.count(cell, { way: 'credit', origin: enam })
    port.settle(cell, settled(1))
    await time.advance(limits.reportEveryMs)
    expect(flushes[0]?.report).toMatchObject({ ways: { leased: 1, blind: 1, credit: 1 }, arrivals: { enam: 2 } })
  })

  it('has the round trip of the question before', async () => {
    const { port, time, script, asks } = at()
    script.ask = async () => {
      await time.timer.sleep(12)
      return granted
    }
    const answered = port.ask(question(1))
    await time.advance(12)
    await answered
    void port.ask(question(2))
    expect(asks[1]?.report?.roundTrips).toEqual([{ origin: enam, ms: 12 }])
  })
})

describe('an answer that takes too long', () => {
  it.each([
    ['the way and a moment', 10, 0, 10 + limits.ledgerWaitMs],
    ['no more than half the way round the world', 900, 0, limits.ledgerWaitMsMax],
    ['that too when nobody knows the way', null, 0, limits.ledgerWaitMsMax],
    ['as long as the deployment says', 10, 250, 250],
  ])('is waited for %s', async (_, roundTripMs, waitMsMin, waitMs) => {
    const { port, time, script } = at(emptyLedgerMemory(), waitMsMin)
    script.ask = never
    let answer: unknown = 'waiting'
    void port.ask(question(1, { roundTripMs })).then((each) => (answer = each))
    await time.advance(waitMs - 1)
    expect(answer).toBe('waiting')
    await time.advance(1)
    expect(answer).toEqual(err('unreachable'))
  })

  it.each([
    ['with a lease', granted],
    ['with a place in the queue', { ...granted, lease: null, queued: { predictedMs: 5 } }],
  ])('%s gives that back at once', async (_, late) => {
    const { port, time, script, flushes, learnt } = at()
    script.ask = async () => {
      await time.timer.sleep(100)
      return late
    }
    const asked = port.ask(question(1))
    await time.advance(99)
    expect(await asked).toEqual(err('unreachable'))
    expect(flushes).toEqual([])
    await time.advance(1)
    expect(flushes[0]?.report.settled).toEqual([{ leaseId: lease(1), outcome: 'cancelled', ttfbMs: null }])
    // Its news counts all the same, and so does the way it took: the published one was too short.
    expect(learnt[0]).toBe(late)
    expect(flushes[0]?.report.roundTrips).toEqual([{ origin: enam, ms: 100 }])
    expect(port.begunSince(cell, 0)).toBe(0)
  })

  it.each([
    ['is lost', () => Promise.reject(new Error('object reset'))],
    ['never comes', never],
  ])('%s: what may have been granted goes back with the next report', async (_, lost) => {
    const { port, time, script, told } = at()
    script.ask = lost
    const asked = port.ask(question(1))
    await time.advance(limits.ledgerWaitMsMax)
    expect(await asked).toEqual(err('unreachable'))
    await time.advance(limits.reportWaitMsMax + limits.reportEveryMs)
    expect(told().flatMap((report) => report.settled)).toEqual([{ leaseId: lease(1), outcome: 'cancelled', ttfbMs: null }])
  })

  it('has taken its report along: that is not told again', async () => {
    const { port, time, script, told } = at()
    script.ask = async () => {
      await time.timer.sleep(100)
      return granted
    }
    port.settle(cell, settled(1))
    void port.ask(question(2))
    await time.advance(5_000)
    expect(
      told()
        .flatMap((report) => report.settled)
        .filter(({ leaseId }) => leaseId === lease(1)),
    ).toHaveLength(1)
  })
})

describe('live leases', () => {
  it('are those granted, charged or waited for, until they are settled or over', async () => {
    const { port, time, script } = at()
    await port.ask(question(1))
    port.charge(cell, charge(2))
    script.wait = () => Promise.resolve({ ...news, lease: { endpoint }, denied: null, waitedMs: 3 })
    await port.wait(question(3).ask, 1_000, new AbortController().signal)
    expect(port.begunSince(cell, 0)).toBe(3)
    port.settle(cell, settled(1))
    port.giveBack(cell, lease(2))
    expect(port.begunSince(cell, 0)).toBe(1)
    const laterMs = time.clock.nowMs() + 5
    await time.advance(5)
    port.charge(cell, charge(4))
    expect([port.begunSince(cell, laterMs), port.begunSince(cell, laterMs + 1)]).toEqual([1, 0])
    await time.advance(9_000_000)
    expect(port.begunSince(cell, 0)).toBe(0)
  })

  it('are charged again when the object has begun another life', async () => {
    const { port, time, script, told } = at()
    await port.ask(question(1))
    port.charge(cell, charge(2))
    await port.ask(question(3))
    port.settle(cell, settled(3))
    script.ask = () => Promise.resolve({ ...granted, life: 'second' })
    script.report = () => Promise.resolve({ ...news, life: 'second' })
    await port.ask(question(4))
    await time.advance(limits.reportEveryMs)
    const again = told()
      .flatMap((report) => report.charges)
      .filter(({ why }) => why === 'again')
    expect(again.map(({ leaseId }) => leaseId)).toEqual([lease(1), lease(2)])
    expect(again[0]).toMatchObject({ endpoint, version, operation: 'chat', deadlineMs: 9_000_000 })
  })

  it('are charged again at once: until then the object believes that there is room', async () => {
    const { port, script, flushes } = at()
    await port.ask(question(1))
    script.ask = () => Promise.resolve({ ...granted, life: 'second' })
    script.report = () => Promise.resolve({ ...news, life: 'second' })
    await port.ask(question(2))
    await idle()
    expect(flushes.flatMap(({ report }) => report.charges.map(({ leaseId }) => leaseId))).toEqual([lease(1)])
  })

  it('are given back with their endpoint, so that the end counts also where it overtakes the charge', async () => {
    const { port, flushes } = at()
    port.charge(cell, charge(1))
    port.giveBack(cell, lease(1))
    await idle()
    expect(flushes[0]?.report.settled).toEqual([{ leaseId: lease(1), outcome: 'cancelled', ttfbMs: null, endpoint }])
  })

  it('of a busy ledger are not forgotten for many quiet ones', () => {
    const { port } = at()
    port.charge(cell, charge(1))
    for (let i = 0; i < limits.ledgersHeldMax + 5; i++) {
      port.begunSince(`quiet-${i}` as CellId, 0)
      expect(port.begunSince(cell, 0)).toBe(1)
    }
  })

  it('have their ends told again as well, as far as they were told in the two seconds before: what was kept may hold them', async () => {
    const { port, time, script, told } = at()
    await port.ask(question(1))
    port.settle(cell, settled('early'))
    await time.advance(limits.reportEveryMs)
    await time.advance(limits.toldAgainMs + 1)
    port.settle(cell, settled('late'))
    port.giveBack(cell, lease('back'))
    // However long it is quiet then: the object may have been restarted right after.
    await time.advance(60_000)
    script.ask = () => Promise.resolve({ ...granted, life: 'second' })
    script.report = () => Promise.resolve({ ...news, life: 'second' })
    await port.ask(question(2))
    port.settle(cell, settled('new'))
    await time.advance(limits.reportEveryMs)
    const ends = told().flatMap((report) => report.settled)
    expect(ends.filter(({ again }) => again)).toEqual([
      { ...settled('late'), again: true },
      { leaseId: lease('back'), outcome: 'cancelled', ttfbMs: null, again: true },
    ])
    expect(ends.filter(({ leaseId }) => leaseId === lease('new'))).toEqual([settled('new')])
  })

  it('whose end the life before has not heard are settled once, as they are', async () => {
    const { port, time, script, told } = at()
    await port.ask(question(1))
    script.report = () => Promise.reject(new Error('object reset'))
    port.settle(cell, settled(1))
    await time.advance(limits.reportEveryMs)
    script.ask = () => Promise.resolve({ ...granted, life: 'second' })
    script.report = () => Promise.resolve({ ...news, life: 'second' })
    const before = told().length
    await port.ask(question(2))
    port.settle(cell, settled(2))
    await time.advance(limits.reportEveryMs)
    const ends = told()
      .slice(before)
      .flatMap((report) => report.settled)
    expect(ends).toEqual([settled(1), settled(2)])
  })

  it('tell again no more ends than the bound', async () => {
    const { port, time, script, told } = at()
    await port.ask(question(0))
    for (let i = 0; i < limits.toldHeldMax + 5; i++) port.settle(cell, settled(i))
    await time.advance(limits.reportEveryMs)
    script.ask = () => Promise.resolve({ ...granted, life: 'second' })
    script.report = () => Promise.resolve({ ...news, life: 'second' })
    await port.ask(question('other'))
    port.settle(cell, settled('last'))
    await time.advance(limits.reportEveryMs)
    const again = told().flatMap((report) => report.settled.filter((each) => each.again))
    expect([again.length, again[0]?.leaseId]).toEqual([limits.toldHeldMax, lease(5)])
  })

  it('are remembered within a bound', () => {
    const { port } = at()
    for (let i = 0; i < limits.liveHeldMax + 5; i++) port.charge(cell, charge(i))
    expect(port.begunSince(cell, 0)).toBe(limits.liveHeldMax)
  })
})

describe('credits', () => {
  const busy = async (so: ReturnType<typeof at>, requests = 20) => {
    for (let i = 0; i < requests; i++) so.port.credit(kind, () => true)
    const credits = [{ leaseId: lease('ahead'), endpoint, expiresAtMs: so.time.clock.nowMs() + limits.creditMs }]
    so.script.ask = () => Promise.resolve({ ...granted, credits })
    await so.port.ask(question(1, { creditsFor: kind }))
  }

  it('are asked for by a busy isolate, and used once', async () => {
    const so = at()
    await busy(so)
    expect(so.asks[0]?.credits).toBe(10)
    expect(so.port.credit(kind, () => true)?.leaseId).toBe(lease('ahead'))
    expect(so.port.credit(kind, () => true)).toBeNull()
  })

  it('are asked for by one of the questions that leave together, and again when its answer has come, or is lost', async () => {
    const so = at()
    for (let i = 0; i < 20; i++) so.port.credit(kind, () => true)
    so.script.ask = never
    for (const name of [1, 2, 3]) void so.port.ask(question(name, { creditsFor: kind }))
    expect(so.asks.map(({ credits }) => credits)).toEqual([10, undefined, undefined])
    await so.time.advance(limits.creditMs)
    so.script.ask = () => Promise.resolve(granted)
    await so.port.ask(question(4, { creditsFor: kind }))
    await so.port.ask(question(5, { creditsFor: kind }))
    expect(so.asks.slice(3).map(({ credits }) => credits)).toEqual([10, 10])
  })

  it('end', async () => {
    const so = at()
    await busy(so)
    await so.time.advance(limits.creditMs)
    expect(so.port.credit(kind, () => true)).toBeNull()
  })

  it('are not asked for by a quiet one, nor for a request that cannot share', async () => {
    const quiet = at()
    await busy(quiet, 2)
    expect(quiet.asks[0]).not.toHaveProperty('credits')
    const so = at()
    await busy(so)
    await so.port.ask(question(2))
    expect(so.asks[1]).not.toHaveProperty('credits')
  })
})

describe('a wait in the queue', () => {
  const wait = (so: ReturnType<typeof at>, gone = new AbortController()) => {
    const result: { is: unknown } = { is: 'waiting' }
    void so.port.wait(question(1).ask, 1_000, gone.signal).then((each) => (result.is = each))
    return { result, gone }
  }
  const cancelled = [{ leaseId: lease(1), outcome: 'cancelled', ttfbMs: null }]

  it('that takes too long is given up at once', async () => {
    const so = at()
    const { result } = wait(so)
    await so.time.advance(999)
    expect(result.is).toBe('waiting')
    await so.time.advance(1)
    expect(result.is).toEqual(err('over'))
    expect(so.flushes[0]?.report.settled).toEqual(cancelled)
  })

  it('is given up at once when the client leaves', async () => {
    const so = at()
    const { result, gone } = wait(so)
    await so.time.advance(10)
    gone.abort()
    await idle()
    expect(result.is).toEqual(err('gone'))
    expect(so.flushes[0]?.report.settled).toEqual(cancelled)
  })

  it('is lost with its object', async () => {
    const so = at()
    so.script.wait = () => Promise.reject(new Error('object reset'))
    const { result } = wait(so)
    await idle()
    expect(result.is).toEqual(err('unreachable'))
  })
})

describe('loads', () => {
  it('are the newest told, while they are fresh', async () => {
    const time = heldTime()
    const port = loads(emptyLoadsMemory(), time.clock)
    const atMs = time.clock.nowMs()
    expect([port.fresh(model), port.seqOf(cell), port.cell(model, cell)]).toEqual([null, 0, null])
    const told = loadsOf([cellLoad('near', { free: 1 })], { seq: 5, atMs })
    port.learn({ loads: told })
    port.learn({ loads: { ...told, seq: 4, cells: [] } })
    expect([port.fresh(model), port.seqOf(cell), port.cell(model, cell)?.load.free]).toEqual([told, 5, 1])
    await time.advance(limits.loadsFreshMs)
    expect([port.fresh(model), port.seqOf(cell), port.cell(model, cell)]).toEqual([null, 5, null])
  })

  it('from far ahead are of no use: nobody can tell their age, and they would be fresh until the clock has caught up', () => {
    const time = heldTime()
    const port = loads(emptyLoadsMemory(), time.clock)
    const ahead = (seq: number, ms: number) => loadsOf([], { seq, atMs: time.clock.nowMs() + ms })
    port.learn({ loads: ahead(1, 5_000) })
    expect(port.fresh(model)?.seq).toBe(1)
    port.learn({ loads: ahead(2, 3_600_000) })
    expect(port.fresh(model)).toBeNull()
  })

  it('of one cell are its own last word, unless core has a newer one', async () => {
    const time = heldTime()
    const port = loads(emptyLoadsMemory(), time.clock)
    port.learn({ loads: loadsOf([cellLoad('near', { free: 1 })], { seq: 5, atMs: time.clock.nowMs() }) })
    await time.advance(100)
    port.learn({ load: cellLoad('near', { free: 2 }) })
    expect(port.cell(model, cell)?.load.free).toBe(2)
    await time.advance(100)
    port.learn({ loads: loadsOf([cellLoad('near', { free: 3 })], { seq: 6, atMs: time.clock.nowMs() }) })
    expect(port.cell(model, cell)?.load.free).toBe(3)
  })
})

describe('an isolate’s own reflexes', () => {
  it.each([
    [0, limits.reflexMsMin],
    [0.5, (limits.reflexMsMin + limits.reflexMsMax) / 2],
  ])('leave a failed endpoint aside, by chance %d for %d ms', async (chance, forMs) => {
    const time = heldTime()
    const port = reflexes(emptyReflexMemory(), { clock: time.clock, random: () => chance })
    port.failed(endpoint)
    await time.advance(forMs - 1)
    expect(port.isAside(endpoint)).toBe(true)
    expect(port.isAside('other' as EndpointId)).toBe(false)
    await time.advance(1)
    expect(port.isAside(endpoint)).toBe(false)
  })

  it('allow one retry without a ledger for ten requests, and never two at once', () => {
    const port = reflexes(emptyReflexMemory(), { clock: heldTime().clock, random: () => 0 })
    expect(port.takeRetry()).toBe(false)
    for (let i = 0; i < 9; i++) port.depositRetry()
    expect(port.takeRetry()).toBe(false)
    for (let i = 0; i < 50; i++) port.depositRetry()
    expect([port.takeRetry(), port.takeRetry()]).toEqual([true, false])
    for (let i = 0; i < 10; i++) port.depositRetry()
    expect([port.takeRetry(), port.takeRetry()]).toEqual([true, false])
  })
})
