import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import { origins } from '../../../shared/geo.ts'
import type { Exchange } from '../../../shared/wire/ledger.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import type { Target } from '../../../core/facts.ts'
import { turn } from '../../../core/loop.ts'
import { statusOf as statusAt } from '../../../core/status.ts'
import { credential, endpointRow, idle, outcomes, regionAt, settle, World, type Loop } from './loop-world.ts'

const statusOf = (loop: Loop) => statusAt(loop.state, loop.ports.clock.nowMs())
const homes = origins.map((origin) => `home:${origin.name}`)

const lastTurnOf = ({ state }: Loop) => state.lastTurn

describe('publishing', () => {
  it('stores the first snapshot before anybody is told, tells cells before homes, and KV last', async () => {
    const world = new World()
    world.wrote()
    await world.wake().turnAndSettle()
    const told = world.log.filter((line) => !line.startsWith('probe'))
    const at = (line: string) => told.indexOf(line)
    expect(at('store 1')).toBeGreaterThanOrEqual(0)
    expect(at('exchange atlas@fra 1')).toBeGreaterThan(at('store 1'))
    for (const home of homes) expect(at(`exchange ${home} 1`)).toBeGreaterThan(at('exchange atlas@fra 1'))
    expect(at('kv snapshot 1')).toBeGreaterThan(at('exchange home:oc 1'))
    expect(world.ledger('atlas@fra').snapshot?.endpoints.map((endpoint) => endpoint.id)).toEqual(['e1'])
  })

  it('writes nothing on unchanged turns, and asks only the cells', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    await world.clock.advance(limits.turnMs)
    // The first good probe is the last change.
    await loop.turnAndSettle()
    await world.clock.advance(limits.turnMs)
    await loop.turnAndSettle()
    world.log.length = 0
    for (let i = 0; i < 3; i++) {
      await world.clock.advance(limits.turnMs)
      await loop.turnAndSettle()
    }
    expect(world.log.filter((line) => !line.startsWith('probe'))).toEqual(Array(3).fill('exchange atlas@fra -'))
  })

  it('asks the homes again after a while, and gives the snapshot back to one that lost it', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    world.ledger('home:sam').snapshot = null
    await world.clock.advance(limits.homeCheckEveryMs)
    await loop.turnAndSettle()
    await world.clock.advance(limits.turnMs)
    await loop.turnAndSettle()
    expect(world.ledger('home:sam').snapshot?.generation).toBe(world.stored.published?.snapshot.generation)
  })

  it('tells a cell that left the snapshot, even through a crash, and then no more', async () => {
    const world = new World()
    world.regions.push(regionAt('iad', 39, -77))
    world.endpoints.push(endpointRow('e2', { region: 'iad' as never }))
    const loop = world.wake()
    await loop.turnAndSettle()
    world.endpoints = world.endpoints.filter((endpoint) => endpoint.id === 'e1')
    world.wrote()
    world.ledgerMoods.set('atlas@iad', 'fail')
    await loop.turnAndSettle()
    // Another publication before it has heard does not forget it either.
    world.wrote('key', 'k1')
    await loop.turnAndSettle()
    expect(world.ledger('atlas@iad').snapshot?.endpoints).toHaveLength(2)
    loop.kill()

    world.ledgerMoods.clear()
    const second = world.wake()
    await second.turnAndSettle()
    expect(world.ledger('atlas@iad').snapshot?.endpoints).toHaveLength(1)
    world.log.length = 0
    await second.turnAndSettle()
    expect(world.log.filter((line) => line.includes('atlas@iad'))).toEqual([])
  })

  it('publishes to KV alone while there is no edge', async () => {
    const world = new World()
    const loop = world.wake(null, 'after', false)
    await loop.turnAndSettle()
    expect((world.kv.get('snapshot') as Snapshot).generation).toBe(1)
    expect(statusOf(loop).lastTurn?.error).toBeNull()
  })

  it('names a written key once in the generation that first says so, and lets it go silently', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    await world.clock.advance(limits.turnMs)
    await loop.turnAndSettle()
    const before = world.stored.published?.snapshot.generation ?? 0
    world.keys.set('k1', credential('k1'))
    world.wrote('key', 'k1')
    world.wrote('key', 'k1')
    await loop.turnAndSettle()
    expect(world.stored.published?.snapshot.changed).toEqual([{ id: 'k1', generation: before + 1 }])
    await world.clock.advance(limits.changedKeptMs)
    await loop.turnAndSettle()
    expect(world.stored.published?.snapshot.generation).toBe(before + 1)
    world.wrote('tenant', 'acme')
    await loop.turnAndSettle()
    expect(world.stored.published?.snapshot.changed).toEqual([{ id: 'acme', generation: before + 2 }])
  })
})

