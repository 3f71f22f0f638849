// What is asked of a server in a probe: where its health and its metrics are, and the smallest question that makes it generate. Pure.
// Questions go the way that requests go, through the lane of their operation, so that what is found out holds for requests too.

import type { EndpointKind } from '../../shared/operations.ts'
import type { Endpoint } from '../../shared/wire/snapshot.ts'
import { probedOperations } from '../../shared/wire/probe.ts'
import type { Asking, Lane } from '../lane/lane.ts'
import { laneFor } from '../lane/lanes.ts'

/**
 * Appended to the endpoint's url; null where the protocol has no such place: Anthropic's names none, and a SageMaker endpoint answers
 * nothing but signed invocations.
 */
export const healthPathOf: Readonly<Record<EndpointKind, string | null>> = {
  // vLLM, SGLang, TGI, llama.cpp and the local engine.
  openai: '/health',
  // Open Inference Protocol, REST, health.
  open_inference: '/v2/health/ready',
  anthropic: null,
  sagemaker: null,
}

/** Where a page of metrics is, in two parts: `origin` takes the place of the endpoint's url. null when its option is no address. */
export function metricsPlaceOf({ url, options }: Endpoint): { readonly origin: string; readonly path: string } | null {
  // Triton has its page on another port.
  const place = URL.parse(options['metricsUrl'] ?? `${url}/metrics`)
  return place && { origin: place.origin, path: place.pathname + place.search }
}

export type ProbedOperation = (typeof probedOperations)[number]

export type Question = { readonly operation: ProbedOperation; readonly lane: Lane; readonly asking: Asking }

/**
 * The questions that an endpoint's operations allow, to be asked in this order until one is not refused: a row names what a kind of server
 * can do, and a server of embeddings refuses to chat.
 */
export function questionsOf({ servedName, operations }: Endpoint): readonly Question[] {
  return probedOperations.flatMap((operation) => {
    const lane = operations.includes(operation) ? laneFor(operation, operations) : null
    return lane ? [{ operation, lane, asking: askingOf(operation, servedName) }] : []
  })
}

const text = 'Hi'
const conversation = [{ role: 'user', content: text }]

/** The shortest question of each operation, for one token where the operation makes tokens. */
const wording: Readonly<Record<ProbedOperation, object>> = {
  chat: { messages: conversation, max_tokens: 1 },
  messages: { messages: conversation, max_tokens: 1 },
  completions: { prompt: text, max_tokens: 1 },
  generate: { text_input: text, parameters: { max_tokens: 1 } },
  embeddings: { input: text },
}

function askingOf(operation: ProbedOperation, servedName: string): Asking {
  // The Open Inference Protocol names the model in its path.
  const json = operation === 'generate' ? wording[operation] : { model: servedName, ...wording[operation] }
  return {
    body: new TextEncoder().encode(JSON.stringify(json)),
    json,
    contentType: 'application/json',
    header: () => null,
    model: servedName,
    servedName,
    stream: false,
  }
}
