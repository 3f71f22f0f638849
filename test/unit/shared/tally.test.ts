// Tallies from outside: what can be true is taken as it is, what cannot is left out, and sums stay within their bound.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import type { VersionId } from '../../../shared/ids.ts'
import { readTally, sumUp, type TrialSums } from '../../../shared/wire/tally.ts'
import { noPart, type TrialTally } from '../../../shared/wire/trial.ts'

const compared = {
  of: 2,
  errorsDiffer: 1,
  deterministic: 1,
  same: 1,
  tokensStable: 10,
  tokensCanary: 12,
  tookMsStable: 900.5,
  tookMsCanary: 800,
}
const tally = (so: Partial<TrialTally> = {}): TrialTally => ({
  alias: 'production/atlas',
  version: 'atlas-2' as VersionId,
  write: 'r:3',
  slotMs: 1_230_000,
  shadow: false,
  arrived: 3,
  judged: 2,
  hardErrors: 1,
  empty: { of: 2, bad: 1 },
  schema: noPart,
  earlyAborts: { of: 2, bad: 0 },
  ttft: { 12: 1, 40: 1 },
  tpot: { 0: 2 },
  compared: null,
  ...so,
})

describe('a tally from outside', () => {
  it.each([
    { name: 'one', told: tally() },
    { name: 'one of copies', told: tally({ shadow: true, compared }) },
    { name: 'one of an alias that a person wrote', told: tally({ write: '' }) },
    { name: 'judgements whose arrivals were told before', told: tally({ arrived: 0 }) },
    { name: 'the slowest class', told: tally({ ttft: { 127: 2 } }) },
  ])('is taken as it is: $name', ({ told }) => {
    expect(readTally(structuredClone(told))).toEqual(told)
  })

  it('is taken without fields that are not known', () => {
    expect(readTally({ ...tally({ compared }), more: 1, empty: { of: 2, bad: 1, more: 2 }, compared: { ...compared, more: 3 } })).toEqual(
      tally({ compared }),
    )
  })

  it('of an earlier release compares nothing', () => {
    const { compared: _, ...rest } = tally()
    expect(readTally(rest)).toEqual(tally())
  })

  it.each<{ name: string; told: unknown }>([
    { name: 'null', told: null },
    { name: 'a list', told: [] },
    { name: 'no alias', told: tally({ alias: '' }) },
    { name: 'a name without end', told: tally({ alias: 'a'.repeat(limits.trialNameCharsMax + 1) }) },
    { name: 'no version', told: tally({ version: '' as VersionId }) },
    { name: 'a write that is no text', told: { ...tally(), write: null } },
    { name: 'a slot between two', told: tally({ slotMs: 1_230_001 }) },
    { name: 'a slot that is no time', told: tally({ slotMs: Number.NaN }) },
    { name: 'a slot before time', told: tally({ slotMs: -10_000 }) },
    { name: 'half a request', told: tally({ arrived: 0.5 }) },
    { name: 'requests that unhappened', told: tally({ judged: -1 }) },
    { name: 'more than can be', told: tally({ arrived: limits.toldCountMax + 1 }) },
    { name: 'more errors than requests', told: tally({ hardErrors: 3 }) },
    { name: 'more bad ones than there are', told: tally({ empty: { of: 1, bad: 2 } }) },
    { name: 'a part larger than the whole', told: tally({ schema: { of: 3, bad: 0 } }) },
    { name: 'no part', told: { ...tally(), earlyAborts: undefined } },
    { name: 'a class that is none', told: tally({ ttft: { fast: 1 } }) },
    { name: 'a class beyond the last', told: tally({ ttft: { 128: 1 } }) },
    { name: 'a class written otherwise', told: tally({ ttft: { '012': 1 } }) },
    { name: 'more times than requests', told: tally({ tpot: { 1: 2, 2: 1 } }) },
    { name: 'times that are none', told: { ...tally(), tpot: [1] } },
    { name: 'a comparison that is none', told: { ...tally(), compared: 1 } },
    { name: 'more alike than compared', told: tally({ compared: { ...compared, same: 2 } }) },
    { name: 'no length', told: tally({ compared: { ...compared, tokensCanary: Number.POSITIVE_INFINITY } }) },
  ])('is left out: $name', ({ told }) => {
    expect(readTally(told)).toBeNull()
  })

  it('never throws, and gives nothing that it would not take again', () => {
    fc.assert(
      fc.property(fc.anything(), fc.constantFrom(...Object.keys(tally())), (value, field) => {
        const read = readTally({ ...tally(), [field]: value })
        if (read) expect(readTally(read)).toEqual(read)
        expect(() => readTally(value)).not.toThrow()
      }),
    )
  })
})

describe('sums of tallies', () => {
  it('are one for each identity', () => {
    const sums: TrialSums = new Map()
    for (const so of [{}, {}, { version: 'atlas-1' as VersionId }, { write: '' }, { slotMs: 1_240_000 }, { shadow: true }])
      sumUp(sums, tally(so), 9)
    expect([...sums.values()].map(({ arrived }) => arrived)).toEqual([6, 3, 3, 3, 3])
  })

  it('of too many identities are without those of the oldest slot', () => {
    const sums: TrialSums = new Map()
    for (const slot of [5, 3, 4, 6, 1]) sumUp(sums, tally({ slotMs: slot * 10_000 }), 3)
    expect([...sums.values()].map(({ slotMs }) => slotMs / 10_000)).toEqual([5, 4, 6])
  })
})