describe('generations', () => {
  it('goes above a ledger that reports a higher one, at the next turn', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    world.ledger('atlas@fra').reported = 57
    await loop.turnAndSettle()
    expect(world.stored.published?.snapshot.generation).toBe(58)
    expect(world.ledger('atlas@fra').snapshot?.generation).toBe(58)
  })

  it.each(['home', 'copy'])('starts above what the %s knows when its storage was lost', async (who) => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    if (who === 'home') world.ledger('home:weur').reported = 90
    else world.kv.set('snapshot', { ...(world.kv.get('snapshot') as Snapshot), generation: 90 })
    world.stored = {
      published: null,
      liveness: {},
      health: { judged: [], waiting: [] },
      rollouts: { looks: [] },
      copied: { seq: 0, afterKey: null },
    }
    await world.wake().turnAndSettle()
    expect(world.stored.published?.snapshot.generation).toBe(91)
  })

  it('does not take a late answer for a newer one, but counts its blocks, once', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    await loop.turnAndSettle()
    world.loads.set('e1', idle(4, { inFlight: 3 }))
    world.ledger('atlas@fra').tell({ endpoints: { e1: outcomes({ good: 1 }) } as never })
    world.ledgerDelayMs.set('atlas@fra', 3_000)
    const slow = loop.turn()
    await world.clock.advance(limits.exchangeTimeoutMs)
    await slow
    const known = () => statusOf(loop).ledgers.find((ledger) => ledger.name === 'atlas@fra')
    expect(known()?.error).toContain('no answer')

    world.ledgerDelayMs.clear()
    world.loads.set('e1', idle(4, { inFlight: 1 }))
    world.ledger('atlas@fra').tell({ endpoints: { e1: outcomes({ good: 1 }) } as never })
    world.endpoints.push(endpointRow('e2'))
    world.wrote()
    await loop.turnAndSettle()
    const generation = world.stored.published?.snapshot.generation
    // Both blocks came with the newer answer, which the ledger told again because nobody had confirmed the first.
    expect(known()).toMatchObject({ generation, inFlight: { e1: 1 }, error: null, outcomes: { e1: { good: 2 } } })
    await world.clock.advance(3_000)
    expect(known()).toMatchObject({ generation, inFlight: { e1: 1 }, outcomes: { e1: { good: 2 } } })
  })
})

const atlasFra = (loop: Loop) => statusOf(loop).ledgers.find((ledger) => ledger.name === 'atlas@fra')
const oneGood = { endpoints: { e1: outcomes({ good: 1 }) } as never }

