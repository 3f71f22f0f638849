// A messages request as a chat completions request. Everything the caller set is either carried or named: no field is lost in silence. Pure.

import { isRecord, textOf, type Json } from '../json.ts'
import { messagesOf, systemOf } from './conversation.ts'
import { droppedPaths, type Dropped } from './dropped.ts'

export type ChatRequest = { readonly chat: Json; readonly dropped: readonly string[] }

const carried = [
  'model',
  'messages',
  'system',
  'max_tokens',
  'temperature',
  'top_p',
  'stop_sequences',
  'stream',
  'metadata',
  'tools',
  'tool_choice',
  'output_config',
]

/** The chat completions request that asks for the same, and the paths of what it could not carry. Takes any JSON; never throws. */
export function chatRequest(asked: unknown, servedName: string, stream: boolean): ChatRequest {
  const dropped = droppedPaths()
  const fields = isRecord(asked) ? asked : {}
  dropped.others(fields, carried, '')
  const messages = Array.isArray(fields['messages']) ? fields['messages'] : []
  const chat = {
    model: servedName,
    messages: [
      ...systemOf(fields['system'], 'system', dropped),
      ...messages.flatMap((message, index) => messagesOf(message, `messages[${index}]`, dropped)),
    ],
    // Newer OpenAI models want `max_completion_tokens`; the servers this is for all know `max_tokens`.
    max_tokens: fields['max_tokens'] ?? undefined,
    temperature: fields['temperature'] ?? undefined,
    top_p: fields['top_p'] ?? undefined,
    stop: fields['stop_sequences'] ?? undefined,
    user: userOf(fields['metadata'], dropped),
    ...toolsOf(fields, dropped),
    ...outputOf(fields['output_config'], dropped),
    ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  }
  return { chat, dropped: dropped.list() }
}

function userOf(metadata: unknown, dropped: Dropped): string | undefined {
  if (!isRecord(metadata)) return undefined
  dropped.others(metadata, ['user_id'], 'metadata')
  return textOf(metadata['user_id']) ?? undefined
}

/** Tools of the caller's own become functions. Those that Anthropic runs or defines itself have no schema to pass on. */
function toolsOf(fields: Json, dropped: Dropped): Json {
  const given: readonly unknown[] = Array.isArray(fields['tools']) ? fields['tools'] : []
  const tools = given.flatMap((tool, index) => toolOf(tool, `tools[${index}]`, dropped))
  const choice = fields['tool_choice']
  if (tools.length === 0) {
    // A choice among no tools is an error to most servers.
    if (isRecord(choice) && choice['type'] !== 'none') dropped.name('tool_choice')
    return {}
  }
  return { tools, ...(isRecord(choice) ? choiceOf(choice, dropped) : {}) }
}

function toolOf(tool: unknown, path: string, dropped: Dropped): readonly Json[] {
  const type = isRecord(tool) ? (tool['type'] ?? 'custom') : null
  if (!isRecord(tool) || type !== 'custom' || textOf(tool['name']) === null) {
    dropped.name(path)
    return []
  }
  dropped.others(tool, ['type', 'name', 'description', 'input_schema', 'strict'], path)
  const { name, description, input_schema: parameters, strict } = tool
  return [
    {
      type: 'function',
      function: { name, description: description ?? undefined, parameters: parameters ?? undefined, strict: strict ?? undefined },
    },
  ]
}

const choices: Readonly<Record<string, string>> = { auto: 'auto', any: 'required', none: 'none' }

function choiceOf(choice: Json, dropped: Dropped): Json {
  dropped.others(choice, ['type', 'name', 'disable_parallel_tool_use'], 'tool_choice')
  const type = textOf(choice['type']) ?? ''
  const named = type === 'tool' ? { type: 'function', function: { name: choice['name'] } } : choices[type]
  if (named === undefined) dropped.name('tool_choice')
  return { tool_choice: named, ...(choice['disable_parallel_tool_use'] === true ? { parallel_tool_calls: false } : {}) }
}

/** Both APIs have these degrees of effort; servers refuse the ones they do not know. */
const efforts = ['low', 'medium', 'high']

function outputOf(config: unknown, dropped: Dropped): Json {
  if (!isRecord(config)) return {}
  const { effort, format } = config
  const hasSchema = isRecord(format) && format['type'] === 'json_schema' && isRecord(format['schema'])
  const hasEffort = typeof effort === 'string' && efforts.includes(effort)
  dropped.others(config, [...(hasSchema ? ['format'] : []), ...(hasEffort ? ['effort'] : [])], 'output_config')
  return {
    ...(hasEffort ? { reasoning_effort: effort } : {}),
    ...(hasSchema
      ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: format['schema'], strict: true } } }
      : {}),
  }
}
