// An abort reaches traffic: within three seconds of being told to the ledgers 99 of 100 new requests go to stable, of 400 isolates most of
// which have a request in forty seconds; and no request fails for it. Whatever comes late, twice or not at all, nobody goes back to an older
// snapshot.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { emptySnapshotMemory, snapshots } from '../../edge/adapters/snapshots.ts'
import { newBook, take } from '../../edge/ledger/book.ts'
import type { CellId } from '../../shared/ids.ts'
import { diff, type Delta } from '../../shared/wire/delta.ts'
import type { Snapshot } from '../../shared/wire/snapshot.ts'
import { heldTime } from '../support/held-time.ts'
import { alias, endpoint, snapshotOf } from '../support/snapshot.ts'
import { abortAtMs, isolatesOnStable, own, playAbort, polling, stableShare, type HolderMaker, type Played } from './scenarios/abort.ts'

const seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
const playAll = (make: HolderMaker): Promise<readonly Played[]> => Promise.all(seeds.map((seed) => playAbort(make, seed)))
const shareMin = 0.99
const afterMs = abortAtMs + 3_000

describe('an abort at 20 requests a second', async () => {
  const ours = await playAll(own({ checks: true }))
  const everyTenSeconds = await playAll(polling(10_000))
  const byAnswersAlone = await playAll(own({ checks: false }))

  it('until then the canary has its half', () => {
    expect(Math.abs(stableShare(ours, 0, abortAtMs) - 0.5)).toBeLessThan(0.03)
  })

  it('from three seconds on 99 of 100 new requests are on stable', () => {
    expect(stableShare(ours, afterMs, 10_000)).toBeGreaterThanOrEqual(shareMin)
    expect(stableShare(everyTenSeconds, afterMs, 10_000)).toBeLessThan(shareMin)
    expect(stableShare(byAnswersAlone, afterMs, 10_000)).toBeLessThan(shareMin)
  })

  it('and so are 99 of 100 isolates with their first request, also those that were quiet', () => {
    expect(isolatesOnStable(ours, afterMs)).toBeGreaterThanOrEqual(shareMin)
    expect(isolatesOnStable(everyTenSeconds, afterMs)).toBeLessThan(shareMin)
    expect(isolatesOnStable(byAnswersAlone, afterMs)).toBeLessThan(shareMin)
  })

  it('no ledger that knows of it gives another lease on the canary, though isolates still ask for one', () => {
    for (const played of [ours, everyTenSeconds, byAnswersAlone]) {
      expect(played.reduce((sum, { grantedAfter }) => sum + grantedAfter, 0)).toBe(0)
      expect(played.reduce((sum, { withdrawn }) => sum + withdrawn, 0)).toBeGreaterThan(0)
    }
  })

  it('no request fails for it: the answer that turns it away says where to go', () => {
    const refused = (played: readonly Played[]): number =>
      played.flatMap(({ served }) => served.filter(({ version }) => version === null)).length
    expect(refused(ours)).toBe(0)
    expect(refused(everyTenSeconds)).toBeGreaterThan(0)
  })

  it('nobody went back to an older snapshot', () => {
    expect(ours.reduce((sum, { lowered }) => sum + lowered, 0)).toBe(0)
  })
})

describe('snapshots that come in any order, twice, or not at all', () => {
  const first = snapshotOf([endpoint('a', 'r0')])
  const history: readonly Snapshot[] = Array.from({ length: 12 }, (_, index) => {
    const generation = index + 1
    return { ...first, generation, publishedAtMs: generation, aliases: [alias({ salt: `salt-${generation}` })] }
  })
  const at = (generation: number): Snapshot => history[generation - 1] ?? first

  /** A whole snapshot, or the changes from one generation to a later one. */
  type Told = { readonly whole: number } | { readonly from: number; readonly to: number }
  const told: fc.Arbitrary<Told> = fc.oneof(
    fc.integer({ min: 1, max: 12 }).map((whole) => ({ whole })),
    fc
      .tuple(fc.integer({ min: 1, max: 11 }), fc.integer({ min: 1, max: 3 }))
      .map(([from, steps]) => ({ from, to: Math.min(12, from + steps) })),
  )
  const newsOf = (each: Told) => {
    if ('whole' in each) return { generation: each.whole, snapshot: at(each.whole), deltas: [] }
    const deltas = Array.from({ length: each.to - each.from }, (_, index) => diff(at(each.from + index), at(each.from + index + 1)))
    return { generation: each.to, snapshot: null, deltas: deltas.filter((delta): delta is Delta => delta !== null) }
  }
  type Reader = { readonly take: (news: ReturnType<typeof newsOf>) => void; readonly held: () => Snapshot | null }

  function isolate(): Reader {
    const memory = emptySnapshotMemory()
    const { clock, timer } = heldTime()
    const nowhere = { home: () => ({ snapshotSince: () => Promise.reject(new Error('away')) }), kv: { get: () => Promise.resolve(null) } }
    const port = snapshots(memory, { ...nowhere, signer: () => Promise.resolve(null), clock, timer, log: () => undefined })
    return { take: port.adopt, held: () => memory.snapshot }
  }

  function ledger(): Reader {
    const book = newBook('atlas@r0' as CellId, 'life-1', 0)
    return { take: ({ snapshot }) => snapshot && take(book, snapshot), held: () => book.snapshot }
  }

  /** Holds to whatever came last. */
  function lastOne(): Reader {
    let held: Snapshot | null = null
    return { take: ({ snapshot }) => void (held = snapshot ?? held), held: () => held }
  }

  /** Whether it never went back, and always holds a snapshot as it was published. */
  function isSteady(make: () => Reader, order: readonly Told[]): boolean {
    const reader = make()
    let highest = 0
    for (const each of order) {
      reader.take(newsOf(each))
      const held = reader.held()
      if ((held?.generation ?? 0) < highest) return false
      if (held && JSON.stringify(held) !== JSON.stringify(at(held.generation))) return false
      highest = held?.generation ?? 0
    }
    const wholes = order.flatMap((each) => ('whole' in each ? [each.whole] : []))
    return highest >= Math.max(0, ...wholes)
  }

  it.each([
    ['an isolate', isolate],
    ['a ledger', ledger],
  ])('%s never goes back, ends with the newest that it was given, and holds nothing that was never published', (_, make) => {
    fc.assert(
      fc.property(fc.array(told, { maxLength: 40 }), (order) => {
        expect(isSteady(make, order)).toBe(true)
      }),
    )
  })

  it('where whoever holds to the last one goes back', () => {
    expect(isSteady(lastOne, [{ whole: 3 }, { whole: 2 }])).toBe(false)
  })
})
