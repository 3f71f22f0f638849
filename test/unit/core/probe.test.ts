import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CatalogueEndpoint, Liveness, ProbeRecord } from '../../../core/facts.ts'
import { isDue, nextProbeAtMs, probesOf, type Alive, type Hearing } from '../../../core/probe/due.ts'
import { livenessToKeep, observe, unprobed } from '../../../core/probe/liveness.ts'
import { foldResults, ordersFor, type Ordered, type Probing } from '../../../core/probe/probe.ts'
import { newRecord } from '../../../core/probe/record.ts'
import { cellIdOf, type CellId, type EndpointId, type ModelName, type RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { EndpointKind, Operation } from '../../../shared/operations.ts'
import { seededRandom } from '../../../shared/random.ts'
import { probeKinds, type EngineRecord, type ProbeKind, type ProbeOrder, type ProbeResult } from '../../../shared/wire/probe.ts'
import { endpointRow, engineRecord } from './loop-world.ts'

const startMs = 1_700_000_000_000
const model = 'atlas' as ModelName
const cell = cellIdOf(model, 'fra' as RegionName)
const id = (name: string) => name as EndpointId

const engine = (so: Partial<EngineRecord> = {}): EngineRecord => engineRecord({ running: 1, waiting: 0, ...so })

const fresh = newRecord(endpointRow('e1'), {})
const seen = (so: object = {}) => ({ atMs: startMs, ok: true, detail: '', ms: 1, warming: false, timedOut: false, ...so })
/** Of a server that answered when it was asked for its health, unless told otherwise. */
const record = (so: Partial<ProbeRecord> = {}): ProbeRecord => ({ ...fresh, last: { liveness: seen() }, ...so })

const heard = (nowMs = startMs, so: Partial<Hearing> = {}): Hearing => ({
  nowMs,
  alive: { sinceMs: 0, answeredAtMs: nowMs },
  lastGoodAtMs: null,
  onTrial: false,
  toWarm: false,
  ...so,
})

describe('the probes of an endpoint', () => {
  it.each<readonly [EndpointKind, readonly Operation[] | null, readonly ProbeKind[]]>([
    ['openai', null, ['liveness', 'metrics', 'generation']],
    ['openai', ['embeddings'], ['liveness', 'metrics', 'generation']],
    ['open_inference', null, ['liveness', 'metrics', 'generation']],
    // Only its owner knows what tensors a model takes.
    ['open_inference', ['infer', 'metadata'], ['liveness', 'metrics']],
    ['anthropic', null, ['generation']],
    ['anthropic', ['count_tokens'], []],
    ['sagemaker', null, ['status', 'generation']],
  ])('%s that does %j: %j', (kind, operations, expected) => {
    expect(probesOf(endpointRow('e1', { kind, operations }))).toEqual(expected)
  })

  it('are those that its row does not switch off', () => {
    expect(probesOf(endpointRow('e1', { options: { generationProbe: 'off', metricsProbe: 'off' } }))).toEqual(['liveness'])
    expect(probesOf(endpointRow('e1', { options: { generationProbe: 'on' } }))).toEqual(['liveness', 'metrics', 'generation'])
    expect(probesOf(endpointRow('e1', { kind: 'anthropic', options: { generationProbe: 'off' } }))).toEqual([])
  })
})

describe('due', () => {
  it.each<readonly [EndpointKind, readonly ProbeKind[]]>([
    ['openai', ['liveness']],
    ['open_inference', ['liveness']],
    // Without a place for health there is nothing to wait for.
    ['anthropic', ['generation']],
    ['sagemaker', ['generation', 'status']],
  ])('of an endpoint of kind %s never seen before is at once: %j', (kind, expected) => {
    const endpoint = endpointRow('e1', { kind })
    const due = probeKinds.filter((probe) => probesOf(endpoint).includes(probe) && isDue(probe, newRecord(endpoint, {}), heard()))
    expect(due).toEqual(expected)
  })

  it('is everything else as soon as the server answers for its health', () => {
    for (const kind of probeKinds) expect(isDue(kind, record(), heard()), kind).toBe(true)
  })

  it.each<readonly [string, ProbeKind, Partial<ProbeRecord>, Partial<Hearing>, boolean]>([
    ['its time has come', 'liveness', { nextAtMs: { liveness: startMs } }, {}, true],
    ['its time has not come', 'liveness', { nextAtMs: { liveness: startMs + 1 } }, {}, false],
    ['another kind has its time to come', 'liveness', { nextAtMs: { metrics: startMs + 1 } }, {}, true],
    ['the ledger does not answer: it may soon', 'liveness', {}, { alive: null }, true],
    ['the server did not answer for its health', 'liveness', { last: { liveness: seen({ ok: false }) } }, {}, true],
    ['the server did not answer for its health', 'metrics', { last: { liveness: seen({ ok: false }) } }, {}, false],
    ['the server did not answer for its health', 'generation', { last: { liveness: seen({ ok: false }) } }, {}, false],
    ['the service is creating it', 'generation', { kind: 'sagemaker', last: { status: seen({ ok: false, warming: true }) } }, {}, false],
    ['the service will not say', 'generation', { kind: 'sagemaker', last: { status: seen({ ok: false }) } }, {}, true],
    ['the engine sleeps', 'generation', { engine: { atMs: startMs, record: engine({ sleeping: true }) } }, {}, false],
    ['the engine is awake', 'generation', { engine: { atMs: startMs, record: engine({ sleeping: false }) } }, {}, true],
    ['nobody has told what it served', 'generation', {}, { alive: null }, false],
    ['a request succeeded just within the quiet', 'generation', {}, { lastGoodAtMs: startMs - limits.generationQuietMs + 1 }, false],
    ['no request succeeded within the quiet', 'generation', {}, { lastGoodAtMs: startMs - limits.generationQuietMs }, true],
    ['a probe succeeded within the quiet', 'generation', { generationGoodAtMs: startMs - limits.generationQuietMs + 1 }, {}, false],
    ['it is on trial: no matter when a request succeeded', 'generation', {}, { onTrial: true, lastGoodAtMs: startMs - 1_000 }, true],
    ['it is on trial: nor when the next is due', 'generation', { nextAtMs: { generation: startMs + 9_000 } }, { onTrial: true }, true],
    [
      'it is on trial and was asked a moment ago',
      'generation',
      {
        last: { liveness: seen(), generation: seen({ ok: false, atMs: startMs - limits.livenessEveryMs + 1 }) },
        nextAtMs: { generation: startMs + 9_000 },
      },
      { onTrial: true },
      false,
    ],
    [
      'it is on trial and does not answer for its health',
      'generation',
      { last: { liveness: seen({ ok: false }) } },
      { onTrial: true },
      false,
    ],
    ['it is to be warmed: no matter when a request succeeded', 'generation', {}, { toWarm: true, lastGoodAtMs: startMs - 1_000 }, true],
    ['it is to be warmed: nor when the next is due', 'generation', { nextAtMs: { generation: startMs + 9_000 } }, { toWarm: true }, true],
    ['it is to be warmed: nor what its ledger knows', 'generation', {}, { toWarm: true, alive: null }, true],
    [
      'it is to be warmed and was asked a moment ago',
      'generation',
      {
        last: { liveness: seen(), generation: seen({ atMs: startMs - limits.warmEveryMs + 1 }) },
        nextAtMs: { generation: startMs + 9_000 },
      },
      { toWarm: true },
      false,
    ],
    [
      'it is to be warmed and has given enough',
      'generation',
      { generations: { good: limits.warmRequestsMin, failed: 0 }, nextAtMs: { generation: startMs + 9_000 } },
      { toWarm: true },
      false,
    ],
    [
      'it is to be warmed and has failed as often',
      'generation',
      { generations: { good: 1, failed: limits.warmRequestsMin }, nextAtMs: { generation: startMs + 9_000 } },
      { toWarm: true },
      false,
    ],
    ['it is to be warmed and its time has come besides', 'generation', { generations: { good: 0, failed: 9 } }, { toWarm: true }, true],
    [
      'it is to be warmed and does not answer for its health',
      'generation',
      { last: { liveness: seen({ ok: false }) } },
      { toWarm: true },
      false,
    ],
    ['it is to be warmed: its health is asked as ever', 'liveness', { nextAtMs: { liveness: startMs + 1 } }, { toWarm: true }, false],
    ['it is on trial: its health is asked as ever', 'liveness', { nextAtMs: { liveness: startMs + 1 } }, { onTrial: true }, false],
    ['a ledger whose clock is ahead saw a success', 'generation', {}, { lastGoodAtMs: startMs + 5_000 }, false],
  ])('%s: %s', (_why, kind, so, hearing, expected) => {
    expect(isDue(kind, record(so), heard(startMs, hearing))).toBe(expected)
  })

  it.each(probeKinds)('%s again never later than its interval, and never in its first part', (kind) => {
    const everyMs = { liveness: 5_000, metrics: 2_000, generation: 30_000, status: 30_000 }[kind]
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 41 }), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (atMs, draw) => {
        const afterMs = nextProbeAtMs(kind, atMs, draw) - atMs
        expect(afterMs).toBeLessThanOrEqual(everyMs)
        expect(afterMs).toBeGreaterThanOrEqual(everyMs * (1 - limits.livenessJitter) - 1)
      }),
    )
  })
})

