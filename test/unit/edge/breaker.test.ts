import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { capOf, isOut, keep, newBreaker, observe, reasonOf, restore, stateOf, tryOut, type Breaker } from '../../../edge/ledger/breaker.ts'
import { limits } from '../../../shared/limits.ts'
import type { OutcomeKind } from '../../../shared/wire/ledger.ts'

const startMs = 1_700_000_000_000
const slots = 64
/** The longest back-off that a draw gives. */
const longest = () => 1
const shortest = () => 0

type More = { readonly mayOpen?: boolean; readonly retryAfterMs?: number; readonly random?: () => number; readonly sentAtMs?: number }

function see(breaker: Breaker, outcome: OutcomeKind, nowMs: number, { mayOpen = true, ...more }: More = {}): void {
  observe(breaker, outcome, { nowMs, random: longest, sentAtMs: nowMs, mayOpen: () => mayOpen, ...more })
}

function times(n: number, breaker: Breaker, outcome: OutcomeKind, nowMs: number, more?: More): void {
  for (let i = 0; i < n; i++) see(breaker, outcome, nowMs, more)
}

/** Opened at `startMs`, and closed again by two good answers after its back-off. */
function closedAgain(): { breaker: Breaker; nowMs: number } {
  const breaker = newBreaker()
  times(5, breaker, 'hard_failure', startMs)
  const nowMs = startMs + 5_000
  times(2, breaker, 'good', nowMs)
  return { breaker, nowMs }
}

describe('opening', () => {
  it.each<readonly [string, number, readonly OutcomeKind[], string | null]>([
    ['four hard failures in a row', 0, ['hard_failure', 'hard_failure', 'hard_failure', 'hard_failure'], null],
    ['five', 0, Array<OutcomeKind>(5).fill('hard_failure'), '5 hard failures in a row (limit 5)'],
    [
      'five with soft ones and cancelled ones between',
      0,
      ['hard_failure', 'soft_failure', 'hard_failure', 'cancelled', 'hard_failure', 'hard_failure', 'hard_failure'],
      '5 hard failures in a row (limit 5)',
    ],
    ['a good one between', 0, ['hard_failure', 'hard_failure', 'hard_failure', 'good', 'hard_failure', 'hard_failure'], null],
    ['a fifth of twenty', 16, Array<OutcomeKind>(4).fill('hard_failure'), null],
    [
      'more than a fifth of twenty',
      15,
      ['hard_failure', 'hard_failure', 'good', 'hard_failure', 'hard_failure', 'hard_failure'],
      'hard failures 0.24 of 21 in 10 s (limit 0.2)',
    ],
    ['more than a fifth of nineteen', 14, ['hard_failure', 'hard_failure', 'hard_failure', 'good', 'hard_failure'], null],
    ['soft failures alone', 0, Array<OutcomeKind>(200).fill('soft_failure'), null],
    ['clients that leave', 0, Array<OutcomeKind>(200).fill('cancelled'), null],
  ])('%s', (_, good, outcomes, reason) => {
    const breaker = newBreaker()
    times(good, breaker, 'good', startMs)
    for (const outcome of outcomes) see(breaker, outcome, startMs)
    expect(reasonOf(breaker)).toBe(reason)
    expect(isOut(breaker, startMs)).toBe(reason !== null)
    expect(stateOf(breaker, startMs)).toBe(reason === null ? 'closed' : 'open')
    if (reason !== null) expect(capOf(breaker, slots, startMs)).toBe(0)
  })

  it('40 % hard failures that are never five in a row are out within 15 s at 3 requests per second', () => {
    const breaker = newBreaker()
    let nowMs = startMs
    for (let i = 0; !isOut(breaker, nowMs) && nowMs < startMs + 60_000; i++) {
      nowMs += 333
      see(breaker, i % 5 < 2 ? 'hard_failure' : 'good', nowMs)
    }
    expect(nowMs - startMs).toBeLessThan(15_000)
  })

  it('counts ten seconds only: what came before a gap does not weigh', () => {
    const breaker = newBreaker()
    for (let i = 0; i < 19; i++) see(breaker, i % 4 === 0 ? 'hard_failure' : 'good', startMs)
    see(breaker, 'hard_failure', startMs + 10_000)
    expect(isOut(breaker, startMs + 10_000)).toBe(false)
    const inTime = newBreaker()
    for (let i = 0; i < 19; i++) see(inTime, i % 4 === 0 ? 'hard_failure' : 'good', startMs)
    see(inTime, 'hard_failure', startMs + 8_000)
    expect(isOut(inTime, startMs + 8_000)).toBe(true)
  })

  it('waits while it may not, however bad, and opens as soon as it may', () => {
    const breaker = newBreaker()
    times(100, breaker, 'hard_failure', startMs, { mayOpen: false })
    expect(stateOf(breaker, startMs)).toBe('closed')
    expect(capOf(breaker, slots, startMs)).toBe(slots)
    see(breaker, 'hard_failure', startMs + 1, { mayOpen: true })
    expect(stateOf(breaker, startMs + 1)).toBe('open')
  })

  it('stays closed when it may open but is well again', () => {
    const breaker = newBreaker()
    times(6, breaker, 'hard_failure', startMs, { mayOpen: false })
    times(30, breaker, 'good', startMs + 1, { mayOpen: false })
    see(breaker, 'hard_failure', startMs + 2)
    expect(stateOf(breaker, startMs + 2)).toBe('closed')
  })
})

