// Core's admin API over HTTP. Every call has an end; only reads, and writes that are the same when done twice, are tried again: another write
// may have been done although its answer was lost.

import { Stop } from '../local/stop.ts'
import { parsed, readText } from './bounded.ts'
import { Unreachable } from './exit.ts'
import { readProblem, Refused } from './problem.ts'
import type { World } from './world.ts'

/** Parts of a path below /admin/v1, each as it is: they are escaped here. */
export type Path = readonly string[]
export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>

export type Answer = { readonly status: number; readonly body: unknown; readonly etag: string | null }

export type Write = {
  readonly query?: Query
  readonly ifMatch?: string | undefined
  /** For the audit log; printable ASCII. */
  readonly reason?: string | undefined
}

export type CoreClient = {
  /** Throws Refused, or Unreachable after three tries. */
  readonly get: (path: Path, query?: Query) => Promise<Answer>
  /** As get, once and no longer than this: for whoever asks again anyway. */
  readonly look: (path: Path, withinMs: number) => Promise<Answer>
  /** As get; null where there is no such row. */
  readonly find: (path: Path, query?: Query) => Promise<Answer | null>
  /** The first `most` rows of a list, page after page. */
  readonly list: (path: Path, query: Query, most: number) => Promise<readonly unknown[]>
  /** A body that is a text is sent as it is. Throws Refused or Unreachable. */
  readonly post: (path: Path, body: object | string, write?: Write) => Promise<Answer>
  /** As post, and tried again like a read: for what core keeps under its own digest, or does not keep at all. */
  readonly postAgain: (path: Path, body: object | string, write?: Write) => Promise<Answer>
  readonly patch: (path: Path, body: object, write: Write) => Promise<Answer>
}

export type CoreAddress = { readonly url: string; readonly token: string; readonly actor: string | null }

const readMsMax = 10_000
/** A plan asks every gate, and a report is two megabytes on its way. */
const writeMsMax = 60_000
/** Waits before a read is tried again: a deploy of core is over in about a second. */
const pausesMs = [250, 1_000] as const
const pageRows = 200

type Sent = { readonly method: string; readonly path: Path; readonly withinMs: number; readonly body?: object | string } & Write

export function coreClient({ url, token, actor }: CoreAddress, { timer }: Pick<World, 'timer'>): CoreClient {
  const send = async (sent: Sent): Promise<Answer> => {
    const headers: Record<string, string> = { authorization: `Bearer ${token}`, accept: 'application/json' }
    if (actor !== null) headers['isochrone-actor'] = actor
    if (sent.reason !== undefined) headers['isochrone-reason'] = sent.reason
    if (sent.ifMatch !== undefined) headers['if-match'] = sent.ifMatch
    const init: RequestInit = { method: sent.method, headers, signal: AbortSignal.timeout(sent.withinMs), redirect: 'error' }
    if (sent.body !== undefined) {
      headers['content-type'] = 'application/json'
      init.body = typeof sent.body === 'string' ? sent.body : JSON.stringify(sent.body)
    }
    return answerOf(url, addressOf(url, sent.path, sent.query ?? {}), init)
  }

  const again = async (sent: Sent): Promise<Answer> => {
    for (const pauseMs of pausesMs) {
      try {
        return await send(sent)
      } catch (cause) {
        if (!mayPass(cause)) throw cause
      }
      await timer.sleep(pauseMs)
    }
    return send(sent)
  }
  const get = (path: Path, query: Query = {}): Promise<Answer> => again({ method: 'GET', path, query, withinMs: readMsMax })

  return {
    get,
    look: (path, withinMs) => send({ method: 'GET', path, withinMs: Math.min(withinMs, readMsMax) }),
    find: (path, query) => get(path, query).catch(noneFor404),
    list: (path, query, most) => allOf((page) => get(path, { ...query, ...page }), most),
    post: (path, body, write = {}) => send({ method: 'POST', path, withinMs: writeMsMax, body, ...write }),
    postAgain: (path, body, write = {}) => again({ method: 'POST', path, withinMs: writeMsMax, body, ...write }),
    patch: (path, body, write) => send({ method: 'PATCH', path, withinMs: writeMsMax, body, ...write }),
  }
}

/** Whether a failure may be over when one asks again: nobody answered, or something on the way did. */
export function mayPass(cause: unknown): boolean {
  if (cause instanceof Unreachable) return true
  return cause instanceof Refused && (cause.problem.status >= 500 || cause.problem.status === 429)
}

function noneFor404(cause: unknown): null {
  if (cause instanceof Refused && cause.problem.status === 404) return null
  throw cause
}

function addressOf(url: string, path: Path, query: Query): URL {
  const address = new URL(`${url}/admin/v1/${path.map(encodeURIComponent).join('/')}`)
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) address.searchParams.set(name, String(value))
  }
  return address
}

async function answerOf(url: string, address: URL, init: RequestInit): Promise<Answer> {
  const { response, text } = await exchanged(url, address, init)
  const body = parsed(text)
  if (response.ok && body !== undefined) return { status: response.status, body, etag: response.headers.get('etag') }
  const problem = readProblem(body)
  if (problem) throw new Refused(problem)
  const said = `core at ${url} answered ${init.method} ${address.pathname} with ${response.status}: ${text.slice(0, 200)}`
  throw response.status >= 500 ? new Unreachable(said) : new Stop(said)
}

async function exchanged(url: string, address: URL, init: RequestInit): Promise<{ readonly response: Response; readonly text: string }> {
  try {
    const response = await fetch(address, init)
    return { response, text: await readText(response) }
  } catch (cause) {
    if (cause instanceof Stop) throw cause
    throw new Unreachable(`core at ${url} gave no answer to ${init.method} ${address.pathname}: ${whyOf(cause)}`, { cause })
  }
}

/** Why a fetch failed: the connection's own word, which fetch keeps as the cause. */
export function whyOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const inner = cause.cause
  if (inner instanceof Error) return 'code' in inner ? String(inner.code) : inner.message
  return cause.message
}

type Page = { readonly items?: unknown; readonly nextCursor?: unknown }

async function allOf(read: (page: Query) => Promise<Answer>, most: number): Promise<readonly unknown[]> {
  const rows: unknown[] = []
  let cursor: string | null = null
  do {
    const body = (await read({ limit: Math.min(pageRows, most - rows.length), cursor })).body as Page
    const items: readonly unknown[] = Array.isArray(body.items) ? body.items : []
    rows.push(...items)
    cursor = typeof body.nextCursor === 'string' && items.length > 0 ? body.nextCursor : null
  } while (cursor !== null && rows.length < most)
  return rows
}
