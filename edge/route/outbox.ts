// What an isolate has to tell one ledger: leases that came back, requests on their way without having asked, counts. Plain data without a
// clock. It is taken out for a call and put back when the call failed, so that nothing is lost or told twice; beyond its bound the oldest go.

import { limits } from '../../shared/limits.ts'
import type { LeaseId, OriginName } from '../../shared/ids.ts'
import type { Charge, Report, Settled } from '../../shared/wire/ledger.ts'
import { sumUp, type TrialSums } from '../../shared/wire/tally.ts'
import { identityOf, type TrialTally } from '../../shared/wire/trial.ts'

type Entry = { readonly charge: Charge } | { readonly settled: Settled }

export type Outbox = {
  /** In the order in which they happened: a charge must never travel after the end of its lease. */
  entries: Entry[]
  readonly arrivals: Map<OriginName, number>
  readonly ways: Map<string, number>
  /** The smallest since the last report: what came on top was not the way's fault. */
  readonly roundTrips: Map<OriginName, number>
  /** What versions did, summed. */
  readonly trials: TrialSums
  /** Identities of trials that a report has which is on its way. Theirs wait: a judgement must never be told before its arrival. */
  readonly trialsAway: Set<string>
}

export const emptyOutbox = (): Outbox => ({
  entries: [],
  arrivals: new Map(),
  ways: new Map(),
  roundTrips: new Map(),
  trials: new Map(),
  trialsAway: new Set(),
})

export function put(outbox: Outbox, entry: Entry): void {
  outbox.entries.push(entry)
  if (outbox.entries.length > limits.reportsHeldMax) outbox.entries.shift()
}

export const count = <Key>(counts: Map<Key, number>, key: Key, by = 1): void => void counts.set(key, (counts.get(key) ?? 0) + by)

export function noteRoundTrip(outbox: Outbox, origin: OriginName, ms: number): void {
  outbox.roundTrips.set(origin, Math.min(ms, outbox.roundTrips.get(origin) ?? ms))
}

/** Adds up what a version did. Of too many identities those of the oldest slot go, and are counted nowhere. */
export const putTrial = (outbox: Outbox, tally: TrialTally): void => sumUp(outbox.trials, tally, limits.trialsHeldMax)

/** Takes out what fits into one call; null when there is nothing to tell. What becomes of the report is told to `arrived` or `putBack`. */
export function takeReport(outbox: Outbox): Report | null {
  const { arrivals, ways, roundTrips } = outbox
  const entries = outbox.entries.splice(0, limits.settledMax)
  const trials = takeTrials(outbox)
  if (entries.length + arrivals.size + ways.size + roundTrips.size + trials.length === 0) return null
  const report: Report = {
    settled: entries.flatMap((entry) => ('settled' in entry ? [entry.settled] : [])),
    charges: entries.flatMap((entry) => ('charge' in entry ? [entry.charge] : [])),
    arrivals: Object.fromEntries(arrivals),
    roundTrips: [...roundTrips].map(([origin, ms]) => ({ origin, ms })),
    ways: Object.fromEntries(ways),
    ...(trials.length > 0 ? { trials } : {}),
  }
  for (const counts of [arrivals, ways, roundTrips]) counts.clear()
  return report
}

function takeTrials({ trials, trialsAway }: Outbox): readonly TrialTally[] {
  const taken: TrialTally[] = []
  for (const [identity, tally] of trials) {
    if (trialsAway.has(identity)) continue
    taken.push(tally)
    trials.delete(identity)
    trialsAway.add(identity)
  }
  // Of a call that the platform has ended nobody tells: the oldest are believed to be over, or theirs would wait for ever.
  for (const identity of trialsAway) {
    if (trialsAway.size <= limits.trialsHeldMax) break
    trialsAway.delete(identity)
  }
  return taken
}

/** The report has arrived: whether trials have waited for that, and nobody has yet seen to it that they leave. */
export function arrived({ trials, trialsAway }: Outbox, report: Report): boolean {
  let haveWaited = false
  for (const tally of report.trials ?? []) {
    const identity = identityOf(tally)
    trialsAway.delete(identity)
    if (trials.has(identity)) haveWaited = true
  }
  return haveWaited
}

/**
 * Puts a report back that did not arrive. Charges of leases that have ended, and whose end was told by another call meanwhile, are left out: coming
 * after it they would hold their place until the deadline.
 */
export function putBack(outbox: Outbox, report: Report, isLive: (lease: LeaseId) => boolean): void {
  const unsaid = new Set(outbox.entries.flatMap((entry) => ('settled' in entry ? [entry.settled.leaseId] : [])))
  for (const { leaseId } of report.settled) unsaid.add(leaseId)
  const charges = report.charges.filter(({ leaseId }) => isLive(leaseId) || unsaid.has(leaseId))
  const back = [...charges.map((charge) => ({ charge })), ...report.settled.map((settled) => ({ settled }))]
  outbox.entries = [...back, ...outbox.entries].slice(-limits.reportsHeldMax)
  for (const [origin, times] of Object.entries(report.arrivals ?? {})) count(outbox.arrivals, origin as OriginName, times)
  for (const [way, times] of Object.entries(report.ways ?? {})) count(outbox.ways, way, times)
  for (const { origin, ms } of report.roundTrips ?? []) noteRoundTrip(outbox, origin, ms)
  for (const tally of report.trials ?? []) {
    outbox.trialsAway.delete(identityOf(tally))
    putTrial(outbox, tally)
  }
}