describe('the exchange', () => {
  it('counts each block once, confirms it, and begins anew with another life of the ledger', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    const ledger = world.ledger('atlas@fra')
    for (const expected of [1, 2]) {
      ledger.tell(oneGood)
      for (let i = 0; i < 3; i++) await loop.turnAndSettle()
      expect(atlasFra(loop)?.outcomes['e1']?.good).toBe(expected)
      expect(ledger.blocks).toEqual([])
    }
    ledger.restart()
    ledger.tell({ ...oneGood, ways: { blind: 3 } })
    for (let i = 0; i < 3; i++) await loop.turnAndSettle()
    expect(atlasFra(loop)).toMatchObject({ outcomes: { e1: { good: 3 } }, ways: { blind: 3 } })
    expect(ledger.blocks).toEqual([])
  })

  it('tells loads when they changed and again after a while, without a new generation; another life is told anew', async () => {
    const world = new World()
    const loop = world.wake()
    for (let i = 0; i < 4; i++) await loop.turnAndSettle()
    const generation = world.stored.published?.snapshot.generation
    const ledger = world.ledger('atlas@fra')
    const first = ledger.loads
    expect(first).toMatchObject({ model: 'atlas', weights: { e1: 1 } })
    await world.clock.advance(limits.turnMs)
    await loop.turnAndSettle()
    expect(ledger.loads).toBe(first)
    await world.clock.advance(limits.loadsRefreshMs)
    for (let i = 0; i < 2; i++) await loop.turnAndSettle()
    expect(ledger.loads?.atMs).toBeGreaterThan(first?.atMs ?? 0)
    const second = ledger.loads
    ledger.restart()
    ledger.loads = null
    for (let i = 0; i < 2; i++) await loop.turnAndSettle()
    expect(ledger.loads).toEqual(second)
    expect(world.stored.published?.snapshot.generation).toBe(generation)
  })

  it('orders each probe once although it is told in both calls of a turn', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    world.endpoints.push(endpointRow('e2'))
    world.wrote()
    for (let i = 0; i < 3; i++) await loop.turnAndSettle()
    const liveness = world.log.filter((line) => line === 'probe e1 liveness')
    expect(liveness).toHaveLength(1)
  })

  it('signs the snapshot once, over its text, and sends the signature along', async () => {
    const world = new World()
    const loop = world.wake()
    const texts: string[] = []
    const sent: (string | null | undefined)[] = []
    const signer = { sign: (text: string) => Promise.resolve(`signature ${texts.push(text)}`), verify: () => Promise.resolve(true) }
    const { ledgers } = loop.ports
    const ports = {
      ...loop.ports,
      signer: () => Promise.resolve(signer),
      ledgers: {
        exchange: (target: Target, asked: Exchange) => {
          if (asked.snapshot) sent.push(asked.signature)
          return ledgers?.exchange(target, asked) ?? Promise.reject(new Error('no ledgers'))
        },
      },
    }
    await turn(loop.state, ports, new AbortController().signal)
    expect(new Set(sent)).toEqual(new Set(['signature 1']))
    expect(texts).toEqual([JSON.stringify(world.stored.published?.snapshot)])
  })
})

