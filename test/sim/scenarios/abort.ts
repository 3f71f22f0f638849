// A canary of half the traffic is taken back while snapshots are on their ways: some are lost and told again a turn later, some come a second
// time when newer ones are there. Isolates and ledgers are the project's own (edge/adapters/snapshots.ts, edge/ledger/book.ts); between them
// stand ways that take time. What an isolate holds to is the policy's; the world only asks it.

import { versionFor } from '../../../edge/admit/assign.ts'
import { emptySnapshotMemory, snapshots } from '../../../edge/adapters/snapshots.ts'
import { ask, newBook, report, take, type Book } from '../../../edge/ledger/book.ts'
import type { CellId, LeaseId, OriginName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom, type Random } from '../../../shared/random.ts'
import { diff } from '../../../shared/wire/delta.ts'
import type { News, SnapshotAnswer } from '../../../shared/wire/ledger.ts'
import type { Alias, Snapshot } from '../../../shared/wire/snapshot.ts'
import { aliasNameOf } from '../../../shared/wire/trial.ts'
import { heldTime, type HeldTime } from '../../support/held-time.ts'
import { alias, endpoint, model, snapshotOf, version as stable } from '../../support/snapshot.ts'

export const isolates = 400
const perSecond = 20
/** The busy ones share half of the requests; each of the others has one in forty seconds. */
const busyIsolates = 10
const regions = ['r0', 'r1', 'r2', 'r3'] as const
export const abortAtMs = 20_000
const endAtMs = 50_000
const canary = 'atlas-3' as VersionId

/** Ways and mishaps. Times in milliseconds. */
const homeMs = { least: 2, most: 20 }
const ledgerMs = { least: 10, most: 150 }
const tellMs = { least: 5, most: 100 }
const homeLost = 0.01
const toldLost = 0.05
const toldTwice = 0.1
const twiceAfterMs = 3_000
const serviceMs = 1_000
/** Half of the requests set out without asking their ledger. */
const asking = 0.5

/** How an isolate comes by the snapshot that it assigns by. */
export type Holder = {
  /** For a request that has just come. */
  readonly current: () => Promise<Snapshot>
  readonly learn: (news: News) => void
  /** The one at hand, when it is newer than what a request was assigned by. */
  readonly newest: (known: Snapshot) => Snapshot | null
}
export type HolderMaker = (home: (generation: number) => Promise<SnapshotAnswer>, first: Snapshot, world: World) => Holder

type World = { readonly time: HeldTime; readonly random: Random }

/** The project's own. `home` may be cut off, so that only answers bring news. */
export const own =
  ({ checks }: { readonly checks: boolean }): HolderMaker =>
  (home, first, { time }) => {
    const memory = { ...emptySnapshotMemory(), snapshot: first }
    const port = snapshots(memory, {
      home: () => ({ snapshotSince: (generation) => (checks ? home(generation) : new Promise(() => undefined)) }),
      kv: { get: () => Promise.resolve(null) },
      signer: () => Promise.resolve(null),
      clock: time.clock,
      timer: time.timer,
      log: () => undefined,
    })
    return { current: async () => (await port.current('enam' as OriginName)) ?? first, learn: port.adopt, newest: port.newest }
  }

/** Asks every so often from some moment on, and listens to nothing else. */
export const polling =
  (everyMs: number): HolderMaker =>
  (home, first, { time, random }) => {
    let held = first
    const turn = async (): Promise<void> => {
      await time.timer.sleep(random() * everyMs)
      while (time.clock.nowMs() < endAtMs) {
        const { snapshot } = await home(held.generation)
        if (snapshot) held = snapshot
        await time.timer.sleep(everyMs)
      }
    }
    void turn()
    return { current: () => Promise.resolve(held), learn: () => undefined, newest: () => null }
  }

/** `version`: null where the request was refused. */
export type Served = { readonly atMs: number; readonly isolate: number; readonly version: VersionId | null }
export type Played = {
  readonly served: readonly Served[]
  /** Leases on the canary that a ledger gave although it knew of the abort. */
  readonly grantedAfter: number
  /** Asks that a ledger turned away because the alias no longer serves the version. */
  readonly withdrawn: number
  /** Times that a ledger, or an isolate, went back to an older snapshot. */
  readonly lowered: number
}

