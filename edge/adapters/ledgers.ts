// The ledger objects, as one isolate sees them. What it has to tell a ledger rides on its next question, or leaves in one report a quarter of
// a second later. A ledger that does not answer in time is not waited for; what it grants too late, or may have granted, is given back, or it
// would be held until its deadline for nobody. Never fails: a lost report ends with the leases' deadlines.

import { limits } from '../../shared/limits.ts'
import { err, ok } from '../../shared/result.ts'
import { orElse, within, type Clock, type Timer } from '../../shared/time.ts'
import type { CellId, LeaseId, OriginName } from '../../shared/ids.ts'
import type { Ask, AskAnswer, Charge, LedgerCalls, News, Report, Settled } from '../../shared/wire/ledger.ts'
import type { Ledgers, Question } from '../ports.ts'
import { askForCredits, countRequest, keepCredits, takeCredit, type CreditMemory } from '../route/credits.ts'
import { arrived, count, emptyOutbox, noteRoundTrip, put, putBack, putTrial, takeReport, type Outbox } from '../route/outbox.ts'

/** What one isolate knows of one ledger. */
type Known = {
  readonly outbox: Outbox
  /** Its own leases there that are live, as they would be charged again, and since when. */
  readonly live: Map<LeaseId, { readonly charge: Charge; readonly sinceMs: number }>
  /** Ends that it was told of late, oldest first: what it kept before a restart may still hold those leases. */
  readonly told: { readonly settled: Settled; readonly atMs: number }[]
  life: string | null
  /** Places are scarce there: what comes back is told at once. */
  tight: boolean
  /** When a request last promised to send the report; null when none has since. */
  flushPromisedAtMs: number | null
}

/** One per isolate, shared by its requests: plain data, bounded by limits.ledgersHeldMax and limits.creditKindsMax. */
export type LedgerMemory = { readonly known: Map<CellId, Known>; readonly credits: CreditMemory }

export const emptyLedgerMemory = (): LedgerMemory => ({ known: new Map(), credits: new Map() })

export type LedgerSources = {
  readonly ledger: (cell: CellId) => Pick<LedgerCalls, 'ask' | 'wait' | 'report'>
  readonly clock: Clock
  readonly timer: Timer
  readonly afterResponse: (work: Promise<unknown>) => void
  /** Takes in what every answer brings along. */
  readonly learn: (news: News) => void
  readonly generation: () => number
  readonly loadsSeqOf: (cell: CellId) => number
  /** A question waits at least this long for its answer. */
  readonly waitMsMin: number
}

