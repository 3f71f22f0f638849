// Both halves of probing together in virtual time: core orders, a ledger probes, and many endpoints of one cell are dead or wedged.

import { describe, expect, it } from 'vitest'
import type { ProbeRecord } from '../../../core/facts.ts'
import { foldResults, ordersFor } from '../../../core/probe/probe.ts'
import type { Probed } from '../../../edge/ledger/ports.ts'
import { Probes } from '../../../edge/ledger/probes.ts'
import { cellIdOf, type EndpointId, type ModelName, type RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom } from '../../../shared/random.ts'
import type { EngineRecord } from '../../../shared/wire/probe.ts'
import { endpoint } from '../../support/snapshot.ts'
import { endpointRow } from './loop-world.ts'

const model = 'atlas' as ModelName
const region = 'fra' as RegionName
const cell = cellIdOf(model, region)
const startMs = 1_700_000_000_000
const stepMs = 50

/** A clock and a timer that move together, by steps. */
function virtualTime() {
  let nowMs = startMs
  let sleepers: { readonly atMs: number; readonly wake: () => void }[] = []
  return {
    nowMs: () => nowMs,
    sleep: (forMs: number, signal?: AbortSignal): Promise<void> =>
      new Promise((resolve) => {
        sleepers.push({ atMs: nowMs + forMs, wake: resolve })
        signal?.addEventListener('abort', () => resolve())
      }),
    step: async (): Promise<void> => {
      nowMs += stepMs
      for (const { wake } of sleepers.filter(({ atMs }) => atMs <= nowMs)) wake()
      sleepers = sleepers.filter(({ atMs }) => atMs > nowMs)
      for (let round = 0; round < 12; round++) await Promise.resolve()
    },
  }
}

type Story = {
  readonly living: number
  readonly dead: number
  readonly wedged: number
  readonly forMs: number
  readonly deadUntilMs?: number
}
type Moment = { readonly atMs: number; readonly records: ReadonlyMap<EndpointId, ProbeRecord> }

/** What core knew after each turn. Living servers answer in 50 ms, dead ones never, wedged ones all but a question for a token. */
async function play({ living, dead, wedged, forMs, deadUntilMs = Infinity }: Story): Promise<readonly Moment[]> {
  const time = virtualTime()
  const names = [
    ...Array.from({ length: dead }, (_, index) => `dead-${index}`),
    ...Array.from({ length: wedged }, (_, index) => `wedged-${index}`),
    ...Array.from({ length: living }, (_, index) => `living-${index}`),
  ]
  const random = seededRandom(7)
  const rows = names.map((name) => endpointRow(name))
  const endpoints = names.map((name) => endpoint(name, region, { url: `http://${name}` }))
  const probes = new Probes({
    clock: time,
    timer: time,
    prober: {
      probe: async ({ kind }, { id }, _notes, signal): Promise<Probed> => {
        const isSilent =
          (id.startsWith('dead') && time.nowMs() < startMs + deadUntilMs) || (id.startsWith('wedged') && kind === 'generation')
        await time.sleep(isSilent ? Infinity : kind === 'generation' ? 500 : 50, signal)
        const engine = kind === 'metrics' ? ({ source: 'vllm' } as EngineRecord) : null
        return { ok: !isSilent, detail: '', engine }
      },
    },
  })
  const moments: Moment[] = []
  let records: ReadonlyMap<EndpointId, ProbeRecord> = new Map()
  for (let nextTurnMs = startMs; time.nowMs() < startMs + forMs; await time.step()) {
    if (time.nowMs() < nextTurnMs) continue
    nextTurnMs += limits.turnMs
    const nowMs = time.nowMs()
    const alive = new Map([[cell, { sinceMs: startMs, answeredAtMs: nowMs }]])
    const known = { records, keptLiveness: {}, alive, lastGoodAtMs: new Map(), nowMs }
    const ordered = ordersFor({ endpoints: rows, ...known }, random)
    records = foldResults(ordered.records, probes.exchange(ordered.orders.get(cell) ?? [], endpoints), nowMs)
    moments.push({ atMs: nowMs - startMs, records })
  }
  return moments
}

const of = ({ records }: Moment, kind: string): readonly ProbeRecord[] =>
  [...records].filter(([id]) => id.startsWith(kind)).map(([, record]) => record)
const isDead = ({ liveness }: ProbeRecord): boolean => liveness.state === 'unhealthy'
const isWell = ({ liveness, generationBad }: ProbeRecord): boolean => liveness.bad === 0 && generationBad === 0

/** When all of a kind have become so for good; Infinity when they have not. */
function sinceMs(moments: readonly Moment[], kind: string, isSo: (record: ProbeRecord, atMs: number) => boolean): number {
  const last = moments.findLast((moment) => !of(moment, kind).every((record) => isSo(record, moment.atMs)))
  if (last === moments.at(-1)) return Infinity
  return last ? last.atMs + limits.turnMs : 0
}
const isMeasured = ({ engine }: ProbeRecord, atMs: number): boolean =>
  engine !== null && startMs + atMs - engine.atMs < limits.engineFreshMs

describe('a cell of twenty', () => {
  it('whose servers are all well knows that within seconds, and their load ever after', async () => {
    const moments = await play({ living: 20, dead: 0, wedged: 0, forMs: 60_000 })
    expect(sinceMs(moments, 'living', ({ liveness }) => liveness.state === 'healthy')).toBeLessThanOrEqual(2_000)
    expect(sinceMs(moments, 'living', isMeasured)).toBeLessThanOrEqual(5_000)
    expect(sinceMs(moments, 'living', isWell)).toBe(0)
  })

  it('where some are dead and some are wedged: each is known in its time, and the living are measured all the while', async () => {
    const moments = await play({ living: 14, dead: 4, wedged: 2, forMs: 90_000 })
    expect(sinceMs(moments, 'dead', isDead)).toBeLessThanOrEqual(30_000)
    expect(sinceMs(moments, 'wedged', ({ generationBad }) => generationBad > 0)).toBeLessThanOrEqual(45_000)
    expect(sinceMs(moments, 'living', isMeasured)).toBeLessThanOrEqual(5_000)
    expect(sinceMs(moments, 'living', isWell)).toBe(0)
  })

  it('that is dead as a whole: it is known, and so is that it is back', async () => {
    const moments = await play({ living: 0, dead: 20, wedged: 0, forMs: 180_000, deadUntilMs: 90_000 })
    const before = moments.filter(({ atMs }) => atMs < 90_000)
    expect(sinceMs(before, 'dead', isDead)).toBeLessThanOrEqual(60_000)
    expect(sinceMs(moments, 'dead', ({ liveness }) => liveness.state === 'healthy')).toBeLessThanOrEqual(105_000)
  })
})

describe('a cell of ninety, a third of it dead', () => {
  it('the living are never taken for dead nor forgotten', async () => {
    const moments = await play({ living: 60, dead: 30, wedged: 0, forMs: 150_000 })
    expect(sinceMs(moments, 'living', isWell)).toBe(0)
    expect(sinceMs(moments, 'living', isMeasured)).toBeLessThanOrEqual(30_000)
    expect(sinceMs(moments, 'living', ({ generationGoodAtMs }) => generationGoodAtMs !== null)).toBeLessThanOrEqual(45_000)
    expect(sinceMs(moments, 'dead', isDead)).toBeLessThanOrEqual(120_000)
  })
})
