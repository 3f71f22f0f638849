// The control loop's object in workerd: publishing after a write, alarms, eviction, ledgers, probes over HTTP, copies in KV.
// What depends on time and on crashes at each await is tried exhaustively in test/unit/core/loop.test.ts.

import { createScheduledController, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Published, Status } from '../../../core/facts.ts'
import worker from '../../../core/worker.ts'
import { credentialKvKey, readCredential } from '../../../shared/wire/credential.ts'
import type { KeyId } from '../../../shared/ids.ts'
import { readSigned, signerOf } from '../../../shared/signature.ts'
import { readSnapshot, snapshotKvKey } from '../../../shared/wire/snapshot.ts'
import { ask, controller, endpoint, furnish, furnishModel, ledger, must, nudge, testEnv, until } from './world.ts'

beforeAll(furnish)

const status = async () => (await must('GET', '/admin/v1/status')).body as unknown as Status
const snapshotOf = async (cell: string) => (await ledger(cell).recorded()).snapshot
const stateOf = async (cell: string) => (await snapshotOf(cell))?.endpoints.find((each) => each.cell === cell)?.state

/** Waits until no endpoint's first probe can change anything any more. */
async function allProbed(): Promise<void> {
  await until(async () => (await status()).endpoints.every((each) => each.state !== 'unknown'))
  await nudge()
}

/** Makes the liveness probe of an endpoint due, and runs turns until its result was judged. */
async function probeNow(id: string): Promise<void> {
  const record = () =>
    runInDurableObject(controller(), ({ state }) => {
      const found = [...state.probes].find(([name]) => name === id)?.[1]
      return { atMs: found?.last.liveness?.atMs ?? 0, open: found?.open.liveness !== undefined }
    })
  await until(async () => !(await record()).open || (await nudge(), false))
  const { atMs: before } = await record()
  await new Promise((resolve) => setTimeout(resolve, 2))
  await runInDurableObject(controller(), ({ state }) => {
    state.probes = new Map([...state.probes].map(([name, each]) => [name, name === id ? { ...each, nextAtMs: {} } : each]))
  })
  await until(async () => {
    await nudge()
    return (await record()).atMs > before
  })
  await nudge()
}

const named = async () => (await snapshotOf('home:enam'))?.changed.map((change) => change.id) ?? []

describe('publishing', () => {
  it('a write is in its ledger, in the homes and in KV without anybody asking', async () => {
    await furnishModel('pub')
    await must('POST', '/admin/v1/endpoints', endpoint('pub-1', 'live', 'pub'))
    for (const name of ['pub@fra', 'home:oc', 'home:weur']) {
      const snapshot = await until(async () => {
        const seen = await snapshotOf(name)
        return seen?.endpoints.some((each) => each.id === 'pub-1') ? seen : null
      })
      expect(readSnapshot(snapshot)).toEqual(snapshot)
      expect(snapshot.aliases).toContainEqual(expect.objectContaining({ environment: 'production', model: 'pub', stable: 'pub-1' }))
    }
    const copy = await until(async () => {
      const signer = await signerOf(testEnv.CREDENTIAL_KEY)
      const seen = readSnapshot(await readSigned(await testEnv.STATE.get(snapshotKvKey, 'json'), signer))
      return seen?.endpoints.some((each) => each.id === 'pub-1') ? seen : null
    })
    expect(copy.fractions['pub']?.['weur']).toEqual([{ cell: 'pub@fra', fraction: 1, roundTripMs: expect.any(Number) as number }])
  })

  it('unchanged turns publish nothing', async () => {
    await furnishModel('calm')
    await must('POST', '/admin/v1/endpoints', endpoint('calm-1', 'live', 'calm'))
    await allProbed()
    const before = await status()
    const heard = (await ledger('calm@fra').recorded()).exchanges.length
    for (let turn = 0; turn < 5; turn++) await nudge()
    expect((await status()).generation).toBe(before.generation)
    expect((await status()).publishedAtMs).toBe(before.publishedAtMs)
    const after = (await ledger('calm@fra').recorded()).exchanges.slice(heard)
    expect(after.length).toBeGreaterThanOrEqual(5)
    expect(after.every((exchange) => exchange.generation === null && exchange.cell === 'calm@fra')).toBe(true)
    // Its loads went down once, and a snapshot never without a signature.
    const all = (await ledger('calm@fra').recorded()).exchanges
    expect(all.filter((exchange) => exchange.loads !== null).length).toBeGreaterThan(0)
    for (const exchange of all) expect(exchange.signature === null).toBe(exchange.generation === null)
  })

  it('a key and a tenant that were written are named', async () => {
    const made = await must('POST', '/admin/v1/keys', { tenant: 'acme', environment: 'staging', name: 'n' })
    const id = String(made.body['id'])
    expect(await until(async () => (await named()).find((each) => each === id))).toBe(id)
    await must('POST', '/admin/v1/tenants', { id: 'named', name: 'N' })
    expect(await until(async () => (await named()).find((each) => each === 'named'))).toBe('named')
  })
})

