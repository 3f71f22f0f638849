// A caller without a client library: asks in each dialect and tells what came back, byte for byte, so that tests can say what must not be there.

import type { DialectName } from './scripted-dialects.ts'

export type Asking = { readonly path: string; readonly body: Readonly<Record<string, unknown>> }

const question = 'What is the capital of Peru?'
const messages = [{ role: 'user', content: question }]

/** What a caller sends in a dialect. */
export const askings: Readonly<Record<DialectName, (model: string, stream: boolean) => Asking>> = {
  chat: (model, stream) => ({ path: '/v1/chat/completions', body: { model, stream, messages } }),
  completions: (model, stream) => ({ path: '/v1/completions', body: { model, stream, prompt: question } }),
  messages: (model, stream) => ({ path: '/v1/messages', body: { model, stream, max_tokens: 64, messages } }),
  responses: (model, stream) => ({ path: '/v1/responses', body: { model, stream, input: question } }),
  generate: (model, stream) => ({
    path: `/v2/models/${encodeURIComponent(model)}/${stream ? 'generate_stream' : 'generate'}`,
    body: { text_input: question, parameters: { max_tokens: 64 } },
  }),
}

type Json = Readonly<Record<string, unknown>>
export type Frame = { readonly event: string | null; readonly data: string; readonly json: Json }

/** A body read to its end. */
export type Heard = {
  readonly status: number
  readonly headers: Headers
  readonly raw: string
  /** Whether the connection broke instead of ending. */
  readonly cut: boolean
  readonly frames: readonly Frame[]
  readonly comments: number
  readonly json: Json
}

/** Reads a response to its end, however it ends. */
export async function hear(response: Response): Promise<Heard> {
  const decoder = new TextDecoder()
  let raw = ''
  let cut = false
  try {
    for await (const chunk of response.body ?? []) raw += decoder.decode(chunk, { stream: true })
    raw += decoder.decode()
  } catch {
    cut = true
  }
  const isStream = (response.headers.get('content-type') ?? '').startsWith('text/event-stream')
  const blocks = isStream ? raw.split(/\r\n\r\n|\n\n|\r\r/) : []
  return {
    status: response.status,
    headers: response.headers,
    raw,
    cut,
    frames: blocks.map(frameOf).filter((frame) => frame.data !== ''),
    comments: blocks.filter((block) => block.startsWith(':')).length,
    json: isStream ? {} : parse(raw),
  }
}

function frameOf(block: string): Frame {
  const lines = block.split(/\r\n|\n|\r/)
  const fields = (name: string) =>
    lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ''))
  const data = fields('data').join('\n')
  return { event: fields('event')[0] ?? null, data, json: parse(data) }
}

function parse(text: string): Json {
  try {
    return (JSON.parse(text) ?? {}) as Json
  } catch {
    return {}
  }
}

const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? (inner as Record<string | number, unknown>)[key] : undefined),
    value,
  )
const text = (value: unknown): string => (typeof value === 'string' ? value : '')

type Reading = {
  /** The text of an answer in one piece. */
  readonly said: (json: Json) => string
  /** The text of one event. */
  readonly piece: (frame: Frame) => string
  /** What an error frame says; null for any other. */
  readonly error: (frame: Frame) => { readonly code: string; readonly message: string } | null
  /** The event that says that all is well; null where the protocol has none. */
  readonly isTerminal: ((frame: Frame) => boolean) | null
  /** What a refusal says, when it has the dialect's shape. */
  readonly refusal: (json: Json) => { readonly code: string; readonly message: string } | null
}

const coded = (error: unknown, code: string) =>
  text(at(error, 'message')) === '' ? null : { code: text(at(error, code)), message: text(at(error, 'message')) }
const openAiError = (json: Json) =>
  'type' in Object(json['error']) && 'param' in Object(json['error']) ? coded(json['error'], 'code') : null
const openAi = {
  error: (frame: Frame) => openAiError(frame.json),
  isTerminal: (frame: Frame) => frame.data === '[DONE]',
  refusal: openAiError,
}

/** How each dialect is read. */
export const readings: Readonly<Record<DialectName, Reading>> = {
  chat: {
    ...openAi,
    said: (json) => text(at(json, 'choices', 0, 'message', 'content')),
    piece: (frame) => text(at(frame.json, 'choices', 0, 'delta', 'content')),
  },
  completions: {
    ...openAi,
    said: (json) => text(at(json, 'choices', 0, 'text')),
    piece: (frame) => text(at(frame.json, 'choices', 0, 'text')),
  },
  messages: {
    said: (json) => text(at(json, 'content', 0, 'text')),
    piece: (frame) => text(at(frame.json, 'delta', 'text')),
    error: (frame) => (frame.event === 'error' && frame.json['type'] === 'error' ? coded(frame.json['error'], 'type') : null),
    isTerminal: (frame) => frame.event === 'message_stop',
    refusal: (json) => (json['type'] === 'error' ? coded(json['error'], 'type') : null),
  },
  responses: {
    said: (json) => text(at(json, 'output', 0, 'content', 0, 'text')),
    piece: (frame) => (frame.json['type'] === 'response.output_text.delta' ? text(frame.json['delta']) : ''),
    error: (frame) => {
      if (frame.json['type'] === 'error') return coded(frame.json, 'code')
      return frame.json['type'] === 'response.failed' ? coded(at(frame.json, 'response', 'error'), 'code') : null
    },
    isTerminal: (frame) => frame.json['type'] === 'response.completed',
    refusal: openAiError,
  },
  generate: {
    said: (json) => text(json['text_output']),
    piece: (frame) => text(frame.json['text_output']),
    error: (frame) => (typeof frame.json['error'] === 'string' ? { code: '', message: frame.json['error'] } : null),
    isTerminal: null,
    refusal: (json) => (typeof json['error'] === 'string' && json['error'] !== '' ? { code: '', message: json['error'] } : null),
  },
}

/** The text of a whole answer or of a stream, as far as it came. */
export function saidIn(dialect: DialectName, heard: Heard): string {
  const reading = readings[dialect]
  return heard.frames.length > 0 ? heard.frames.map(reading.piece).join('') : reading.said(heard.json)
}

/** The error at the end of a stream; null when its last event is none. */
export function errorAtEnd(dialect: DialectName, heard: Heard) {
  const last = heard.frames.at(-1)
  return last ? readings[dialect].error(last) : null
}

export const isTerminated = (dialect: DialectName, heard: Heard): boolean =>
  heard.frames.some((frame) => readings[dialect].isTerminal?.(frame) ?? false)

/** Everything an iterator gives. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
