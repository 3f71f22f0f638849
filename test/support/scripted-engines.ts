// How four engines write chat completions and completions on the wire: whole, as events, and as errors. Facts as their servers send them,
// down to the fields that OpenAI does not know and those that are left out. Pure.

/** What an engine says, whatever its way of writing it. Pieces are tokens. */
export type Speech = {
  readonly text?: readonly string[]
  readonly reasoning?: readonly string[]
  readonly tools?: readonly { readonly name: string; readonly arguments: readonly string[] }[]
}

/** What of the request shapes the answer. */
export type AskedOf = {
  readonly model: string
  readonly choices: number
  readonly logprobs: boolean
  readonly usage: boolean
}

export type Json = Readonly<Record<string, unknown>>

export type Engine = {
  readonly chat: (speech: Speech, asked: AskedOf) => Json
  /** The data of each event, without the terminal one. `opening` are those that say nothing yet. */
  readonly chatEvents: (speech: Speech, asked: AskedOf) => EventsOf
  /** The body that comes with a status of 4xx or 5xx. */
  readonly refusal: (status: number, message: string) => Json
  /** Everything the engine writes when it fails in a stream, up to the end of it. */
  readonly streamError: (message: string) => string
}

export type EventsOf = { readonly opening: readonly Json[]; readonly said: readonly Json[]; readonly closing: readonly Json[] }

export const created = 1_764_028_800
const promptTokens = 12
export const done = 'data: [DONE]\n\n'
const dataOf = (json: Json): string => `data: ${JSON.stringify(json)}\n\n`

const joined = (pieces: readonly string[] | undefined): string => (pieces ?? []).join('')
const completionTokens = (speech: Speech): number =>
  (speech.text?.length ?? 0) + (speech.reasoning?.length ?? 0) + (speech.tools ?? []).reduce((sum, tool) => sum + tool.arguments.length, 0)
const finishOf = (speech: Speech): string => (speech.tools ? 'tool_calls' : 'stop')
const bytesOf = (text: string): readonly number[] => [...new TextEncoder().encode(text)]
const choicesOf = <T>(asked: AskedOf, choice: (index: number) => T): readonly T[] =>
  Array.from({ length: asked.choices }, (_, i) => choice(i))
const usageOf = (speech: Speech, asked: AskedOf) => {
  const completion = completionTokens(speech) * asked.choices
  return { prompt_tokens: promptTokens, total_tokens: promptTokens + completion, completion_tokens: completion }
}

const logprobsOf = (pieces: readonly string[], asked: AskedOf) =>
  asked.logprobs
    ? {
        content: pieces.map((token) => ({
          token,
          logprob: -0.25,
          bytes: bytesOf(token),
          top_logprobs: [{ token, logprob: -0.25, bytes: bytesOf(token) }],
        })),
      }
    : null

/** The id of the n-th tool call. */
const toolId = (index: number): string => `chatcmpl-tool-${String(index).padStart(32, '0')}`
const wholeTool = (tool: NonNullable<Speech['tools']>[number], index: number) => ({
  id: toolId(index),
  type: 'function',
  function: { name: tool.name, arguments: joined(tool.arguments) },
})

/** Deltas of tool calls as vLLM, SGLang and llama.cpp send them: the name first, then the arguments in pieces, each with its index. */
function toolDeltas(speech: Speech): readonly Json[] {
  return (speech.tools ?? []).flatMap((tool, index) => [
    { tool_calls: [{ id: toolId(index), type: 'function', index, function: { name: tool.name, arguments: '' } }] },
    ...tool.arguments.map((piece) => ({ tool_calls: [{ index, function: { arguments: piece } }] })),
  ])
}

// ---- vLLM ----

const vllmId = 'chatcmpl-7f3a1c0c5e6b4d0f9a2b8c7d6e5f4a3b'

