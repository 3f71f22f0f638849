// Whole walks over ledgers and engines that do as they please, in time that is moved by hand: whatever they grant, queue, send on, deny, answer
// late or lose, every lease that was granted or charged comes back once, nothing goes on for nobody, and nothing leaves its jurisdiction.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { infer } from '../../../edge/infer.ts'
import type { Asked, Walked } from '../../../edge/facts.ts'
import type { EdgePorts, UpstreamAnswer, UpstreamRequest } from '../../../edge/ports.ts'
import { emptyLedgerMemory, ledgers } from '../../../edge/adapters/ledgers.ts'
import { emptyLoadsMemory, loads } from '../../../edge/adapters/loads.ts'
import { emptyReflexMemory, reflexes } from '../../../edge/adapters/reflexes.ts'
import { emptyShadowMemory, shadowPlaces } from '../../../edge/adapters/shadow-places.ts'
import { snapshots, type SnapshotMemory } from '../../../edge/adapters/snapshots.ts'
import { limits } from '../../../shared/limits.ts'
import { drawWeighted, seededRandom, type Random } from '../../../shared/random.ts'
import { err, ok, type Result } from '../../../shared/result.ts'
import type { CellId, EndpointId, LeaseId, RegionName, VersionId } from '../../../shared/ids.ts'
import { affinities, strategies, type Endpoint, type Snapshot } from '../../../shared/wire/snapshot.ts'
import type { Ask, AskAnswer, Flush, Granted, News, Report, WaitAnswer } from '../../../shared/wire/ledger.ts'
import { credential } from '../../support/credential.ts'
import { answer, askedOf, delta, question } from '../../support/edge-world.ts'
import { heldTime, idle, type HeldTime } from '../../support/held-time.ts'
import { alias, cellLoad, endpoint, loadsOf, modelRow, region, snapshotOf, version } from '../../support/snapshot.ts'
import { bytes } from '../../support/stream.ts'

const record = await credential({ residency: 'eu', scopes: ['explain'] })
const nextVersion = 'atlas-3' as VersionId
const regions = [region('paris', 'eu'), region('rome', 'eu'), region('oslo', 'no')]

/** What may become of one of two things, by weights. */
const drawn = <T>(random: Random, ...choices: readonly (readonly [number, T])[]): T => {
  const choice = drawWeighted(choices, ([weight]) => weight, random)
  if (!choice) throw new Error('nothing to draw from')
  return choice[1]
}
const oneOf = <T>(random: Random, items: readonly T[]): T => drawn(random, ...items.map((item) => [1, item] as const))

/** One version alone, or with the other as its canary, which is given requests, copies, both or nothing. */
function changedAlias(random: Random) {
  const [stable, other] = random() < 0.5 ? [version, nextVersion] : [nextVersion, version]
  if (random() < 0.4) return alias({ stable })
  return alias({ stable, canary: other, weightBp: oneOf(random, [0, 5_000, 10_000]), shadowBp: oneOf(random, [0, 10_000]) })
}

/** Two versions in three regions, one of them outside; later generations move, lose and promote. */
function publishing(random: Random) {
  const all = regions.flatMap(({ name }) =>
    [version, nextVersion].flatMap((of) => [1, 2].map((number) => endpoint(`${name}-${of}-${number}`, name, { version: of }))),
  )
  const model = modelRow({
    strategy: drawn(random, [4, strategies[0]], [1, strategies[1]]),
    affinity: drawn(random, [4, affinities[0]], [1, affinities[1]], [1, affinities[2]]),
    hedging: random() < 0.3,
  })
  let newest = snapshotOf(all, { regions, models: [model], aliases: [changedAlias(random)] })
  const change = (): Snapshot => {
    const { endpoints, aliases, generation } = newest
    const which = oneOf(random, endpoints)
    const changed = drawn<(each: Endpoint) => readonly Endpoint[]>(
      random,
      [1, () => []],
      [1, (each) => [{ ...each, state: 'unhealthy', health: 'ejected' }]],
      [1, (each) => [{ ...each, region: 'oslo' as RegionName, cell: 'atlas@oslo' as CellId }]],
      [1, (each) => [{ ...each, cell: `${each.cell}#2` as CellId }]],
      [2, (each) => [each]],
    )
    newest = {
      ...newest,
      generation: generation + 1,
      endpoints: endpoints.length > 6 ? endpoints.flatMap((each) => (each === which ? changed(each) : [each])) : endpoints,
      aliases: random() < 0.3 ? [changedAlias(random)] : aliases,
    }
    return newest
  }
  return { newest: () => newest, change }
}

