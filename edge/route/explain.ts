// What a request's way looked like, for callers who ask. Only collects: nothing here decides anything, and nobody else pays for it.

import { mayServe, staysWithin, type Share, type Snapshot } from '../../shared/wire/snapshot.ts'
import type { CellId } from '../../shared/ids.ts'
import type { CellLoad } from '../../shared/wire/loads.ts'
import type { Affinity, Granted } from '../../shared/wire/ledger.ts'
import type { AskExplained, Attempt, CellExplained, Explainer, Explanation, RoundExplained } from '../facts.ts'
import type { Need } from './cell.ts'

type Draft = { -readonly [Field in keyof RoundExplained]: RoundExplained[Field] }

/** A collector and what it has collected. */
export function explainer(): Explainer & { readonly told: (attempts: readonly Attempt[]) => Explanation } {
  const rounds: Draft[] = []
  const last = (): Draft | undefined => rounds.at(-1)
  return {
    round: (round) => void rounds.push({ ...round, asks: [], spill: null, affinity: null, way: null, endpoint: null, lease: null }),
    ask: (ask: AskExplained) => {
      const round = last()
      if (round) round.asks = [...round.asks, ask]
    },
    spill: (from, to) => {
      const round = last()
      if (round) round.spill = { from, to }
    },
    found: ({ way, endpoint, lease }, affinity) => {
      const round = last()
      if (round) Object.assign(round, { way, endpoint: endpoint.id, lease, affinity })
    },
    told: (attempts) => ({
      rounds,
      attempts: attempts.map(({ endpoint, outcome, tookMs, detail }) => ({ endpoint, outcome, tookMs, detail })),
    }),
  }
}

export type CellsSeen = {
  readonly snapshot: Snapshot
  readonly row: readonly Share[]
  readonly need: Need
  /** In the order in which they are tried. */
  readonly candidates: readonly CellId[]
  readonly isSticky: boolean
  readonly loadOf: (cell: CellId) => CellLoad | null
}

/** Every cell that serves the version or stands in the row, with its parts and why it lost. */
export function explainCells({ snapshot, row, need, candidates, isSticky, loadOf }: CellsSeen): readonly CellExplained[] {
  const isInside = staysWithin(snapshot, need.residency)
  const ofVersion = snapshot.endpoints.filter(({ version }) => version === need.version)
  const cells = new Set([...candidates, ...row.map(({ cell }) => cell), ...ofVersion.map(({ cell }) => cell)])
  const whyLost = (cell: CellId, fraction: number): string | null => {
    if (cell === candidates[0]) return null
    if (candidates.includes(cell)) return fraction > 0 ? (isSticky ? 'the key belongs to another cell' : 'not drawn') : 'no fraction'
    const here = ofVersion.filter((endpoint) => endpoint.cell === cell)
    if (here.length === 0) return 'no endpoint of the version'
    if (here.every(({ region }) => !isInside(region))) return `outside ${need.residency}`
    if (!here.some(mayServe)) return 'no endpoint may serve'
    return 'no endpoint left that can do it'
  }
  return [...cells].map((cell) => {
    const share = row.find((each) => each.cell === cell)
    const load = loadOf(cell)
    const [waitMs, blindWaitMs, ttftMs] = [tenths(load?.waitMs), tenths(load?.blindWaitMs), tenths(load?.ttftMs)]
    const roundTripMs = tenths(share?.roundTripMs)
    const fraction = share?.fraction ?? 0
    const predictedMs = roundTripMs === null || waitMs === null || ttftMs === null ? null : roundTripMs + waitMs + ttftMs
    return { cell, fraction, roundTripMs, waitMs, blindWaitMs, ttftMs, predictedMs, lost: whyLost(cell, fraction) }
  })
}

/** Nobody can tell finer times apart. */
const tenths = (ms: number | null | undefined): number | null => (typeof ms === 'number' ? Math.round(ms * 10) / 10 : null)

/** Whether the key's endpoint or cell was kept, in words. `ledger` is its own account; absent when it was not asked. */
export function explainAffinity(kin: Affinity | null, granted: Granted | null, wasSpilled: boolean): RoundExplained['affinity'] {
  if (!kin) return null
  const { kind } = kin
  if (wasSpilled) return { kind, kept: false, why: 'its cell sent the request on to one that is sooner' }
  if (!granted) return { kind, kept: true, why: 'the key’s endpoint of its cell, without asking' }
  if (granted.affinity === 'left') return { kind, kept: false, why: 'its endpoint has more than its share, or is much later than another' }
  return granted.affinity ? { kind, kept: true, why: 'the ledger kept it' } : { kind, kept: false, why: 'no endpoint knows it yet' }
}
