// The protocols a scripted server speaks, each as an answer in one piece and as a stream with its parts told apart: what opens it, what says
// something, what closes it, and the event without which it was cut. Pure.

import {
  completion,
  completionEvents,
  created,
  done,
  engines,
  type AskedOf,
  type EngineName,
  type EventsOf,
  type Json,
  type Speech,
} from './scripted-engines.ts'

export type DialectName = 'chat' | 'completions' | 'messages' | 'responses' | 'generate'

/** A stream as the text of its events. `terminal` is empty where the protocol has none: there the end of the body is the end. */
export type Parts = {
  readonly opening: readonly string[]
  readonly said: readonly string[]
  readonly closing: readonly string[]
  readonly terminal: string
}

export type Spoken = {
  readonly whole: Json
  readonly parts: Parts
  readonly streamError: (message: string) => string
  readonly refusal: (status: number, message: string) => Json
}

/** A speech in a dialect, as `engine` writes it where engines differ. */
export function speak(dialect: DialectName, engine: EngineName, speech: Speech, asked: AskedOf): Spoken {
  const { refusal, streamError } = engines[engine]
  switch (dialect) {
    case 'chat':
      return {
        whole: engines[engine].chat(speech, asked),
        parts: plain(engines[engine].chatEvents(speech, asked), done),
        streamError,
        refusal,
      }
    case 'completions':
      return { whole: completion(speech, asked), parts: plain(completionEvents(speech, asked), done), streamError, refusal }
    case 'messages':
      return messages(speech, asked)
    case 'responses':
      return { ...responses(speech, asked), refusal }
    case 'generate':
      return generate(speech, asked)
  }
}

const dataOf = (json: Json): string => `data: ${JSON.stringify(json)}\n\n`
const namedOf = (json: Json): string => `event: ${String(json['type'])}\n${dataOf(json)}`
const plain = (events: EventsOf, terminal: string): Parts => ({
  opening: events.opening.map(dataOf),
  said: events.said.map(dataOf),
  closing: events.closing.map(dataOf),
  terminal,
})

// ---- Anthropic messages, as vLLM, SGLang and llama.cpp serve them ----

function messages(speech: Speech, asked: AskedOf): Spoken {
  const text = speech.text ?? []
  const tools = speech.tools ?? []
  const thinking = speech.reasoning ?? []
  const stopReason = tools.length > 0 ? 'tool_use' : 'end_turn'
  const outputTokens = text.length + thinking.length + tools.reduce((sum, tool) => sum + tool.arguments.length, 0)
  const message = (content: readonly Json[], stop: string | null, output: number) => ({
    id: 'msg_01scripted',
    type: 'message',
    role: 'assistant',
    model: asked.model,
    content,
    stop_reason: stop,
    stop_sequence: null,
    usage: { input_tokens: 12, output_tokens: output },
  })
  type Block = { readonly whole: Json; readonly start: Json; readonly deltas: readonly Json[] }
  const blocks: readonly Block[] = [
    ...(thinking.length > 0
      ? [
          {
            whole: { type: 'thinking', thinking: thinking.join(''), signature: '' },
            start: { type: 'thinking', thinking: '', signature: '' },
            deltas: thinking.map((piece) => ({ type: 'thinking_delta', thinking: piece })),
          },
        ]
      : []),
    ...(text.length > 0
      ? [
          {
            whole: { type: 'text', text: text.join('') },
            start: { type: 'text', text: '' },
            deltas: text.map((piece) => ({ type: 'text_delta', text: piece })),
          },
        ]
      : []),
    ...tools.map((tool, i) => ({
      whole: { type: 'tool_use', id: `toolu_${i}`, name: tool.name, input: JSON.parse(tool.arguments.join('')) as Json },
      start: { type: 'tool_use', id: `toolu_${i}`, name: tool.name, input: {} },
      deltas: tool.arguments.map((piece) => ({ type: 'input_json_delta', partial_json: piece })),
    })),
  ]
  const started = (index: number, start: Json) => ({ type: 'content_block_start', index, content_block: start })
  const first = blocks[0]
  return {
    whole: message(
      blocks.map((block) => block.whole),
      stopReason,
      outputTokens,
    ),
    parts: {
      opening: [
        namedOf({ type: 'message_start', message: message([], null, 0) }),
        ...(first ? [namedOf(started(0, first.start))] : []),
        namedOf({ type: 'ping' }),
      ],
      said: blocks.flatMap((block, index) => [
        ...(index > 0 ? [namedOf(started(index, block.start))] : []),
        ...block.deltas.map((delta) => namedOf({ type: 'content_block_delta', index, delta })),
        ...(index < blocks.length - 1 ? [namedOf({ type: 'content_block_stop', index })] : []),
      ]),
      closing: [
        namedOf({ type: 'content_block_stop', index: Math.max(0, blocks.length - 1) }),
        namedOf({ type: 'message_delta', delta: { stop_reason: stopReason, stop_sequence: null }, usage: { output_tokens: outputTokens } }),
      ],
      terminal: namedOf({ type: 'message_stop' }),
    },
    streamError: (detail) => namedOf({ type: 'error', error: { type: 'overloaded_error', message: detail } }),
    refusal: (status, detail) => ({
      type: 'error',
      error: { type: status < 500 ? 'invalid_request_error' : 'api_error', message: detail },
    }),
  }
}

