// What core keeps of the ledgers' tallies: which slots are whole, what counts in which arm, and what is let go of.

import { describe, expect, it } from 'vitest'
import type { ModelName, RegionName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { aliasNameOf, timeClassOf, type Compared, type TrialTally } from '../../../shared/wire/trial.ts'
import {
  arrivalsPerSOf,
  comparedOf,
  foldTrials,
  forgetTrials,
  isMature,
  isWhole,
  judgedSince,
  newTrials,
  runningOf,
  slotsOf,
  trafficBpOf,
  usualOf,
  type Pairing,
  type Trials,
} from '../../../core/rollout/trials.ts'
import { trialTally } from '../../support/trial.ts'

const fra = 'fra' as RegionName
const iad = 'iad' as RegionName
const v1 = 'atlas-1' as VersionId
const v2 = 'atlas-2' as VersionId
const alias = aliasNameOf('production', 'atlas' as ModelName)
const pairing: Pairing = { alias, stable: v1, canary: v2, rollout: 'r1' as RolloutId }
const slot = limits.rolloutBlockMs
/** Begin of a slot and of a minute. */
const t0 = 6_000_000
const second = 1_000

const told = (so: Partial<TrialTally>): TrialTally => trialTally({ alias, version: v2, write: 'r1:3', slotMs: t0, ...so })

function trialsOf(tallies: readonly TrialTally[], so: { readonly sinceMs?: number; readonly atMs?: number } = {}): Trials {
  const trials = newTrials(so.sinceMs ?? 0)
  foldTrials(trials, fra, tallies, so.atMs ?? t0 + slot)
  return trials
}

const onlySlot = (trials: Trials) => slotsOf(trials, pairing)[0]

describe('a slot is whole', () => {
  const ended = t0 + slot
  it.each<readonly [string, Partial<TrialTally>, number, boolean]>([
    ['when all that left was judged and reports had time to come', { arrived: 3, judged: 3 }, ended + limits.trialReportMs, true],
    ['not before reports had time to come', { arrived: 3, judged: 3 }, ended + limits.trialReportMs - 1, false],
    ['not while it goes on', { arrived: 3, judged: 3 }, ended - 1, false],
    ['not while a request runs', { arrived: 3, judged: 2 }, ended + limits.trialJudgeMs, false],
    ['when what is missing will not come any more', { arrived: 3, judged: 2 }, ended + limits.trialJudgeMs + limits.trialSlackMs, true],
    ['when a departure was never told, and its end was', { arrived: 0, judged: 1 }, ended + limits.trialReportMs, true],
  ])('%s', (_, tally, nowMs, expected) => {
    const trials = trialsOf([told(tally)])
    const found = onlySlot(trials)
    expect(found && isWhole(trials, found, nowMs)).toBe(expected)
  })

  it('only when stable’s requests are judged too: both arms by the same rule', () => {
    const trials = trialsOf([told({ arrived: 1, judged: 1 }), told({ version: v1, arrived: 4, judged: 3 })])
    const found = onlySlot(trials)
    expect(found && isWhole(trials, found, ended + 10 * second)).toBe(false)
    foldTrials(trials, fra, [told({ version: v1, judged: 1 })], ended + 10 * second)
    const after = onlySlot(trials)
    expect(after && isWhole(trials, after, ended + 10 * second)).toBe(true)
  })

  it.each([
    ['never when it began before a restart', t0 + 1, false],
    ['when it began with the restart', t0, true],
  ])('%s', (_, sinceMs, expected) => {
    const trials = trialsOf([told({ arrived: 1, judged: 1 })], { sinceMs })
    const found = onlySlot(trials)
    expect(found && isWhole(trials, found, t0 + 60 * second)).toBe(expected)
  })
})

describe('a bake is mature', () => {
  const before = t0 + slot
  const late = before + limits.trialJudgeMs + limits.trialSlackMs
  it.each<readonly [string, readonly TrialTally[], number, number, boolean]>([
    ['when all slots that began in it are whole', [told({ arrived: 1, judged: 1 })], 0, before + limits.trialReportMs, true],
    ['not before what was sent at its end was told', [], 0, before + limits.trialReportMs - 1, false],
    ['not while a request of it runs', [told({ arrived: 2, judged: 1 })], 0, before + 10 * second, false],
    ['for ever is nothing waited for', [told({ arrived: 2, judged: 1 })], 0, late, true],
    ['whatever runs of a later slot', [told({ slotMs: before, arrived: 2, judged: 1 })], 0, before + limits.trialReportMs, true],
    ['whatever began before a restart', [told({ arrived: 2, judged: 1 })], t0 + 1, before + limits.trialReportMs, true],
  ])('%s', (_, tallies, sinceMs, nowMs, expected) => {
    expect(isMature(trialsOf(tallies, { sinceMs }), pairing, before, nowMs)).toBe(expected)
  })
})

describe('arms', () => {
  it('sum what several ledgers’ blocks tell of one slot and region, and keep regions and slots apart', () => {
    const trials = trialsOf([told({ arrived: 2, judged: 1, hardErrors: 1 }), told({ arrived: 1, judged: 2 })])
    foldTrials(trials, iad, [told({ arrived: 5, judged: 5 })], t0)
    foldTrials(trials, fra, [told({ slotMs: t0 + slot, arrived: 7 })], t0)
    const found = slotsOf(trials, pairing).map(({ region, slotMs, canary }) => [region, slotMs, canary?.arrived, canary?.hardErrors])
    expect(found).toEqual([
      [fra, t0, 3, 1],
      [iad, t0, 5, 0],
      [fra, t0 + slot, 7, 0],
    ])
  })

  it('the canary’s are of this rollout alone, whichever of its writes sent them; stable’s of any write', () => {
    const trials = trialsOf([
      told({ arrived: 1 }),
      told({ write: 'r1:9', arrived: 2 }),
      told({ write: 'r0:9', arrived: 4 }),
      told({ write: '', arrived: 8 }),
      told({ version: v1, write: '', arrived: 16 }),
      told({ version: v1, write: 'r1:3', arrived: 32 }),
      told({ version: v1, write: 'r0:3', arrived: 64 }),
    ])
    expect(onlySlot(trials)).toMatchObject({ canary: { arrived: 3 }, stable: { arrived: 112 } })
  })

  it('copies are the canary’s, and nobody leaves one early; a copy to stable is nobody’s', () => {
    const trials = trialsOf([
      told({ shadow: true, arrived: 2, judged: 2, earlyAborts: { of: 2, bad: 1 } }),
      told({ arrived: 1, judged: 1, earlyAborts: { of: 1, bad: 1 } }),
      told({ version: v1, shadow: true, arrived: 9 }),
    ])
    expect(onlySlot(trials)).toMatchObject({ canary: { arrived: 3, earlyAborts: { of: 1, bad: 1 } }, stable: null })
  })

  it('of an unknown alias there are none', () => {
    expect(slotsOf(newTrials(0), pairing)).toEqual([])
  })
})

describe('traffic by the alias’s last write', () => {
  const write = 'r1:3'
  it.each<readonly [string, readonly (readonly [number, Partial<TrialTally>])[], number | null]>([
    ['unknown while nothing was told', [], null],
    [
      'of what left lately',
      [
        [0, { arrived: 3 }],
        [0, { write: 'r1:2', version: v1, arrived: 1 }],
      ],
      7_500,
    ],
    [
      'by both versions that the write assigns',
      [
        [0, { arrived: 1 }],
        [0, { version: v1, arrived: 3 }],
      ],
      10_000,
    ],
    [
      'never rounded up',
      [
        [0, { arrived: 9_999 }],
        [0, { write: '', arrived: 2 }],
      ],
      9_998,
    ],
    [
      'whatever was told longer ago',
      [
        [-limits.trialTrafficMs - 1, { write: '', arrived: 50 }],
        [0, { arrived: 1 }],
      ],
      10_000,
    ],
    ['copies are no traffic', [[0, { shadow: true, arrived: 5 }]], null],
    ['ends are no departures', [[0, { judged: 5 }]], null],
  ])('%s', (_, tallies, expected) => {
    const trials = newTrials(0)
    for (const [atMs, tally] of tallies) foldTrials(trials, fra, [told(tally)], t0 + atMs)
    expect(trafficBpOf(trials, alias, write, t0)).toBe(expected)
  })
})

describe('counts', () => {
  it('requests judged by the write that sent them, of the version alone', () => {
    const trials = trialsOf([told({ judged: 3 }), told({ slotMs: t0 + slot, judged: 4 }), told({ version: v1, judged: 9 })])
    expect(judgedSince(trials, alias, 'r1:3', v2)).toBe(7)
    expect(judgedSince(trials, alias, 'r1:4', v2)).toBe(0)
  })

  it('of many writes the newest are counted, and memory stays small', () => {
    const trials = newTrials(0)
    for (let generation = 1; generation <= 50; generation++) foldTrials(trials, fra, [told({ write: `r1:${generation}`, judged: 1 })], t0)
    expect(judgedSince(trials, alias, 'r1:50', v2)).toBe(1)
    expect(judgedSince(trials, alias, 'r1:1', v2)).toBe(0)
    expect(trials.aliases.get(alias)?.since.size).toBeLessThanOrEqual(8)
  })

  it('what runs: departures without an end, whatever their write; an end that came alone is no negative one', () => {
    const trials = trialsOf([
      told({ arrived: 5, judged: 2 }),
      told({ write: '', arrived: 1 }),
      told({ slotMs: t0 + slot, judged: 4 }),
      told({ version: v1, arrived: 9 }),
    ])
    expect(runningOf(trials, alias, v2)).toBe(4)
  })

  it.each<readonly [string, number, number, number | null]>([
    ['over the whole slots of the last minute', 0, t0 + 60 * second, 0.5],
    ['a slot that goes on is not whole', 0, t0 + 60 * second + slot - 1, 0.5],
    ['unknown before one was whole', t0 + 60 * second, t0 + 60 * second + slot - 1, null],
    ['after a restart over those since', t0 + 40 * second, t0 + 60 * second, 0.5],
  ])('requests a second: %s', (_, sinceMs, nowMs, expected) => {
    const tallies = Array.from({ length: 7 }, (__, number) => told({ slotMs: t0 + number * slot, arrived: 5 }))
    const copies = told({ slotMs: t0, shadow: true, arrived: 100 })
    expect(arrivalsPerSOf(trialsOf([...tallies, copies], { sinceMs }), alias, fra, nowMs)).toBe(expected)
  })

  it('no requests are none, not unknown', () => {
    expect(arrivalsPerSOf(newTrials(0), alias, fra, t0)).toBe(0)
  })

  it('how copies compared, over all writes of the rollout', () => {
    const one: Compared = {
      of: 2,
      errorsDiffer: 1,
      deterministic: 2,
      same: 1,
      tokensStable: 10,
      tokensCanary: 12,
      tookMsStable: 100,
      tookMsCanary: 90,
    }
    const trials = trialsOf([told({ shadow: true, compared: one }), told({ shadow: true, write: 'r1:5', compared: one })])
    foldTrials(trials, fra, [told({ shadow: true, write: 'r10:1', compared: one })], t0)
    expect(comparedOf(trials, alias, 'r1' as RolloutId)).toMatchObject({ of: 4, errorsDiffer: 2, tokensCanary: 24 })
    expect(comparedOf(trials, alias, 'r2' as RolloutId)).toBeNull()
  })
})

describe('what a version usually does', () => {
  it('is summed over the last hour, without copies', () => {
    const trials = trialsOf([
      told({ version: v1, judged: 2, hardErrors: 1, ttft: { [timeClassOf(100)]: 2 } }),
      told({ version: v1, slotMs: t0 + slot, judged: 3, empty: { of: 3, bad: 1 } }),
      told({ version: v1, slotMs: t0 + 600 * second, judged: 4 }),
      told({ version: v1, shadow: true, judged: 90 }),
    ])
    expect(usualOf(trials, alias, v1)).toMatchObject({
      judged: 9,
      hardErrors: 1,
      empty: { of: 3, bad: 1 },
      ttft: { [timeClassOf(100)]: 2 },
    })
    expect(usualOf(trials, alias, v2).judged).toBe(0)
  })
})

describe('nothing is kept for ever', () => {
  const known = new Set([alias])
  it('slots go after ten minutes, what is usual after an hour', () => {
    const trials = trialsOf([told({ version: v1, arrived: 1, judged: 1 })])
    forgetTrials(trials, known, t0 + limits.rolloutBlockLateMsMax)
    expect(slotsOf(trials, pairing)).toHaveLength(1)
    forgetTrials(trials, known, t0 + limits.rolloutBlockLateMsMax + 1)
    expect(slotsOf(trials, pairing)).toEqual([])
    expect(usualOf(trials, alias, v1).judged).toBe(1)
    forgetTrials(trials, known, t0 + limits.trialUsualMs + 1)
    expect(usualOf(trials, alias, v1).judged).toBe(0)
  })

  it('a slot of a time to come goes as well: a clock that is wrong must not fill the memory', () => {
    const trials = trialsOf([told({ slotMs: t0 + limits.rolloutBlockLateMsMax + 3 * slot, arrived: 1 })])
    forgetTrials(trials, known, t0)
    expect(slotsOf(trials, pairing)).toEqual([])
  })

  it('an alias that is gone goes with all that was known of it', () => {
    const trials = trialsOf([told({ version: v1, arrived: 1, judged: 1 })])
    forgetTrials(trials, new Set(), t0)
    expect(trials.aliases.size).toBe(0)
  })

  it('a day of traffic takes no more than its last ten minutes', () => {
    const trials = newTrials(0)
    for (let at = t0; at < t0 + 3 * 3_600_000; at += slot) {
      foldTrials(trials, fra, [told({ slotMs: at, arrived: 1, judged: 1, version: v1 })], at)
      forgetTrials(trials, known, at)
    }
    const kept = trials.aliases.get(alias)
    expect(kept?.regions.get(fra)?.size).toBeLessThanOrEqual(limits.rolloutBlockLateMsMax / slot + 1)
    expect(kept?.minutes.get(v1)?.length).toBeLessThanOrEqual(limits.trialUsualMs / 60_000 + 1)
    expect(kept?.told.length).toBeLessThanOrEqual(limits.trialTrafficMs / slot + 1)
  })
})
