// What an isolate has to tell a ledger, and the leases it holds ahead: nothing lost, nothing twice, nothing after its time.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { arrived, count, emptyOutbox, noteRoundTrip, put, putBack, putTrial, takeReport } from '../../../edge/route/outbox.ts'
import { countRequest, creditsWanted, keepCredits, takeCredit, type CreditMemory } from '../../../edge/route/credits.ts'
import type { CreditKind } from '../../../edge/ports.ts'
import { limits } from '../../../shared/limits.ts'
import type { CellId, EndpointId, LeaseId, OriginName, VersionId } from '../../../shared/ids.ts'
import type { Charge, Credit, Report, Settled } from '../../../shared/wire/ledger.ts'
import { trialTally } from '../../support/trial.ts'

const lease = (name: string | number) => `lease-${name}` as LeaseId
const settled = (name: string | number): Settled => ({ leaseId: lease(name), outcome: 'good', ttfbMs: 1 })
const charge = (name: string | number): Charge => ({
  leaseId: lease(name),
  endpoint: 'e' as EndpointId,
  version: 'v' as VersionId,
  deadlineMs: 1_000,
  why: 'blind',
})
const enam = 'enam' as OriginName
const live = () => true

describe('the outbox', () => {
  it('is empty once it is taken', () => {
    const outbox = emptyOutbox()
    expect(takeReport(outbox)).toBeNull()
    put(outbox, { charge: charge(1) })
    put(outbox, { settled: settled(1) })
    count(outbox.arrivals, enam)
    count(outbox.ways, 'blind')
    noteRoundTrip(outbox, enam, 20)
    noteRoundTrip(outbox, enam, 12)
    noteRoundTrip(outbox, enam, 30)
    expect(takeReport(outbox)).toEqual({
      charges: [charge(1)],
      settled: [settled(1)],
      arrivals: { enam: 1 },
      ways: { blind: 1 },
      roundTrips: [{ origin: enam, ms: 12 }],
    })
    expect(takeReport(outbox)).toBeNull()
  })

  it('gives what fits into one call, in order', () => {
    const outbox = emptyOutbox()
    for (let i = 0; i < limits.settledMax + 5; i++) put(outbox, { settled: settled(i) })
    expect(takeReport(outbox)?.settled).toHaveLength(limits.settledMax)
    expect(takeReport(outbox)?.settled.map(({ leaseId }) => leaseId)).toEqual([0, 1, 2, 3, 4].map((i) => lease(limits.settledMax + i)))
  })

  it('holds no more than its bound, the newest', () => {
    const outbox = emptyOutbox()
    for (let i = 0; i < limits.reportsHeldMax + 10; i++) put(outbox, { settled: settled(i) })
    expect(outbox.entries).toHaveLength(limits.reportsHeldMax)
    putBack(outbox, { settled: [settled('old')], charges: [] }, live)
    expect(outbox.entries).toHaveLength(limits.reportsHeldMax)
    expect(outbox.entries.at(-1)).toEqual({ settled: settled(limits.reportsHeldMax + 9) })
  })

  it('takes counts back as well', () => {
    const outbox = emptyOutbox()
    count(outbox.arrivals, enam, 2)
    count(outbox.ways, 'credit', 2)
    noteRoundTrip(outbox, enam, 9)
    const report = takeReport(outbox)
    count(outbox.arrivals, enam)
    if (report) putBack(outbox, report, live)
    expect(takeReport(outbox)).toMatchObject({ arrivals: { enam: 3 }, ways: { credit: 2 }, roundTrips: [{ origin: enam, ms: 9 }] })
  })

  it('leaves out the charge of a lease whose end another call has told meanwhile', () => {
    const outbox = emptyOutbox()
    put(outbox, { charge: charge(1) })
    const lost = takeReport(outbox) as Report
    put(outbox, { settled: settled(1) })
    expect(takeReport(outbox)?.settled).toEqual([settled(1)])
    putBack(outbox, lost, () => false)
    expect(takeReport(outbox)).toBeNull()
  })

  it('sums what versions did, and tells it with what else there is', () => {
    const outbox = emptyOutbox()
    putTrial(outbox, trialTally({ arrived: 1 }))
    putTrial(outbox, trialTally({ arrived: 1 }))
    putTrial(outbox, trialTally({ judged: 1, slotMs: 990_000 }))
    const report = takeReport(outbox)
    expect(report?.trials).toEqual([trialTally({ arrived: 2 }), trialTally({ judged: 1, slotMs: 990_000 })])
    expect(takeReport(outbox)).toBeNull()
    if (report) expect(arrived(outbox, report)).toBe(false)
  })

  it('tells a judgement only when its arrival has arrived', () => {
    const outbox = emptyOutbox()
    putTrial(outbox, trialTally({ arrived: 1 }))
    const first = takeReport(outbox)
    putTrial(outbox, trialTally({ judged: 1 }))
    putTrial(outbox, trialTally({ arrived: 1, slotMs: 1_010_000 }))
    // Another slot's does not wait for it.
    expect(takeReport(outbox)?.trials).toEqual([trialTally({ arrived: 1, slotMs: 1_010_000 })])
    expect(takeReport(outbox)).toBeNull()
    if (first) expect(arrived(outbox, first)).toBe(true)
    expect(takeReport(outbox)?.trials).toEqual([trialTally({ judged: 1 })])
  })

  it('takes what versions did back from a report that was lost', () => {
    const outbox = emptyOutbox()
    putTrial(outbox, trialTally({ arrived: 1 }))
    const lost = takeReport(outbox)
    putTrial(outbox, trialTally({ judged: 1 }))
    if (lost) putBack(outbox, lost, live)
    expect(takeReport(outbox)?.trials).toEqual([trialTally({ arrived: 1, judged: 1 })])
  })

  it('holds what versions did of no more identities than its bound, the newest slots', () => {
    const outbox = emptyOutbox()
    for (let slot = 0; slot < limits.trialsHeldMax + 3; slot++)
      putTrial(outbox, trialTally({ arrived: 1, slotMs: slot * limits.rolloutBlockMs }))
    const slots = takeReport(outbox)?.trials?.map(({ slotMs }) => slotMs / limits.rolloutBlockMs)
    expect(slots).toEqual(Array.from({ length: limits.trialsHeldMax }, (_, index) => index + 3))
  })

  /** Requests that begin and end, calls that arrive, fail, or fail after another one went out. */
  const step = fc.oneof(
    fc.record({ do: fc.constant('charge' as const) }),
    fc.record({ do: fc.constant('settle' as const), which: fc.nat() }),
    fc.record({ do: fc.constant('send' as const) }),
    fc.record({ do: fc.constant('arrive' as const), which: fc.nat() }),
    fc.record({ do: fc.constant('fail' as const), which: fc.nat() }),
  )

  it('tells each end exactly once and each beginning at most once, whatever calls are lost', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const outbox = emptyOutbox()
        const running = new Set<LeaseId>()
        const ended = new Set<LeaseId>()
        const underway: Report[] = []
        const told: string[] = []
        const arrive = (report: Report | undefined) => {
          for (const { leaseId } of report?.charges ?? []) told.push(`begin ${leaseId}`)
          for (const { leaseId } of report?.settled ?? []) told.push(`end ${leaseId}`)
        }
        const pick = (which: number) => (underway.length > 0 ? underway.splice(which % underway.length, 1)[0] : undefined)
        const fail = (report: Report | undefined) => report && putBack(outbox, report, (id) => running.has(id))
        let number = 0
        for (const each of steps) {
          if (each.do === 'charge') {
            const begun = charge(number++)
            running.add(begun.leaseId)
            put(outbox, { charge: begun })
          } else if (each.do === 'settle') {
            const id = [...running][each.which % Math.max(1, running.size)]
            if (!id) continue
            running.delete(id)
            ended.add(id)
            put(outbox, { settled: { leaseId: id, outcome: 'good', ttfbMs: null } })
          } else if (each.do === 'send') {
            const report = takeReport(outbox)
            if (report) underway.push(report)
          } else if (each.do === 'arrive') arrive(pick(each.which))
          else fail(pick(each.which))
        }
        // All that is still under way fails, and the last calls arrive.
        while (underway.length > 0) fail(underway.pop())
        for (let report = takeReport(outbox); report; report = takeReport(outbox)) arrive(report)

        expect(told.length).toBe(new Set(told).size)
        for (const id of ended) expect(told).toContain(`end ${id}`)
        for (const id of running) expect(told).toContain(`begin ${id}`)
      }),
    )
  })
})