const never = () => new Promise<never>(() => undefined)

/** Ledgers without rules. What they grant is owed until they hear of its end. */
function scriptedLedgers(random: Random, time: HeldTime, published: ReturnType<typeof publishing>) {
  const owed = new Map<LeaseId, CellId>()
  /** Ends that were told in calls which were answered. */
  const heard = new Map<LeaseId, number>()
  /** Ends that a ledger remembers, and all it was told of. */
  const over = new Set<LeaseId>()
  const given = new Set<LeaseId>()
  const lives = new Map<CellId, number>()
  let isCalm = false

  const hear = (report: Report | undefined, cell: CellId, arrives: boolean): void => {
    for (const { leaseId } of report?.charges ?? []) if (!over.has(leaseId)) owed.set(leaseId, cell)
    for (const { leaseId, again, endpoint: of } of report?.settled ?? []) {
      // As a ledger does, which cannot remember the end of what it knows nothing of.
      if (owed.get(leaseId) === cell || of) over.add(leaseId)
      if (owed.get(leaseId) === cell) owed.delete(leaseId)
      given.add(leaseId)
      if (arrives && !again) heard.set(leaseId, (heard.get(leaseId) ?? 0) + 1)
    }
  }
  const newsOf = (cell: CellId): News => {
    if (!isCalm && random() < 0.05) lives.set(cell, (lives.get(cell) ?? 0) + 1)
    const snapshot = isCalm || random() < 0.85 ? null : random() < 0.5 ? published.newest() : published.change()
    const mine = { generation: published.newest().generation, snapshot, life: `life ${lives.get(cell) ?? 0}`, tight: random() < 0.2 }
    if (isCalm || random() < 0.7) return mine
    const cells = ['paris', 'rome'].map((name) => cellLoad(name, { blindWaitMs: random() < 0.5 ? 0 : 500 }))
    const rows = { enam: ['paris', 'rome', 'oslo'].map((name) => ({ cell: `atlas@${name}` as CellId, fraction: 1 / 3, roundTripMs: 20 })) }
    return { ...mine, loads: loadsOf(cells, { seq: time.clock.nowMs(), atMs: time.clock.nowMs(), rows: random() < 0.5 ? rows : {} }) }
  }
  const grantOf = (cell: CellId, leaseId: LeaseId): Granted => {
    owed.set(leaseId, cell)
    const { endpoints } = published.newest()
    const here = endpoints.filter((each) => each.cell === cell)
    // Now and then one of elsewhere, or one that nobody knows: a ledger may lag behind, or be wrong.
    const id = drawn(
      random,
      [8, oneOf(random, here.length > 0 ? here : endpoints).id],
      [1, oneOf(random, endpoints).id],
      [1, 'gone' as EndpointId],
    )
    return { endpoint: id, hedgeAfterMs: drawn(random, [1, null], [1, 5], [1, 200]) }
  }
  /** Whether the call's answer comes, and after how long; what it did is done either way. */
  const sent = async <T>(value: T): Promise<T> => {
    const forMs = isCalm
      ? 0
      : drawn<number | null | 'lost'>(random, [12, 0], [3, 20], [2, 45], [2, 300], [1, 3_000], [1, null], [1, 'lost' as const])
    if (forMs === 'lost') throw new Error('the object was reset')
    if (forMs === null) return never()
    await time.timer.sleep(forMs)
    return value
  }
  const arrives = (): boolean => isCalm || random() < 0.9
  const denials = ['no_room', 'withdrawn', 'no_healthy_endpoint', 'no_endpoint', 'no_snapshot', 'retry_budget', 'hedge_budget'] as const

  const answerTo = (ask: Ask): AskAnswer => {
    const said = { ...newsOf(ask.cell), lease: null, denied: null }
    const expiresAtMs = time.clock.nowMs() + limits.creditMs
    return drawn<() => AskAnswer>(
      random,
      [6, () => ({ ...said, lease: grantOf(ask.cell, ask.leaseId) })],
      [
        2,
        () => {
          const lease = grantOf(ask.cell, ask.leaseId)
          const ahead = lease.endpoint
          return { ...said, lease, credits: [{ leaseId: `${ask.leaseId}+0` as LeaseId, endpoint: ahead, expiresAtMs }] }
        },
      ],
      [3, () => ({ ...said, queued: { predictedMs: 50 } })],
      [1, () => ({ ...said, spill: { cell: oneOf(random, published.newest().endpoints).cell } })],
      [2, () => ({ ...said, denied: oneOf(random, denials) })],
    )()
  }

  const ledger = (cell: CellId) => ({
    ask: async (ask: Ask): Promise<AskAnswer> => {
      if (!arrives()) return random() < 0.5 ? Promise.reject(new Error('not reached')) : never()
      const answer = answerTo(ask)
      const told = sent(answer)
      hear(ask.report, cell, false)
      return told
    },
    wait: async (of: CellId, leaseId: LeaseId): Promise<WaitAnswer> => {
      if (!arrives()) throw new Error('not reached')
      await time.timer.sleep(drawn(random, [2, 0], [3, 100], [1, 5_000]))
      // Who has given up his place does not get one.
      const lease = given.has(leaseId) || random() < 0.3 ? null : grantOf(of, leaseId)
      return sent({ ...newsOf(of), lease, denied: lease ? null : oneOf(random, ['no_room', 'withdrawn'] as const), waitedMs: 1 })
    },
    report: async ({ report }: Flush): Promise<News> => {
      if (!arrives()) return random() < 0.5 ? Promise.reject(new Error('not reached')) : never()
      hear(report, cell, true)
      return newsOf(cell)
    },
  })
  return { ledger, owed, heard, calm: () => void (isCalm = true) }
}