describe('what is slow or broken stops nothing', () => {
  it('a probe that hangs: the write is in every ledger with no time passing at all', async () => {
    const world = new World()
    world.endpoints = Array.from({ length: 20 }, (_, i) => endpointRow(`e${i}`))
    for (const endpoint of world.endpoints) world.moods.set(endpoint.url, 'hang')
    const loop = world.wake()
    await loop.turnAndSettle()
    world.endpoints.push(endpointRow('new'))
    world.wrote()
    await loop.turnAndSettle()
    for (const name of ['atlas@fra', ...homes]) expect(world.ledger(name).snapshot?.endpoints).toHaveLength(21)
  })

  it('a ledger that hangs: the others and the homes have the write within one second', async () => {
    const world = new World()
    world.regions.push(regionAt('iad', 39, -77))
    world.endpoints.push(endpointRow('e2', { region: 'iad' as never }))
    const loop = world.wake()
    await loop.turnAndSettle()
    world.ledgerMoods.set('atlas@fra', 'hang')
    world.wrote()
    world.endpoints.push(endpointRow('e3', { region: 'iad' as never }))
    const running = loop.turn()
    await settle()
    expect(world.ledger('atlas@iad').snapshot?.endpoints).toHaveLength(3)
    await world.clock.advance(limits.cellsHeadStartMs)
    for (const home of homes) expect(world.ledger(home).snapshot?.endpoints).toHaveLength(3)
    await running
    expect(statusOf(loop).ledgers.find((ledger) => ledger.name === 'atlas@fra')?.generation).toBe(1)
  })

  it('a ledger whose answer makes no sense ends no turn: the others are judged and told', async () => {
    const world = new World()
    world.regions.push(regionAt('iad', 39, -77))
    world.endpoints.push(endpointRow('e2', { region: 'iad' as never }))
    const loop = world.wake()
    await loop.turnAndSettle()
    world.ledger('atlas@fra').blocks = [{ seq: 1 } as never]
    for (let i = 0; i < 3; i++) {
      await world.clock.advance(limits.turnMs)
      await loop.turnAndSettle()
    }
    expect(loop.state.lastTurn?.error).toBeNull()
    expect(world.ledger('atlas@iad').snapshot?.endpoints.find(({ id }) => id === 'e2')?.health).toBe('healthy')
    expect(statusOf(loop).ledgers.find(({ name }) => name === 'atlas@fra')?.error).not.toBeNull()
  })

  it('a ledger is not heard on the endpoints of another', async () => {
    const world = new World()
    world.regions.push(regionAt('iad', 39, -77))
    world.endpoints.push(endpointRow('e2', { region: 'iad' as never }))
    const loop = world.wake()
    for (let i = 0; i < 6; i++) {
      world.ledger('atlas@fra').tell({ endpoints: { e2: outcomes({ hard_failure: 50 }) } as never })
      await world.clock.advance(limits.turnMs)
      await loop.turnAndSettle()
    }
    expect(loop.state.judged.get('e2' as never)?.health).toBe('healthy')
    expect(statusOf(loop).ledgers.find(({ name }) => name === 'atlas@fra')?.outcomes).toEqual({})
  })

  it('a database that hangs delays a few turns and then hardly any, and a write is published soon after it is back', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    world.database = 'hang'
    const took: number[] = []
    for (let i = 0; i < 60; i++) {
      loop.state.lastTurn = null
      const running = loop.turn()
      await world.clock.advance(limits.turnMs)
      if (lastTurnOf(loop) === null) await world.clock.advance(limits.catalogueWaitMsMax)
      await running
      took.push(lastTurnOf(loop)?.tookMs ?? 0)
    }
    expect(took.filter((ms) => ms >= limits.catalogueWaitMsMax).length).toBeLessThanOrEqual(24)
    world.database = 'live'
    world.wrote()
    world.endpoints.push(endpointRow('e2'))
    for (let ms = 0; ms <= limits.readAgainMs; ms += limits.turnMs) {
      await loop.turnAndSettle()
      await world.clock.advance(limits.turnMs)
    }
    expect(world.ledger('atlas@fra').snapshot?.endpoints).toHaveLength(2)
  })

  it('a turn that is hurried stops waiting for ledgers', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    world.ledgerMoods.set('atlas@fra', 'hang')
    const hurry = new AbortController()
    let ended = false
    const running = loop.turn(hurry.signal).then(() => (ended = true))
    await settle()
    expect(ended).toBe(false)
    hurry.abort()
    await running
    expect(world.clock.nowMs() - (loop.state.lastTurn?.atMs ?? 0)).toBe(0)
  })

  it('a ledger that never answers is not called without end, and is called again once it answers', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    world.ledgerMoods.set('atlas@fra', 'hang')
    world.log.length = 0
    for (let i = 0; i < 20; i++) {
      const running = loop.turn()
      await world.clock.advance(limits.turnMs)
      await running
    }
    expect(world.log.filter((line) => line.startsWith('exchange atlas@fra'))).toHaveLength(limits.exchangesWaitingMax)
    world.ledgerMoods.clear()
    await world.clock.advance(limits.homeCheckEveryMs)
    await loop.turnAndSettle()
    expect(statusOf(loop).ledgers.find((ledger) => ledger.name === 'atlas@fra')?.error).toBeNull()
  })

  it.each(['hang', 'fail'] as const)('a database that is out (%s): ledgers are still asked, and the status says so', async (mood) => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    world.database = mood
    world.log.length = 0
    const running = loop.turn()
    await world.clock.advance(limits.catalogueWaitMsMax)
    await running
    expect(world.log).toContain('exchange atlas@fra -')
    expect(statusOf(loop).lastTurn?.error).toContain('catalogue')
    world.database = 'live'
    await loop.turnAndSettle()
    expect(statusOf(loop).lastTurn?.error).toBeNull()
  })

  it.each(['hang', 'fail'] as const)('a KV that is out (%s): turns go on, and the copies are made later', async (mood) => {
    const world = new World()
    world.kvMood = mood
    world.keys.set('k1', credential('k1'))
    world.wrote('key', 'k1')
    const loop = world.wake()
    await loop.turnAndSettle()
    expect(world.ledger('atlas@fra').snapshot).not.toBeNull()
    await world.clock.advance(limits.copyWaitMsMax)
    expect(statusOf(loop).copies.error).toContain(mood === 'hang' ? 'no answer' : 'out of order')
    expect(world.stored.copied.seq).toBe(0)
    world.kvMood = 'live'
    await loop.turnAndSettle()
    expect(world.kv.get('k1')).toEqual(credential('k1'))
    expect((world.kv.get('snapshot') as Snapshot).generation).toBe(world.stored.published?.snapshot.generation)
    expect(statusOf(loop).copies.error).toBeNull()
  })
})

