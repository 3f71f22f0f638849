// Copies to the canary: what they tell, and that nothing that becomes of one touches the answer it is a copy of.

import { describe, expect, it } from 'vitest'
import type { Admitted, Answer, Asked, CallFailure, Ended } from '../../../edge/facts.ts'
import { exchange } from '../../../edge/ledger/book.ts'
import { settledAfterAnswer, settledAfterFailure } from '../../../edge/record/outcome.ts'
import { arrivalOf, judgementOf } from '../../../edge/record/trial.ts'
import { compare } from '../../../edge/shadow/compare.ts'
import { shadow, type Copy, type Means } from '../../../edge/shadow/shadow.ts'
import { ableEndpoints, targetCell } from '../../../edge/shadow/target.ts'
import { limits } from '../../../shared/limits.ts'
import { seededRandom } from '../../../shared/random.ts'
import { err, ok, type Result } from '../../../shared/result.ts'
import type { CellId, EndpointId, VersionId } from '../../../shared/ids.ts'
import type { AskAnswer, Block, Settled } from '../../../shared/wire/ledger.ts'
import type { TrialTally } from '../../../shared/wire/trial.ts'
import type { EdgePorts, Question, RequestLine } from '../../../edge/ports.ts'
import { credential } from '../../support/credential.ts'
import {
  answer,
  askedOf,
  delta,
  go,
  json,
  question,
  sse,
  unreachable,
  world,
  type UpstreamFake,
  type World,
} from '../../support/edge-world.ts'
import { heldTime } from '../../support/held-time.ts'
import { alias, endpoint, region, snapshotOf, version } from '../../support/snapshot.ts'
import { bytes, readAll, streamOf } from '../../support/stream.ts'

const found = { found: await credential() }
const canary = 'atlas-3' as VersionId
const old = endpoint('old', 'near')
const fresh = endpoint('new', 'near', { version: canary, servedName: 'fresh' })
const copied = snapshotOf([old, fresh], { aliases: [alias({ canary, shadowBp: 10_000 })] })
const exact = { ...question, temperature: 0 }
const near = 'atlas@near' as CellId

/** Stable answers `hello`; the canary as told. */
const withCanary =
  (of: UpstreamFake): UpstreamFake =>
  (request, call) =>
    request.endpoint.id === 'new' ? of(request, call) : Promise.resolve(json(answer()))

/** A token, and then nothing until it is cut. */
const endless = (signal: AbortSignal) =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(bytes(`data: ${delta('a')}\n\n`))
      signal.addEventListener('abort', () => controller.error(new Error('cut')))
    },
  })

async function blocksOf(at: World, cell = near): Promise<readonly Block[]> {
  await at.settle()
  return exchange(at.ledger.book(cell), { snapshot: null, cell: null }, Date.now(), seededRandom(1)).blocks
}
const trialsOf = (blocks: readonly Block[]): readonly TrialTally[] => blocks.flatMap(({ trials }) => trials ?? [])
const linesOf = ({ log }: World, event: string): readonly RequestLine[] => log.filter((line) => line['event'] === event)