describe('generations', () => {
  it('never go back through an eviction, and what was told is not told anew', async () => {
    await allProbed()
    const before = await status()
    await evictDurableObject(controller())
    await nudge()
    expect((await status()).generation).toBe(before.generation)
    expect((await status()).endpoints).toHaveLength(before.endpoints.length)
  })

  it('go above what a ledger reports', async () => {
    const ahead = (await status()).generation + 1_000
    await furnishModel('ahead')
    await must('POST', '/admin/v1/endpoints', endpoint('ahead-1', 'live', 'ahead'))
    await ledger('ahead@fra').behave({ generation: ahead })
    await until(async () => (await status()).generation > ahead)
    await ledger('ahead@fra').behave({ generation: 0 })
    await until(async () => ((await snapshotOf('ahead@fra'))?.generation ?? 0) > ahead)
    expect((await status()).generation).toBeGreaterThan(ahead)
  })

  it('a loop whose storage was lost starts above what the homes know', async () => {
    const before = (await status()).generation
    await runInDurableObject(controller(), (_instance, state) => state.storage.deleteAll())
    await evictDurableObject(controller())
    await nudge()
    expect((await status()).generation).toBeGreaterThan(before)
  })

  it('what was stored but not told before a crash is told after it', async () => {
    await furnishModel('crash')
    await must('POST', '/admin/v1/endpoints', endpoint('crash-1', 'live', 'crash'))
    await until(async () => (await stateOf('crash@fra')) === 'healthy')
    await nudge()
    const generation = await runInDurableObject(controller(), async (_instance, state) => {
      const published = (await state.storage.get('published')) as Published
      const next = { ...published.snapshot, generation: published.snapshot.generation + 1 }
      await state.storage.put('published', { ...published, snapshot: next })
      return next.generation
    })
    await evictDurableObject(controller())
    await nudge()
    expect((await snapshotOf('crash@fra'))?.generation).toBeGreaterThanOrEqual(generation)
    expect((await snapshotOf('home:sam'))?.generation).toBeGreaterThanOrEqual(generation)
  })
})

describe('what is slow or broken', () => {
  it('a probe that hangs stops no turn', async () => {
    await furnishModel('stuck')
    for (let i = 1; i <= 8; i++) await must('POST', '/admin/v1/endpoints', endpoint(`stuck-${i}`, `hang${i}`, 'stuck'))
    await until(async () => ((await snapshotOf('stuck@fra'))?.endpoints.filter((each) => each.cell === 'stuck@fra').length ?? 0) === 8)
    const probed = await until(async () =>
      (await status()).endpoints.find((each) => each.id.startsWith('stuck') && each.lastProbes.liveness),
    )
    expect(probed.lastProbes.liveness?.ok).toBe(false)
    for (let i = 1; i <= 8; i++) await must('DELETE', `/admin/v1/endpoints/stuck-${i}`)
  })

  it.each([{ hang: true }, { fail: true }])('a ledger that is %j: the others hear, and it hears when it is back', async (broken) => {
    const model = 'hang' in broken ? 'mute' : 'sick'
    await furnishModel(model)
    await must('POST', '/admin/v1/endpoints', endpoint(`${model}-1`, 'live', model))
    await until(async () => (await stateOf(`${model}@fra`)) === 'healthy')
    await ledger(`${model}@fra`).behave(broken)
    await must('POST', '/admin/v1/tenants', { id: `while-${model}`, name: 'W' })
    await until(async () => (await snapshotOf('home:enam'))?.changed.some((change) => change.id === `while-${model}`))
    const known = async () => (await status()).ledgers.find((each) => each.name === `${model}@fra`)
    await until(async () => (await known())?.error !== null)
    expect((await status()).lastTurn?.error).toBeNull()
    await ledger(`${model}@fra`).behave({ hang: false, fail: false })
    await until(async () => (await snapshotOf(`${model}@fra`))?.changed.some((change) => change.id === `while-${model}`))
    await until(async () => (await known())?.error === null)
  })
})

describe('a ledger of another release', () => {
  it('that knows neither lives nor blocks is told all the same, and what it does not say is nothing', async () => {
    await furnishModel('old')
    await ledger('old@fra').behave({ old: true })
    await must('POST', '/admin/v1/endpoints', endpoint('old-1', 'live', 'old'))
    const known = await until(async () => {
      const found = (await status()).ledgers.find((each) => each.name === 'old@fra')
      return found?.generation === (await status()).generation ? found : null
    })
    expect(known).toMatchObject({ error: null, inFlight: {}, outcomes: {}, load: null })
    expect((await status()).endpoints.find((each) => each.id === 'old-1')).toMatchObject({ health: 'unknown', load: null })
    expect((await status()).lastTurn?.error).toBeNull()
  })

  it('that has no generation is an error, and stops nobody', async () => {
    await furnishModel('odd')
    await ledger('odd@fra').behave({ old: true, generation: 'seven' })
    await must('POST', '/admin/v1/endpoints', endpoint('odd-1', 'live', 'odd'))
    const known = await until(async () => (await status()).ledgers.find((each) => each.name === 'odd@fra' && each.error !== null))
    expect(known.error).toContain('without a generation')
    expect((await status()).lastTurn?.error).toBeNull()
  })
})

