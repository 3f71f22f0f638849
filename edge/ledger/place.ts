// The place a request gets at this moment: an endpoint with room, by strategy and affinity, and leases ahead for the next ones. Pure but
// for the state it is given.

import { limits } from '../../shared/limits.ts'
import type { EndpointId, LeaseId } from '../../shared/ids.ts'
import type { Ask, AskAnswer, Credit, Denial, Granted, News, Purpose } from '../../shared/wire/ledger.ts'
import { countArrival } from './blocks.ts'
import { count as countAttempt, mayHedge, mayRetry } from './budget.ts'
import { stickyElsewhere } from './elsewhere.ts'
import { grant, leaseCount } from './leases.ts'
import { candidatesOf, isWithheld, type Member } from './members.ts'
import { considered, pick, type Candidate, type Picked, type Rule } from './pick.ts'
import { matchedBlocks, remember } from './prefix-index.ts'
import { queueLength } from './queue.ts'
import { p95Ms } from './speed.ts'
import { classOf, inPanic, modelOf, useOf, type Book, type Moment } from './state.ts'
import { isUnserved } from './withdrawal.ts'

/** What is answered, apart from the news that every answer brings. */
export type Decision = Partial<Omit<AskAnswer, keyof News>>

const purposeOf = (asked: Ask): Purpose => asked.purpose ?? 'first'

/**
 * Second attempts only within the budget, and counted when they are asked for: many may wait at once. First ones count when they are
 * granted, for what never reached an endpoint earns no second attempt.
 */
export function spend(book: Book, asked: Ask, members: readonly Member[], nowMs: number): Denial | null {
  const purpose = purposeOf(asked)
  if (purpose === 'retry' && !mayRetry(book.budget, nowMs)) return 'retry_budget'
  if (purpose === 'hedge' && !mayHedge(book.budget, nowMs, useOf(book, members, nowMs))) return 'hedge_budget'
  if (purpose !== 'first') countAttempt(book.budget, purpose, nowMs)
  if (purpose === 'first' && !asked.spilledFrom && asked.origin !== undefined) countArrival(book.blocks, asked.origin, 1)
  return null
}

/** What there is for a request at this moment: a decision, or else the candidates it would have to wait for. */
export type Place = { readonly candidates: readonly Candidate[]; readonly decision: Decision | null }

/** What was considered, for whoever asked to be told. */
export const explained = (asked: Ask, candidates: readonly Candidate[], picked: EndpointId | null): Pick<Decision, 'considered'> =>
  asked.explain ? { considered: considered(candidates, picked, asked.avoid) } : {}

export function placeFor(book: Book, asked: Ask, members: readonly Member[], moment: Moment): Place {
  const { snapshot, nowMs, random } = moment
  const model = modelOf(book)
  const affinity = asked.affinity ?? null
  const choices = members.filter((member) => !isWithheld(member))
  const candidates = candidatesOf(choices, { snapshot, leases: book.leases, promptTokensOf: tokensOf(book, asked) }, nowMs)
  const panic = candidates.some((each) => each.out) && inPanic(book, snapshot, asked.version, nowMs)
  const rule: Rule = { strategy: model?.strategy ?? 'least-latency', affinity, panic, second: purposeOf(asked) !== 'first' }
  const open = candidates.filter(({ id }) => !asked.avoid.includes(id))
  const usable = open.filter((each) => !each.out || panic)
  const decided = (decision: Decision | null): Place => ({ candidates: usable, decision })
  if (usable.length === 0) return decided({ denied: 'no_healthy_endpoint', ...explained(asked, candidates, null) })
  if (leaseCount(book.leases) >= limits.leasesMax) return decided({ denied: 'no_room' })
  const picked = pick(open, rule, book.turns, random)
  if (!picked) return decided(null)
  const seen = explained(asked, candidates, picked.id)
  const chosen = open.find(({ id }) => id === picked.id)
  const elsewhere = affinity && stickyElsewhere(book, asked, chosen?.prefillMs ?? 0, moment)
  if (elsewhere) return decided({ spill: { cell: elsewhere }, ...seen })
  const lease = give(book, asked, { ...picked, onTrial: chosen?.onTrial ?? false }, nowMs)
  const credits = aheadFor(book, asked, { choices, rule }, moment)
  return decided({ lease, ...(credits.length > 0 ? { credits } : {}), ...seen })
}

/**
 * A place for a copy that reaches nobody: only while plenty of the version's places are free and nobody waits; elsewhere it is denied at once.
 * It is neither queued nor sent on, gets no leases ahead, and counts neither as demand nor for second attempts.
 */