const healthOf = (world: World, id = 'e1') => world.ledger('atlas@fra').snapshot?.endpoints.find((endpoint) => endpoint.id === id)?.health
/** Lets the next probe leave, come back and be judged. */
const probeAgain = async (world: World, loop: Loop) => {
  await world.clock.advance(limits.livenessEveryMs)
  for (let i = 0; i < 3; i++) await loop.turnAndSettle()
}
const twoEndpoints = (): World => {
  const world = new World()
  world.endpoints.push(endpointRow('e2'))
  return world
}
const begin = async (world: World, turns = 4): Promise<Loop> => {
  const loop = world.wake()
  for (let i = 0; i < turns; i++) await loop.turnAndSettle()
  return loop
}

describe('health in the snapshot', () => {
  it('healthy after one good, ejected after three bad, probing and healthy with two good; stored through a restart', async () => {
    const world = twoEndpoints()
    let loop = await begin(world)
    expect(healthOf(world)).toBe('healthy')
    world.moods.set('http://e1', 'dead')
    for (const expected of ['healthy', 'healthy', 'ejected']) {
      await probeAgain(world, loop)
      expect(healthOf(world)).toBe(expected)
    }
    expect(world.ledger('atlas@fra').snapshot?.endpoints[0]?.state).toBe('unhealthy')
    loop.kill()
    loop = world.wake()
    await loop.turnAndSettle()
    expect(healthOf(world)).toBe('ejected')
    world.moods.set('http://e1', 'live')
    for (let i = 0; i < 3; i++) await loop.turnAndSettle()
    expect(healthOf(world)).toBe('probing')
    await probeAgain(world, loop)
    expect(healthOf(world)).toBe('healthy')
  })

  it('starts anew with another address, and after being disabled', async () => {
    const world = twoEndpoints()
    world.moods.set('http://e1', 'dead')
    const loop = await begin(world)
    for (let i = 0; i < 3; i++) await probeAgain(world, loop)
    expect(healthOf(world)).toBe('ejected')
    world.endpoints = [endpointRow('e1', { state: 'disabled' }), endpointRow('e2')]
    world.wrote()
    await loop.turnAndSettle()
    expect(healthOf(world)).toBe('disabled')
    for (const more of [{}, { url: 'http://elsewhere' }]) {
      world.endpoints = [endpointRow('e1', more), endpointRow('e2')]
      world.wrote()
      await loop.turnAndSettle()
      expect(healthOf(world)).toBe('unknown')
      for (let i = 0; i < 3; i++) await probeAgain(world, loop)
    }
  })

  it('drains in a maintenance window, by the clock, and comes back after it', async () => {
    const world = twoEndpoints()
    const nowMs = world.clock.nowMs()
    world.endpoints = [
      endpointRow('e1', { maintenance: { fromMs: nowMs + 10_000, untilMs: nowMs + 20_000, reason: 'new disks' } }),
      endpointRow('e2'),
    ]
    const loop = await begin(world)
    expect(healthOf(world)).toBe('healthy')
    await world.clock.advance(10_000)
    await loop.turnAndSettle()
    await loop.turnAndSettle()
    expect(healthOf(world)).toBe('draining')
    expect(statusOf(loop).endpoints[0]?.reason).toBe('maintenance: new disks')
    await world.clock.advance(10_000)
    await loop.turnAndSettle()
    await loop.turnAndSettle()
    expect(healthOf(world)).toBe('healthy')
  })
})