describe('back-off', () => {
  it('is half fixed and half chance', () => {
    for (const [random, backoffMs] of [
      [shortest, 2_500],
      [() => 0.5, 3_750],
      [longest, 5_000],
    ] as const) {
      const breaker = newBreaker()
      times(5, breaker, 'hard_failure', startMs, { random })
      expect(stateOf(breaker, startMs + backoffMs - 1)).toBe('open')
      expect(stateOf(breaker, startMs + backoffMs)).toBe('half_open')
    }
  })

  it('doubles with each opening, up to its maximum', () => {
    const breaker = newBreaker()
    let nowMs = startMs
    times(4, breaker, 'hard_failure', nowMs)
    const waits = Array.from({ length: 12 }, () => {
      see(breaker, 'hard_failure', nowMs)
      const fromMs = nowMs
      while (isOut(breaker, nowMs)) nowMs += 500
      return nowMs - fromMs
    })
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300].map((s) => s * 1_000))
  })

  it('is longer when it opens again soon after closing, and the first again after five good minutes', () => {
    for (const [closedMs, backoffMs] of [
      [limits.breakerForgetMs - 1, 10_000],
      [limits.breakerForgetMs, 5_000],
    ] as const) {
      const { breaker, nowMs } = closedAgain()
      times(5, breaker, 'hard_failure', nowMs + closedMs)
      expect(isOut(breaker, nowMs + closedMs + backoffMs - 1)).toBe(true)
      expect(isOut(breaker, nowMs + closedMs + backoffMs)).toBe(false)
    }
  })

  it('is not the first again when the five minutes were spent on trial', () => {
    const { breaker, nowMs } = closedAgain()
    times(5, breaker, 'hard_failure', nowMs)
    const trialMs = nowMs + 2 * limits.breakerForgetMs
    see(breaker, 'hard_failure', trialMs)
    expect(isOut(breaker, trialMs + 19_999)).toBe(true)
    expect(isOut(breaker, trialMs + 20_000)).toBe(false)
  })

  it('is not prolonged, nor cut short, by what was sent before it opened', () => {
    const breaker = newBreaker()
    times(5, breaker, 'hard_failure', startMs)
    times(50, breaker, 'hard_failure', startMs + 1_000)
    times(50, breaker, 'good', startMs + 1_000)
    expect(stateOf(breaker, startMs + 4_999)).toBe('open')
    expect(stateOf(breaker, startMs + 5_000)).toBe('half_open')
  })
})