export function copyFor(book: Book, asked: Ask, members: readonly Member[], moment: Moment): Decision {
  if (queueLength(book.queue) > 0 || freeShareOf(book, members, moment) < limits.shadowFreeShareMin) return { denied: 'no_room' }
  const { decision } = placeFor(book, { ...asked, credits: 0, spilledFrom: book.cell }, members, moment)
  return decision ?? { denied: 'no_room' }
}

/** Part of the places that may be used now and are free; none where nobody may be used. */
function freeShareOf(book: Book, members: readonly Member[], { snapshot, nowMs }: Moment): number {
  const choices = members.filter((member) => !isWithheld(member))
  const view = { snapshot, leases: book.leases, promptTokensOf: () => null }
  const usable = candidatesOf(choices, view, nowMs).filter(({ out }) => !out)
  const places = usable.reduce((sum, { cap }) => sum + cap, 0)
  const free = usable.reduce((sum, { cap, inFlight }) => sum + Math.max(0, cap - inFlight), 0)
  return places > 0 ? free / places : 0
}

/** Tokens of the prompt that an endpoint has not seen, by its blocks; null where the blocks tell nothing. */
const tokensOf = (book: Book, asked: Ask) => (endpoint: EndpointId) => {
  const blocks = asked.affinity?.blocks ?? []
  return blocks.length === 0 ? null : (blocks.length - matchedBlocks(book.turns.prefixes, endpoint, blocks)) * limits.prefixBlockTokens
}

function give(book: Book, asked: Ask, picked: Picked & { readonly onTrial: boolean }, nowMs: number): Granted {
  const { version, operation = null, deadlineMs } = asked
  const trial = picked.onTrial ? { trial: true } : {}
  grant(book.leases, asked.leaseId, { endpoint: picked.id, deadlineMs, version, operation, kind: 'granted', sinceMs: nowMs, ...trial })
  if (purposeOf(asked) === 'first' && !asked.shadow) countAttempt(book.budget, 'first', nowMs)
  if (asked.affinity && asked.affinity.blocks.length > 0) remember(book.turns.prefixes, picked.id, asked.affinity.blocks)
  const hedgeAfterMs = asked.purpose === 'hedge' || asked.shadow ? null : hedgeAfter(book, asked, nowMs)
  return { endpoint: picked.id, affinity: picked.affinity, hedgeAfterMs }
}

/** When a second copy would be worth it: after the 95th percentile of its class, where the model allows it and calls are short. */
function hedgeAfter(book: Book, asked: Ask, nowMs: number): number | null {
  if (!modelOf(book)?.hedging) return null
  const times = book.classes.get(classOf(asked.version, asked.operation ?? null))
  // The percentile sorts: it comes last, when nothing else says no.
  if (!times || !mayHedge(book.budget, nowMs, useOf(book, [...book.members.values()], nowMs))) return null
  const ms = p95Ms(times)
  return ms !== null && ms <= limits.hedgeTookMsMax ? ms : null
}

type Ahead = { readonly choices: readonly Member[]; readonly rule: Rule }

/** Leases ahead, out of what is free and nobody waits for. */
function aheadFor(book: Book, asked: Ask, { choices, rule }: Ahead, { snapshot, nowMs, random }: Moment): readonly Credit[] {
  const wanted = Math.min(asked.credits ?? 0, limits.creditsMax)
  if (wanted <= 0 || asked.affinity || queueLength(book.queue) > 0 || isUnserved(book.aliases, asked)) return []
  const view = { snapshot, leases: book.leases, promptTokensOf: () => null }
  const credits: Credit[] = []
  for (let number = 0; number < wanted; number++) {
    // Those on trial take one request at a time, and a credit may never become one.
    const candidates = candidatesOf(choices, view, nowMs).filter((each) => !each.onTrial && !each.out)
    const free = candidates.reduce((sum, each) => sum + Math.max(0, each.cap - each.inFlight), 0)
    if (free * limits.creditFreeShare < number + 1) return credits
    const picked = pick(candidates, { ...rule, affinity: null, panic: false }, book.turns, random)
    if (!picked) return credits
    const leaseId = `${asked.leaseId}+${number}` as LeaseId
    const expiresAtMs = nowMs + limits.creditMs
    const { version, operation = null } = asked
    grant(book.leases, leaseId, { endpoint: picked.id, deadlineMs: expiresAtMs, version, operation, kind: 'credit', sinceMs: nowMs })
    credits.push({ leaseId, endpoint: picked.id, expiresAtMs })
  }
  return credits
}
