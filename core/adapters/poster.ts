// POSTs to servers of others: webhooks. The address is judged each time, redirects are not followed, for a server must not be able to send us
// elsewhere; of the answer a bounded part is read, and the address, which may be a secret itself (Slack's is), is never put into an error.

import { refusedRange } from '../../shared/address.ts'
import { concat } from '../../shared/bytes.ts'
import { limits } from '../../shared/limits.ts'
import type { Poster } from '../ports.ts'

type Answer = Awaited<ReturnType<Poster['post']>>

/** `allowPrivate`: whether addresses that are not public may be posted to (shared/address.ts). */
export function poster(allowPrivate: boolean): Poster {
  return {
    post: async ({ url, headers, body, withinMs }) => {
      const range = refusedRange(url, allowPrivate)
      if (range) return silent(`its address is not public (${range})`)
      const signal = AbortSignal.timeout(withinMs)
      try {
        const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal })
        return await answerOf(response)
      } catch (cause) {
        return silent(signal.aborted ? `no answer in ${withinMs} ms` : detailOf(cause).replaceAll(url, 'its address'))
      }
    },
  }
}

const silent = (error: string): Answer => ({ status: null, error, retryAfterMs: null })

async function answerOf(response: Response): Promise<Answer> {
  const { status, body, headers } = response
  const retryAfterMs = retryAfterMsOf(headers.get('retry-after'))
  if (response.ok) {
    leave(body)
    return { status, error: null, retryAfterMs }
  }
  if (status >= 300 && status <= 399) {
    leave(body)
    return { status, error: `answered with a redirect (${status}), and redirects are not followed`, retryAfterMs }
  }
  const text = await beginningOf(body)
  return { status, error: text === '' ? `answered ${status}` : `answered ${status}: ${text}`, retryAfterMs }
}

/** The first characters of an answer on one line; what was read until then where it breaks off. */
async function beginningOf(body: ReadableStream<Uint8Array> | null): Promise<string> {
  if (!body) return ''
  const parts: Uint8Array[] = []
  let bytes = 0
  const reader = body.getReader()
  try {
    while (bytes < limits.deliveryAnswerBytesMax) {
      const { done, value } = await reader.read()
      if (done) break
      parts.push(value)
      bytes += value.length
    }
  } catch {
    // The status is what counts.
  }
  void reader.cancel().catch(() => undefined)
  const text = new TextDecoder().decode(concat(parts, bytes).subarray(0, limits.deliveryAnswerBytesMax))
  return text
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, limits.deliveryErrorCharsMax)
}

/** A body that nobody reads would keep its connection. */
const leave = (body: ReadableStream<Uint8Array> | null): void => void body?.cancel().catch(() => undefined)

/** Seconds, or a date (RFC 9110, 10.2.3); null for anything else. */
function retryAfterMsOf(text: string | null): number | null {
  if (text === null) return null
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - Date.now())
}

/** What went wrong: Node says it in the cause. */
function detailOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message
}
