// One call to a server that deploys: judged by its address before, bounded in time and in what is read, its words without secrets. Redirects
// are not followed: a server must not be able to send us, credential included, elsewhere.

import { refusedRange } from '../../shared/address.ts'
import { limits } from '../../shared/limits.ts'
import { detailOf, redactedText } from '../../shared/redact.ts'
import { err, ok, type Result } from '../../shared/result.ts'

export type Call = {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The only bound on time. */
  readonly signal: AbortSignal
  /** What must not be seen in any text. */
  readonly secrets: readonly string[]
  /** Whether addresses that are not public may be called. */
  readonly allowPrivate: boolean
}

export type Answered = { readonly status: number; readonly text: string }

/** There was no answer. `mayRetry` false: there would be none another time either. `isLate`: the time was over. */
export type Unanswered = { readonly detail: string; readonly mayRetry: boolean; readonly isLate: boolean }

/** Sends a POST and reads the whole answer, whatever its status, without the secrets. Never throws. */
export async function post(call: Call): Promise<Result<Answered, Unanswered>> {
  const { url, headers, body, signal, secrets, allowPrivate } = call
  const range = refusedRange(url, allowPrivate)
  // The API judged the address when the row was written; the row may be older than that, or written past the API.
  if (range) return err({ detail: `not called: the deployer's address is not public (${range})`, mayRetry: false, isLate: false })
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'user-agent': 'isochrone', ...headers },
      body,
      redirect: 'manual',
      signal,
    })
    const { status } = response
    if (status >= 300 && status < 400) {
      await response.body?.cancel()
      const detail = `the server answers with a redirect (${status}), and redirects are not followed`
      return err({ detail, mayRetry: false, isLate: false })
    }
    return ok({ status, text: redactedText(await textWithin(response.body, limits.deployAnswerBytesMax), secrets) })
  } catch (cause) {
    return err({ detail: detailOf(cause, secrets), mayRetry: true, isLate: signal.aborted })
  }
}

/** The body as text; of one that is longer as much as the bound allows, which no reader of JSON takes for the whole. */
async function textWithin(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<string> {
  if (!body) return ''
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (let bytes = 0; bytes < bytesMax;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.length
    text += decoder.decode(value, { stream: true })
  }
  await reader.cancel().catch(() => undefined)
  return text
}

const wordsMax = 300

/** What an answer says in words: servers put them in `error`, `message` or `detail`, as a text or as an object with a `message`. */
export function wordsOf(text: string): string {
  const { error, message, Message, detail } = fieldsOf(text)
  const found = [error, fieldsIn(error)['message'], message, Message, detail].find((words) => typeof words === 'string' && words !== '')
  // A page of HTML says nothing that its status does not.
  const plain = /^\s*[<[{]/.test(text) ? '' : text.trim()
  return (typeof found === 'string' ? found : plain).slice(0, wordsMax)
}

export type Loose = Readonly<Record<string, unknown>>

export const fieldsIn = (value: unknown): Loose => (typeof value === 'object' && value !== null ? (value as Loose) : {})

/** The fields of an answer; none where it is not JSON. */
export function fieldsOf(text: string): Loose {
  return fieldsIn(jsonOf(text))
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
