import fc from 'fast-check'
import { expect, it } from 'vitest'
import { add, clear, newWindow, sums } from '../../../edge/ledger/window.ts'

it('counts what happened in its buckets and nothing older (property against a list)', () => {
  const step = fc.record({ afterMs: fc.nat(4_000), kind: fc.constantFrom('a' as const, 'b' as const) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const window = newWindow(['a', 'b'], 10, 1_000)
      const seen: { atMs: number; kind: 'a' | 'b' }[] = []
      let nowMs = 1_700_000_000_000
      for (const { afterMs, kind } of steps) {
        nowMs += afterMs
        add(window, kind, nowMs)
        seen.push({ atMs: nowMs, kind })
        const oldest = Math.floor(nowMs / 1_000) - 9
        const held = seen.filter(({ atMs }) => Math.floor(atMs / 1_000) >= oldest)
        expect(sums(window, nowMs)).toEqual({
          a: held.filter((each) => each.kind === 'a').length,
          b: held.filter((each) => each.kind === 'b').length,
        })
      }
    }),
  )
})

it('is emptied by silence, and by clearing', () => {
  const window = newWindow(['a'], 10, 1_000)
  add(window, 'a', 5_500)
  expect(sums(window, 14_999)).toEqual({ a: 1 })
  expect(sums(window, 15_000)).toEqual({ a: 0 })
  expect(sums(window, 5_500)).toEqual({ a: 1 })
  clear(window)
  expect(sums(window, 5_500)).toEqual({ a: 0 })
})

it('keeps what it has, and still ends it, when the clock steps back', () => {
  const window = newWindow(['a'], 10, 1_000)
  add(window, 'a', 3_600_000)
  add(window, 'a', 1_000)
  expect(sums(window, 1_000)).toEqual({ a: 2 })
  expect(sums(window, 11_000)).toEqual({ a: 0 })
})
