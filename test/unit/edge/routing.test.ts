// Where requests go, over the whole of their way: what is asked, what is not, and what every answer of a ledger leads to.

import { describe, expect, it } from 'vitest'
import { explainLine } from '../../../edge/http/explain.ts'
import type { Walked } from '../../../edge/facts.ts'
import { limits } from '../../../shared/limits.ts'
import { err } from '../../../shared/result.ts'
import type { CellId, EndpointId, LeaseId, RegionName, VersionId } from '../../../shared/ids.ts'
import type { AskAnswer, News } from '../../../shared/wire/ledger.ts'
import type { Snapshot } from '../../../shared/wire/snapshot.ts'
import { alias, cellLoad, endpoint, loadsOf, modelRow, region, snapshotOf, version } from '../../support/snapshot.ts'
import { credential } from '../../support/credential.ts'
import { answer, delta, go, json, question, sse, unreachable, world, type UpstreamFake, type World } from '../../support/edge-world.ts'
import { readAll } from '../../support/stream.ts'

const two = snapshotOf([endpoint('near', 'near-region'), endpoint('far', 'far-region')])
const pair = snapshotOf([endpoint('one', 'x'), endpoint('other', 'x')])
const near = 'atlas@near-region' as CellId
const far = 'atlas@far-region' as CellId
const news: News = { generation: 1, snapshot: null, life: 'life' }
const said = (so: Partial<AskAnswer>): AskAnswer => ({ ...news, lease: null, denied: null, ...so })
const lease = (id: string, so: object = {}) => said({ lease: { endpoint: id as EndpointId, ...so } })
const header =
  (headers: Record<string, string>) =>
  (name: string): string | null =>
    headers[name] ?? null
const reasonOf = (walked: Walked) => (walked.answer.ok ? 'served' : walked.answer.error.reason)
const wayOf = (walked: Walked) => walked.serving?.routed.way
const slow = (afterMs: number, with_: Awaited<ReturnType<UpstreamFake>>) =>
  new Promise<typeof with_>((resolve) => setTimeout(() => resolve(with_), afterMs))

/** A world whose ledgers say nothing of their load: the isolate knows what the test tells it, whenever reports leave. */
async function open(snapshot: Snapshot, upstream?: UpstreamFake, so: Parameters<typeof credential>[0] = {}): Promise<World> {
  const at = await world(snapshot, { credential: { found: await credential(so) }, ...(upstream ? { upstream } : {}) })
  const ask = at.ledger.ask.bind(at.ledger)
  const report = at.ledger.report.bind(at.ledger)
  at.ledger.ask = async (asked) => ({ ...(await ask(asked)), load: null, tight: false })
  at.ledger.report = async (flush) => ({ ...(await report(flush)), load: null, tight: false })
  return at
}

/** Answers in turn; the last one stands. What was asked is remembered as usual. */
function script(at: World, ...answers: (AskAnswer | 'lost')[]): void {
  let number = 0
  at.ledger.ask = (ask) => {
    at.ledger.asked.push(ask)
    at.ledger.settled.push(...(ask.report?.settled ?? []))
    const next = answers[Math.min(number++, answers.length - 1)]
    return next === undefined || next === 'lost' ? Promise.reject(new Error('object reset')) : Promise.resolve(next)
  }
}