const vllm: Engine = {
  chat: (speech, asked) => ({
    id: vllmId,
    object: 'chat.completion',
    created,
    model: asked.model,
    choices: choicesOf(asked, (index) => ({
      index,
      message: {
        role: 'assistant',
        content: speech.text ? joined(speech.text) : null,
        refusal: null,
        annotations: null,
        audio: null,
        function_call: null,
        tool_calls: (speech.tools ?? []).map(wholeTool),
        reasoning: speech.reasoning ? joined(speech.reasoning) : null,
        reasoning_content: speech.reasoning ? joined(speech.reasoning) : null,
      },
      logprobs: logprobsOf(speech.text ?? [], asked),
      finish_reason: finishOf(speech),
      stop_reason: null,
      token_ids: null,
    })),
    service_tier: null,
    system_fingerprint: null,
    usage: { ...usageOf(speech, asked), prompt_tokens_details: null },
    prompt_logprobs: null,
    prompt_token_ids: null,
    kv_transfer_params: null,
  }),
  chatEvents: (speech, asked) => {
    const chunk = (choices: readonly Json[], more: Json = {}) => ({
      id: vllmId,
      object: 'chat.completion.chunk',
      created,
      model: asked.model,
      choices,
      ...more,
    })
    const delta = (index: number, said: Json, logprobs: unknown = null) =>
      chunk([{ index, delta: said, logprobs, finish_reason: null, token_ids: null }])
    return {
      opening: choicesOf(asked, (index) =>
        chunk([{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }], { prompt_token_ids: null }),
      ),
      said: choicesOf(asked, (index) => [
        ...(speech.reasoning ?? []).map((piece) => delta(index, { reasoning: piece, reasoning_content: piece })),
        ...(speech.text ?? []).map((piece) => delta(index, { content: piece }, logprobsOf([piece], asked))),
        ...toolDeltas(speech).map((each) => delta(index, each)),
      ]).flat(),
      closing: [
        ...choicesOf(asked, (index) =>
          chunk([{ index, delta: { content: '' }, logprobs: null, finish_reason: finishOf(speech), stop_reason: null, token_ids: null }]),
        ),
        ...(asked.usage ? [chunk([], { usage: usageOf(speech, asked) })] : []),
      ],
    }
  },
  refusal: (status, message) => ({
    error: { message, type: status < 500 ? 'BadRequestError' : 'InternalServerError', param: null, code: status },
  }),
  // It says that it is done after an error too.
  streamError: (message) => dataOf({ error: { message, type: 'InternalServerError', param: null, code: 500 } }) + done,
}

// ---- SGLang ----

const sglangId = '93b6717481cf45c284841fac5c3af2a3'

const sglang: Engine = {
  chat: (speech, asked) => ({
    id: sglangId,
    object: 'chat.completion',
    created,
    model: asked.model,
    choices: choicesOf(asked, (index) => ({
      index,
      message: {
        role: 'assistant',
        content: speech.text ? joined(speech.text) : null,
        reasoning_content: speech.reasoning ? joined(speech.reasoning) : null,
        tool_calls: speech.tools ? speech.tools.map((tool, i) => ({ ...wholeTool(tool, i), index: i })) : null,
      },
      logprobs: logprobsOf(speech.text ?? [], asked),
      finish_reason: finishOf(speech),
      matched_stop: speech.tools ? null : 151_645,
    })),
    usage: { ...usageOf(speech, asked), prompt_tokens_details: null, reasoning_tokens: speech.reasoning?.length ?? 0 },
    metadata: { weight_version: 'default' },
  }),
  chatEvents: (speech, asked) => {
    const chunk = (choices: readonly Json[], usage: unknown = null) => ({
      id: sglangId,
      object: 'chat.completion.chunk',
      created,
      model: asked.model,
      choices,
      usage,
    })
    const silent = { role: null, content: null, reasoning_content: null, tool_calls: null }
    const delta = (index: number, said: Json, logprobs: unknown = null) =>
      chunk([{ index, delta: { ...silent, ...said }, logprobs, finish_reason: null, matched_stop: null }])
    return {
      opening: choicesOf(asked, (index) => delta(index, { role: 'assistant', content: '' })),
      said: choicesOf(asked, (index) => [
        ...(speech.reasoning ?? []).map((piece) => delta(index, { reasoning_content: piece })),
        ...(speech.text ?? []).map((piece) => delta(index, { content: piece }, logprobsOf([piece], asked))),
        ...toolDeltas(speech).map((each) => delta(index, each)),
      ]).flat(),
      closing: [
        ...choicesOf(asked, (index) =>
          chunk([{ index, delta: silent, logprobs: null, finish_reason: finishOf(speech), matched_stop: speech.tools ? null : 151_645 }]),
        ),
        ...(asked.usage ? [chunk([], { ...usageOf(speech, asked), prompt_tokens_details: null })] : []),
      ],
    }
  },
  refusal: (status, message) => ({
    object: 'error',
    message,
    type: status < 500 ? 'BadRequestError' : 'InternalServerError',
    param: null,
    code: status,
  }),
  streamError: (message) => dataOf({ error: { object: 'error', message, type: 'InternalServerError', param: null, code: 500 } }) + done,
}

