// The judge in virtual time: a loop with ledgers and servers, a turn each second.

import { describe, expect, it } from 'vitest'
import type { LoopState } from '../../../core/facts.ts'
import { judge } from '../../../core/judge/judge.ts'
import { weightsOf } from '../../../core/judge/weights.ts'
import { foldResults } from '../../../core/probe/probe.ts'
import { statusOf } from '../../../core/status.ts'
import type { EndpointId, ModelName } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import type { EndpointBlock } from '../../../shared/wire/ledger.ts'
import type { EndpointHealth } from '../../../shared/wire/snapshot.ts'
import { endpointRow, engineRecord, idle, outcomes, World, type Loop } from './loop-world.ts'

const fleet = (slots: readonly number[]): World => {
  const world = new World()
  world.endpoints = slots.map((each, index) => endpointRow(`e${index + 1}`, { slots: each }))
  return world
}
const ledgerOf = (world: World) => world.ledger('atlas@fra')
const healths = (world: World): readonly (EndpointHealth | undefined)[] =>
  ledgerOf(world).snapshot?.endpoints.map(({ health }) => health) ?? []

/** Turns, one each second; what happens in each is told before it. */
async function run(world: World, loop: Loop, seconds: number, happens: (second: number) => void = () => undefined): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    await world.clock.advance(limits.turnMs)
    happens(second)
    await loop.turnAndSettle()
  }
}
const tell = (world: World, endpoints: Readonly<Record<string, Partial<EndpointBlock>>>): void =>
  ledgerOf(world).tell({ endpoints: Object.fromEntries(Object.entries(endpoints).map(([id, each]) => [id, outcomes(each)])) })

/** Seconds until the endpoint is published as this; Infinity when that takes more than `atMost`. */
async function secondsUntil(health: EndpointHealth, world: World, loop: Loop, happens: () => void, atMost: number): Promise<number> {
  for (let second = 1; second <= atMost; second++) {
    await run(world, loop, 1, happens)
    if (healths(world)[0] === health) return second
  }
  return Number.POSITIVE_INFINITY
}

const begun = async (world: World): Promise<Loop> => {
  const loop = world.wake()
  await run(world, loop, 5)
  expect(new Set(healths(world))).toEqual(new Set(['healthy']))
  return loop
}

describe('a wedged engine', () => {
  it('answers its health path, generates nothing, and is out within 45 s; it comes back with its first token', async () => {
    const world = fleet([4, 4, 4])
    const loop = await begun(world)
    tell(world, { e1: { good: 1 }, e2: { good: 1 }, e3: { good: 1 } })
    await run(world, loop, 1)
    world.moods.set('http://e1', 'wedged')
    // Traffic keeps the others from being asked; the wedged one gives no answer at all, not even a failure.
    const others = () => tell(world, { e2: { good: 1 }, e3: { good: 1 } })
    expect(await secondsUntil('ejected', world, loop, others, 60)).toBeLessThanOrEqual(45)
    world.moods.delete('http://e1')
    expect(await secondsUntil('healthy', world, loop, others, 60)).toBeLessThanOrEqual(45)
  })
})

describe('long answers on all places', () => {
  const page = (tokensPerS: number) => engineRecord({ running: 4, tokensPerS })
  it.each([
    { name: 'without a page of metrics: busy, not wedged', engine: null, inFlight: 4, seen: ['healthy'] },
    { name: 'tokens move: busy, not wedged', engine: page(80), inFlight: 3, seen: ['healthy'] },
    { name: 'no token moves: wedged', engine: page(0), inFlight: 4, seen: ['healthy', 'ejected'] },
    { name: 'a place is free, and no page: wedged', engine: null, inFlight: 3, seen: ['healthy', 'ejected'] },
  ] as const)('$name', async ({ engine, inFlight, seen }) => {
    const world = fleet([4, 4, 4])
    const loop = await begun(world)
    tell(world, { e1: { good: 1 } })
    await run(world, loop, 1)
    world.moods.set('http://e1', 'wedged')
    if (engine) world.pages.set('http://e1', engine)
    world.loads.set('e1', idle(4, { inFlight, lastGoodAtMs: world.clock.nowMs() }))
    const words = new Set<EndpointHealth | undefined>()
    await run(world, loop, 300, () => words.add(healths(world)[0]))
    expect([...words]).toEqual(seen)
  })
})