export function ledgers(memory: LedgerMemory, sources: LedgerSources): Ledgers {
  const { clock, timer, afterResponse } = sources

  const knownOf = (cell: CellId): Known => {
    const known = memory.known.get(cell)
    if (known) {
      // The one unused for longest is first.
      memory.known.delete(cell)
      memory.known.set(cell, known)
      return known
    }
    const made: Known = { outbox: emptyOutbox(), live: new Map(), told: [], life: null, tight: false, flushPromisedAtMs: null }
    memory.known.set(cell, made)
    const oldest = memory.known.size > limits.ledgersHeldMax ? memory.known.keys().next().value : undefined
    if (oldest !== undefined) memory.known.delete(oldest)
    return made
  }

  // ---- What is told ----

  /** Sends what there is, in as many calls as it takes; after a failed one the rest waits for the next occasion. */
  const flush = async (cell: CellId): Promise<void> => {
    const known = knownOf(cell)
    known.flushPromisedAtMs = null
    for (let calls = 0; calls < limits.reportsHeldMax / limits.settledMax; calls++) {
      const report = takeReport(known.outbox)
      if (!report) return
      const flushed = { cell, generation: sources.generation(), loadsSeq: sources.loadsSeqOf(cell), report }
      if (!(await carried(cell, report, () => sources.ledger(cell).report(flushed)))) return
    }
  }

  const leave = (cell: CellId, atOnce: boolean): void => {
    if (atOnce || knownOf(cell).tight) afterResponse(flush(cell))
    else leaveSoon(cell)
  }

  /** Sees to it that the outbox leaves, if no question takes it along before. A promise of another request is believed for a second. */
  const leaveSoon = (cell: CellId): void => {
    const known = knownOf(cell)
    const nowMs = clock.nowMs()
    if (known.flushPromisedAtMs !== null && nowMs - known.flushPromisedAtMs < limits.flushTrustMs) return
    known.flushPromisedAtMs = nowMs
    afterResponse(timer.sleep(limits.reportEveryMs).then(() => flush(cell)))
  }

  /** A call with what it carries: an answer's news is taken in, and a report that did not arrive goes back. null: no answer. */
  const carried = async <Answer extends News>(cell: CellId, report: Report | null, call: () => Promise<Answer>): Promise<Answer | null> => {
    const calling = async (): Promise<Answer | null> => call()
    const answer = await within(orElse(calling(), null), limits.reportWaitMsMax, null, timer)
    const known = knownOf(cell)
    if (answer) {
      hear(cell, answer)
      if (report) rememberTold(known, report)
      if (report && arrived(known.outbox, report)) leaveSoon(cell)
    } else if (report) putBack(known.outbox, report, (lease) => known.live.has(lease))
    return answer
  }

  const hear = (cell: CellId, news: News): void => {
    const known = knownOf(cell)
    sources.learn(news)
    known.tight = news.tight ?? false
    const life = news.life ?? known.life
    // An object that was restarted may not know what its earlier life granted.
    if (known.life !== null && life !== known.life) {
      for (const { charge } of known.live.values()) put(known.outbox, { charge: { ...charge, why: 'again' } })
      for (const { settled } of known.told.splice(0)) put(known.outbox, { settled: { ...settled, again: true } })
      // Until then it believes that there is room, and a quiet isolate may ask nothing for minutes.
      if (known.outbox.entries.length > 0) leave(cell, true)
    }
    known.life = life
  }

  const rememberTold = ({ told }: Known, { settled }: Report): void => {
    const nowMs = clock.nowMs()
    for (const each of settled) told.push({ settled: each, atMs: nowMs })
    const isOver = ({ atMs }: Known['told'][number]): boolean => Math.abs(nowMs - atMs) > limits.toldAgainMs
    while (told.length > limits.toldHeldMax || (told[0] && isOver(told[0]))) told.shift()
  }

  const remember = (cell: CellId, charge: Charge): void => {
    const { live } = knownOf(cell)
    live.set(charge.leaseId, { charge, sinceMs: clock.nowMs() })
    const oldest = live.size > limits.liveHeldMax ? live.keys().next().value : undefined
    if (oldest !== undefined) live.delete(oldest)
  }

  const settle: Ledgers['settle'] = (cell, settled) => {
    const known = knownOf(cell)
    known.live.delete(settled.leaseId)
    put(known.outbox, { settled })
    leave(cell, false)
  }

  const returned = (cell: CellId, leaseId: LeaseId, atOnce: boolean): void => {
    const known = knownOf(cell)
    // With its endpoint the end counts also where it overtakes its charge.
    const endpoint = known.live.get(leaseId)?.charge.endpoint
    known.live.delete(leaseId)
    put(known.outbox, { settled: { leaseId, outcome: 'cancelled', ttfbMs: null, ...(endpoint ? { endpoint } : {}) } })
    leave(cell, atOnce)
  }

  const giveBack: Ledgers['giveBack'] = (cell, leaseId) => returned(cell, leaseId, true)

  /** The question's answer is lost, but it may have been granted. Where ledgers are gone this is so for each request: it leaves with the rest. */
  const disown = (cell: CellId, leaseId: LeaseId): void => returned(cell, leaseId, false)

  // ---- What is asked ----

  /** A question's answer, however late: the way there is measured, and credits are kept. */
  const answered = async (ask: Ask, origin: OriginName, { creditsFor }: Question, report: Report | null): Promise<AskAnswer | null> => {
    const askedAtMs = clock.nowMs()
    const answer = await carried(ask.cell, report, () => sources.ledger(ask.cell).ask(ask))
    const nowMs = clock.nowMs()
    if (answer) noteRoundTrip(knownOf(ask.cell).outbox, origin, nowMs - askedAtMs)
    if (creditsFor && (ask.credits || answer?.credits)) keepCredits(memory.credits, creditsFor, answer?.credits ?? [], nowMs)
    return answer
  }

  return {
    ask: async (question) => {
      const { ask, origin, roundTripMs, creditsFor } = question
      const { cell, leaseId } = ask
      const report = takeReport(knownOf(cell).outbox)
      const credits = creditsFor ? askForCredits(memory.credits, creditsFor, clock.nowMs()) : 0
      const asked: Ask = {
        ...ask,
        origin,
        loadsSeq: sources.loadsSeqOf(cell),
        ...(credits > 0 ? { credits } : {}),
        ...(report ? { report } : {}),
      }
      const answering = answered(asked, origin, question, report)
      const answer = await within(answering, waitMsFor(roundTripMs, sources.waitMsMin), 'late' as const, timer)
      if (answer === 'late') {
        afterResponse(
          answering.then((late) => {
            if (!late) disown(cell, leaseId)
            else if (late.lease || late.queued) giveBack(cell, leaseId)
          }),
        )
        return err('unreachable')
      }
      if (!answer) {
        disown(cell, leaseId)
        return err('unreachable')
      }
      if (answer.lease) remember(cell, chargeOf(ask, answer.lease.endpoint))
      return ok(answer)
    },

    wait: async (ask, forMs, gone) => {
      const { cell, leaseId } = ask
      const over = new AbortController()
      const waiting = orElse((async () => sources.ledger(cell).wait(cell, leaseId))(), null)
      const ending = async (): Promise<'gone' | 'over'> => {
        await timer.sleep(forMs, AbortSignal.any([gone, over.signal]))
        return gone.aborted ? 'gone' : 'over'
      }
      const answer = await Promise.race([waiting, ending()])
      over.abort()
      if (answer === null || typeof answer === 'string') {
        giveBack(cell, leaseId)
        return err(answer ?? 'unreachable')
      }
      hear(cell, answer)
      if (answer.lease) remember(cell, chargeOf(ask, answer.lease.endpoint))
      return ok(answer)
    },

    credit: (kind, isUsable) => {
      countRequest(memory.credits, kind, clock.nowMs())
      return takeCredit(memory.credits, kind, isUsable, clock.nowMs())
    },

    charge: (cell, charge) => {
      remember(cell, charge)
      put(knownOf(cell).outbox, { charge })
      leave(cell, false)
    },

    settle,
    giveBack,

    count: (cell, { way, origin }) => {
      const { ways, arrivals } = knownOf(cell).outbox
      count(ways, way)
      // Those who asked were counted by the ledger itself.
      if (way !== 'leased') count(arrivals, origin)
    },

    tally: (cell, tally) => {
      putTrial(knownOf(cell).outbox, tally)
      // It frees no place: it need not hurry where places are scarce.
      leaveSoon(cell)
    },

    begunSince: (cell, sinceMs) => {
      const { live } = knownOf(cell)
      const nowMs = clock.nowMs()
      let begun = 0
      for (const [leaseId, each] of live) {
        // Its request was ended by the platform, or it would have been settled.
        if (each.charge.deadlineMs <= nowMs) live.delete(leaseId)
        else if (each.sinceMs >= sinceMs) begun++
      }
      return begun
    },
  }
}

/** How long a question waits: its way there and back, and a moment for the ledger; half the way round the world when nobody knows the way. */
const waitMsFor = (roundTripMs: number | null, waitMsMin: number): number =>
  Math.max(waitMsMin, Math.min((roundTripMs ?? limits.ledgerWaitMsMax) + limits.ledgerWaitMs, limits.ledgerWaitMsMax))

const chargeOf = (ask: Question['ask'], endpoint: Charge['endpoint']): Charge => ({
  leaseId: ask.leaseId,
  endpoint,
  version: ask.version,
  ...(ask.operation === undefined ? {} : { operation: ask.operation }),
  deadlineMs: ask.deadlineMs,
  why: 'again',
  affinity: ask.affinity ?? null,
})