describe('half-open', () => {
  const trial = (): { breaker: Breaker; nowMs: number } => {
    const breaker = newBreaker()
    times(5, breaker, 'hard_failure', startMs)
    return { breaker, nowMs: startMs + 5_000 }
  }

  it('gives one place, and two good answers close it', () => {
    const { breaker, nowMs } = trial()
    expect(capOf(breaker, slots, nowMs)).toBe(1)
    see(breaker, 'good', nowMs)
    expect(stateOf(breaker, nowMs)).toBe('half_open')
    see(breaker, 'good', nowMs)
    expect(stateOf(breaker, nowMs)).toBe('slow_start')
  })

  it('a hard failure opens it again, and the good answers before it do not count', () => {
    const { breaker, nowMs } = trial()
    see(breaker, 'good', nowMs)
    see(breaker, 'hard_failure', nowMs)
    expect(stateOf(breaker, nowMs + 9_999)).toBe('open')
    expect(reasonOf(breaker)).toContain('on trial')
    see(breaker, 'good', nowMs + 10_000)
    expect(stateOf(breaker, nowMs + 10_000)).toBe('half_open')
  })

  it('stays half-open after a hard failure while it may not open', () => {
    const { breaker, nowMs } = trial()
    see(breaker, 'hard_failure', nowMs, { mayOpen: false })
    expect(capOf(breaker, slots, nowMs)).toBe(1)
  })

  it('a soft failure fails the trial: no other before Retry-After, and it counts from the start', () => {
    const { breaker, nowMs } = trial()
    see(breaker, 'good', nowMs)
    see(breaker, 'soft_failure', nowMs, { retryAfterMs: 7_000 })
    expect(capOf(breaker, slots, nowMs + 6_999)).toBe(0)
    expect(stateOf(breaker, nowMs + 7_000)).toBe('half_open')
    see(breaker, 'good', nowMs + 7_000)
    expect(stateOf(breaker, nowMs + 7_000)).toBe('half_open')
    see(breaker, 'good', nowMs + 7_000)
    expect(stateOf(breaker, nowMs + 7_000)).toBe('slow_start')
  })

  it('what was sent before, even before it opened, is no trial: failures open nothing, good answers close nothing', () => {
    const { breaker, nowMs } = trial()
    const before = { sentAtMs: nowMs - 1 }
    times(9, breaker, 'hard_failure', nowMs, before)
    expect(stateOf(breaker, nowMs)).toBe('half_open')
    times(9, breaker, 'good', nowMs, before)
    expect(stateOf(breaker, nowMs)).toBe('half_open')
    see(breaker, 'good', nowMs)
    for (const outcome of ['hard_failure', 'soft_failure'] as const) see(breaker, outcome, nowMs + 1, before)
    see(breaker, 'good', nowMs + 2, { sentAtMs: nowMs })
    expect(stateOf(breaker, nowMs + 2)).toBe('slow_start')
    times(5, breaker, 'hard_failure', nowMs + 3)
    expect(stateOf(breaker, nowMs + 3 + 9_999)).toBe('open')
    expect(stateOf(breaker, nowMs + 3 + 10_000)).toBe('half_open')
  })

  it('is also how an endpoint that others took out comes back: tried at a moment of the next slow start', () => {
    for (const [random, afterMs] of [
      [() => 0, 0],
      [() => 0.5, limits.slowStartMs / 2],
    ] as const) {
      const breaker = newBreaker()
      tryOut(breaker, startMs, random)
      if (afterMs > 0) expect(stateOf(breaker, startMs + afterMs - 1)).toBe('open')
      expect(stateOf(breaker, startMs + afterMs)).toBe('half_open')
      see(breaker, 'hard_failure', startMs + afterMs)
      expect(stateOf(breaker, startMs + afterMs + limits.breakerBackoffMs - 1)).toBe('open')
      times(2, breaker, 'good', startMs + afterMs + limits.breakerBackoffMs)
      expect(stateOf(breaker, startMs + afterMs + limits.breakerBackoffMs)).toBe('slow_start')
    }
  })

  it('asks whether it may open only when a failure would open it', () => {
    const { breaker, nowMs } = trial()
    let asked = 0
    const mayOpen = () => asked++ >= 0
    const seeing = (outcome: OutcomeKind, of: Breaker) => observe(of, outcome, { nowMs, random: longest, sentAtMs: nowMs, mayOpen })
    for (const outcome of ['good', 'cancelled', 'soft_failure', 'hard_failure'] as const) seeing(outcome, newBreaker())
    expect(asked).toBe(0)
    seeing('hard_failure', breaker)
    expect(asked).toBe(1)
  })

  it('a client that leaves changes nothing, so the place is free for the next', () => {
    const { breaker, nowMs } = trial()
    see(breaker, 'cancelled', nowMs)
    expect(capOf(breaker, slots, nowMs)).toBe(1)
    times(2, breaker, 'good', nowMs)
    expect(stateOf(breaker, nowMs)).toBe('slow_start')
  })
})