describe('asking', () => {
  const calm = loadsOf([cellLoad('near-region'), cellLoad('far-region')])

  it('is left out when a draw is as good; the request is charged and counted', async () => {
    const at = await open(two)
    at.tell(calm)
    const walked = await go(at)
    expect([reasonOf(walked), wayOf(walked)]).toEqual(['served', 'blind'])
    expect(at.ledger.asked).toEqual([])
    await at.settle()
    expect(at.ledger.charged).toEqual([expect.objectContaining({ endpoint: 'near', version, operation: 'chat', why: 'blind' })])
    expect(at.ledger.settled).toEqual([
      expect.objectContaining({ leaseId: at.ledger.charged[0]?.leaseId, endpoint: 'near', outcome: 'good' }),
    ])
    expect(at.ledger.live()).toBe(0)
    expect(at.log).toEqual([expect.objectContaining({ way: 'blind' })])
  })

  it('is done when it pays, with all that the ledger needs', async () => {
    const at = await open(two, undefined, { scopes: ['critical'] })
    at.tell({ ...calm, cells: [cellLoad('near-region', { blindWaitMs: 500 })], seq: 9 })
    const walked = await go(at, question, { header: header({ 'isochrone-priority': 'critical' }) })
    expect(wayOf(walked)).toBe('leased')
    expect(at.ledger.asked).toEqual([
      expect.objectContaining({
        cell: near,
        version,
        operation: 'chat',
        origin: 'enam',
        priority: 'critical',
        purpose: 'first',
        affinity: null,
        spilledFrom: null,
        residency: null,
        explain: false,
        loadsSeq: 9,
        avoid: [],
      }),
    ])
  })

  it('goes where the fresh fractions say, not those of the snapshot', async () => {
    const at = await open(two)
    const rows = {
      enam: [
        { cell: near, fraction: 0, roundTripMs: 10 },
        { cell: far, fraction: 1, roundTripMs: 20 },
      ],
    }
    at.tell(loadsOf([cellLoad('far-region')], { rows }))
    expect((await go(at)).trail.endpoint).toBe('far')
  })

  it('is done while an endpoint of the cell waits for the request that proves it well', async () => {
    const back = { ...endpoint('back', 'near-region'), state: 'unhealthy', health: 'probing' } as const
    const at = await open(snapshotOf([endpoint('near', 'near-region'), back, endpoint('far', 'far-region')]))
    at.tell(calm)
    expect(wayOf(await go(at))).toBe('leased')
    expect(at.ledger.asked.map(({ cell }) => cell)).toEqual([near])
  })

  it('goes past a cell that failed a request here a moment ago, unless there is no other', async () => {
    const at = await open(two)
    at.tell(calm)
    at.ports.reflexes.failed('near' as EndpointId)
    expect((await go(at)).trail.endpoint).toBe('far')
    at.ports.reflexes.failed('far' as EndpointId)
    expect((await go(at)).trail.endpoint).toBe('near')
  })

  it('begins again when what is known has grown old', async () => {
    const at = await open(two)
    at.tell({ ...calm, atMs: Date.now() - limits.loadsFreshMs })
    expect(wayOf(await go(at))).toBe('leased')
  })

  it('begins again when this isolate alone has taken half of what was free', async () => {
    const at = await open(two, () => Promise.resolve(sse(delta('x'), '[DONE]')))
    at.tell(calm)
    const ways: unknown[] = []
    for (let i = 0; i < 4; i++) ways.push(wayOf(await go(at, { ...question, stream: true })))
    expect(ways).toEqual(['blind', 'blind', 'blind', 'leased'])
  })

  it('is always done for other strategies', async () => {
    const at = await open(snapshotOf(two.endpoints, { models: [modelRow({ strategy: 'weighted-round-robin' })] }))
    at.tell(calm)
    expect(wayOf(await go(at))).toBe('leased')
  })
})

describe('credits', () => {
  const credits = (...names: string[]) =>
    names.map((name) => ({ leaseId: `credit-${name}` as LeaseId, endpoint: name as EndpointId, expiresAtMs: Date.now() + 60_000 }))
  const busyLoads = loadsOf([cellLoad('x', { blindWaitMs: 500, free: 100 })])
  const busy = async (...names: string[]): Promise<World> => {
    const at = await open(pair)
    at.tell(busyLoads)
    script(at, { ...lease('one'), credits: credits(...names) }, lease('one'))
    await go(at)
    return at
  }

  it('serve the next request without a question, and are charged under their own name', async () => {
    const at = await busy('other')
    const walked = await go(at)
    expect([wayOf(walked), walked.trail.endpoint, walked.serving?.routed.lease]).toEqual(['credit', 'other', 'credit-other'])
    await at.settle()
    expect(at.ledger.charged).toEqual([expect.objectContaining({ leaseId: 'credit-other', endpoint: 'other', why: 'credit' })])
    expect(wayOf(await go(at))).toBe('leased')
  })

  it('are not used on an endpoint that failed here, or that the newest snapshot takes out', async () => {
    const failed = await busy('other')
    failed.ports.reflexes.failed('other' as EndpointId)
    expect(wayOf(await go(failed))).toBe('leased')

    const gone = await busy('other')
    const down = snapshotOf([endpoint('one', 'x'), endpoint('other', 'x', { state: 'draining' })], { generation: 2 })
    gone.ports.snapshots.adopt({ generation: 2, snapshot: down })
    expect(wayOf(await go(gone))).toBe('leased')
  })

  it('are not used across versions', async () => {
    const next = 'atlas-3' as VersionId
    const at = await busy('other')
    const moved = snapshotOf([endpoint('new', 'x', { version: next })], { generation: 2, aliases: [alias({ stable: next })] })
    at.ports.snapshots.adopt({ generation: 2, snapshot: moved })
    script(at, lease('new'))
    const walked = await go(at)
    expect([wayOf(walked), walked.trail.endpoint]).toEqual(['leased', 'new'])
  })

  it('are not used for sessions that are kept', async () => {
    const at = await open(snapshotOf(pair.endpoints, { models: [modelRow({ affinity: 'session' })] }))
    at.tell(busyLoads)
    script(at, { ...lease('one'), credits: credits('other') }, lease('one'))
    await go(at)
    expect(wayOf(await go(at, question, { session: 's' }))).toBe('leased')
  })
})

