import { describe, expect, it } from 'vitest'
import { cellsFor, type Need } from '../../../edge/route/cell.ts'
import { drawBlind } from '../../../edge/route/fallback.ts'
import { seededRandom } from '../../../shared/random.ts'
import { sharesOf } from '../../../shared/wire/snapshot.ts'
import type { CellId, EndpointId, OriginName, VersionId } from '../../../shared/ids.ts'
import { endpoint, model, snapshotOf, version } from '../../support/snapshot.ts'

const enam = 'enam' as OriginName
const cells = (...names: string[]) => names.map((name) => `atlas@${name}` as CellId)
const three = snapshotOf([endpoint('a', 'near'), endpoint('b', 'middle'), endpoint('c', 'far')])
const shares = sharesOf(three, model, enam)
const need = (avoid: readonly EndpointId[]): Need => ({ version, operation: 'chat', avoid })

describe('cellsFor', () => {
  it('draws the first by the fractions and lists the others by cost', () => {
    expect(cellsFor(three, shares, need([]), () => 0)).toEqual({ cells: cells('near', 'middle', 'far') })
    const halves = shares.map((share) => ({ ...share, fraction: 0.5 }))
    expect(cellsFor(three, halves, need([]), () => 0.99)).toEqual({ cells: cells('far', 'near', 'middle') })
  })

  it('follows the fractions in the long run', () => {
    const random = seededRandom(3)
    const fractions = [0.7, 0.3, 0]
    const row = shares.map((share, i) => ({ ...share, fraction: fractions[i] ?? 0 }))
    const firsts = Array.from({ length: 5_000 }, () => {
      const drawn = cellsFor(three, row, need([]), random)
      return 'cells' in drawn ? drawn.cells[0] : null
    })
    expect(firsts.filter((cell) => cell === 'atlas@near').length / firsts.length).toBeCloseTo(0.7, 1)
    expect(firsts).not.toContain('atlas@far')
  })

  it('leaves out cells that do not serve the version, are down, or were tried', () => {
    const mixed = snapshotOf([
      endpoint('a', 'near', { state: 'unhealthy' }),
      endpoint('b', 'middle', { version: 'other' as VersionId }),
      endpoint('c', 'far'),
      endpoint('d', 'farther', { state: 'unknown' }),
    ])
    const row = sharesOf(mixed, model, enam)
    expect(cellsFor(mixed, row, need([]), () => 0)).toEqual({ cells: cells('far', 'farther') })
    expect(cellsFor(mixed, row, need(['c' as EndpointId]), () => 0)).toEqual({ cells: cells('farther') })
  })

  it('a tried endpoint does not take its cell out while another endpoint is there', () => {
    const pair = snapshotOf([endpoint('a', 'near'), endpoint('b', 'near')])
    expect(cellsFor(pair, sharesOf(pair, model, enam), need(['a' as EndpointId]), () => 0)).toEqual({ cells: cells('near') })
  })

  it('finds a cell that the row does not name yet', () => {
    const grown = snapshotOf([endpoint('a', 'near'), endpoint('b', 'new')], { fractions: { [model]: { enam: shares.slice(0, 1) } } })
    expect(cellsFor(grown, sharesOf(grown, model, enam), need([]), () => 0)).toEqual({ cells: cells('near', 'new') })
  })

  it('offers only who can do what is asked, or can do it in translation', () => {
    const mixed = snapshotOf([endpoint('a', 'near', { operations: ['embeddings'] }), endpoint('b', 'far')])
    const row = sharesOf(mixed, model, enam)
    expect(cellsFor(mixed, row, need([]), () => 0)).toEqual({ cells: cells('far') })
    expect(cellsFor(mixed, row, { ...need([]), operation: 'messages' }, () => 0)).toEqual({ cells: cells('far') })
    expect(cellsFor(mixed, row, { ...need([]), operation: 'infer' }, () => 0)).toEqual({ none: 'unsupported_operation' })
  })

  it('tells "nobody serves it" from "everybody is down"', () => {
    expect(cellsFor(three, shares, { ...need([]), version: 'nobody' as VersionId }, () => 0)).toEqual({ none: 'no_endpoint' })
    const down = snapshotOf([endpoint('a', 'near', { state: 'unhealthy' }), endpoint('b', 'far', { state: 'draining' })])
    expect(cellsFor(down, sharesOf(down, model, enam), need([]), () => 0)).toEqual({ none: 'no_healthy_endpoint' })
  })
})

describe('sharesOf', () => {
  it('lets another origin stand in for one without a row, and knows nothing of an unknown model', () => {
    expect(sharesOf(three, model, 'oc' as OriginName)).toEqual(shares)
    expect(sharesOf(three, 'other' as typeof model, enam)).toEqual([])
  })
})

describe('drawBlind', () => {
  it('spreads by slots and weight, so that nobody herds', () => {
    const random = seededRandom(5)
    const two = [endpoint('big', 'x', { slots: 6 }), endpoint('small', 'x', { slots: 4, weight: 0.5 })]
    const drawn = Array.from({ length: 4_000 }, () => drawBlind(two, random)?.id)
    expect(drawn.filter((id) => id === 'big').length / drawn.length).toBeCloseTo(0.75, 1)
    expect(drawBlind([endpoint('off', 'x', { weight: 0 })], random)).toBeNull()
  })
})
