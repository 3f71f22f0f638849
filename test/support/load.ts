// A load on the public API: open loop (it does not wait for answers before it asks again), from a seed, bounded. What became of every request
// is kept; nothing is retried.

import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../../shared/random.ts'
import { planRequest, type Kind, type Mix, type Planned } from './requests.ts'

/** One request as its client saw it. Times are epoch milliseconds. */
export type Sample = {
  readonly kind: Kind
  readonly isStream: boolean
  readonly sentAtMs: number
  readonly firstByteAtMs: number | null
  readonly endAtMs: number
  readonly status: number | null
  /** Who answered, by the response's own header; null when nobody did. */
  readonly endpoint: string | null
  /** null: served as asked, a bad request refused and a client gone included. Else the error's code, or what broke. */
  readonly failure: string | null
}

export type LoadOptions = {
  /** Isolates, one of them drawn for each request. */
  readonly edgeUrls: readonly string[]
  readonly apiKey: string
  readonly model: string
  readonly mix: Mix
  readonly seed: number
  /** Requests per second, at random intervals. */
  readonly perS: number
  /** What each request gives itself, and the edge. */
  readonly timeoutMs: number
}

export type Load = {
  readonly samples: () => readonly Sample[]
  /** Resolves when all that was asked before then has been answered. */
  readonly settled: (beforeMs: number) => Promise<void>
  /** Asks no more, and waits for what is under way. */
  readonly stop: () => Promise<void>
}

/** More than this at once is no longer the load that was asked for: such requests are not sent, and count as failed. */
const underWayMax = 300
/** A quarter of an hour at forty a second. */
const samplesMax = 40_000
/** The edge keeps to a request's time; a client that waited this much longer got no answer at all. */
const patienceMs = 5_000

export function startLoad(options: LoadOptions): Load {
  const random = seededRandom(options.seed)
  const samples: Sample[] = []
  const underWay = new Map<Promise<void>, number>()
  const over = new AbortController()

  const send = (planned: Planned): void => {
    if (samples.length >= samplesMax) throw new Error(`a load of more than ${samplesMax} requests`)
    if (underWay.size >= underWayMax) {
      samples.push({ ...broken(planned, Date.now()), failure: 'not_sent' })
      return
    }
    const edgeUrl = options.edgeUrls[Math.floor(random() * options.edgeUrls.length)] ?? ''
    const sending = ask(planned, edgeUrl, options).then((sample) => {
      samples.push(sample)
      underWay.delete(sending)
    })
    underWay.set(sending, Date.now())
  }

  const run = async (): Promise<void> => {
    // Arrivals keep to their own times, however late a timer is.
    let nextMs = performance.now()
    while (!over.signal.aborted) {
      nextMs += (-Math.log(1 - random()) * 1_000) / options.perS
      const planned = planRequest(options.mix, options.model, random)
      await sleep(Math.max(0, nextMs - performance.now()), null, { signal: over.signal }).catch(() => null)
      if (!over.signal.aborted) send(planned)
    }
  }
  const running = run()

  return {
    samples: () => samples,
    settled: async (beforeMs) => {
      await Promise.all([...underWay].filter(([, sentAtMs]) => sentAtMs < beforeMs).map(([sending]) => sending))
    },
    stop: async () => {
      over.abort()
      await running
      await Promise.all(underWay.keys())
    },
  }
}

const broken = ({ kind, isStream }: Planned, sentAtMs: number): Omit<Sample, 'failure'> => ({
  kind,
  isStream,
  sentAtMs,
  firstByteAtMs: null,
  endAtMs: Date.now(),
  status: null,
  endpoint: null,
})

/** Sends one request and reads its answer to the end. Never throws. */
async function ask(planned: Planned, edgeUrl: string, { apiKey, timeoutMs }: LoadOptions): Promise<Sample> {
  const sentAtMs = Date.now()
  const { leavesAfterMs } = planned
  let seen: Pick<Sample, 'firstByteAtMs' | 'status' | 'endpoint'> = { firstByteAtMs: null, status: null, endpoint: null }
  const sample = (failure: string | null): Sample => ({ ...broken(planned, sentAtMs), ...seen, failure })
  try {
    const response = await fetch(edgeUrl + planned.path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${apiKey}`,
        'content-type': 'application/json',
        'isochrone-timeout-ms': String(timeoutMs),
        ...(planned.session === null ? {} : { 'isochrone-session': planned.session }),
      },
      body: planned.body,
      signal: AbortSignal.timeout(leavesAfterMs ?? timeoutMs + patienceMs),
    })
    seen = { ...seen, status: response.status, endpoint: response.headers.get('isochrone-endpoint') }
    const text = await read(response, () => (seen = { ...seen, firstByteAtMs: seen.firstByteAtMs ?? Date.now() }))
    return sample(failureOf(planned, response.status, text))
  } catch (cause) {
    if (leavesAfterMs !== null && isTimeout(cause)) return sample(null)
    return sample(isTimeout(cause) ? 'no_answer' : `connection: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

const isTimeout = (cause: unknown): boolean => cause instanceof DOMException && cause.name === 'TimeoutError'

async function read(response: Response, onChunk: () => void): Promise<string> {
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    onChunk()
    text += chunk
  }
  return text
}

/** What went wrong with a whole answer; null when it is what was asked for. */
function failureOf({ kind, isStream }: Planned, status: number, text: string): string | null {
  if (kind === 'bad' && status >= 400 && status < 500 && status !== 429) return null
  if (kind === 'bad' && status === 200) return 'bad_request_served'
  if (status !== 200) return codeIn(text) ?? `status ${status}`
  if (!isStream) return text.includes('"object"') ? null : 'not_an_answer'
  const events = text.split('\n\n').filter((event) => event.startsWith('data:'))
  if (events.at(-1) === 'data: [DONE]') return null
  return codeIn(events.at(-1)?.slice('data:'.length) ?? '') ?? 'stream_cut'
}

function codeIn(text: string): string | null {
  try {
    const { error } = JSON.parse(text) as { readonly error?: { readonly code?: unknown } }
    return typeof error?.code === 'string' ? error.code : null
  } catch {
    return null
  }
}
