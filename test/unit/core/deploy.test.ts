// Deploying as a whole, over the stores in memory and servers that are scripted: what rollouts wish becomes so, nobody is ever routed to what
// is not there, and a crash before or after any call changes nothing of the end.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { carryOut, type DeployPorts } from '../../../core/deploy/deploy.ts'
import type { Deployment, Draft, OutboxRow } from '../../../core/facts.ts'
import type { Deployers, OutboxStore } from '../../../core/ports.ts'
import type { EndpointId, RegionName, RolloutId, TargetId, VersionId } from '../../../shared/ids.ts'
import { limits } from '../../../shared/limits.ts'
import { furnished, stamp, targetDraft as target, versionDraft } from '../../support/deploy-world.ts'

const startMs = 1_700_000_000_000
const v1 = 'atlas-1' as VersionId
const v2 = 'atlas-2' as VersionId

/** Servers that take `polls` questions to load or unload, and fail first as often as told. */
function servers(of: { readonly polls: number; readonly failures: number; readonly look: (what: string) => Promise<void> }) {
  const loaded = new Map<string, number>()
  let failuresLeft = of.failures
  const calls: string[] = []
  const nameOf = (...[at, what]: Parameters<Deployers['bring']>): string => `${at.id}.${what.id}`
  const deployers: Deployers = {
    bring: async (at, what) => {
      const name = nameOf(at, what)
      calls.push(`bring ${name}`)
      if (failuresLeft-- > 0) return { state: 'failed', detail: 'connection refused', mayRetry: true }
      const polls = Math.min((loaded.get(name) ?? 0) + 1, of.polls + 1)
      loaded.set(name, polls)
      return polls > of.polls ? { state: 'ready', detail: 'ready', servedName: what.id } : { state: 'loading', detail: 'loading' }
    },
    remove: async (at, what) => {
      const name = nameOf(at, what)
      calls.push(`remove ${name}`)
      await of.look(name)
      if (failuresLeft-- > 0) return { state: 'failed', detail: 'connection refused', mayRetry: true }
      const polls = (loaded.get(name) ?? 0) - 1
      if (polls > 0) loaded.set(name, polls)
      else loaded.delete(name)
      return polls > 0 ? { state: 'loading', detail: 'unloading' } : { state: 'gone', detail: 'unloaded' }
    },
    credentialFor: async (at, endpoint) => (at.credential === null ? null : `${at.credential} for ${endpoint}`),
  }
  const isReady = (name: string): boolean => (loaded.get(name) ?? 0) > of.polls
  return { deployers, calls, isReady, loaded }
}

/** The outbox, with rows added as rollouts' commits would. */
function outboxOf() {
  const rows: (OutboxRow & { done: boolean })[] = []
  const store: OutboxStore = {
    undone: async (kinds, limit) => rows.filter((row) => !row.done && kinds.includes(row.kind)).slice(0, limit),
    done: async (ids) => {
      for (const row of rows) if (ids.includes(row.id)) row.done = true
    },
  }
  const add = (kind: 'deploy' | 'undeploy', of: VersionId): void => {
    const seq = rows.length + 1
    rows.push({
      seq,
      id: `o${seq}`,
      rollout: 'r1' as RolloutId,
      kind,
      payload: JSON.stringify({ kind, version: of, generation: seq, key: `o${seq}` }),
      atMs: startMs,
      done: false,
    })
  }
  return { store, add, rows, undone: () => rows.filter((row) => !row.done) }
}

class Crash extends Error {}

/** Ports of which the call with this number, counted over all, and all after it fail: before it took effect, or after. */
function crashing(ports: DeployPorts, at: { readonly call: number; readonly after: boolean }): DeployPorts {
  let calls = 0
  let isDown = false
  const guarded = <T extends object>(port: T): T =>
    Object.fromEntries(
      Object.entries(port).map(([name, method]) => [
        name,
        async (...given: readonly unknown[]) => {
          const isHit = calls++ === at.call
          if (isDown || (isHit && !at.after)) {
            isDown = true
            throw new Crash('crashed')
          }
          const answer: unknown = await (method as (...given: readonly unknown[]) => Promise<unknown>)(...given)
          if (isHit) isDown = true
          if (isHit) throw new Crash('crashed')
          return answer
        },
      ]),
    ) as T
  return { ...ports, outbox: guarded(ports.outbox), deployments: guarded(ports.deployments), deployers: guarded(ports.deployers) }
}