describe('affinity', () => {
  const sticky = (rule: 'session' | 'prefix') =>
    snapshotOf(
      ['a', 'b', 'c', 'd'].map((name) => endpoint(name, 'x')),
      { models: [modelRow({ affinity: rule })] },
    )
  const roomy = loadsOf([cellLoad('x', { slots: 400, free: 400 })])

  it('a session gets the same endpoint without asking, by header or by the dialect’s user', async () => {
    const at = await open(sticky('session'))
    at.tell(roomy)
    const drawn = async (so: object, body: object = question) => {
      const endpoints = new Set<unknown>()
      for (let i = 0; i < 8; i++) endpoints.add((await go(at, body, so)).trail.endpoint)
      return endpoints
    }
    expect((await drawn({ session: 'mine' })).size).toBe(1)
    expect(await drawn({}, { ...question, user: 'mine' })).toEqual(await drawn({ session: 'mine' }))
    expect((await drawn({})).size).toBeGreaterThan(1)
    expect(at.ledger.asked).toEqual([])
  })

  it('sessions as a whole are spread over all endpoints', async () => {
    const at = await open(sticky('session'))
    at.tell(roomy)
    const endpoints = new Set<unknown>()
    for (let i = 0; i < 40; i++) endpoints.add((await go(at, question, { session: `s${i}` })).trail.endpoint)
    expect(endpoints.size).toBe(4)
  })

  it('a prefix is the ledger’s to find: it is asked, with the blocks', async () => {
    const at = await open(sticky('prefix'))
    at.tell(roomy)
    const long = { model: 'atlas', messages: [{ role: 'user', content: 'once upon a time '.repeat(40) }] }
    expect(wayOf(await go(at, long))).toBe('leased')
    expect(at.ledger.asked[0]?.affinity).toMatchObject({ kind: 'prefix', blocks: [expect.any(Number), expect.any(Number)] })
    expect(wayOf(await go(at, question))).toBe('blind')
  })
})

describe('residency', () => {
  const regions = [region('near-region', 'us'), region('far-region', 'eu')]
  const mixed = snapshotOf(two.endpoints, { regions })

  it('leads past the nearest cell, and goes along with the question', async () => {
    const at = await open(mixed, undefined, { residency: 'eu' })
    expect((await go(at)).trail.endpoint).toBe('far')
    expect(at.ledger.asked).toEqual([expect.objectContaining({ cell: far, residency: 'eu' })])
  })

  it('that nobody meets is refused, and nothing is sent', async () => {
    const at = await open(mixed, undefined, { residency: 'br' })
    expect((await go(at)).answer).toEqual(err({ reason: 'residency_unmet', model: 'atlas', residency: 'br' }))
    expect([at.ledger.asked, at.sent]).toEqual([[], []])
  })

  it('holds against the word of a ledger', async () => {
    const at = await open(mixed, undefined, { residency: 'eu' })
    script(at, said({ spill: { cell: near } }), lease('far'))
    expect((await go(at)).trail.endpoint).toBe('far')
    expect(at.ledger.asked.map(({ cell }) => cell)).toEqual([far, far])
  })

  it('holds for retries too', async () => {
    const at = await open(mixed, () => Promise.resolve(unreachable), { residency: 'eu' })
    expect(reasonOf(await go(at))).toBe('upstream_unreachable')
    expect(at.sent.map(({ endpoint: each }) => each.id)).toEqual(['far'])
  })
})