describe('events', () => {
  it('each change once, with its reason and numbers, and not again after a restart', async () => {
    const world = twoEndpoints()
    const loop = await begin(world)
    world.moods.set('http://e1', 'dead')
    for (let i = 0; i < 3; i++) await probeAgain(world, loop)
    await loop.turnAndSettle()
    const ofE1 = () => world.events.filter(({ endpoint }) => endpoint === 'e1')
    expect(ofE1().map(({ from, to }) => [from, to])).toEqual([
      ['unknown', 'healthy'],
      ['healthy', 'ejected'],
    ])
    expect(ofE1()[1]).toMatchObject({ cell: 'atlas@fra', metric: 'liveness', value: 3, threshold: limits.livenessBadMax })
    loop.kill()
    await begin(world)
    expect(ofE1()).toHaveLength(2)
  })

  it('a database that is away: they wait, through a restart, and come when it is back', async () => {
    const world = twoEndpoints()
    const loop = await begin(world, 1)
    world.database = 'fail'
    for (let i = 0; i < 4; i++) await loop.turnAndSettle()
    expect(statusOf(loop).eventsWaiting).toBe(2)
    loop.kill()
    world.database = 'live'
    await begin(world)
    expect(world.events.map(({ endpoint, to }) => [endpoint, to])).toEqual([
      ['e1', 'healthy'],
      ['e2', 'healthy'],
    ])
    expect(world.stored.health.waiting).toEqual([])
  })

  it('one that hangs stops no turn', async () => {
    const world = twoEndpoints()
    const loop = await begin(world, 1)
    world.database = 'hang'
    const running = loop.turn()
    await world.clock.advance(limits.catalogueWaitMsMax)
    await running
    await world.clock.advance(limits.copyWaitMsMax)
    world.database = 'live'
    for (let i = 0; i < 4; i++) await loop.turnAndSettle()
    expect(world.events).toHaveLength(2)
  })
})

