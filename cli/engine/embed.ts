// cli/engine/embed.ts — the way of an embeddings request behind its body: model, inputs, slot, vectors. The tensors of infer take it too.
import type { Outcome } from './answer.ts'
import type { Prompt } from './completions.ts'
import { embeddingsAnswer, readEmbeddings, unitVector } from './embeddings.ts'
import { findModel, type Engine } from './engine.ts'
import type { Fault } from './faults.ts'
import type { Model } from './model.ts'
import type { Loaded } from './models.ts'
import { textPrompt } from './prompt.ts'
import { invalid, no, ok, queueFull, unloaded, type Result } from './refuse.ts'
import { stretch } from './slow.ts'
import { untilAborted, type Wire } from './wire.ts'

/** Answers `body` in OpenAI's shape. */
export async function embed(body: unknown, fault: Fault, wire: Wire, engine: Engine): Promise<Outcome> {
  const planned = planEmbeddings(body, engine)
  if (!planned.ok) {
    wire.refuse(planned.refusal)
    return 'refused'
  }
  const { encoding, ...work } = planned.value
  const { name } = work.loaded.model
  const say: EmbedWork['say'] = (vectors, promptTokens) => wire.json(200, embeddingsAnswer(name, vectors, encoding, promptTokens))
  return embedAll({ ...work, fault, say }, wire, engine)
}

/** Texts as tokens, and how their vectors are put on the wire. */
export type EmbedWork = {
  readonly loaded: Loaded
  readonly inputs: readonly (readonly number[])[]
  readonly fault: Fault
  readonly say: (vectors: readonly Float32Array[], promptTokens: number) => void
}

/** Answers with one vector per input. Takes one slot for all; of the faults only errors, hangs and slowness apply. */
export async function embedAll({ loaded, inputs, fault, say }: EmbedWork, wire: Wire, engine: Engine): Promise<Outcome> {
  return loaded.use(async () => {
    const { model, closing } = loaded
    if (model.slots.room() < 1) {
      wire.refuse(queueFull(model.slots.waitingMax))
      return 'refused'
    }
    const signal = AbortSignal.any([wire.signal, closing])
    const lease = await model.slots.take(signal)
    try {
      if (fault.kind === 'hang') await untilAborted(signal)
      const vectors: Float32Array[] = []
      for (const input of inputs) {
        if (signal.aborted) break
        const startMs = engine.nowMs()
        const vector = await model.embed(input)
        if (fault.kind === 'run') await stretch(fault.slowFactor, startMs, { nowMs: engine.nowMs, signal })
        count(engine, input, startMs)
        vectors.push(unitVector(vector))
      }
      if (wire.signal.aborted) return 'aborted'
      if (signal.aborted) {
        wire.refuse(unloaded(model.name))
        return 'refused'
      }
      say(
        vectors,
        inputs.reduce((sum, input) => sum + input.length, 0),
      )
      return 'served'
    } finally {
      lease?.giveBack()
    }
  })
}

type EmbedPlan = Pick<EmbedWork, 'loaded' | 'inputs'> & { readonly encoding: 'float' | 'base64' }

function planEmbeddings(body: unknown, engine: Engine): Result<EmbedPlan> {
  const read = readEmbeddings(body)
  if (!read.ok) return read
  const { model: name, inputs: prompts, encoding, dimensions } = read.value
  const found = findModel(engine, name)
  if (!found.ok) return found
  const { model } = found.value
  if (dimensions !== null && dimensions !== model.embeddingSize) {
    return no(invalid(`Invalid 'dimensions': this model's embeddings have ${model.embeddingSize}`, 'dimensions'))
  }
  const inputs = embedInputs(model, prompts, 'input')
  return inputs.ok ? ok({ loaded: found.value, inputs: inputs.value, encoding }) : inputs
}

/** The tokens of each prompt. Refused as `textPrompt` refuses; `field` names the body's field. */
export function embedInputs(model: Model, prompts: readonly Prompt[], field: string): Result<EmbedWork['inputs']> {
  const inputs: (readonly number[])[] = []
  for (const prompt of prompts) {
    const tokens = textPrompt(model, prompt, field, false)
    if (!tokens.ok) return tokens
    inputs.push(tokens.value)
  }
  return ok(inputs)
}

function count({ nowMs, tally }: Engine, input: readonly number[], startMs: number): void {
  tally.promptTokens += input.length
  tally.promptMs += nowMs() - startMs
  // The embedding context decodes one input at a time.
  tally.decodes += 1
  tally.busySlots += 1
  tally.contextTokensMax = Math.max(tally.contextTokensMax, input.length)
}
