// What can be asked of a model server, and who can do it. Both Workers use it: core fills in what a kind of server can do, ledger and
// isolate choose only endpoints that can do what is asked.

/** How an endpoint is spoken to; one adapter each. */
export const endpointKinds = ['openai', 'anthropic', 'open_inference', 'sagemaker'] as const
export type EndpointKind = (typeof endpointKinds)[number]

export const operations = [
  'chat',
  'completions',
  'embeddings',
  'responses',
  'messages',
  'count_tokens',
  'infer',
  'generate',
  'generate_stream',
  'metadata',
] as const
export type Operation = (typeof operations)[number]

/** What a server of a kind does unless its row says otherwise. vLLM, SGLang and llama.cpp also do `responses` and `messages` when told so. */
export const operationsOf: Readonly<Record<EndpointKind, readonly Operation[]>> = {
  openai: ['chat', 'completions', 'embeddings'],
  anthropic: ['messages', 'count_tokens'],
  open_inference: ['infer', 'generate', 'generate_stream', 'metadata'],
  sagemaker: ['chat', 'completions', 'embeddings'],
}

/** What is asked of the server in place of an operation it does not have: Anthropic messages can be translated to chat completions. */
const translations: Partial<Record<Operation, Operation>> = { messages: 'chat' }

/** The operation that a server is asked to do for `asked`: the same, a translation, or null when it can do neither. */
export function servedAs(able: readonly Operation[], asked: Operation): Operation | null {
  if (able.includes(asked)) return asked
  const other = translations[asked]
  return other !== undefined && able.includes(other) ? other : null
}
