// A receiver of webhooks that plays a scenario by its path: test/contract/core/poster.ts. Plain requests and responses of the fetch API, so
// that it can stand behind a server of Node as well as behind workerd.

const encoder = new TextEncoder()

export type Received = { readonly method: string; readonly url: string; readonly headers: Headers; readonly body: string }

/** null: never answers. */
export type Reply = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: ReadableStream<Uint8Array> | null
} | null

export function receive({ method, url, headers, body }: Received): Reply {
  const { pathname, search } = new URL(url)
  const [scenario = '', ...rest] = decodeURIComponent(pathname.slice(1)).split('-')
  const detail = rest.join('-')
  switch (scenario) {
    case 'echo': {
      const seen = { method, path: pathname + search, id: headers.get('webhook-id'), type: headers.get('content-type'), body }
      return { status: 418, headers: {}, body: streamOf([JSON.stringify(seen)], true) }
    }
    case 'redirect':
      return { status: 307, headers: { location: '/echo' }, body: null }
    case 'busy':
      return { status: 429, headers: { 'retry-after': detail }, body: null }
    case 'empty':
      return { status: Number(detail), headers: {}, body: null }
    case 'endless':
      return { status: Number(detail), headers: {}, body: streamOf(Array<string>(1_000).fill('no such\n\t'), false) }
    case 'stuck':
      return { status: Number(detail), headers: {}, body: streamOf(['half a '], false) }
    case 'silent':
      return null
    default:
      return { status: 404, headers: {}, body: null }
  }
}

/** `ends`: or else it stays open after the last part. */
const streamOf = (parts: readonly string[], ends: boolean): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(encoder.encode(part))
      if (ends) controller.close()
    },
  })
