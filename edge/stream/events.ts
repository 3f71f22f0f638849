// Where one server-sent event ends and the next begins (WHATWG HTML, 9.2.6). Pure.
// Only whole events go out: an error frame can then always be added at a boundary, and half an event never looks like one.

const lineFeed = 10
const carriageReturn = 13

/** The index after the last blank line in `bytes`, or 0 when it holds no whole event. Lines may end in LF, CRLF or CR. */
export function lastBoundary(bytes: Uint8Array): number {
  for (let end = bytes.length; end >= 2; end--) {
    const last = bytes[end - 1]
    const before = bytes[end - 2]
    if (last === lineFeed && before === lineFeed) return end
    if (last === carriageReturn && before === carriageReturn) return end
    if (last === lineFeed && before === carriageReturn && bytes[end - 3] === lineFeed) return end
  }
  return 0
}

export type Split = {
  /** Whole events, ready to go out. */
  readonly whole: Uint8Array
  /** The beginning of the next event, to be put before the next chunk. */
  readonly rest: Uint8Array
}

/** Joins what was held back with a chunk and splits at the last event boundary. */
export function splitEvents(held: Uint8Array, chunk: Uint8Array): Split {
  const bytes = held.length === 0 ? chunk : joined(held, chunk)
  const boundary = lastBoundary(bytes)
  return { whole: bytes.subarray(0, boundary), rest: bytes.subarray(boundary) }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length)
  bytes.set(a)
  bytes.set(b, a.length)
  return bytes
}

const decoder = new TextDecoder()

/** Whether events end with the OpenAI dialect's terminal event. A stream that closes without it was cut, however politely. */
export const endsWithDone = (whole: Uint8Array): boolean => /(^|[\r\n])data: ?\[DONE\]\s*$/.test(decoder.decode(whole.subarray(-32)))