describe('credits', () => {
  const kind: CreditKind = { cell: 'c' as CellId, version: 'v' as VersionId, operation: 'chat', residency: null }
  const credit = (name: string | number, expiresAtMs: number, endpoint = 'e'): Credit => ({
    leaseId: lease(name),
    endpoint: endpoint as EndpointId,
    expiresAtMs,
  })
  const fresh = (): CreditMemory => new Map()
  const any = () => true
  const requests = (memory: CreditMemory, times: number, nowMs: number, of = kind) => {
    for (let i = 0; i < times; i++) countRequest(memory, of, nowMs)
  }

  it.each([
    [1, 0],
    [limits.creditMinPerS, 0],
    [limits.creditMinPerS + 1, 3],
    [20, 10],
    [1_000, limits.creditsMax],
  ])('%i requests a second want %i ahead', (perS, wanted) => {
    const memory = fresh()
    requests(memory, perS, 0)
    expect(creditsWanted(memory, kind, 900)).toBe(wanted)
    // The next second has just begun: the one before still tells.
    requests(memory, 1, 1_000)
    expect(creditsWanted(memory, kind, 1_000)).toBe(wanted)
  })

  it('are not wanted by an isolate that has gone quiet', () => {
    const memory = fresh()
    requests(memory, 50, 0)
    requests(memory, 1, 5_000)
    expect(creditsWanted(memory, kind, 5_000)).toBe(0)
  })

  it('that are held are not asked for again', () => {
    const memory = fresh()
    requests(memory, 20, 0)
    keepCredits(memory, kind, [credit(1, 500), credit(2, 500)], 0)
    expect(creditsWanted(memory, kind, 100)).toBe(8)
    expect(creditsWanted(memory, kind, 500)).toBe(10)
  })

  it('are kept apart by cell, version, operation and residency', () => {
    const memory = fresh()
    const others: CreditKind[] = [
      { ...kind, cell: 'd' as CellId },
      { ...kind, version: 'w' as VersionId },
      { ...kind, operation: 'messages' },
      { ...kind, residency: 'eu' },
    ]
    for (const each of [kind, ...others]) requests(memory, 1, 0, each)
    keepCredits(memory, kind, [credit(1, 500)], 0)
    for (const other of others) expect(takeCredit(memory, other, any, 0)).toBeNull()
    expect(takeCredit(memory, kind, any, 0)).toEqual(credit(1, 500))
  })

  it('on an endpoint that the request may not use are passed over', () => {
    const memory = fresh()
    requests(memory, 1, 0)
    keepCredits(memory, kind, [credit(1, 500, 'bad'), credit(2, 500, 'good')], 0)
    expect(takeCredit(memory, kind, (endpoint) => endpoint !== 'bad', 0)).toEqual(credit(2, 500, 'good'))
    expect(takeCredit(memory, kind, any, 0)).toBeNull()
  })

  it('are never used twice, nor after they ended, nor held beyond the bound', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('request' as const) }),
      fc.record({ do: fc.constant('grant' as const), many: fc.nat(20), forMs: fc.nat(limits.creditMs) }),
      fc.record({ do: fc.constant('pass' as const), ms: fc.nat(400) }),
      fc.record({ do: fc.constant('use' as const), only: fc.constantFrom('a', 'b', null) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const memory = fresh()
        const used = new Set<LeaseId>()
        let nowMs = 0
        let number = 0
        for (const each of steps) {
          if (each.do === 'request') countRequest(memory, kind, nowMs)
          else if (each.do === 'pass') nowMs += each.ms
          else if (each.do === 'grant') {
            const granted = Array.from({ length: each.many }, () => credit(number, nowMs + each.forMs, number++ % 2 === 0 ? 'a' : 'b'))
            keepCredits(memory, kind, granted, nowMs)
          } else {
            const taken = takeCredit(memory, kind, (endpoint) => each.only === null || endpoint === each.only, nowMs)
            if (!taken) continue
            expect(used.has(taken.leaseId)).toBe(false)
            expect(taken.expiresAtMs).toBeGreaterThan(nowMs)
            if (each.only !== null) expect(taken.endpoint).toBe(each.only)
            used.add(taken.leaseId)
          }
          for (const { credits } of memory.values()) expect(credits.length).toBeLessThanOrEqual(limits.creditsMax)
        }
      }),
    )
  })

  it('are counted for a bounded number of kinds, the latest', () => {
    const memory = fresh()
    for (let i = 0; i < limits.creditKindsMax + 10; i++) requests(memory, 1, 0, { ...kind, cell: `c${i}` as CellId })
    expect(memory.size).toBe(limits.creditKindsMax)
    expect(creditsWanted(memory, { ...kind, cell: 'c0' as CellId }, 0)).toBe(0)
  })
})