describe('a copy', () => {
  it('goes to the canary after the answer, with the same bytes, and is counted as a copy alone', async () => {
    const at = await world(copied, { credential: found })
    const walked = await go(at, exact)
    expect(at.sent.map(({ endpoint: to }) => to.id)).toEqual(['old'])
    const blocks = await blocksOf(at)
    expect(at.sent.map(({ endpoint: to }) => to.id)).toEqual(['old', 'new'])
    expect(new TextDecoder().decode(at.sent[1]?.body)).toBe(JSON.stringify(exact).replace('"atlas"', '"fresh"'))
    expect(at.sent[1]?.headers).toMatchObject({ 'x-request-id': `${walked.trail.requestId}.shadow` })
    const whole = { deterministic: 1, same: 1, of: 1, errorsDiffer: 0, tokensStable: 0, tokensCanary: 0 }
    expect(trialsOf(blocks)).toMatchObject([
      { version, shadow: false, arrived: 1, judged: 1, compared: null },
      { version: canary, shadow: true, arrived: 1, judged: 1, hardErrors: 0, empty: { of: 1, bad: 0 }, compared: whole },
    ])
    // One request in all: the copy is none in the log, in demand, or among the ways.
    expect(linesOf(at, 'request')).toHaveLength(1)
    expect(linesOf(at, 'shadow')).toMatchObject([{ version: canary, endpoint: 'new', outcome: 'good', ended: 'complete', dropped: 0 }])
    expect(blocks.map(({ arrivals }) => arrivals)).toEqual([{ enam: 1 }])
    expect(blocks.map(({ ways }) => ways)).toEqual([{ leased: 1 }])
    expect(at.ledger.live()).toBe(0)
  })

  it('of a stream waits for its last byte, and takes as many pieces as it likes', async () => {
    const of = (...pieces: readonly string[]) => Promise.resolve(sse(...pieces.map(delta), '[DONE]'))
    const at = await world(copied, {
      credential: found,
      upstream: ({ endpoint: to }) => (to.id === 'new' ? of('he', 'll', 'o') : of('hel', 'lo')),
    })
    const walked = await go(at, { ...exact, stream: true })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([at.sent.length, at.shadowMemory.held]).toEqual([1, 1])
    if (walked.answer.ok) await readAll(walked.answer.value.body)
    const [, copy] = trialsOf(await blocksOf(at))
    expect(copy).toMatchObject({ shadow: true, compared: { deterministic: 1, same: 1, tokensStable: 2, tokensCanary: 3 } })
    expect([at.sent.length, at.shadowMemory.held]).toEqual([2, 0])
  })

  it('lets go of what was asked, and keeps none of it where none is due', async () => {
    let forgotten = 0
    const body = { ...askedOf(exact).body, forget: () => void forgotten++ }
    const at = await world(copied, { credential: found })
    const walked = await go(at, exact, { body })
    expect([forgotten, walked.admitted?.bytes.length, walked.admitted?.wish.json]).toEqual([1, 0, null])
    expect(at.shadowMemory.held).toBe(1)
    await at.settle()
    expect(at.shadowMemory).toEqual({ held: 0, dropped: 0 })
    const quiet = await world({ ...copied, aliases: [alias({ canary })] }, { credential: found })
    await go(quiet, exact)
    expect(quiet.shadowMemory.held).toBe(0)
    await quiet.settle()
    expect(quiet.sent).toHaveLength(1)
  })

  it('is not made of an answer that the caller left, or that failed', async () => {
    const gone = new AbortController()
    const at = await world(copied, {
      credential: found,
      upstream: (request) =>
        Promise.resolve(ok({ status: 200, contentType: 'text/event-stream', retryAfter: null, body: endless(request.signal) })),
    })
    await go(at, { ...exact, stream: true }, { gone: gone.signal })
    gone.abort()
    const failing = await world(copied, { credential: found, upstream: () => Promise.resolve(unreachable) })
    await go(failing, exact)
    for (const each of [at, failing]) {
      expect(trialsOf(await blocksOf(each)).filter((tally) => tally.shadow)).toEqual([])
      expect(each.shadowMemory.held).toBe(0)
      expect(each.sent.map(({ endpoint: to }) => to.id)).toEqual(['old'])
    }
  })

  it.each<[string, UpstreamFake, Partial<TrialTally> | null, string]>([
    ['cannot be reached', () => Promise.resolve(unreachable), { hardErrors: 1 }, 'hard_failure'],
    ['fails', () => Promise.resolve(json({ error: { message: 'x' } }, 500)), { hardErrors: 1 }, 'hard_failure'],
    // Stable has answered the same bytes.
    ['blames the request', () => Promise.resolve(json({ error: { message: 'x' } }, 400)), { hardErrors: 1 }, 'good'],
    ['answers with nothing', () => Promise.resolve(json(answer(''))), { hardErrors: 0, empty: { of: 1, bad: 1 } }, 'good'],
    ['is busy', () => Promise.resolve(json({ error: { message: 'x' } }, 429)), null, 'soft_failure'],
  ])('that %s is the canary’s alone', async (_, of, tally, outcome) => {
    const at = await world(copied, { credential: found, upstream: withCanary(of) })
    const walked = await go(at, exact)
    if (!walked.answer.ok) throw new Error(walked.answer.error.reason)
    expect((await readAll(walked.answer.value.body)).text).toBe(JSON.stringify(answer()))
    const trials = trialsOf(await blocksOf(at))
    expect(trials.filter((each) => !each.shadow)).toMatchObject([{ version, hardErrors: 0, empty: { of: 1, bad: 0 } }])
    const copies = trials.filter((each) => each.shadow)
    if (tally) expect(copies).toMatchObject([{ ...tally, arrived: 1, judged: 1 }])
    // That it was sent is known, and it is never judged.
    else expect(copies).toMatchObject([{ arrived: 1, judged: 0 }])
    expect(linesOf(at, 'request')).toMatchObject([{ status: 200, ended: 'complete', version, failed: [] }])
    expect(linesOf(at, 'shadow')).toMatchObject([{ outcome }])
    expect(at.ledger.settled.map((each) => each.outcome)).toEqual(['good', outcome])
    expect(at.reflexMemory.asideUntilMs.size).toBe(0)
    expect(at.ledger.live()).toBe(0)
  })

  it('in which a bug shows gives its place and its lease back', async () => {
    const at = await world(copied, { credential: found, upstream: withCanary(() => Promise.reject(new Error('a bug'))) })
    const walked = await go(at, exact)
    expect(walked.answer.ok).toBe(true)
    await expect(at.settle()).rejects.toThrow('a bug')
    expect(at.shadowMemory.held).toBe(0)
    await expect.poll(() => at.ledger.live()).toBe(0)
    expect(linesOf(at, 'request')).toMatchObject([{ status: 200, ended: 'complete' }])
  })

  it.each<[string, AskAnswer['denied'] | 'lost']>([
    ['has no place to spare', 'no_room'],
    ['no longer takes copies', 'withdrawn'],
    ['does not answer', 'lost'],
  ])('is not made where the ledger %s', async (_, denied) => {
    const at = await world(copied, { credential: found })
    const real = at.ledger.ask.bind(at.ledger)
    at.ledger.ask = async (ask) => {
      if (!ask.shadow) return real(ask)
      if (denied === 'lost') throw new Error('reset')
      return { generation: 1, snapshot: null, lease: null, denied }
    }
    await go(at, exact)
    expect(trialsOf(await blocksOf(at)).filter((each) => each.shadow)).toEqual([])
    expect(at.sent.map(({ endpoint: to }) => to.id)).toEqual(['old'])
    expect(linesOf(at, 'shadow')).toEqual([])
    expect(at.shadowMemory).toEqual({ held: 0, dropped: 1 })
    expect(at.ledger.live()).toBe(0)
  })

  it('gives way where the canary has little room: the real ledger keeps most of its places for requests', async () => {
    const at = await world(
      {
        ...copied,
        endpoints: [
          { ...old, slots: 50 },
          { ...fresh, slots: 3 },
        ],
      },
      {
        credential: found,
        upstream: withCanary(async (request) => {
          await new Promise((resolve) => setTimeout(resolve, 50))
          return json(answer(request.endpoint.id))
        }),
      },
    )
    await Promise.all(Array.from({ length: 12 }, () => go(at, exact)))
    const blocks = await blocksOf(at)
    const made = at.sent.filter(({ endpoint: to }) => to.id === 'new').length
    expect(made).toBeGreaterThan(0)
    expect(made).toBeLessThan(limits.shadowsMax)
    expect(trialsOf(blocks).find((each) => each.shadow)).toMatchObject({ arrived: made, judged: made })
    const dropped = linesOf(at, 'shadow').reduce((sum, line) => sum + Number(line['dropped']), at.shadowMemory.dropped)
    expect(dropped).toBe(12 - made)
  })

  it('has one of a few places of its isolate', async () => {
    const at = await world(
      {
        ...copied,
        endpoints: [
          { ...old, slots: 50 },
          { ...fresh, slots: 50 },
        ],
      },
      {
        credential: found,
        upstream: () => Promise.resolve(sse(delta('a'), '[DONE]')),
      },
    )
    const walks = await Promise.all(Array.from({ length: limits.shadowsMax + 3 }, () => go(at, { ...exact, stream: true })))
    expect(at.shadowMemory).toEqual({ held: limits.shadowsMax, dropped: 3 })
    for (const { answer: said } of walks) if (said.ok) await readAll(said.value.body)
    await at.settle()
    expect(at.sent.filter(({ endpoint: to }) => to.id === 'new')).toHaveLength(limits.shadowsMax)
    expect(at.shadowMemory.held).toBe(0)
  })

  it('does not leave its caller’s jurisdiction', async () => {
    const bound = { found: await credential({ residency: 'eu' }) }
    const outside = {
      ...copied,
      endpoints: [old, endpoint('new', 'far', { version: canary })],
      regions: [region('near', 'eu'), region('far', 'us')],
    }
    const at = await world(outside, { credential: bound })
    await go(at, exact)
    await at.settle()
    expect(at.sent.map(({ endpoint: to }) => to.id)).toEqual(['old'])
    expect(at.shadowMemory).toEqual({ held: 0, dropped: 1 })
  })
})