// ---- TGI ----

const fingerprint = '3.3.6-native'

const tgi: Engine = {
  chat: (speech, asked) => ({
    object: 'chat.completion',
    id: '',
    created,
    model: asked.model,
    system_fingerprint: fingerprint,
    choices: choicesOf(asked, (index) => ({
      index,
      message: speech.tools
        ? {
            role: 'assistant',
            content: null,
            tool_calls: speech.tools.map((tool, i) => ({
              id: String(i),
              type: 'function',
              function: { description: null, name: tool.name, arguments: joined(tool.arguments) },
            })),
          }
        : { role: 'assistant', content: joined(speech.text) },
      logprobs: logprobsOf(speech.text ?? [], asked),
      finish_reason: finishOf(speech),
    })),
    usage: usageOf(speech, asked),
  }),
  // There is no chunk for the role alone: it comes with every piece.
  chatEvents: (speech, asked) => {
    const chunk = (choices: readonly Json[], usage: unknown = null) => ({
      object: 'chat.completion.chunk',
      id: '',
      created,
      model: asked.model,
      system_fingerprint: fingerprint,
      choices,
      usage,
    })
    const delta = (index: number, said: Json, finish: string | null = null, logprobs: unknown = null) =>
      chunk([{ index, delta: { role: 'assistant', ...said }, logprobs, finish_reason: finish }])
    const toolChunks = (speech.tools ?? []).flatMap((tool, index) =>
      ['', ...tool.arguments].map((piece, i) =>
        delta(0, {
          tool_calls: [
            { index, id: i === 0 ? String(index) : '', type: 'function', function: { name: i === 0 ? tool.name : null, arguments: piece } },
          ],
        }),
      ),
    )
    return {
      opening: [],
      said: choicesOf(asked, (index) => [
        ...(speech.text ?? []).map((piece) => delta(index, { content: piece }, null, logprobsOf([piece], asked))),
        ...toolChunks,
      ]).flat(),
      closing: [
        ...choicesOf(asked, (index) => delta(index, { content: '' }, finishOf(speech))),
        ...(asked.usage ? [chunk([], usageOf(speech, asked))] : []),
      ],
    }
  },
  refusal: (status, message) => ({
    error: message,
    error_type: status === 429 ? 'overloaded' : status < 500 ? 'validation' : 'generation',
  }),
  streamError: (message) => dataOf({ error: { message, http_status_code: 422 } }),
}

// ---- llama.cpp's server ----

const llamaId = 'chatcmpl-QRcnTOTUbLPBhSHNTGRVrTPyBNBdXKQ4'
const build = 'b9038-c5a6b1e'

