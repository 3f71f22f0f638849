// A lane: how a request of one dialect travels to one kind of server and how the answer comes back. Types only.
// Lanes are pure. A lane never waits, never sends, and never decides where a request goes; the stages call it.

import type { Result } from '../../shared/result.ts'
import type { SseEvent } from './sse.ts'

/** What a lane is given of a request. */
export type Asking = {
  /** The caller's own bytes. */
  readonly body: Uint8Array
  /** The body as JSON.parse gives it, to decide with; null for a body that is not JSON. What goes upstream is made from `body`. */
  readonly json: unknown
  /** The caller's content type, lower case, without parameters; empty when he sent none. */
  readonly contentType: string
  /** A request header of the caller by lower-case name; only protocol headers may be passed on, never credentials. */
  readonly header: (name: string) => string | null
  /** What clients call the model, and what the server calls it. */
  readonly model: string
  readonly servedName: string
  readonly stream: boolean
}

/** What goes upstream; the adapter adds address and credentials. */
export type Outgoing = {
  readonly method: 'GET' | 'POST'
  /** Appended to the endpoint's url, for instance `/v1/chat/completions`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** Fields of the caller's body that a translation could not carry; named to him in `isochrone-dropped`. */
  readonly dropped: readonly string[]
}

/** Tokens as the engine counted them; null is unknown, never zero. */
export type Usage = { readonly inputTokens: number | null; readonly outputTokens: number | null; readonly cachedTokens: number | null }

/** What an answer is worth, as far as its form tells. Judging versions is what it is for; no answer is changed by it. */
export type Sense = {
  /** Nothing was said and no tool was called, or it broke off in the middle without the limit being the reason. */
  readonly empty: boolean
  /** Whether it is the JSON, or the calls' arguments are, that were asked for; null: none was asked for. */
  readonly schema: boolean | null
  /** A digest of the text; null where the request was not deterministic (temperature above 0), or the answer was not looked at. */
  readonly textHash: string | null
}

/** An engine's error in common terms, whatever its shape. `status` is the one to tell the caller when the fault is his (4xx). */
export type EngineFault = {
  readonly status: number
  readonly message: string
  readonly code: string | null
  readonly param: string | null
}

/** An answer in one piece, ready for the caller. */
export type Whole = {
  readonly body: Uint8Array
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  readonly usage: Usage | null
  /** null where nothing is generated. */
  readonly sense: Sense | null
}

/** What one upstream event means for the caller. */
export type Taken = {
  /** What goes to the caller now: the event's own bytes where nothing changes; null for nothing. */
  readonly out: Uint8Array | null
  /** `token`: the first real content may be in it; `done`: the protocol's terminal event; `nothing`: life signs, role, metadata. */
  readonly means: 'nothing' | 'token' | 'done'
  /** An error event, in whatever shape the engine sends it. */
  readonly fault: EngineFault | null
}

/** A stream on its way; one per attempt, it may keep what a translation needs, within bounds. */
export type EventLane = {
  readonly take: (event: SseEvent) => Taken
  /** The server has closed the stream: what is still to be sent, and whether the stream was whole. */
  readonly end: () => { readonly out: Uint8Array | null; readonly whole: boolean }
  readonly usage: () => Usage | null
  /** Of what has come so far, as far as it was looked at; null where that tells nothing. */
  readonly sense: () => Sense | null
}

export type Lane = {
  readonly outgoing: (asking: Asking) => Outgoing
  /** A 2xx answer in one piece; an error hidden in it, or bytes that are no answer of the protocol, are a fault (status 502 for the latter). */
  readonly whole: (body: Uint8Array, contentType: string, asking: Asking) => Result<Whole, EngineFault>
  /** Whether an answer too large to hold may go out as it comes, unchecked: only where nothing in it would have to change. Absent: never. */
  readonly mayPassUnread?: (asking: Asking, contentType: string) => boolean
  /** null when the operation never streams. */
  readonly events: ((asking: Asking) => EventLane) | null
  /** A body that came with a status other than 2xx. */
  readonly fault: (status: number, body: string) => EngineFault
}
