// Ways to move a stream through workerd, as shares of passing it on untouched, in turns within one run; and whether each delivers every
// event when it is sent. A way that holds events back is no way, however fast.

import { createServer, type Server, type ServerResponse } from 'node:http'
import { build } from 'esbuild'
import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
import { freePort } from '../../cli/local/free-port.ts'
import { ms, quantile, table } from './figures.ts'

const eventsPerStream = 50
const connections = 32
const roundMs = 1_500
const rounds = 5

const event = (n: number) =>
  `data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"token ${n}"},"finish_reason":null}]}\n\n`

/** `/burst` sends all events at once, `/paced` ten of them 100 ms apart, each with the time it was sent. */
function engine(): Promise<Server> {
  const server = createServer((request, response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (request.url === '/burst') {
      for (let n = 0; n < eventsPerStream; n++) response.write(event(n))
      response.end('data: [DONE]\n\n')
      return
    }
    let sent = 0
    const timer = setInterval(() => {
      response.write(`data: {"choices":[{"delta":{"content":"${performance.now()}"}}]}\n\n`)
      if (++sent < 10) return
      clearInterval(timer)
      response.end('data: [DONE]\n\n')
    }, 100)
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

const ways = ['untouched', 'pipe after the first', 'reader and writer', 'reader, events and lane (ours)', 'pull', 'transform'] as const

/** One Worker with every way; the edge's own reader and lane are bundled in. */
const script = `
import { eventReader } from './edge/lane/sse.ts'
import { chatLane } from './edge/lane/openai.ts'
const asking = { body: new Uint8Array(0), json: {}, contentType: '', header: () => null, model: 'm', servedName: 'm', stream: true }
async function loop(reader, writer, through) {
  for (;;) { const { done, value } = await reader.read(); if (done) break; const out = through(value); if (out.length) await writer.write(out) }
  await writer.close()
}
function written(body, through) { const { readable, writable } = new TransformStream(); loop(body.getReader(), writable.getWriter(), through); return readable }
function joined(parts) { let n = 0; for (const p of parts) n += p.length; const all = new Uint8Array(n); n = 0; for (const p of parts) { all.set(p, n); n += p.length } return all }
const ways = {
  0: (body) => body,
  1: async (body) => { const reader = body.getReader(); const first = await reader.read(); reader.releaseLock(); const { readable, writable } = new IdentityTransformStream(); (async () => { const writer = writable.getWriter(); await writer.write(first.value); writer.releaseLock(); await body.pipeTo(writable, { preventClose: true, preventAbort: true }); await writable.getWriter().close() })(); return readable },
  2: (body) => written(body, (chunk) => chunk),
  3: (body) => { const events = eventReader(1 << 20); const lane = chatLane.events(asking); return written(body, (chunk) => joined(events.feed(chunk).map((event) => lane.take(event).out).filter(Boolean))) },
  4: (body) => { const reader = body.getReader(); return new ReadableStream({ async pull(c) { const { done, value } = await reader.read(); if (done) c.close(); else c.enqueue(value) } }) },
  5: (body) => body.pipeThrough(new TransformStream({ transform: (chunk, c) => c.enqueue(chunk) })),
}
export default { async fetch(request, env) {
  const url = new URL(request.url)
  const upstream = await fetch(env.ENGINE + url.pathname)
  return new Response(await ways[url.searchParams.get('way')](upstream.body), { headers: { 'content-type': 'text/event-stream' } })
} }`

export async function streams(): Promise<string> {
  const server = await engine()
  const address = server.address()
  const engineUrl = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  const bundled = await build({
    stdin: { contents: script, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    target: 'es2024',
  })
  const port = await freePort()
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      port: 0,
      cf: false,
      logRequests: false,
      telemetry: { enabled: false },
      workers: [
        {
          name: 'ways',
          compatibilityDate: '2026-11-01',
          modules: [{ type: 'ESModule', path: 'ways.mjs', contents: bundled.outputFiles[0]?.text ?? '' }],
          bindings: { ENGINE: engineUrl },
          unsafeDirectSockets: [{ host: '127.0.0.1', port }],
        },
      ],
    }),
  )
  await miniflare.ready
  try {
    const perSecond = ways.map(() => [] as number[])
    for (let round = 0; round < rounds; round++) {
      for (const way of ways.keys()) perSecond[way]?.push(await rate(`http://127.0.0.1:${port}/burst?way=${way}`))
    }
    const median = (way: number) => quantile(perSecond[way] ?? [], 0.5)
    const rows = []
    for (const [way, name] of ways.entries()) {
      const late = await lateness(`http://127.0.0.1:${port}/paced?way=${way}`)
      rows.push([name, median(way).toFixed(0), (median(way) / median(0)).toFixed(2), ms(Math.max(...late))])
    }
    return `Streams of ${eventsPerStream} events sent at once, ${connections} connections, ${rounds} rounds of ${roundMs / 1000} s each in turns; and ten events 100 ms apart, how late the latest arrived.\n\n${table(['way', 'streams/s', 'share of untouched', 'latest event'], rows)}`
  } finally {
    await miniflare.dispose()
    server.closeAllConnections()
    server.close()
  }
}

/** Whole streams per second. */
async function rate(url: string): Promise<number> {
  const untilMs = performance.now() + roundMs
  let whole = 0
  const client = async () => {
    while (performance.now() < untilMs) {
      const text = await (await fetch(url)).text()
      if (!text.endsWith('data: [DONE]\n\n')) throw new Error(`${url}: a stream without its end`)
      whole++
    }
  }
  await Promise.all(Array.from({ length: connections }, client))
  return (whole * 1000) / roundMs
}

/** Milliseconds between sending and arrival of each paced event. */
async function lateness(url: string): Promise<readonly number[]> {
  const response = await fetch(url)
  const decoder = new TextDecoder()
  const late: number[] = []
  if (!response.body) throw new Error(`${url}: no body`)
  for await (const chunk of response.body) {
    for (const [, sent] of decoder.decode(chunk).matchAll(/"content":"([\d.]+)"/g)) late.push(performance.now() - Number(sent))
  }
  if (late.length !== 10) throw new Error(`${url}: ${late.length} of 10 events`)
  return late
}