/** Keys in the order it writes them; `logprobs` and `refusal` are left out unless there is something to say. */
const llamacpp: Engine = {
  chat: (speech, asked) => ({
    choices: choicesOf(asked, (index) => ({
      finish_reason: finishOf(speech),
      index,
      message: {
        role: 'assistant',
        content: speech.text ? joined(speech.text) : null,
        ...(speech.reasoning ? { reasoning_content: joined(speech.reasoning) } : {}),
        ...(speech.tools ? { tool_calls: speech.tools.map(llamaTool) } : {}),
      },
      ...(asked.logprobs ? { logprobs: logprobsOf(speech.text ?? [], asked) } : {}),
    })),
    created,
    model: asked.model,
    system_fingerprint: build,
    object: 'chat.completion',
    usage: llamaUsage(speech, asked),
    id: llamaId,
    timings,
  }),
  chatEvents: (speech, asked) => {
    const chunk = (choices: readonly Json[], more: Json = {}) => ({
      choices,
      created,
      id: llamaId,
      model: asked.model,
      system_fingerprint: build,
      object: 'chat.completion.chunk',
      ...more,
    })
    const delta = (index: number, said: Json, logprobs: unknown = null) =>
      chunk([{ finish_reason: null, index, delta: said, ...(logprobs ? { logprobs } : {}) }])
    return {
      opening: choicesOf(asked, (index) => delta(index, { role: 'assistant', content: null })),
      said: choicesOf(asked, (index) => [
        ...(speech.reasoning ?? []).map((piece) => delta(index, { reasoning_content: piece })),
        ...(speech.text ?? []).map((piece) => delta(index, { content: piece }, logprobsOf([piece], asked))),
        ...toolDeltas(speech).map((each) => delta(index, each)),
      ]).flat(),
      closing: [
        ...choicesOf(asked, (index) => chunk([{ finish_reason: finishOf(speech), index, delta: {} }], asked.usage ? {} : { timings })),
        ...(asked.usage ? [chunk([], { usage: llamaUsage(speech, asked), timings })] : []),
      ],
    }
  },
  refusal: (status, message) => ({ error: { code: status, message, type: status < 500 ? 'invalid_request_error' : 'server_error' } }),
  streamError: (message) => dataOf({ error: { code: 500, message, type: 'server_error' } }),
}

const timings = { cache_n: 0, prompt_n: promptTokens, prompt_ms: 9.2, prompt_per_second: 1304.3, predicted_n: 7, predicted_ms: 40.1 }
const llamaTool = (tool: NonNullable<Speech['tools']>[number], index: number) => ({
  type: 'function',
  function: { name: tool.name, arguments: joined(tool.arguments) },
  id: toolId(index),
})
const llamaUsage = (speech: Speech, asked: AskedOf) => ({ ...usageOf(speech, asked), prompt_tokens_details: { cached_tokens: 0 } })

export const engines = { vllm, sglang, tgi, llamacpp } as const
export type EngineName = keyof typeof engines

/** llama.cpp of 2025 reports an error in a field of its own, which readers of events skip, and then says that it is done. */
export const llamaErrorField = (message: string): string =>
  `error: ${JSON.stringify({ code: 500, message, type: 'server_error' })}\n\n${done}`

// ---- Completions: the same on all four, but for the names of things nobody reads ----

const completionId = 'cmpl-7f3a1c0c5e6b4d0f9a2b8c7d6e5f4a3b'
const textLogprobs = (pieces: readonly string[], asked: AskedOf) =>
  asked.logprobs
    ? {
        text_offset: pieces.map((_, i) => joined(pieces.slice(0, i)).length),
        token_logprobs: pieces.map(() => -0.25),
        tokens: pieces,
        top_logprobs: pieces.map((token) => ({ [token]: -0.25 })),
      }
    : null

export const completion = (speech: Speech, asked: AskedOf): Json => ({
  id: completionId,
  object: 'text_completion',
  created,
  model: asked.model,
  choices: choicesOf(asked, (index) => ({
    index,
    text: joined(speech.text),
    logprobs: textLogprobs(speech.text ?? [], asked),
    finish_reason: 'stop',
    stop_reason: null,
    prompt_logprobs: null,
  })),
  usage: usageOf(speech, asked),
})

export function completionEvents(speech: Speech, asked: AskedOf): EventsOf {
  const chunk = (choices: readonly Json[], more: Json = {}) => ({
    id: completionId,
    object: 'text_completion',
    created,
    model: asked.model,
    choices,
    ...more,
  })
  return {
    opening: [],
    said: choicesOf(asked, (index) =>
      (speech.text ?? []).map((text) =>
        chunk([{ index, text, logprobs: textLogprobs([text], asked), finish_reason: null, stop_reason: null }]),
      ),
    ).flat(),
    closing: [
      ...choicesOf(asked, (index) => chunk([{ index, text: '', logprobs: null, finish_reason: 'stop', stop_reason: null }])),
      ...(asked.usage ? [chunk([], { usage: usageOf(speech, asked) })] : []),
    ],
  }
}