describe('an endpoint that was out for giving no token', () => {
  const wedged = async () => {
    const world = fleet([4, 4, 4])
    const loop = await begun(world)
    world.moods.set('http://e1', 'wedged')
    const others = () => tell(world, { e2: { good: 1 }, e3: { good: 1 } })
    expect(await secondsUntil('ejected', world, loop, others, 60)).toBeLessThanOrEqual(45)
    return { world, loop }
  }

  it('is in again when requests succeed, although it is then not asked for a token', async () => {
    const { world, loop } = await wedged()
    world.moods.delete('http://e1')
    expect(await secondsUntil('healthy', world, loop, () => tell(world, { e1: { good: 1 } }), 5)).toBeLessThanOrEqual(2)
  })

  it('is tried when it is no longer to be asked for tokens', async () => {
    const { world, loop } = await wedged()
    world.endpoints = world.endpoints.map((each) => ({ ...each, options: { generationProbe: 'off' } }))
    world.wrote()
    expect(await secondsUntil('probing', world, loop, () => undefined, 60)).toBeLessThanOrEqual(35)
  })

  it('whose breaker is half open does not swing between the two words', async () => {
    const { world, loop } = await wedged()
    world.loads.set('e1', idle(4, { breaker: 'half_open' }))
    const before = world.events.length
    await run(world, loop, 60)
    expect(world.events.slice(before).filter(({ endpoint }) => endpoint === 'e1')).toHaveLength(0)
  })
})

describe('a quiet endpoint that has lost its page of metrics', () => {
  it('proves itself with a token now and then, and is not doubted in between', async () => {
    const world = fleet([4])
    world.pages.set('http://e1', engineRecord())
    const loop = await begun(world)
    world.pages.clear()
    const before = world.events.length
    await run(world, loop, 300)
    expect(world.events.slice(before)).toEqual([])
  })

  it('is known to be awake by the token that it gives', async () => {
    const world = fleet([4, 4])
    const loop = await begun(world)
    world.pages.set('http://e1', engineRecord({ sleeping: true }))
    await run(world, loop, 5)
    expect(healths(world)[0]).toBe('sleeping')
    world.pages.clear()
    expect(await secondsUntil('healthy', world, loop, () => undefined, 90)).toBeLessThanOrEqual(80)
  })
})

describe('a clock that steps back by an hour', () => {
  it('probes go on, and what was told before is forgotten', async () => {
    const world = fleet([4, 4, 4])
    const loop = await begun(world)
    await run(world, loop, 1, () => tell(world, { e1: { hard_failure: 6 } }))
    expect(healths(world)[0]).toBe('ejected')
    world.clock.stepBack(3_600_000)
    world.moods.set('http://e2', 'dead')
    await run(world, loop, 100)
    expect(healths(world)).toEqual(['healthy', 'ejected', 'healthy'])
    expect(loop.state.loads.get('atlas' as ModelName)?.atMs).toBeLessThanOrEqual(world.clock.nowMs())
  })
})

describe('generation probes that fail', () => {
  it.each([
    { name: 'and nothing was served since: out', goodAgoMs: 2_000, health: 'ejected' },
    { name: 'and a request was served since: the probe is wrong', goodAgoMs: 500, health: 'healthy' },
  ] as const)('$name', async ({ goodAgoMs, health }) => {
    const world = fleet([4, 4])
    const loop = await begun(world)
    const nowMs = world.clock.nowMs()
    const failed = { atMs: nowMs - 1_000, ok: false, detail: 'HTTP 500', ms: 10, warming: false, timedOut: false }
    const probes = new Map(
      [...loop.state.probes].map(([id, each]) =>
        id === 'e1' ? [id, { ...each, generationBad: 2, last: { ...each.last, generation: failed } }] : [id, each],
      ),
    )
    const traffic = new Map([['e1' as EndpointId, { told: [], lastGoodAtMs: nowMs - goodAgoMs }]])
    const { judged } = judge({ endpoints: world.endpoints, probes, traffic, ledgers: loop.state.ledgers, before: loop.state.judged, nowMs })
    expect(judged.get('e1' as EndpointId)?.health).toBe(health)
  })
})

