// Server-sent events out of chunks of bytes (WHATWG HTML, 9.2.5 and 9.2.6). Pure but for the buffer it keeps, which is bounded.
// Whatever the chunks, the same bytes give the same events; the raw bytes of all events are the bytes that came in.

export type SseEvent = {
  /** The event as it came, its blank line included: what is passed on untouched. */
  readonly raw: Uint8Array
  /** The joined `data` lines; empty for a comment. */
  readonly data: string
  /** The `event` field; null when there is none. */
  readonly event: string | null
}

export type EventReader = {
  /** The events that a chunk completes; null when one grows beyond the bound (after that the reader is of no more use). */
  readonly feed: (chunk: Uint8Array) => readonly SseEvent[] | null
  /** Bytes of an event that is not complete. */
  readonly restBytes: () => number
}

const lineFeed = 10
const carriageReturn = 13
const decoder = new TextDecoder()

/** A reader that holds at most `bytesMax` bytes of an incomplete event. */
export function eventReader(bytesMax: number): EventReader {
  let buffer: Uint8Array = new Uint8Array(1024)
  let length = 0
  /** Everything before it was looked at already, so that a slow drip costs each byte once. */
  let scanned = 0

  const append = (chunk: Uint8Array): void => {
    if (length + chunk.length > buffer.length) {
      const grown = new Uint8Array(Math.max(buffer.length * 2, length + chunk.length))
      grown.set(buffer.subarray(0, length))
      buffer = grown
    }
    buffer.set(chunk, length)
    length += chunk.length
  }

  /** The index after the next blank line at or after `scanned`, or -1. A line may end in LF, CRLF or CR. */
  const boundary = (): number => {
    for (; scanned < length; scanned++) {
      const byte = buffer[scanned]
      if (byte !== lineFeed && byte !== carriageReturn) continue
      const previous = buffer[scanned - 1]
      const isPair = byte === lineFeed && previous === carriageReturn
      // CR LF is one line end: what counts is the byte before the pair.
      const before = isPair ? buffer[scanned - 2] : previous
      const at = isPair ? scanned - 2 : scanned - 1
      if (at < 0 || (before !== lineFeed && before !== carriageReturn)) continue
      // A line feed that belongs to this carriage return goes with it, if it is there already.
      scanned += byte === carriageReturn && scanned + 1 < length && buffer[scanned + 1] === lineFeed ? 2 : 1
      return scanned
    }
    return -1
  }

  return {
    restBytes: () => length,
    feed: (chunk) => {
      append(chunk)
      const events: SseEvent[] = []
      let start = 0
      for (let end = boundary(); end >= 0; end = boundary()) {
        events.push(readEvent(buffer.slice(start, end)))
        start = end
      }
      buffer.copyWithin(0, start, length)
      length -= start
      scanned -= start
      return length > bytesMax ? null : events
    },
  }
}

function readEvent(raw: Uint8Array): SseEvent {
  const data: string[] = []
  let event: string | null = null
  for (const line of decoder.decode(raw).split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'data') data.push(value)
    // No field of the standard: llama.cpp's server tells errors under it.
    else if (field === 'error') {
      data.push(value)
      event = 'error'
    } else if (field === 'event') event = value
  }
  return { raw, data: data.join('\n'), event }
}