/** Engines without rules. `open`: how many answers still go on. */
function scriptedEngines(random: Random, time: HeldTime) {
  const sent: UpstreamRequest[] = []
  const open = new Set<object>()

  const bodyOf = (chunks: readonly string[], signal: AbortSignal): ReadableStream<Uint8Array> => {
    const left = [...chunks]
    const ending = drawn(random, [8, 'end'], [1, 'break'], [1, 'hang'])
    open.add(left)
    const over = () => void open.delete(left)
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await time.timer.sleep(drawn(random, [4, 0], [2, 50], [1, 2_000]), signal)
        const next = left.shift()
        if (next === undefined && ending === 'hang') await time.timer.sleep(Number.POSITIVE_INFINITY, signal)
        if (!open.has(left)) return undefined
        if (signal.aborted || (next === undefined && ending !== 'end')) {
          over()
          return controller.error(new Error('cut'))
        }
        if (next !== undefined) return controller.enqueue(bytes(next))
        over()
        return controller.close()
      },
      cancel: over,
    })
  }
  const good = (request: UpstreamRequest): UpstreamAnswer => {
    const events = [delta('a'), delta('b'), '[DONE]'].map((event) => `data: ${event}\n\n`)
    const chunks = request.stream ? events : [JSON.stringify(answer())]
    const contentType = request.stream ? 'text/event-stream' : 'application/json'
    return { status: 200, contentType, retryAfter: null, body: bodyOf(chunks, request.signal) }
  }
  const failed = (status: number): UpstreamAnswer => ({ status, contentType: 'application/json', retryAfter: null, body: null })

  const send = async (request: UpstreamRequest): Promise<Result<UpstreamAnswer, { readonly detail: string }>> => {
    sent.push(request)
    await time.timer.sleep(drawn(random, [4, 5], [2, 300], [1, 5_000], [1, Number.POSITIVE_INFINITY]), request.signal)
    if (request.signal.aborted) return err({ detail: 'aborted' })
    const said = drawn<number | 'good' | 'unreachable' | 'bug'>(
      random,
      [8, 'good'],
      [2, 500],
      [1, 429],
      [1, 400],
      [2, 'unreachable'],
      [1, 'bug'],
    )
    if (said === 'bug') throw new Error('a bug of the adapter')
    if (said === 'unreachable') return err({ detail: 'connection refused' })
    return ok(said === 'good' ? good(request) : failed(said))
  }
  return { send, sent, open: () => open.size }
}