async function scene(of: { readonly polls?: number; readonly failures?: number } = {}) {
  const world = await furnished({ regions: ['fra', 'iad'], versions: [versionDraft(v1), versionDraft(v2)] })
  const outbox = outboxOf()
  let nowMs = startMs
  const endpointIds = async () => (await world.rows.list('endpoint', { after: null, limit: 100 })).map(({ id }) => String(id))
  const fleet = servers({
    polls: of.polls ?? 0,
    failures: of.failures ?? 0,
    // Nothing is unloaded to which somebody could still be routed.
    look: async (name) => expect(await endpointIds()).not.toContain(name),
  })
  const step: DeployPorts['deployments']['step'] = async (before, change, rows, by) => {
    // Nobody is routed to what is not there.
    if (rows.endpoint) expect(fleet.isReady(rows.endpoint.id)).toBe(true)
    return world.deployments.step(before, change, rows, by)
  }
  let ids = 0
  const ports: DeployPorts = {
    clock: { nowMs: () => nowMs },
    outbox: outbox.store,
    deployments: { ...world.deployments, step },
    deployers: fleet.deployers,
    rows: world.rows,
    freshId: () => `id${ids++}`,
  }
  const rowsNow = () => world.deployments.list({ version: null, afterKey: null, limit: 100 })
  const isUnfinished = ({ isWanted, state, endpoint }: Deployment): boolean =>
    state !== 'failed' && (state !== (isWanted ? 'ready' : 'gone') || (endpoint === null) === isWanted)
  /** Passes until nothing is left to do, the clock set forward to what is due. */
  async function settle(with_: DeployPorts = ports): Promise<void> {
    for (let passes = 0; passes < 500; passes++) {
      await carryOut(with_, nowMs)
      const left = (await rowsNow()).filter(isUnfinished)
      if (left.length === 0 && outbox.undone().length === 0) return
      nowMs = Math.max(nowMs + 1, Math.min(...left.map(({ nextAtMs }) => nextAtMs)))
    }
    throw new Error('it does not come to an end')
  }
  const pass = (with_: DeployPorts = ports): Promise<void> => carryOut(with_, nowMs)
  const later = (ms: number): void => void (nowMs += ms)
  const states = async () => (await rowsNow()).map((each) => `${each.target} ${each.version} ${each.state} ${each.endpoint ?? '-'}`)
  return { ...world, outbox, fleet, ports, settle, pass, later, states, endpointIds, rowsNow, now: () => nowMs }
}

