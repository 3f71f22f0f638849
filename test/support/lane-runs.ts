// Runs lanes in tests: what a caller asks, an engine's bytes through a lane, and what real clients make of what comes out.

import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import type { Asking, EngineFault, EventLane } from '../../edge/lane/lane.ts'
import { eventReader } from '../../edge/lane/sse.ts'
import { bytes, text } from './stream.ts'

/** A request as a lane gets it. */
export function asking(json: Record<string, unknown>, more: Partial<Asking> & { headers?: Record<string, string> } = {}): Asking {
  const { headers = {}, ...rest } = more
  return {
    body: bytes(JSON.stringify(json)),
    json,
    contentType: 'application/json',
    header: (name) => headers[name] ?? null,
    model: 'atlas',
    servedName: 'served-atlas',
    stream: json['stream'] === true,
    ...rest,
  }
}

export const sse = (...events: readonly (object | string)[]): string =>
  events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`).join('')

/** Events with the name in both places, as Anthropic and OpenAI's responses send them. */
export const namedSse = (...events: readonly { readonly type: string }[]): string =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')

export type LaneRun = {
  readonly out: string
  readonly means: readonly string[]
  readonly fault: EngineFault | null
  readonly whole: boolean
}

/** An engine's stream through a lane, up to a fault or the last event. */
export function runLane(lane: EventLane, stream: string): LaneRun {
  const out: Uint8Array[] = []
  const means: string[] = []
  for (const event of eventReader(8 * 1024 * 1024).feed(bytes(stream)) ?? []) {
    const taken = lane.take(event)
    if (taken.out) out.push(taken.out)
    means.push(taken.means)
    if (taken.fault) return { out: text(out), means, fault: taken.fault, whole: false }
    if (taken.means === 'done') break
  }
  const end = lane.end()
  if (end.out) out.push(end.out)
  return { out: text(out), means, fault: null, whole: end.whole }
}

type Reply = { readonly status?: number; readonly headers?: Record<string, string> }

const replying =
  (body: string, contentType: string, reply: Reply) =>
  // Both clients only need what fetch promises of a Response.
  () =>
    Promise.resolve(new Response(body, { status: reply.status ?? 200, headers: { 'content-type': contentType, ...reply.headers } }))

const typeOf = (body: string): string => (/^(event|data|:)/.test(body) ? 'text/event-stream' : 'application/json')

/** The real Anthropic client, whose server answers everything with `body`. */
export const anthropicFor = (body: string, reply: Reply = {}): Anthropic =>
  new Anthropic({ apiKey: 'k', authToken: null, maxRetries: 0, logLevel: 'off', fetch: replying(body, typeOf(body), reply) })

/** The real OpenAI client, whose server answers everything with `body`. */
export const openaiFor = (body: string, reply: Reply = {}): OpenAI =>
  new OpenAI({ apiKey: 'k', maxRetries: 0, logLevel: 'off', fetch: replying(body, typeOf(body), reply) })