const plan = fc.record({
  afterMs: fc.nat(400),
  stream: fc.boolean(),
  timeoutMs: fc.constantFrom(30, 1_000, 40_000),
  goneAfterMs: fc.option(fc.constantFrom(0, 10, 100, 1_000, 9_000)),
  reader: fc.constantFrom('reads', 'leaves', 'sleeps'),
  session: fc.option(fc.constantFrom('one', 'two')),
})
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

/** Keys are hashed on other threads: hashes that are asked for later are done later. */
const rested = async (): Promise<void> => {
  await idle()
  await Promise.all(Array.from({ length: 4 }, () => crypto.subtle.digest('SHA-256', new Uint8Array(64))))
  await idle()
}

/** All there is of one run. */
async function run(seed: number, plans: readonly Plan[]) {
  const random = seededRandom(seed)
  const time = heldTime(1_000_000, rested)
  const published = publishing(random)
  const scripted = scriptedLedgers(random, time, published)
  const engines = scriptedEngines(random, time)
  const memory: SnapshotMemory = { snapshot: published.newest(), confirmedAtMs: time.clock.nowMs() }
  const ledgerMemory = emptyLedgerMemory()
  const reflexMemory = emptyReflexMemory()
  const shadowMemory = emptyShadowMemory()
  const told = loads(emptyLoadsMemory(), time.clock)
  const pending: Promise<unknown>[] = []
  const ended = new Map<LeaseId, number>()
  const begun = new Set<LeaseId>()
  const end = (lease: LeaseId): void => void ended.set(lease, (ended.get(lease) ?? 0) + 1)

  const known = snapshots(memory, {
    home: () => ({ snapshotSince: (generation) => Promise.resolve({ generation, snapshot: null }) }),
    kv: { get: () => Promise.resolve(null) },
    signer: () => Promise.resolve(null),
    log: () => undefined,
    ...time,
  })
  const afterResponse = (work: Promise<unknown>): void => void pending.push(work)
  const adapter = ledgers(ledgerMemory, {
    ledger: scripted.ledger,
    afterResponse,
    learn: (news) => {
      known.adopt(news)
      told.learn(news)
    },
    generation: () => memory.snapshot?.generation ?? 0,
    loadsSeqOf: told.seqOf,
    waitMsMin: 0,
    ...time,
  })
  const ports: EdgePorts = {
    ...time,
    random,
    snapshots: known,
    credentials: {
      find: (_, { generation }) => Promise.resolve({ found: { ...record, disabled: generation % 7 === 6 } }),
    },
    ledgers: {
      ...adapter,
      ask: async (asked) => {
        const said = await adapter.ask(asked)
        if (said.ok && said.value.lease) begun.add(asked.ask.leaseId)
        return said
      },
      wait: async (ask, forMs, gone) => {
        const said = await adapter.wait(ask, forMs, gone)
        if (said.ok && said.value.lease) begun.add(ask.leaseId)
        return said
      },
      charge: (cell, charge) => {
        begun.add(charge.leaseId)
        adapter.charge(cell, charge)
      },
      settle: (cell, settled) => {
        end(settled.leaseId)
        adapter.settle(cell, settled)
      },
      giveBack: (cell, lease) => {
        end(lease)
        adapter.giveBack(cell, lease)
      },
    },
    loads: told,
    reflexes: reflexes(reflexMemory, { clock: time.clock, random }),
    upstream: { send: engines.send },
    cadences: { of: () => null, learn: () => undefined },
    overrides: () => Promise.resolve(null),
    shadows: shadowPlaces(shadowMemory),
    log: () => undefined,
    afterResponse,
  }

  const walking = new Set(plans)
  const one = async ({ afterMs, stream, timeoutMs, goneAfterMs, reader, session }: Plan): Promise<void> => {
    await time.timer.sleep(afterMs)
    const gone = new AbortController()
    if (goneAfterMs !== null) void time.timer.sleep(goneAfterMs).then(() => gone.abort())
    const asked: Asked = askedOf(
      { ...question, stream },
      { receivedAtMs: time.clock.nowMs(), timeoutMs: String(timeoutMs), session, gone: gone.signal, header: headerOf },
    )
    const walked = await infer(asked, ports).catch((bug: unknown) => {
      if (!String(bug).includes('a bug of the adapter')) throw bug
      return null
    })
    if (walked) await taken(walked, reader)
  }
  const all = Promise.all(plans.map((each) => one(each).finally(() => walking.delete(each))))
  all.catch(() => undefined)
  // Longer than any deadline; a walk that takes more is stuck.
  for (let turns = 0; walking.size > 0 && turns < 400; turns++) await time.advance(500)
  expect([...walking], 'walks that never end').toEqual([])
  await all
  scripted.calm()
  await time.advance(2 * limits.reportWaitMsMax)
  const cells = Array.from(ledgerMemory.known.keys())
  for (const cell of cells) adapter.giveBack(cell, `last of ${cell}` as LeaseId)
  for (let turns = 0; turns < 4; turns++) await time.advance(limits.reportWaitMsMax)
  await Promise.all(pending)
  return { scripted, engines, ledgerMemory, shadowMemory, ended, begun, published }
}