describe('a version that a rollout wants', () => {
  it('is brought to every target of its model, and has its endpoints when it is ready', async () => {
    const { outbox, settle, states, endpointIds, rows, fleet } = await scene({ polls: 2 })
    outbox.add('deploy', v2)
    await settle()
    expect(await states()).toEqual(['fra atlas-2 ready fra.atlas-2', 'iad atlas-2 ready iad.atlas-2'])
    expect(await endpointIds()).toEqual(['fra.atlas-2', 'iad.atlas-2'])
    expect(await rows.get('endpoint', ['fra.atlas-2'])).toMatchObject({
      region: 'fra',
      version: v2,
      kind: 'openai',
      url: 'http://fra',
      servedName: v2,
      slots: 4,
      weight: 1,
      state: 'enabled',
      maintenance: null,
      hasCredential: true,
    })
    expect(fleet.calls.filter((call) => call === 'bring fra.atlas-2')).toHaveLength(3)
  })

  it('is asked for again with growing pauses while it cannot be reached, and given up in the end', async () => {
    const { outbox, settle, rowsNow, now } = await scene({ failures: 1_000 })
    outbox.add('deploy', v2)
    await settle()
    expect((await rowsNow()).map(({ state, attempts }) => [state, attempts])).toEqual([
      ['failed', limits.deployAttemptsMax],
      ['failed', limits.deployAttemptsMax],
    ])
    expect(now() - startMs).toBeLessThan(3_600_000)
  })

  it('that a webhook has reported as ready gets its endpoint', async () => {
    const { outbox, make, pass, rowsNow, deployments, rows, later, ports } = await scene()
    await make('target', target('hook', { region: 'fra' as RegionName, deployer: 'webhook', deploy: { webhookUrl: 'http://x/' } }))
    await deployments.want(v2, true, ['hook' as TargetId], stamp)
    const [told] = await rowsNow()
    if (!told) throw new Error('not wanted')
    // What the API writes when the other side reports.
    const reported = await deployments.step(
      told,
      { state: 'ready', detail: 'by kubectl', nextAtMs: startMs },
      { endpoint: null, endpointGone: null },
      stamp,
    )
    expect(reported.ok).toBe(true)
    later(1)
    await pass({ ...ports, deployments })
    expect(await rowsNow()).toMatchObject([{ state: 'ready', endpoint: 'hook.atlas-2', detail: 'by kubectl' }])
    expect(await rows.get('endpoint', ['hook.atlas-2'])).toMatchObject({ servedName: v2 })
    expect(outbox.undone()).toEqual([])
  })

  it('whose endpoint’s id is taken by another row is said to be stuck, once', async () => {
    const { outbox, make, settle, states, rowsNow, fleet } = await scene()
    const draft = {
      ...target('fra'),
      version: v1,
      servedName: 'x',
      weight: 1,
      state: 'enabled',
      maintenance: null,
      id: 'fra.atlas-2' as EndpointId,
    }
    const { model: _model, deployer: _deployer, deploy: _deploy, ...endpoint } = draft
    await make('endpoint', endpoint as Draft<'endpoint'>)
    outbox.add('deploy', v2)
    await settle()
    expect(await states()).toEqual(['fra atlas-2 failed -', 'iad atlas-2 ready iad.atlas-2'])
    expect((await rowsNow())[0]?.detail).toMatch(/could not be stored.*already_exists/)
    expect(fleet.calls).toHaveLength(2)
  })

  it('gets no endpoint where its credential cannot be opened', async () => {
    const { outbox, settle, states, ports, endpointIds } = await scene()
    outbox.add('deploy', v2)
    await settle({ ...ports, deployers: { ...ports.deployers, credentialFor: async () => null } })
    expect(await states()).toEqual(['fra atlas-2 failed -', 'iad atlas-2 failed -'])
    expect(await endpointIds()).toEqual([])
  })
})

describe('a version that is there already', () => {
  it('is brought again, for its server may have lost it, and keeps its endpoint', async () => {
    const { outbox, fleet, settle, pass, states, endpointIds } = await scene()
    outbox.add('deploy', v2)
    await settle()
    const before = await states()
    const endpoints = await endpointIds()
    fleet.loaded.clear()
    outbox.add('deploy', v2)
    await pass()
    expect(await endpointIds()).toEqual(endpoints)
    await settle()
    expect([...fleet.loaded.keys()].toSorted()).toEqual(['fra.atlas-2', 'iad.atlas-2'])
    expect(await states()).toEqual(before)
  })
})

describe('a version that a rollout releases', () => {
  it('loses its endpoints first, and is unloaded when requests have had time to end', async () => {
    const { outbox, settle, pass, later, states, endpointIds, fleet } = await scene()
    outbox.add('deploy', v2)
    await settle()
    outbox.add('undeploy', v2)
    await pass()
    expect(await endpointIds()).toEqual([])
    expect(await states()).toEqual(['fra atlas-2 unloading -', 'iad atlas-2 unloading -'])
    later(limits.undeployGraceMs - 1)
    await pass()
    expect(fleet.calls.filter((call) => call.startsWith('remove'))).toEqual([])
    await settle()
    expect(await states()).toEqual(['fra atlas-2 gone -', 'iad atlas-2 gone -'])
    expect([...fleet.loaded]).toEqual([])
  })

  it('and that an alias names stays, and the wish is done', async () => {
    const { outbox, settle, states } = await scene()
    outbox.add('deploy', v1)
    await settle()
    outbox.add('undeploy', v1)
    await settle()
    expect(outbox.undone()).toEqual([])
    expect(await states()).toEqual(['fra atlas-1 ready fra.atlas-1', 'iad atlas-1 ready iad.atlas-1'])
  })

  it('and that is wanted again in the same pass is not taken away', async () => {
    const { outbox, settle, fleet, endpointIds } = await scene()
    outbox.add('deploy', v2)
    await settle()
    const before = fleet.calls.length
    outbox.add('undeploy', v2)
    outbox.add('deploy', v2)
    await settle()
    // Nothing is taken away, nor made anew: it is only looked at again.
    expect(fleet.calls.slice(before)).toEqual(['bring fra.atlas-2', 'bring iad.atlas-2'])
    expect(await endpointIds()).toHaveLength(2)
  })
})