describe('copies of credentials', () => {
  it('follows a key through creation, its tenant disabled, and deletion', async () => {
    const world = new World()
    const loop = world.wake()
    world.keys.set('k1', credential('k1'))
    world.wrote('key', 'k1')
    await loop.turnAndSettle()
    expect(world.kv.get('k1')).toMatchObject({ disabled: false })
    world.keys.set('k1', credential('k1', 'acme', true))
    world.wrote('tenant', 'acme')
    await loop.turnAndSettle()
    expect(world.kv.get('k1')).toMatchObject({ disabled: true })
    world.keys.delete('k1')
    world.wrote('key', 'k1')
    await loop.turnAndSettle()
    expect(world.kv.has('k1')).toBe(false)
    expect(world.stored.copied).toEqual({ seq: 3, afterKey: null })
  })

  it('copies a large tenant page by page, and goes on where a crash stopped it', async () => {
    const world = new World()
    const many = 2 * limits.credentialsPerStepMax + 7
    for (let i = 0; i < many; i++) {
      const id = `k${String(i).padStart(4, '0')}`
      world.keys.set(id, credential(id, 'acme', true))
    }
    world.wrote('other')
    world.wrote('tenant', 'acme')
    world.wrote('key', 'gone')
    const dying = world.wake(80)
    void dying.turn()
    await settle()
    expect(dying.dead).toBe(true)
    const loop = world.wake()
    await loop.turnAndSettle()
    await world.clock.advance(limits.turnMs)
    await loop.turnAndSettle()
    expect([...world.keys.keys()].filter((id) => !world.kv.has(id))).toEqual([])
    expect(world.stored.copied).toEqual({ seq: 3, afterKey: null })
  })

  it('writes the snapshot to KV at most once a second', async () => {
    const world = new World()
    const loop = world.wake()
    for (let i = 0; i < 5; i++) {
      world.endpoints.push(endpointRow(`n${i}`))
      world.wrote()
      await loop.turnAndSettle()
    }
    expect(world.log.filter((line) => line.startsWith('kv snapshot'))).toHaveLength(1)
    await world.clock.advance(limits.snapshotCopyEveryMs)
    await loop.turnAndSettle()
    expect((world.kv.get('snapshot') as Snapshot).generation).toBe(world.stored.published?.snapshot.generation)
  })
})

const content = (snapshot: Snapshot | null | undefined) => ({
  endpoints: snapshot?.endpoints.map(({ id, state }) => [id, state]),
  fractions: snapshot?.fractions,
  changed: snapshot?.changed.map(({ id }) => id),
})

const finish = async (world: World, witness = () => {}) => {
  // Some time after a crash, so that whatever is made anew is not the same by chance.
  await world.clock.advance(limits.turnMs)
  const loop = world.wake()
  for (let i = 0; i < 4; i++) {
    await loop.turnAndSettle()
    witness()
    await world.clock.advance(limits.turnMs)
  }
  return {
    ledger: content(world.ledger('atlas@fra').snapshot),
    home: content(world.ledger('home:weur').snapshot),
    key: world.kv.get('k1'),
  }
}

describe('a crash at any await', () => {
  // The reference: what an undisturbed loop makes of the same history.
  const history: ((world: World) => void)[] = [
    (world) => world.wrote(),
    (world) => {
      world.keys.set('k1', credential('k1'))
      world.wrote('key', 'k1')
    },
    (world) => {
      world.endpoints = [endpointRow('e1', { state: 'draining' }), endpointRow('e2')]
      world.wrote()
    },
  ]
  it('and a restart give the same result, and no generation ever has two meanings or falls', async () => {
    const reference = new World()
    for (const step of history) step(reference)
    const expected = await finish(reference)

    let crashes = 0
    for (const when of ['before', 'after'] as const) {
      for (let dieAt = 1; ; dieAt++) {
        const world = new World()
        let died = false
        const meanings = new Map<number, string>()
        let highest = 0
        const witness = () => {
          for (const { snapshot } of world.ledgers.values()) {
            if (!snapshot) continue
            const text = JSON.stringify(snapshot)
            expect(meanings.get(snapshot.generation) ?? text).toBe(text)
            meanings.set(snapshot.generation, text)
          }
          const stored = world.stored.published?.snapshot.generation ?? 0
          expect(stored).toBeGreaterThanOrEqual(highest)
          highest = stored
        }
        // One life from the beginning that ends at its n-th call, whichever turn that is in.
        const doomed = world.wake(dieAt, when)
        for (const step of history) {
          step(world)
          if (doomed.dead) continue
          void doomed.turn()
          await settle()
          witness()
        }
        died = doomed.dead
        doomed.kill()
        expect(await finish(world, witness)).toEqual(expected)
        if (!died) break
        crashes++
      }
    }
    expect(crashes).toBeGreaterThan(60)
  })
})
