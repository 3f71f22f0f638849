// A stream of events from engine to client. Held back until its first real token, so that an early error still fails over; then passed on
// event by event, kept alive in silence, given up when it stalls. Holds at most one incomplete event and what came before the first token.

import { concat } from '../../shared/bytes.ts'
import { limits } from '../../shared/limits.ts'
import { ok, type Result } from '../../shared/result.ts'
import { within } from '../../shared/time.ts'
import type { Answer, Called, CallFailure, Ended } from '../facts.ts'
import { tell } from '../http/refuse.ts'
import type { EventLane, Sense, Taken } from '../lane/lane.ts'
import { nextAlarm, type Moments } from './alarm.ts'
import { stallAfterMs } from './cadence.ts'
import { detailOf, endOf, fail, refusalOf, type Problem } from './failure.ts'
import { answerHeaders, readChunk, settled, untilCut } from './hold.ts'
import { eventReader, type SseEvent } from '../lane/sse.ts'
import type { StreamPorts, Terms } from './stream.ts'

const encoder = new TextEncoder()
const blankLine = encoder.encode('\n\n')
const nothing = new Uint8Array(0)

/** Resolves when the stream is committed, or has failed before that. */
export function flow(called: Called, lane: EventLane, terms: Terms, ports: StreamPorts): Promise<Result<Answer, CallFailure>> {
  const { promise, resolve, reject } = Promise.withResolvers<Result<Answer, CallFailure>>()
  const outlet = new Outlet(called, ports, (answer) => resolve(ok(answer)))
  const ending = run(called, lane, outlet, terms, ports)
  outlet.ended = ending.then(({ ended }) => ended)
  // Nobody asks for the end of what was never committed.
  outlet.ended.catch(() => undefined)
  ending.then(
    ({ problem }) => {
      // Nothing has gone out: another endpoint may still answer.
      if (!outlet.committed && problem !== null) resolve(fail(called, problem, terms.receivedAtMs, ports))
    },
    (bug: unknown) => {
      // Nobody is left to end it in good order: neither the engine nor the client shall wait.
      called.watch.cut('client_gone')
      void outlet.abort()
      reject(bug)
    },
  )
  return promise
}

type Ending = { readonly ended: Ended; readonly problem: Problem | null }

async function run(called: Called, lane: EventLane, outlet: Outlet, terms: Terms, ports: StreamPorts): Promise<Ending> {
  const over = new AbortController()
  const watching = vigil(called, outlet, terms, over.signal, ports)
  const problem = await pump(called, lane, outlet, ports).finally(() => over.abort())
  await watching
  const ended: Ended = {
    how: problem === null ? 'complete' : endOf(problem),
    detail: problem === null ? null : detailOf(problem),
    bytes: outlet.bytes,
    usage: lane.usage(),
    slowestGapMs: outlet.hasPace ? outlet.slowestGapMs : null,
    pacedMs: outlet.pacedMs,
    sense: senseOf(lane, problem),
  }
  if (problem === null) {
    called.watch.end()
    outlet.commit()
    await outlet.close()
    // The engine has said its last word; its connection can be used again if it closes by itself.
    await within(readChunk(called), limits.closeMsMax, null, ports.timer)
    void settled(called.body.cancel())
    return { ended, problem }
  }
  const refusal = refusalOf(called, problem, terms.receivedAtMs, ports.clock.nowMs())
  // Whatever the reason, the engine must stop working on it.
  called.watch.cut('client_gone')
  void settled(called.body.cancel())
  if (outlet.committed) {
    if (problem === 'client_gone') await outlet.abort()
    else await outlet.closeWith(encoder.encode(terms.voice.errorFrame(tell(refusal))))
  }
  return { ended, problem }
}

/** What the stream was worth. One that ended by the caller, or his deadline, says nothing; one that the engine broke off is half an answer. */
function senseOf(lane: EventLane, problem: Problem | null): Sense | null {
  const sense = lane.sense()
  if (problem === null || sense === null) return sense
  return endOf(problem) === 'upstream_failed' ? { empty: true, schema: null, textHash: null } : null
}