const after = (probes: string) => probes.split('').reduce<Liveness>((liveness, sign) => observe(liveness, sign === '+'), unprobed).state

describe('liveness', () => {
  it.each([
    ['', 'unknown'],
    ['+', 'healthy'],
    ['-', 'unknown'],
    ['--', 'unknown'],
    ['---', 'unhealthy'],
    ['--+', 'healthy'],
    ['--+--', 'healthy'],
    ['+--', 'healthy'],
    ['+---', 'unhealthy'],
    ['+--+--', 'healthy'],
    ['---+', 'unhealthy'],
    ['---+-+', 'unhealthy'],
    ['---++', 'healthy'],
    ['---++--', 'healthy'],
    ['------------------++', 'healthy'],
  ])('after "%s" is %s', (probes, state) => {
    expect(after(probes)).toBe(state)
  })

  it('changes only by a run that is long enough, whatever came before', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (probes) => {
        let liveness = unprobed
        let run = 0
        let last: boolean | null = null
        for (const ok of probes) {
          run = ok === last ? run + 1 : 1
          last = ok
          const next = observe(liveness, ok)
          const goodNeeded = liveness.state === 'unknown' ? 1 : limits.livenessGoodMin
          const allowed =
            run >= (ok ? goodNeeded : limits.livenessBadMax) ? [liveness.state, ok ? 'healthy' : 'unhealthy'] : [liveness.state]
          expect(allowed).toContain(next.state)
          liveness = next
        }
      }),
    )
  })

  it('keeps what is known, in order of id', () => {
    const kept = livenessToKeep(
      new Map([
        [id('b'), record({ url: 'http://b', liveness: observe(unprobed, true) })],
        [id('c'), record()],
        [id('a'), record({ url: 'http://a', liveness: { state: 'unhealthy', good: 0, bad: 3 } })],
      ]),
    )
    expect(JSON.stringify(kept)).toBe('{"a":{"url":"http://a","state":"unhealthy"},"b":{"url":"http://b","state":"healthy"}}')
  })
})