describe('a ledger’s answer', () => {
  it('sent on: the other cell is asked once, and told where the request comes from', async () => {
    const at = await open(two)
    script(at, said({ spill: { cell: far } }), lease('far'))
    expect((await go(at)).trail.endpoint).toBe('far')
    expect(at.ledger.asked.map(({ cell, spilledFrom }) => [cell, spilledFrom])).toEqual([
      [near, null],
      [far, near],
    ])
  })

  it('sent on to a cell that has filled up meanwhile: the request waits at the first', async () => {
    const at = await open(two)
    script(at, said({ spill: { cell: far } }), said({ denied: 'no_room' }), lease('near'))
    expect((await go(at)).trail.endpoint).toBe('near')
    expect(at.ledger.asked.map(({ cell, spilledFrom }) => [cell, spilledFrom])).toEqual([
      [near, null],
      [far, near],
      [near, near],
    ])
  })

  it('sent on without end: the questions are bounded', async () => {
    const at = await open(two)
    script(at, said({ spill: { cell: far } }), said({ spill: { cell: near } }))
    expect(reasonOf(await go(at))).toBe('no_healthy_endpoint')
    expect(at.ledger.asked.length).toBeLessThanOrEqual(limits.cellsAskedMax)
  })

  it.each(['no_healthy_endpoint', 'no_endpoint'] as const)('%s: the next cell of the row is asked', async (denied) => {
    const at = await open(two)
    script(at, said({ denied }), lease('far'))
    expect((await go(at)).trail.endpoint).toBe('far')
  })

  it('no_room: the caller is told when to come back, and nobody else is bothered', async () => {
    const at = await open(two)
    script(at, said({ denied: 'no_room', retryAfterMs: 4_200 }))
    expect((await go(at)).answer).toEqual(err({ reason: 'no_capacity', model: 'atlas', retryAfterMs: 4_200 }))
    expect(at.ledger.asked).toHaveLength(1)
  })

  it('no_snapshot: what was last told decides', async () => {
    const at = await open(two)
    script(at, said({ denied: 'no_snapshot' }))
    expect(wayOf(await go(at))).toBe('capacity')
    at.tell(loadsOf([cellLoad('near-region', { blindWaitMs: 500 })]))
    expect(wayOf(await go(at))).toBe('headroom')
  })

  it('an endpoint that is not known here: the lease goes back, and the next cell is asked', async () => {
    const at = await open(two)
    script(at, lease('gone'), lease('far'))
    const walked = await go(at)
    expect(walked.trail.endpoint).toBe('far')
    await at.settle()
    expect(at.ledger.settled[0]).toMatchObject({ leaseId: `${walked.trail.requestId}.1.0`, outcome: 'cancelled', ttfbMs: null })
  })

  it.each([
    ['to another cell', { cell: 'atlas@far-region' as CellId }],
    ['out of the jurisdiction', { region: 'far-region' as RegionName }],
    ['to another version', { version: 'atlas-3' as VersionId }],
  ])('an endpoint that has moved %s meanwhile: the lease goes back to the ledger that granted it', async (_, moved) => {
    const regions = [region('near-region', 'eu'), region('far-region', 'no')]
    const both = snapshotOf([endpoint('near', 'near-region'), endpoint('other', 'near-region')], { regions })
    const at = await world(both, { credential: { found: await credential({ residency: 'eu' }) } })
    const [near, other] = both.endpoints
    if (!near || !other) throw new Error('two were made')
    at.memory.snapshot = { ...both, generation: 2, endpoints: [{ ...near, ...moved }, other] }
    script(at, lease('near'), lease('other'))
    const walked = await go(at)
    expect(at.sent).toEqual([])
    expect(walked.answer.ok).toBe(false)
    await at.settle()
    expect(at.ledger.settled[0]).toMatchObject({ leaseId: `${walked.trail.requestId}.1.0`, outcome: 'cancelled' })
  })

  it('queued: the lease comes with the wait', async () => {
    const at = await open(two)
    script(at, said({ queued: { predictedMs: 5 } }))
    at.ledger.wait = () => Promise.resolve({ ...news, lease: { endpoint: 'near' as EndpointId }, denied: null, waitedMs: 5 })
    expect((await go(at)).trail.endpoint).toBe('near')
  })

  it('queued, and the place does not come before the deadline: it is given up', async () => {
    const at = await open(two)
    script(at, said({ queued: { predictedMs: 5 } }))
    at.ledger.wait = () => new Promise(() => undefined)
    const walked = await go(at, question, { timeoutMs: '300' })
    expect(reasonOf(walked)).toBe('deadline_exceeded')
    await at.settle()
    expect(at.ledger.settled).toEqual([{ leaseId: `${walked.trail.requestId}.1.0`, outcome: 'cancelled', ttfbMs: null }])
  })

  it('queued, and the client leaves', async () => {
    const at = await open(two)
    const gone = new AbortController()
    script(at, said({ queued: { predictedMs: 5 } }))
    at.ledger.wait = () => {
      setTimeout(() => gone.abort(), 5)
      return new Promise(() => undefined)
    }
    expect(reasonOf(await go(at, question, { gone: gone.signal }))).toBe('client_gone')
    await at.settle()
    expect(at.ledger.settled).toHaveLength(1)
    expect(at.sent).toEqual([])
  })

  it('queued, and the object is lost: the cell is asked again', async () => {
    const at = await open(two)
    script(at, said({ queued: { predictedMs: 5 } }), lease('near'))
    at.ledger.wait = () => Promise.reject(new Error('object reset'))
    expect((await go(at)).trail.endpoint).toBe('near')
    expect(at.ledger.asked.map(({ cell }) => cell)).toEqual([near, near])
  })

  it('queued, and the queue gives up: the caller is told to come back', async () => {
    const at = await open(two)
    script(at, said({ queued: { predictedMs: 5 } }))
    at.ledger.wait = () => Promise.resolve({ ...news, lease: null, denied: 'no_room', waitedMs: 10_000 })
    expect(reasonOf(await go(at))).toBe('no_capacity')
  })
})

