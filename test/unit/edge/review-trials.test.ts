// What could make a version look better or worse than it is: times that were not its own, requests that were told too late to be judged, and
// copies that would do something twice.

import { describe, expect, it } from 'vitest'
import { isRepeatable } from '../../../edge/admit/repeatable.ts'
import type { Answer, Called, Ended } from '../../../edge/facts.ts'
import { openAiVoice } from '../../../edge/http/refuse.ts'
import { chatLane } from '../../../edge/lane/openai.ts'
import { responsesLane } from '../../../edge/lane/responses.ts'
import { outcomeOf, settledAfterAnswer } from '../../../edge/record/outcome.ts'
import { counterOf, record } from '../../../edge/record/record.ts'
import { judgementOf, type Trial } from '../../../edge/record/trial.ts'
import { aliasesOf, isWithdrawn } from '../../../edge/ledger/withdrawal.ts'
import { emptyOutbox, putTrial, takeReport } from '../../../edge/route/outbox.ts'
import { judgedOf } from '../../../edge/shadow/came.ts'
import { open } from '../../../edge/stream/stream.ts'
import { limits } from '../../../shared/limits.ts'
import { ok } from '../../../shared/result.ts'
import type { CellId, EndpointId, LeaseId, VersionId } from '../../../shared/ids.ts'
import { readSnapshot, type Snapshot } from '../../../shared/wire/snapshot.ts'
import { aliasNameOf, timeClassOf, type TrialTally } from '../../../shared/wire/trial.ts'
import { credential } from '../../support/credential.ts'
import { askedOf, delta, go, json, question, world } from '../../support/edge-world.ts'
import { heldTime, idle, type HeldTime } from '../../support/held-time.ts'
import { asking, namedSse, runLane } from '../../support/lane-runs.ts'
import { alias, endpoint, model, snapshotOf, version } from '../../support/snapshot.ts'
import { bytes } from '../../support/stream.ts'
import { trialTally } from '../../support/trial.ts'

const near = 'atlas@near' as CellId
const at = endpoint('a', 'near')
const event = (data: string) => `data: ${data}\n\n`
const role = event('{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}')
const usage = event('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}')
const times = (ms: number) => ({ [timeClassOf(ms)]: 1 })

/** A stream from an engine whose pieces a test sends, and the answer once it is committed. */
function streaming(time: HeldTime, holdMs = 1_000) {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, { highWaterMark: 64 }, { highWaterMark: 64 })
  const writer = writable.getWriter()
  const value: Called = {
    status: 200,
    contentType: 'text/event-stream',
    headers: {},
    body: readable.getReader(),
    lane: chatLane,
    asking: { body: bytes(''), json: {}, contentType: '', header: () => null, model: 'm', servedName: 'm', stream: true },
    dropped: [],
    sentAtMs: time.clock.nowMs(),
    watch: { signal: new AbortController().signal, cut: () => undefined, why: () => null, end: () => undefined },
  }
  const patience = { holdMs, firstTokenMs: 60_000, keepAliveMs: 60_000 }
  const opening = open(value, { voice: openAiVoice, patience, cadence: null, receivedAtMs: time.clock.nowMs() }, time)
  return {
    say: (...pieces: readonly string[]) => void writer.write(bytes(pieces.join(''))),
    close: () => void writer.close(),
    answer: async (): Promise<Answer> => {
      const opened = await opening
      if (!opened.ok) throw new Error(opened.error.refusal.reason)
      return opened.value
    },
  }
}

/** Reads all there is, and goes on reading. */
function read(answer: Answer): void {
  if (answer.body instanceof ReadableStream) void answer.body.pipeTo(new WritableStream({ write: () => undefined })).catch(() => undefined)
}

/** A request of a stream, counted from its leaving to its end. */
function counted(time: HeldTime, answer: Answer, ttfbMs = answer.ttfbMs, sentAtMs = time.clock.nowMs()) {
  const told: TrialTally[] = []
  const ports = {
    ...time,
    ledgers: { tally: (_: CellId, tally: TrialTally) => void told.push(tally), settle: () => undefined, giveBack: () => undefined },
    snapshots: { current: () => Promise.resolve(null) },
    cadences: { of: () => null, learn: () => undefined },
    log: () => undefined,
    afterResponse: () => undefined,
  } as unknown as Parameters<typeof record>[2]
  const asked = askedOf({ ...question, stream: true }, { receivedAtMs: sentAtMs })
  const admitted = {
    credential: { id: 'k', tenant: 't' },
    wish: { model, version: null, stream: true, user: null, json: null },
    version,
    assignment: { alias: 'development/atlas', write: '', forced: false, counts: true, shadow: null },
  } as unknown as Parameters<ReturnType<typeof counterOf>['left']>[0]
  const counter = counterOf(asked, ports)
  const walked = {
    answer: ok(answer),
    trail: { requestId: asked.requestId, version, region: null, endpoint: null, overheadMs: 0 },
    admitted,
    failed: [],
    serving: {
      routed: { endpoint: at, lease: 'l1' as LeaseId, way: 'leased' as const, roundTripMs: null, hedgeAfterMs: null },
      ttfbMs,
      sentAtMs,
    },
    explained: null,
  }
  return { told, left: () => counter.left(admitted, near, []), record: () => record(asked, walked, ports, counter) }
}