/** Servers that have answered for their health, of which nothing else is known. */
const answering = (endpoints: readonly CatalogueEndpoint[]): ReadonlyMap<EndpointId, ProbeRecord> =>
  new Map(endpoints.map((endpoint) => [endpoint.id, { ...newRecord(endpoint, {}), last: { liveness: seen() } }]))

/** A turn of core, as far as probing goes, with servers that answer unless told otherwise. */
function order(endpoints: readonly CatalogueEndpoint[], so: Partial<Probing> = {}, random = seededRandom(1)): Ordered {
  const nowMs = so.nowMs ?? startMs
  const alive: ReadonlyMap<CellId, Alive> = new Map([[cell, { sinceMs: 0, answeredAtMs: nowMs }]])
  return ordersFor({ endpoints, records: answering(endpoints), keptLiveness: {}, alive, lastGoodAtMs: new Map(), nowMs, ...so }, random)
}

const ordersOf = ({ orders }: Ordered, of: CellId = cell): readonly ProbeOrder[] => orders.get(of) ?? []
const kindsOf = (ordered: Ordered): readonly ProbeKind[] => ordersOf(ordered).map(({ kind }) => kind)
const result = (of: ProbeOrder, so: Partial<ProbeResult> = {}): ProbeResult => ({
  id: of.id,
  endpoint: of.endpoint,
  kind: of.kind,
  atMs: startMs + 10,
  tookMs: 20,
  ok: true,
  detail: 'HTTP 200',
  ...so,
})
const theOrder = (ordered: Ordered, kind: ProbeKind): ProbeOrder => {
  const found = ordersOf(ordered).find((each) => each.kind === kind)
  if (!found) throw new Error(`no order of ${kind}`)
  return found
}
const recordOf = (records: ReadonlyMap<EndpointId, ProbeRecord>, name = 'e1'): ProbeRecord => {
  const found = records.get(id(name))
  if (!found) throw new Error(`no record of ${name}`)
  return found
}