/** The records after a status probe of each that failed with these words. */
function answersOfStatus(probes: LoopState['probes'], detail: string, nowMs: number): LoopState['probes'] {
  const order = (endpoint: EndpointId) => ({ id: `${endpoint} ${detail}`, endpoint, kind: 'status', timeoutMs: 1_000 }) as const
  const asked = new Map(
    [...probes].map(([id, each]) => [id, { ...each, open: { ...each.open, status: { order: order(id), atMs: nowMs, dueAtMs: nowMs } } }]),
  )
  const results = [...asked.keys()].map((id) => ({ ...order(id), atMs: nowMs, tookMs: 0, ok: false, detail }))
  return foldResults(asked, results, nowMs)
}

describe('an endpoint that its service no longer knows', () => {
  it.each([
    { detail: 'the service answers 400 ValidationException: Could not find endpoint "llama"', health: 'gone' },
    { detail: 'the service answers 404', health: 'gone' },
    { detail: 'the service answers 400 ThrottlingException: Rate exceeded', health: 'healthy' },
  ] as const)('$detail: $health', async ({ detail, health }) => {
    const world = fleet([4, 4])
    const loop = await begun(world)
    const nowMs = world.clock.nowMs()
    const { ledgers, traffic } = loop.state
    const judgedAfter = (probes: LoopState['probes'], before: LoopState['judged']) =>
      judge({ endpoints: world.endpoints, probes, traffic, ledgers, before, nowMs }).judged
    const told = answersOfStatus(loop.state.probes, detail, nowMs)
    const judged = judgedAfter(told, loop.state.judged)
    expect([...judged.values()].map((each) => each.health)).toEqual([health, health])
    // An answer that says nothing of the endpoint does not take the word back.
    const later = judgedAfter(answersOfStatus(told, 'ThrottlingException: Rate exceeded', nowMs), judged)
    expect([...later.values()].map((each) => each.health)).toEqual([health, health])
  })
})

describe('failures of requests', () => {
  it('40 % of them, never five in a row: out within 15 s', async () => {
    const world = fleet([4, 4])
    const loop = await begun(world)
    const failing = () => tell(world, { e1: { good: 3, hard_failure: 2 }, e2: { good: 5 } })
    expect(await secondsUntil('ejected', world, loop, failing, 30)).toBeLessThanOrEqual(15)
    expect(world.events.findLast(({ endpoint }) => endpoint === 'e1')).toMatchObject({
      to: 'ejected',
      metric: 'hard_failure_share',
      value: 0.4,
      threshold: limits.breakerRatio,
    })
  })

  it('an open breaker, half open, slow start: out, on trial, back', async () => {
    const world = fleet([4, 4])
    const loop = await begun(world)
    for (const [breaker, health] of [
      ['open', 'ejected'],
      ['half_open', 'probing'],
      ['slow_start', 'healthy'],
    ] as const) {
      world.loads.set('e1', idle(4, { breaker, reason: breaker === 'open' ? '5 of 5 failed' : null }))
      await run(world, loop, 2)
      expect(healths(world)[0]).toBe(health)
    }
    expect(world.events.filter(({ to }) => to === 'ejected')).toMatchObject([{ reason: '5 of 5 failed', metric: 'breaker' }])
  })

  it('429 alone: less weight, never out', async () => {
    const world = fleet([4, 4])
    const loop = await begun(world)
    const seen = new Set<EndpointHealth | undefined>()
    await run(world, loop, 60, () => {
      tell(world, { e1: { soft_failure: 20 }, e2: { good: 20 } })
      seen.add(healths(world)[0])
    })
    expect(seen).toEqual(new Set(['healthy', 'degraded']))
    const weights = ledgerOf(world).loads?.weights
    expect(weights?.['e1' as EndpointId] ?? 0).toBeLessThan(weights?.['e2' as EndpointId] ?? 0)
    expect(await secondsUntil('healthy', world, loop, () => tell(world, { e1: { good: 20 } }), 30)).toBeLessThanOrEqual(30)
  })
})