describe('slow start', () => {
  it('grows evenly from a tenth of the places to all', () => {
    const { breaker, nowMs } = closedAgain()
    const caps = [0, 10_000, 20_000, 30_000].map((afterMs) => capOf(breaker, 100, nowMs + afterMs))
    expect(caps).toEqual([10, 40, 70, 100])
    expect(capOf(breaker, 4, nowMs)).toBe(1)
    expect(stateOf(breaker, nowMs + 29_999)).toBe('slow_start')
    expect(stateOf(breaker, nowMs + 30_000)).toBe('closed')
  })

  it('begins with clean counts: the failures that opened it do not open it again', () => {
    const { breaker, nowMs } = closedAgain()
    times(30, breaker, 'good', nowMs)
    see(breaker, 'hard_failure', nowMs)
    expect(isOut(breaker, nowMs)).toBe(false)
  })
})

describe('throttling', () => {
  it('a soft failure takes three tenths, further seconds of them take more, and one place always remains', () => {
    const breaker = newBreaker()
    const caps = Array.from({ length: 20 }, (_, second) => {
      const nowMs = startMs + second * 1_000
      see(breaker, 'soft_failure', nowMs)
      return capOf(breaker, 64, nowMs)
    })
    expect(caps.slice(0, 3)).toEqual([44, 33, 25])
    expect(caps.at(-1)).toBe(7)
    expect(capOf(breaker, 4, startMs + 19 * 1_000)).toBe(1)
    expect(stateOf(breaker, startMs)).toBe('closed')
  })

  it('those that were under way together are one cut, and one that was sent after it is another', () => {
    const breaker = newBreaker()
    const late = startMs + 900
    times(64, breaker, 'soft_failure', startMs)
    expect(capOf(breaker, 100, startMs)).toBe(70)
    const before = capOf(breaker, 100, late)
    for (let i = 0; i < 64; i++) see(breaker, 'soft_failure', late, { sentAtMs: startMs })
    expect(capOf(breaker, 100, late)).toBeLessThanOrEqual(before)
    expect(capOf(breaker, 100, late)).toBeGreaterThanOrEqual(70)
    see(breaker, 'soft_failure', late, { sentAtMs: startMs + 1 })
    expect(capOf(breaker, 100, late)).toBeLessThan(60)
  })

  it('nothing comes back while they go on: an endpoint that turns everybody away is down to one place in seconds', () => {
    const breaker = newBreaker()
    for (let ms = 0; ms <= 12_000; ms += 100) see(breaker, 'soft_failure', startMs + ms)
    expect(capOf(breaker, 64, startMs + 12_000)).toBe(1)
  })

  it('of those at once the longest Retry-After counts', () => {
    const breaker = newBreaker()
    for (const retryAfterMs of [1_000, 9_000, 2_000]) see(breaker, 'soft_failure', startMs, { retryAfterMs })
    expect(capOf(breaker, 100, startMs + 8_999)).toBe(1)
    expect(capOf(breaker, 100, startMs + 9_000)).toBe(70)
  })

  it('comes back within 20 s by time alone, and sooner with good answers', () => {
    const silent = newBreaker()
    const busy = newBreaker()
    for (const breaker of [silent, busy]) for (let second = 0; second < 20; second++) see(breaker, 'soft_failure', startMs + second * 1_000)
    const fromMs = startMs + 19 * 1_000
    expect(capOf(silent, 100, fromMs + 10_000)).toBe(61)
    expect(capOf(silent, 100, fromMs + 20_000)).toBe(100)
    for (let ms = 100; ms <= 8_000; ms += 100) see(busy, 'good', fromMs + ms)
    expect(capOf(busy, 100, fromMs + 8_000)).toBeGreaterThan(90)
  })

  it('takes three tenths of what has come back by then', () => {
    const breaker = newBreaker()
    see(breaker, 'soft_failure', startMs)
    see(breaker, 'soft_failure', startMs + 10_000)
    expect(capOf(breaker, 100, startMs + 10_000)).toBe(70)
  })

  it('gives one place until Retry-After has passed, whatever good answers come', () => {
    const breaker = newBreaker()
    see(breaker, 'soft_failure', startMs, { retryAfterMs: 3_000 })
    times(50, breaker, 'good', startMs + 1_000)
    expect(capOf(breaker, 100, startMs + 2_999)).toBe(1)
    expect(capOf(breaker, 100, startMs + 3_000)).toBe(70)
  })

  it.each([Number.NaN, -5, Number.POSITIVE_INFINITY, 1e15])('an absurd Retry-After (%s) does not keep it away for ever', (retryAfterMs) => {
    const breaker = newBreaker()
    see(breaker, 'soft_failure', startMs, { retryAfterMs })
    expect(capOf(breaker, 100, startMs + limits.breakerBackoffMsMax)).toBeGreaterThanOrEqual(70)
  })
})

