// Runs a trace against the public API, open loop: each request is sent when it is due, whatever became of those before. It never waits for an
// answer before it sends on: a generator that does measures itself.

import type { LoadRunReport } from '../../shared/wire/load-run.ts'
import type { EdgeAddress } from '../api/connection.ts'
import type { World } from '../api/world.ts'
import { asks } from './evaluate.ts'
import { heard, noPace, tpotMsOf, type Pace } from './pace.ts'
import type { Overrides } from './override.ts'
import type { Planned } from './trace.ts'

export type LoadSample = LoadRunReport['samples'][number]

export type Offering = {
  readonly edge: EdgeAddress
  readonly model: string
  readonly version: string
  readonly tokensMax: number
  readonly seed: number
  readonly overrides: Overrides
  /** Requests under way at most: beyond it a request is not sent and counts as failed, for waiting would hide the load. */
  readonly underWayMax: number
}

/** An answer has this long from when it was due; what is not whole by then has failed. */
const answerMsMax = 120_000

type Timing = Pick<World, 'timer' | 'steadyMs'>

/** A sample for each planned request, in their order. `sent` is called as each is due. */
export async function offer(
  planned: readonly Planned[],
  offering: Offering,
  world: Timing,
  sent: () => void,
): Promise<readonly LoadSample[]> {
  const { steadyMs, timer } = world
  // Fetched before the clock runs: the first request must not wait for it.
  await offering.overrides.headers()
  const beganMs = steadyMs()
  const underWay = new Set<Promise<LoadSample>>()
  const all: Promise<LoadSample>[] = []
  for (const { dueMs, prompt } of planned) {
    const waitMs = beganMs + dueMs - steadyMs()
    if (waitMs > 0) await timer.sleep(waitMs)
    const due = beganMs + dueMs
    if (underWay.size >= offering.underWayMax) all.push(Promise.resolve(failed(steadyMs() - due)))
    else {
      const asked = ask(prompt, due, offering, world)
      underWay.add(asked)
      void asked.finally(() => underWay.delete(asked))
      all.push(asked)
    }
    sent()
  }
  return Promise.all(all)
}

const failed = (lateMs: number): LoadSample => ({ lateMs: rounded(lateMs), outcome: 'failed', ttftMs: null, tpotMs: null })

/** Microseconds are more than any clock here is worth; a timer that fires early is not late. */
const rounded = (ms: number): number => Math.max(0, Math.round(ms * 1_000) / 1_000)

/** One request to its end. Never throws: what goes wrong is the sample. */
async function ask(prompt: string, dueMs: number, offering: Offering, world: Timing): Promise<LoadSample> {
  const lateMs = world.steadyMs() - dueMs
  try {
    const pace = await paceOf(await send(prompt, offering), offering.version, world)
    if (!pace.done || pace.failed || pace.firstMs === null) return failed(lateMs)
    const tpotMs = tpotMsOf(pace)
    return {
      lateMs: rounded(lateMs),
      outcome: 'good',
      ttftMs: rounded(pace.firstMs - dueMs),
      tpotMs: tpotMs === null ? null : rounded(tpotMs),
    }
  } catch {
    return failed(lateMs)
  }
}

async function send(prompt: string, { edge, model, tokensMax, seed, overrides }: Offering): Promise<Response> {
  const body = { model, messages: asks(prompt), temperature: 0, max_tokens: tokensMax, seed, stream: true }
  return fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${edge.apiKey}`, 'content-type': 'application/json', ...(await overrides.headers()) },
    body: JSON.stringify({ ...body, stream_options: { include_usage: true } }),
    signal: AbortSignal.timeout(answerMsMax),
    redirect: 'error',
  })
}

/** An answer by another version is none: it would be that one's load. */
async function paceOf(response: Response, version: string, { steadyMs }: Timing): Promise<Pace> {
  if (response.status !== 200 || response.headers.get('isochrone-model-version') !== version) {
    await response.body?.cancel()
    return { ...noPace, failed: true }
  }
  let pace = noPace
  for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) pace = heard(pace, part, steadyMs())
  return pace
}
