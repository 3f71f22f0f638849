// cli/engine/catalogue.ts — models and slots as OpenAI, llama.cpp and the Open Inference Protocol describe them. Pure.
import type { Model } from './model.ts'
import { modelVersion } from './models.ts'
import { embeddingOutput, textInput } from './tensors.ts'

/** An entry of GET /v1/models, with llama.cpp's `meta`. */
export function modelBlock(model: Model): object {
  return {
    id: model.name,
    object: 'model',
    created: model.createdS,
    owned_by: 'llamacpp',
    meta: {
      n_ctx: model.contextTokens,
      n_ctx_train: model.trainContextTokens,
      n_embd: model.embeddingSize,
      n_vocab: model.vocabularySize,
      size: model.fileBytes,
    },
  }
}

export const modelList = (models: readonly Model[]): object => ({ object: 'list', data: models.map(modelBlock) })

/** GET /slots: the slots of all models in a row. */
export function slotList(models: readonly Model[]): readonly object[] {
  return models
    .flatMap((model) => model.slots.busy().map((isBusy) => ({ model, isBusy })))
    .map(({ model, isBusy }, id) => ({ id, n_ctx: model.contextTokens, speculative: false, is_processing: isBusy, model: model.name }))
}

/** GET /props: of the model the server was started with. */
export function props(model: Model, temperature: number): object {
  return {
    default_generation_settings: { n_ctx: model.contextTokens, params: { temperature, top_p: 1, n_predict: -1 } },
    total_slots: model.slots.busy().length,
    model_alias: model.name,
    model_path: model.path,
    chat_template: model.template.source,
    bos_token: model.template.bosText,
    eos_token: model.template.eosText,
  }
}

/** GET /v2. */
export const serverBlock = (): object => ({
  name: 'isochrone-engine',
  version: '1',
  extensions: ['binary_tensor_data', 'generate', 'model_repository'],
})

/** GET /v2/models/{name}: the tensors of `infer`. A dimension of -1 may have any length. */
export const modelMetadata = (model: Model): object => ({
  name: model.name,
  versions: [modelVersion],
  platform: 'llamacpp_gguf',
  inputs: [{ name: textInput, datatype: 'BYTES', shape: [-1] }],
  outputs: [{ name: embeddingOutput, datatype: 'FP32', shape: [-1, model.embeddingSize] }],
})
