import { describe, expect, it } from 'vitest'
import { limits } from '../../../shared/limits.ts'
import { origins } from '../../../shared/geo.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import { statusOf } from '../../../core/loop.ts'
import { credential, endpointRow, regionAt, settle, World } from './loop-world.ts'

const homes = origins.map((origin) => `home:${origin.name}`)

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
    expect(statusOf(loop.state).lastTurn?.error).toBeNull()
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
    world.stored = { published: null, liveness: {}, copied: { seq: 0, afterKey: null } }
    await world.wake().turnAndSettle()
    expect(world.stored.published?.snapshot.generation).toBe(91)
  })

  it('does not take a late answer for a newer one, but counts its outcomes', async () => {
    const world = new World()
    const loop = world.wake()
    await loop.turnAndSettle()
    await loop.turnAndSettle()
    const one = { e1: { good: 1, soft_failure: 0, hard_failure: 0, cancelled: 0 } }
    world.evidence = { inFlight: { e1: 3 }, outcomes: one }
    world.ledgerDelayMs.set('atlas@fra', 3_000)
    const slow = loop.turn()
    await world.clock.advance(limits.exchangeTimeoutMs)
    await slow
    const known = () => statusOf(loop.state).ledgers.find((ledger) => ledger.name === 'atlas@fra')
    expect(known()?.error).toContain('no answer')

    world.ledgerDelayMs.clear()
    world.evidence = { inFlight: { e1: 1 }, outcomes: one }
    world.endpoints.push(endpointRow('e2'))
    world.wrote()
    await loop.turnAndSettle()
    const generation = world.stored.published?.snapshot.generation
    expect(known()).toMatchObject({ generation, inFlight: { e1: 1 }, error: null, outcomes: { e1: { good: 1 } } })
    await world.clock.advance(3_000)
    expect(known()).toMatchObject({ generation, inFlight: { e1: 1 }, outcomes: { e1: { good: 2 } } })
  })
})

describe('what is slow or broken stops nothing', () => {
  it('a probe that hangs: the write is in every ledger with no time passing at all', async () => {
    const world = new World()
    world.endpoints = Array.from({ length: 20 }, (_, i) => endpointRow(`e${i}`))
    for (const endpoint of world.endpoints) world.moods.set(endpoint.url, 'hang')
    const loop = world.wake()
    await loop.turnAndSettle()
    expect(world.log.filter((line) => line.startsWith('probe'))).toHaveLength(limits.probesAtOnceMax)
    world.endpoints.push(endpointRow('new'))
    world.wrote()
    await loop.turnAndSettle()
    for (const name of ['atlas@fra', ...homes]) expect(world.ledger(name).snapshot?.endpoints).toHaveLength(21)
    // And the places are free again after the timeout: all twenty are probed within four of them.
    await world.clock.advance(4 * limits.livenessTimeoutMs)
    expect(new Set(world.log.filter((line) => line.startsWith('probe'))).size).toBeGreaterThanOrEqual(20)
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
    expect(statusOf(loop.state).ledgers.find((ledger) => ledger.name === 'atlas@fra')?.generation).toBe(1)
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
    expect(statusOf(loop.state).ledgers.find((ledger) => ledger.name === 'atlas@fra')?.error).toBeNull()
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
    expect(statusOf(loop.state).lastTurn?.error).toContain('catalogue')
    world.database = 'live'
    await loop.turnAndSettle()
    expect(statusOf(loop.state).lastTurn?.error).toBeNull()
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
    expect(statusOf(loop.state).copies.error).toContain(mood === 'hang' ? 'no answer' : 'out of order')
    expect(world.stored.copied.seq).toBe(0)
    world.kvMood = 'live'
    await loop.turnAndSettle()
    expect(world.kv.get('k1')).toEqual(credential('k1'))
    expect((world.kv.get('snapshot') as Snapshot).generation).toBe(world.stored.published?.snapshot.generation)
    expect(statusOf(loop.state).copies.error).toBeNull()
  })
})

const stateOfE1 = (world: World) => world.ledger('atlas@fra').snapshot?.endpoints[0]?.state
const probeAgain = async (world: World, loop: { turnAndSettle(): Promise<void> }) => {
  await world.clock.advance(limits.livenessEveryMs)
  await loop.turnAndSettle()
  await loop.turnAndSettle()
}

describe('liveness in the snapshot', () => {
  it('healthy after one good, unhealthy after three bad, healthy after two good; stored through a restart', async () => {
    const world = new World()
    let loop = world.wake()
    await loop.turnAndSettle()
    await loop.turnAndSettle()
    expect(stateOfE1(world)).toBe('healthy')
    world.moods.set('http://e1', 'dead')
    for (const expected of ['healthy', 'healthy', 'unhealthy']) {
      await probeAgain(world, loop)
      expect(stateOfE1(world)).toBe(expected)
    }
    loop.kill()
    loop = world.wake()
    await loop.turnAndSettle()
    expect(stateOfE1(world)).toBe('unhealthy')
    world.moods.set('http://e1', 'live')
    for (const expected of ['unhealthy', 'healthy']) {
      await probeAgain(world, loop)
      expect(stateOfE1(world)).toBe(expected)
    }
  })

  it('starts anew with another address, and after being disabled', async () => {
    const world = new World()
    world.moods.set('http://e1', 'dead')
    const loop = world.wake()
    await loop.turnAndSettle()
    for (let i = 0; i < 3; i++) await probeAgain(world, loop)
    expect(stateOfE1(world)).toBe('unhealthy')
    world.endpoints = [endpointRow('e1', { state: 'disabled' })]
    world.wrote()
    await loop.turnAndSettle()
    expect(stateOfE1(world)).toBe('disabled')
    world.endpoints = [endpointRow('e1')]
    world.wrote()
    await loop.turnAndSettle()
    expect(stateOfE1(world)).toBe('unknown')
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
