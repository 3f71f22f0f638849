// What operating an endpoint does to its version's capacity, when a drain is done, and which maintenance windows are taken.

import { describe, expect, it } from 'vitest'
import { capacityOf, isDraining, warningsOf, type Move } from '../../../core/api/capacity.ts'
import { drainOf } from '../../../core/api/drain.ts'
import { checkMaintenance } from '../../../core/api/endpoint.ts'
import type { Row, Status } from '../../../core/facts.ts'
import type { ModelName, RegionName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'

type Endpoint = Row<'endpoint'>
const nowMs = 1_000_000

const endpoint = (id: string, more: Partial<Endpoint> = {}): Endpoint =>
  ({ id, region: 'fra', version: 'm-1', slots: 4, weight: 1, state: 'enabled', maintenance: null, updatedAtMs: 0, ...more }) as Endpoint
const windowAt = (fromMs: number, untilMs: number) => ({ maintenance: { fromMs, untilMs, reason: 'disks' } })

const statusOf = (states: Readonly<Record<string, string>>, ledger: object = {}): Status =>
  ({
    generation: 7,
    endpoints: Object.entries(states).map(([id, state]) => ({ id, cell: 'm@fra', state })),
    ledgers: [{ name: 'm@fra', generation: 7, inFlight: { e1: 0 }, answeredAtMs: nowMs, error: null, ...ledger }],
  }) as unknown as Status

const move = (before: Endpoint, change: Partial<Endpoint>, others: readonly Endpoint[] = [], status: Status | null = statusOf({})): Move =>
  ({ before, after: { ...before, ...change }, among: [before, ...others], model: 'm' as ModelName, status, nowMs }) satisfies Move
const told = (made: Move) => {
  const capacity = capacityOf(made)
  return { cell: capacity.cell, all: capacity.all, warnings: warningsOf(made, capacity) }
}

describe('capacity', () => {
  const near = endpoint('e2', { weight: 0.5 })
  const far = endpoint('e3', { region: 'iad' as RegionName, slots: 10 })

  it('counts slots times weight in the cell and over all cells, before and after', () => {
    expect(told(move(endpoint('e1'), { state: 'draining' }, [near, far]))).toEqual({
      cell: { id: 'm@fra', before: 6, after: 2 },
      all: { before: 16, after: 12 },
      warnings: [],
    })
    expect(told(move(endpoint('e1'), { weight: 2 }, [near, far]))).toMatchObject({ cell: { before: 6, after: 10 } })
  })

  it.each<readonly [string, Partial<Endpoint>]>([
    ['draining', { state: 'draining' }],
    ['disabled', { state: 'disabled' }],
    ['without weight', { weight: 0 }],
    ['under maintenance', windowAt(nowMs, nowMs + 1)],
  ])('an endpoint that is %s counts nothing', (_, more) => {
    const idle = endpoint('e1', more)
    expect(capacityOf(move(idle, {}, [far]))).toEqual({ cell: { id: 'm@fra', before: 0, after: 0 }, all: { before: 10, after: 10 } })
  })

  it('an unhealthy endpoint counts nothing, an unknown one counts', () => {
    const status = statusOf({ e1: 'unhealthy', e2: 'unknown' })
    expect(capacityOf(move(endpoint('e1'), { weight: 9 }, [near], status)).cell).toEqual({ id: 'm@fra', before: 2, after: 2 })
  })

  it('warns when the cell, or the version, would have none left', () => {
    expect(told(move(endpoint('e1'), { state: 'draining' }, [far])).warnings).toEqual([
      expect.stringContaining('cell "m@fra" has no endpoint left'),
    ])
    expect(told(move(endpoint('e1'), { state: 'draining' })).warnings).toEqual([expect.stringContaining('No endpoint anywhere')])
  })

  it('warns when the endpoint would get nothing all the same', () => {
    const others = [near, far]
    const disabled = endpoint('e1', { state: 'disabled', ...windowAt(0, nowMs + 1) })
    expect(told(move(disabled, { state: 'enabled' }, others)).warnings).toEqual([expect.stringContaining('under maintenance')])
    const sick = statusOf({ e1: 'unhealthy' })
    expect(told(move(endpoint('e1'), { weight: 2 }, others, sick)).warnings).toEqual([expect.stringContaining('unhealthy')])
    expect(told(move(endpoint('e1'), { weight: 0 }, others)).warnings).toEqual([expect.stringContaining('weight is 0')])
    expect(told(move(endpoint('e1'), { weight: 2 }, others, null)).warnings).toEqual([expect.stringContaining('gave no answer')])
  })

  it('a window to come is judged from its beginning, with those of the others at that time', () => {
    const tonight = windowAt(nowMs + 100, nowMs + 200)
    const alone = move(endpoint('e1'), tonight, [near])
    expect(capacityOf(alone).cell).toEqual({ id: 'm@fra', before: 6, after: 2 })
    const both = told(move(endpoint('e1'), tonight, [endpoint('e2', windowAt(nowMs + 50, nowMs + 150))]))
    expect(both.cell).toMatchObject({ before: 8, after: 0 })
    expect(both.warnings).toEqual([expect.stringContaining('No endpoint anywhere')])
  })
})

describe('drain', () => {
  const draining = endpoint('e1', { state: 'draining', updatedAtMs: 5_000 })
  const published = { e1: 'draining' }
  const settledAtMs = 5_000 + limits.obeyedMs
  const told = (status: Status, of = draining) => drainOf(of, { sinceMs: 5_000, status, nowMs })

  it('is done when the ledger that has heard of it knows of no request', () => {
    expect(told(statusOf(published, { answeredAtMs: settledAtMs }))).toEqual({
      endpoint: 'e1',
      state: 'draining',
      draining: true,
      sinceMs: 5_000,
      inFlight: 0,
      done: true,
    })
  })

  it.each<readonly [string, Status, number | null]>([
    ['a request is in flight', statusOf(published, { inFlight: { e1: 1 } }), 1],
    ['the edge may not have heard of it', statusOf(published, { answeredAtMs: settledAtMs - 1 }), 0],
    ['the ledger is behind', statusOf(published, { generation: 6 }), 0],
    ['it is not published yet', statusOf({ e1: 'healthy' }), 0],
    ['the ledger’s last call failed', statusOf(published, { error: 'no answer' }), 0],
    ['the ledger never answered', statusOf(published, { answeredAtMs: null }), null],
    ['the ledger does not know the endpoint', statusOf(published, { inFlight: {} }), null],
    ['there is no such ledger', statusOf(published, { name: 'm@iad' }), null],
    ['the control loop does not know the endpoint', statusOf({}), null],
  ])('is not done while %s', (_, status, inFlight) => {
    expect(told(status)).toMatchObject({ draining: true, inFlight, done: false })
  })

  it('an enabled endpoint does not drain, but in its window it does', () => {
    const status = statusOf(published)
    expect(told(status, endpoint('e1'))).toMatchObject({ draining: false, sinceMs: null, done: false })
    expect(told(status, endpoint('e1', windowAt(400_000, nowMs + 1)))).toMatchObject({ draining: true, sinceMs: 400_000, done: true })
    expect(told(status, endpoint('e1', windowAt(400_000, nowMs)))).toMatchObject({ draining: false })
  })

  it.each([
    ['enabled', nowMs, false],
    ['enabled', nowMs + 1, true],
    ['draining', nowMs, true],
    ['disabled', nowMs + 1, false],
  ] as const)('%s, a window until %i: %s', (state, untilMs, drains) => {
    expect(isDraining(endpoint('e1', { state, ...windowAt(nowMs - 1, untilMs) }), nowMs)).toBe(drains)
  })
})

describe('maintenance', () => {
  const longest = limits.maintenanceMsMax
  it.each([
    [nowMs - 100, nowMs + 1, true],
    [nowMs, nowMs + longest, true],
    [nowMs - longest, nowMs + 1, false],
    [nowMs, nowMs + longest + 1, false],
    [nowMs + 5, nowMs + 5, false],
    [nowMs + 6, nowMs + 5, false],
    [nowMs - 2, nowMs, false],
  ])('from %i until %i: %s', (fromMs, untilMs, taken) => {
    const read = checkMaintenance({ fromMs, untilMs }, nowMs, 'maintenance.')
    expect(read.ok).toBe(taken)
    if (!read.ok) expect(read.error).toMatchObject({ reason: 'invalid_field', param: 'maintenance.untilMs' })
  })
})