describe('retries', () => {
  const busy = () => json({ error: 'x' }, 429, '3')

  it('are asked for as such, and never go to the endpoint that failed', async () => {
    const at = await open(pair, (_, call) => Promise.resolve(call === 1 ? busy() : json(answer())))
    const walked = await go(at)
    expect(reasonOf(walked)).toBe('served')
    expect(at.ledger.asked.map(({ purpose, avoid }) => [purpose, avoid])).toEqual([
      ['first', []],
      ['retry', [at.sent[0]?.endpoint.id]],
    ])
    expect(new Set(at.sent.map(({ endpoint: each }) => each.id)).size).toBe(2)
  })

  it('that the ledger’s budget denies: what became of the first attempt is told', async () => {
    const at = await open(pair, () => Promise.resolve(busy()))
    script(at, lease('one'), said({ denied: 'retry_budget' }))
    expect((await go(at)).answer).toEqual(err({ reason: 'upstream_busy', status: 429, retryAfterMs: 3_000 }))
    expect(at.sent).toHaveLength(1)
  })

  it('without a ledger come from what this isolate has put aside', async () => {
    const at = await open(pair, () => Promise.resolve(unreachable))
    script(at, 'lost')
    for (let i = 0; i < 9; i++) expect(reasonOf(await go(at))).toBe('upstream_unreachable')
    expect(at.sent).toHaveLength(9)
    await go(at)
    expect(at.sent).toHaveLength(11)
    await go(at)
    expect(at.sent).toHaveLength(12)
  })

  it('tell the ledger what it can learn from a failure', async () => {
    const at = await open(pair, (_, call) => Promise.resolve(call === 1 ? busy() : json(answer())))
    await go(at)
    await at.settle()
    expect(at.ledger.settled).toEqual([
      expect.objectContaining({
        outcome: 'soft_failure',
        endpoint: at.sent[0]?.endpoint.id,
        retryAfterMs: 3_000,
        tookMs: expect.any(Number),
      }),
      expect.objectContaining({
        outcome: 'good',
        endpoint: at.sent[1]?.endpoint.id,
        tookMs: expect.any(Number),
        // It came in one piece.
        ttfbMs: null,
      }),
    ])
  })

  it('keep other requests of this isolate away from the endpoint that failed', async () => {
    const at = await open(pair, (request) => Promise.resolve(request.endpoint.id === 'one' ? unreachable : json(answer())))
    at.tell(loadsOf([cellLoad('x', { slots: 400, free: 400 })]))
    for (let i = 0; i < 20; i++) await go(at)
    expect(at.sent.filter(({ endpoint: each }) => each.id === 'one').length).toBeLessThanOrEqual(1)
  })
})