describe('checks that are wrong about everything', () => {
  it('60 % of the capacity fails its health path: at most half is out, the alarm says panic, all come back', async () => {
    const world = fleet([4, 4, 4, 4, 4])
    const loop = await begun(world)
    for (const id of ['e1', 'e2', 'e3']) world.moods.set(`http://${id}`, 'dead')
    await run(world, loop, 30)
    expect(healths(world)).toEqual(['ejected', 'ejected', 'degraded', 'healthy', 'healthy'])
    expect(world.events.filter(({ metric }) => metric === 'ejected_share')).toMatchObject([
      { endpoint: 'e3', from: 'healthy', to: 'degraded' },
    ])
    const before = world.stored.published?.snapshot.generation
    await run(world, loop, 30)
    expect(world.stored.published?.snapshot.generation).toBe(before)
    world.moods.clear()
    await run(world, loop, 30)
    expect(new Set(healths(world))).toEqual(new Set(['healthy']))
  })

  it('60 % fails its health path and serves: nobody is out', async () => {
    const world = fleet([4, 4, 4, 4, 4])
    const loop = await begun(world)
    for (const id of ['e1', 'e2', 'e3']) world.moods.set(`http://${id}`, 'dead')
    await run(world, loop, 60, () => tell(world, Object.fromEntries(['e1', 'e2', 'e3', 'e4', 'e5'].map((id) => [id, { good: 5 }]))))
    expect(healths(world)).toEqual(['degraded', 'degraded', 'degraded', 'healthy', 'healthy'])
  })

  it('metrics gone everywhere for five minutes: nobody is out, weights follow capacity within a tenth', async () => {
    const slots = [64, 32, 32, 16]
    const world = fleet(slots)
    const loop = await begun(world)
    // The pages of these servers were read once.
    const record = { source: 'vllm', running: 1, waiting: 0, sleeping: false } as never
    const page = { atMs: world.clock.nowMs(), record }
    loop.state.probes = new Map([...loop.state.probes].map(([id, each]) => [id, { ...each, engine: page }]))
    const seen = new Set<EndpointHealth | undefined>()
    await run(world, loop, 300, () => {
      for (const [index, each] of slots.entries()) world.loads.set(`e${index + 1}`, idle(each, { inFlight: each / 2, serviceMs: 1_000 }))
      tell(world, Object.fromEntries(slots.map((each, index) => [`e${index + 1}`, { good: each / 2 }])))
      for (const health of healths(world)) seen.add(health)
    })
    expect(seen).toEqual(new Set(['healthy']))
    const weights = ledgerOf(world).loads?.weights
    for (const [index, each] of slots.entries()) {
      const share = each / 144
      expect(Math.abs((weights?.[`e${index + 1}` as EndpointId] ?? 0) - share)).toBeLessThan(share / 10)
    }
  })
})

describe('a ledger that is cut off', () => {
  it('its endpoints keep their state, and the status says so', async () => {
    const world = fleet([4, 4])
    const loop = await begun(world)
    world.loads.set('e1', idle(4, { breaker: 'open', reason: 'failed' }))
    await run(world, loop, 2)
    world.ledgerMoods.set('atlas@fra', 'fail')
    await run(world, loop, 120)
    expect([...loop.state.judged.values()].map(({ health }) => health)).toEqual(['ejected', 'healthy'])
    expect(statusOf(loop.state, world.clock.nowMs()).endpoints.map(({ held }) => held)).toEqual([true, true])
    const events = world.events.length
    world.ledgerMoods.clear()
    world.loads.clear()
    // Once it speaks again, its breaker has closed meanwhile: a token proves the endpoint well.
    await run(world, loop, 5)
    expect(healths(world)).toEqual(['healthy', 'healthy'])
    expect(world.events.slice(events).map(({ endpoint }) => endpoint)).not.toContain('e2')
  })
})

describe('weights', () => {
  it('a slower endpoint gets less, a throttled one less, one that cannot serve none; an unmeasured one the mean', async () => {
    const world = fleet([10, 10, 10, 10, 10])
    const loop = await begun(world)
    const endpoints = (ledgerOf(world).snapshot?.endpoints ?? []).map((each) =>
      each.id === 'e4' ? { ...each, state: 'draining' as const } : each,
    )
    world.loads.set('e1', idle(10, { serviceMs: 1_000 }))
    world.loads.set('e2', idle(10, { serviceMs: 4_000 }))
    world.loads.set('e3', idle(10, { serviceMs: 1_000, cap: 5 }))
    await run(world, loop, 1)
    const weights = weightsOf(endpoints, loop.state.ledgers, world.clock.nowMs())
    const of = (id: string): number => weights.get(id as EndpointId) ?? 0
    expect(of('e2') / of('e1')).toBeCloseTo(0.25, 2)
    expect(of('e3') / of('e1')).toBeCloseTo(0.5, 2)
    expect(weights.has('e4' as EndpointId)).toBe(false)
    expect(of('e5')).toBeGreaterThan(of('e2'))
    expect(of('e5')).toBeLessThan(of('e1'))
  })
})
