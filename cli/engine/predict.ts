// cli/engine/predict.ts — the way of an infer request behind its bytes: model, texts, slot, and the tensor of their embeddings.
import type { Outcome } from './answer.ts'
import { embedAll, embedInputs, type EmbedWork } from './embed.ts'
import { findVersion, type Engine } from './engine.ts'
import type { Fault } from './faults.ts'
import { ok, type Result } from './refuse.ts'
import type { ModelVersion } from './routes.ts'
import { inferAnswer, jsonLengthHeader, readInfer, type InferAsked } from './tensors.ts'
import type { Wire } from './wire.ts'

export type InferRequest = { readonly model: ModelVersion; readonly bytes: Buffer; readonly jsonLength: string | null }

/** Answers in JSON or binary, as asked. */
export async function predict(request: InferRequest, fault: Fault, wire: Wire, engine: Engine): Promise<Outcome> {
  const planned = planInfer(request, engine)
  if (!planned.ok) {
    wire.refuse(planned.refusal)
    return 'refused'
  }
  const { asked, ...work } = planned.value
  const say: EmbedWork['say'] = (vectors, promptTokens) => {
    const { json, tail } = inferAnswer(work.loaded.model.name, asked, vectors, promptTokens)
    if (tail === null) return wire.json(200, json)
    const head = Buffer.from(JSON.stringify(json))
    wire.bytes(Buffer.concat([head, tail]), { [jsonLengthHeader]: String(head.length) })
  }
  return embedAll({ ...work, fault, say }, wire, engine)
}

type InferPlan = Pick<EmbedWork, 'loaded' | 'inputs'> & { readonly asked: InferAsked }

function planInfer({ model, bytes, jsonLength }: InferRequest, engine: Engine): Result<InferPlan> {
  const found = findVersion(engine, model)
  if (!found.ok) return found
  const asked = readInfer(bytes, jsonLength)
  if (!asked.ok) return asked
  const inputs = embedInputs(found.value.model, asked.value.texts, 'inputs[0].data')
  return inputs.ok ? ok({ loaded: found.value, inputs: inputs.value, asked: asked.value }) : inputs
}
