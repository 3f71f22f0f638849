// The judge's memory between turns: when it begins, what of a turn it takes in, what a bake counts from, and what it says.

import { describe, expect, it } from 'vitest'
import type { ModelName, RegionName, RolloutId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { aliasNameOf, timeClassOf, type TrialTally } from '../../../shared/wire/trial.ts'
import { noTrouble, type Trouble } from '../../../core/rollout/judgement.ts'
import { bakeOf, look, noLook, sayNow, type KeptLook, type Seen } from '../../../core/rollout/look.ts'
import type { Rollout } from '../../../core/rollout/record.ts'
import { foldTrials, newTrials, type Pairing, type Trials } from '../../../core/rollout/trials.ts'
import { trialTally } from '../../support/trial.ts'
import { Ride, shadow, weight } from './rollout-ride.ts'

const fra = 'fra' as RegionName
const iad = 'iad' as RegionName
const v1 = 'v1' as VersionId
const v2 = 'v2' as VersionId
const alias = aliasNameOf('production', 'atlas' as ModelName)
const pairing: Pairing = { alias, stable: v1, canary: v2, rollout: 'r1' as RolloutId }
const slot = limits.rolloutBlockMs
const t0 = 60_000_000

/** A rollout whose canary has just been given its weight. */
const shifting = (): Ride => new Ride([weight(1_000)]).begin()

/** Trials, a clock and the judge's memory, moved by hand. */
class Bench {
  trials: Trials
  nowMs = t0
  trouble: Trouble = noTrouble
  isReadable = true
  regions: readonly RegionName[] = [fra, iad]
  kept: KeptLook = noLook
  rollout: Rollout = shifting().rollout

  constructor(sinceMs = 0) {
    this.trials = newTrials(sinceMs)
  }

  tell(so: Partial<TrialTally>, region = fra): this {
    const slotMs = Math.floor(this.nowMs / slot) * slot
    foldTrials(this.trials, region, [trialTally({ alias, version: v2, write: 'r1:5', slotMs, ...so })], this.nowMs)
    return this
  }

  look(afterMs = 0): this {
    this.nowMs += afterMs
    const { trials, trouble, isReadable, regions, nowMs } = this
    const seen: Seen = { trials, trouble, isReadable, regions, nowMs, objectives: { tpotP95MsMax: null } }
    this.kept = look(this.kept, this.rollout, pairing, seen)
    return this
  }

  /** Until what was told is whole. */
  settle = (): this => this.look(slot + limits.trialReportMs)

  get inBake(): number {
    return this.kept.judgement?.sums.hard_error?.bake.canary.requests ?? 0
  }
  get total(): number {
    return this.kept.judgement?.sums.hard_error?.total.canary.requests ?? 0
  }
}

describe('the judge begins', () => {
  it.each<readonly [string, Rollout, boolean]>([
    ['not while it warms', new Ride([weight(100)]).rollout, false],
    ['with the first step', shifting().rollout, true],
    ['with copies', new Ride([shadow(100), weight(100)]).begin().rollout, true],
    ['not where it goes back, which has no steps', { ...shifting().rollout, steps: [], phase: 'promoting' }, false],
    ['not once it is over', { ...shifting().rollout, phase: 'rolled_back' }, false],
  ])('%s', (_, rollout, isBegun) => {
    const bench = new Bench()
    bench.rollout = rollout
    expect(bench.look().kept.judgement !== null).toBe(isBegun)
  })

  it('not while nobody knows a region', () => {
    const bench = new Bench()
    bench.regions = []
    expect(bench.look().kept).toBe(noLook)
  })

  it('by what stable did until the canary’s first request that counts, and by nothing after', () => {
    const bench = new Bench().look()
    expect(bench.kept.skipped.slow_first_token).toContain('stable gave 0 first tokens')
    bench.tell({ version: v1, judged: 200, arrived: 200, ttft: { [timeClassOf(100)]: 200 } }).look()
    expect(bench.kept.bounds.ttftClass).toBe(timeClassOf(100))
    bench.tell({ arrived: 1, judged: 1, ttft: { [timeClassOf(100)]: 1 } }).settle()
    expect(bench.total).toBe(1)
    bench.tell({ version: v1, judged: 9_000, arrived: 9_000, ttft: { [timeClassOf(900)]: 9_000 } }).settle()
    expect(bench.kept.bounds.ttftClass).toBe(timeClassOf(100))
  })

  it('once: what it has counted stays when it is looked at again', () => {
    const bench = new Bench().tell({ arrived: 3, judged: 3 }).settle()
    expect(bench.total).toBe(3)
    expect(bench.look().total).toBe(3)
    expect(bench.settle().total).toBe(3)
  })

  it('and is the same where nothing happened: nothing is stored then', () => {
    const bench = new Bench().tell({ arrived: 3, judged: 3 }).settle()
    const { kept } = bench
    expect(bench.look(1).kept).toBe(kept)
  })
})

describe('a slot counts', () => {
  it('once it is whole, and no sooner', () => {
    const bench = new Bench().tell({ arrived: 3, judged: 2 }).settle()
    expect(bench.total).toBe(0)
    bench.tell({ slotMs: t0, judged: 1 }).look()
    expect(bench.total).toBe(3)
  })

  it('never for a part that another life of core was told', () => {
    const bench = new Bench(t0 + 1).tell({ slotMs: t0, arrived: 3, judged: 3 }).settle()
    expect(bench.total).toBe(0)
    expect(bench.tell({ arrived: 2, judged: 2 }).settle().total).toBe(2)
  })

  it('not twice when it is told again after a restart', () => {
    const bench = new Bench().tell({ arrived: 3, judged: 3 }).settle()
    bench.trials = newTrials(0)
    bench.tell({ slotMs: t0, arrived: 3, judged: 3 }).look()
    expect(bench.total).toBe(3)
  })

  it('not of a region in trouble, also when it is told once that is over; elsewhere it does', () => {
    const bench = new Bench().look()
    bench.trouble = { fleet: false, regions: [iad] }
    bench.tell({ arrived: 3, judged: 3 }, iad).tell({ arrived: 2, judged: 2 }).settle()
    bench.trouble = noTrouble
    expect(bench.settle().total).toBe(2)
    expect(bench.tell({ arrived: 5, judged: 5 }, iad).settle().total).toBe(7)
  })

  it('of a region that was not there when it began, not at all', () => {
    const bench = new Bench().tell({ arrived: 1, judged: 1 }).settle()
    bench.tell({ arrived: 9, judged: 9 }, 'bom' as RegionName).settle()
    expect(bench.total).toBe(1)
  })
})

describe('a bake', () => {
  const baking = (ride: Ride): Rollout => ride.take(ride.settled()).rollout

  it('counts from its begin: what came while traffic shifted is of the rollout, not of the bake', () => {
    const ride = shifting()
    const bench = new Bench()
    bench.rollout = ride.rollout
    bench.tell({ arrived: 40, judged: 40 }).settle()
    bench.rollout = baking(ride)
    bench.tell({ arrived: 7, judged: 7 }).settle()
    expect([bench.total, bench.inBake]).toEqual([47, 7])
  })

  it('that is extended counts on; one that goes on after a pause begins anew', () => {
    const ride = shifting()
    const bench = new Bench()
    bench.rollout = baking(ride)
    bench.tell({ arrived: 7, judged: 7 }).settle()
    bench.rollout = ride.pass(600_000).take({ kind: 'bake_over', canaryRequests: 7 }).rollout
    expect(bench.rollout).toMatchObject({ phase: 'baking', extended: true })
    expect(bench.tell({ arrived: 2, judged: 2 }).settle().inBake).toBe(9)
    ride.pass(600_000).take({ kind: 'bake_over', canaryRequests: 9 })
    bench.rollout = ride.take({ kind: 'resume', actor: 'grace', reason: 'more traffic now' }).rollout
    expect(bench.rollout).toMatchObject({ phase: 'baking', extended: false })
    expect(bench.tell({ arrived: 1, judged: 1 }).settle().inBake).toBe(1)
    expect(bench.total).toBe(10)
  })

  it.each<readonly [string, Partial<Rollout>, { readonly minRequests: number; readonly proof: boolean; readonly endsAtMs: number }]>([
    ['under way', { phase: 'baking', bakeEndsAtMs: t0 + 9 }, { minRequests: 100, proof: false, endsAtMs: t0 + 9 }],
    ['that has not begun is all ahead', { phase: 'shifting' }, { minRequests: 100, proof: false, endsAtMs: t0 + 600_000 }],
    ['that is judged is over', { phase: 'judging' }, { minRequests: 100, proof: false, endsAtMs: t0 }],
    [
      'that a pause holds up has its rest ahead',
      { phase: 'paused', pause: { why: 'manual', awaits: 'resume', untilMs: null, back: { to: 'baking', leftMs: 70 } } },
      { minRequests: 100, proof: false, endsAtMs: t0 + 70 },
    ],
    [
      'that a pause keeps from beginning is all ahead',
      { phase: 'paused', pause: { why: 'low_data', awaits: 'resume', untilMs: null, back: { to: 'shifting' } } },
      { minRequests: 100, proof: false, endsAtMs: t0 + 600_000 },
    ],
    [
      'between two steps is over',
      { phase: 'paused', pause: { why: 'manual', awaits: 'approval', untilMs: null, back: { to: 'step', index: 1 } } },
      { minRequests: 100, proof: false, endsAtMs: t0 },
    ],
    [
      'of copies asks for no requests of its own',
      { steps: [shadow(100)], phase: 'judging' },
      { minRequests: 0, proof: false, endsAtMs: t0 },
    ],
  ])('%s', (_, so, expected) => {
    expect(bakeOf({ ...shifting().rollout, ...so }, t0)).toEqual(expected)
  })
})

describe('what cannot be measured', () => {
  it('is counted once in ten seconds, and forgotten with the first look that can', () => {
    const bench = new Bench().look()
    bench.isReadable = false
    for (let turn = 0; turn < 30; turn++) bench.look(1_000)
    expect(bench.kept.judgement?.unmeasured).toBe(3)
    bench.isReadable = true
    bench.look(slot)
    expect(bench.kept.judgement?.unmeasured).toBe(0)
  })
})

describe('what it says', () => {
  const said = (bench: Bench) => sayNow(bench.kept, bakeOf(bench.rollout, bench.nowMs), pairing, bench.trials, bench.nowMs)
  const failing = (bench: Bench) => said(bench).filter(({ answer }) => answer === 'fail')

  it('nothing before it began', () => {
    expect(said(new Bench())).toEqual([])
  })

  it('the guard by requests that have only left, before their slot is whole', () => {
    const bench = new Bench().look().tell({ arrived: 40, judged: 20, hardErrors: 20 }).look()
    expect(bench.total).toBe(0)
    expect(failing(bench)).toMatchObject([{ gate: 'fast_guard', metric: 'hard_error', canary: 0.5, samples: { canary: 40 } }])
  })

  it('not the guard below thirty', () => {
    expect(failing(new Bench().look().tell({ arrived: 29, judged: 29, hardErrors: 29 }).look())).toEqual([])
  })

  it('not the guard by the ends alone of requests that had left before a restart: they are the worst', () => {
    const bench = new Bench(t0 + 1).look().tell({ slotMs: t0, judged: 40, hardErrors: 40 }).look()
    expect(failing(bench)).toEqual([])
  })

  it('not the guard by what a region did in its trouble', () => {
    const bench = new Bench().look()
    bench.trouble = { fleet: false, regions: [iad] }
    bench.tell({ arrived: 60, judged: 60, hardErrors: 60 }, iad).look(1_000)
    expect(failing(bench)).toEqual([])
    bench.tell({ arrived: 60, judged: 60, hardErrors: 60 }).look()
    expect(failing(bench)).toMatchObject([{ gate: 'fast_guard' }])
  })

  it('beside a guard that fails, what the other gates say of hard errors', () => {
    const bench = new Bench().tell({ version: v1, arrived: 60, judged: 60 }).tell({ arrived: 60, judged: 60, hardErrors: 40 }).settle()
    expect(
      said(bench)
        .filter(({ metric }) => metric === 'hard_error')
        .map(({ gate }) => gate),
    ).toEqual(['fast_guard', 'no_harm'])
  })
})