describe('orders', () => {
  it('go to the cell of the endpoint, each with its patience and an id of its own', () => {
    const far = endpointRow('e2', { region: 'iad' as RegionName, operations: ['infer'] })
    const ordered = order([endpointRow('e1'), far])
    expect(kindsOf(ordered)).toEqual(['liveness', 'metrics', 'generation'])
    expect(ordersOf(ordered, cellIdOf(model, far.region)).map(({ endpoint, kind }) => [endpoint, kind])).toEqual([
      ['e2', 'liveness'],
      ['e2', 'metrics'],
    ])
    expect(ordersOf(ordered).map(({ timeoutMs }) => timeoutMs)).toEqual([2_000, 2_000, 10_000])
    const ids = [...ordered.orders.values()].flat().map((each) => each.id)
    expect(new Set(ids).size).toBe(5)
  })

  it('draining endpoints are probed, disabled ones are not and leave nothing behind', () => {
    const first = order([endpointRow('e1'), endpointRow('e2')])
    const second = order([endpointRow('e1', { state: 'draining' }), endpointRow('e2', { state: 'disabled' })], { records: first.records })
    expect([...second.records.keys()]).toEqual(['e1'])
    expect(new Set(ordersOf(second).map(({ endpoint }) => endpoint))).toEqual(new Set(['e1']))
  })

  it('are told again, the same, until a result comes; none is made twice', () => {
    const first = order([endpointRow('e1')])
    const second = order([endpointRow('e1')], { records: first.records, nowMs: startMs + 1_000 })
    expect(ordersOf(second)).toEqual(ordersOf(first))
    const folded = foldResults(second.records, [result(theOrder(second, 'liveness'))], startMs + 1_000)
    const third = order([endpointRow('e1')], { records: folded, nowMs: startMs + 2_000 })
    expect(kindsOf(third)).toEqual(['metrics', 'generation'])
  })

  it('an endpoint at another address, or of another kind, is another server', () => {
    const first = order([endpointRow('e1')])
    const known = foldResults(first.records, [result(theOrder(first, 'liveness'))], startMs + 1)
    for (const moved of [{ url: 'http://elsewhere' }, { kind: 'open_inference' as const }]) {
      const second = order([endpointRow('e1', moved)], { records: known, nowMs: startMs + 100 })
      expect(recordOf(second.records).liveness.state).toBe('unknown')
      expect(kindsOf(second)).toContain('liveness')
      // What the other server answered to an order of before is nobody's.
      const late = foldResults(second.records, [result(theOrder(first, 'metrics'), { ok: false })], startMs + 101)
      expect(recordOf(late).last.metrics).toBeUndefined()
    }
  })

  it('what was stored of its liveness counts for the same address', () => {
    const keptLiveness = { e1: { url: 'http://e1', state: 'unhealthy' as const }, e2: { url: 'http://old', state: 'unhealthy' as const } }
    const { records } = order([endpointRow('e1'), endpointRow('e2')], { records: new Map(), keptLiveness })
    expect([recordOf(records, 'e1').liveness.state, recordOf(records, 'e2').liveness.state]).toEqual(['unhealthy', 'unknown'])
  })

  it('are no more than a ledger takes, and what waits longest comes first, so that all have their turn', () => {
    const endpoints = Array.from({ length: 400 }, (_, index) => endpointRow(`e${index}`, { operations: ['infer'] }))
    let records = answering(endpoints)
    const probed = new Set<string>()
    for (let turn = 0; turn < 2; turn++) {
      const nowMs = startMs + turn * 1_000
      const ordered = order(endpoints, { records, nowMs })
      expect(ordersOf(ordered).length).toBeLessThanOrEqual(limits.probesQueuedMax)
      for (const each of ordersOf(ordered)) probed.add(`${each.endpoint} ${each.kind}`)
      const results = ordersOf(ordered).map((each) => result(each, { atMs: nowMs, tookMs: 1 }))
      records = foldResults(ordered.records, results, nowMs + 1)
    }
    expect(probed.size).toBe(800)
  })

  it('endpoints of a fleet drift apart', () => {
    const endpoints = Array.from({ length: 100 }, (_, index) => endpointRow(`e${index}`, { operations: ['infer'] }))
    const next = new Set([...order(endpoints).records.values()].map(({ nextAtMs }) => nextAtMs.liveness))
    expect(next.size).toBeGreaterThan(50)
  })
})