const complete: Ended = {
  how: 'complete',
  detail: null,
  bytes: 1,
  usage: { inputTokens: 1, outputTokens: 8, cachedTokens: null },
  slowestGapMs: 1,
  sense: { empty: false, schema: null, textHash: 'a' },
}

describe('within its time', () => {
  const bound = { found: found.found }

  function scene(so: { readonly ended?: Promise<Ended>; readonly send: Means['send']; readonly ask?: Partial<AskAnswer> }) {
    const time = heldTime()
    const [settled, tallied, log, returned]: [Settled[], TrialTally[], RequestLine[], unknown[]] = [[], [], [], []]
    const asked: Question[] = []
    let held = 1
    const ports = {
      ...time,
      snapshots: { newest: () => null },
      ledgers: {
        ask: (question: Question) => {
          asked.push(question)
          return Promise.resolve(ok({ generation: 1, snapshot: null, lease: { endpoint: 'new' as EndpointId }, denied: null, ...so.ask }))
        },
        settle: (_: CellId, each: Settled) => void settled.push(each),
        giveBack: (_: CellId, lease: unknown) => void returned.push(lease),
        tally: (_: CellId, tally: TrialTally) => void tallied.push(tally),
      },
      shadows: { take: () => true, leave: () => void held--, drop: () => undefined, dropped: () => 0 },
      log: (line: RequestLine) => void log.push(line),
    } as unknown as EdgePorts
    const wish = { model: old.model, version: null, stream: true, user: null, json: null }
    const admitted: Admitted = {
      credential: bound.found,
      wish,
      bytes: bytes(JSON.stringify(exact)),
      version,
      deadlineMs: 0,
      priority: 'critical',
      explain: true,
      assignment: { alias: 'development/atlas', write: 'ro:2', forced: false, counts: true, shadow: canary },
    }
    const copy: Copy = {
      asked: askedOf(exact, { session: 'mine' }),
      admitted,
      canary,
      under: copied,
      stable: { cell: near, sentAtMs: time.clock.nowMs(), ended: so.ended ?? Promise.resolve(complete) },
    }
    const means: Means = { send: so.send, settledAfterAnswer, settledAfterFailure, arrivalOf, judgementOf }
    return { time, asked, settled, tallied, log, returned, held: () => held, done: shadow(copy, means, ports) }
  }

  it('a hanging server is left at the end of it: neither an error of the canary nor a pair to compare, but slow', async () => {
    const deadlines: number[] = []
    const at = scene({
      send: async (_, { deadlineMs }) => {
        deadlines.push(deadlineMs)
        await at.time.timer.sleep(deadlineMs - at.time.clock.nowMs())
        return err({ refusal: { reason: 'deadline_exceeded', afterMs: 1 }, outcome: 'cancelled', retryable: false })
      },
    })
    const beganAtMs = at.time.clock.nowMs()
    await at.time.advance(1)
    // Told as it is sent: at its end its ten seconds may have been judged.
    expect(at.tallied).toMatchObject([{ arrived: 1, judged: 0 }])
    await at.time.advance(limits.shadowMsMax)
    await at.done
    expect(deadlines).toEqual([beganAtMs + limits.shadowMsMax])
    expect(at.asked[0]?.ask.deadlineMs).toBe(beganAtMs + limits.shadowMsMax + limits.leaseGraceMs)
    expect(at.settled).toMatchObject([{ outcome: 'cancelled' }])
    expect(at.tallied).toMatchObject([
      { shadow: true, arrived: 1, judged: 0, write: 'ro:2' },
      { shadow: true, arrived: 0, judged: 1, hardErrors: 0, compared: null, write: 'ro:2' },
    ])
    expect(Object.values(at.tallied[1]?.ttft ?? {})).toEqual([1])
    expect(at.held()).toBe(0)
  })

  it('a stream that is still flowing at the end of it is judged by its first token', async () => {
    const value: Answer = {
      status: 200,
      contentType: 'text/event-stream',
      headers: {},
      body: streamOf(['x'], new Error('cut')),
      ttfbMs: 40,
      ended: Promise.resolve({ ...complete, how: 'deadline', sense: null }),
    }
    const at = scene({ send: () => Promise.resolve(ok(value)) })
    await at.time.advance(1)
    await at.done
    expect(at.tallied).toMatchObject([{ judged: 0 }, { judged: 1, hardErrors: 0, empty: { of: 0, bad: 0 }, compared: null }])
    expect(Object.values(at.tallied[1]?.ttft ?? {})).toEqual([1])
    expect(at.settled).toMatchObject([{ outcome: 'cancelled' }])
  })

  it('an answer that lasts longer than a copy may is not waited for, and its bytes are not kept', async () => {
    const sent: Asked[] = []
    const at = scene({
      ended: new Promise(() => undefined),
      send: (asked) => {
        sent.push(asked)
        return Promise.reject(new Error('sent'))
      },
    })
    await at.time.advance(limits.shadowMsMax)
    await at.done
    expect([sent.length, at.asked.length, at.held()]).toEqual([0, 0, 0])
  })

  it('goes as a copy: last in order, nobody’s session, for nobody who could leave, read anew from its bytes', async () => {
    const sent: { readonly asked: Asked; readonly admitted: Admitted }[] = []
    const refused: CallFailure = { refusal: { reason: 'upstream_unreachable', detail: 'x' }, outcome: 'hard_failure', retryable: true }
    const send: Means['send'] = (asked, admitted): Promise<Result<Answer, CallFailure>> => {
      sent.push({ asked, admitted })
      return Promise.resolve(err(refused))
    }
    const at = scene({ send })
    await at.time.advance(1)
    await at.done
    expect(at.asked).toMatchObject([
      {
        creditsFor: null,
        ask: { shadow: true, priority: 'batch', purpose: 'first', affinity: null, version: canary, alias: 'development/atlas' },
      },
    ])
    expect(sent).toHaveLength(1)
    expect(sent[0]?.asked).toMatchObject({ session: null })
    expect(sent[0]?.asked.requestId).toMatch(/\.shadow$/)
    expect(sent[0]?.admitted).toMatchObject({ version: canary, priority: 'batch', explain: false, wish: { json: exact } })
    expect(at.tallied).toMatchObject([
      { judged: 0 },
      { hardErrors: 1, compared: { of: 1, errorsDiffer: 1, tokensStable: 0, tookMsStable: 0 } },
    ])
  })

  it.each<[string, Partial<AskAnswer>]>([
    ['queues it, as one of before there were copies does', { lease: null, queued: { predictedMs: 1 } }],
    ['grants an endpoint that is gone', { lease: { endpoint: 'gone' as EndpointId } }],
    ['grants one of stable’s', { lease: { endpoint: 'old' as EndpointId } }],
  ])('a ledger that %s gets its lease back', async (_, ask) => {
    const at = scene({ ask, send: () => Promise.reject(new Error('sent')) })
    await at.time.advance(1)
    await at.done
    expect(at.returned).toHaveLength(1)
    expect([at.settled, at.tallied, at.log]).toEqual([[], [], []])
    expect(at.held()).toBe(0)
  })
})