describe('for all sequences', () => {
  const outcome = fc.constantFrom<OutcomeKind>('good', 'soft_failure', 'hard_failure', 'cancelled')
  type Step = {
    readonly afterMs: number
    readonly outcome: OutcomeKind
    readonly mayOpen: boolean
    readonly retryAfterMs: number | null
    readonly chance: number
  }
  const stepOf = (leastMs: number): fc.Arbitrary<Step> =>
    fc.record({
      afterMs: fc.oneof(fc.integer({ min: leastMs, max: 2_000 }), fc.integer({ min: leastMs * 100, max: 400_000 })),
      outcome: fc.oneof({ weight: 3, arbitrary: fc.constant<OutcomeKind>('hard_failure') }, { weight: 5, arbitrary: outcome }),
      mayOpen: fc.boolean(),
      retryAfterMs: fc.option(fc.integer({ min: 0, max: 400_000 })),
      chance: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    })
  const play = (breaker: Breaker, steps: readonly Step[], check: (nowMs: number) => void): number => {
    let nowMs = startMs
    for (const { afterMs, chance, retryAfterMs, outcome, mayOpen } of steps) {
      nowMs += afterMs
      observe(breaker, outcome, { nowMs, random: () => chance, sentAtMs: nowMs, mayOpen: () => mayOpen, retryAfterMs })
      check(nowMs)
    }
    return nowMs
  }

  it('the cap is what the state says, and it comes back by itself, also when the clock steps back (property)', () => {
    fc.assert(
      fc.property(fc.array(stepOf(-2_000), { maxLength: 80 }), fc.integer({ min: 1, max: 200 }), (steps, slots) => {
        const breaker = newBreaker()
        const nowMs = play(breaker, steps, (atMs) => {
          const cap = capOf(breaker, slots, atMs)
          const state = stateOf(breaker, atMs)
          expect(cap).toBeGreaterThanOrEqual(state === 'open' ? 0 : 1)
          expect(cap).toBeLessThanOrEqual({ open: 0, half_open: 1, slow_start: slots, closed: slots }[state])
          expect(isOut(breaker, atMs)).toBe(state === 'open')
        })
        const laterMs = nowMs + limits.breakerBackoffMsMax
        times(2, breaker, 'good', laterMs)
        expect(['slow_start', 'closed']).toContain(stateOf(breaker, laterMs))
        expect(capOf(breaker, slots, laterMs + 30_000)).toBe(slots)
      }),
    )
  })

  it('only a hard failure or a good answer that leaves too many bad ones beside it opens it, and never against the ceiling (property)', () => {
    fc.assert(
      fc.property(fc.array(stepOf(0), { maxLength: 80 }), (steps) => {
        const breaker = newBreaker()
        let nowMs = startMs
        for (const step of steps) {
          nowMs += step.afterMs
          const before = stateOf(breaker, nowMs)
          const mayOpen = () => step.mayOpen
          observe(breaker, step.outcome, { nowMs, random: () => step.chance, sentAtMs: nowMs, mayOpen, retryAfterMs: null })
          if (before === 'open' || stateOf(breaker, nowMs) !== 'open') continue
          expect(step.mayOpen).toBe(true)
          expect(['hard_failure', 'good']).toContain(step.outcome)
        }
      }),
    )
  })

  it('restored, it gives no more than before, at any time after (property)', () => {
    fc.assert(
      fc.property(fc.array(stepOf(0), { maxLength: 60 }), fc.nat(400_000), fc.nat(400_000), (steps, awayMs, afterMs) => {
        const breaker = newBreaker()
        const restoredAtMs = play(breaker, steps, () => {}) + awayMs
        const back = restore(JSON.parse(JSON.stringify(keep(breaker))) as ReturnType<typeof keep>, restoredAtMs)
        for (const atMs of [restoredAtMs, restoredAtMs + afterMs]) {
          expect(capOf(back, slots, atMs)).toBeLessThanOrEqual(capOf(breaker, slots, atMs))
          if (isOut(breaker, atMs)) expect(isOut(back, atMs)).toBe(true)
        }
        expect(reasonOf(back)).toBe(reasonOf(breaker))
      }),
    )
  })
})