const headerOf = (name: string): string | null => (name === 'isochrone-explain' ? '1' : null)

/** The client: reads to the end, hangs up after the first bytes, or never reads. */
async function taken({ answer: said }: Walked, reader: Plan['reader']): Promise<void> {
  if (!said.ok) return
  const { body, ended } = said.value
  if (body instanceof Uint8Array || reader === 'sleeps') return void (await ended)
  const reading = body.getReader()
  try {
    for (let read = await reading.read(); !read.done; read = await reading.read()) if (reader === 'leaves') await reading.cancel()
  } catch {
    // It broke off, which may be.
  }
  await ended
}

it('whatever ledgers and engines do, every lease comes back once, nothing goes on for nobody, and nothing leaves its jurisdiction', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(plan, { minLength: 1, maxLength: 6 }), async (seed, plans) => {
      const { scripted, engines, ledgerMemory, shadowMemory, ended, begun } = await run(seed, plans)
      // What began here ended here, once.
      for (const lease of begun) expect([lease, ended.get(lease)]).toEqual([lease, 1])
      for (const [lease, times] of ended) expect([lease, times]).toEqual([lease, 1])
      // The ledgers have heard of it, of what they granted for nobody too.
      expect([...scripted.owed]).toEqual([])
      for (const [lease, times] of scripted.heard) expect([lease, times]).toEqual([lease, 1])
      for (const [cell, { live, outbox }] of ledgerMemory.known) expect([cell, live.size, outbox.entries.length]).toEqual([cell, 0, 0])
      expect(engines.open()).toBe(0)
      expect(shadowMemory.held).toBe(0)
      for (const { endpoint: to } of engines.sent) expect(['paris', 'rome']).toContain(to.region)
    }),
    { numRuns: 250 },
  )
}, 60_000)