// ---- OpenAI responses ----

function responses(speech: Speech, asked: AskedOf): Omit<Spoken, 'refusal'> {
  const text = speech.text ?? []
  const whole = text.join('')
  const part = (said: string) => ({ type: 'output_text', text: said, annotations: [], logprobs: [] })
  const item = (status: string, content: readonly Json[]) => ({ id: 'msg_scripted', type: 'message', role: 'assistant', status, content })
  const calls = (speech.tools ?? []).map((tool, i) => ({
    id: `fc_${i}`,
    type: 'function_call',
    status: 'completed',
    call_id: `call_${i}`,
    name: tool.name,
    arguments: tool.arguments.join(''),
  }))
  const output = [...(text.length > 0 ? [item('completed', [part(whole)])] : []), ...calls]
  const usage = {
    input_tokens: 12,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: text.length + calls.length,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 12 + text.length + calls.length,
  }
  const response = (status: string, said: readonly Json[], counted: Json | null) => ({
    id: 'resp_scripted',
    object: 'response',
    created_at: created,
    status,
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    model: asked.model,
    output: said,
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    usage: counted,
  })
  let sequence = 0
  const event = (json: Json) => namedOf({ ...json, sequence_number: sequence++ })
  const at = { item_id: 'msg_scripted', output_index: 0, content_index: 0 }
  const opening = [
    event({ type: 'response.created', response: response('in_progress', [], null) }),
    event({ type: 'response.in_progress', response: response('in_progress', [], null) }),
    ...(text.length > 0
      ? [
          event({ type: 'response.output_item.added', output_index: 0, item: item('in_progress', []) }),
          event({ type: 'response.content_part.added', ...at, part: part('') }),
        ]
      : []),
  ]
  const said = [
    ...text.map((delta) => event({ type: 'response.output_text.delta', ...at, delta, logprobs: [] })),
    ...calls.flatMap((call, i) => [
      event({ type: 'response.output_item.added', output_index: i, item: { ...call, status: 'in_progress', arguments: '' } }),
      ...(speech.tools?.[i]?.arguments ?? []).map((delta) =>
        event({ type: 'response.function_call_arguments.delta', item_id: call.id, output_index: i, delta }),
      ),
      event({
        type: 'response.function_call_arguments.done',
        item_id: call.id,
        output_index: i,
        name: call.name,
        arguments: call.arguments,
      }),
      event({ type: 'response.output_item.done', output_index: i, item: call }),
    ]),
  ]
  const closing =
    text.length > 0
      ? [
          event({ type: 'response.output_text.done', ...at, text: whole, logprobs: [] }),
          event({ type: 'response.content_part.done', ...at, part: part(whole) }),
          event({ type: 'response.output_item.done', output_index: 0, item: item('completed', [part(whole)]) }),
        ]
      : []
  return {
    whole: response('completed', output, usage),
    parts: { opening, said, closing, terminal: event({ type: 'response.completed', response: response('completed', output, usage) }) },
    streamError: (message) => namedOf({ type: 'error', code: 'server_error', message, param: null, sequence_number: 99 }),
  }
}

// ---- Triton's generate extension of the Open Inference Protocol ----

function generate(speech: Speech, asked: AskedOf): Spoken {
  const answer = (text: string) => ({ model_name: asked.model, model_version: '1', text_output: text })
  return {
    whole: answer((speech.text ?? []).join('')),
    parts: { opening: [], said: (speech.text ?? []).map((piece) => dataOf(answer(piece))), closing: [], terminal: '' },
    streamError: (message) => dataOf({ error: message }),
    refusal: (_, message) => ({ error: message }),
  }
}

// ---- Embeddings: floats, whatever was asked for ----

/** Numbers that 32-bit floats hold exactly, one list per input. */
export const vectorOf = (index: number): readonly number[] => [0.5, -0.25, index + 1, 0.125]

export const embeddings = (inputs: number, model: string): Json => ({
  id: 'embd-scripted',
  object: 'list',
  created,
  model,
  data: Array.from({ length: inputs }, (_, index) => ({ index, object: 'embedding', embedding: vectorOf(index) })),
  usage: { prompt_tokens: inputs * 3, total_tokens: inputs * 3, completion_tokens: 0, prompt_tokens_details: null },
})
