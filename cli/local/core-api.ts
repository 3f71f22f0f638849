// Core's admin API, as the local platform uses it to describe itself. Bounded waits; an unexpected answer is a Stop that quotes it.

import { Stop } from './stop.ts'

export type CoreApi = {
  /** The row and its generation; null when there is none. */
  readonly get: (path: string) => Promise<{ readonly row: Record<string, unknown>; readonly etag: string } | null>
  readonly create: (kind: string, body: object) => Promise<Record<string, unknown>>
  readonly update: (path: string, etag: string, body: object) => Promise<void>
  readonly remove: (path: string) => Promise<void>
}

const answerMsMax = 10_000

export function coreApi(coreUrl: string, operatorToken: string): CoreApi {
  const send = async (method: string, path: string, body?: object, etag?: string): Promise<Response> => {
    const headers: Record<string, string> = { authorization: `Bearer ${operatorToken}`, 'isochrone-actor': 'local-platform' }
    if (body) headers['content-type'] = 'application/json'
    if (etag) headers['if-match'] = etag
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(answerMsMax) }
    if (body) init.body = JSON.stringify(body)
    return fetch(`${coreUrl}/admin/v1/${path}`, init)
  }

  return {
    get: async (path) => {
      const response = await send('GET', path)
      if (response.status === 404) {
        await response.body?.cancel()
        return null
      }
      await expect(response, `show ${path}`)
      return { row: (await response.json()) as Record<string, unknown>, etag: response.headers.get('etag') ?? '' }
    },
    create: async (kind, body) => {
      const response = await expect(await send('POST', kind, body), `create one of ${kind}`)
      return (await response.json()) as Record<string, unknown>
    },
    update: async (path, etag, body) => {
      await (await expect(await send('PATCH', path, body, etag), `change ${path}`)).body?.cancel()
    },
    remove: async (path) => {
      await (await expect(await send('DELETE', path), `delete ${path}`)).body?.cancel()
    },
  }
}

async function expect(response: Response, what: string): Promise<Response> {
  if (response.ok) return response
  throw new Stop(`core refused to ${what}: ${response.status} ${(await response.text()).slice(0, 300)}`)
}