describe('what an answer tells of its endpoint', () => {
  const usage = { usage: { prompt_tokens: 100, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 60 } } }

  it('a stream: the prompt’s tokens that were not cached', async () => {
    const last = JSON.stringify({ object: 'chat.completion.chunk', choices: [], ...usage })
    const at = await open(two, () => Promise.resolve(sse(delta('a'), last, '[DONE]')))
    const walked = await go(at, { ...question, stream: true })
    if (walked.answer.ok) await readAll(walked.answer.value.body)
    await at.settle()
    expect(at.ledger.settled).toEqual([expect.objectContaining({ outcome: 'good', promptTokens: 40 })])
  })

  it('one piece: none, for nobody saw its first token', async () => {
    const at = await open(two, () => Promise.resolve(json({ ...answer(), ...usage })))
    await go(at)
    await at.settle()
    expect(at.ledger.settled).toEqual([expect.objectContaining({ outcome: 'good', promptTokens: null })])
  })

  it('a request that was wrong: no time, for a quick "no" is not speed', async () => {
    const at = await open(two, () => Promise.resolve(json({ error: { message: 'bad' } }, 400)))
    await go(at)
    await at.settle()
    expect(at.ledger.settled[0]).toMatchObject({ outcome: 'good' })
    expect(at.ledger.settled[0]).not.toHaveProperty('tookMs')
  })
})

describe('hedging', () => {
  const hedging = snapshotOf(pair.endpoints, { models: [modelRow({ hedging: true })] })
  const soon = { hedgeAfterMs: 20 }
  const hung = () => new Promise<never>(() => undefined)

  it('a slow answer gets a second copy of the same bytes elsewhere; the loser is aborted and its lease comes back at once', async () => {
    const at = await open(hedging, (_, call) => (call === 1 ? hung() : Promise.resolve(json(answer('second')))))
    script(at, lease('one', soon), lease('other'))
    const walked = await go(at)
    expect([reasonOf(walked), walked.trail.endpoint]).toEqual(['served', 'other'])
    expect(at.ledger.asked[1]).toMatchObject({ purpose: 'hedge', avoid: ['one'] })
    expect(at.sent[0]?.signal.aborted).toBe(true)
    expect(at.sent[1]?.body).toEqual(at.sent[0]?.body)
    await at.settle()
    const { requestId } = walked.trail
    expect(at.ledger.settled.map(({ leaseId, outcome }) => `${leaseId} ${outcome}`).toSorted()).toEqual([
      `${requestId}.1.0 cancelled`,
      `${requestId}.1h.0 good`,
    ])
    expect(at.log[0]?.['failed']).toEqual([{ endpoint: 'one', outcome: 'cancelled', detail: 'another copy was sooner' }])
  })

  it('the first may still win; the copy’s lease comes back', async () => {
    const at = await open(hedging, (_, call) => (call === 1 ? slow(60, json(answer('first'))) : hung()))
    script(at, lease('one', soon), lease('other'))
    const walked = await go(at)
    expect(walked.trail.endpoint).toBe('one')
    await at.settle()
    expect(at.sent[1]?.signal.aborted).toBe(true)
    expect(at.ledger.settled.map(({ outcome }) => outcome).toSorted()).toEqual(['cancelled', 'good'])
  })

  it('both answer at once: one counts, and the lease of the other comes back', async () => {
    const both = Promise.withResolvers<void>()
    const at = await open(hedging, async (_, call) => {
      if (call === 2) setTimeout(both.resolve, 5)
      await both.promise
      return json(answer())
    })
    script(at, lease('one', soon), lease('other'))
    expect(reasonOf(await go(at))).toBe('served')
    await at.settle()
    expect(at.ledger.settled.map(({ outcome }) => outcome).toSorted()).toEqual(['cancelled', 'good'])
  })

  it('denied: the first is waited for', async () => {
    const at = await open(hedging, () => slow(60, json(answer())))
    script(at, lease('one', soon), said({ denied: 'hedge_budget' }))
    expect(reasonOf(await go(at))).toBe('served')
    expect(at.sent).toHaveLength(1)
  })

  it('a copy that fails is not the answer', async () => {
    const at = await open(hedging, (_, call) => (call === 1 ? slow(60, json(answer('first'))) : Promise.resolve(unreachable)))
    script(at, lease('one', soon), lease('other'))
    expect((await go(at)).trail.endpoint).toBe('one')
    await at.settle()
    expect(at.ledger.settled.map(({ outcome }) => outcome).toSorted()).toEqual(['good', 'hard_failure'])
  })

  it('two failures are two attempts: there is no third', async () => {
    const at = await open(hedging, (_, call) => (call === 1 ? slow(60, unreachable) : Promise.resolve(unreachable)))
    script(at, lease('one', soon), lease('other'))
    expect(reasonOf(await go(at))).toBe('upstream_unreachable')
    expect(at.sent).toHaveLength(2)
  })

  it('a bug in one of them gives back each lease once', async () => {
    const at = await open(hedging, (_, call) => (call === 1 ? hung() : Promise.reject(new Error('a bug'))))
    script(at, lease('one', soon), lease('other'))
    await expect(go(at)).rejects.toThrow('a bug')
    await at.settle()
    expect(at.ledger.settled.map(({ leaseId }) => leaseId.split('.').slice(1).join('.')).toSorted()).toEqual(['1.0', '1h.0'])
  })

  it('none of a second attempt: two are all there are', async () => {
    const three = { ...hedging, endpoints: [...hedging.endpoints, endpoint('third', 'x')] }
    const at = await open(three, (_, call) => (call === 1 ? Promise.resolve(unreachable) : slow(60, json(answer()))))
    script(at, lease('one'), lease('other', soon), lease('third'))
    expect(reasonOf(await go(at))).toBe('served')
    expect(at.sent).toHaveLength(2)
  })

  it.each([
    ['of a stream', hedging, { ...question, stream: true }],
    ['of a model without it', pair, question],
  ])('none %s, whatever the ledger says', async (_, snapshot, body) => {
    const at = await open(snapshot, () => slow(60, 'stream' in body ? sse(delta('x'), '[DONE]') : json(answer())))
    script(at, lease('one', soon), lease('other'))
    await go(at, body)
    expect(at.sent).toHaveLength(1)
  })

  it('never without a ledger to allow it', async () => {
    const at = await open(hedging, () => slow(60, json(answer())))
    script(at, lease('one', soon), 'lost')
    expect(reasonOf(await go(at))).toBe('served')
    expect(at.sent).toHaveLength(1)
  })
})