describe('a missing result', () => {
  const timeoutMs = limits.livenessTimeoutMs + limits.probeSlackMs
  const at = (alive: Alive | null) => {
    const first = order([endpointRow('e1')])
    const hearing = new Map(alive ? [[cell, alive]] : [])
    return recordOf(order([endpointRow('e1')], { records: first.records, alive: hearing, nowMs: startMs + 60_000 }).records)
  }

  it.each<readonly [string, Alive | null, boolean]>([
    ['the ledger answered long after it was due', { sinceMs: 0, answeredAtMs: startMs + timeoutMs }, true],
    ['the ledger last answered before it was due', { sinceMs: 0, answeredAtMs: startMs + timeoutMs - 1 }, false],
    ['the ledger does not answer', null, false],
    ['the ledger is back only now', { sinceMs: startMs + 60_000, answeredAtMs: startMs + 60_000 }, false],
    ['the ledger is back long enough', { sinceMs: startMs + 10_000, answeredAtMs: startMs + 10_000 + timeoutMs }, true],
  ])('%s: counts as bad %s %s', (_when, alive, expected) => {
    const { last, liveness } = at(alive)
    expect(liveness.bad).toBe(expected ? 1 : 0)
    expect(last.liveness?.detail).toBe(expected ? 'no result from the ledger' : '')
  })

  it('of a question for a token is not taken for an engine that let it run out of time', () => {
    const alive = { sinceMs: 0, answeredAtMs: startMs + 60_000 }
    expect(at(alive)).toMatchObject({ generationBad: 1, last: { generation: { ok: false, timedOut: false } } })
  })
})

