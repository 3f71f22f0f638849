// What is alive in the heaps of a runtime's Workers, asked over the runtime's inspector. A heap's size alone says little: the engine collects
// when it likes to. A snapshot makes it collect first, so what is in use after one is what is still held; the snapshot itself is thrown away.

export type Heap = { readonly worker: string; readonly bytes: number }

const waitMsMax = 30_000

/** One row for each of our own Workers in the runtime, in order of name. Each stands still for the length of its snapshot. */
export async function liveHeaps(inspectorUrl: string): Promise<readonly Heap[]> {
  const { host } = new URL(inspectorUrl)
  const response = await fetch(`http://${host}/json`)
  const targets = (await response.json()) as readonly { readonly id: string; readonly webSocketDebuggerUrl: string }[]
  const heaps: Heap[] = []
  for (const { id, webSocketDebuggerUrl } of targets) {
    const worker = /^core:user:(isochrone-.+)$/.exec(id)?.[1]
    if (worker !== undefined && worker !== 'isochrone-kv') heaps.push({ worker, bytes: await liveBytes(webSocketDebuggerUrl) })
  }
  return heaps.toSorted((a, b) => (a.worker < b.worker ? -1 : 1))
}

async function liveBytes(webSocketUrl: string): Promise<number> {
  const socket = new WebSocket(webSocketUrl)
  try {
    await once(socket, 'open')
    await call(socket, 1, 'HeapProfiler.enable')
    await call(socket, 2, 'HeapProfiler.takeHeapSnapshot')
    const { usedSize } = (await call(socket, 3, 'Runtime.getHeapUsage')) as { readonly usedSize: number }
    return usedSize
  } finally {
    socket.close()
  }
}

function call(socket: WebSocket, id: number, method: string): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  const hear = ({ data }: MessageEvent) => {
    // The snapshot comes in thousands of pieces, which are not even parsed.
    const text = String(data)
    if (!text.startsWith(`{"id":${id},`)) return
    socket.removeEventListener('message', hear)
    resolve((JSON.parse(text) as { readonly result?: unknown }).result)
  }
  socket.addEventListener('message', hear)
  socket.send(JSON.stringify({ id, method }))
  return inTime(promise, method)
}

function once(socket: WebSocket, event: 'open'): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  socket.addEventListener(event, resolve, { once: true })
  socket.addEventListener('error', () => reject(new Error('the inspector does not answer')), { once: true })
  return inTime(promise, event)
}

async function inTime<T>(waited: Promise<T>, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`the inspector gave no answer to ${what}`)), waitMsMax)
  return Promise.race([waited, late]).finally(() => clearTimeout(timer))
}
