// A plain HTTP server on loopback that plays a scenario of the upstream contract by the first part of its path, and remembers what it
// was sent. `echo` answers 500 and shows the headers it was sent, as a framework's error page may.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { chunkGapMs, chunks, errorBody, wholeBody, type Scenario, type Seen } from './upstream-scenarios.ts'

export type Recording = { -readonly [Key in keyof Seen]: Seen[Key] extends string ? string : Record<string, string> }

export type LocalServer = {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly seen: Recording[]
  readonly close: () => Promise<void>
}

export type Play = (asked: Recording, response: ServerResponse, bytes: Uint8Array) => Promise<void> | void

/** Serves every request with `play`, after it was read and noted down. A client that leaves early is noted as the header `left`. */
export async function serve(play: Play): Promise<LocalServer> {
  const seen: Recording[] = []
  const server = createServer((request, response) => {
    void answer(request, response, seen, play).catch(() => response.destroy())
  })
  // Where it serves a whole run, it must not be what keeps the process alive.
  server.unref()
  server.on('connection', (socket) => socket.unref())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, seen, close: () => closed(server) }
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
}

async function answer(request: IncomingMessage, response: ServerResponse, seen: Recording[], play: Play): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
  const bytes = Buffer.concat(parts)
  const asked: Recording = { method: request.method ?? '', path: request.url ?? '', headers, body: bytes.toString() }
  seen.push(asked)
  response.once('close', () => {
    if (!response.writableFinished) asked.headers['left'] = 'yes'
  })
  await play(asked, response, bytes)
}

/** A server of the scenarios. */
export const httpServer = (): Promise<LocalServer> =>
  serve((asked, response) => play(asked.path.split('/')[1] as Scenario, asked, response))

async function play(scenario: Scenario, asked: Recording, response: ServerResponse): Promise<void> {
  const json = { 'content-type': 'application/json' }
  switch (scenario) {
    case 'whole':
      return void response.writeHead(200, json).end(wholeBody)
    case 'empty':
      return void response.writeHead(200, json).end()
    case 'stream':
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      return writeApart(response, chunks)
    case 'busy':
      return void response.writeHead(429, { ...json, 'retry-after': '7' }).end('{"error":{"message":"too many"}}')
    case 'redirect':
      return void response.writeHead(302, { location: '/stolen' }).end()
    case 'echo':
      return void response.writeHead(500, json).end(JSON.stringify({ error: { message: JSON.stringify(asked.headers) } }))
    case 'slow-head':
      return undefined
    case 'slow-body':
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      return void response.write(chunks[0])
    case 'cut-stream':
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      return cutAfter(response, chunks[0] ?? '')
    case 'cut-whole':
      response.writeHead(200, { ...json, 'content-length': String(Buffer.byteLength(wholeBody)) })
      return cutAfter(response, wholeBody.slice(0, 10))
    default: {
      const status = Number(/^status-(\d+)$/.exec(scenario)?.[1] ?? 404)
      return void response.writeHead(status, json).end(errorBody(status))
    }
  }
}

/** Each part on its own, with a pause between. */
export async function writeApart(response: ServerResponse, parts: readonly (string | Uint8Array)[]): Promise<void> {
  for (const [index, part] of parts.entries()) {
    if (index > 0) await sleep(chunkGapMs)
    response.write(part)
  }
  response.end()
}

/** The part arrives, then the connection is gone without an end. */
export async function cutAfter(response: ServerResponse, part: string | Uint8Array): Promise<void> {
  await new Promise<void>((done) => void response.write(part, () => done()))
  await sleep(30)
  response.destroy()
}