const aliasBefore = alias({ canary, weightBp: 5_000, write: { id: 'r-1' as RolloutId, generation: 7 } })
const aliasAfter: Alias = { ...aliasBefore, weightBp: 0, write: { id: 'r-1' as RolloutId, generation: 8 } }

/** Plays the hour of an abort once. */
export async function playAbort(make: HolderMaker, seed: number): Promise<Played> {
  const time = heldTime(0)
  const random = seededRandom(seed)
  const world = { time, random }
  const first = snapshotOf(
    regions.flatMap((region) => [
      endpoint(`${region}-a`, region, { slots: 64 }),
      endpoint(`${region}-b`, region, { slots: 64, version: canary }),
    ]),
    { aliases: [aliasBefore] },
  )
  const books = regions.map((region) => newBook(`${model}@${region}` as CellId, 'life-1', 0))
  const homes = regions.map((region) => newBook(`home:${region}` as CellId, 'life-1', 0))
  for (const book of [...books, ...homes]) take(book, first)
  const seen = { served: [] as Served[], grantedAfter: 0, withdrawn: 0, lowered: 0 }

  publish(first, [...books, ...homes], homes, world, seen)
  const all = Array.from({ length: isolates }, (_, number) => {
    const place = number % regions.length
    return { number, holder: make(homeOf(homes[place], world), first, world), book: books[place] }
  })
  let lease = 0
  const arrive = async (): Promise<void> => {
    while (time.clock.nowMs() < endAtMs) {
      await time.timer.sleep((-1_000 / perSecond) * Math.log(1 - random()))
      const isBusy = random() < 0.5
      const isolate = all[isBusy ? Math.floor(random() * busyIsolates) : busyIsolates + Math.floor(random() * (isolates - busyIsolates))]
      if (isolate?.book)
        void serve({ isolate: isolate.number, holder: isolate.holder, book: isolate.book, leaseId: `l${lease++}` }, world, seen)
    }
  }
  void arrive()
  await time.advance(endAtMs + 5_000)
  return seen
}

const between = ({ least, most }: { readonly least: number; readonly most: number }, random: Random): number =>
  least + (most - least) * random()

/** Core: something new each two seconds, and at its hour the abort. Ledgers first, homes a moment later, as core tells them. */
function publish(first: Snapshot, all: readonly Book[], homes: readonly Book[], { time, random }: World, seen: { lowered: number }): void {
  const history = [first]
  const tell = async (book: Book, snapshot: Snapshot, afterMs: number): Promise<void> => {
    await time.timer.sleep(afterMs)
    const before = book.snapshot?.generation ?? 0
    const known = history.find(({ generation }) => generation === before)
    const delta = known && snapshot.generation === before + 1 ? diff(known, snapshot) : null
    take(book, snapshot, delta)
    if ((book.snapshot?.generation ?? 0) < before) seen.lowered++
  }
  const turns = async (): Promise<void> => {
    for (let generation = 2; time.clock.nowMs() < endAtMs; generation++) {
      await time.timer.sleep(2_000)
      const publishedAtMs = time.clock.nowMs()
      const aliases = publishedAtMs >= abortAtMs ? [aliasAfter] : [aliasBefore]
      const snapshot: Snapshot = { ...first, generation, publishedAtMs, aliases }
      history.push(snapshot)
      for (const book of all) {
        const headStartMs = homes.includes(book) ? limits.cellsHeadStartMs : 0
        const lostMs = random() < toldLost ? limits.turnMs : 0
        const afterMs = headStartMs + lostMs + between(tellMs, random)
        void tell(book, snapshot, afterMs)
        if (random() < toldTwice) void tell(book, snapshot, afterMs + twiceAfterMs)
      }
    }
  }
  void turns()
}

const homeOf =
  (home: Book | undefined, { time, random }: World) =>
  async (generation: number): Promise<SnapshotAnswer> => {
    await time.timer.sleep(random() < homeLost ? 10 * limits.snapshotCheckMsMax : between(homeMs, random))
    const snapshot = home?.snapshot ?? null
    return { generation: snapshot?.generation ?? 0, snapshot: snapshot && snapshot.generation > generation ? snapshot : null }
  }