describe('priority and explanation', () => {
  it.each([
    ['critical without the scope', { 'isochrone-priority': 'critical' }, [], { reason: 'scope_missing', scope: 'critical' }],
    ['an explanation without the scope', { 'isochrone-explain': '1' }, ['critical'], { reason: 'scope_missing', scope: 'explain' }],
    ['a priority that is none', { 'isochrone-priority': 'high' }, [], { reason: 'invalid_header', header: 'isochrone-priority' }],
    ['an explanation that is none', { 'isochrone-explain': 'yes' }, ['explain'], { reason: 'invalid_header', header: 'isochrone-explain' }],
  ])('%s is refused', async (_, headers, scopes, refusal) => {
    const at = await open(two, undefined, { scopes })
    expect((await go(at, question, { header: header(headers) })).answer).toMatchObject({ ok: false, error: refusal })
    expect(at.sent).toEqual([])
  })

  it('batch needs no scope', async () => {
    const at = await open(two)
    await go(at, question, { header: header({ 'isochrone-priority': 'batch' }) })
    expect(at.ledger.asked[0]?.priority).toBe('batch')
  })

  const explaining = { header: header({ 'isochrone-explain': '1' }) }

  it('tells which cells were considered, with their parts, and why the others lost', async () => {
    const at = await open(snapshotOf([...two.endpoints, endpoint('down', 'third', { state: 'unhealthy' })]), undefined, {
      scopes: ['explain'],
    })
    at.tell(loadsOf([cellLoad('near-region', { waitMs: 1, blindWaitMs: 500, ttftMs: 30 }), cellLoad('far-region')]))
    const walked = await go(at, question, explaining)
    expect(walked.explained?.rounds).toEqual([
      expect.objectContaining({
        purpose: 'first',
        asked: 'blind_wait',
        way: 'leased',
        endpoint: 'near',
        lease: walked.serving?.routed.lease,
        affinity: null,
        spill: null,
        cells: [
          { cell: near, fraction: 1, roundTripMs: 10, waitMs: 1, blindWaitMs: 500, ttftMs: 30, predictedMs: 41, lost: null },
          expect.objectContaining({ cell: far, predictedMs: null, lost: 'no fraction' }),
          expect.objectContaining({ cell: 'atlas@third', lost: 'no endpoint may serve' }),
        ],
        asks: [expect.objectContaining({ cell: near, answer: 'granted' })],
      }),
    ])
    expect(at.ledger.asked[0]?.explain).toBe(true)
    await at.settle()
    expect(at.log[0]?.['explained']).toBe(walked.explained?.rounds)
  })

  it('tells of a request that did not ask, of a spill, of attempts that failed, and of refusals', async () => {
    const calm = await open(two, undefined, { scopes: ['explain'] })
    calm.tell(loadsOf([cellLoad('near-region')]))
    expect((await go(calm, question, explaining)).explained?.rounds[0]).toMatchObject({ asked: null, way: 'blind', asks: [] })

    const sentOn = await open(two, undefined, { scopes: ['explain'] })
    script(sentOn, said({ spill: { cell: far } }), lease('far'))
    expect((await go(sentOn, question, explaining)).explained?.rounds[0]).toMatchObject({ spill: { from: near, to: far }, endpoint: 'far' })

    const failing = await open(two, () => Promise.resolve(unreachable), { scopes: ['explain'] })
    const walked = await go(failing, question, explaining)
    expect(reasonOf(walked)).toBe('upstream_unreachable')
    expect(walked.explained?.rounds.map(({ purpose }) => purpose)).toEqual(['first', 'retry'])
    expect(walked.explained?.attempts.map(({ endpoint: each, outcome }) => [each, outcome])).toEqual([
      ['near', 'hard_failure'],
      ['far', 'hard_failure'],
    ])
  })

  it('tells whether a session was kept', async () => {
    const sticky = snapshotOf(pair.endpoints, { models: [modelRow({ affinity: 'session' })] })
    const at = await open(sticky, undefined, { scopes: ['explain'] })
    script(at, lease('one', { affinity: 'session' }), lease('other', { affinity: 'left' }))
    const kept = async () => (await go(at, question, { ...explaining, session: 's' })).explained?.rounds[0]?.affinity
    expect([await kept(), await kept()]).toEqual([
      { kind: 'session', kept: true, why: 'the ledger kept it' },
      { kind: 'session', kept: false, why: expect.stringContaining('later than another') },
    ])
  })

  it('is nothing to those who did not ask', async () => {
    const at = await open(two)
    expect((await go(at)).explained).toBeNull()
    await at.settle()
    expect(at.log[0]).not.toHaveProperty('explained')
  })
})