const healthOf = async (id: string) => (await status()).endpoints.find((each) => each.id === id)?.health

describe('probes', () => {
  it('an endpoint that fails them is ejected and comes back, its ledger hears both, and each change is an event', async () => {
    await furnishModel('flip')
    const flip = ledger('flip@fra')
    await must('POST', '/admin/v1/endpoints', endpoint('flip-1', 'switch1', 'flip'))
    await must('POST', '/admin/v1/endpoints', endpoint('flip-2', 'live', 'flip'))
    await until(async () => (await healthOf('flip-1')) === 'healthy')
    await flip.behave({ mood: 'dead' })
    for (let i = 0; i < 3; i++) await probeNow('flip-1')
    await until(async () => (await healthOf('flip-1')) === 'ejected')
    expect((await status()).endpoints.find((each) => each.id === 'flip-1')).toMatchObject({
      cell: 'flip@fra',
      state: 'unhealthy',
      metric: 'liveness',
      lastProbes: { liveness: { ok: false, detail: 'HTTP 503', atMs: expect.any(Number) as number, ms: expect.any(Number) as number } },
    })
    await until(async () => (await snapshotOf('flip@fra'))?.endpoints.find((each) => each.id === 'flip-1')?.health === 'ejected')
    // A new instance has not forgotten it.
    await evictDurableObject(controller())
    await nudge()
    expect(await healthOf('flip-1')).toBe('ejected')
    await flip.behave({ mood: 'live' })
    await probeNow('flip-1')
    await probeNow('flip-1')
    await until(async () => (await healthOf('flip-1')) === 'healthy')
    const events = await until(async () => {
      const { results } = await testEnv.DB.prepare("SELECT * FROM endpoint_events WHERE endpoint = 'flip-1' ORDER BY seq").all()
      return results.at(-1)?.['to'] === 'healthy' && results.length > 2 ? results : null
    })
    expect(events.map((event) => event['to'])).toEqual(expect.arrayContaining(['healthy', 'ejected', 'healthy']))
  })

  it('an operator drains and disables at once', async () => {
    await furnishModel('drain')
    const made = await must('POST', '/admin/v1/endpoints', endpoint('drain-1', 'live', 'drain'))
    expect(made.status).toBe(201)
    for (const [generation, state] of [
      ['"1"', 'draining'],
      ['"2"', 'disabled'],
    ] as const) {
      await must('PATCH', '/admin/v1/endpoints/drain-1', { state }, { 'if-match': generation })
      await until(async () => (await stateOf('drain@fra')) === state)
    }
  })
})

const copyOf = async (id: string) => readCredential(await testEnv.STATE.get(credentialKvKey(id as KeyId), 'json'))

describe('copies of keys in KV', () => {
  it('follow a key and its tenant', async () => {
    await must('POST', '/admin/v1/tenants', { id: 'copied', name: 'C' })
    const ids: string[] = []
    for (let i = 0; i < 3; i++)
      ids.push(String((await must('POST', '/admin/v1/keys', { tenant: 'copied', environment: 'production', name: 'k' })).body['id']))
    for (const id of ids) await until(async () => (await copyOf(id))?.disabled === false)
    await must('PATCH', '/admin/v1/tenants/copied', { disabled: true }, { 'if-match': '"1"' })
    for (const id of ids) await until(async () => (await copyOf(id))?.disabled === true)
    await must('DELETE', `/admin/v1/keys/${ids[0]}`)
    await until(async () => (await copyOf(ids[0] ?? '')) === null)
    expect((await copyOf(ids[1] ?? ''))?.id).toBe(ids[1])
  })
})

const alarm = () => runInDurableObject(controller(), (_instance, state) => state.storage.getAlarm())

describe('waking', () => {
  it('the alarm is set for the next turn, and set again by each', async () => {
    await nudge()
    await until(alarm)
    await runDurableObjectAlarm(controller())
    expect(await until(alarm)).toBeGreaterThan(0)
  })

  it('cron brings back a loop whose alarm was lost', async () => {
    await runInDurableObject(controller(), (_instance, state) => state.storage.deleteAlarm())
    await evictDurableObject(controller())
    await worker.scheduled(createScheduledController({ cron: '* * * * *' }), testEnv)
    expect(await until(alarm)).toBeGreaterThan(0)
  })

  it('status says what the last turn did', async () => {
    await nudge()
    expect(await ask('GET', '/admin/v1/status')).toMatchObject({
      status: 200,
      body: {
        lastTurn: { atMs: expect.any(Number) as number, tookMs: expect.any(Number) as number, error: null },
        copies: { error: null },
      },
    })
  })
})