/** Reads to the end; answers with what stopped it, or null when the stream was whole. */
async function pump(called: Called, lane: EventLane, outlet: Outlet, ports: StreamPorts): Promise<Problem | null> {
  const reader = eventReader(limits.eventBytesMax)
  for (;;) {
    const read = await readChunk(called)
    if ('failed' in read) return called.watch.why() ?? read
    if ('done' in read) {
      // A terminal event whose blank line is missing is one all the same; anything else that is cut short is not.
      const [unfinished] = reader.feed(blankLine) ?? []
      const taken = unfinished ? lane.take(unfinished) : null
      if (taken?.means === 'done') return (await outlet.put(taken.out ?? nothing)) ? null : (called.watch.why() ?? 'client_gone')
      const last = lane.end()
      if (last.out && !(await outlet.put(last.out))) return called.watch.why() ?? 'client_gone'
      return last.whole ? null : { failed: 'the engine closed the stream before its last event' }
    }
    const events = reader.feed(read.chunk)
    if (!events) return { failed: `an event of more than ${limits.eventBytesMax} bytes` }
    if (events.length === 0) continue
    outlet.heard(ports.clock.nowMs())
    const taken = takeAll(lane, events)
    if (taken.sawToken) outlet.token(ports.clock.nowMs(), taken.means === 'done')
    if (taken.out.length > 0 && !(await outlet.put(taken.out))) return called.watch.why() ?? 'client_gone'
    if (taken.fault) return { fault: taken.fault }
    if (taken.means !== 'nothing') outlet.commit()
    if (taken.means === 'done') return null
  }
}

/** The events of one chunk as one piece: the first token or the end among them is what they mean. */
type Passed = Pick<Taken, 'means' | 'fault'> & { readonly out: Uint8Array; readonly sawToken: boolean }

function takeAll(lane: EventLane, events: readonly SseEvent[]): Passed {
  const outs: Uint8Array[] = []
  let bytes = 0
  let means: Taken['means'] = 'nothing'
  let sawToken = false
  for (const event of events) {
    const taken = lane.take(event)
    if (taken.out) {
      outs.push(taken.out)
      bytes += taken.out.length
    }
    if (taken.fault) return { out: concat(outs, bytes), means, sawToken, fault: taken.fault }
    if (taken.means === 'token') sawToken = true
    if (taken.means !== 'nothing') means = taken.means
    if (taken.means === 'done') break
  }
  return { out: concat(outs, bytes), means, sawToken, fault: null }
}

/** Watches the clock beside the pump: ends the hold, keeps alive, gives up. */
async function vigil(called: Called, outlet: Outlet, terms: Terms, over: AbortSignal, ports: StreamPorts): Promise<void> {
  while (!over.aborted) {
    const nowMs = ports.clock.nowMs()
    const alarm = nextAlarm({ ...outlet.moments(), stallMs: stallAfterMs(terms.cadence, outlet.slowestGapMs) }, terms.patience)
    const waitMs = alarm ? alarm.atMs - nowMs : Number.POSITIVE_INFINITY
    if (!alarm || waitMs > 0) {
      // Never longer than that: while the client did not read, alarms were left out that count again once he does.
      await ports.timer.sleep(Math.min(waitMs, terms.patience.keepAliveMs), over)
      continue
    }
    if (alarm.kind === 'hold') outlet.commit()
    else if (alarm.kind === 'keep_alive') outlet.keepAlive(encoder.encode(terms.voice.keepAlive))
    else {
      called.watch.cut(alarm.kind === 'stall' ? 'stalled' : 'first_token')
      return
    }
  }
}

/** Where a stream's bytes go: held until the commit, then to the client. */
class Outlet {
  readonly #called: Called
  readonly #ports: StreamPorts
  readonly #onCommit: (answer: Answer) => void
  #held: Uint8Array[] = []
  #writer: WritableStreamDefaultWriter<Uint8Array> | null = null
  #pending = 0
  #lastEventAtMs: number
  #lastOutAtMs: number
  #firstTokenAtMs: number | null = null
  #lastTokenAtMs = 0
  /** Waits for a client who did not read: since the first token, and of those the ones before the last. */
  #blockedMs = 0
  #blockedByLastMs = 0
  /** A token came before the last piece: there is a gap to speak of. */
  hasPace = false
  bytes = 0
  slowestGapMs = 0
  ended: Promise<Ended> | null = null

  constructor(called: Called, ports: StreamPorts, onCommit: (answer: Answer) => void) {
    this.#called = called
    this.#ports = ports
    this.#onCommit = onCommit
    this.#lastEventAtMs = called.sentAtMs
    this.#lastOutAtMs = called.sentAtMs
  }