describe('a pass', () => {
  it('touches no more at once than it may', async () => {
    const { outbox, make, ports, pass } = await scene()
    for (let n = 0; n < 9; n++) await make('target', target(`t${n}`, { region: 'fra' as RegionName }))
    outbox.add('deploy', v2)
    let running = 0
    let most = 0
    const bring: Deployers['bring'] = async () => {
      most = Math.max(most, ++running)
      await Promise.resolve()
      running--
      return { state: 'loading', detail: '' }
    }
    await pass({ ...ports, deployers: { ...ports.deployers, bring } })
    expect(most).toBe(limits.deploysAtOnceMax)
  })

  it('that meets a row nobody can read says so, and goes on', async () => {
    const { outbox, pass, settle, states } = await scene()
    outbox.add('deploy', v2)
    outbox.rows.unshift({ seq: 0, id: 'bad', rollout: 'r1' as RolloutId, kind: 'deploy', payload: '{}', atMs: startMs, done: false })
    await expect(pass()).rejects.toThrow('name no version: bad')
    await settle()
    expect(await states()).toEqual(['fra atlas-2 ready fra.atlas-2', 'iad atlas-2 ready iad.atlas-2'])
  })

  it('leaves to the next what somebody else was sooner with', async () => {
    const { outbox, pass, ports, deployments, settle, states } = await scene()
    outbox.add('deploy', v2)
    let isFirst = true
    const bring: Deployers['bring'] = async (at, what) => {
      if (isFirst) await deployments.want(v2, false, null, stamp)
      isFirst = false
      return ports.deployers.bring(at, what)
    }
    await pass({ ...ports, deployers: { ...ports.deployers, bring } })
    expect(await states()).toEqual(['fra atlas-2 waiting -', 'iad atlas-2 waiting -'])
    await settle()
    expect(await states()).toEqual(['fra atlas-2 gone -', 'iad atlas-2 gone -'])
  })

  it('that crashes before or after any call, and is repeated, comes to the same end', async () => {
    const wish = fc.tuple(fc.constantFrom('deploy' as const, 'undeploy' as const), fc.constantFrom(v1, v2), fc.boolean())
    let crashes = 0
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          wishes: fc.array(wish, { minLength: 1, maxLength: 6 }),
          polls: fc.integer({ min: 0, max: 2 }),
          failures: fc.integer({ min: 0, max: 3 }),
          crashes: fc.array(fc.record({ call: fc.integer({ min: 0, max: 25 }), after: fc.boolean() }), { maxLength: 6 }),
        }),
        async (story) => {
          const run = async (crashesAt: readonly { readonly call: number; readonly after: boolean }[]) => {
            const world = await scene({ polls: story.polls, failures: story.failures })
            const left = [...crashesAt]
            for (const [kind, of, settles] of story.wishes) {
              world.outbox.add(kind, of)
              if (!settles) continue
              for (const at of left.splice(0, 3)) {
                await world.settle(crashing(world.ports, at)).catch((cause: unknown) => {
                  expect(String(cause)).toContain('crashed')
                  crashes++
                })
              }
              await world.settle()
            }
            await world.settle()
            return { states: await world.states(), endpoints: await world.endpointIds(), loaded: [...world.fleet.loaded.keys()].toSorted() }
          }
          expect(await run(story.crashes)).toEqual(await run([]))
        },
      ),
      { numRuns: 200 },
    )
    // Enough of them hit something, or this proves nothing.
    expect(crashes).toBeGreaterThan(100)
  })
})
