// What a server calls a version, by how it came there. Pure.

import type { Deployer, Fields } from './facts.ts'

type Named = Pick<Fields['version'], 'id' | 'model' | 'artifact' | 'flags'>

/** The engines' own flag for it, as vLLM and SGLang spell it. */
const flagNames = ['served-model-name', 'served_model_name', '--served-model-name'] as const

/**
 * The `servedName` of an endpoint. A model repository knows a version by the name under which it is loaded. Elsewhere the engine's flags say
 * it; without them a container of SageMaker's stands alone and answers to the model's name, and whoever is told by a webhook is told the id.
 */
export function servedNameOf(version: Named, deployer: Deployer): string {
  if (deployer === 'model_repository') return version.artifact ?? version.id
  const said = flagNames.map((name) => version.flags[name]).find((value) => typeof value === 'string' && value !== '')
  if (typeof said === 'string') return said
  return deployer === 'sagemaker' ? version.model : version.id
}
