// Ways in which a model server fails, each by its name, in whatever dialect it was asked. What the gateway should make of them is the tests' business.

import { setTimeout as sleep } from 'node:timers/promises'
import { engines, llamaErrorField } from './scripted-engines.ts'
import type { Exchange } from './scripted-upstream.ts'

export type Fault = (exchange: Exchange) => Promise<void>

const eventStream = { 'content-type': 'text/event-stream; charset=utf-8' }
const jsonType = { 'content-type': 'application/json' }
const kind = (x: Exchange) => (x.stream ? eventStream : jsonType)
const trouble = 'the engine core has died'

/** Bytes that are neither text nor JSON, and no line ends among them. */
const garbage = Uint8Array.from({ length: 512 }, (_, i) => {
  const byte = (i * 97 + 131) % 256
  return byte === 10 || byte === 13 ? 255 : byte
})
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** An event that grows to `size` bytes and has no end. */
async function sendWithoutBoundary(x: Exchange, size: number): Promise<void> {
  const piece = 'x'.repeat(64 * 1024)
  await x.send('data: {"id":"')
  for (let sent = 0; sent < size && !x.gone.aborted; sent += piece.length) await x.send(piece)
}

/** The same bytes until the reader goes away, and never more than he takes. */
async function sendForever(x: Exchange, piece: string): Promise<void> {
  while (!x.gone.aborted) await x.send(piece)
}

async function open(x: Exchange): Promise<void> {
  x.head(200, kind(x))
  for (const event of x.spoken.parts.opening) await x.send(event)
}

/** A stream that has said two tokens. */
async function begin(x: Exchange): Promise<void> {
  await open(x)
  for (const event of x.spoken.parts.said.slice(0, 2)) await x.send(event)
  // What follows must reach the gateway on its own, when the tokens are already gone.
  await sleep(30)
}

async function whole(x: Exchange, change: (text: string) => string): Promise<void> {
  const { opening, said, closing, terminal } = x.spoken.parts
  x.head(200, kind(x))
  for (const event of [...opening, ...said, ...closing, terminal]) if (event !== '') await x.send(change(event))
  x.end()
}

function busy(status: number, retryAfter: () => string): Fault {
  return (x) => {
    x.head(status, { ...jsonType, 'retry-after': retryAfter() })
    x.end(JSON.stringify(x.spoken.refusal(status, 'overloaded')))
    return Promise.resolve()
  }
}

function answer(status: number, headers: Readonly<Record<string, string>>, body: (x: Exchange) => string | Uint8Array): Fault {
  return (x) => {
    x.head(status, headers)
    x.end(body(x))
    return Promise.resolve()
  }
}