describe('results', () => {
  const first = order([endpointRow('e1')])
  const fold = (kind: ProbeKind, so: Partial<ProbeResult>, nowMs = startMs + 500) =>
    recordOf(foldResults(first.records, [result(theOrder(first, kind), so)], nowMs))

  it('count once, however often and late they come', () => {
    const dead = result(theOrder(first, 'liveness'), { ok: false, detail: 'HTTP 500' })
    const once = foldResults(first.records, [dead, dead], startMs + 500)
    const again = foldResults(once, [dead], startMs + 600)
    expect(recordOf(again)).toEqual(recordOf(once))
    expect(recordOf(again).liveness.bad).toBe(1)
  })

  it('of endpoints and orders that nobody knows count for nothing', () => {
    const strange = result({ ...theOrder(first, 'liveness'), endpoint: id('e9') }, { ok: false })
    const other = result({ ...theOrder(first, 'liveness'), id: 'other' }, { ok: false })
    expect(foldResults(first.records, [strange, other], startMs + 500)).toEqual(first.records)
  })

  it('of a probe that was not made say nothing, and it is due again', () => {
    const left = foldResults(first.records, [result(theOrder(first, 'generation'), { ok: false, notDone: true })], startMs + 500)
    expect(recordOf(left)).toMatchObject({ generationBad: 0, last: {} })
    const second = order([endpointRow('e1')], { records: left, nowMs: startMs + 1_000 })
    expect(theOrder(second, 'generation').id).not.toBe(theOrder(first, 'generation').id)
  })

  it('a page of metrics is as old as it says by the ledger, within what core can know', () => {
    const record = engine({ running: 7 })
    expect(fold('metrics', { engine: record, atMs: startMs + 100, tookMs: 50 }).engine).toEqual({ atMs: startMs + 150, record })
    expect(fold('metrics', { engine: record, atMs: 0 }).engine?.atMs).toBe(startMs)
    expect(fold('metrics', { engine: record, atMs: startMs * 2 }).engine?.atMs).toBe(startMs + 500)
  })

  it('a page that could not be read leaves the last one, and its age', () => {
    const good = foldResults(first.records, [result(theOrder(first, 'metrics'), { engine: engine() })], startMs + 500)
    const second = order([endpointRow('e1')], { records: good, nowMs: startMs + 3_000 })
    const bad = foldResults(second.records, [result(theOrder(second, 'metrics'), { ok: false, detail: 'HTTP 404' })], startMs + 3_500)
    expect(recordOf(bad)).toMatchObject({ engine: { atMs: startMs + 30 }, last: { metrics: { ok: false, detail: 'HTTP 404' } } })
  })

  it('what the service says is kept, also when it says that the endpoint is down', () => {
    const sagemaker = order([endpointRow('e1', { kind: 'sagemaker' })])
    const status = { status: 'OutOfService', instances: 0, instancesWanted: 2 }
    const told = foldResults(sagemaker.records, [result(theOrder(sagemaker, 'status'), { ok: false, service: status })], startMs + 500)
    expect(recordOf(told)).toMatchObject({ service: { status }, last: { status: { ok: false } } })
  })

  it('generations that fail are counted in a row', () => {
    let records = answering([endpointRow('e1')])
    const counts = [false, false, true, false].map((ok, index) => {
      const nowMs = startMs + index * 60_000
      const ordered = order([endpointRow('e1')], { records, nowMs })
      const results = ordersOf(ordered).map((each) => result(each, { atMs: nowMs, ok: ok || each.kind !== 'generation' }))
      records = foldResults(ordered.records, results, nowMs + 50)
      return recordOf(records).generationBad
    })
    expect(counts).toEqual([1, 2, 0, 1])
  })

  /** Turns of a second, with a server that answers within them; what was known of its questions for a token after each. */
  function warm(of: { readonly seconds: number; readonly toWarm: boolean; readonly answer: (asked: number) => boolean }) {
    const toWarm = new Set(of.toWarm ? [id('e1')] : [])
    let records = answering([endpointRow('e1')])
    let asked = 0
    for (let second = 0; second < of.seconds; second++) {
      const nowMs = startMs + second * 1_000
      const ordered = order([endpointRow('e1')], { records, nowMs, toWarm })
      const results = ordersOf(ordered).map((each) =>
        result(each, { atMs: nowMs, tookMs: 1, ok: each.kind !== 'generation' || of.answer(asked++) }),
      )
      records = foldResults(ordered.records, results, nowMs + 1)
    }
    return { ...recordOf(records).generations, records }
  }

  it('of one that is to be warmed are asked for in quick succession, until enough were good', () => {
    expect(warm({ seconds: 20, toWarm: true, answer: () => true })).toMatchObject({ good: limits.warmRequestsMin, failed: 0 })
    expect(warm({ seconds: 20, toWarm: true, answer: (asked) => asked > 0 })).toMatchObject({ good: limits.warmRequestsMin, failed: 1 })
    // Nobody else is asked more often than before.
    expect(warm({ seconds: 20, toWarm: false, answer: () => true })).toMatchObject({ good: 1, failed: 0 })
  })

  it('of one that is to be warmed and fails are few, and it is found out all the same when it comes right', () => {
    expect(warm({ seconds: 20, toWarm: true, answer: () => false })).toMatchObject({ good: 0, failed: limits.warmRequestsMin })
    const later = warm({ seconds: 120, toWarm: true, answer: (asked) => asked >= limits.warmRequestsMin })
    expect(later.good).toBeGreaterThanOrEqual(limits.warmRequestsMin)
  })

  it('are counted of one server: at another address it is asked anew', () => {
    const { records } = warm({ seconds: 20, toWarm: true, answer: () => true })
    const moved = order([endpointRow('e1', { url: 'http://elsewhere' })], { records, nowMs: startMs + 60_000, toWarm: new Set([id('e1')]) })
    expect(recordOf(moved.records).generations).toEqual({ good: 0, failed: 0 })
  })

  it('a detail is no longer than its bound', () => {
    expect(fold('liveness', { detail: 'x'.repeat(10_000) }).last.liveness?.detail.length).toBe(limits.probeDetailCharsMax)
  })
})