  get committed(): boolean {
    return this.#writer !== null
  }

  get sawToken(): boolean {
    return this.#firstTokenAtMs !== null
  }

  get pacedMs(): number | null {
    if (this.#firstTokenAtMs === null) return null
    return Math.max(0, this.#lastTokenAtMs - this.#firstTokenAtMs - this.#blockedByLastMs)
  }

  moments(): Omit<Moments, 'stallMs'> {
    return {
      sentAtMs: this.#called.sentAtMs,
      committed: this.committed,
      sawToken: this.sawToken,
      lastEventAtMs: this.#lastEventAtMs,
      lastOutAtMs: this.#lastOutAtMs,
      blocked: this.#pending > 0,
    }
  }

  /** A whole event has come. Only gaps between tokens say something of the model's pace. */
  heard(nowMs: number): void {
    if (this.sawToken) this.slowestGapMs = Math.max(this.slowestGapMs, nowMs - this.#lastEventAtMs)
    this.#lastEventAtMs = nowMs
  }

  token(nowMs: number, isAtEnd: boolean): void {
    if (!isAtEnd) this.hasPace = true
    // What was written before it says nothing of the pace of tokens.
    if (this.#firstTokenAtMs === null) this.#blockedMs = 0
    this.#firstTokenAtMs ??= nowMs
    this.#lastTokenAtMs = nowMs
    this.#blockedByLastMs = this.#blockedMs
  }

  /** False when the client has gone. */
  async put(bytes: Uint8Array): Promise<boolean> {
    this.bytes += bytes.length
    if (this.#writer) {
      const beganAtMs = this.#ports.clock.nowMs()
      const went = await this.#write(bytes)
      // Nothing is read from the engine meanwhile.
      this.#blockedMs += this.#ports.clock.nowMs() - beganAtMs
      return went
    }
    this.#held.push(bytes)
    if (this.bytes > limits.holdBytesMax) this.commit()
    return true
  }

  async #write(bytes: Uint8Array): Promise<boolean> {
    const beganAtMs = this.#ports.clock.nowMs()
    this.#pending++
    const went = await untilCut(this.#writer?.write(bytes) ?? Promise.resolve(), this.#called.watch.signal)
    this.#pending--
    const nowMs = this.#ports.clock.nowMs()
    // While the client did not read, the engine was not heard: its silence begins only now.
    if (nowMs > beganAtMs) this.#lastEventAtMs = nowMs
    this.#lastOutAtMs = nowMs
    return went
  }

  /** From here on nothing is retried. */
  commit(): void {
    if (this.#writer) return
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    this.#writer = writer
    // A closed reading side is the client hanging up, however the runtime lets us know.
    writer.closed.catch(() => this.#called.watch.cut('client_gone'))
    const held = concat(this.#held, this.bytes)
    this.#held = []
    this.#lastOutAtMs = this.#ports.clock.nowMs()
    if (held.length > 0) void this.#write(held)
    this.#onCommit({
      status: this.#called.status,
      contentType: this.#called.contentType,
      headers: answerHeaders(this.#called),
      body: readable,
      ttfbMs: this.#ports.clock.nowMs() - this.#called.sentAtMs,
      firstTokenMs: () => (this.#firstTokenAtMs === null ? null : this.#firstTokenAtMs - this.#called.sentAtMs),
      ended: Promise.resolve().then(() => this.ended ?? Promise.reject(new Error('flow: committed before it ran'))),
    })
  }

  /** Failing to write it is how the runtime tells that the client has gone. */
  keepAlive(bytes: Uint8Array): void {
    void this.#write(bytes).then((went) => {
      if (!went) this.#called.watch.cut('client_gone')
    })
  }

  async closeWith(bytes: Uint8Array): Promise<void> {
    await this.#soon(this.#writer?.write(bytes))
    await this.close()
  }

  /** A client that does not read its last bytes is not waited for: past a short while the connection breaks. */
  async close(): Promise<void> {
    if (!(await this.#soon(this.#writer?.close()))) await this.abort()
  }

  #soon(work: Promise<unknown> | undefined): Promise<boolean> {
    return within(settled(work ?? Promise.resolve()), limits.closeMsMax, false, this.#ports.timer)
  }

  /** Breaking it off waits for the write under way, and so for a client who still does not read: nobody else shall. */
  async abort(): Promise<void> {
    await this.#soon(this.#writer?.abort())
  }
}