/** Nothing was said yet: another endpoint can still answer. */
export const faultsBefore = {
  'error-first': async (x) => {
    x.head(200, eventStream)
    await x.send(x.spoken.streamError(trouble))
    x.end()
  },
  'error-after-opening': async (x) => {
    await open(x)
    await sleep(20)
    await x.send(x.spoken.streamError(trouble))
    x.end()
  },
  'error-first-sglang': async (x) => {
    x.head(200, eventStream)
    await x.send(engines.sglang.streamError(trouble))
    x.end()
  },
  'error-first-tgi': async (x) => {
    x.head(200, eventStream)
    await x.send(engines.tgi.streamError(trouble))
    x.end()
  },
  'error-first-llamacpp': async (x) => {
    x.head(200, eventStream)
    await x.send(engines.llamacpp.streamError(trouble))
    x.end()
  },
  'error-first-llamacpp-field': async (x) => {
    x.head(200, eventStream)
    await x.send(llamaErrorField(trouble))
    x.end()
  },
  'error-body': answer(200, jsonType, (x) => JSON.stringify(x.spoken.refusal(500, trouble))),
  'error-body-sglang': answer(200, jsonType, () => JSON.stringify(engines.sglang.refusal(500, trouble))),
  'error-body-tgi': answer(200, jsonType, () => JSON.stringify(engines.tgi.refusal(500, trouble))),
  'error-body-llamacpp': answer(200, jsonType, () => JSON.stringify(engines.llamacpp.refusal(500, trouble))),
  'error-body-detail': answer(200, jsonType, () => JSON.stringify({ detail: trouble })),
  'close-first': (x) => {
    x.head(200, kind(x))
    x.end()
    return Promise.resolve()
  },
  'close-after-opening': async (x) => {
    await open(x)
    await sleep(20)
    x.end()
  },
  'cut-first': (x) => {
    x.cut()
    return Promise.resolve()
  },
  'cut-after-headers': async (x) => {
    x.head(200, kind(x))
    await sleep(20)
    x.cut()
  },
  'cut-after-opening': async (x) => {
    await open(x)
    await sleep(20)
    x.cut()
  },
  'cut-json': async (x) => {
    x.head(200, jsonType)
    const text = JSON.stringify(x.spoken.whole)
    await x.send(text.slice(0, text.length / 2))
    await sleep(20)
    x.cut()
  },
  'half-json': async (x) => {
    x.head(200, jsonType)
    const text = JSON.stringify(x.spoken.whole)
    await x.send(text.slice(0, text.length / 2))
    x.end()
  },
  garbage: async (x) => {
    x.head(200, kind(x))
    if (x.stream) await x.send('data: ')
    await x.send(garbage)
    x.end('\n\n')
  },
  'oversized-event': async (x) => {
    await open(x)
    await sendWithoutBoundary(x, 2 * 1024 * 1024)
    await x.hang()
  },
  html: answer(
    200,
    { 'content-type': 'text/html' },
    () => '<!doctype html><title>It works</title><p>The model server is elsewhere.</p>\n\n',
  ),
  empty: answer(200, { ...jsonType, 'content-length': '0' }, () => ''),
  'no-content': answer(204, {}, () => ''),
  'status-500': answer(500, jsonType, (x) => JSON.stringify(x.spoken.refusal(500, trouble))),
  'status-502': answer(502, { 'content-type': 'text/html' }, () => '<html><h1>502 Bad Gateway</h1></html>'),
  'status-401': answer(401, jsonType, () => JSON.stringify({ error: 'Unauthorized' })),
  redirect: answer(307, { location: 'http://169.254.169.254/latest/meta-data/' }, () => ''),
  'busy-seconds': busy(503, () => '7'),
  'busy-date': busy(503, () => new Date(Date.now() + 30_000).toUTCString()),
  'busy-absurd': busy(503, () => '999999999999'),
  'busy-nonsense': busy(429, () => 'soon'),
  'endless-error': async (x) => {
    x.head(500, jsonType)
    await sendForever(x, 'x'.repeat(64 * 1024))
  },
} satisfies Readonly<Record<string, Fault>>

/** Two tokens were said: the caller has them, and the rest is an error. */
export const faultsAfter = {
  'error-later': async (x) => {
    await begin(x)
    await x.send(x.spoken.streamError(trouble))
    x.end()
  },
  'error-later-field': async (x) => {
    await begin(x)
    await x.send(llamaErrorField(trouble))
    x.end()
  },
  'close-later': async (x) => {
    await begin(x)
    x.end()
  },
  'cut-later': async (x) => {
    await begin(x)
    x.cut()
  },
  'no-terminal': async (x) => {
    const { opening, said, closing } = x.spoken.parts
    x.head(200, eventStream)
    for (const event of [...opening, ...said, ...closing]) await x.send(event)
    x.end()
  },
  'half-event': async (x) => {
    await begin(x)
    const event = x.spoken.parts.said[2] ?? ''
    await x.send(event.slice(0, event.length / 2))
    x.end()
  },
  'garbage-later': async (x) => {
    await begin(x)
    await x.send('data: ')
    await x.send(garbage)
    await x.send('\n\n')
    x.end()
  },
  'oversized-later': async (x) => {
    await begin(x)
    await sendWithoutBoundary(x, 2 * 1024 * 1024)
    await x.hang()
  },
} satisfies Readonly<Record<string, Fault>>

