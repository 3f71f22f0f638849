// A region split into cells, each with a ledger that knows only its own: a few lose nothing, many lose what one exact count gave.

import { describe, expect, it } from 'vitest'
import { runs } from './harness/runs.ts'
import type { Layout } from './harness/world.ts'
import { splitCell } from './policies/split-cell.ts'

const split = (cells: number, endpoints: readonly number[]): Layout => ({
  regions: Array.from({ length: cells }, () => endpoints),
  roundTripMs: [Array.from({ length: cells }, () => 0)],
  isolates: 400,
})
const six = split(6, [16, 16, 8, 8])
const sixtyFour = split(64, [4])
const seeds = [1, 2]
const ours = () => splitCell({ spills: true })
const apart = () => splitCell({ spills: false })

describe('six ledgers', () => {
  it.each([0.85, 0.95])('at load %s let at most 0.1 % wait for more than a second', (load) => {
    expect(runs(ours, { layout: six, load, serviceTimeS: 1, requests: 30_000 }, seeds).slowShare).toBeLessThanOrEqual(0.001)
  })

  it('with services of 10 s at most 2 %', () => {
    expect(runs(ours, { layout: six, load: 0.85, serviceTimeS: 10, requests: 30_000 }, seeds).slowShare).toBeLessThanOrEqual(0.02)
  })

  it('where ledgers that never send a request on keep neither bound', () => {
    expect(runs(apart, { layout: six, load: 0.95, serviceTimeS: 1, requests: 30_000 }, [1]).slowShare).toBeGreaterThan(0.001)
    expect(runs(apart, { layout: six, load: 0.85, serviceTimeS: 10, requests: 30_000 }, [1]).slowShare).toBeGreaterThan(0.02)
  })

  it('are worth more than five times as much as 64, which is why a cell is not split further than it must be', () => {
    const long = { load: 0.85, serviceTimeS: 10, requests: 15_000 }
    const few = runs(ours, { ...long, layout: six }, seeds).slowShare
    expect(runs(ours, { ...long, layout: sixtyFour }, seeds).slowShare).toBeGreaterThanOrEqual(5 * few)
  })
})
