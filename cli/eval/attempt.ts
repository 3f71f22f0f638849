// What one attempt to have an item answered came to, and what follows. Pure. It must never take an answer for a measurement that another
// version gave, or that does not say how long it is.

/** An answer, as far as a measurement needs it. */
export type Answered = { readonly text: string; readonly tokens: number }

export type Outcome =
  | { readonly kind: 'answered'; readonly answer: Answered }
  /** It may be different in a moment. */
  | { readonly kind: 'again'; readonly why: string; readonly afterMs: number | null }
  /** Of this item it will not be different. */
  | { readonly kind: 'failed'; readonly why: string }
  /** Of no item will it be different. */
  | { readonly kind: 'hopeless'; readonly why: string }

export type Reply = {
  readonly status: number
  readonly version: string | null
  readonly retryAfter: string | null
  readonly body: unknown
}

/** Statuses that a wrong key, a wrong address or an override that does not hold would give to every item. */
const hopelessStatuses: readonly number[] = [401, 403, 404, 405]

/** `version` is the one that was asked for. */
export function outcomeOf({ status, version: said, retryAfter, body }: Reply, version: string): Outcome {
  if (status === 429 || status >= 500) return { kind: 'again', why: `${status}: ${messageOf(body)}`, afterMs: afterMsOf(retryAfter) }
  if (hopelessStatuses.includes(status)) return { kind: 'hopeless', why: `${status}: ${messageOf(body)}` }
  if (status !== 200) return { kind: 'failed', why: `${status}: ${messageOf(body)}` }
  if (said !== version) {
    return {
      kind: 'hopeless',
      why: `the answer is by ${said === null ? 'no named version' : `"${said}"`} where "${version}" was asked for`,
    }
  }
  const answer = answerOf(body)
  return answer ? { kind: 'answered', answer } : { kind: 'failed', why: 'the answer has no text, or does not say how many tokens it has' }
}

/** Waits between the attempts at one item: half a second, doubling; five attempts in all. */
export const attemptsMax = 5
const pauseMsMax = 30_000

/** How long to wait after the attempt with this number (from 1): what the server asks for, within bounds. */
export function pauseMsAfter(attempt: number, afterMs: number | null): number {
  return Math.min(pauseMsMax, Math.max(afterMs ?? 0, 500 * 2 ** (attempt - 1)))
}

function afterMsOf(retryAfter: string | null): number | null {
  return retryAfter !== null && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) * 1_000 : null
}

type Body = {
  readonly error?: { readonly message?: unknown }
  readonly choices?: readonly { readonly message?: { readonly content?: unknown } }[]
  readonly usage?: { readonly completion_tokens?: unknown }
}
const isBody = (value: unknown): value is Body => typeof value === 'object' && value !== null

function messageOf(body: unknown): string {
  const message = isBody(body) ? body.error?.message : undefined
  return typeof message === 'string' ? message.slice(0, 300) : 'no reason was given'
}

/** An empty text is an answer, and a wrong one. */
function answerOf(body: unknown): Answered | null {
  if (!isBody(body) || !Array.isArray(body.choices)) return null
  const content: unknown = body.choices[0]?.message?.content
  const tokens = body.usage?.completion_tokens
  if (typeof content !== 'string' && content !== null) return null
  return typeof tokens === 'number' && Number.isInteger(tokens) && tokens >= 0 ? { text: content ?? '', tokens } : null
}
