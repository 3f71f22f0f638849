// cli/engine/wire.ts — one HTTP exchange: the bounded body in, JSON or server-sent events out, and the news that the client has left.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { bodyTooLarge, flattened, invalid, no, ok, type Refusal, type Result } from './refuse.ts'

/** The longest context here is far below it; above it a body is a mistake. */
const bodyBytesMax = 10 * 1024 * 1024

/** Longer than gateways keep idle connections, so that it is never the engine that closes one just as a request comes in. */
export const keepAliveMs = 75_000

export type Wire = {
  /** Aborts when the client's connection closes before the answer is complete. */
  readonly signal: AbortSignal
  readonly hasBegun: () => boolean
  readonly json: (status: number, body: unknown, headers?: Readonly<Record<string, string>>) => void
  readonly refuse: (refusal: Refusal) => void
  readonly text: (contentType: string, body: string) => void
  readonly bytes: (body: Uint8Array, headers: Readonly<Record<string, string>>) => void
  /** One `data:` event, sent at once; the first one sends the headers. */
  readonly event: (data: object) => void
  /** Ends a stream that is complete. `mark` says so where the protocol has one: the last event's data. */
  readonly endEvents: (mark: string | null) => void
  /** Says that a stream has failed, as an event, and ends it without the mark of a complete one. */
  readonly failEvents: (refusal: Refusal) => void
  /** Destroys the connection. */
  readonly cut: () => void
}

export function openWire(request: IncomingMessage, response: ServerResponse): Wire {
  const left = new AbortController()
  response.on('close', () => {
    if (!response.writableFinished) left.abort()
  })
  // A client that resets its connection is no error of ours; 'close' follows.
  response.on('error', () => {})
  request.on('error', () => {})
  const json: Wire['json'] = (status, body, headers = {}) => {
    response.writeHead(status, { ...headers, 'content-type': 'application/json; charset=utf-8' })
    response.end(JSON.stringify(body))
  }
  const event: Wire['event'] = (data) => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    response.write(`data: ${JSON.stringify(data)}\n\n`)
  }
  return {
    signal: left.signal,
    hasBegun: () => response.headersSent,
    json,
    refuse: (refusal) => json(refusal.status, refusal.body, refusal.headers),
    text: (contentType, body) => {
      response.writeHead(200, { 'content-type': contentType })
      response.end(body)
    },
    bytes: (body, headers) => {
      response.writeHead(200, { ...headers, 'content-type': 'application/octet-stream', 'content-length': body.length })
      response.end(body)
    },
    event,
    endEvents: (mark) => response.end(mark === null ? '' : `data: ${mark}\n\n`),
    failEvents: (refusal) => {
      event(refusal.body as object)
      response.end()
    },
    cut: () => response.destroy(),
  }
}

/** The same wire, on which every no has the Open Inference Protocol's shape. */
export function flatWire(wire: Wire): Wire {
  return {
    ...wire,
    refuse: (refusal) => wire.refuse(flattened(refusal)),
    failEvents: (refusal) => wire.failEvents(flattened(refusal)),
  }
}

/** Reads a body of at most 10 MB. Null when the client left first. What is too much is read and forgotten. */
export async function readBytes(request: IncomingMessage): Promise<Result<Buffer> | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request) {
      const buffer = Buffer.from(chunk)
      bytes += buffer.length
      // Leaving the loop would destroy the connection, and with it the answer.
      if (bytes > bodyBytesMax) chunks.length = 0
      else chunks.push(buffer)
    }
  } catch {
    return null
  }
  return bytes > bodyBytesMax ? no(bodyTooLarge(bodyBytesMax)) : ok(Buffer.concat(chunks))
}

/** JSON; an empty body is `{}`. */
export function parseJson(bytes: Buffer): Result<unknown> {
  const text = bytes.toString('utf8')
  if (text.trim() === '') return ok({})
  try {
    return ok(JSON.parse(text))
  } catch {
    return no(invalid('The body is not valid JSON'))
  }
}

/** Reads a body as JSON, within the bounds of `readBytes`. */
export async function readJson(request: IncomingMessage): Promise<Result<unknown> | null> {
  const read = await readBytes(request)
  return read?.ok === true ? parseJson(read.value) : read
}

/** Waits, but no longer than the client does. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
  })
}

/** Waits until `signal` aborts, for ever if it does not. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