/**
 * An engine that answers its health path all the while and generates until `wedgedAtMs`; requests succeed until then, or there are none.
 * Turns come each second from `phaseMs` on; a ledger lets each probe wait up to its bound. Returns when core knows of a failed generation.
 */
function wedge({ phaseMs, wedgedAtMs, busy, seed }: { phaseMs: number; wedgedAtMs: number; busy: boolean; seed: number }): number | null {
  const random = seededRandom(seed)
  let records: ReadonlyMap<EndpointId, ProbeRecord> = new Map()
  let underway: { readonly readyAtMs: number; readonly result: ProbeResult }[] = []
  for (let nowMs = startMs + phaseMs; nowMs < wedgedAtMs + 120_000; nowMs += limits.turnMs) {
    const lastGoodAtMs = new Map([[id('e1'), busy ? Math.min(nowMs, wedgedAtMs) : null]])
    const ordered = order([endpointRow('e1')], { records, nowMs, lastGoodAtMs }, random)
    for (const each of ordersOf(ordered)) {
      if (underway.some((other) => other.result.id === each.id)) continue
      const atMs = nowMs + Math.floor(random() * limits.probeWaitMsMax)
      const isWedged = each.kind === 'generation' && atMs + 300 > wedgedAtMs
      const tookMs = isWedged ? each.timeoutMs : 300
      underway.push({ readyAtMs: atMs + tookMs, result: result(each, { atMs, tookMs, ok: !isWedged, timedOut: isWedged }) })
    }
    const ready = underway.filter(({ readyAtMs }) => readyAtMs <= nowMs)
    underway = underway.filter(({ readyAtMs }) => readyAtMs > nowMs)
    const told = ready.map((each) => each.result)
    records = foldResults(ordered.records, told, nowMs)
    if (recordOf(records).generationBad > 0) return nowMs
  }
  return null
}

describe('a wedged engine', () => {
  it('is known within 45 s, whenever it wedges and whether or not it was busy', () => {
    fc.assert(
      fc.property(
        fc.record({
          phaseMs: fc.integer({ min: 0, max: 999 }),
          wedgedAtMs: fc.integer({ min: startMs + 2_000, max: startMs + 120_000 }),
          busy: fc.boolean(),
          seed: fc.integer(),
        }),
        (story) => {
          const knownAtMs = wedge(story)
          expect(knownAtMs).not.toBeNull()
          expect((knownAtMs ?? 0) - story.wedgedAtMs).toBeLessThanOrEqual(45_000)
          // A probe under way as it wedged fails too; before that nothing is wrong.
          expect(knownAtMs ?? 0).toBeGreaterThan(story.wedgedAtMs)
        },
      ),
    )
  })

  it('is asked for a token no oftener than every 24 s while nothing succeeds', () => {
    const random = seededRandom(3)
    let records: ReadonlyMap<EndpointId, ProbeRecord> = new Map()
    const asked = new Set<string>()
    for (let nowMs = startMs; nowMs < startMs + 600_000; nowMs += limits.turnMs) {
      const ordered = order([endpointRow('e1')], { records, nowMs }, random)
      const results = ordersOf(ordered).map((each) => result(each, { atMs: nowMs, ok: each.kind !== 'generation' }))
      for (const each of results) if (each.kind === 'generation') asked.add(each.id)
      records = foldResults(ordered.records, results, nowMs + 500)
    }
    expect(asked.size).toBeLessThanOrEqual(25)
    expect(asked.size).toBeGreaterThanOrEqual(20)
  })
})