const trial: Trial = {
  leftAtMs: 1_000_000,
  assigned: { version, assignment: { alias: 'development/atlas', write: '', forced: false, counts: true, shadow: null } },
}
const whole: Ended = { how: 'complete', detail: null, bytes: 1, usage: null, slowestGapMs: 0, sense: null }

describe('the time to the first token', () => {
  it('of a stream that was begun for want of one is that of the token', async () => {
    const time = heldTime()
    const engine = streaming(time)
    engine.say(role)
    await time.advance(1_000)
    const answer = await engine.answer()
    read(answer)
    expect([answer.ttfbMs, answer.firstTokenMs?.()]).toEqual([1_000, null])
    const request = counted(time, answer, answer.ttfbMs, time.clock.nowMs() - 1_000)
    request.left()
    await time.advance(7_000)
    engine.say(event(delta('a')), event('[DONE]'))
    engine.close()
    await time.advance(1_000)
    expect(answer.firstTokenMs?.()).toBe(8_000)
    await request.record()
    expect(request.told[1]?.ttft).toEqual(times(8_000))
  })

  it('of one that has none when it is judged is all the time until then', async () => {
    const time = heldTime()
    const engine = streaming(time)
    engine.say(role)
    await time.advance(1_000)
    const answer = await engine.answer()
    read(answer)
    const request = counted(time, answer)
    request.left()
    void request.record()
    await time.advance(limits.trialJudgeMs)
    expect(request.told[1]?.ttft).toEqual(times(limits.trialJudgeMs))
  })

  it('counts from when the request left: a second copy that was quick does not hide how slow the first was', async () => {
    const time = heldTime()
    const answer: Answer = { status: 200, contentType: '', headers: {}, body: bytes('x'), ttfbMs: 200, ended: Promise.resolve(whole) }
    const leftAtMs = time.clock.nowMs()
    const request = counted(time, answer, 200, leftAtMs + 3_000)
    request.left()
    await time.advance(3_200)
    await request.record()
    expect(request.told[1]?.ttft).toEqual(times(3_200))
  })

  it('of a copy that never had one is the longest there is', () => {
    const ended: Ended = { ...whole, how: 'deadline', slowestGapMs: null }
    const judged = judgedOf({ ttfbMs: 10_000, ended }, 25_000)
    expect(judged && judgementOf(trial, { stream: true, failed: [], ...judged }).ttft).toEqual(times(limits.trialJudgeMs))
  })
})

describe('the time between tokens', () => {
  it('leaves out how long a client did not read, and how long it took to let go of both connections', async () => {
    const time = heldTime()
    const engine = streaming(time)
    engine.say(event(delta('a')))
    await time.advance(0)
    const answer = await engine.answer()
    const request = counted(time, answer)
    request.left()
    const recorded = request.record()
    await time.advance(100)
    engine.say(event(delta('b')))
    // The client reads nothing for ten seconds, and then all of it.
    await time.advance(10_000)
    read(answer)
    for (let turn = 0; turn < 10; turn++) await idle()
    await time.advance(100)
    engine.say(event(delta('c')), usage, event('[DONE]'))
    await time.advance(2 * limits.closeMsMax)
    await recorded
    expect((await answer.ended).pacedMs).toBe(200)
    expect(request.told[1]?.tpot).toEqual(times(200 / 4))
  })
})

describe('a stream in which the engine blames what was asked, late', () => {
  it('is no failure of the version, nor of the endpoint: a caller could bring down both', async () => {
    const time = heldTime()
    const engine = streaming(time)
    engine.say(event(delta('a')))
    await time.advance(0)
    const answer = await engine.answer()
    read(answer)
    const request = counted(time, answer)
    request.left()
    engine.say(event('{"error":{"code":400,"message":"too long"}}'))
    await time.advance(1_000)
    const ended = await answer.ended
    expect([ended.how, outcomeOf(ended), ended.sense]).toEqual(['upstream_refused', 'good', null])
    await request.record()
    expect(request.told[1]).toMatchObject({ judged: 1, hardErrors: 0, empty: { of: 0, bad: 0 } })
    const routed = { endpoint: at, lease: 'l' as LeaseId, way: 'leased' as const, roundTripMs: null, hedgeAfterMs: null }
    expect(settledAfterAnswer(routed, ended, { ttfbMs: 1, tookMs: 5, stream: true })).toEqual({
      leaseId: 'l',
      outcome: 'good',
      ttfbMs: null,
      endpoint: 'a' as EndpointId,
    })
  })
})