/** Strange, but nothing is wrong: the answer has to arrive whole. */
export const oddities = {
  drip: async (x) => {
    const { opening, said, closing, terminal } = x.spoken.parts
    x.head(200, eventStream)
    const text = bytes([...opening, ...said, ...closing, terminal].join(''))
    // Every byte alone where streams begin and end, where mistakes are made; in between a whole lot.
    const edge = 160
    for (const byte of text.subarray(0, edge)) {
      await x.send(Uint8Array.of(byte))
      await sleep(1)
    }
    await x.send(text.subarray(edge, -edge))
    for (const byte of text.subarray(-edge)) {
      await x.send(Uint8Array.of(byte))
      await sleep(1)
    }
    x.end()
  },
  crlf: (x) => whole(x, (text) => text.replaceAll('\n', '\r\n')),
  cr: (x) => whole(x, (text) => text.replaceAll('\n', '\r')),
  'no-space': (x) => whole(x, (text) => text.replaceAll('data: ', 'data:')),
  comments: (x) => whole(x, (text) => `: ping\n\n${text}:\n\n`),
  'one-chunk': async (x) => {
    const { opening, said, closing, terminal } = x.spoken.parts
    x.head(200, eventStream)
    await x.send([...opening, ...said, ...closing, terminal].join(''))
    x.end()
  },
  'split-utf8': async (x) => {
    const { opening, said, closing, terminal } = x.spoken.parts
    x.head(200, eventStream)
    const text = bytes([...opening, ...said, ...closing, terminal].join(''))
    // A cut inside every character of more than one byte.
    let start = 0
    for (const [at, byte] of text.entries()) {
      if ((byte & 0b1100_0000) !== 0b1000_0000) continue
      await x.send(text.subarray(start, at))
      await sleep(2)
      start = at
    }
    await x.send(text.subarray(start))
    x.end()
  },
  'early-hints': async (x) => {
    x.hint()
    await sleep(10)
    await whole(x, (text) => text)
  },
} satisfies Readonly<Record<string, Fault>>

/** Nothing happens: for tests that wait. */
export const silences = {
  silent: (x) => x.hang(),
  'stall-first': async (x) => {
    x.head(200, kind(x))
    await x.hang()
  },
  'stall-after-opening': async (x) => {
    await open(x)
    await x.hang()
  },
  'stall-later': async (x) => {
    await begin(x)
    await x.hang()
  },
  /** Thinks for `pauseMs` before the first token, with the opening already sent. */
  'slow-first': async (x) => {
    await open(x)
    await sleep(x.pauseMs)
    const { said, closing, terminal } = x.spoken.parts
    for (const event of [...said, ...closing, terminal]) if (event !== '' && !x.gone.aborted) await x.send(event)
    x.end()
  },
  /** Pauses for `pauseMs` after two tokens, then goes on. */
  'slow-later': async (x) => {
    await begin(x)
    await sleep(x.pauseMs)
    const { said, closing, terminal } = x.spoken.parts
    for (const event of [...said.slice(2), ...closing, terminal]) if (event !== '' && !x.gone.aborted) await x.send(event)
    x.end()
  },
} satisfies Readonly<Record<string, Fault>>

/** More than anybody should hold. */
export const floods = {
  'endless-json': async (x) => {
    x.head(200, jsonType)
    await x.send('{"id":"endless","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"')
    await sendForever(x, 'word '.repeat(13_000))
  },
  'endless-stream': async (x) => {
    await open(x)
    const event = x.spoken.parts.said[0] ?? ''
    await sendForever(x, event.repeat(200))
  },
  'endless-event': async (x) => {
    await begin(x)
    await sendWithoutBoundary(x, Number.POSITIVE_INFINITY)
  },
} satisfies Readonly<Record<string, Fault>>

export type FaultBefore = keyof typeof faultsBefore
export type FaultAfter = keyof typeof faultsAfter
export type Oddity = keyof typeof oddities
export type Silence = keyof typeof silences
export type Flood = keyof typeof floods
export type FaultName = FaultBefore | FaultAfter | Oddity | Silence | Flood

export const faults: Readonly<Record<FaultName, Fault>> = { ...faultsBefore, ...faultsAfter, ...oddities, ...silences, ...floods }
