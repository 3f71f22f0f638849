// Where a server of a kind tells whether it lives. Pure.

import type { EndpointKind } from '../../shared/operations.ts'

/**
 * Appended to the endpoint's url; null where the protocol has no such place: Anthropic's names none, and a SageMaker endpoint answers
 * nothing but signed invocations. Those stay `unknown`, which may serve, and what is known of them comes from the requests themselves.
 */
export const healthPathOf: Readonly<Record<EndpointKind, string | null>> = {
  // vLLM, SGLang, TGI, llama.cpp and the local engine.
  openai: '/health',
  // Open Inference Protocol, REST, health.
  open_inference: '/v2/health/ready',
  anthropic: null,
  sagemaker: null,
}