describe('tallies on their way', () => {
  it('of calls that the platform ended do not pile up, and what waits for the oldest leaves after all', () => {
    const outbox = emptyOutbox()
    const slot = (n: number) => n * limits.rolloutBlockMs
    for (let n = 0; n <= limits.trialsHeldMax; n++) {
      putTrial(outbox, trialTally({ slotMs: slot(n), arrived: 1 }))
      takeReport(outbox)
    }
    expect(outbox.trialsAway.size).toBe(limits.trialsHeldMax)
    putTrial(outbox, trialTally({ slotMs: slot(0), judged: 1 }))
    expect(takeReport(outbox)?.trials).toEqual([trialTally({ slotMs: slot(0), judged: 1 })])
  })
})

describe('a response that was cut before anything was said', () => {
  it.each([
    ['response.incomplete', false],
    ['response.completed', true],
  ])('%s: empty is %s, when the server does not repeat it', (type, empty) => {
    const events = responsesLane.events?.(asking({ model: 'atlas', input: 'Hi', stream: true }))
    if (!events) throw new Error('no events')
    const last = { type, response: { object: 'response', output: [] } }
    runLane(events, namedSse(last))
    expect(events.sense()?.empty).toBe(empty)
  })
})

describe('a copy', () => {
  it.each<[Parameters<typeof isRepeatable>[0], object, boolean]>([
    ['chat', { tools: [{ type: 'function', function: { name: 'f' } }] }, true],
    ['chat', { tools: [{ type: 'web_search' }] }, false],
    ['chat', { web_search_options: {} }, false],
    [
      'responses',
      {
        input: 'x',
        tools: [
          { type: 'function', name: 'f' },
          { type: 'custom', name: 'g' },
        ],
      },
      true,
    ],
    ['responses', { tools: [{ type: 'mcp', server_url: 'https://tools.example' }] }, false],
    ['responses', { previous_response_id: 'resp_1' }, false],
    ['responses', { previous_response_id: null, conversation: null, background: false }, true],
    ['responses', { conversation: 'conv_1' }, false],
    ['responses', { background: true }, false],
    [
      'messages',
      {
        tools: [
          { name: 'f', input_schema: {} },
          { type: 'custom', name: 'g' },
        ],
      },
      true,
    ],
    ['messages', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, false],
    ['messages', { mcp_servers: [{ type: 'url' }] }, false],
    ['completions', { prompt: 'x' }, true],
    ['generate', { text_input: 'x' }, true],
  ])('of %s %j does nothing twice: %s', (operation, body, may) => {
    expect(isRepeatable(operation, body)).toBe(may)
  })

  it('is not made of a request whose tools the server itself runs', async () => {
    const canary = 'atlas-3' as VersionId
    const copied = snapshotOf([at, endpoint('new', 'near', { version: canary })], { aliases: [alias({ canary, shadowBp: 10_000 })] })
    const found = { found: await credential() }
    for (const [tools, sent] of [
      [[{ type: 'function', function: { name: 'f' } }], 2],
      [[{ type: 'code_interpreter' }], 1],
    ] as const) {
      const here = await world(copied, { credential: found, upstream: () => Promise.resolve(json({ choices: [] })) })
      await go(here, { ...question, tools })
      await here.settle()
      expect(here.sent).toHaveLength(sent)
    }
  })
})

describe('a snapshot of the release before, which had neither copies nor writes', () => {
  it('serves as it did, whether it was read or came as it was', async () => {
    const { shadowBp: _, write: __, ...before } = alias({ canary: 'atlas-3' as VersionId, weightBp: 0 })
    const sent = { ...snapshotOf([at, endpoint('new', 'near', { version: 'atlas-3' as VersionId })]), aliases: [before] }
    const known = readSnapshot(structuredClone(sent))
    if (!known) throw new Error('not read')
    expect(known.aliases).toEqual([{ ...before, shadowBp: 0, write: null }])
    for (const snapshot of [known, sent as unknown as Snapshot]) {
      const here = await world(snapshot, { credential: { found: await credential() } })
      const walked = await go(here)
      await here.settle()
      expect([walked.answer.ok, here.sent.map(({ endpoint: to }) => to.id)]).toEqual([true, ['a']])
      expect(walked.admitted?.assignment).toMatchObject({ write: '', shadow: null })
      const copy = { alias: aliasNameOf(before.environment, before.model), version: 'atlas-3' as VersionId, shadow: true }
      expect(isWithdrawn(aliasesOf(snapshot), copy)).toBe(true)
    }
  })
})