describe('two answers', () => {
  const side = (so: Partial<Ended> = {}, tookMs = 100) => ({ ended: { ...complete, ...so }, tookMs })
  const failed = { ended: null, tookMs: 9 }
  const none = { of: 1, errorsDiffer: 0, deterministic: 0, same: 0, tokensStable: 0, tokensCanary: 0, tookMsStable: 0, tookMsCanary: 0 }
  const text = (textHash: string | null) => ({ sense: { empty: false, schema: null, textHash } })
  const tokens = (outputTokens: number | null) => ({ usage: { inputTokens: 1, outputTokens, cachedTokens: null } })
  const timed = { ...none, tokensStable: 8, tokensCanary: 8, tookMsStable: 100, tookMsCanary: 100 }

  it.each([
    ['alike', side(), side(), { ...timed, deterministic: 1, same: 1 }],
    ['of other texts', side(), side(text('b')), { ...timed, deterministic: 1 }],
    ['of which one has no digest', side(text(null)), side(), timed],
    ['that nobody looked at', side({ sense: null }), side({ sense: null }), timed],
    [
      'of other lengths and times',
      side({}, 100),
      side({ ...tokens(12) }, 300),
      { ...timed, deterministic: 1, same: 1, tokensCanary: 12, tookMsCanary: 300 },
    ],
    ['of which one was not counted', side(), side(tokens(null)), { ...timed, deterministic: 1, same: 1, tokensStable: 0, tokensCanary: 0 }],
    ['of which the canary’s failed', side(), failed, { ...none, errorsDiffer: 1 }],
    ['of which the canary’s broke off', side(), side({ how: 'upstream_failed' }), { ...none, errorsDiffer: 1 }],
    ['of which stable’s failed', failed, side(), { ...none, errorsDiffer: 1 }],
    ['that both failed', failed, failed, none],
  ])('%s', (_, stable, other, compared) => {
    expect(compare(stable, other)).toEqual(compared)
  })
})

describe('the cell of a copy', () => {
  const row = ['far', 'near'].map((name, index) => ({ cell: `atlas@${name}` as CellId, fraction: 0, roundTripMs: 10 * index }))
  const at = (name: string, so: Parameters<typeof endpoint>[2] = {}) => endpoint(`new-${name}`, name, { version: canary, ...so })
  const cellOf = (...endpoints: readonly ReturnType<typeof at>[]) => {
    const need = { version: canary, operation: 'chat' as const, residency: null }
    return targetCell(ableEndpoints(snapshotOf(endpoints), need), row, near)
  }

  it.each([
    ['stable’s own, where the canary is', [at('far'), at('near')], 'atlas@near'],
    ['else the nearest', [at('other'), at('far')], 'atlas@far'],
    ['else any', [at('other')], 'atlas@other'],
    ['not one that is down', [at('near', { state: 'unhealthy' }), at('far')], 'atlas@far'],
    ['not one that cannot do it', [at('near', { operations: ['embeddings'] }), at('far')], 'atlas@far'],
    ['none where nobody serves it', [endpoint('old', 'near')], null],
  ])('is %s', (_, endpoints, cell) => {
    expect(cellOf(...endpoints)).toBe(cell)
  })
})
