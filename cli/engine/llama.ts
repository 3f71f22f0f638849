// cli/engine/llama.ts — the adapter to llama.cpp through node-llama-cpp, and the only file that knows it. One thread: a second one spins
// against the first. All sequences of a model share one context, so their tokens are decoded together.
import { stat } from 'node:fs/promises'
import type {
  BatchItem,
  LlamaContext,
  LlamaContextSequence,
  LlamaEmbeddingContext,
  LlamaModel,
  PrioritizedBatchItem,
  Token,
} from 'node-llama-cpp'
import { openBarrier, type Barrier } from './barrier.ts'
import { shareBatch } from './batch.ts'
import type { Tally } from './metrics.ts'
import type { Model, SampleOptions, Sequence } from './model.ts'
import { sampleOneByOne } from './one-by-one.ts'
import { openSlots } from './slots.ts'
import { chatMl } from './template.ts'
import type { Sampled } from './transcript.ts'

export type OpenOptions = { readonly slots: number; readonly contextTokensMax: number; readonly waitingMax: number }
export type OpenModel = (name: string, path: string) => Promise<Model>

/** Tokens per decode call: llama.cpp's own default. */
const batchTokens = 512

/** Starts llama.cpp and returns the function that opens model files. Imported late: it takes half a second, and the ports open first. */
export async function startLlama(options: OpenOptions, tally: Tally): Promise<OpenModel> {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: 1,
    progressLogs: false,
    logLevel: LlamaLogLevel.disabled,
  })
  return async (name, path) => {
    const file = await stat(path)
    const model = await llama.loadModel({ modelPath: path })
    try {
      const contextTokens = Math.min(options.contextTokensMax, model.trainContextSize)
      const barrier = openBarrier()
      const context = await model.createContext({
        sequences: options.slots,
        contextSize: contextTokens,
        batchSize: batchTokens,
        threads: 1,
        // On a CPU it is a quarter slower (764 against 949 tokens/s, atlas-2.q8_0).
        flashAttention: false,
        batching: { itemPrioritizationStrategy: (batch) => prioritise(batch, barrier, tally) },
      })
      sampleOneByOne(context)
      const facts = { fileBytes: file.size, modifiedMs: file.mtimeMs, contextTokens, waitingMax: options.waitingMax }
      return wrap({ name, path, facts, model, context, barrier })
    } catch (error) {
      await model.dispose()
      throw error
    }
  }
}

/** Called by node-llama-cpp once per decode call, which makes it the place to count them. */
function prioritise(
  batch: { readonly items: readonly BatchItem[]; readonly size: number },
  barrier: Barrier,
  tally: Tally,
): PrioritizedBatchItem[] {
  const shares = shareBatch(
    batch.items.map((item) => item.tokens.length),
    batch.size,
  )
  const chosen = batch.items
    .map((item, index): PrioritizedBatchItem => ({ item, processAmount: shares[index] ?? 0 }))
    .filter((one) => one.processAmount > 0)
  barrier.expect(chosen.filter(({ item, processAmount }) => processAmount === item.tokens.length).length)
  tally.decodes += 1
  tally.busySlots += chosen.length
  return chosen
}

type Parts = {
  readonly name: string
  readonly path: string
  readonly facts: { readonly fileBytes: number; readonly modifiedMs: number; readonly contextTokens: number; readonly waitingMax: number }
  readonly model: LlamaModel
  readonly context: LlamaContext
  readonly barrier: Barrier
}

function wrap({ name, path, facts, model, context, barrier }: Parts): Model {
  const { tokens } = model
  const tokenizer = model.fileInfo.metadata.tokenizer
  const sequences = Array.from({ length: context.totalSequences }, () => sequenceOf(context.getSequence(), barrier))
  // Its buffers are made only for models that are asked for embeddings.
  let embedding: Promise<LlamaEmbeddingContext> | null = null
  const openEmbedding = async (): Promise<LlamaEmbeddingContext> => {
    const { contextTokens } = facts
    embedding ??= model.createEmbeddingContext({ contextSize: contextTokens, batchSize: contextTokens, threads: 1 })
    try {
      return await embedding
    } catch (error) {
      embedding = null
      throw error
    }
  }
  return {
    name,
    path,
    fileBytes: facts.fileBytes,
    createdS: Math.floor(facts.modifiedMs / 1000),
    contextTokens: facts.contextTokens,
    trainContextTokens: model.trainContextSize,
    embeddingSize: model.embeddingVectorSize,
    vocabularySize: tokenizer.ggml.tokens.length,
    tokenLengthMax: tokenizer.ggml.tokens.reduce((most, text) => Math.max(most, text.length), 1),
    template: { source: tokenizer.chat_template ?? chatMl, bosText: tokens.bosString ?? '', eosText: tokens.eosString ?? '' },
    startToken: tokens.shouldPrependBosToken ? tokens.bos : null,
    tokenise: (text, parsesControl) => model.tokenize(text, parsesControl),
    detokenise: (list, before) => model.detokenize(asTokens(list), false, asTokens(before)),
    isEnd: (token) => model.isEogToken(asToken(token)),
    slots: openSlots(sequences, facts.waitingMax),
    embed: async (list) => (await (await openEmbedding()).getEmbeddingFor([...asTokens(list)])).vector,
    close: async () => {
      await (await embedding)?.dispose()
      await context.dispose()
      await model.dispose()
    },
  }
}

function sequenceOf(sequence: LlamaContextSequence, barrier: Barrier): Sequence {
  return {
    sample: (prompt, options) => inStep(sample(sequence, prompt, options), barrier),
    clear: () => sequence.clearHistory(),
  }
}

/** `tokens`, each held until those of the same decode call are there. */
async function* inStep(tokens: AsyncGenerator<Sampled, void, void>, barrier: Barrier): AsyncGenerator<Sampled, void, void> {
  try {
    for (;;) {
      // oxlint-disable-next-line typescript/no-misused-promises -- finally waits for what its callback returns, and that is the point
      const next = await tokens.next().finally(barrier.arrive)
      if (next.done === true) return
      yield next.value
    }
  } finally {
    await tokens.return()
  }
}

async function* sample(
  sequence: LlamaContextSequence,
  prompt: readonly number[],
  options: SampleOptions,
): AsyncGenerator<Sampled, void, void> {
  const { temperature, topP, seed, topCount } = options
  // topK 0 and minP 0 switch off the filters that OpenAI's interface does not have.
  const settings = { temperature, topP, topK: 0, minP: 0, seed, yieldEogToken: true }
  if (topCount === null) {
    for await (const token of sequence.evaluate([...asTokens(prompt)], settings)) yield { token }
    return
  }
  const wanted = { confidence: true, probabilities: true } as const
  for await (const { token, confidence, probabilities } of sequence.evaluateWithMetadata([...asTokens(prompt)], wanted, settings)) {
    // The map is in falling order.
    yield { token, probability: confidence, top: [...probabilities].slice(0, topCount) }
  }
}

// node-llama-cpp brands its tokens; here they are numbers, checked against the vocabulary where they come from outside.
const asToken = (token: number): Token => token as Token
const asTokens = (tokens: readonly number[]): readonly Token[] => tokens as readonly Token[]