type Request = { readonly isolate: number; readonly holder: Holder; readonly book: Book; readonly leaseId: string }

const aliasOf = (snapshot: Snapshot): Alias => snapshot.aliases[0] ?? aliasBefore

/** One request's way, as edge/infer.ts has it: assigned, routed, assigned anew where the ledger's answer brought news. */
async function serve(
  { isolate, holder, book, leaseId }: Request,
  { time, random }: World,
  seen: Played & { served: Served[] } & Counters,
): Promise<void> {
  const atMs = time.clock.nowMs()
  const bucket = Math.floor(random() * 10_000)
  let snapshot = await holder.current()
  let version = versionFor(aliasOf(snapshot), bucket)
  const learn = (news: News): void => {
    const before = holder.newest({ ...snapshot, generation: 0 })?.generation ?? 0
    holder.learn(news)
    if ((holder.newest({ ...snapshot, generation: 0 })?.generation ?? 0) < before) seen.lowered++
  }
  if (random() >= asking) {
    seen.served.push({ atMs, isolate, version })
    await time.timer.sleep(limits.reportEveryMs + between(ledgerMs, random) / 2)
    return learn(report(book, flushOf(book, snapshot), time.clock.nowMs(), random))
  }
  const wayMs = between(ledgerMs, random)
  let held: LeaseId | null = null
  for (let round = 1; round <= limits.roundsMax; round++) {
    await time.timer.sleep(wayMs / 2)
    const nowMs = time.clock.nowMs()
    const id = `${leaseId}.${round}` as LeaseId
    const { generation } = snapshot
    const asked = {
      cell: book.cell,
      leaseId: id,
      version,
      alias: aliasNameOf('development', model),
      deadlineMs: nowMs + 60_000,
      avoid: [],
      generation,
    }
    const answer = ask(book, asked, nowMs, random)
    held = answer.lease ? id : null
    if (answer.denied === 'withdrawn') seen.withdrawn++
    if (answer.lease && version === canary && aliasOf(book.snapshot ?? snapshot).weightBp === 0) seen.grantedAfter++
    await time.timer.sleep(wayMs / 2)
    learn(answer)
    const newer = holder.newest(snapshot)
    const assigned = newer ? versionFor(aliasOf(newer), bucket) : version
    snapshot = newer ?? snapshot
    if (assigned === version) break
    // It was routed for the other version: what it was given goes back, and it is routed anew.
    if (held) report(book, flushOf(book, snapshot, held), time.clock.nowMs(), random)
    held = null
    version = assigned
  }
  seen.served.push({ atMs, isolate, version: held ? version : null })
  await time.timer.sleep(serviceMs)
  learn(report(book, flushOf(book, snapshot, held), time.clock.nowMs(), random))
}

type Counters = { grantedAfter: number; withdrawn: number; lowered: number }

/** What comes back with a report, and what the report says of a lease that has ended. */
const flushOf = (book: Book, { generation }: Snapshot, ended: LeaseId | null = null) => ({
  cell: book.cell,
  generation,
  loadsSeq: 0,
  report: { settled: ended ? [{ leaseId: ended, outcome: 'good' as const, ttfbMs: null }] : [], charges: [] },
})

/** The part of the requests that came from this time on, within `forMs`, and that stable served. */
export function stableShare(played: readonly Played[], fromMs: number, forMs: number): number {
  const within = played.flatMap(({ served }) => served).filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + forMs)
  return within.filter(({ version }) => version === stable).length / within.length
}

/** The part of the isolates whose first request from this time on stable served. */
export function isolatesOnStable(played: readonly Played[], fromMs: number): number {
  const firsts = played.flatMap(({ served }) => {
    const byIsolate = Map.groupBy(
      served.filter(({ atMs }) => atMs >= fromMs).toSorted((a, b) => a.atMs - b.atMs),
      ({ isolate }) => isolate,
    )
    return [...byIsolate.values()].flatMap(([first]) => (first ? [first] : []))
  })
  return firsts.filter(({ version }) => version === stable).length / firsts.length
}