describe('a clock that steps back', () => {
  it('leaves what was to wait as it was', () => {
    const breaker = newBreaker()
    times(5, breaker, 'hard_failure', startMs)
    const hourAgoMs = startMs - 3_600_000
    // Sent before it opened; it brings the news of the other clock.
    see(breaker, 'good', hourAgoMs)
    expect(stateOf(breaker, hourAgoMs + 4_999)).toBe('open')
    expect(stateOf(breaker, hourAgoMs + 5_000)).toBe('half_open')
  })

  it('leaves all its places to an endpoint that answers well', () => {
    const breaker = newBreaker()
    see(breaker, 'good', startMs)
    expect(capOf(breaker, slots, startMs - 1_000)).toBe(slots)
  })

  it('by hours does not shut it out for hours, though nobody tells it', () => {
    const breaker = newBreaker()
    times(5, breaker, 'hard_failure', startMs)
    expect(stateOf(breaker, startMs - 3_600_000)).toBe('half_open')
  })

  it('by hours while it was away keeps it out no longer than the longest back-off, and out at first', () => {
    const breaker = newBreaker()
    times(5, breaker, 'hard_failure', startMs)
    const nowMs = startMs - 3_600_000
    const back = restore(keep(breaker), nowMs)
    expect(isOut(back, nowMs)).toBe(true)
    expect(isOut(back, nowMs + limits.breakerBackoffMsMax)).toBe(false)
  })
})
