// What a server calls a version, by how it came there. Pure.

import type { Deployer, Fields } from './facts.ts'

type Named = Pick<Fields['version'], 'id' | 'model' | 'artifact' | 'flags'>

/** The engines' own flag for it, as vLLM and SGLang spell it. */
const flagNames = ['served-model-name', 'served_model_name', '--served-model-name'] as const

/**
 * The `servedName` of an endpoint. A model repository knows a version by the name under which it is loaded. Elsewhere the engine's flags say
 * it; without them an engine answers to what it was started with, and a container of SageMaker's, which stands alone, to the model's name.
 */
export function servedNameOf(version: Named, deployer: Deployer): string {
  const own = version.artifact ?? version.id
  if (deployer === 'model_repository') return own
  const said = flagNames.map((name) => version.flags[name]).find((value) => typeof value === 'string' && value !== '')
  if (typeof said === 'string') return said
  return deployer === 'sagemaker' ? version.model : own
}