describe('explainLine', () => {
  const considered = (many: number) =>
    Array.from({ length: many }, (_, i) => ({
      endpoint: `é${i}` as EndpointId,
      inFlight: 1,
      cap: 4,
      waitMs: 0,
      prefillMs: 0,
      predictedMs: 0,
      lost: null,
    }))
  const explanation = (many: number, detail = 'x') => ({
    rounds: [
      {
        purpose: 'first' as const,
        cells: [],
        asked: null,
        asks: [{ cell: near, lease: 'l' as LeaseId, answer: 'granted', tookMs: 1, considered: considered(many) }],
        spill: null,
        affinity: null,
        way: 'leased' as const,
        endpoint: 'e' as EndpointId,
        lease: 'l' as LeaseId,
      },
    ],
    attempts: [{ endpoint: 'e' as EndpointId, outcome: 'good' as const, tookMs: 1, detail }],
  })

  it('is JSON in ASCII that gives the same back', () => {
    const line = explainLine(explanation(2))
    expect(line).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(line)).toEqual(explanation(2))
  })

  it.each([
    [100, 'x', ['considered']],
    [1, 'x'.repeat(limits.explainBytesMax), ['considered', 'cells', 'asks', 'attempts']],
  ])('drops what does not fit, and names it (%i endpoints)', (many, detail, dropped) => {
    const line = explainLine(explanation(many, detail))
    expect(line.length).toBeLessThanOrEqual(limits.explainBytesMax)
    expect(JSON.parse(line)).toMatchObject({ dropped })
  })
})
