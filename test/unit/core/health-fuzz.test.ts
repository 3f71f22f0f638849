// Health in virtual time under evidence by chance: whatever has happened, an endpoint that is well comes back, and one whose evidence does
// not change does not change its word again and again.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import type { EngineRecord } from '../../../shared/wire/probe.ts'
import type { EndpointHealth } from '../../../shared/wire/snapshot.ts'
import { endpointRow, engineRecord, idle, outcomes, World, type Loop, type Mood } from './loop-world.ts'

const moods: readonly Mood[] = ['live', 'dead', 'hang', 'wedged']
const breakers = ['closed', 'open', 'half_open', 'slow_start'] as const
const pages: readonly (Partial<EngineRecord> | null)[] = [null, {}, { sleeping: true }, { sleeping: false }, { sleeping: null }]
const answers = ['none', 'good', 'soft', 'hard', 'mixed'] as const

/** A time in which nothing about the endpoint changes. */
const phase = fc.record({
  seconds: fc.integer({ min: 1, max: 50 }),
  mood: fc.constantFrom(...moods),
  ledger: fc.constantFrom('live', 'live', 'live', 'fail'),
  breaker: fc.constantFrom(...breakers),
  page: fc.constantFrom(...pages),
  answers: fc.constantFrom(...answers),
  restart: fc.boolean(),
})
type Phase = typeof phase extends fc.Arbitrary<infer T> ? T : never

const told = {
  none: {},
  good: { good: 5 },
  soft: { soft_failure: 30 },
  hard: { hard_failure: 6 },
  mixed: { good: 6, hard_failure: 3 },
} as const

const serves = (health: EndpointHealth | undefined): boolean => ['unknown', 'healthy', 'degraded'].includes(health ?? 'unknown')
const wordOf = (loop: Loop): EndpointHealth | undefined => [...loop.state.judged.values()][0]?.health

/** Lives through a phase; the health after each of its seconds. Requests come only to one that is published as serving, and not past its breaker. */
async function live(world: World, loop: Loop, now: Phase): Promise<readonly (EndpointHealth | undefined)[]> {
  const seen: (EndpointHealth | undefined)[] = []
  for (let second = 0; second < now.seconds; second++) {
    await world.clock.advance(limits.turnMs)
    world.moods.set('http://e1', now.mood)
    world.ledgerMoods.set('atlas@fra', now.ledger)
    if (now.page) world.pages.set('http://e1', engineRecord(now.page))
    else world.pages.delete('http://e1')
    const isGiven = serves(wordOf(loop)) && now.breaker !== 'open' && now.breaker !== 'half_open'
    const wanted = isGiven ? told[now.answers] : {}
    if (now.ledger === 'live') {
      const good = 'good' in wanted ? world.clock.nowMs() : (world.loads.get('e1')?.lastGoodAtMs ?? null)
      world.loads.set('e1', idle(4, { breaker: now.breaker, lastGoodAtMs: good }))
      world.ledger('atlas@fra').tell({ endpoints: { e1: outcomes(wanted), e2: outcomes({ good: 1 }) } as never })
    }
    await loop.turnAndSettle()
    seen.push(wordOf(loop))
  }
  return seen
}

const begun = (): World => {
  const world = new World()
  world.endpoints = [endpointRow('e1'), endpointRow('e2', { slots: 8 })]
  return world
}
const well: Phase = { seconds: 100, mood: 'live', ledger: 'live', breaker: 'closed', page: null, answers: 'none', restart: false }
const changesOf = (words: readonly unknown[]): number => words.filter((word, index) => index > 0 && word !== words[index - 1]).length

describe('whatever happened', () => {
  it('an endpoint that is well again is healthy within 100 s, with requests or without, with a page or without', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(phase, { minLength: 1, maxLength: 6 }),
        fc.constantFrom('none', 'good'),
        fc.constantFrom(null, {}, { sleeping: false }),
        async (phases, then, page) => {
          const world = begun()
          let loop = world.wake()
          for (const each of phases) {
            if (each.restart) loop = world.wake()
            await live(world, loop, each)
          }
          const words = await live(world, loop, { ...well, answers: then, page })
          expect(words.at(-1)).toBe('healthy')
        },
      ),
      { numRuns: 40, seed: 7 },
    )
  }, 60_000)

  it('under evidence that stays, the word changes at most six times a minute', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(phase, { minLength: 0, maxLength: 2 }), phase, async (phases, last) => {
        const world = begun()
        const loop = world.wake()
        for (const each of phases) await live(world, loop, each)
        await live(world, loop, { ...last, seconds: 90 })
        const words = await live(world, loop, { ...last, seconds: 60 })
        expect(changesOf(words)).toBeLessThanOrEqual(6)
      }),
      { numRuns: 40, seed: 8 },
    )
  }, 60_000)
})
