// When the tokens of a streamed answer came: first, last and how many. Pure: it is fed with text and the time at which it came.

/** An answer's text so far, and what is known of its pace. */
export type Pace = {
  readonly rest: string
  readonly firstMs: number | null
  readonly lastMs: number | null
  /** Pieces of text, until the server says how many tokens there were. */
  readonly pieces: number
  readonly tokens: number | null
  readonly done: boolean
  /** An error that was told within the stream. */
  readonly failed: boolean
}

export const noPace: Pace = { rest: '', firstMs: null, lastMs: null, pieces: 0, tokens: null, done: false, failed: false }

/** A line longer than this is no event of a chat. */
const restCharsMax = 1024 * 1024

/** The pace after another part of the stream, which came at `atMs`. */
export function heard(pace: Pace, part: string, atMs: number): Pace {
  const lines = (pace.rest + part).split(/\r\n|\n|\r/)
  const rest = lines.pop() ?? ''
  if (rest.length > restCharsMax) return { ...pace, rest: '', failed: true }
  return { ...lines.reduce((before, line) => told(before, line, atMs), pace), rest }
}

type Event = {
  readonly error?: unknown
  readonly choices?: readonly { readonly delta?: { readonly content?: unknown; readonly reasoning_content?: unknown } }[]
  readonly usage?: { readonly completion_tokens?: unknown } | null
}

function told(pace: Pace, line: string, atMs: number): Pace {
  if (!line.startsWith('data:')) return pace
  const data = line.slice('data:'.length).trim()
  if (data === '[DONE]') return { ...pace, done: true }
  const event = eventOf(data)
  if (!event || event.error !== undefined) return { ...pace, failed: true }
  const delta = event.choices?.[0]?.delta
  const isText = [delta?.content, delta?.reasoning_content].some((text) => typeof text === 'string' && text !== '')
  const said = event.usage?.completion_tokens
  const tokens = typeof said === 'number' ? said : pace.tokens
  return isText ? { ...pace, tokens, pieces: pace.pieces + 1, firstMs: pace.firstMs ?? atMs, lastMs: atMs } : { ...pace, tokens }
}

function eventOf(data: string): Event | null {
  try {
    const value: unknown = JSON.parse(data)
    return typeof value === 'object' && value !== null ? value : null
  } catch {
    return null
  }
}

/** Mean time between tokens; null with fewer than two. */
export function tpotMsOf({ firstMs, lastMs, pieces, tokens }: Pace): number | null {
  const count = tokens ?? pieces
  return firstMs === null || lastMs === null || count < 2 ? null : (lastMs - firstMs) / (count - 1)
}
